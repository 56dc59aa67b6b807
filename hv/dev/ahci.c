/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/ahci.h"
#include <errno.h>
#include <stdlib.h>
#include "hv/dev/ahci_priv.h"
#include "lib/bits.h"

/* generic host control (AHCI 3.1) */
enum { CAP = 0x00, GHC = 0x04, IS = 0x08, PI = 0x0c, VS = 0x10 };
enum { GHC_HR = 1, GHC_IE = 2, GHC_AE = 1u << 31 };
/* ports (AHCI 3.3) */
enum {
	PX = 0x100, PX_STRIDE = 0x80,
	CLB = 0x00, CLBU = 0x04, FB = 0x08, FBU = 0x0c, PXIS = 0x10, PXIE = 0x14, PXCMD = 0x18, TFD = 0x20, SIG = 0x24,
	SSTS = 0x28, SCTL = 0x2c, SERR = 0x30, SACT = 0x34, CI = 0x38,
};
enum { SERR_N = 1 << 16, SERR_X = 1 << 26 };
enum { SSTS_UP = 0x113, SSTS_OFFLINE = 4 };

/* 64-bit, NCQ, AHCI only, 1.5 Gbit/s, 32 slots; version 1.0 */
#define CAP_VALUE 0xc0141f00u
#define VS_VALUE 0x00010000u
#define IE_MASK 0x7dc000ffu
#define CMD_WRITABLE (AHCI_CMD_ST | AHCI_CMD_FRE | AHCI_CMD_ATAPI | AHCI_CMD_DLAE)

#define ABAR_SIZE 4096
#define IDP_SIZE 32
enum { IDP_INDEX = 0x10, IDP_DATA = 0x14 };

/* ---- interrupts */

static uint32_t port_is(const struct ahci_port *p)
{
	return p->is | (p->serr & SERR_X ? AHCI_IS_PCS : 0) | (p->serr & SERR_N ? AHCI_IS_PRCS : 0);
}

/* The controller's IS latches while a port has something to say: clearing it before the port has no effect. */
void ahci_update_irq(struct ahci *a)
{
	for (unsigned i = 0; i < a->env->ports; i++) {
		if (port_is(&a->port[i]) & a->port[i].ie)
			a->is |= BIT(i);
	}
	pci_dev_set_irq(&a->pci, a->ghc & GHC_IE && a->is);
}

/* AHCI 10.6.2.2: with one MSI message, clearing some but not all of IS sends it again. */
static void clear_is(struct ahci *a, uint32_t val)
{
	if (!(a->is & val))
		return;
	a->is &= ~val;
	if (pci_dev_msi_on(&a->pci))
		pci_dev_set_irq(&a->pci, 0);
	ahci_update_irq(a);
}

/* ---- link and resets */

static void say_signature(struct ahci_port *p)
{
	struct ata_tf tf;

	if (!p->signature_due || p->aborting || !(p->cmd & AHCI_CMD_FR))
		return;
	p->signature_due = false;
	tf = ata_signature(&p->dev);
	p->sig = (uint32_t)((tf.lba & 0xffffff) << 8) | (tf.count & 0xff);
	ahci_send_d2h(p, &tf, false);
}

void ahci_port_signature(struct ahci_port *p)
{
	p->signature_due = true;
	p->tfd = ATA_BSY;
	say_signature(p);
}

static void link_down(struct ahci_port *p, uint32_t ssts)
{
	ahci_port_abort(p);
	p->ssts = ssts;
	p->ci = p->sact = 0;
	p->halted = p->signature_due = false;
	p->tfd = 0x7f;
	p->sig = 0xffffffff;
	ahci_port_hurry(p);
}

static void link_up(struct ahci_port *p)
{
	if (!p->dev.disk)
		return;
	p->ssts = SSTS_UP;
	p->serr |= SERR_X | SERR_N;
	p->control = 0;
	ata_reset(&p->dev);
	ahci_port_signature(p);
}

static void port_reset(struct ahci_port *p)
{
	p->cmd = AHCI_CMD_SUD | AHCI_CMD_POD;
	p->is = p->ie = p->sctl = p->serr = 0;
	p->last = AHCI_SLOTS - 1;
	link_down(p, 0);
	link_up(p);
}

