/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/pci/bridge.h"
#include <string.h>
#include "lib/bits.h"

enum { /* where a root port has its capabilities; the list begins with Express and ends with the subsystem */
	AT_SUBSYSTEM = 0x40, AT_MSIX = 0x48, AT_EXPRESS = 0x54, AT_AER = 0x100, AT_ACS = 0x148,
};

enum { /* Express capability registers */
	FLAGS = 0x02, DEV_CONTROL = 0x08, LINK_CAP = 0x0c, LINK_CONTROL = 0x10, LINK_STATUS = 0x12, SLOT_CAP = 0x14, SLOT_CONTROL = 0x18,
	SLOT_STATUS = 0x1a, ROOT_CONTROL = 0x1c, ROOT_STATUS = 0x20, DEV_CAP2 = 0x24, DEV_CONTROL2 = 0x28, LINK_CAP2 = 0x2c,
	LINK_CONTROL2 = 0x30,
	FLAG_SLOT = BIT(8),
	LINK_ASPM_L0S = BIT(10), LINK_ACTIVE_REPORTED = BIT(20), LINK_BANDWIDTH_NOTIFIED = BIT(21),
	LINK_STATUS_ACTIVE = BIT(13),
	SLOT_CAP_BUTTON = BIT(0), SLOT_CAP_POWER = BIT(1), SLOT_CAP_INDICATORS = BIT(3) | BIT(4), SLOT_CAP_HOTPLUG = BIT(5) | BIT(6),
	SLOT_CAP_INTERLOCK = BIT(17),
	CONTROL_CC_IRQ = BIT(4), CONTROL_HP_IRQ = BIT(5), CONTROL_INTERLOCK = BIT(11),
	STATUS_COMMAND_DONE = BIT(4), STATUS_PRESENT = BIT(6), STATUS_INTERLOCK = BIT(7),
};

