/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small chips against a hostile guest. Byte 0 chooses the chip; then ops: what (1), offset (1), size and kind (1), and
 * for writes the value (as many bytes as the size). Time moves by op too.
 */
#include <stdlib.h>
#include "hv/dev/acpi_pm.h"
#include "hv/dev/debugport.h"
#include "hv/dev/i8042.h"
#include "hv/dev/rtc.h"
#include "hv/dev/smbus.h"
#include "hv/dev/sysport.h"
#include "hv/dev/uart.h"
#include "lib/buf.h"
#include "tests/unit/hv/fake_clock.h"

enum op { READ, WRITE, ADVANCE, INJECT, RESET, OPS };
enum { RANGES = 8 };

struct range { const struct bus_ops *ops; void *ctx; unsigned len; };

struct rig {
	struct fake_clock clock;
	struct range range[RANGES];
	unsigned ranges;
	void (*inject)(struct rig *r, struct rbuf *in);
	void (*reset)(struct rig *r);
	void (*end)(struct rig *r);
	int level;
	unsigned calls;
	union {
		struct uart uart;
		struct rtc rtc;
		struct i8042 i8042;
		struct acpi_pm pm;
		struct debugport debug;
		struct sysport sys;
		struct { struct bus ports, mmio; struct mem mem; struct pci_host host; struct smbus s; } smb;
	};
};

static void add(struct rig *r, const struct bus_ops *ops, void *ctx, unsigned len)
{
	r->range[r->ranges++] = (struct range){ ops, ctx, len };
}

static void set_line(void *ctx, int level) { ((struct rig *)ctx)->level = level; }
static void on_call(void *ctx) { ((struct rig *)ctx)->calls++; }
static void on_reset(void *ctx, bool hard) { ((struct rig *)ctx)->calls++; }
static void on_tx(void *ctx, const uint8_t *buf, size_t n) { ((struct rig *)ctx)->calls += buf[n - 1]; }
static void no_inject(struct rig *r, struct rbuf *in) { }
static void no_end(struct rig *r) { }

/* ---- uart */

static void uart_more(void *ctx)
{
	uart_receive(&((struct rig *)ctx)->uart, (const uint8_t *)"0123456789abcdefghij", 20);
}

static void uart_inject(struct rig *r, struct rbuf *in)
{
	uint8_t what = rbuf_u8(in), text[32] = { what };

	if (what & 0x80)
		uart_receive_break(&r->uart);
	else
		uart_receive(&r->uart, text, what & 31);
}

static void uart_again(struct rig *r) { uart_reset(&r->uart); }
static void uart_end(struct rig *r) { uart_free(&r->uart); }

static void uart_start(struct rig *r)
{
	struct uart_config c = { .clock = &r->clock.clock, .irq = { set_line, r }, .tx = on_tx, .rx_ready = uart_more, .ctx = r };

	uart_init(&r->uart, &c);
	add(r, &uart_ops, &r->uart, UART_PORTS);
	r->inject = uart_inject;
	r->reset = uart_again;
	r->end = uart_end;
}

/* ---- rtc */

static void rtc_inject(struct rig *r, struct rbuf *in)
{
	/* the host's clock is set, at most to where an rtc can follow */
	r->clock.wall = (int64_t)(rbuf_le32(in)) * 1000000000;
}

static void rtc_again(struct rig *r) { rtc_reset(&r->rtc); }
static void rtc_end(struct rig *r) { rtc_free(&r->rtc); }

static void rtc_start(struct rig *r)
{
	struct rtc_config c = { .clock = &r->clock.clock, .irq = { set_line, r }, .zone_s = 3600 };

	rtc_init(&r->rtc, &c);
	add(r, &rtc_ops, &r->rtc, 2);
	r->inject = rtc_inject;
	r->reset = rtc_again;
	r->end = rtc_end;
}

/* ---- i8042 */

static void i8042_inject(struct rig *r, struct rbuf *in)
{
	uint16_t code = rbuf_le16(in);

	if (code & 0x100)
		i8042_mouse(&r->i8042, (int)rbuf_le32(in), (int)rbuf_le32(in), (int8_t)code, rbuf_u8(in));
	else
		i8042_key(&r->i8042, code, code & 0x200);
}

static void i8042_again(struct rig *r) { i8042_reset(&r->i8042); }

static void i8042_start(struct rig *r, bool devices)
{
	struct i8042_config c = {
		.keyboard_irq = { set_line, r }, .mouse_irq = { set_line, r }, .keyboard = devices, .mouse = devices,
		.reset = on_call, .ctx = r,
	};

	i8042_init(&r->i8042, &c);
	add(r, &i8042_data_ops, &r->i8042, 1);
	add(r, &i8042_command_ops, &r->i8042, 1);
	r->inject = i8042_inject;
	r->reset = i8042_again;
}

/* ---- acpi_pm */

static void pm_inject(struct rig *r, struct rbuf *in)
{
	uint8_t what = rbuf_u8(in);

	if (what == 0xff)
		acpi_pm_power_button(&r->pm);
	else
		acpi_pm_raise_gpe(&r->pm, what);
}

static void pm_again(struct rig *r) { acpi_pm_reset(&r->pm); }
static void pm_end(struct rig *r) { acpi_pm_free(&r->pm); }

static void pm_start(struct rig *r, enum acpi_pm_variant variant)
{
	struct acpi_pm_config c = {
		.variant = variant, .clock = &r->clock.clock, .sci = { set_line, r }, .s5_type = 7, .power_off = on_call, .ctx = r,
	};

	acpi_pm_init(&r->pm, &c);
	add(r, &acpi_pm_ops, &r->pm, variant == ACPI_PM_ICH9 ? ACPI_PM_ICH9_PORTS : ACPI_PM_PIIX4_PORTS);
	add(r, &acpi_pm_gpe_ops, &r->pm, ACPI_PM_GPE_PORTS);
	r->inject = pm_inject;
	r->reset = pm_again;
	r->end = pm_end;
}

