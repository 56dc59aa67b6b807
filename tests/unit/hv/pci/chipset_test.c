/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/pci/chipset.h"
#include <stdlib.h>
#include "hv/fw/intx.h"
#include "tests/unit/suite.h"

enum { Q35_BRIDGE = 0x00, Q35_LPC = 0xf8, PIIX3 = 0x08, PIIX4 = 0x0b, PM_LEN = 128 };

struct rig {
	struct env env;
	struct bus ports, mmio;
	struct mem mem;
	struct pci_host host;
	struct chipset *chipset;
	int line[CHIPSET_GSIS];
	unsigned changes, pm_writes;
	uint64_t pm_off;
};

static void intx(void *ctx, uint8_t devfn, unsigned pin, int level)
{
	chipset_intx(((struct rig *)ctx)->chipset, devfn, pin, level);
}

static void msi(void *ctx, uint64_t addr, uint32_t data) {}
static const struct pci_host_ops host_ops = { .intx = intx, .msi = msi };

static uint64_t pm_read(void *ctx, uint64_t off, unsigned size) { return 0x5a; }
static void pm_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct rig *r = ctx;

	r->pm_writes++;
	r->pm_off = off;
}
static const struct bus_ops pm_ops = { .read = pm_read, .write = pm_write };

static void set_gsi(void *ctx, unsigned gsi, int level)
{
	struct rig *r = ctx;

	check(gsi < CHIPSET_GSIS && r->line[gsi] != level);
	r->line[gsi] = level;
	r->changes++;
}

static struct rig *start(enum env_chipset kind)
{
	struct rig *r = calloc(1, sizeof *r);
	const struct chipset_config config = {
		.env = &r->env, .host = &r->host, .ports = &r->ports, .mmio = &r->mmio, .pm_ops = &pm_ops, .pm_ctx = r,
		.pm_len = kind == ENV_Q35 ? PM_LEN : 64, .set_gsi = set_gsi, .ctx = r };
	struct err err;

	if (!r)
		abort();
	r->env.chipset = kind;
	pci_host_init(&r->host, &host_ops, r, &r->ports, &r->mmio, &r->mem);
	check_eq(chipset_create(&r->chipset, &config, &err), 0);
	return r;
}

static void end(struct rig *r)
{
	chipset_free(r->chipset);
	check_eq(r->ports.count, 0);
	check_eq(r->mmio.count, 0);
	free(r);
}

static void cfg_write(struct rig *r, uint8_t devfn, unsigned reg, unsigned size, uint32_t val)
{
	bus_write(&r->ports, 0xcf8, 4, 0x80000000 | (uint32_t)devfn << 8 | (reg & 0xfc));
	bus_write(&r->ports, 0xcfc + (reg & 3), size, val);
}

static uint32_t cfg_read(struct rig *r, uint8_t devfn, unsigned reg, unsigned size)
{
	bus_write(&r->ports, 0xcf8, 4, 0x80000000 | (uint32_t)devfn << 8 | (reg & 0xfc));
	return (uint32_t)bus_read(&r->ports, 0xcfc + (reg & 3), size);
}

/* The lines that are high, as bits. */
static uint32_t high(const struct rig *r)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < CHIPSET_GSIS; i++)
		bits |= (uint32_t)r->line[i] << i;
	return bits;
}

static void q35_pins_reach_the_io_apic(void)
{
	struct rig *r = start(ENV_Q35);

	for (unsigned device = 0; device < 32; device++) {
		for (unsigned pin = 0; pin < 4; pin++) {
			chipset_intx(r->chipset, PCI_DEVFN(device, 0), pin, 1);
			check_eq(high(r), 1u << intx_gsi(ENV_Q35, device, pin));
			chipset_intx(r->chipset, PCI_DEVFN(device, 0), pin, 0);
			check_eq(high(r), 0);
		}
	}
	end(r);
}

