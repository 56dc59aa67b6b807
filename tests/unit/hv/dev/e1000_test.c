/* SPDX-License-Identifier: Apache-2.0 */
/* Registers, EEPROM, PHY and link, interrupts, statistics of the 82540EM; rings are in e1000_ring_test.c. */
#include "tests/unit/hv/dev/e1000_rig.h"
#include "tests/unit/suite.h"

static void looks_like_an_82540em_on_the_bus(void)
{
	struct rig *r = rig_create();
	struct pci_dev *d = e1000_pci(r->nic);

	check_eq(pci_dev_config_read(d, PCI_VENDOR_ID, 4), 0x100e8086);
	check_eq(pci_dev_config_read(d, PCI_REVISION, 4), 0x02000003);
	check_eq(pci_dev_config_read(d, PCI_SUBSYSTEM_VENDOR, 4), 0x11001af4);
	check_eq(pci_dev_config_read(d, PCI_HEADER_TYPE, 1), 0);
	check_eq(pci_dev_config_read(d, PCI_CAP_PTR, 1), 0);
	check_eq(pci_dev_config_read(d, PCI_STATUS, 2) & PCI_STATUS_CAPS, 0);
	check_eq(pci_dev_config_read(d, PCI_INTERRUPT_PIN, 1), 1);
	pci_dev_config_write(d, PCI_BAR0, 4, ~0u);
	pci_dev_config_write(d, PCI_BAR0 + 4, 4, ~0u);
	pci_dev_config_write(d, PCI_ROM, 4, ~0u);
	check_eq(pci_dev_config_read(d, PCI_BAR0, 4), 0xfffe0000);
	check_eq(pci_dev_config_read(d, PCI_BAR0 + 4, 4), 0xffffffc1);
	check_eq(pci_dev_config_read(d, PCI_ROM, 4), 0);
	check_eq(r->port.offload, 0);
	rig_free(r);
}

static uint16_t eerd(struct rig *r, unsigned word)
{
	rig_set(r, EERD, word << 8 | 1);
	check_eq(rig_get(r, EERD) & 0x10, 0x10);
	return (uint16_t)(rig_get(r, EERD) >> 16);
}

static unsigned clock_bits(struct rig *r, unsigned out, unsigned count)
{
	unsigned in = 0, base = rig_get(r, EECD) & ~7u;

	for (unsigned i = count; i--;) {
		unsigned bit = (out >> i & 1) << 2;

		rig_set(r, EECD, base | 2 | bit);
		rig_set(r, EECD, base | 3 | bit);
		in = in << 1 | (rig_get(r, EECD) >> 3 & 1);
		rig_set(r, EECD, base | 2 | bit);
	}
	return in;
}

/* A command of 9 bits, then count more in or out. */
static uint16_t microwire(struct rig *r, unsigned command, unsigned out, unsigned count)
{
	unsigned in;

	rig_set(r, EECD, rig_get(r, EECD) | 0x40);
	check_eq(rig_get(r, EECD) & 0x380, 0x180);	/* granted, present, 64 words */
	rig_set(r, EECD, (rig_get(r, EECD) & ~7u) | 2);
	clock_bits(r, command, 9);
	in = clock_bits(r, out, count);
	rig_set(r, EECD, 0x40);
	rig_set(r, EECD, 0);
	return (uint16_t)in;
}

static void the_eeprom_reads_the_same_both_ways_and_sums_to_baba(void)
{
	struct rig *r = rig_create();
	uint16_t sum = 0;

	for (unsigned i = 0; i < 64; i++) {
		uint16_t w = eerd(r, i);

		sum = (uint16_t)(sum + w);
		check_eq(microwire(r, 6 << 6 | i, 0, 16), w);
	}
	check_eq(sum, 0xbaba);
	check_eq(eerd(r, 0), 0x5452);
	check_eq(eerd(r, 2), 0x0100);
	check_eq(eerd(r, 0x0b), 0x1100);
	check_eq(eerd(r, 0x0d), 0x100e);
	check_eq(eerd(r, 0x0e), 0x8086);
	rig_free(r);
}

static void the_eeprom_is_written_only_when_enabled_and_outlives_reset(void)
{
	struct rig *r = rig_create();

	microwire(r, 5 << 6 | 2, 0x0700, 16);
	check_eq(eerd(r, 2), 0x0100);
	microwire(r, 4 << 6 | 0x30, 0, 0);
	microwire(r, 5 << 6 | 2, 0x0700, 16);
	check_eq(eerd(r, 2), 0x0700);
	microwire(r, 4 << 6, 0, 0);
	microwire(r, 7 << 6 | 2, 0, 0);
	check_eq(eerd(r, 2), 0x0700);
	rig_set(r, CTRL, 1u << 26);
	check_eq(rig_get(r, RAH), 0x80000700);
	rig_free(r);
}

