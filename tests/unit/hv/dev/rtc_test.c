/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/rtc.h"
#include "tests/unit/hv/fake_clock.h"
#include "tests/unit/suite.h"

#define SECOND 1000000000ll
#define T0 1709251199ll	/* Thu 2024-02-29 23:59:59 UTC */

struct rig {
	struct fake_clock clock;
	struct rtc r;
	int level;
	unsigned rises;
};

static void set_line(void *ctx, int level)
{
	struct rig *r = ctx;

	r->rises += level && !r->level;
	r->level = level;
}

static void setup_zone(struct rig *r, int32_t zone)
{
	struct rtc_config c = { .clock = &r->clock.clock, .irq = { set_line, r }, .zone_s = zone };

	memset(r, 0, sizeof *r);
	fake_clock_init(&r->clock);
	r->clock.wall = T0 * SECOND;
	rtc_init(&r->r, &c);
}

static void setup(struct rig *r) { setup_zone(r, 0); }

static unsigned in(struct rig *r, unsigned i)
{
	rtc_ops.write(&r->r, 0, 1, i);
	return (unsigned)rtc_ops.read(&r->r, 1, 1) & 0xff;
}

static void out(struct rig *r, unsigned i, unsigned v)
{
	rtc_ops.write(&r->r, 0, 1, i);
	rtc_ops.write(&r->r, 1, 1, v);
}

static void check_time(struct rig *r, unsigned century, unsigned y, unsigned mo, unsigned d, unsigned h, unsigned mi, unsigned s)
{
	check_eq(in(r, 0x32), century);
	check_eq(in(r, 9), y);
	check_eq(in(r, 8), mo);
	check_eq(in(r, 7), d);
	check_eq(in(r, 4), h);
	check_eq(in(r, 2), mi);
	check_eq(in(r, 0), s);
}

static void shows_the_wall_clock_in_bcd(void)
{
	struct rig r;

	setup(&r);
	check_time(&r, 0x20, 0x24, 0x02, 0x29, 0x23, 0x59, 0x59);
	check_eq(in(&r, 6), 5);	/* Thursday */
	fake_clock_advance(&r.clock, SECOND);
	check_time(&r, 0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x00);
	check_eq(in(&r, 6), 6);
}

static void binary_and_twelve_hours(void)
{
	struct rig r;

	setup(&r);
	out(&r, 0x0b, 0x06);
	check_time(&r, 20, 24, 2, 29, 23, 59, 59);
	out(&r, 0x0b, 0x00);
	check_eq(in(&r, 4), 0x91);	/* 11 pm */
	out(&r, 0x0b, 0x04);
	check_eq(in(&r, 4), 0x8b);
	fake_clock_advance(&r.clock, SECOND);
	check_eq(in(&r, 4), 12);	/* 12 am */
}

static void keeps_local_time_when_told(void)
{
	struct rig r;

	setup_zone(&r, 5 * 3600 + 1800);
	check_time(&r, 0x20, 0x24, 0x03, 0x01, 0x05, 0x29, 0x59);
	setup_zone(&r, -3600);
	check_time(&r, 0x20, 0x24, 0x02, 0x29, 0x22, 0x59, 0x59);
}

/* mc146818_set_time of Linux: SET, hold the divider, write, SET off, release the divider. */
static void the_guest_sets_the_time(void)
{
	struct rig r;

	setup(&r);
	out(&r, 0x0b, 0x82);
	out(&r, 0x0a, 0x76);
	out(&r, 9, 0x30);
	out(&r, 8, 0x12);
	out(&r, 7, 0x31);
	out(&r, 4, 0x12);
	out(&r, 2, 0x34);
	out(&r, 0, 0x56);
	out(&r, 0x32, 0x20);
	fake_clock_advance(&r.clock, 5 * SECOND);
	check_eq(in(&r, 0), 0x56);	/* held */
	out(&r, 0x0b, 0x02);
	out(&r, 0x0a, 0x26);
	fake_clock_advance(&r.clock, SECOND / 2 - 1);
	check_time(&r, 0x20, 0x30, 0x12, 0x31, 0x12, 0x34, 0x56);
	fake_clock_advance(&r.clock, 1);
	check_eq(in(&r, 0), 0x57);
	rtc_reset(&r.r);
	fake_clock_advance(&r.clock, 3 * SECOND);
	check_time(&r, 0x20, 0x30, 0x12, 0x31, 0x12, 0x35, 0x00);
}

static void a_byte_written_while_running_counts(void)
{
	struct rig r;

	setup(&r);
	out(&r, 2, 0x10);
	check_time(&r, 0x20, 0x24, 0x02, 0x29, 0x23, 0x10, 0x59);
	fake_clock_advance(&r.clock, SECOND);
	check_time(&r, 0x20, 0x24, 0x02, 0x29, 0x23, 0x11, 0x00);
}

