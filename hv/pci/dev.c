/* SPDX-License-Identifier: Apache-2.0 */
/* One PCI function: its description, config space, BARs and interrupts. */
#include <errno.h>
#include <string.h>
#include "hv/pci/pci.h"
#include "hv/pci/pci_priv.h"
#include "lib/bits.h"

static uint64_t no_bar_read(void *ctx, unsigned bar, uint64_t off, unsigned size) { return 0; }
static void no_bar_write(void *ctx, unsigned bar, uint64_t off, unsigned size, uint64_t val) {}
static void no_config(void *ctx, unsigned off, unsigned size) {}
static void no_mapped(void *ctx, unsigned bar, uint64_t addr) {}
static void no_reset(void *ctx) {}

void pci_dev_init(struct pci_dev *dev, const char *name, const struct pci_id *id, const struct pci_dev_ops *ops, void *ctx)
{
	uint8_t *c = dev->config;

	memset(dev, 0, sizeof *dev);
	dev->name = name;
	dev->ops = (struct pci_dev_ops){
		.bar_read = ops && ops->bar_read ? ops->bar_read : no_bar_read,
		.bar_write = ops && ops->bar_write ? ops->bar_write : no_bar_write,
		.config_read = ops && ops->config_read ? ops->config_read : no_config,
		.config_written = ops && ops->config_written ? ops->config_written : no_config,
		.bar_mapped = ops && ops->bar_mapped ? ops->bar_mapped : no_mapped,
		.reset = ops && ops->reset ? ops->reset : no_reset,
	};
	dev->ctx = ctx;
	dev->config_size = PCI_CONFIG_SIZE;
	dev->cap_end = 0x40;
	dev->cap_last = PCI_CAP_PTR;
	put_le16(c + PCI_VENDOR_ID, id->vendor);
	put_le16(c + PCI_DEVICE_ID, id->device);
	c[PCI_REVISION] = id->revision;
	c[PCI_CLASS_PROG] = (uint8_t)id->class_code;
	put_le16(c + PCI_CLASS_PROG + 1, (uint16_t)(id->class_code >> 8));
	put_le16(c + PCI_SUBSYSTEM_VENDOR, id->subsystem_vendor);
	put_le16(c + PCI_SUBSYSTEM_ID, id->subsystem_device);
	put_le16(dev->writable + PCI_COMMAND,
		 PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF | PCI_COMMAND_SERR);
	dev->writable[PCI_CACHE_LINE] = 0xff;
	dev->writable[PCI_INTERRUPT_LINE] = 0xff;
	put_le16(dev->clear_on_1 + PCI_STATUS, 0xf900);	/* parity, aborts, system error */
}

void pci_dev_set_writable(struct pci_dev *dev, unsigned off, unsigned size, uint32_t mask)
{
	bug_on(off + size > PCIE_CONFIG_SIZE);
	put_le(dev->writable + off, size, get_le(dev->writable + off, size) | mask);
}

void pci_dev_set_pin(struct pci_dev *dev, unsigned pin)
{
	dev->config[PCI_INTERRUPT_PIN] = (uint8_t)pin;
}

void pci_dev_add_bar(struct pci_dev *dev, unsigned index, enum pci_bar_kind kind, uint64_t size)
{
	struct pci_bar *b = &dev->bar[index];
	unsigned reg = PCI_BAR0 + 4 * index;
	uint64_t mask = ~(size - 1);

	bug_on(index >= PCI_BARS || !bits_is_pow2(size) || size < (kind == PCI_BAR_IO ? 4 : 16));
	b->kind = kind;
	b->size = size;
	b->dev = dev;
	b->index = (uint8_t)index;
	switch (kind) {
	case PCI_BAR_IO:
		dev->config[reg] = 1;
		break;
	case PCI_BAR_MEM64:
	case PCI_BAR_MEM64_PREFETCH:
		bug_on(index + 1 >= PCI_BARS);
		dev->config[reg] = kind == PCI_BAR_MEM64 ? 4 : 0xc;
		pci_dev_set_writable(dev, reg + 4, 4, (uint32_t)(mask >> 32));
		break;
	default:
		break;
	}
	pci_dev_set_writable(dev, reg, 4, (uint32_t)mask);
}

