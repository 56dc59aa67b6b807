/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/buf.h"
#include "tests/unit/suite.h"

static void reads_values(void)
{
	const uint8_t d[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	struct rbuf b = rbuf_of(d, sizeof d);

	check_eq(rbuf_u8(&b), 1);
	check_eq(rbuf_le16(&b), 0x0302);
	check_eq(rbuf_be32(&b), 0x04050607);
	check_eq(rbuf_le64(&b), 0x0f0e0d0c0b0a0908ull);
	check_eq(rbuf_left(&b), 0);
	check(!b.failed);
}

static void reading_past_the_end_fails_and_stays_failed(void)
{
	const uint8_t d[3] = { 1, 2, 3 };
	struct rbuf b = rbuf_of(d, sizeof d);
	uint8_t out[4] = { 9, 9, 9, 9 };

	check_eq(rbuf_le32(&b), 0);
	check(b.failed);
	check_eq(rbuf_u8(&b), 0);
	rbuf_copy(&b, out, 4);
	check_eq(out[3], 0);
}

static void writing_past_the_end_writes_nothing(void)
{
	uint8_t d[5] = { 0, 0, 0, 0, 0xee };
	struct wbuf b = wbuf_of(d, 4);

	wbuf_be16(&b, 0x1234);
	wbuf_le32(&b, 0xffffffff);
	check(b.failed);
	check_eq(b.pos, 2);
	check_eq(d[0], 0x12);
	check_eq(d[4], 0xee);
}

static void pads_strings(void)
{
	uint8_t d[8];
	struct wbuf b = wbuf_of(d, 8);

	wbuf_pad_str(&b, "abcdef", 4, ' ');
	wbuf_pad_str(&b, "x", 4, ' ');
	check(!memcmp(d, "abcdx   ", 8));
}

static const struct test tests[] = {
	{ "reads values", reads_values },
	{ "reading past the end fails and stays failed", reading_past_the_end_fails_and_stays_failed },
	{ "writing past the end writes nothing", writing_past_the_end_writes_nothing },
	{ "pads strings", pads_strings },
	{ NULL, NULL },
};
const struct suite suite_lib_buf = { tests };
