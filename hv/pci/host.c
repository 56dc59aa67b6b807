/* SPDX-License-Identifier: Apache-2.0 */
/* The way into the tree: configuration mechanism 1 (PCI 3.0 §3.2.2.3.2), ECAM (PCIe 2.0 §7.2.2), and machine reset. */
#include <string.h>
#include "hv/pci/host.h"
#include "hv/pci/pci_priv.h"
#include "lib/bits.h"

void pci_host_init(struct pci_host *host, const struct pci_host_ops *ops, void *ctx, struct bus *ports, struct bus *mmio,
		   struct mem *mem)
{
	memset(host, 0, sizeof *host);
	host->root.host = host;
	host->ops = ops;
	host->ctx = ctx;
	host->ports = ports;
	host->mmio = mmio;
	host->mem = mem;
}

/* The bus that answers to a number now: the guest numbers buses through the bridges' registers. */
static struct pci_bus *find_bus(struct pci_bus *bus, unsigned number)
{
	/* Each step goes one bridge down the tree, which the machine built: it ends. */
	while (number) {
		struct pci_bus *next = NULL;

		for (unsigned i = 0; i < 256 && !next; i++) {
			struct pci_dev *d = bus->dev[i];
			const uint8_t *c = d ? d->config : NULL;

			if (!d || !d->secondary || number < c[PCI_SECONDARY_BUS] || number > c[PCI_SUBORDINATE_BUS] ||
			    !c[PCI_SECONDARY_BUS])
				continue;
			if (number == c[PCI_SECONDARY_BUS])
				return d->secondary;
			next = d->secondary;
		}
		if (!next)
			return NULL;
		bus = next;
	}
	return bus;
}

static struct pci_dev *find_dev(struct pci_host *host, unsigned bus, uint8_t devfn)
{
	struct pci_bus *b = find_bus(&host->root, bus);

	return b ? b->dev[devfn] : NULL;
}

uint64_t pci_host_config_read(struct pci_host *host, unsigned bus, uint8_t devfn, unsigned off, unsigned size)
{
	struct pci_dev *d = find_dev(host, bus, devfn);

	return d ? pci_dev_config_read(d, off, size) : bits_mask(size);
}

void pci_host_config_write(struct pci_host *host, unsigned bus, uint8_t devfn, unsigned off, unsigned size, uint64_t val)
{
	struct pci_dev *d = find_dev(host, bus, devfn);

	if (d)
		pci_dev_config_write(d, off, size, val);
}

static void reset_bus(struct pci_bus *bus)
{
	for (unsigned i = 0; i < 256; i++) {
		if (!bus->dev[i])
			continue;
		pci_dev_reset(bus->dev[i]);
		if (bus->dev[i]->secondary)
			reset_bus(bus->dev[i]->secondary);
	}
}

void pci_host_reset(struct pci_host *host)
{
	host->config_address = 0;
	reset_bus(&host->root);
}

/* ---- ports 0xcf8 (address) and 0xcfc (data) */

static uint64_t address_read(void *ctx, uint64_t off, unsigned size)
{
	struct pci_host *host = ctx;

	return host->config_address >> (8 * off);
}

static void address_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct pci_host *host = ctx;

	if (size == 4)
		host->config_address = (uint32_t)val & 0x80fffffc;
}

static uint64_t data_read(void *ctx, uint64_t off, unsigned size)
{
	struct pci_host *host = ctx;
	uint32_t a = host->config_address;

	if (!(a & 0x80000000))
		return bits_mask(size);
	return pci_host_config_read(host, (a >> 16) & 0xff, (uint8_t)(a >> 8), (a & 0xfc) + (unsigned)off, size);
}

static void data_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	struct pci_host *host = ctx;
	uint32_t a = host->config_address;

	if (a & 0x80000000)
		pci_host_config_write(host, (a >> 16) & 0xff, (uint8_t)(a >> 8), (a & 0xfc) + (unsigned)off, size, val);
}

const struct bus_ops pci_host_address_ops = { .read = address_read, .write = address_write };
const struct bus_ops pci_host_data_ops = { .read = data_read, .write = data_write };

/* ---- ECAM: bus << 20 | devfn << 12 | register */

static uint64_t ecam_read(void *ctx, uint64_t off, unsigned size)
{
	unsigned reg = off & 0xfff;

	if (reg + size > PCIE_CONFIG_SIZE)
		return bits_mask(size);
	return pci_host_config_read(ctx, (off >> 20) & 0xff, (uint8_t)(off >> 12), reg, size);
}

static void ecam_write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	unsigned reg = off & 0xfff;

	if (reg + size <= PCIE_CONFIG_SIZE)
		pci_host_config_write(ctx, (off >> 20) & 0xff, (uint8_t)(off >> 12), reg, size, val);
}

const struct bus_ops pci_host_ecam_ops = { .read = ecam_read, .write = ecam_write };