static bool quiet(const struct ahci *a)
{
	for (unsigned i = 0; i < a->env->ports; i++) {
		if (a->port[i].aborting)
			return false;
	}
	return true;
}

static void hba_reset(struct ahci *a)
{
	a->ghc = GHC_AE;
	a->is = 0;
	for (unsigned i = 0; i < a->env->ports; i++)
		port_reset(&a->port[i]);
	a->resetting = !quiet(a);
	ahci_update_irq(a);
}

void ahci_port_drained(struct ahci_port *p)
{
	if (!(p->cmd & AHCI_CMD_ST))
		p->cmd &= ~AHCI_CMD_CR;
	say_signature(p);
	if (p->ahci->resetting)
		p->ahci->resetting = !quiet(p->ahci);
	ahci_port_run(p);
}

static void reset(void *ctx)
{
	struct ahci *a = ctx;

	for (unsigned i = 0; i < a->env->ports; i++) {
		a->port[i].clb = a->port[i].fb = 0;
		ata_power_on(&a->port[i].dev);
	}
	a->idp_index = 0;
	hba_reset(a);
	a->resetting = false;	/* firmware does not ask; its commands wait for the port */
}

/* ---- registers */

static uint32_t port_read(const struct ahci_port *p, unsigned off)
{
	switch (off) {
	case CLB: return (uint32_t)p->clb;
	case CLBU: return (uint32_t)(p->clb >> 32);
	case FB: return (uint32_t)p->fb;
	case FBU: return (uint32_t)(p->fb >> 32);
	case PXIS: return port_is(p);
	case PXIE: return p->ie;
	case PXCMD: return p->cmd;
	case TFD: return p->tfd;
	case SIG: return p->sig;
	case SSTS: return p->ssts;
	case SCTL: return p->sctl;
	case SERR: return p->serr;
	case SACT: return p->sact;
	case CI: return p->ci;
	default: return 0;
	}
}

static uint32_t reg_read(const struct ahci *a, unsigned off)
{
	unsigned i = (off - PX) / PX_STRIDE;

	if (off >= PX)
		return i < a->env->ports ? port_read(&a->port[i], off % PX_STRIDE) : 0;
	switch (off) {
	case CAP: return CAP_VALUE | (a->env->ports - 1);
	case GHC: return a->ghc | (a->resetting ? GHC_HR : 0);
	case IS: return a->is;
	case PI: return BIT(a->env->ports) - 1;
	case VS: return VS_VALUE;
	default: return 0;
	}
}

static void write_cmd(struct ahci_port *p, uint32_t val)
{
	uint32_t old = p->cmd;

	p->cmd = (old & ~CMD_WRITABLE) | (val & CMD_WRITABLE);
	if (p->cmd & AHCI_CMD_FRE)
		p->cmd |= AHCI_CMD_FR;
	else
		p->cmd &= ~AHCI_CMD_FR;
	say_signature(p);
	if (p->cmd & ~old & AHCI_CMD_ST) {
		p->cmd |= AHCI_CMD_CR;
		p->halted = false;
		p->last = AHCI_SLOTS - 1;
	} else if (old & ~p->cmd & AHCI_CMD_ST) {
		ahci_port_abort(p);
		p->ci = p->sact = 0;
		p->halted = false;
		p->cmd &= ~AHCI_CMD_CCS;
		if ((p->ssts & 0xf) == 3 && !p->signature_due)
			p->tfd &= ~(uint32_t)(ATA_BSY | ATA_DRQ);
		if (!p->aborting)
			p->cmd &= ~AHCI_CMD_CR;
		ahci_port_hurry(p);
	}
}

static void write_sctl(struct ahci_port *p, uint32_t val)
{
	uint32_t old = p->sctl & 0xf, det = val & 0xf;

	p->sctl = val & 0xfff;
	if (det == 1 && old != 1)
		link_down(p, 0);
	else if (det == 4 && old != 4)
		link_down(p, SSTS_OFFLINE);
	else if (det == 0 && (old == 1 || old == 4)) {
		p->ssts = 0;
		link_up(p);
	}
}