static void q35_registers_route_to_the_pic(void)
{
	struct rig *r = start(ENV_Q35);

	for (unsigned n = 0; n < 8; n++)
		check_eq(cfg_read(r, Q35_LPC, intx_register(n), 1), 0x80);
	cfg_write(r, Q35_LPC, 0x61, 1, 10);		/* PIRQB */
	cfg_write(r, Q35_LPC, 0x6b, 1, 11);		/* PIRQH */
	chipset_intx(r->chipset, PCI_DEVFN(0x1f, 2), 1, 1);
	check_eq(high(r), 1u << 17 | 1u << 10);
	chipset_intx(r->chipset, PCI_DEVFN(3, 0), 0, 1);
	check_eq(high(r), 1u << 17 | 1u << 10 | 1u << 23 | 1u << 11);
	cfg_write(r, Q35_LPC, 0x6b, 1, 5);		/* moved while high */
	check_eq(high(r), 1u << 17 | 1u << 10 | 1u << 23 | 1u << 5);
	cfg_write(r, Q35_LPC, 0x6b, 1, 0x85);		/* taken off */
	check_eq(high(r), 1u << 17 | 1u << 10 | 1u << 23);
	chipset_intx(r->chipset, PCI_DEVFN(3, 0), 0, 0);
	chipset_intx(r->chipset, PCI_DEVFN(0x1f, 2), 1, 0);
	check_eq(high(r), 0);
	end(r);
}

static void i440fx_has_only_the_registers(void)
{
	struct rig *r = start(ENV_I440FX);

	chipset_intx(r->chipset, PCI_DEVFN(3, 0), 0, 1);	/* (3 + 0 + 3) & 3: PIRQC */
	check_eq(high(r), 0);
	cfg_write(r, PIIX3, 0x62, 1, 11);
	check_eq(high(r), 1u << 11);
	chipset_intx(r->chipset, PCI_DEVFN(3, 0), 0, 0);
	check_eq(high(r), 0);
	end(r);
}

static void reserved_routes_go_nowhere(void)
{
	static const uint8_t reserved[] = { 0, 1, 2, 8, 13 };
	struct rig *r = start(ENV_I440FX);

	chipset_intx(r->chipset, PCI_DEVFN(3, 0), 0, 1);
	for (unsigned i = 0; i < sizeof reserved; i++) {
		cfg_write(r, PIIX3, 0x62, 1, reserved[i]);
		check_eq(high(r), 0);
	}
	end(r);
}

static void a_shared_line_stays_up_for_the_last(void)
{
	struct rig *r = start(ENV_I440FX);

	cfg_write(r, PIIX3, 0x62, 1, 11);
	chipset_intx(r->chipset, PCI_DEVFN(3, 0), 0, 1);
	chipset_intx(r->chipset, PCI_DEVFN(7, 0), 0, 1);	/* the same PIRQ */
	chipset_isa_irq(r->chipset, 11, 1);
	check_eq(r->changes, 1);
	chipset_intx(r->chipset, PCI_DEVFN(3, 0), 0, 0);
	chipset_isa_irq(r->chipset, 11, 0);
	check_eq(high(r), 1u << 11);
	chipset_intx(r->chipset, PCI_DEVFN(7, 0), 0, 0);
	check_eq(high(r), 0);
	check_eq(r->changes, 2);
	end(r);
}

static void isa_lines(void)
{
	struct rig *r = start(ENV_Q35);

	chipset_isa_irq(r->chipset, 4, 1);
	chipset_isa_irq(r->chipset, 4, 1);
	check_eq(r->changes, 1);
	check_eq(high(r), 1u << 4);
	chipset_isa_irq(r->chipset, 0, 1);	/* the timer is KVM's */
	chipset_isa_irq(r->chipset, 16, 1);
	check_eq(high(r), 1u << 4);
	chipset_isa_irq(r->chipset, 4, 0);
	check_eq(high(r), 0);
	end(r);
}

static void q35_pm_block_moves(void)
{
	struct rig *r = start(ENV_Q35);

	check_eq(bus_read(&r->ports, 0x600, 1), 0xff);
	cfg_write(r, Q35_LPC, 0x40, 4, 0x600);
	check_eq(cfg_read(r, Q35_LPC, 0x40, 4), 0x601);
	check_eq(bus_read(&r->ports, 0x600, 1), 0xff);		/* not on yet */
	cfg_write(r, Q35_LPC, 0x44, 1, 0x80);
	check_eq(bus_read(&r->ports, 0x600, 1), 0x5a);
	bus_write(&r->ports, 0x67f, 1, 0);
	check_eq(r->pm_off, 0x7f);
	cfg_write(r, Q35_LPC, 0x40, 4, 0xb000);
	check_eq(bus_read(&r->ports, 0x600, 1), 0xff);
	check_eq(bus_read(&r->ports, 0xb000, 1), 0x5a);
	cfg_write(r, Q35_LPC, 0x44, 1, 0);
	check_eq(bus_read(&r->ports, 0xb000, 1), 0xff);
	check_eq(r->pm_writes, 1);
	end(r);
}