static void times_that_are_none_change_nothing(void)
{
	struct rig r;
	int64_t offset;

	setup(&r);
	offset = r.r.offset_ns;
	out(&r, 8, 0xff);
	check_eq(r.r.offset_ns, offset);
	out(&r, 8, 0);
	check_eq(r.r.offset_ns, offset);
	out(&r, 0x32, 0x99);
	check_eq(r.r.offset_ns, offset);
	out(&r, 0x32, 0x19);	/* 1924 */
	check_eq(r.r.offset_ns, offset);
	check_time(&r, 0x20, 0x24, 0x02, 0x29, 0x23, 0x59, 0x59);
}

static void update_in_progress_before_the_second(void)
{
	struct rig r;

	setup(&r);
	check_eq(in(&r, 0x0a), 0x26);
	fake_clock_advance(&r.clock, SECOND - 2300000);
	check_eq(in(&r, 0x0a), 0x26);
	fake_clock_advance(&r.clock, 100000);
	check_eq(in(&r, 0x0a), 0xa6);
	fake_clock_advance(&r.clock, 2200000);
	check_eq(in(&r, 0x0a), 0x26);
	out(&r, 0x0b, 0x82);
	fake_clock_advance(&r.clock, SECOND - 100000);
	check_eq(in(&r, 0x0a), 0x26);	/* SET holds updates */
}

static void update_ended_interrupts_each_second(void)
{
	struct rig r;

	setup(&r);
	out(&r, 0x0b, 0x12);
	check_eq(r.level, 0);
	fake_clock_advance(&r.clock, SECOND);
	check_eq(r.level, 1);
	check_eq(in(&r, 0x0c), 0xf0);	/* the periodic and the alarm flag too: they run without their enables (it is midnight) */
	check_eq(r.level, 0);
	check_eq(in(&r, 0x0c), 0);
	fake_clock_advance(&r.clock, 3 * SECOND);
	check_eq(r.rises, 2);	/* not acknowledged: no more edges */
}

static void flags_show_without_enables(void)
{
	struct rig r;

	setup(&r);
	fake_clock_advance(&r.clock, SECOND);
	check_eq(in(&r, 0x0c), 0x70);
	check_eq(r.rises, 0);
	check_eq(r.clock.fired, 0);	/* and cost nothing */
}

static void periodic_rate(void)
{
	struct rig r;
	unsigned n = 0;

	setup(&r);
	out(&r, 0x0a, 0x26);	/* 1024 Hz */
	out(&r, 0x0b, 0x42);
	for (unsigned i = 0; i < 100000; i++) {
		fake_clock_advance(&r.clock, 10000);
		if (r.level) {
			n++;
			check_eq(in(&r, 0x0c) & 0xc0, 0xc0);
		}
	}
	check(n >= 1023 && n <= 1025);
}

static void a_late_guest_gets_one_periodic_interrupt(void)
{
	struct rig r;

	setup(&r);
	out(&r, 0x0a, 0x23);	/* 8192 Hz */
	out(&r, 0x0b, 0x42);
	fake_clock_advance(&r.clock, 10 * SECOND);
	check_eq(r.rises, 1);
	check(r.clock.fired <= 2);
	in(&r, 0x0c);
	check_eq(r.level, 0);
	check_eq(r.clock.count, 1);
}

static void alarm_at_its_time_and_with_wildcards(void)
{
	struct rig r;

	setup(&r);
	out(&r, 1, 0x05);
	out(&r, 3, 0x01);
	out(&r, 5, 0x00);
	out(&r, 0x0b, 0x22);
	fake_clock_advance(&r.clock, 65 * SECOND);
	check_eq(r.level, 0);
	fake_clock_advance(&r.clock, SECOND);
	check_eq(r.level, 1);
	check_eq(in(&r, 0x0c) & 0xa0, 0xa0);
	fake_clock_advance(&r.clock, 3600 * SECOND);
	check_eq(r.level, 0);
	out(&r, 3, 0xff);
	out(&r, 5, 0xc0);	/* now each minute at :05 */
	for (unsigned i = 0; i < 10; i++) {
		fake_clock_advance(&r.clock, 60 * SECOND);
		check_eq(in(&r, 0x0c) & 0xa0, 0xa0);
	}
}

static void an_alarm_that_never_comes_does_not_interrupt(void)
{
	struct rig r;

	setup(&r);
	out(&r, 1, 0x7f);
	out(&r, 3, 0x99);
	out(&r, 5, 0x66);
	out(&r, 0x0b, 0x22);
	fake_clock_advance(&r.clock, 3 * 86400 * SECOND);
	check_eq(r.rises, 0);
	check(r.clock.fired < 10);
}

