/* SPDX-License-Identifier: Apache-2.0 */
/* A machine with one e1000, seen from its driver: registers, rings in memory, interrupts. Header only. */
#pragma once
#include <stdlib.h>
#include <string.h>
#include "hv/dev/e1000.h"
#include "tests/unit/hv/fake_clock.h"
#include "tests/unit/hv/net/fake_port.h"
#include "tests/unit/hv/net/frames.h"

#define RIG_RAM 0x100000u
#define RIG_REGS 0xf0000000u
#define RIG_IO 0xc000u

enum { RIG_TX_RING = 0x1000, RIG_RX_RING = 0x2000, RIG_TX_BUF = 0x10000, RIG_RX_BUF = 0x80000, RIG_RX_STRIDE = 0x4000 };
enum { CTRL = 0x0, STATUS = 0x8, EECD = 0x10, EERD = 0x14, MDIC = 0x20, ICR = 0xc0, ITR = 0xc4, ICS = 0xc8,
	IMS = 0xd0, IMC = 0xd8, RCTL = 0x100, TCTL = 0x400, RDBAL = 0x2800, RDLEN = 0x2808, RDH = 0x2810, RDT = 0x2818,
	TDBAL = 0x3800, TDLEN = 0x3808, TDH = 0x3810, TDT = 0x3818, MPC = 0x4010, GPRC = 0x4074, BPRC = 0x4078,
	GPTC = 0x4080, GORCL = 0x4088, GORCH = 0x408c, RNBC = 0x40a0, TORL = 0x40c0, TPR = 0x40d0, TPT = 0x40d4,
	TSCTC = 0x40f8, RXCSUM = 0x5000, MTA = 0x5200, RAL = 0x5400, RAH = 0x5404, VFTA = 0x5600 };
enum { TXDW = 1, TXQE = 2, LSC = 4, RXDMT0 = 0x10, RXO = 0x40, RXT0 = 0x80 };
enum { EOP = 1, IFCS = 2, IC = 4, TSE = 4, RS = 8, DEXT = 0x20, VLE = 0x40 };

struct rig {
	struct bus ports, mmio;
	struct mem mem;
	struct pci_host host;
	struct fake_clock clock;
	struct fake_port port;
	struct env_pci env;
	struct e1000 *nic;
	int line;
	unsigned edges;
	unsigned tx, rx;	/* next descriptor the driver fills, looks at */
	unsigned rx_count;
	uint8_t ram[RIG_RAM];
};

static inline void rig_intx(void *ctx, uint8_t devfn, unsigned pin, int level)
{
	struct rig *r = ctx;

	r->edges += level && !r->line;
	r->line = level;
}

static inline void rig_msi(void *ctx, uint64_t addr, uint32_t data)
{
}

static const struct pci_host_ops rig_host_ops = { .intx = rig_intx, .msi = rig_msi };

static inline uint32_t rig_get(struct rig *r, uint32_t reg) { return (uint32_t)bus_read(&r->mmio, RIG_REGS + reg, 4); }
static inline void rig_set(struct rig *r, uint32_t reg, uint32_t val) { bus_write(&r->mmio, RIG_REGS + reg, 4, val); }

