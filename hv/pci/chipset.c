/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/pci/chipset.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hv/fw/intx.h"
#include "hv/pci/host.h"
#include "lib/bits.h"

enum { /* register numbers from the datasheets: Intel 3 Series §5, ICH9 §13, 82441FX §3, PIIX3 §2, PIIX4 §7 */
	Q35_PCIEXBAR = 0x60, Q35_PAM = 0x90, Q35_SMRAM = 0x9d, Q35_TSEG = 0x50,
	ICH9_PMBASE = 0x40, ICH9_ACPI_CNTL = 0x44, ICH9_RCBA = 0xf0, ICH9_RCBA_SIZE = 0x4000,
	I440_PAM = 0x59, I440_SMRAM = 0x72,
	PIIX_XBCS = 0x4e, PIIX4_PMBA = 0x40, PIIX4_DEVACTB = 0x58, PIIX4_PMREGMISC = 0x80, PIIX4_SMBBA = 0x90,
	PIRQS = 8, ROUTABLE = 0xdef8,	/* inputs a PIRQ can be routed to: 0, 1, 2, 8 and 13 are reserved (ICH9 §13.1.18) */
};

struct chipset {
	struct chipset_config config;
	struct pci_dev bridge, isa, pm;	/* pm: PIIX4 function 3 only */
	struct bus_range address, data, ecam, rcba, pmio;
	uint8_t rcba_regs[ICH9_RCBA_SIZE];
	unsigned pirq_sources[PIRQS];	/* how many functions assert each PIRQ */
	uint8_t isa_level[16];		/* lines the ISA devices drive */
	uint8_t driven[CHIPSET_GSIS];	/* levels told to set_gsi */
};

static bool is_q35(const struct chipset *c)
{
	return c->config.env->chipset == ENV_Q35;
}

/* ---- interrupt lines */

static void drive(struct chipset *c, unsigned gsi, bool level)
{
	if (c->driven[gsi] == level)
		return;
	c->driven[gsi] = level;
	c->config.set_gsi(c->config.ctx, gsi, level);
}

/* The PIC input that PIRQ register n routes to, or 0. */
static unsigned pirq_isa(const struct chipset *c, unsigned n)
{
	uint8_t reg = c->isa.config[intx_register(n)];

	return !(reg & 0x80) && (ROUTABLE & BIT(reg & 0xf)) ? reg & 0xf : 0;
}

static void update_isa(struct chipset *c)
{
	uint8_t level[16];

	memcpy(level, c->isa_level, sizeof level);
	for (unsigned n = 0; n < (is_q35(c) ? 8u : 4u); n++) {
		if (c->pirq_sources[n])
			level[pirq_isa(c, n)] = 1;
	}
	/* Input 0 is the timer's, inside KVM; an unrouted PIRQ lands there and goes nowhere. */
	for (unsigned i = 1; i < 16; i++)
		drive(c, i, level[i]);
}

void chipset_intx(struct chipset *c, uint8_t devfn, unsigned pin, int level)
{
	unsigned n = intx_pirq(c->config.env->chipset, devfn >> 3, pin);

	if (n >= PIRQS)
		return;
	if (level)
		c->pirq_sources[n]++;
	else if (c->pirq_sources[n])
		c->pirq_sources[n]--;
	if (is_q35(c))
		drive(c, 16 + n, c->pirq_sources[n]);
	update_isa(c);
}

void chipset_isa_irq(struct chipset *c, unsigned irq, int level)
{
	if (irq == 0 || irq >= 16)
		return;
	c->isa_level[irq] = !!level;
	update_isa(c);
}

/* ---- ranges that move */

static void move(struct bus *bus, struct bus_range *range, uint64_t base)
{
	if (range->mapped && range->base == base)
		return;
	bus_remove(bus, range);
	range->base = base;
	if (base && bus_add(bus, range))
		range->base = 0;
}

static uint64_t rcba_read(void *ctx, uint64_t off, unsigned size)
{
	struct chipset *c = ctx;

	return get_le(c->rcba_regs + off, size);
}

static void rcba_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct chipset *c = ctx;

	put_le(c->rcba_regs + off, size, val);
}

static const struct bus_ops rcba_ops = { .read = rcba_read, .write = rcba_write };

