/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/aml.h"
#include "tests/unit/suite.h"

static uint8_t bytes[0x200000];

static struct aml start(struct wbuf *b, size_t len)
{
	struct aml a;

	*b = wbuf_of(bytes, len);
	aml_init(&a, b);
	return a;
}

#define check_bytes(b, ...) \
	do { \
		static const uint8_t want[] = { __VA_ARGS__ }; \
		check_eq((b).pos, sizeof want); \
		check(!memcmp(bytes, want, sizeof want)); \
	} while (0)

static void integers_take_their_shortest_form(void)
{
	struct wbuf b;
	struct aml a = start(&b, sizeof bytes);

	aml_int(&a, 0);
	aml_int(&a, 1);
	aml_int(&a, 2);
	aml_int(&a, 0x100);
	aml_int(&a, 0x10000);
	aml_int(&a, 0x100000000);
	check_bytes(b, 0, 1, 0x0a, 2, 0x0b, 0, 1, 0x0c, 0, 0, 1, 0, 0x0e, 0, 0, 0, 0, 1, 0, 0, 0);
}

static void paths_are_padded_and_prefixed(void)
{
	struct wbuf b;
	struct aml a = start(&b, sizeof bytes);

	aml_path(&a, "\\_SB");
	aml_path(&a, "^AB.C");
	aml_path(&a, "");
	aml_path(&a, "A.B.CDEF");
	check_bytes(b, '\\', '_', 'S', 'B', '_', '^', 0x2e, 'A', 'B', '_', '_', 'C', '_', '_', '_', 0,
		    0x2f, 3, 'A', '_', '_', '_', 'B', '_', '_', '_', 'C', 'D', 'E', 'F');
}

/* Scope(\) around n bytes: its PkgLength, and how many bytes that took */
static size_t package_length(size_t n, size_t *encoded)
{
	struct wbuf b;
	struct aml a = start(&b, sizeof bytes);
	size_t len;

	aml_open_package(&a, 0);
	wbuf_zero(&b, n - 1);
	aml_close(&a);
	check(!b.failed);
	*encoded = (bytes[1] >> 6) + 1u;
	len = *encoded == 1 ? bytes[1] : bytes[1] & 15;
	for (size_t i = 1; i < *encoded; i++)
		len |= (size_t)bytes[1 + i] << (8 * i - 4);
	check_eq(b.pos, 1 + *encoded + n);
	return len;
}

static void package_lengths_count_themselves_at_every_boundary(void)
{
	static const struct { size_t body, encoded; } cases[] = {
		{ 1, 1 }, { 62, 1 }, { 63, 2 }, { 0xffd, 2 }, { 0xffe, 3 }, { 0xffffc, 3 }, { 0xffffd, 4 },
	};
	size_t encoded;

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		check_eq(package_length(cases[i].body, &encoded), cases[i].body + cases[i].encoded);
		check_eq(encoded, cases[i].encoded);
	}
}

static void nested_blocks_move_together(void)
{
	struct wbuf b;
	struct aml a = start(&b, sizeof bytes);

	aml_open_scope(&a, "\\");
	aml_open_device(&a, "DEV");
	aml_name_eisa(&a, "_HID", "PNP0A08");
	aml_close(&a);
	aml_close(&a);
	check_eq(a.depth, 0);
	check_bytes(b, 0x10, 0x14, '\\', 0, 0x5b, 0x82, 0x0f, 'D', 'E', 'V', '_', 0x08, '_', 'H', 'I', 'D', 0x0c, 0x41, 0xd0, 0x0a, 0x08);
}

static void buffers_carry_their_size(void)
{
	struct wbuf b;
	struct aml a = start(&b, sizeof bytes);

	aml_uuid(&a, "33db4d5b-1ff7-401c-9657-7441c03dd766");
	check_bytes(b, 0x11, 0x13, 0x0a, 16, 0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40, 0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66);
}

static void resource_templates_end_with_a_tag(void)
{
	static const uint32_t irq = 11;
	struct wbuf b;
	struct aml a = start(&b, sizeof bytes);

	aml_open_resources(&a);
	aml_res_io(&a, 0x3f8, 8);
	aml_res_irq(&a, 4);
	aml_res_interrupt(&a, &irq, 1);
	aml_res_window_io32(&a, 0x1000, 0x1fff);
	aml_close_resources(&a);
	check_bytes(b, 0x11, 0x33, 0x0a, 0x30, 0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8, 0x22, 0x10, 0, 0x89, 6, 0, 9, 1, 11, 0, 0, 0,
		    0x87, 23, 0, 1, 0x0c, 3, 0, 0, 0, 0, 0, 0x10, 0, 0, 0xff, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0x79, 0);
}

static void running_out_of_room_fails_and_writes_no_further(void)
{
	struct wbuf b;
	struct aml a = start(&b, 8);

	bytes[8] = 0xee;
	aml_open_scope(&a, "\\");
	aml_string(&a, "a long string");
	aml_close(&a);
	check(b.failed);
	check_eq(bytes[8], 0xee);
	a = start(&b, sizeof bytes);
	for (unsigned i = 0; i <= AML_DEPTH; i++)
		aml_open_if(&a);
	check(b.failed);
}

static const struct test tests[] = {
	{ "integers take their shortest form", integers_take_their_shortest_form },
	{ "paths are padded and prefixed", paths_are_padded_and_prefixed },
	{ "package lengths count themselves at every boundary", package_lengths_count_themselves_at_every_boundary },
	{ "nested blocks move together", nested_blocks_move_together },
	{ "buffers carry their size", buffers_carry_their_size },
	{ "resource templates end with a tag", resource_templates_end_with_a_tag },
	{ "running out of room fails and writes no further", running_out_of_room_fails_and_writes_no_further },
	{ NULL, NULL },
};
const struct suite suite_hv_fw_aml = { tests };
