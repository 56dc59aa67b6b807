/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/bus.h"
#include <errno.h>
#include "tests/unit/suite.h"

struct file { uint8_t reg[16]; unsigned reads, writes; };

static uint64_t rd(void *ctx, uint64_t off, unsigned size)
{
	struct file *f = ctx;
	uint64_t v = 0;

	f->reads++;
	memcpy(&v, f->reg + off, size);
	return v;
}

static void wr(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct file *f = ctx;

	f->writes++;
	memcpy(f->reg + off, &val, size);
}

static const struct bus_ops ops = { .read = rd, .write = wr };

static void accesses_reach_their_range(void)
{
	struct file a = { 0 }, b = { 0 };
	struct bus_range ra = { .base = 0x10, .len = 8, .ops = &ops, .ctx = &a }, rb = { .base = 0x18, .len = 8, .ops = &ops, .ctx = &b };
	struct bus bus = { 0 };

	check_eq(bus_add(&bus, &rb), 0);
	check_eq(bus_add(&bus, &ra), 0);
	bus_write(&bus, 0x12, 2, 0xbeef);
	check_eq(bus_read(&bus, 0x12, 2), 0xbeef);
	check_eq(b.reads + b.writes, 0);
	bus_write(&bus, 0x1c, 4, 0x12345678);
	check_eq(b.reg[4], 0x78);
}

static void nobody_reads_as_ones(void)
{
	struct bus bus = { 0 };

	check_eq(bus_read(&bus, 0x80, 4), 0xffffffff);
	bus_write(&bus, 0x80, 2, 1);
	check_eq(bus.unclaimed, 6);
}

static void an_access_across_a_border_is_split(void)
{
	struct file a = { 0 };
	struct bus_range r = { .base = 0x10, .len = 4, .ops = &ops, .ctx = &a };
	struct bus bus = { 0 };

	check_eq(bus_add(&bus, &r), 0);
	bus_write(&bus, 0x12, 4, 0x44332211);
	check(a.reg[2] == 0x11 && a.reg[3] == 0x22);
	check_eq(bus_read(&bus, 0x12, 4), 0xffff2211);
}

static void the_higher_priority_answers(void)
{
	struct file a = { 0 }, b = { 0 };
	struct bus_range wide = { .base = 0xcf8, .len = 4, .ops = &ops, .ctx = &a, .priority = 1 },
			 narrow = { .base = 0xcf9, .len = 1, .ops = &ops, .ctx = &b, .priority = 2 };
	struct bus bus = { 0 };

	check_eq(bus_add(&bus, &wide), 0);
	check_eq(bus_add(&bus, &narrow), 0);
	bus_write(&bus, 0xcf8, 4, 0x80000000);	/* remembered as the last hit */
	bus_write(&bus, 0xcf9, 1, 6);
	check_eq(b.reg[0], 6);
	check_eq(a.writes, 1);
}

static void ranges_may_leave(void)
{
	struct file a = { .reg = { 7 } };
	struct bus_range r = { .base = 0x10, .len = 4, .ops = &ops, .ctx = &a };
	struct bus bus = { 0 };

	check_eq(bus_add(&bus, &r), 0);
	check_eq(bus_add(&bus, &r), (uint64_t)-EEXIST);
	check_eq(bus_read(&bus, 0x10, 1), 7);
	bus_remove(&bus, &r);
	bus_remove(&bus, &r);
	check_eq(bus_read(&bus, 0x10, 1), 0xff);
}

static void impossible_ranges_are_refused(void)
{
	struct bus_range empty = { .base = 1, .len = 0, .ops = &ops }, wraps = { .base = ~0ull, .len = 2, .ops = &ops };
	struct bus bus = { 0 };

	check_eq(bus_add(&bus, &empty), (uint64_t)-EINVAL);
	check_eq(bus_add(&bus, &wraps), (uint64_t)-EINVAL);
}

/* KVM cuts accesses at a page's end. */
static void odd_sizes_are_split(void)
{
	struct file a = { 0 };
	struct bus_range r = { .base = 0x10, .len = 8, .ops = &ops, .ctx = &a };
	struct bus bus = { 0 };

	check_eq(bus_add(&bus, &r), 0);
	for (unsigned size = 3; size <= 7; size++) {
		a = (struct file){ 0 };
		bus_write(&bus, 0x10, size, 0x8877665544332211);
		check_eq(a.writes, size == 4 ? 1 : size);
		check_eq(a.reg[size - 1], 0x11 * size);
		check_eq(a.reg[size], 0);
		check_eq(bus_read(&bus, 0x10, size), 0x8877665544332211 & ((1ull << (8 * size)) - 1));
	}
}

static const struct test tests[] = {
	{ "accesses reach their range", accesses_reach_their_range },
	{ "nobody reads as ones", nobody_reads_as_ones },
	{ "an access across a border is split", an_access_across_a_border_is_split },
	{ "the higher priority answers, also after a hit of the lower", the_higher_priority_answers },
	{ "sizes of 3, 5, 6 and 7 are split", odd_sizes_are_split },
	{ "ranges may leave", ranges_may_leave },
	{ "impossible ranges are refused", impossible_ranges_are_refused },
	{ NULL, NULL },
};
const struct suite suite_hv_bus = { tests };