static uint32_t mdic(struct rig *r, unsigned reg)
{
	rig_set(r, MDIC, 2u << 26 | 1u << 21 | reg << 16);
	return rig_get(r, MDIC);
}

static void set_phy(struct rig *r, unsigned reg, unsigned val)
{
	rig_set(r, MDIC, 1u << 26 | 1u << 21 | reg << 16 | val);
}

static void the_phy_is_an_m88e1011(void)
{
	struct rig *r = rig_create();

	check_eq(mdic(r, 2) & 0xffff, 0x0141);
	check_eq(mdic(r, 3) & 0xffff, 0x0c20);
	check_eq(mdic(r, 3) >> 28, 1);				/* ready, no error */
	rig_set(r, MDIC, 2u << 26 | 2u << 21 | 2 << 16);	/* no PHY at that address */
	check_eq(rig_get(r, MDIC) >> 28, 5);
	set_phy(r, 2, 0xffff);
	check_eq(mdic(r, 2) & 0xffff, 0x0141);
	set_phy(r, 4, 0x0101);
	check_eq(mdic(r, 4) & 0xffff, 0x0101);
	set_phy(r, 0, 0x8000);
	check_eq(mdic(r, 4) & 0xffff, 0x0de1);
	check_eq(mdic(r, 0) & 0xffff, 0x1140);
	rig_free(r);
}

static void the_link_comes_up_and_follows_the_cable(void)
{
	struct rig *r = rig_create();

	check_eq(rig_get(r, STATUS) & 2, 0);
	check_eq(rig_get(r, ICR), 0);
	fake_clock_advance(&r->clock, 10000000);
	check_eq(rig_get(r, STATUS) & 0xc3, 0x83);	/* 1000 Mb/s, up, full duplex */
	check_eq(mdic(r, 1) & 0x24, 0x24);		/* link, negotiation complete */
	check_eq(mdic(r, 17) & 0xffff, 0xac00);
	check_eq(rig_get(r, ICR), LSC);
	net_wire_set_carrier(&r->port.port, false);
	check_eq(rig_get(r, STATUS) & 2, 0);
	check_eq(mdic(r, 1) & 0x24, 0);
	check_eq(rig_get(r, ICR), LSC);
	fake_clock_advance(&r->clock, 10000000);
	check_eq(rig_get(r, STATUS) & 2, 0);
	net_wire_set_carrier(&r->port.port, true);
	check_eq(rig_get(r, ICR), 0);
	fake_clock_advance(&r->clock, 10000000);
	check_eq(rig_get(r, ICR), LSC);
	check_eq(rig_get(r, STATUS) & 2, 2);
	set_phy(r, 0, 0x1340);		/* restart negotiation */
	check_eq(rig_get(r, STATUS) & 2, 0);
	check_eq(mdic(r, 0) & 0x0200, 0);
	fake_clock_advance(&r->clock, 10000000);
	check_eq(rig_get(r, ICR), LSC);
	rig_set(r, CTRL, rig_get(r, CTRL) & ~0x40u);	/* SLU off */
	check_eq(rig_get(r, STATUS) & 2, 0);
	check_eq(rig_get(r, ICR), LSC);
	rig_free(r);
}

static void reset_restores_everything_and_reports_the_link(void)
{
	struct rig *r = rig_start();

	rig_set(r, RAL + 8, 0x1234);
	rig_set(r, VFTA, 7);
	rig_set(r, 0x38, 0x9100);
	rig_set(r, ICS, RXT0);
	check_eq(r->line, 1);
	rig_set(r, CTRL, 1u << 26);
	check_eq(r->line, 0);
	check_eq(rig_get(r, CTRL), 0x00140241);
	check_eq(rig_get(r, RAL), 0x00005452);
	check_eq(rig_get(r, RAH), 0x80000100);
	check_eq(rig_get(r, RAL + 8), 0);
	check_eq(rig_get(r, VFTA), 0);
	check_eq(rig_get(r, 0x38), 0x8100);
	check_eq(rig_get(r, IMS), 0);
	check_eq(rig_get(r, RCTL), 0);
	check_eq(rig_get(r, TCTL), 0);
	check_eq(rig_get(r, ICR), 0);
	check_eq(rig_get(r, STATUS) & 2, 2);
	fake_clock_advance(&r->clock, 10000000);
	check_eq(rig_get(r, ICR), LSC);
	rig_free(r);
}