void pci_dev_add_cap_at(struct pci_dev *dev, uint8_t id, unsigned off, unsigned len)
{
	bug_on(off < 0x40 || off + len > PCI_CONFIG_SIZE || (off & 3));
	dev->config[PCI_STATUS] |= PCI_STATUS_CAPS;
	dev->config[off] = id;
	dev->config[off + 1] = 0;
	dev->config[dev->cap_last] = (uint8_t)off;
	dev->cap_last = (uint8_t)(off + 1);
	if (off + len > dev->cap_end)
		dev->cap_end = (uint16_t)bits_align_up(off + len, 4);
}

unsigned pci_dev_add_cap(struct pci_dev *dev, uint8_t id, unsigned len)
{
	unsigned off = dev->cap_end;

	pci_dev_add_cap_at(dev, id, off, len);
	return off;
}

unsigned pci_dev_add_express(struct pci_dev *dev, unsigned off, unsigned type)
{
	uint8_t *c;

	if (off)
		pci_dev_add_cap_at(dev, PCI_CAP_EXPRESS, off, 0x3c);
	else
		off = pci_dev_add_cap(dev, PCI_CAP_EXPRESS, 0x3c);
	c = dev->config + off;
	put_le16(c + 2, (uint16_t)(2 | type << 4));	/* capability version 2 */
	put_le32(c + 4, 0x8000);			/* role-based error reporting */
	put_le16(dev->writable + off + 8, 0x00ef);	/* device control: error enables, payload sizes */
	put_le16(dev->clear_on_1 + off + 10, 0x000f);
	put_le32(c + 0x0c, 0x11 | 3 << 10);		/* 2.5 GT/s ×1, ASPM L0s/L1 */
	put_le16(dev->writable + off + 0x10, 0x00f3);
	put_le16(c + 0x12, 0x11);			/* 2.5 GT/s, ×1 */
	put_le16(c + 0x2c, 0);
	dev->express = true;
	dev->config_size = PCIE_CONFIG_SIZE;
	return off;
}

int pci_bus_attach(struct pci_bus *bus, struct pci_dev *dev, unsigned device, unsigned function)
{
	uint8_t devfn = PCI_DEVFN(device, function);

	if (bus->dev[devfn])
		return -EEXIST;
	dev->devfn = devfn;
	dev->bus = bus;
	bus->dev[devfn] = dev;
	/* A device with more than function 0 says so in each function's header (PCI 3.0 §6.2.1). */
	for (unsigned fn = 0; fn < 8; fn++) {
		struct pci_dev *sibling = bus->dev[PCI_DEVFN(device, fn)];

		if (fn == function || !sibling)
			continue;
		dev->config[PCI_HEADER_TYPE] |= 0x80;
		sibling->config[PCI_HEADER_TYPE] |= 0x80;
		sibling->initial[PCI_HEADER_TYPE] |= 0x80;
	}
	memcpy(dev->initial, dev->config, sizeof dev->initial);
	return 0;
}

/* ---- BAR decoding */

static uint64_t bar_read(void *ctx, uint64_t off, unsigned size)
{
	struct pci_bar *b = ctx;
	struct pci_dev *dev = b->dev;
	uint64_t val;

	if (dev->msix.vectors && pci_msix_read(dev, b->index, off, size, &val))
		return val;
	return dev->ops.bar_read(dev->ctx, b->index, off, size);
}

static void bar_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct pci_bar *b = ctx;
	struct pci_dev *dev = b->dev;

	if (dev->msix.vectors && pci_msix_write(dev, b->index, off, size, val))
		return;
	dev->ops.bar_write(dev->ctx, b->index, off, size, val);
}

static const struct bus_ops bar_ops = { .read = bar_read, .write = bar_write };