static void a_host_clock_set_back_makes_no_storm(void)
{
	struct rig r;

	setup(&r);
	out(&r, 0x0b, 0x12);
	r.clock.wall -= 86400 * SECOND;
	fake_clock_advance(&r.clock, SECOND);
	in(&r, 0x0c);
	fake_clock_advance(&r.clock, SECOND);
	check_eq(in(&r, 0x0c) & 0x90, 0x90);
	check(r.clock.fired < 5);
}

static void the_index_cannot_be_read_back(void)
{
	struct rig r;

	setup(&r);
	rtc_ops.write(&r.r, 0, 1, 0x8d);
	check_eq(rtc_ops.read(&r.r, 0, 1) & 0xff, 0xff);
	check_eq(rtc_ops.read(&r.r, 1, 1) & 0xff, 0x80);
	out(&r, 0x0d, 0);
	check_eq(in(&r, 0x0d), 0x80);
	rtc_ops.write(&r.r, 0, 2, 0x5a10);	/* index and data at once */
	check_eq(in(&r, 0x10), 0x5a);
	check_eq(rtc_ops.read(&r.r, 0, 2) & 0xffff, 0x5aff);
}

static void firmware_finds_memory_cpus_and_boot_order(void)
{
	struct rig r;

	setup(&r);
	rtc_set_memory(&r.r, 3ull << 30, 4ull << 30);
	rtc_set_cpus(&r.r, 3);
	rtc_set_equipment(&r.r, true);
	rtc_set_boot_order(&r.r, RTC_BOOT_CD, RTC_BOOT_DISK, RTC_BOOT_NET);
	rtc_set_byte(&r.r, 0x0f, 5);
	rtc_set_byte(&r.r, 0x0b, 0xff);
	rtc_set_byte(&r.r, 128, 1);
	check_eq(in(&r, 0x0b), 0x02);
	check_eq(in(&r, 0x0f), 5);
	check_eq(in(&r, 0x10), 0);
	check_eq(in(&r, 0x14), 6);
	check_eq(in(&r, 0x15) | in(&r, 0x16) << 8, 640);
	check_eq(in(&r, 0x17) | in(&r, 0x18) << 8, 0xffff);
	check_eq(in(&r, 0x34) | in(&r, 0x35) << 8, 0xbf00);
	check_eq(in(&r, 0x5b) | in(&r, 0x5c) << 8 | in(&r, 0x5d) << 16, 0x10000);
	check_eq(in(&r, 0x5f), 2);
	check_eq(in(&r, 0x3d), 0x23);
	check_eq(in(&r, 0x38), 0x41);
	rtc_set_memory(&r.r, 8 << 20, 0);
	check_eq(in(&r, 0x30) | in(&r, 0x31) << 8, 7 << 10);
	check_eq(in(&r, 0x34) | in(&r, 0x35) << 8, 0);
	rtc_reset(&r.r);
	check_eq(in(&r, 0x5f), 2);
}

static void two_clocks_keep_two_times(void)
{
	static struct rig a, b;

	setup(&a);
	setup(&b);
	out(&a, 9, 0x50);
	check_eq(in(&a, 9), 0x50);
	check_eq(in(&b, 9), 0x24);
}

static void every_register_takes_every_byte(void)
{
	struct rig r;

	setup(&r);
	for (unsigned i = 0; i < 256; i++)
		for (unsigned v = 0; v < 256; v += 3) {
			out(&r, i, v);
			in(&r, v);
			rtc_ops.read(&r.r, 0, 2);
			fake_clock_advance(&r.clock, 700000);
		}
	rtc_free(&r.r);
	check_eq(r.clock.count, 0);
}

static const struct test tests[] = {
	{ "shows the wall clock in BCD", shows_the_wall_clock_in_bcd },
	{ "binary and twelve hours", binary_and_twelve_hours },
	{ "keeps local time when told", keeps_local_time_when_told },
	{ "the guest sets the time", the_guest_sets_the_time },
	{ "a byte written while running counts", a_byte_written_while_running_counts },
	{ "times that are none change nothing", times_that_are_none_change_nothing },
	{ "update in progress before the second", update_in_progress_before_the_second },
	{ "update ended interrupts each second", update_ended_interrupts_each_second },
	{ "flags show without enables", flags_show_without_enables },
	{ "periodic rate", periodic_rate },
	{ "a late guest gets one periodic interrupt", a_late_guest_gets_one_periodic_interrupt },
	{ "alarm at its time and with wildcards", alarm_at_its_time_and_with_wildcards },
	{ "an alarm that never comes does not interrupt", an_alarm_that_never_comes_does_not_interrupt },
	{ "a host clock set back makes no storm", a_host_clock_set_back_makes_no_storm },
	{ "the index cannot be read back", the_index_cannot_be_read_back },
	{ "firmware finds memory, CPUs and boot order", firmware_finds_memory_cpus_and_boot_order },
	{ "two clocks keep two times", two_clocks_keep_two_times },
	{ "every register takes every byte", every_register_takes_every_byte },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_rtc = { tests };
