/* SPDX-License-Identifier: Apache-2.0 */
/* A function's interrupts: INTx with swizzling through bridges, MSI, MSI-X (PCI Local Bus 3.0 §2.2.6, §6.8). */
#include <string.h>
#include "hv/pci/pci.h"
#include "hv/pci/pci_priv.h"
#include "lib/bits.h"

enum { MSI_CONTROL = 2, MSI_ENABLE = 1, MSI_64 = 0x80 };
enum { MSIX_CONTROL = 2, MSIX_ENABLE = 0x8000, MSIX_MASK_ALL = 0x4000 };

/* ---- INTx */

void pci_dev_update_intx(struct pci_dev *dev)
{
	bool off = get_le16(dev->config + PCI_COMMAND) & PCI_COMMAND_INTX_OFF;
	bool level = dev->intx && !off && !pci_dev_msi_on(dev) && !pci_dev_msix_on(dev);
	unsigned pin = dev->config[PCI_INTERRUPT_PIN];
	struct pci_dev *at = dev;

	if (!pin || !dev->bus || level == dev->intx_driven)
		return;
	dev->intx_driven = level;
	pin--;
	/* PCI-to-PCI Bridge 1.2 §9.1: a bridge hands pin p of device d up as (p + d) mod 4 */
	for (; at->bus->bridge; at = at->bus->bridge)
		pin = (pin + (at->devfn >> 3)) & 3;
	dev->bus->host->ops->intx(dev->bus->host->ctx, at->devfn, pin, level);
}

void pci_dev_set_intx(struct pci_dev *dev, int level)
{
	dev->intx = level;
	if (level)
		dev->config[PCI_STATUS] |= PCI_STATUS_INTX;
	else
		dev->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
	pci_dev_update_intx(dev);
}

/* ---- MSI */

void pci_dev_add_msi(struct pci_dev *dev, unsigned off, bool address64)
{
	unsigned len = address64 ? 14 : 10;

	if (off)
		pci_dev_add_cap_at(dev, PCI_CAP_MSI, off, len);
	else
		off = pci_dev_add_cap(dev, PCI_CAP_MSI, len);
	dev->msi_cap = (uint8_t)off;
	put_le16(dev->config + off + MSI_CONTROL, address64 ? MSI_64 : 0);
	pci_dev_set_writable(dev, off + MSI_CONTROL, 2, MSI_ENABLE);
	pci_dev_set_writable(dev, off + 4, 4, ~3u);
	if (address64)
		pci_dev_set_writable(dev, off + 8, 4, ~0u);
	pci_dev_set_writable(dev, off + (address64 ? 12 : 8), 2, 0xffff);
}

bool pci_dev_msi_on(const struct pci_dev *dev)
{
	return dev->msi_cap && (dev->config[dev->msi_cap + MSI_CONTROL] & MSI_ENABLE);
}

void pci_dev_send_msi(struct pci_dev *dev)
{
	const uint8_t *c = dev->config + dev->msi_cap;
	uint64_t addr;

	if (!pci_dev_msi_on(dev) || !pci_dev_may_dma(dev))
		return;
	addr = get_le32(c + 4);
	if (c[MSI_CONTROL] & MSI_64) {
		addr |= (uint64_t)get_le32(c + 8) << 32;
		c += 4;
	}
	dev->bus->host->ops->msi(dev->bus->host->ctx, addr, get_le16(c + 8));
}

void pci_dev_set_irq(struct pci_dev *dev, int level)
{
	bool rise = level && !dev->intx;

	pci_dev_set_intx(dev, level);
	if (rise)
		pci_dev_send_msi(dev);
}

void pci_msi_config_written(struct pci_dev *dev, unsigned off, unsigned size)
{
	uint8_t cap = dev->msix.cap;

	pci_dev_update_intx(dev);
	if (!dev->msix.vectors || off > cap + MSIX_CONTROL + 1u || off + size <= cap + (unsigned)MSIX_CONTROL)
		return;
	if (!pci_dev_msix_on(dev) || (get_le16(dev->config + cap + MSIX_CONTROL) & MSIX_MASK_ALL))
		return;
	for (unsigned v = 0; v < dev->msix.vectors; v++) {
		if (dev->msix.pending & BIT64(v))
			pci_dev_send_msix(dev, v);
	}
}