/* Where the guest wants this BAR now; ~0 when it is not to be decoded. */
static uint64_t wanted(const struct pci_dev *dev, const struct pci_bar *b)
{
	const uint8_t *reg = dev->config + PCI_BAR0 + 4 * b->index;
	uint16_t command = get_le16(dev->config + PCI_COMMAND);
	bool io = b->kind == PCI_BAR_IO;
	uint64_t addr = get_le32(reg) & ~(b->size - 1) & ~(io ? 3ull : 15ull), top = io ? 0xffff : 0xffffffff;

	if (b->kind >= PCI_BAR_MEM64) {
		addr |= (uint64_t)(get_le32(reg + 4) & ~((b->size - 1) >> 32)) << 32;
		top = (1ull << 52) - 1;
	}
	if (!(command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return ~0ull;
	/* Sizing writes all ones: an address whose end is past the space is no place to decode. */
	if (!addr || addr + b->size - 1 > top || (!io && addr + b->size - 1 == 0xffffffff))
		return ~0ull;
	return addr;
}

void pci_dev_update_bars(struct pci_dev *dev)
{
	struct pci_host *host = dev->bus ? dev->bus->host : NULL;

	for (unsigned i = 0; host && i < PCI_BARS; i++) {
		struct pci_bar *b = &dev->bar[i];
		struct bus *bus = b->kind == PCI_BAR_IO ? host->ports : host->mmio;
		uint64_t addr;

		if (b->kind == PCI_BAR_NONE)
			continue;
		addr = wanted(dev, b);
		if (b->range.mapped && b->range.base == addr)
			continue;
		if (b->range.mapped) {
			bus_remove(bus, &b->range);
			dev->ops.bar_mapped(dev->ctx, i, ~0ull);
		}
		if (addr == ~0ull)
			continue;
		b->range = (struct bus_range){ .base = addr, .len = b->size, .ops = &bar_ops, .ctx = b, .name = dev->name,
						.hits = b->range.hits };
		if (!bus_add(bus, &b->range))
			dev->ops.bar_mapped(dev->ctx, i, addr);
	}
}

/* ---- config space */

uint64_t pci_dev_config_read(struct pci_dev *dev, unsigned off, unsigned size)
{
	if (off + size > dev->config_size)
		return bits_mask(size);
	dev->ops.config_read(dev->ctx, off, size);
	return get_le(dev->config + off, size);
}

static bool touches(unsigned off, unsigned size, unsigned at, unsigned len)
{
	return off < at + len && at < off + size;
}

void pci_dev_config_write(struct pci_dev *dev, unsigned off, unsigned size, uint64_t val)
{
	if (off + size > dev->config_size)
		return;
	for (unsigned i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)(val >> (8 * i)), w = dev->writable[off + i];

		dev->config[off + i] = (uint8_t)((dev->config[off + i] & ~w) | (byte & w));
		dev->config[off + i] &= (uint8_t)~(byte & dev->clear_on_1[off + i]);
	}
	if (touches(off, size, PCI_COMMAND, 2) || touches(off, size, PCI_BAR0, 4 * PCI_BARS))
		pci_dev_update_bars(dev);
	if (touches(off, size, PCI_COMMAND, 2))
		pci_dev_update_intx(dev);
	pci_msi_config_written(dev, off, size);
	dev->ops.config_written(dev->ctx, off, size);
}

void pci_dev_reset(struct pci_dev *dev)
{
	memcpy(dev->config, dev->initial, sizeof dev->config);
	pci_dev_update_bars(dev);
	pci_dev_set_intx(dev, 0);
	pci_msix_reset(dev);
	dev->ops.reset(dev->ctx);
}

/* ---- DMA */

bool pci_dev_may_dma(const struct pci_dev *dev)
{
	return dev->bus && (dev->config[PCI_COMMAND] & PCI_COMMAND_MASTER);
}

int pci_dev_dma_read(struct pci_dev *dev, uint64_t gpa, void *dst, uint64_t len)
{
	if (!pci_dev_may_dma(dev)) {
		memset(dst, 0, len);
		return -EFAULT;
	}
	return mem_read(dev->bus->host->mem, gpa, dst, len);
}

int pci_dev_dma_write(struct pci_dev *dev, uint64_t gpa, const void *src, uint64_t len)
{
	return pci_dev_may_dma(dev) ? mem_write(dev->bus->host->mem, gpa, src, len) : -EFAULT;
}

void *pci_dev_dma_at(struct pci_dev *dev, uint64_t gpa, uint64_t len)
{
	return pci_dev_may_dma(dev) ? mem_at(dev->bus->host->mem, gpa, len) : NULL;
}