static void set_half(uint64_t *reg, bool high, uint32_t val)
{
	*reg = high ? (*reg & 0xffffffff) | (uint64_t)val << 32 : (*reg & ~0xffffffffull) | val;
}

static void port_write(struct ahci_port *p, unsigned off, uint32_t val)
{
	switch (off) {
	case CLB: set_half(&p->clb, false, val & ~0x3ffu); break;
	case CLBU: set_half(&p->clb, true, val); break;
	case FB: set_half(&p->fb, false, val & ~0xffu); break;
	case FBU: set_half(&p->fb, true, val); break;
	case PXIS: p->is &= ~val; break;
	case PXIE: p->ie = val & IE_MASK; break;
	case PXCMD: write_cmd(p, val); break;
	case SCTL: write_sctl(p, val); break;
	case SERR: p->serr &= ~val; break;
	case SACT:
		if (p->cmd & AHCI_CMD_ST)
			p->sact |= val;
		return;
	case CI:
		if (!(p->cmd & AHCI_CMD_ST))
			return;
		p->ci |= val;
		ahci_port_run(p);
		return;
	default: return;
	}
	ahci_update_irq(p->ahci);
}

static void reg_write(struct ahci *a, unsigned off, uint32_t val)
{
	unsigned i = (off - PX) / PX_STRIDE;

	if (a->resetting)
		return;
	if (off >= PX) {
		if (i < a->env->ports)
			port_write(&a->port[i], off % PX_STRIDE, val);
	} else if (off == IS) {
		clear_is(a, val);
	} else if (off == GHC && val & GHC_HR) {
		hba_reset(a);
	} else if (off == GHC) {
		a->ghc = GHC_AE | (val & GHC_IE);
		ahci_update_irq(a);
	}
}

/* Where a one does something and a zero nothing, a narrow write must not carry the bits beside it. */
static bool is_trigger(unsigned off)
{
	unsigned reg = off % PX_STRIDE;

	return off < PX ? off == IS : reg == PXIS || reg == SERR || reg == SACT || reg == CI;
}

static uint64_t abar_read(struct ahci *a, unsigned off, unsigned size)
{
	unsigned shift = (off & 3) * 8;

	if (size == 8 && !(off & 3))
		return reg_read(a, off) | (uint64_t)reg_read(a, off + 4) << 32;
	if ((off & 3) + size > 4)
		return bits_mask(size);
	return reg_read(a, off & ~3u) >> shift & bits_mask(size);
}

static void abar_write(struct ahci *a, unsigned off, unsigned size, uint64_t val)
{
	unsigned shift = (off & 3) * 8, reg = off & ~3u;
	uint32_t mask = (uint32_t)bits_mask(size) << shift, v = (uint32_t)val << shift & mask;

	if (size == 8 && !(off & 3)) {
		reg_write(a, off, (uint32_t)val);
		reg_write(a, off + 4, (uint32_t)(val >> 32));
	} else if ((off & 3) + size <= 4) {
		reg_write(a, reg, is_trigger(reg) ? v : v | (reg_read(a, reg) & ~mask));
	}
}

static uint64_t read(void *ctx, unsigned bar, uint64_t off, unsigned size)
{
	struct ahci *a = ctx;

	if (bar == 5)
		return abar_read(a, (unsigned)off, size);
	if (off == IDP_INDEX)
		return a->idp_index;
	return off == IDP_DATA ? abar_read(a, a->idp_index, size > 4 ? 4 : size) : 0;
}

static void write(void *ctx, unsigned bar, uint64_t off, unsigned size, uint64_t val)
{
	struct ahci *a = ctx;

	if (bar == 5)
		abar_write(a, (unsigned)off, size, val);
	else if (off == IDP_INDEX)
		a->idp_index = (uint32_t)val & (ABAR_SIZE - 4);
	else if (off == IDP_DATA)
		abar_write(a, a->idp_index, size > 4 ? 4 : size, val);
}

/* ---- life */

static const struct pci_dev_ops pci_ops = { .bar_read = read, .bar_write = write, .reset = reset };