enum { /* Advanced Error Reporting and Access Control Services registers */
	AER_ID = 1, AER_UNCORRECTED = 0x04, AER_SEVERITY = 0x0c, AER_CORRECTED = 0x10, AER_CORRECTED_MASK = 0x14, AER_CONTROL = 0x18,
	AER_ROOT_COMMAND = 0x2c, AER_ROOT_STATUS = 0x30,
	ACS_ID = 13, ACS_CAP = 4, ACS_CONTROL = 6,
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

static void command(struct pci_bridge *b)
{
	uint8_t *c = b->dev.config + b->exp;
	uint16_t control = get_le16(c + SLOT_CONTROL);

	if (control & CONTROL_INTERLOCK) {	/* a toggle that reads as zero */
		put_le16(c + SLOT_CONTROL, control & (uint16_t)~CONTROL_INTERLOCK);
		c[SLOT_STATUS] ^= STATUS_INTERLOCK;
	}
	c[SLOT_STATUS] |= STATUS_COMMAND_DONE;
}

static void config_written(void *ctx, unsigned off, unsigned size)
{
	struct pci_bridge *b = ctx;
	unsigned control = b->exp + (unsigned)SLOT_CONTROL;

	if (!b->exp || off >= control + 4 || off + size <= control)
		return;
	/* Indicators and power take effect at once: a write to slot control is a command that has completed. */
	if (off < control + 2)
		command(b);
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
	/* Windows are closed at power-on: each base above its limit. */
	put_le16(c + 0x1c, 0x00f0);
	put_le16(d->writable + 0x1c, 0xf0f0);	/* I/O base and limit */
	put_le16(d->clear_on_1 + 0x1e, 0xf900);
	put_le32(c + 0x20, 0x0000fff0);
	put_le32(d->writable + 0x20, 0xfff0fff0);	/* memory base and limit */
	put_le32(c + 0x24, 0x0001fff1);			/* 64-bit prefetchable window */
	put_le32(d->writable + 0x24, 0xfff0fff0);
	put_le32(d->writable + 0x28, ~0u);
	put_le32(d->writable + 0x2c, ~0u);
	put_le16(d->writable + PCI_BRIDGE_CONTROL, 0x0fff);
}

/* Link (PCIe 4.0 §7.5.3.6-8, §7.5.3.18-19): what the environment says is both what the port can do and what it does. */
static void init_link(struct pci_dev *d, const struct env_pci *env, bool occupied)
{
	uint8_t *c = d->config + AT_EXPRESS;
	uint32_t link = env->link_speed | (uint32_t)env->link_width << 4;

	put_le32(c + LINK_CAP, link | LINK_ASPM_L0S | LINK_ACTIVE_REPORTED | (link == 0x11 ? 0 : LINK_BANDWIDTH_NOTIFIED));
	put_le16(d->writable + AT_EXPRESS + LINK_CONTROL, 0);
	put_le16(c + LINK_STATUS, (uint16_t)(link | (occupied ? LINK_STATUS_ACTIVE : 0)));
	if (env->link_speed > 1) {	/* the vector of speeds begins at bit 1 */
		put_le32(c + LINK_CAP2, (BIT(env->link_speed) - 1) << 1);
		put_le16(c + LINK_CONTROL2, env->link_speed);
	}
}

static void init_slot(struct pci_dev *d, const struct env_pci *env, bool occupied)
{
	uint8_t *c = d->config + AT_EXPRESS, *w = d->writable + AT_EXPRESS, *w1c = d->clear_on_1 + AT_EXPRESS;
	uint32_t cap = SLOT_CAP_BUTTON | SLOT_CAP_POWER | SLOT_CAP_INDICATORS | SLOT_CAP_INTERLOCK;

	cap |= env->hotplug ? SLOT_CAP_HOTPLUG : 0;
	put_le16(c + FLAGS, get_le16(c + FLAGS) | FLAG_SLOT);
	put_le16(w + DEV_CONTROL, 0x000f);
	put_le32(c + SLOT_CAP, cap | (uint32_t)env->slot << 19);
	put_le16(w + SLOT_CONTROL, 0x07f9 | CONTROL_INTERLOCK);
	put_le16(c + SLOT_CONTROL, occupied ? 0x01c0 : 0x07c0);	/* indicators off; power on when occupied */
	put_le16(c + SLOT_STATUS, occupied ? STATUS_PRESENT : 0);
	put_le16(w1c + SLOT_STATUS, 0x011f);
	put_le16(w + ROOT_CONTROL, 0x0007);
	put_le32(w1c + ROOT_STATUS, 0x10000);
	put_le32(c + DEV_CAP2, 0x00300020);		/* ARI forwarding, one end-to-end prefix */
	put_le16(w + DEV_CONTROL2, 0x8020);
}

static uint8_t *add_extended(struct pci_dev *d, unsigned off, uint32_t id, uint32_t version, uint32_t next)
{
	put_le32(d->config + off, id | version << 16 | next << 20);
	return d->config + off;
}

/* Errors never happen here: status bits stay clear, everything a driver sets up can be set (PCIe 4.0 §7.8.4, §7.7.8). */
static void init_extended(struct pci_dev *d)
{
	uint8_t *c = add_extended(d, AT_AER, AER_ID, 2, AT_ACS), *w = d->writable + AT_AER, *w1c = d->clear_on_1 + AT_AER;

	put_le32(w1c + AER_UNCORRECTED, 0x03fff030);
	put_le32(c + AER_SEVERITY, 0x00462030);
	put_le32(w + AER_SEVERITY, 0x03fff030);
	put_le32(w1c + AER_CORRECTED, 0xf1c1);
	put_le32(c + AER_CORRECTED_MASK, 0xe000);
	put_le32(w + AER_CORRECTED_MASK, 0xf1c1);
	put_le32(c + AER_CONTROL, 0x02a0);		/* ECRC generation and check, several headers: capable of */
	put_le32(w + AER_CONTROL, 0x0540);		/* … and enabled */
	put_le32(w + AER_ROOT_COMMAND, 7);
	put_le32(w1c + AER_ROOT_STATUS, 0x7f);
	c = add_extended(d, AT_ACS, ACS_ID, 1, 0);
	put_le16(c + ACS_CAP, 0x005f);
	put_le16(d->writable + AT_ACS + ACS_CONTROL, 0x005f);
}

static void add_subsystem(struct pci_dev *d, const struct env_pci *env)
{
	pci_dev_add_cap_at(d, PCI_CAP_SUBSYSTEM, AT_SUBSYSTEM, 8);
	put_le16(d->config + AT_SUBSYSTEM + 4, env->subsystem_vendor);
	put_le16(d->config + AT_SUBSYSTEM + 6, env->subsystem_device);
}

static void init_port(struct pci_bridge *b, const struct env_pci *env, bool occupied)
{
	struct pci_dev *d = &b->dev;

	b->exp = (uint8_t)pci_dev_add_express(d, AT_EXPRESS, 4);
	pci_dev_add_bar(d, 0, PCI_BAR_MEM32, 4096);
	pci_dev_add_msix(d, AT_MSIX, 1, 0, 0, 0x800);
	add_subsystem(d, env);
	put_le16(d->writable + PCI_BRIDGE_CONTROL, 0x005f);
	init_slot(d, env, occupied);
	init_link(d, env, occupied);
	init_extended(d);
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
		init_port(b, env, occupied);
	} else {
		add_subsystem(&b->dev, env);
		put_le16(b->dev.config + PCI_STATUS, get_le16(b->dev.config + PCI_STATUS) | 0xa0);	/* 66 MHz, fast back-to-back */
	}
}