/* ---- ports */

static void ports_again(struct rig *r) { sysport_reset(&r->sys); }

static void ports_start(struct rig *r)
{
	struct sysport_config c = { .reset = on_reset, .ctx = r };

	sysport_init(&r->sys, &c);
	for (unsigned i = 0; i < SYSPORT_RANGES; i++)
		add(r, sysport_ranges[i].ops, &r->sys, sysport_ranges[i].len);
	r->reset = ports_again;
}

static void debug_again(struct rig *r) { debugport_reset(&r->debug); }

static void debug_start(struct rig *r)
{
	debugport_init(&r->debug, &(struct debugport_config){ .tx = on_tx, .ctx = r });
	add(r, &debugport_console_ops, &r->debug, 1);
	add(r, &debugport_post_ops, &r->debug, 1);
	r->reset = debug_again;
}

/* ---- smbus, behind its config space */

static void on_intx(void *ctx, uint8_t devfn, unsigned pin, int level) { ((struct rig *)ctx)->level = level; }
static void on_msi(void *ctx, uint64_t addr, uint32_t data) { abort(); }

static const struct pci_host_ops host_ops = { .intx = on_intx, .msi = on_msi };

static uint64_t config_read(void *ctx, uint64_t off, unsigned size)
{
	return pci_host_config_read(ctx, 0, PCI_DEVFN(0x1f, 3), (unsigned)off, size > 4 ? 4 : size);
}

static void config_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	pci_host_config_write(ctx, 0, PCI_DEVFN(0x1f, 3), (unsigned)off, size > 4 ? 4 : size, val);
}

static uint64_t bar_read(void *ctx, uint64_t off, unsigned size) { return bus_read(ctx, 0xb100 + off, size); }
static void bar_write(void *ctx, uint64_t off, unsigned size, uint64_t val) { bus_write(ctx, 0xb100 + off, size, val); }

static const struct bus_ops config_ops = { .read = config_read, .write = config_write };
static const struct bus_ops bar_ops = { .read = bar_read, .write = bar_write };

static void smbus_again(struct rig *r) { pci_host_reset(&r->smb.host); }

static void smbus_start(struct rig *r)
{
	pci_host_init(&r->smb.host, &host_ops, r, &r->smb.ports, &r->smb.mmio, &r->smb.mem);
	smbus_init(&r->smb.s, &smbus_id);
	if (pci_bus_attach(&r->smb.host.root, &r->smb.s.pci, 0x1f, 3))
		abort();
	config_write(&r->smb.host, PCI_BAR0 + 16, 4, 0xb100);
	config_write(&r->smb.host, PCI_COMMAND, 2, PCI_COMMAND_IO);
	config_write(&r->smb.host, 0x40, 1, 1);
	add(r, &config_ops, &r->smb.host, PCI_CONFIG_SIZE);
	add(r, &bar_ops, &r->smb.ports, SMBUS_PORTS);
	r->reset = smbus_again;
}

static void start(struct rig *r, uint8_t which)
{
	switch (which % 9) {
	case 0:
		uart_start(r);
		break;
	case 1:
		rtc_start(r);
		break;
	case 2: case 3:
		i8042_start(r, which % 9 == 2);
		break;
	case 4: case 5:
		pm_start(r, which % 9 == 4 ? ACPI_PM_ICH9 : ACPI_PM_PIIX4);
		break;
	case 6:
		ports_start(r);
		break;
	case 7:
		debug_start(r);
		break;
	case 8:
		smbus_start(r);
		break;
	}
}

/* One access that fits one of the chip's ranges, as the bus promises. */
static void access(struct rig *r, struct rbuf *in, bool write)
{
	uint8_t kind = rbuf_u8(in), at = rbuf_u8(in);
	const struct range *a = &r->range[(kind >> 2) % r->ranges];
	unsigned size = 1u << (kind & 3), off;
	uint64_t val = 0;

	while (size > a->len)
		size /= 2;
	off = at % (a->len - size + 1);
	if (write) {
		rbuf_copy(in, &val, size);
		a->ops->write(a->ctx, off, size, val);
	} else {
		r->calls += (unsigned)a->ops->read(a->ctx, off, size);
	}
}

static void step(struct rig *r, struct rbuf *in)
{
	switch (rbuf_u8(in) % OPS) {
	case READ:
		access(r, in, false);
		break;
	case WRITE:
		access(r, in, true);
		break;
	case ADVANCE:
		/* no chip may keep firing: fake_clock gives up at 100,000, far more than any chip needs for 16 s */
		r->clock.fired = 0;
		fake_clock_advance(&r->clock, (uint64_t)rbuf_le16(in) << (rbuf_u8(in) % 19));
		if (r->clock.fired > 1000)
			abort();
		break;
	case INJECT:
		r->inject(r, in);
		break;
	case RESET:
		r->reset(r);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rbuf in = rbuf_of(data, size);
	struct rig *r = calloc(1, sizeof *r);

	fake_clock_init(&r->clock);
	r->clock.wall = 1709251199000000000;
	r->inject = no_inject;
	r->end = no_end;
	start(r, rbuf_u8(&in));
	for (unsigned n = 0; n < 2000 && rbuf_left(&in) && !in.failed; n++)
		step(r, &in);
	r->end(r);
	if (r->clock.count)
		abort();	/* a timer outlived its chip */
	free(r);
	return 0;
}
