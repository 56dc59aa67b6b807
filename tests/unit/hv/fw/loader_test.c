/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "hv/fw/loader.h"
#include "lib/bits.h"
#include "tests/unit/suite.h"

static uint8_t ram[0x1000], script_bytes[1024];
static const uint8_t small[8] = { 4, 0, 0, 0, 0, 0, 0, 9 };

static struct wbuf start(void)
{
	memset(script_bytes, 0, sizeof script_bytes);
	memset(ram, 0, sizeof ram);
	return wbuf_of(script_bytes, sizeof script_bytes);
}

static int run(struct wbuf *script, struct err *err)
{
	struct loader_file files[2] = { { .name = "a", .data = small, .len = 8 }, { .name = "b", .data = small, .len = 8 } };
	struct mem mem = { 0 };

	check_eq(mem_add(&mem, 0x1000, sizeof ram, ram, false), 0);
	return loader_run(script->data, script->len, files, 2, &mem, 0x1001, 0x2000, err);
}

static void places_points_and_sums(void)
{
	struct wbuf s = start();
	struct err err;

	loader_allocate(&s, "a", 16, true);
	loader_allocate(&s, "b", 64, false);
	loader_pointer(&s, "a", "b", 0, 4);
	loader_checksum(&s, "a", 7, 0, 8);
	check_eq(run(&s, &err), 0);
	check_eq(get_le32(ram + 0x10), 0x1044);		/* b at 0x1040, offset 4 in it */
	check_eq((uint8_t)(ram[0x10] + ram[0x11] + ram[0x17]), 0);
}

static void refuses_scripts_that_reach_outside_their_files(void)
{
	struct err err;
	struct wbuf s;

	s = start();
	loader_allocate(&s, "c", 16, true);
	check_eq(run(&s, &err), -EINVAL);
	s = start();
	loader_allocate(&s, "a", 3, true);
	check_eq(run(&s, &err), -EINVAL);
	s = start();
	loader_allocate(&s, "a", 16, true);
	loader_allocate(&s, "a", 16, true);
	check_eq(run(&s, &err), -EINVAL);
	s = start();
	loader_pointer(&s, "a", "b", 0, 4);
	check_eq(run(&s, &err), -EINVAL);
	s = start();
	loader_allocate(&s, "a", 16, true);
	loader_pointer(&s, "a", "a", 5, 4);
	check_eq(run(&s, &err), -EINVAL);
	check_str(err.text, "entry 1 of the ACPI loader script (command 2) is not valid");
	s = start();
	loader_allocate(&s, "a", 16, true);
	loader_pointer(&s, "a", "a", 0, 3);
	check_eq(run(&s, &err), -EINVAL);
	s = start();
	loader_allocate(&s, "a", 16, true);
	loader_checksum(&s, "a", 0, 4, 0xfffffffe);
	check_eq(run(&s, &err), -EINVAL);
	s = start();
	loader_allocate(&s, "a", 0x80000000, true);
	check_eq(run(&s, &err), -ENOSPC);
	s = start();
	put_le32(script_bytes, 9);
	check_eq(run(&s, &err), -EINVAL);
	s = start();
	memset(script_bytes, 'a', 128);
	put_le32(script_bytes, 1);
	check_eq(run(&s, &err), -EINVAL);
}

static const struct test tests[] = {
	{ "places, points and sums", places_points_and_sums },
	{ "refuses scripts that reach outside their files", refuses_scripts_that_reach_outside_their_files },
	{ NULL, NULL },
};
const struct suite suite_hv_fw_loader = { tests };
