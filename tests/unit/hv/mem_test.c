/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/mem.h"
#include <errno.h>
#include "tests/unit/suite.h"

static uint8_t low[0x1000], next[0x1000], rom[0x1000];

static struct mem setup(void)
{
	struct mem m = { 0 };

	memset(low, 1, sizeof low);
	memset(next, 2, sizeof next);
	memset(rom, 3, sizeof rom);
	check_eq(mem_add(&m, 0, sizeof low, low, false), 0);
	check_eq(mem_add(&m, 0x1000, sizeof next, next, false), 0);
	check_eq(mem_add(&m, 0xfffff000, sizeof rom, rom, true), 0);
	return m;
}

static void regions_must_not_overlap_or_wrap(void)
{
	struct mem m = setup();

	check_eq(mem_add(&m, 0xfff, 1, low, false), (uint64_t)-EEXIST);
	check_eq(mem_add(&m, 0x1fff, 0x10, low, false), (uint64_t)-EEXIST);
	check_eq(mem_add(&m, ~0ull - 1, 4, low, false), (uint64_t)-EINVAL);
	check_eq(mem_add(&m, 0x5000, 0, low, false), (uint64_t)-EINVAL);
}

static void a_pointer_never_crosses_a_region(void)
{
	struct mem m = setup();

	check(mem_at(&m, 0xff0, 16) == low + 0xff0);
	check(mem_at(&m, 0xff0, 17) == NULL);
	check(mem_at(&m, 0x2000, 1) == NULL);
	check(mem_at(&m, 0, 0) == NULL);
	check(mem_at(&m, ~0ull, 2) == NULL);
	check(mem_at(&m, 8, ~0ull) == NULL);
}

static void copies_cross_adjoining_regions(void)
{
	struct mem m = setup();
	uint8_t buf[4];

	check_eq(mem_read(&m, 0xffe, buf, 4), 0);
	check(buf[0] == 1 && buf[1] == 1 && buf[2] == 2 && buf[3] == 2);
	check_eq(mem_write(&m, 0xfff, "ab", 2), 0);
	check(low[0xfff] == 'a' && next[0] == 'b');
}

static void a_copy_that_leaves_memory_moves_nothing(void)
{
	struct mem m = setup();
	uint8_t buf[4] = { 9, 9, 9, 9 };

	check_eq(mem_read(&m, 0x1ffe, buf, 4), (uint64_t)-EFAULT);
	check(buf[0] == 0 && buf[3] == 0);
	check_eq(mem_write(&m, 0x1ffe, "abcd", 4), (uint64_t)-EFAULT);
	check_eq(next[0xffe], 2);
	check_eq(mem_read(&m, ~0ull - 1, buf, 4), (uint64_t)-EFAULT);
}

static void rom_reads_and_refuses_writes(void)
{
	struct mem m = setup();
	uint8_t b;

	check_eq(mem_read(&m, 0xffffffff, &b, 1), 0);
	check_eq(b, 3);
	check_eq(mem_write(&m, 0xffffffff, &b, 1), (uint64_t)-EFAULT);
	check(mem_at(&m, 0xfffff000, 1) == NULL);
	check(mem_at_const(&m, 0xfffff000, 1) == rom);
}

static const struct test tests[] = {
	{ "regions must not overlap or wrap", regions_must_not_overlap_or_wrap },
	{ "a pointer never crosses a region", a_pointer_never_crosses_a_region },
	{ "copies cross adjoining regions", copies_cross_adjoining_regions },
	{ "a copy that leaves memory moves nothing", a_copy_that_leaves_memory_moves_nothing },
	{ "ROM reads and refuses writes", rom_reads_and_refuses_writes },
	{ NULL, NULL },
};
const struct suite suite_hv_mem = { tests };