/* Powered on, BARs mapped, bus master; nothing of the chip programmed and the link still negotiating. */
static inline struct rig *rig_create(void)
{
	struct rig *r = calloc(1, sizeof *r);

	if (!r)
		abort();
	r->env = (struct env_pci){ .kind = ENV_PCI_E1000, .name = "net0", .vendor_id = 0x8086, .device_id = 0x100e,
				   .subsystem_vendor = 0x1af4, .subsystem_device = 0x1100, .revision = 3, .mac = { 0x52, 0x54, 0, 0, 0, 1 } };
	fake_clock_init(&r->clock);
	fake_port_init(&r->port);
	pci_host_init(&r->host, &rig_host_ops, r, &r->ports, &r->mmio, &r->mem);
	if (mem_add(&r->mem, 0, RIG_RAM, r->ram, false) || e1000_create(&r->nic, &r->env, &r->clock.clock, &r->port.port, NULL) ||
	    pci_bus_attach(&r->host.root, e1000_pci(r->nic), 3, 0))
		abort();
	pci_host_reset(&r->host);
	pci_dev_config_write(e1000_pci(r->nic), PCI_BAR0, 4, RIG_REGS);
	pci_dev_config_write(e1000_pci(r->nic), PCI_BAR0 + 4, 4, RIG_IO);
	pci_dev_config_write(e1000_pci(r->nic), PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	return r;
}

static inline void rig_free(struct rig *r)
{
	e1000_free(r->nic);
	free(r);
}

/* Receive descriptors with 16 KiB apart buffers; all but one are the chip's. */
static inline void rig_start_rx(struct rig *r, unsigned count, uint32_t rctl)
{
	r->rx_count = count;
	r->rx = 0;
	memset(r->ram + RIG_RX_RING, 0, count * 16);
	for (unsigned i = 0; i < count; i++)
		put_le64(r->ram + RIG_RX_RING + i * 16, RIG_RX_BUF + (uint64_t)(i % 16) * RIG_RX_STRIDE);
	rig_set(r, RDBAL, RIG_RX_RING);
	rig_set(r, RDBAL + 4, 0);
	rig_set(r, RDLEN, count * 16);
	rig_set(r, RDH, 0);
	rig_set(r, RDT, count - 1);
	rig_set(r, RCTL, 2 | rctl);
}

static inline void rig_start_tx(struct rig *r, unsigned count)
{
	r->tx = 0;
	memset(r->ram + RIG_TX_RING, 0, count * 16);
	rig_set(r, TDBAL, RIG_TX_RING);
	rig_set(r, TDBAL + 4, 0);
	rig_set(r, TDLEN, count * 16);
	rig_set(r, TDH, 0);
	rig_set(r, TDT, 0);
	rig_set(r, TCTL, 0xa);	/* enable, pad */
}

/* The usual: link up, rings of 16 and 8, broadcast accepted, FCS stripped, all causes enabled and cleared. */
static inline struct rig *rig_start(void)
{
	struct rig *r = rig_create();

	fake_clock_advance(&r->clock, 10000000);
	rig_start_tx(r, 16);
	rig_start_rx(r, 8, 1u << 15 | 1u << 26);
	rig_set(r, IMS, 0x1ffff);
	rig_get(r, ICR);
	r->edges = 0;
	return r;
}

/* Write a transmit descriptor; rig_kick sends. */
static inline uint8_t *rig_tx(struct rig *r, uint64_t addr, uint32_t cmd, uint32_t opts)
{
	uint8_t *d = r->ram + RIG_TX_RING + r->tx * 16;

	put_le64(d, addr);
	put_le32(d + 8, cmd);
	put_le32(d + 12, opts);
	r->tx = (r->tx + 1) % 16;
	return d;
}

static inline void rig_kick(struct rig *r) { rig_set(r, TDT, r->tx); }

static inline uint8_t *rig_tx_legacy(struct rig *r, uint64_t addr, unsigned len, unsigned cmd)
{
	return rig_tx(r, addr, len | cmd << 24, 0);
}

static inline uint8_t *rig_tx_data(struct rig *r, uint64_t addr, unsigned len, unsigned cmd, unsigned popts)
{
	return rig_tx(r, addr, len | 1u << 20 | (cmd | DEXT) << 24, popts << 8);
}

/* tucmd: 1 TCP, 2 IPv4, 4 TSE */
static inline uint8_t *rig_tx_context(struct rig *r, bool v6, bool tcp, unsigned tucmd, unsigned payload, unsigned header,
				       unsigned mss)
{
	unsigned l4 = v6 ? 54 : 34;
	uint64_t offsets = 14 | 24 << 8 | (v6 ? 0 : 33ull << 16) | (uint64_t)l4 << 32 | (uint64_t)(l4 + (tcp ? 16 : 6)) << 40;

	return rig_tx(r, offsets, payload | (tucmd | DEXT) << 24, header << 8 | mss << 16);
}

/* The chip's descriptor number i. */
static inline uint8_t *rig_rx_desc(struct rig *r, unsigned i) { return r->ram + RIG_RX_RING + i % r->rx_count * 16; }

static inline bool rig_give(struct rig *r, const uint8_t *frame, size_t len)
{
	return fake_port_give(&r->port, NULL, frame, len);
}

/* Give every descriptor but one back to the chip, empty. */
static inline void rig_refill(struct rig *r)
{
	unsigned head = rig_get(r, RDH);

	for (unsigned i = 0; i < r->rx_count; i++)
		put_le64(rig_rx_desc(r, i) + 8, 0);
	rig_set(r, RDT, (head + r->rx_count - 1) % r->rx_count);
}
