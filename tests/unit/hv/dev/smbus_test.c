/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/smbus.h"
#include "tests/unit/suite.h"

struct rig {
	struct bus ports, mmio;
	struct mem mem;
	struct pci_host host;
	struct smbus s;
	int level;
};

static void on_intx(void *ctx, uint8_t devfn, unsigned pin, int level)
{
	struct rig *r = ctx;

	check_eq(devfn, PCI_DEVFN(0x1f, 3));
	check_eq(pin, 0);
	r->level = level;
}

static void on_msi(void *ctx, uint64_t addr, uint32_t data)
{
	check(false);
}

static const struct pci_host_ops host_ops = { .intx = on_intx, .msi = on_msi };

static void config_out(struct rig *r, unsigned off, unsigned size, uint64_t v)
{
	pci_host_config_write(&r->host, 0, PCI_DEVFN(0x1f, 3), off, size, v);
}

static uint64_t config_in(struct rig *r, unsigned off, unsigned size)
{
	return pci_host_config_read(&r->host, 0, PCI_DEVFN(0x1f, 3), off, size) & ((1ull << 8 * size) - 1);
}

static void setup(struct rig *r)
{
	struct pci_id id = smbus_id;

	memset(r, 0, sizeof *r);
	pci_host_init(&r->host, &host_ops, r, &r->ports, &r->mmio, &r->mem);
	id.subsystem_vendor = 0x1af4;
	id.subsystem_device = 0x1100;
	smbus_init(&r->s, &id);
	check_eq(pci_bus_attach(&r->host.root, &r->s.pci, 0x1f, 3), 0);
	config_out(r, PCI_BAR0 + 16, 4, 0xb100);
	config_out(r, PCI_COMMAND, 2, PCI_COMMAND_IO);
	config_out(r, 0x40, 1, 1);
}

static unsigned in(struct rig *r, unsigned off) { return (unsigned)bus_read(&r->ports, 0xb100 + off, 1) & 0xff; }
static void out(struct rig *r, unsigned off, unsigned v) { bus_write(&r->ports, 0xb100 + off, 1, v); }

static void config_space_reads_as_an_ich9(void)
{
	static struct rig r;

	setup(&r);
	check_eq(config_in(&r, 0, 4), 0x29308086);
	check_eq(config_in(&r, 8, 4), 0x0c050002);
	check_eq(config_in(&r, 0x2c, 4), 0x11001af4);
	check_eq(config_in(&r, 0x3c, 2), 0x0100);
	config_out(&r, 0x20, 4, 0xffffffff);
	check_eq(config_in(&r, 0x20, 4), 0xffffffc1);
	config_out(&r, 0x40, 1, 0xff);
	check_eq(config_in(&r, 0x40, 4), 7);
}

static void nothing_answers_before_the_host_is_enabled(void)
{
	static struct rig r;

	setup(&r);
	config_out(&r, 0x40, 1, 0);
	check_eq(in(&r, 0), 0xff);
	out(&r, 3, 0x12);
	config_out(&r, 0x40, 1, 1);
	check_eq(in(&r, 3), 0);
	check_eq(in(&r, 0), 0);
}

/* i2c-i801: check, start, interrupt, status by interrupt handler, clear */
static void each_address_refuses_with_an_interrupt(void)
{
	static struct rig r;

	setup(&r);
	for (unsigned addr = 0; addr < 128; addr++) {
		check_eq(in(&r, 0), 0);
		out(&r, 4, addr << 1 | 1);
		out(&r, 3, 0);
		out(&r, 2, 0x40 | 2 << 2 | 1);
		check_eq(r.level, 1);
		check(config_in(&r, PCI_STATUS, 2) & PCI_STATUS_INTX);
		check_eq(in(&r, 0), 4);
		check_eq(in(&r, 2) & 0x40, 0);
		out(&r, 0, 4);
		check_eq(r.level, 0);
	}
	check_eq(r.s.transactions, 128);
}

static void polled_it_stays_silent(void)
{
	static struct rig r;

	setup(&r);
	out(&r, 2, 0x48);
	check_eq(r.level, 0);
	check_eq(in(&r, 0), 4);
	out(&r, 0, 0xff);
	out(&r, 2, 0x42);	/* kill */
	check_eq(in(&r, 0), 0x10);
}

static void block_buffer_rewinds(void)
{
	static struct rig r;

	setup(&r);
	in(&r, 2);
	for (unsigned i = 0; i < 32; i++)
		out(&r, 7, i);
	in(&r, 2);
	for (unsigned i = 0; i < 40; i++)
		check_eq(in(&r, 7), i % 32);
}

static void reset_clears_it(void)
{
	static struct rig r;

	setup(&r);
	out(&r, 2, 0x41);
	check_eq(r.level, 1);
	pci_host_reset(&r.host);
	check_eq(r.level, 0);
	check_eq(config_in(&r, 0x40, 1), 0);
}

static void every_offset_and_size_is_harmless(void)
{
	static struct rig r;

	setup(&r);
	for (unsigned size = 1; size <= 8; size *= 2)
		for (unsigned off = 0; off < SMBUS_PORTS; off++)
			for (unsigned v = 0; v < 256; v += 15) {
				bus_write(&r.ports, 0xb100 + off, size, v * 0x0101010101010101ull);
				bus_read(&r.ports, 0xb100 + off, size);
			}
}

static const struct test tests[] = {
	{ "config space reads as an ICH9's", config_space_reads_as_an_ich9 },
	{ "nothing answers before the host is enabled", nothing_answers_before_the_host_is_enabled },
	{ "each address refuses with an interrupt", each_address_refuses_with_an_interrupt },
	{ "polled it stays silent", polled_it_stays_silent },
	{ "block buffer rewinds", block_buffer_rewinds },
	{ "reset clears it", reset_clears_it },
	{ "every offset and size is harmless", every_offset_and_size_is_harmless },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_smbus = { tests };