static void update_q35(struct chipset *c)
{
	uint64_t xbar = get_le64(c->bridge.config + Q35_PCIEXBAR);
	uint32_t rcba = get_le32(c->isa.config + ICH9_RCBA);
	uint16_t pm = get_le16(c->isa.config + ICH9_PMBASE) & 0xff80;
	static const uint32_t lens[4] = { 256u << 20, 128u << 20, 64u << 20, 0 };
	uint64_t len = lens[(xbar >> 1) & 3];

	if (len != c->ecam.len) {
		bus_remove(c->config.mmio, &c->ecam);
		c->ecam.len = len;
	}
	move(c->config.mmio, &c->ecam, (xbar & 1) && len ? xbar & 0xffffc000000ull & ~(len - 1) : 0);
	move(c->config.mmio, &c->rcba, rcba & 1 ? rcba & 0xffffc000 : 0);
	move(c->config.ports, &c->pmio, c->isa.config[ICH9_ACPI_CNTL] & 0x80 ? pm : 0);
}

static void update_i440fx(struct chipset *c)
{
	uint16_t pm = get_le16(c->pm.config + PIIX4_PMBA) & 0xffc0;

	move(c->config.ports, &c->pmio, c->pm.config[PIIX4_PMREGMISC] & 1 ? pm : 0);
}

static void update(struct chipset *c)
{
	if (is_q35(c))
		update_q35(c);
	else
		update_i440fx(c);
	update_isa(c);
}

static void config_written(void *ctx, unsigned off, unsigned size)
{
	update(ctx);
}

static const struct pci_dev_ops ops = { .config_written = config_written };

/* ---- functions */

static void make_writable(struct pci_dev *d, unsigned off, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		d->writable[off + i] = 0xff;
}

