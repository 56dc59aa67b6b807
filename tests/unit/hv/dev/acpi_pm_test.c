/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/acpi_pm.h"
#include "tests/unit/hv/fake_clock.h"
#include "tests/unit/suite.h"

#define SECOND 1000000000ull
#define HALF_NS (8388608ull * SECOND / ACPI_PM_TIMER_HZ)	/* 2^23 ticks */

struct rig {
	struct fake_clock clock;
	struct acpi_pm pm;
	int level;
	unsigned rises, offs;
};

static void set_line(void *ctx, int level)
{
	struct rig *r = ctx;

	r->rises += level && !r->level;
	r->level = level;
}

static void on_off(void *ctx)
{
	((struct rig *)ctx)->offs++;
}

static void setup_as(struct rig *r, enum acpi_pm_variant variant, uint8_t s5)
{
	struct acpi_pm_config c = {
		.variant = variant, .clock = &r->clock.clock, .sci = { set_line, r }, .s5_type = s5, .power_off = on_off, .ctx = r,
	};

	memset(r, 0, sizeof *r);
	fake_clock_init(&r->clock);
	r->clock.now = 0;
	acpi_pm_init(&r->pm, &c);
}

static void setup(struct rig *r) { setup_as(r, ACPI_PM_ICH9, 7); }

static uint64_t in(struct rig *r, unsigned off, unsigned size)
{
	return acpi_pm_ops.read(&r->pm, off, size) & (size == 8 ? ~0ull : (1ull << 8 * size) - 1);
}

static void out(struct rig *r, unsigned off, unsigned size, uint64_t v) { acpi_pm_ops.write(&r->pm, off, size, v); }

static void timer_counts_and_wraps_at_24_bits(void)
{
	struct rig r;

	setup(&r);
	check_eq(in(&r, 8, 4), 0);
	fake_clock_advance(&r.clock, SECOND);
	check_eq(in(&r, 8, 4), 3579545);
	fake_clock_advance(&r.clock, 4 * SECOND);
	check_eq(in(&r, 8, 4), 5 * 3579545 & 0xffffff);
	out(&r, 8, 4, 0);	/* read only */
	check_eq(in(&r, 8, 4), 5 * 3579545 & 0xffffff);
	fake_clock_advance(&r.clock, 100000000ull * SECOND);	/* three years: no overflow in between */
	check_eq(in(&r, 8, 4), 100000005ull * 3579545 & 0xffffff);
	check_eq(in(&r, 9, 1), (100000005ull * 3579545 & 0xffffff) >> 8 & 0xff);
}

static void timer_overflow_interrupts_only_when_enabled(void)
{
	struct rig r;

	setup(&r);
	fake_clock_advance(&r.clock, HALF_NS + 1000);
	check_eq(r.clock.fired, 0);
	check_eq(in(&r, 0, 2), 1);	/* but the status shows it */
	check_eq(r.level, 0);
	out(&r, 0, 2, 1);
	check_eq(in(&r, 0, 2), 0);
	out(&r, 2, 2, 1);
	fake_clock_advance(&r.clock, HALF_NS - 3000);
	check_eq(r.level, 0);
	fake_clock_advance(&r.clock, 3000);
	check_eq(r.level, 1);
	check_eq(r.clock.count, 0);	/* no timer until it is acknowledged */
	out(&r, 0, 2, 1);
	check_eq(r.level, 0);
	check_eq(r.clock.count, 1);
	out(&r, 2, 2, 0);
	check_eq(r.clock.count, 0);
}

static void power_button(void)
{
	struct rig r;

	setup(&r);
	check(!acpi_pm_power_button(&r.pm));
	check_eq(r.level, 0);
	out(&r, 2, 2, 0x0100);
	check_eq(r.level, 1);
	check_eq(in(&r, 0, 4), 0x01000100);
	out(&r, 1, 1, 1);
	check_eq(r.level, 0);
	check(acpi_pm_power_button(&r.pm));
	check_eq(r.level, 1);
}

static void soft_off(void)
{
	struct rig r;

	setup(&r);
	out(&r, 4, 2, 0x2000 | 5 << 10);	/* S3 of real hardware: not offered */
	check_eq(r.offs, 0);
	check_eq(in(&r, 0, 2), 0x8000);		/* it woke at once */
	out(&r, 4, 2, 7 << 10);
	check_eq(r.offs, 0);
	out(&r, 4, 4, 0x2000 | 7 << 10);
	check_eq(r.offs, 1);
	setup_as(&r, ACPI_PM_PIIX4, 0);
	out(&r, 5, 1, 0x20);
	check_eq(r.offs, 1);
}

static void acpi_mode_cannot_be_left(void)
{
	struct rig r;

	setup(&r);
	check_eq(in(&r, 4, 2), 1);
	out(&r, 4, 2, 0);
	check_eq(in(&r, 4, 2), 1);
	out(&r, 4, 2, 0x1c02);
	check_eq(in(&r, 4, 2), 0x1c03);
}