static void i440fx_pm_block_moves(void)
{
	struct rig *r = start(ENV_I440FX);

	cfg_write(r, PIIX4, 0x40, 4, 0x640);
	check_eq(bus_read(&r->ports, 0x640, 1), 0xff);
	cfg_write(r, PIIX4, 0x80, 1, 1);
	check_eq(bus_read(&r->ports, 0x640, 1), 0x5a);
	check_eq(bus_read(&r->ports, 0x680, 1), 0xff);
	pci_host_reset(&r->host);
	chipset_reset(r->chipset);
	check_eq(bus_read(&r->ports, 0x640, 1), 0xff);
	chipset_program(r->chipset, 0x600, 0);
	check_eq(bus_read(&r->ports, 0x600, 1), 0x5a);
	end(r);
}

static uint32_t id_at(struct rig *r, uint64_t ecam)
{
	return (uint32_t)bus_read(&r->mmio, ecam, 4);
}

static void ecam_moves_shrinks_and_goes(void)
{
	struct rig *r = start(ENV_Q35);
	const uint64_t lpc = 0x1full << 15;

	check_eq(id_at(r, 0xb0000000), 0xffffffff);
	cfg_write(r, Q35_BRIDGE, 0x60, 4, 0xb0000001);
	check_eq(id_at(r, 0xb0000000), 0x29c08086);
	check_eq(id_at(r, 0xb0000000 + lpc), 0x29188086);
	check_eq(id_at(r, 0xb0000000 + (200 << 20)), 0xffffffff);
	check_eq(r->mmio.unclaimed, 4);				/* bus 200 was decoded: only the first read was nobody's */
	bus_write(&r->mmio, 0xb0000000 + lpc + 0x62, 1, 10);
	check_eq(cfg_read(r, Q35_LPC, 0x62, 1), 10);
	cfg_write(r, Q35_BRIDGE, 0x60, 4, 0xb0000005);		/* 64 MiB */
	(void)id_at(r, 0xb0000000 + (200 << 20));
	check_eq(r->mmio.unclaimed, 8);
	cfg_write(r, Q35_BRIDGE, 0x60, 4, 0xb0000007);		/* a size that is reserved */
	check_eq(id_at(r, 0xb0000000), 0xffffffff);
	cfg_write(r, Q35_BRIDGE, 0x60, 4, 0xe0000001);
	check_eq(id_at(r, 0xe0000000), 0x29c08086);
	check_eq(id_at(r, 0xb0000000), 0xffffffff);
	cfg_write(r, Q35_BRIDGE, 0x60, 4, 0xe0000000);
	check_eq(id_at(r, 0xe0000000), 0xffffffff);
	chipset_program(r->chipset, 0x600, 0x8000000000);
	check_eq(id_at(r, 0x8000000000), 0x29c08086);
	end(r);
}

static uint64_t bar_read(void *ctx, uint64_t off, unsigned size) { return 0x77; }
static void bar_write(void *ctx, uint64_t off, unsigned size, uint64_t val) {}

/* Grown at its base it covers what it did not: the bus has to know. */
static void a_grown_ecam_is_seen_by_the_bus(void)
{
	static const struct bus_ops ops = { .read = bar_read, .write = bar_write };
	struct bus_range fixed = { .base = 0xb8000000, .len = 0x1000, .ops = &ops, .priority = 1 };
	struct rig *r = start(ENV_Q35);

	cfg_write(r, Q35_BRIDGE, 0x60, 4, 0xb0000005);
	check_eq(bus_add(&r->mmio, &fixed), 0);
	check(!fixed.overlaps);
	cfg_write(r, Q35_BRIDGE, 0x60, 4, 0xb0000001);
	check(fixed.overlaps);
	(void)id_at(r, 0xb0000000);
	check_eq(id_at(r, 0xb8000000), 0x77);
	bus_remove(&r->mmio, &fixed);
	end(r);
}