static void init_fixed(struct pci_dev *d)
{
	/* Chipset functions decode always: I/O, memory and bus mastering stay on (ICH9 §13.1.3). */
	put_le16(d->config + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static void init_function(struct chipset *c, struct pci_dev *d, const char *name, uint16_t device, uint32_t class_code,
			  uint8_t revision)
{
	const struct env *env = c->config.env;
	const struct pci_id id = { 0x8086, device, env->board_subvendor, env->board_subdevice, class_code, revision };

	pci_dev_init(d, name, &id, &ops, c);
}

static int init_q35(struct chipset *c)
{
	struct pci_dev *b = &c->bridge, *l = &c->isa;
	int r;

	init_function(c, b, "82G33", 0x29c0, 0x060000, 0);
	put_le32(b->config + Q35_PCIEXBAR, 0xb0000000);
	make_writable(b, Q35_PCIEXBAR, 8);
	make_writable(b, Q35_PAM, 7);
	b->config[Q35_SMRAM] = 2;
	b->config[Q35_SMRAM + 1] = 0x38;
	make_writable(b, Q35_SMRAM, 2);
	init_function(c, l, "ICH9 LPC", 0x2918, 0x060100, 2);
	init_fixed(l);
	l->config[PCI_HEADER_TYPE] = 0x80;
	put_le32(l->config + ICH9_PMBASE, 1);
	put_le16(l->writable + ICH9_PMBASE, 0xff80);
	l->writable[ICH9_ACPI_CNTL] = 0x87;
	memset(l->config + 0x60, 0x80, 4);
	memset(l->config + 0x68, 0x80, 4);
	make_writable(l, 0x60, 4);
	make_writable(l, 0x68, 4);
	make_writable(l, 0x80, 16);
	put_le32(l->writable + ICH9_RCBA, 0xffffc001);
	c->ecam.ops = &pci_host_ecam_ops;
	c->ecam.ctx = c->config.host;
	c->rcba = (struct bus_range){ .len = ICH9_RCBA_SIZE, .ops = &rcba_ops, .ctx = c, .name = "rcba", .priority = 1 };
	r = pci_bus_attach(&c->config.host->root, b, 0, 0);
	return r ? r : pci_bus_attach(&c->config.host->root, l, 0x1f, 0);
}

static int init_i440fx(struct chipset *c)
{
	struct pci_dev *b = &c->bridge, *i = &c->isa, *p = &c->pm;
	struct pci_bus *root = &c->config.host->root;
	int r;

	init_function(c, b, "82441FX", 0x1237, 0x060000, 2);
	make_writable(b, I440_PAM, 7);
	b->config[I440_SMRAM] = 2;
	make_writable(b, I440_SMRAM, 1);
	init_function(c, i, "PIIX3", 0x7000, 0x060100, 0);
	init_fixed(i);
	i->config[PCI_HEADER_TYPE] = 0x80;
	i->config[PIIX_XBCS] = 3;
	make_writable(i, 0x4c, 4);
	memset(i->config + 0x60, 0x80, 4);
	make_writable(i, 0x60, 4);
	make_writable(i, 0x69, 0x17);
	init_function(c, p, "PIIX4 PM", 0x7113, 0x068000, 3);
	pci_dev_set_pin(p, 1);
	put_le32(p->config + PIIX4_PMBA, 1);
	put_le16(p->writable + PIIX4_PMBA, 0xffc0);
	p->config[PIIX4_DEVACTB + 3] = 2;	/* SMI by APMC: no SMM here, firmware must not wait for it */
	make_writable(p, PIIX4_DEVACTB, 4);
	p->writable[PIIX4_PMREGMISC] = 1;
	put_le32(p->config + PIIX4_SMBBA, 1);
	put_le16(p->writable + PIIX4_SMBBA, 0xfff0);
	make_writable(p, 0xd2, 1);
	r = pci_bus_attach(root, b, 0, 0);
	r = r ? r : pci_bus_attach(root, i, 1, 0);
	return r ? r : pci_bus_attach(root, p, 1, 3);
}

int chipset_create(struct chipset **chipset, const struct chipset_config *config, struct err *err)
{
	struct chipset *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "no memory for the chipset");
	c->config = *config;
	c->pmio = (struct bus_range){ .len = config->pm_len, .ops = config->pm_ops, .ctx = config->pm_ctx, .name = "acpi-pm" };
	c->ecam.name = "ecam";
	c->address = (struct bus_range){ .base = 0xcf8, .len = 4, .ops = &pci_host_address_ops, .ctx = config->host,
					 .name = "pci-address", .priority = 1 };
	c->data = (struct bus_range){ .base = 0xcfc, .len = 4, .ops = &pci_host_data_ops, .ctx = config->host,
				      .name = "pci-data", .priority = 1 };
	r = is_q35(c) ? init_q35(c) : init_i440fx(c);
	r = r ? r : bus_add(config->ports, &c->address);
	r = r ? r : bus_add(config->ports, &c->data);
	if (r) {
		chipset_free(c);
		return err_set(err, r, "a device stands at the address of a chipset function");
	}
	chipset_reset(c);
	*chipset = c;
	return 0;
}

void chipset_reset(struct chipset *c)
{
	memset(c->rcba_regs, 0, sizeof c->rcba_regs);
	/* D31IR…D25IR: pins A…D to PIRQ A…D (ICH9 §10.1) */
	for (unsigned off = 0x3140; off <= 0x3150; off += 2)
		put_le16(c->rcba_regs + off, 0x3210);
	memset(c->isa_level, 0, sizeof c->isa_level);
	update(c);
}

void chipset_program(struct chipset *c, uint16_t pm_base, uint64_t ecam)
{
	if (is_q35(c)) {
		pci_dev_config_write(&c->isa, ICH9_PMBASE, 4, pm_base);
		pci_dev_config_write(&c->isa, ICH9_ACPI_CNTL, 1, 0x80);
		pci_dev_config_write(&c->bridge, Q35_PCIEXBAR + 4, 4, ecam >> 32);
		pci_dev_config_write(&c->bridge, Q35_PCIEXBAR, 4, ecam ? (uint32_t)ecam | 1 : 0);
	} else {
		pci_dev_config_write(&c->pm, PIIX4_PMBA, 4, pm_base);
		pci_dev_config_write(&c->pm, PIIX4_PMREGMISC, 1, 1);
	}
}

void chipset_free(struct chipset *c)
{
	if (!c)
		return;
	bus_remove(c->config.ports, &c->address);
	bus_remove(c->config.ports, &c->data);
	bus_remove(c->config.ports, &c->pmio);
	bus_remove(c->config.mmio, &c->ecam);
	bus_remove(c->config.mmio, &c->rcba);
	free(c);
}