static void describe(struct ahci *a)
{
	const struct env_pci *e = a->env;
	struct pci_id id = {
		.vendor = e->vendor_id, .device = e->device_id, .class_code = 0x010601, .revision = e->revision,
		.subsystem_vendor = e->subsystem_vendor, .subsystem_device = e->subsystem_device,
	};
	struct pci_dev *d = &a->pci;

	pci_dev_init(d, e->name[0] ? e->name : "ahci", &id, &pci_ops, a);
	pci_dev_set_pin(d, 1);
	/* Capabilities are chained in the order they are added: 0x80 first, as the chip shows them. */
	pci_dev_add_msi(d, 0x80, true);
	pci_dev_add_cap_at(d, PCI_CAP_SATA, 0xa8, 8);
	put_le16(d->config + 0xaa, 0x0010);	/* revision 1.0 */
	put_le32(d->config + 0xac, 0x00000048);	/* index/data pair in BAR 4 at dword 4 (SATACR1) */
	d->config[0x90] = 0x40;			/* MAP: AHCI mode */
	pci_dev_set_writable(d, 0x92, 2, BIT(e->ports) - 1);	/* PCS: ports enabled; drivers set and check it */
	pci_dev_add_bar(d, 4, PCI_BAR_IO, IDP_SIZE);
	pci_dev_add_bar(d, 5, PCI_BAR_MEM32, ABAR_SIZE);
}

static int plug(struct ahci *a, const struct env_disk *d, struct block *const disks[AHCI_PORTS], struct err *err)
{
	struct block *block;

	if (d->port >= a->env->ports)
		return err_set(err, -EINVAL, "%s: no port %u for disk %s", a->env->name, d->port, d->name);
	block = d->medium == ENV_CD ? NULL : disks[d->port];
	if (!block && d->medium != ENV_CD)
		return err_set(err, -EINVAL, "%s: disk %s has no medium", a->env->name, d->name);
	if (block && block->size < d->size)
		return err_set(err, -EINVAL, "%s: disk %s has %llu bytes, needs %llu", a->env->name, d->name,
			(unsigned long long)block->size, (unsigned long long)d->size);
	if (block && block->logical > d->logical)
		return err_set(err, -EINVAL, "%s: disk %s has sectors of %u bytes, its medium serves only %u", a->env->name,
			d->name, d->logical, block->logical);
	ata_init(&a->port[d->port].dev, d, block);
	return 0;
}

int ahci_create(const struct env_pci *env, struct block *const disks[AHCI_PORTS], struct ahci **ahci, struct err *err)
{
	struct ahci *a;
	int r = 0;

	if (!env->ports || env->ports > AHCI_PORTS)
		return err_set(err, -EINVAL, "%s: %u ports, 1 to %u are possible", env->name, env->ports, AHCI_PORTS);
	a = calloc(1, sizeof *a);
	if (!a)
		return err_set(err, -ENOMEM, "%s: out of memory", env->name);
	a->env = env;
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		struct ahci_port *p = &a->port[i];

		p->ahci = a;
		p->index = (uint8_t)i;
		p->busy = -1;
		for (unsigned s = 0; s < AHCI_SLOTS; s++) {
			p->slot[s].port = p;
			p->slot[s].tag = (uint8_t)s;
		}
	}
	for (unsigned i = 0; i < env->disk_count && !r; i++)
		r = plug(a, &env->disks[i], disks, err);
	if (r) {
		free(a);
		return r;
	}
	describe(a);
	a->ghc = GHC_AE;
	for (unsigned i = 0; i < env->ports; i++)
		port_reset(&a->port[i]);
	*ahci = a;
	return 0;
}

struct pci_dev *ahci_pci(struct ahci *a)
{
	return &a->pci;
}

void ahci_free(struct ahci *a)
{
	if (!a)
		return;
	for (unsigned i = 0; i < a->env->ports; i++) {
		struct ahci_port *p = &a->port[i];

		p->cmd = 0;	/* nothing starts again */
		ahci_port_abort(p);
		if (p->aborting)
			block_drain(p->dev.block);
		for (unsigned s = 0; s < AHCI_SLOTS; s++)
			free(p->slot[s].iov);
	}
	free(a);
}
