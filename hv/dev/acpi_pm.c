/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/acpi_pm.h"
#include "lib/bits.h"
#include "lib/log.h"

enum {
	PM1_TIMER = 0x0001, PM1_MASTER = 0x0010, PM1_GLOBAL = 0x0020, PM1_BUTTON = 0x0100, PM1_SLEEP_BUTTON = 0x0200,
	PM1_RTC = 0x0400, PM1_WAKE = 0x8000,
	PM1_SOURCES = PM1_TIMER | PM1_GLOBAL | PM1_BUTTON | PM1_SLEEP_BUTTON | PM1_RTC,
	PM1_STICKY = PM1_SOURCES | PM1_MASTER | PM1_WAKE,
};
enum { CONTROL_SCI = 0x0001, CONTROL_KEEP = 0x1c02, CONTROL_SLEEP = 0x2000, CONTROL_TYPE_SHIFT = 10 };
enum { TIMER = 0x08, TIMER_MASK = 0xffffff, TIMER_HALF = 23 };
enum { ICH9_GPE_STATUS = 0x20, ICH9_GPE_ENABLE = 0x28, ICH9_SMI_EN = 0x30, ICH9_SMI_STS = 0x34, ICH9_TCO = 0x60 };
enum { SMI_EN_APMC = 0x20 };
enum { TCO_RELOAD = 0x60, TCO1_STATUS = 0x64, TCO2_STATUS = 0x66, TCO2_CONTROL = 0x6a, TCO_IRQ = 0x70, TCO_TIMER = 0x72 };

static bool ich9(const struct acpi_pm *pm) { return pm->config.variant == ACPI_PM_ICH9; }

/* ---- timer */

static uint64_t ticks(const struct acpi_pm *pm)
{
	uint64_t ns = clock_now(pm->config.clock);

	return ns / 1000000000 * ACPI_PM_TIMER_HZ + ns % 1000000000 * ACPI_PM_TIMER_HZ / 1000000000;
}

static uint64_t ns_of(uint64_t t)
{
	return t / ACPI_PM_TIMER_HZ * 1000000000 + (t % ACPI_PM_TIMER_HZ * 1000000000 + ACPI_PM_TIMER_HZ - 1) / ACPI_PM_TIMER_HZ;
}

/* TMR_STS: the counter's top bit changed since it was last cleared. */
static void catch_up(struct acpi_pm *pm)
{
	uint64_t half = ticks(pm) >> TIMER_HALF;

	if (half != pm->half)
		pm->status |= PM1_TIMER;
	pm->half = half;
}

static void raise(struct acpi_pm *pm)
{
	catch_up(pm);
	irq_set(&pm->config.sci, (pm->status & pm->enable & PM1_SOURCES) || (pm->gpe_status & pm->gpe_enable));
	/* nobody waits for the overflow unless it interrupts: no timer then */
	if ((pm->enable & PM1_TIMER) && !(pm->status & PM1_TIMER))
		clock_arm(pm->config.clock, &pm->overflow, ns_of((pm->half + 1) << TIMER_HALF));
	else
		clock_disarm(pm->config.clock, &pm->overflow);
}

static void overflow(void *ctx)
{
	raise(ctx);
}

/* ---- registers, byte by byte; the timer is read once an access */

static uint8_t read_file(const struct acpi_pm *pm, unsigned off)
{
	if (!ich9(pm))
		return pm->file[off];
	if (off < 0x10 || (off >= 0x38 && off < ICH9_TCO))
		return 0;
	if (off == TCO_RELOAD || off == TCO_RELOAD + 1)
		return pm->file[TCO_TIMER + off - TCO_RELOAD];	/* the count: it stands at its start */
	if (off == ICH9_SMI_EN)
		return pm->file[off] | SMI_EN_APMC;
	return pm->file[off];
}

static uint8_t read8(struct acpi_pm *pm, unsigned off, uint32_t timer)
{
	unsigned shift = (off & 1) * 8;

	switch (off & ~1u) {
	case 0x00:
		return (uint8_t)(pm->status >> shift);
	case 0x02:
		return (uint8_t)(pm->enable >> shift);
	case 0x04:
		return (uint8_t)((pm->control | CONTROL_SCI) >> shift);
	case 0x06:
		return 0;
	case TIMER: case TIMER + 2:
		return (uint8_t)(timer >> (off & 3) * 8);
	}
	if (ich9(pm) && off >= ICH9_GPE_STATUS && off < ICH9_GPE_ENABLE)
		return (uint8_t)(pm->gpe_status >> (off & 7) * 8);
	if (ich9(pm) && off >= ICH9_GPE_ENABLE && off < ICH9_SMI_EN)
		return (uint8_t)(pm->gpe_enable >> (off & 7) * 8);
	return read_file(pm, off);
}

static void sleep(struct acpi_pm *pm)
{
	unsigned type = pm->control >> CONTROL_TYPE_SHIFT & 7;

	if (type == pm->config.s5_type) {
		pm->config.power_off(pm->config.ctx);
		return;
	}
	log_limited(LOG_WARN, "acpi: the guest asked for sleep type %u, which is not offered; it wakes at once", type);
	pm->status |= PM1_WAKE;
}