static void rcba_is_a_scratch_area(void)
{
	struct rig *r = start(ENV_Q35);

	cfg_write(r, Q35_LPC, 0xf0, 4, 0xfed1c001);
	check_eq(bus_read(&r->mmio, 0xfed1c000 + 0x3140, 2), 0x3210);
	bus_write(&r->mmio, 0xfed1c000 + 0x3ffc, 4, 0x12345678);
	check_eq(bus_read(&r->mmio, 0xfed1c000 + 0x3ffc, 4), 0x12345678);
	cfg_write(r, Q35_LPC, 0xf0, 4, 0xfed1c000);
	check_eq(bus_read(&r->mmio, 0xfed1c000 + 0x3140, 2), 0xffff);
	end(r);
}

static void reset_undoes_everything(void)
{
	struct rig *r = start(ENV_Q35);

	chipset_program(r->chipset, 0x600, 0xb0000000);
	cfg_write(r, Q35_LPC, 0xf0, 4, 0xfed1c001);
	cfg_write(r, Q35_LPC, 0x60, 4, 0x0b0b0b0b);
	bus_write(&r->mmio, 0xfed1c000, 4, 0x55);
	chipset_isa_irq(r->chipset, 4, 1);
	pci_host_reset(&r->host);
	chipset_reset(r->chipset);
	check_eq(high(r), 0);
	check_eq(r->mmio.count, 0);
	check_eq(bus_read(&r->ports, 0x600, 1), 0xff);
	check_eq(cfg_read(r, Q35_LPC, 0x60, 4), 0x80808080);
	cfg_write(r, Q35_LPC, 0xf0, 4, 0xfed1c001);
	check_eq(bus_read(&r->mmio, 0xfed1c000, 4), 0);
	end(r);
}

/* The bus takes bytes and words at 0xcf8…0xcfb elsewhere: the reset control register stands there. */
static void the_address_register_wants_dwords(void)
{
	struct rig *r = start(ENV_Q35);

	bus_write(&r->ports, 0xcf8, 4, 0xffffffff);
	check_eq(bus_read(&r->ports, 0xcf8, 4), 0x80fffffc);
	bus_write(&r->ports, 0xcf8, 2, 0);
	bus_write(&r->ports, 0xcfb, 1, 0);
	check_eq(bus_read(&r->ports, 0xcf8, 4), 0x80fffffc);
	bus_write(&r->ports, 0xcf8, 4, 0);
	check_eq(bus_read(&r->ports, 0xcfc, 4), 0xffffffff);
	end(r);
}

static void a_clash_leaves_nothing_behind(void)
{
	static const struct bus_ops ops = { .read = bar_read, .write = bar_write };
	struct bus_range other = { .base = 1, .len = 1, .ops = &ops };
	struct chipset_config config;
	struct rig *r = start(ENV_Q35);
	struct chipset *second = NULL;
	struct err err;

	check_eq(bus_add(&r->ports, &other), 0);
	config = (struct chipset_config){ .env = &r->env, .host = &r->host, .ports = &r->ports, .mmio = &r->mmio,
					  .pm_ops = &pm_ops, .pm_len = PM_LEN, .set_gsi = set_gsi, .ctx = r };
	check(chipset_create(&second, &config, &err) < 0);
	check_str(err.text, "a device stands at the address of a chipset function");
	check(!second);
	check_eq(r->ports.count, 3);
	bus_remove(&r->ports, &other);
	end(r);
}

static const struct test tests[] = {
	{ "q35: every pin reaches its I/O APIC input", q35_pins_reach_the_io_apic },
	{ "q35: PIRQ registers route to the PIC", q35_registers_route_to_the_pic },
	{ "i440fx: PIRQ registers are the only route", i440fx_has_only_the_registers },
	{ "reserved routes go nowhere", reserved_routes_go_nowhere },
	{ "a shared line stays up for the last source", a_shared_line_stays_up_for_the_last },
	{ "ISA lines change once", isa_lines },
	{ "q35: the PM block moves", q35_pm_block_moves },
	{ "i440fx: the PM block moves, and goes at a reset", i440fx_pm_block_moves },
	{ "ECAM moves, shrinks and goes", ecam_moves_shrinks_and_goes },
	{ "a grown ECAM is seen by the bus", a_grown_ecam_is_seen_by_the_bus },
	{ "RCBA is a scratch area", rcba_is_a_scratch_area },
	{ "reset undoes everything", reset_undoes_everything },
	{ "the PCI address register wants dwords", the_address_register_wants_dwords },
	{ "a clash leaves nothing behind", a_clash_leaves_nothing_behind },
	{ NULL, NULL },
};
const struct suite suite_hv_pci_chipset = { tests };