static void the_io_bar_reaches_registers_and_resets(void)
{
	struct rig *r = rig_start();

	bus_write(&r->ports, RIG_IO, 4, RAL);
	check_eq(bus_read(&r->ports, RIG_IO, 4), RAL);
	check_eq(bus_read(&r->ports, RIG_IO + 4, 4), 0x00005452);
	bus_write(&r->ports, RIG_IO + 4, 4, 0xabcd);
	check_eq(rig_get(r, RAL), 0xabcd);
	check_eq(bus_read(&r->ports, RIG_IO + 5, 1), 0xab);
	bus_write(&r->ports, RIG_IO, 4, CTRL);
	bus_write(&r->ports, RIG_IO + 4, 4, 1u << 26);
	check_eq(rig_get(r, RAL), 0x00005452);
	bus_write(&r->ports, RIG_IO, 4, 0x80000000);
	check_eq(bus_read(&r->ports, RIG_IO + 4, 4), 0);
	bus_write(&r->ports, RIG_IO + 4, 4, 1);
	rig_free(r);
}

static void causes_and_masks_drive_the_line(void)
{
	struct rig *r = rig_start();

	rig_set(r, IMC, ~0u);
	check_eq(rig_get(r, IMS), 0);
	rig_set(r, ICS, LSC | RXT0);
	check_eq(r->line, 0);
	rig_set(r, IMS, RXT0);
	check_eq(r->line, 1);
	check_eq(rig_get(r, IMS), RXT0);
	check_eq(rig_get(r, ICS), 0);
	check_eq(rig_get(r, IMC), 0);
	rig_set(r, ICR, RXT0);
	check_eq(r->line, 0);
	check_eq(rig_get(r, ICR), LSC);
	check_eq(rig_get(r, ICR), 0);
	rig_set(r, ICS, RXT0);
	check_eq(r->line, 1);
	rig_set(r, IMC, RXT0);
	check_eq(r->line, 0);
	rig_set(r, IMS, RXT0);
	check_eq(r->line, 1);
	check_eq(rig_get(r, ICR), RXT0);
	check_eq(r->line, 0);
	check_eq(r->edges, 3);
	rig_free(r);
}

static void interrupts_are_throttled_and_none_is_lost(void)
{
	struct rig *r = rig_start();

	rig_set(r, ITR, 488);	/* 8,005 a second */
	fake_clock_advance(&r->clock, 1000000);
	for (unsigned i = 0; i < 10000; i++) {	/* 100 ms of events every 10 us, read as soon as signalled */
		rig_set(r, ICS, RXT0);
		if (r->line)
			check_eq(rig_get(r, ICR), RXT0);
		fake_clock_advance(&r->clock, 10000);
		if (r->line)
			rig_get(r, ICR);
	}
	check(r->edges <= 801);
	check(r->edges >= 700);
	fake_clock_advance(&r->clock, 1000000);
	rig_get(r, ICR);
	r->edges = 0;
	rig_set(r, ICS, RXT0);
	rig_get(r, ICR);
	rig_set(r, ICS, LSC);
	check_eq(r->edges, 1);
	fake_clock_advance(&r->clock, 488 * 256 - 1);
	check_eq(r->line, 0);
	fake_clock_advance(&r->clock, 1);
	check_eq(r->line, 1);
	check_eq(rig_get(r, ICR), LSC);
	rig_set(r, ICS, TXDW);
	check_eq(r->line, 0);
	rig_set(r, ITR, 0);	/* no longer held back */
	check_eq(r->line, 1);
	rig_free(r);
}

static void a_held_back_cause_that_is_read_raises_nothing(void)
{
	struct rig *r = rig_start();

	rig_set(r, ITR, 1000);
	rig_set(r, ICS, RXT0);
	rig_get(r, ICR);
	rig_set(r, ICS, RXT0);
	check_eq(rig_get(r, ICR), RXT0);
	fake_clock_advance(&r->clock, 10000000);
	check_eq(r->line, 0);
	rig_free(r);
}

static void statistics_clear_when_read(void)
{
	struct rig *r = rig_start();
	uint8_t f[2000];
	size_t len = frames_make(f, false, true, 1000);

	check(rig_give(r, f, len));
	memset(f, 0xff, 6);
	check(rig_give(r, f, len));
	check_eq(rig_get(r, TPR), 2);
	check_eq(rig_get(r, TPR), 0);
	check_eq(rig_get(r, GPRC), 2);
	check_eq(rig_get(r, BPRC), 1);
	check_eq(rig_get(r, 0x4070), 2);	/* PRC1522 */
	check_eq(rig_get(r, GORCL), 2 * (len + 4));
	check_eq(rig_get(r, GORCL), 2 * (len + 4));
	check_eq(rig_get(r, GORCH), 0);
	check_eq(rig_get(r, GORCL), 0);
	rig_set(r, GPRC, 77);
	check_eq(rig_get(r, GPRC), 0);
	rig_free(r);
}