static void write_control(struct acpi_pm *pm, unsigned shift, uint8_t v)
{
	unsigned val = (unsigned)v << shift;

	pm->control = (uint16_t)(((pm->control & ~(0xffu << shift)) | val) & CONTROL_KEEP);
	if (val & CONTROL_SLEEP)
		sleep(pm);
}

static void write_file(struct acpi_pm *pm, unsigned off, uint8_t v)
{
	if (!ich9(pm)) {
		pm->file[off] = v;
		return;
	}
	switch (off) {
	case ICH9_SMI_STS: case ICH9_SMI_STS + 1: case ICH9_SMI_STS + 2: case ICH9_SMI_STS + 3:
	case TCO_RELOAD: case TCO_RELOAD + 1:
	case TCO1_STATUS: case TCO1_STATUS + 1: case TCO2_STATUS: case TCO2_STATUS + 1:
		return;		/* nothing sets these, so there is nothing to clear */
	}
	pm->file[off] = v;
}

static void write8(struct acpi_pm *pm, unsigned off, uint8_t v)
{
	unsigned shift = (off & 1) * 8;

	switch (off & ~1u) {
	case 0x00:
		pm->status &= (uint16_t)~((unsigned)v << shift & PM1_STICKY);
		return;
	case 0x02:
		pm->enable = (uint16_t)(((pm->enable & ~(0xffu << shift)) | (unsigned)v << shift) & PM1_SOURCES);
		return;
	case 0x04:
		write_control(pm, shift, v);
		return;
	case 0x06: case TIMER: case TIMER + 2:
		return;
	}
	if (ich9(pm) && off >= ICH9_GPE_STATUS && off < ICH9_GPE_ENABLE)
		pm->gpe_status &= ~((uint64_t)v << (off & 7) * 8);
	else if (ich9(pm) && off >= ICH9_GPE_ENABLE && off < ICH9_SMI_EN)
		pm->gpe_enable = (pm->gpe_enable & ~(0xffull << (off & 7) * 8)) | (uint64_t)v << (off & 7) * 8;
	else
		write_file(pm, off, v);
}

static uint64_t read(void *ctx, uint64_t off, unsigned size)
{
	struct acpi_pm *pm = ctx;
	uint32_t timer = (uint32_t)(ticks(pm) & TIMER_MASK);
	uint64_t v = 0;

	if (!off)
		catch_up(pm);	/* status may be polled without the timer's interrupt */
	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)read8(pm, (unsigned)(off + i) & 127, timer) << (8 * i);
	return v;
}

static void write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct acpi_pm *pm = ctx;

	catch_up(pm);		/* what happened before this write is cleared by it, not after it */
	for (unsigned i = 0; i < size; i++)
		write8(pm, (unsigned)(off + i) & 127, (uint8_t)(val >> (8 * i)));
	raise(pm);
}

static uint64_t gpe_read(void *ctx, uint64_t off, unsigned size)
{
	struct acpi_pm *pm = ctx;

	return (pm->gpe_status | pm->gpe_enable << 16) >> (8 * off);
}

static void gpe_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct acpi_pm *pm = ctx;

	for (unsigned i = 0; i < size; i++) {
		unsigned at = (unsigned)(off + i) & 3, shift = (at & 1) * 8;
		uint64_t v = (val >> (8 * i) & 0xff) << shift;

		if (at < 2)
			pm->gpe_status &= ~v;
		else
			pm->gpe_enable = (pm->gpe_enable & ~(0xffull << shift)) | v;
	}
	raise(pm);
}

const struct bus_ops acpi_pm_ops = { .read = read, .write = write };
const struct bus_ops acpi_pm_gpe_ops = { .read = gpe_read, .write = gpe_write };

bool acpi_pm_power_button(struct acpi_pm *pm)
{
	pm->status |= PM1_BUTTON;
	raise(pm);
	return pm->enable & PM1_BUTTON;
}

void acpi_pm_raise_gpe(struct acpi_pm *pm, unsigned n)
{
	if (n >= (ich9(pm) ? 64 : 16))
		return;
	pm->gpe_status |= BIT64(n);
	raise(pm);
}

void acpi_pm_reset(struct acpi_pm *pm)
{
	pm->status = pm->enable = pm->control = 0;
	pm->gpe_status = pm->gpe_enable = 0;
	memset(pm->file, 0, sizeof pm->file);
	if (ich9(pm)) {
		put_le16(pm->file + TCO2_CONTROL, 0x0008);
		put_le16(pm->file + TCO_IRQ, 0x0003);
		put_le16(pm->file + TCO_TIMER, 0x0004);
	}
	pm->half = ticks(pm) >> TIMER_HALF;
	raise(pm);
}

void acpi_pm_init(struct acpi_pm *pm, const struct acpi_pm_config *config)
{
	*pm = (struct acpi_pm){ .config = *config, .overflow = { .fire = overflow, .ctx = pm } };
	acpi_pm_reset(pm);
}

void acpi_pm_free(struct acpi_pm *pm)
{
	clock_disarm(pm->config.clock, &pm->overflow);
}