static void firmware_sees_system_management_taken_care_of(void)
{
	struct rig r;

	setup(&r);
	check_eq(in(&r, 0x30, 4), 0x20);
	out(&r, 0x30, 4, 0x80000001);
	check_eq(in(&r, 0x30, 4), 0x80000021);
	out(&r, 0x34, 4, 0xffffffff);
	check_eq(in(&r, 0x34, 4), 0);
}

static void general_purpose_events(void)
{
	struct rig r;

	setup(&r);
	acpi_pm_raise_gpe(&r.pm, 33);
	acpi_pm_raise_gpe(&r.pm, 64);
	check_eq(in(&r, 0x20, 8), 1ull << 33);
	check_eq(r.level, 0);
	out(&r, 0x2c, 1, 2);
	check_eq(r.level, 1);
	check_eq(in(&r, 0x28, 8), 1ull << 33);
	out(&r, 0x24, 1, 2);
	check_eq(r.level, 0);
	check_eq(in(&r, 0x20, 8), 0);
}

static void piix4_events_have_their_own_ports(void)
{
	struct rig r;

	setup_as(&r, ACPI_PM_PIIX4, 0);
	acpi_pm_raise_gpe(&r.pm, 1);
	acpi_pm_raise_gpe(&r.pm, 16);
	check_eq(acpi_pm_gpe_ops.read(&r.pm, 0, 4) & 0xffffffff, 2);
	acpi_pm_gpe_ops.write(&r.pm, 2, 2, 2);
	check_eq(r.level, 1);
	check_eq(acpi_pm_gpe_ops.read(&r.pm, 2, 1) & 0xff, 2);
	acpi_pm_gpe_ops.write(&r.pm, 0, 1, 2);
	check_eq(r.level, 0);
	out(&r, 0x28, 4, 0x12345678);	/* GLBCTL */
	check_eq(in(&r, 0x28, 4), 0x12345678);
}

static void watchdog_registers_are_sane(void)
{
	struct rig r;

	setup(&r);
	check_eq(in(&r, 0x60, 2), 4);
	check_eq(in(&r, 0x64, 4), 0);
	check_eq(in(&r, 0x6a, 2), 8);
	out(&r, 0x68, 2, 0x0800);
	check_eq(in(&r, 0x68, 2), 0x0800);
	out(&r, 0x72, 2, 30);
	out(&r, 0x60, 2, 1);
	check_eq(in(&r, 0x60, 2), 30);
	acpi_pm_reset(&r.pm);
	check_eq(in(&r, 0x72, 2), 4);
}

static void two_blocks_do_not_share_events(void)
{
	static struct rig a, b;

	setup(&a);
	setup_as(&b, ACPI_PM_PIIX4, 0);
	out(&a, 2, 2, 0x0100);
	out(&b, 2, 2, 0x0100);
	acpi_pm_power_button(&a.pm);
	check_eq(a.level, 1);
	check_eq(b.level, 0);
}

static void every_offset_and_size_is_harmless(void)
{
	for (unsigned variant = 0; variant < 2; variant++) {
		unsigned ports = variant == ACPI_PM_ICH9 ? ACPI_PM_ICH9_PORTS : ACPI_PM_PIIX4_PORTS;
		struct rig r;

		setup_as(&r, variant, 7);
		for (unsigned size = 1; size <= 8; size *= 2)
			for (unsigned off = 0; off + size <= ports; off++)
				for (unsigned v = 0; v < 256; v += 15) {
					out(&r, off, size, v * 0x0101010101010101ull);
					in(&r, off, size);
					fake_clock_advance(&r.clock, SECOND);
				}
		for (unsigned size = 1; size <= 4; size *= 2)
			for (unsigned off = 0; off + size <= ACPI_PM_GPE_PORTS; off++) {
				acpi_pm_gpe_ops.write(&r.pm, off, size, ~0ull);
				acpi_pm_gpe_ops.read(&r.pm, off, size);
			}
		acpi_pm_free(&r.pm);
		check_eq(r.clock.count, 0);
	}
}

static const struct test tests[] = {
	{ "timer counts and wraps at 24 bits", timer_counts_and_wraps_at_24_bits },
	{ "timer overflow interrupts only when enabled", timer_overflow_interrupts_only_when_enabled },
	{ "power button", power_button },
	{ "soft off", soft_off },
	{ "ACPI mode cannot be left", acpi_mode_cannot_be_left },
	{ "firmware sees system management taken care of", firmware_sees_system_management_taken_care_of },
	{ "general purpose events", general_purpose_events },
	{ "PIIX4 events have their own ports", piix4_events_have_their_own_ports },
	{ "watchdog registers are sane", watchdog_registers_are_sane },
	{ "two blocks do not share events", two_blocks_do_not_share_events },
	{ "every offset and size is harmless", every_offset_and_size_is_harmless },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_acpi_pm = { tests };