static void accesses_of_other_sizes_reach_their_bytes(void)
{
	struct rig *r = rig_start();

	rig_set(r, RAL + 8, 0x44332211);
	rig_set(r, RAH + 8, 0x88776655);
	check_eq(bus_read(&r->mmio, RIG_REGS + RAL + 8, 8), 0x8877665544332211ull);
	check_eq(bus_read(&r->mmio, RIG_REGS + RAL + 9, 1), 0x22);
	check_eq(bus_read(&r->mmio, RIG_REGS + RAL + 10, 4), 0x66554433);
	bus_write(&r->mmio, RIG_REGS + RAL + 9, 2, 0xaabb);
	check_eq(rig_get(r, RAL + 8), 0x44aabb11);
	bus_write(&r->mmio, RIG_REGS + RAL + 8, 8, 0x0102030405060708ull);
	check_eq(rig_get(r, RAH + 8), 0x01020304);
	rig_set(r, ICS, LSC | RXT0);
	bus_write(&r->mmio, RIG_REGS + ICR, 1, RXT0);
	check_eq(rig_get(r, ICR), LSC);
	rig_free(r);
}

static void unknown_registers_read_zero_and_are_counted(void)
{
	struct rig *r = rig_start();

	check_eq(rig_get(r, 0x5f80), 0);
	check_eq(rig_get(r, 0x1fffc), 0);
	rig_set(r, 0x9000, 1);
	check_eq(e1000_faults(r->nic)->unknown_reads, 2);
	check_eq(e1000_faults(r->nic)->unknown_writes, 1);
	rig_free(r);
}

static void every_offset_survives_every_size(void)
{
	static const uint64_t values[] = { 0, ~0ull, 0x5555555555555555, 0x0102040810204080 };
	struct rig *r = rig_start();

	for (unsigned v = 0; v < 4; v++)
		for (unsigned size = 1; size <= 8; size *= 2)
			for (unsigned off = 0; off + size <= 0x20000; off += off < 0x6000 ? 1 : 61) {
				bus_write(&r->mmio, RIG_REGS + off, size, values[v] + off);
				bus_read(&r->mmio, RIG_REGS + off, size);
			}
	for (unsigned size = 1; size <= 4; size *= 2)
		for (unsigned off = 0; off + size <= 64; off++) {
			bus_write(&r->ports, RIG_IO + off, size, 0x100 + off);
			bus_read(&r->ports, RIG_IO + off, size);
		}
	fake_clock_advance(&r->clock, 1000000000);
	rig_set(r, CTRL, 1u << 26);
	check_eq(rig_get(r, CTRL), 0x00140241);
	rig_free(r);
}

static void two_controllers_do_not_mix(void)
{
	struct rig *a = rig_start(), *b = rig_start();
	uint8_t f[2000];
	size_t len = frames_make(f, false, true, 100);

	rig_set(a, RAL, 0x11111111);
	check_eq(rig_get(b, RAL), 0x00005452);
	check(rig_give(b, f, len));
	check_eq(rig_get(a, GPRC), 0);
	check_eq(rig_get(b, GPRC), 1);
	check_eq(a->line, 0);
	check_eq(b->line, 1);
	rig_free(a);
	check_eq(rig_get(b, ICR), RXT0);
	rig_free(b);
}

static const struct test tests[] = {
	{ "looks like an 82540EM on the bus", looks_like_an_82540em_on_the_bus },
	{ "the EEPROM reads the same both ways and sums to baba", the_eeprom_reads_the_same_both_ways_and_sums_to_baba },
	{ "the EEPROM is written only when enabled and outlives reset", the_eeprom_is_written_only_when_enabled_and_outlives_reset },
	{ "the PHY is an M88E1011", the_phy_is_an_m88e1011 },
	{ "the link comes up and follows the cable", the_link_comes_up_and_follows_the_cable },
	{ "reset restores everything and reports the link", reset_restores_everything_and_reports_the_link },
	{ "the I/O BAR reaches registers and resets", the_io_bar_reaches_registers_and_resets },
	{ "causes and masks drive the line", causes_and_masks_drive_the_line },
	{ "interrupts are throttled and none is lost", interrupts_are_throttled_and_none_is_lost },
	{ "a held back cause that is read raises nothing", a_held_back_cause_that_is_read_raises_nothing },
	{ "statistics clear when read", statistics_clear_when_read },
	{ "accesses of other sizes reach their bytes", accesses_of_other_sizes_reach_their_bytes },
	{ "unknown registers read zero and are counted", unknown_registers_read_zero_and_are_counted },
	{ "every offset survives every size", every_offset_survives_every_size },
	{ "two controllers do not mix", two_controllers_do_not_mix },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_e1000 = { tests };
