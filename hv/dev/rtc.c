/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/rtc.h"
#include <string.h>
#include <time.h>
#include "lib/bits.h"

enum {
	SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR,
	REG_A, REG_B, REG_C, REG_D, CENTURY = 0x32,
};
enum { A_UIP = 0x80, A_RATE = 0x0f };
enum { B_24H = 0x02, B_BINARY = 0x04, B_SQWE = 0x08, B_UIE = 0x10, B_AIE = 0x20, B_PIE = 0x40, B_SET = 0x80 };
enum { C_UF = 0x10, C_AF = 0x20, C_PF = 0x40, C_IRQF = 0x80, C_FLAGS = 0x70 };
enum { D_VALID = 0x80 };

#define SECOND 1000000000ll
#define UIP_NS 2228000		/* t(BUC) + t(UC): 244 µs warning, 1984 µs update */
#define FIRST_UPDATE_NS 500000000	/* from leaving divider reset to the first update */
#define YEAR_MIN 1970
#define YEAR_MAX 2199		/* keeps nanoseconds since 1970 inside 63 bits */

/* ---- calendar */

/* Days since 1970-01-01 of a proleptic Gregorian date; month and day may run over their ends. */
static int64_t days_of(int64_t year, int month, int day)
{
	int64_t era, yoe, doy;

	year -= month <= 2;
	era = year / 400;
	yoe = year - era * 400;
	doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void date_of(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(yoe + era * 400 + (*month <= 2));
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static uint8_t encode(const struct rtc *r, int v)
{
	return (uint8_t)(r->cmos[REG_B] & B_BINARY ? v : v / 10 << 4 | v % 10);
}

static int decode(const struct rtc *r, uint8_t v)
{
	return r->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t encode_hour(const struct rtc *r, int hour)
{
	if (r->cmos[REG_B] & B_24H)
		return encode(r, hour);
	return encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

static int decode_hour(const struct rtc *r, uint8_t v)
{
	if (r->cmos[REG_B] & B_24H)
		return decode(r, v);
	return decode(r, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

/* ---- time */

static bool divider_runs(const struct rtc *r) { return (r->cmos[REG_A] & 0x70) == 0x20; }
static bool running(const struct rtc *r) { return divider_runs(r) && !(r->cmos[REG_B] & B_SET); }

/* A host clock that leapt by a century on top of the guest's own offset leaves the host's time. */
static int64_t now_ns(const struct rtc *r)
{
	int64_t wall = clock_wall(r->config.clock), ns;

	return __builtin_add_overflow(wall, r->offset_ns, &ns) ? wall : ns;
}

static int64_t now_s(const struct rtc *r) { return floor_div(now_ns(r), SECOND); }

static void show_time(struct rtc *r, int64_t s)
{
	int64_t days = floor_div(s, 86400);
	int rest = (int)(s - days * 86400), year, month, day;

	date_of(days, &year, &month, &day);
	r->cmos[SECONDS] = encode(r, rest % 60);
	r->cmos[MINUTES] = encode(r, rest / 60 % 60);
	r->cmos[HOURS] = encode_hour(r, rest / 3600);
	r->cmos[WEEKDAY] = encode(r, (int)((days % 7 + 11) % 7) + 1);	/* 1970-01-01 was a Thursday; 1 is Sunday */
	r->cmos[DAY] = encode(r, day);
	r->cmos[MONTH] = encode(r, month);
	r->cmos[YEAR] = encode(r, year % 100);
	r->cmos[CENTURY] = encode(r, year / 100);
}

/* The second that the registers say; false when it is none this clock can keep. */
static bool parse_time(const struct rtc *r, int64_t *s)
{
	int year = decode(r, r->cmos[CENTURY]) * 100 + decode(r, r->cmos[YEAR]), month = decode(r, r->cmos[MONTH]);

	if (year < YEAR_MIN || year > YEAR_MAX || month < 1 || month > 12)
		return false;
	*s = days_of(year, month, decode(r, r->cmos[DAY])) * 86400 + decode_hour(r, r->cmos[HOURS]) * 3600 +
	     decode(r, r->cmos[MINUTES]) * 60 + decode(r, r->cmos[SECONDS]);
	return true;
}

/* Take the registers as the time, fraction_ns into that second. */
static void set_time(struct rtc *r, int64_t fraction_ns)
{
	int64_t s, offset;

	if (!parse_time(r, &s) || __builtin_sub_overflow(s * SECOND + fraction_ns, clock_wall(r->config.clock), &offset))
		return;
	r->offset_ns = offset;
	r->seen_s = s;
}

/* ---- interrupts */

static uint64_t tick_of(uint64_t ns) { return ns / SECOND * 32768 + ns % SECOND * 32768 / SECOND; }
static uint64_t ns_of(uint64_t tick) { return tick / 32768 * SECOND + (tick % 32768 * SECOND + 32767) / 32768; }

/* 32768 Hz ticks between periodic interrupts, 0: none. Rates 1 and 2 repeat 8 and 9 (data sheet, table 5). */
static uint64_t period(const struct rtc *r)
{
	unsigned rate = r->cmos[REG_A] & A_RATE;

	if (!rate || !divider_runs(r))
		return 0;
	return 1ull << (rate < 3 ? rate + 6 : rate - 1);
}

/* Is register i an alarm field that matches v? Values from 0xc0 match everything. */
static bool alarm_matches(const struct rtc *r, unsigned i, int v)
{
	uint8_t a = r->cmos[i];

	if (a >= 0xc0)
		return true;
	return (i == HOURS_ALARM ? decode_hour(r, a) : decode(r, a)) == v;
}

/* The first second after s at which the alarm goes off; one day later, when it never does. At most ~150 steps. */
static int64_t next_alarm(const struct rtc *r, int64_t s)
{
	int64_t end = s + 86400;

	for (s++; s < end;) {
		int rest = (int)(s - floor_div(s, 86400) * 86400);

		if (!alarm_matches(r, HOURS_ALARM, rest / 3600))
			s += 3600 - rest % 3600;
		else if (!alarm_matches(r, MINUTES_ALARM, rest / 60 % 60))
			s += 60 - rest % 60;
		else if (!alarm_matches(r, SECONDS_ALARM, rest % 60))
			s++;
		else
			return s;
	}
	return end;
}

static bool alarm_at(const struct rtc *r, int64_t s)
{
	int rest = (int)(s - floor_div(s, 86400) * 86400);

	return alarm_matches(r, HOURS_ALARM, rest / 3600) && alarm_matches(r, MINUTES_ALARM, rest / 60 % 60) &&
	       alarm_matches(r, SECONDS_ALARM, rest % 60);
}

/* Set the flags of everything that happened since the last look. */
static void catch_up(struct rtc *r)
{
	uint64_t tick = tick_of(clock_now(r->config.clock)), p = period(r);

	if (p && tick / p != r->seen_tick / p)
		r->cmos[REG_C] |= C_PF;
	r->seen_tick = tick;
	if (running(r)) {
		int64_t s = now_s(r), alarm;

		if (s > r->seen_s) {
			r->cmos[REG_C] |= C_UF;
			alarm = next_alarm(r, r->seen_s);
			if (alarm <= s && alarm_at(r, alarm))
				r->cmos[REG_C] |= C_AF;
		}
		r->seen_s = s;	/* also when the host's clock was set back */
	}
}

static void raise(struct rtc *r)
{
	bool on = r->cmos[REG_C] & r->cmos[REG_B] & C_FLAGS;

	r->cmos[REG_C] = (uint8_t)((r->cmos[REG_C] & C_FLAGS) | (on ? C_IRQF : 0));
	irq_set(&r->config.irq, on);
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Wait for the next event that would interrupt; what is flagged already waits for the guest, so lateness never piles up. */
static void rearm(struct rtc *r)
{
	uint8_t wanted = (uint8_t)(r->cmos[REG_B] & ~r->cmos[REG_C]);
	uint64_t now = clock_now(r->config.clock), at = UINT64_MAX, p = period(r);

	if ((wanted & B_PIE) && p)
		at = ns_of((r->seen_tick / p + 1) * p);
	if ((wanted & (B_UIE | B_AIE)) && running(r)) {
		int64_t s = wanted & B_UIE ? r->seen_s + 1 : next_alarm(r, r->seen_s), wait = s * SECOND - now_ns(r);

		at = earlier(at, now + (uint64_t)(wait > 0 ? wait : 0));
	}
	if (at != UINT64_MAX)
		clock_arm(r->config.clock, &r->timer, at);
	else
		clock_disarm(r->config.clock, &r->timer);
}

static void settle(struct rtc *r)
{
	catch_up(r);
	raise(r);
	rearm(r);
}

static void fire(void *ctx)
{
	settle(ctx);
}

/* ---- registers */

static bool is_time(unsigned i)
{
	return i == SECONDS || i == MINUTES || i == HOURS || (i >= WEEKDAY && i <= YEAR) || i == CENTURY;
}

static uint8_t read_c(struct rtc *r)
{
	uint8_t v;

	catch_up(r);
	raise(r);
	v = r->cmos[REG_C];
	r->cmos[REG_C] = 0;
	raise(r);
	rearm(r);
	return v;
}

static uint8_t read_cmos(struct rtc *r, unsigned i)
{
	int64_t ns;

	if (i == REG_C)
		return read_c(r);
	if (is_time(i) && running(r))
		show_time(r, now_s(r));
	if (i == REG_A && running(r)) {
		ns = now_ns(r);
		if (ns - floor_div(ns, SECOND) * SECOND >= SECOND - UIP_NS)
			return r->cmos[REG_A] | A_UIP;
	}
	return r->cmos[i];
}

/* Registers A and B start, stop and restart the clock: freeze or take over the time bytes on the way. */
static void write_control(struct rtc *r, unsigned i, uint8_t v)
{
	bool ran = running(r), divided = divider_runs(r);
	int64_t ns = now_ns(r), fraction = ns - floor_div(ns, SECOND) * SECOND;

	catch_up(r);
	if (ran)
		show_time(r, now_s(r));
	if (i == REG_B && (v & B_SET))
		v &= (uint8_t)~B_UIE;
	if (i == REG_A)
		r->cmos[i] = v & 0x7f;
	else
		r->cmos[i] = v;
	/* a released divider chain updates after half a second; otherwise the phase was kept while SET held the time */
	if (!ran && divider_runs(r) && !divided) {
		r->offset_ns += FIRST_UPDATE_NS - fraction;
		fraction = FIRST_UPDATE_NS;
	}
	if (!ran && running(r))
		set_time(r, fraction);
	settle(r);
}

static void write_cmos(struct rtc *r, unsigned i, uint8_t v)
{
	int64_t ns;

	switch (i) {
	case REG_A:
	case REG_B:
		write_control(r, i, v);
		return;
	case REG_C:
	case REG_D:
		return;
	case SECONDS_ALARM:
	case MINUTES_ALARM:
	case HOURS_ALARM:
		catch_up(r);
		r->cmos[i] = v;
		settle(r);
		return;
	}
	if (!is_time(i) || !running(r)) {
		r->cmos[i] = v;
		return;
	}
	catch_up(r);
	ns = now_ns(r);
	show_time(r, floor_div(ns, SECOND));
	r->cmos[i] = v;
	if (i != WEEKDAY)
		set_time(r, ns - floor_div(ns, SECOND) * SECOND);
	settle(r);
}

static uint64_t read(void *ctx, uint64_t off, unsigned size)
{
	struct rtc *r = ctx;

	if (off)
		return read_cmos(r, r->index);
	return size > 1 ? 0xffu | (unsigned)read_cmos(r, r->index) << 8 : 0xff;	/* the index cannot be read back */
}

static void write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct rtc *r = ctx;

	if (!off) {
		r->index = val & 0x7f;	/* bit 7 gates NMI, which nothing here raises */
		if (size == 1)
			return;
		val >>= 8;
	}
	write_cmos(r, r->index, (uint8_t)val);
}

const struct bus_ops rtc_ops = { .read = read, .write = write };

void rtc_reset(struct rtc *r)
{
	r->cmos[REG_B] &= (uint8_t)~(B_PIE | B_AIE | B_UIE | B_SQWE);
	r->cmos[REG_C] = 0;
	r->index = 0;
	settle(r);
}

void rtc_init(struct rtc *r, const struct rtc_config *config)
{
	*r = (struct rtc){ .config = *config, .timer = { .fire = fire, .ctx = r } };
	r->offset_ns = config->zone_s * SECOND;
	r->cmos[REG_A] = 0x26;
	r->cmos[REG_B] = B_24H;
	r->cmos[REG_D] = D_VALID;
	r->seen_s = now_s(r);
	r->seen_tick = tick_of(clock_now(config->clock));
	show_time(r, r->seen_s);
	rtc_set_equipment(r, false);
	rtc_set_boot_order(r, RTC_BOOT_DISK, RTC_BOOT_CD, RTC_BOOT_NONE);
	rtc_reset(r);
}

void rtc_free(struct rtc *r)
{
	clock_disarm(r->config.clock, &r->timer);
}

int32_t rtc_local_zone(struct clock *clock)
{
	time_t t = floor_div(clock_wall(clock), SECOND);
	struct tm tm;

	return localtime_r(&t, &tm) ? (int32_t)tm.tm_gmtoff : 0;
}

/* ---- what firmware looks up */

static uint16_t units(uint64_t bytes, uint64_t above, uint64_t unit)
{
	uint64_t n = bytes > above ? (bytes - above) / unit : 0;

	return (uint16_t)(n > 0xffff ? 0xffff : n);
}

void rtc_set_memory(struct rtc *r, uint64_t low, uint64_t high)
{
	uint64_t above = high >> 16 > 0xffffff ? 0xffffff : high >> 16;

	put_le16(r->cmos + 0x15, 640);				/* base memory, KiB */
	put_le16(r->cmos + 0x17, units(low, 1 << 20, 1 << 10));	/* above 1 MiB, KiB */
	put_le16(r->cmos + 0x30, units(low, 1 << 20, 1 << 10));
	put_le16(r->cmos + 0x34, units(low, 16 << 20, 1 << 16));	/* above 16 MiB, 64 KiB */
	r->cmos[0x5b] = (uint8_t)above;				/* above 4 GiB, 64 KiB */
	r->cmos[0x5c] = (uint8_t)(above >> 8);
	r->cmos[0x5d] = (uint8_t)(above >> 16);
}

void rtc_set_cpus(struct rtc *r, unsigned count)
{
	r->cmos[0x5f] = (uint8_t)(count - 1);
}

void rtc_set_boot_order(struct rtc *r, enum rtc_boot first, enum rtc_boot second, enum rtc_boot third)
{
	r->cmos[0x3d] = (uint8_t)(second << 4 | first);
	r->cmos[0x38] = (uint8_t)(third << 4 | 1);	/* bit 0: no floppy signature check */
}

void rtc_set_equipment(struct rtc *r, bool mouse)
{
	r->cmos[0x10] = 0;
	r->cmos[0x14] = 0x02 | (mouse ? 0x04 : 0);
}

void rtc_set_byte(struct rtc *r, unsigned index, uint8_t val)
{
	if (index > REG_D && index < RTC_CMOS && index != CENTURY)
		r->cmos[index] = val;
}
