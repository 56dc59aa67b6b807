/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/pci/bridge.h"
#include <string.h>
#include "lib/bits.h"

enum { /* Express capability registers */
	SLOT_CAP = 0x14, SLOT_CONTROL = 0x18, SLOT_STATUS = 0x1a, ROOT_CONTROL = 0x1c, ROOT_STATUS = 0x20,
	CONTROL_CC_IRQ = BIT(4), CONTROL_HP_IRQ = BIT(5),
	STATUS_COMMAND_DONE = BIT(4), STATUS_PRESENT = BIT(6), STATUS_LINK_ACTIVE = BIT(13),
};

static void update_irq(struct pci_bridge *b)
{
	const uint8_t *c = b->dev.config + b->exp;
	uint16_t control = get_le16(c + SLOT_CONTROL);
	bool level = (control & CONTROL_HP_IRQ) && (control & CONTROL_CC_IRQ) && (c[SLOT_STATUS] & STATUS_COMMAND_DONE);
	bool rise = level && !b->dev.intx;

	pci_dev_set_intx(&b->dev, level);
	if (rise)
		pci_dev_send_msix(&b->dev, 0);
}

static void config_written(void *ctx, unsigned off, unsigned size)
{
	struct pci_bridge *b = ctx;
	unsigned control = b->exp + (unsigned)SLOT_CONTROL;

	if (!b->exp || off >= control + 4 || off + size <= control)
		return;
	/* Indicators and power take effect at once: a write to slot control is a command that has completed. */
	if (off < control + 2)
		b->dev.config[b->exp + SLOT_STATUS] |= STATUS_COMMAND_DONE;
	update_irq(b);
}

static const struct pci_dev_ops ops = { .config_written = config_written };

/* Registers of every type 1 header (PCI-to-PCI Bridge 1.2 §3.2). */
static void init_header(struct pci_dev *d)
{
	uint8_t *c = d->config;

	c[PCI_HEADER_TYPE] = 1;
	memset(d->writable + PCI_BAR0 + 8, 0, 16);
	put_le32(c + PCI_SUBSYSTEM_VENDOR, 0);
	put_le32(d->writable + PCI_PRIMARY_BUS, 0xffffffff);
	put_le16(d->writable + 0x1c, 0xf0f0);	/* I/O base and limit */
	put_le16(d->clear_on_1 + 0x1e, 0xf900);
	put_le32(d->writable + 0x20, 0xfff0fff0);	/* memory base and limit */
	put_le32(c + 0x24, 0x00010001);			/* 64-bit prefetchable window */
	put_le32(d->writable + 0x24, 0xfff0fff0);
	put_le32(d->writable + 0x28, ~0u);
	put_le32(d->writable + 0x2c, ~0u);
	put_le16(d->writable + PCI_BRIDGE_CONTROL, 0x0fff);
}

static void init_slot(struct pci_bridge *b, const struct env_pci *env, bool occupied)
{
	struct pci_dev *d = &b->dev;
	unsigned cap = pci_dev_add_cap(d, PCI_CAP_SUBSYSTEM, 8);
	uint8_t *c;

	put_le16(d->config + cap + 4, env->subsystem_vendor);
	put_le16(d->config + cap + 6, env->subsystem_device);
	pci_dev_add_bar(d, 0, PCI_BAR_MEM32, 4096);
	pci_dev_add_msix(d, 1, 0, 0, 0x800);
	b->exp = (uint8_t)pci_dev_add_express(d, 0, 4);
	c = d->config + b->exp;
	put_le16(c + 2, get_le16(c + 2) | 0x100);	/* slot implemented */
	/* attention button, power controller, both indicators, surprise, hot plug capable */
	put_le32(c + SLOT_CAP, (env->hotplug ? 0x2007bu : 0) | (uint32_t)env->slot << 19);
	put_le16(d->writable + b->exp + SLOT_CONTROL, 0x17ff);
	put_le16(c + SLOT_CONTROL, occupied ? 0x01c0 : 0x07c0);	/* indicators off; power on when occupied */
	put_le16(c + SLOT_STATUS, occupied ? STATUS_PRESENT : 0);
	put_le16(d->clear_on_1 + b->exp + SLOT_STATUS, 0x011f);
	put_le32(c + 0x0c, get_le32(c + 0x0c) | BIT(20));	/* data link layer active reporting */
	put_le16(c + 0x12, (uint16_t)(0x11 | (occupied ? STATUS_LINK_ACTIVE : 0)));
	put_le16(d->writable + b->exp + ROOT_CONTROL, 0x1f);
	put_le32(d->clear_on_1 + b->exp + ROOT_STATUS, 0x10000);
}

void pci_bridge_init(struct pci_bridge *b, const struct env_pci *env, struct pci_host *host, bool occupied)
{
	const struct pci_id id = { env->vendor_id, env->device_id, 0, 0, 0x060400, env->revision };

	memset(b, 0, sizeof *b);
	pci_dev_init(&b->dev, env->name[0] ? env->name : "pci-bridge", &id, &ops, b);
	init_header(&b->dev);
	pci_dev_set_pin(&b->dev, 1);
	b->bus.bridge = &b->dev;
	b->bus.host = host;
	b->dev.secondary = &b->bus;
	if (env->kind == ENV_PCI_ROOT_PORT) {
		init_slot(b, env, occupied);
	} else {
		unsigned cap = pci_dev_add_cap(&b->dev, PCI_CAP_SUBSYSTEM, 8);

		put_le16(b->dev.config + cap + 4, env->subsystem_vendor);
		put_le16(b->dev.config + cap + 6, env->subsystem_device);
		put_le16(b->dev.config + PCI_STATUS, get_le16(b->dev.config + PCI_STATUS) | 0xa0);	/* 66 MHz, fast back-to-back */
	}
}