/* ---- MSI-X */

void pci_dev_add_msix(struct pci_dev *dev, unsigned off, unsigned vectors, unsigned bar, uint32_t table_off, uint32_t pba_off)
{
	struct pci_msix *m = &dev->msix;

	bug_on(!vectors || vectors > PCI_MAX_MSIX);
	if (off)
		pci_dev_add_cap_at(dev, PCI_CAP_MSIX, off, 12);
	else
		off = pci_dev_add_cap(dev, PCI_CAP_MSIX, 12);
	m->vectors = vectors;
	m->cap = (uint8_t)off;
	m->table_bar = m->pba_bar = (uint8_t)bar;
	m->table_off = table_off;
	m->pba_off = pba_off;
	put_le16(dev->config + off + MSIX_CONTROL, (uint16_t)(vectors - 1));
	put_le32(dev->config + off + 4, table_off | bar);
	put_le32(dev->config + off + 8, pba_off | bar);
	pci_dev_set_writable(dev, off + MSIX_CONTROL, 2, MSIX_ENABLE | MSIX_MASK_ALL);
	pci_msix_reset(dev);
}

void pci_msix_reset(struct pci_dev *dev)
{
	struct pci_msix *m = &dev->msix;

	memset(m->table, 0, sizeof m->table);
	for (unsigned v = 0; v < m->vectors; v++)
		m->table[v * 16 + 12] = 1;	/* vector control: masked */
	m->pending = 0;
}

bool pci_dev_msix_on(const struct pci_dev *dev)
{
	return dev->msix.vectors && (get_le16(dev->config + dev->msix.cap + MSIX_CONTROL) & MSIX_ENABLE);
}

void pci_dev_send_msix(struct pci_dev *dev, unsigned vector)
{
	struct pci_msix *m = &dev->msix;
	const uint8_t *e = m->table + vector * 16;

	if (vector >= m->vectors || !pci_dev_msix_on(dev))
		return;
	if ((get_le16(dev->config + m->cap + MSIX_CONTROL) & MSIX_MASK_ALL) || (e[12] & 1)) {
		m->pending |= BIT64(vector);
		return;
	}
	m->pending &= ~BIT64(vector);
	if (pci_dev_may_dma(dev))
		dev->bus->host->ops->msi(dev->bus->host->ctx, get_le64(e), get_le32(e + 8));
}

bool pci_msix_read(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size, uint64_t *val)
{
	const struct pci_msix *m = &dev->msix;
	uint8_t pba[8];

	if (bar == m->table_bar && off >= m->table_off && off + size <= m->table_off + m->vectors * 16) {
		*val = get_le(m->table + (off - m->table_off), size);
		return true;
	}
	if (bar == m->pba_bar && off >= m->pba_off && off + size <= m->pba_off + 8) {
		put_le64(pba, m->pending);
		*val = get_le(pba + (off - m->pba_off), size);
		return true;
	}
	return false;
}

bool pci_msix_write(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size, uint64_t val)
{
	struct pci_msix *m = &dev->msix;
	unsigned vector;
	bool masked;

	if (bar == m->pba_bar && off >= m->pba_off && off + size <= m->pba_off + 8)
		return true;
	if (bar != m->table_bar || off < m->table_off || off + size > m->table_off + m->vectors * 16)
		return false;
	/* Only aligned dwords and qwords are defined (PCI 3.0 §6.8.2); others are dropped. */
	if ((size != 4 && size != 8) || (off & (size - 1)))
		return true;
	vector = (unsigned)(off - m->table_off) / 16;
	masked = m->table[vector * 16 + 12] & 1;
	put_le(m->table + (off - m->table_off), size, val);
	m->table[vector * 16 + 12] &= 1;
	memset(m->table + vector * 16 + 13, 0, 3);
	if (masked && !(m->table[vector * 16 + 12] & 1) && (m->pending & BIT64(vector)))
		pci_dev_send_msix(dev, vector);
	return true;
}
