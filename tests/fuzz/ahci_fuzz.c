/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile driver against the SATA controller. The input is a stream of 8-byte operations on registers, guest memory and
 * the disk's completions; a few of them build plausible commands, so that the fuzzer gets past the first checks.
 */
#include <errno.h>
#include "hv/dev/ahci.h"
#include "lib/bits.h"
#include "tests/unit/hv/block/fault.h"

enum { RAM = 1 << 20, DISK_SIZE = 1 << 20, BAR5 = 0xfebf1000u, BAR4 = 0xc000, LIST = 0x1000, FIS = 0x2000, TABLE = 0x4000,
	DATA = 0x20000 };

static void intx(void *ctx, uint8_t devfn, unsigned pin, int level) { }
static void msi(void *ctx, uint64_t addr, uint32_t data) { }
static const struct pci_host_ops host_ops = { .intx = intx, .msi = msi };

static struct {
	struct mem mem;
	struct bus ports, mmio;
	struct pci_host host;
	struct ahci *ahci;
	struct fault *disk;
} m;
static uint8_t ram[RAM];

static const struct env_pci env = {
	.name = "sata", .ports = 3, .disk_count = 2, .vendor_id = 0x8086, .device_id = 0x2922,
	.disks = {
		{ .name = "sda", .port = 0, .model = "disk", .serial = "serial", .firmware = "1", .wwn = 0x5000000000000001, .size = DISK_SIZE,
			.logical = 512, .physical = 4096, .trim = true },
		{ .name = "sr0", .medium = ENV_CD, .port = 1, .model = "QEMU DVD-ROM", .serial = "QM1", .firmware = "2.5+",
			.inquiry_vendor = "QEMU", .inquiry_product = "QEMU DVD-ROM" },
	},
};

static void start(void)
{
	struct block *disks[AHCI_PORTS];
	struct pci_dev *d;

	memset(&m, 0, sizeof m);
	memset(ram, 0, sizeof ram);
	m.disk = fault_create(DISK_SIZE);
	disks[0] = &m.disk->b;
	if (mem_add(&m.mem, 0, RAM / 2, ram, false) || mem_add(&m.mem, RAM / 2, RAM / 4, ram + RAM / 2, false) ||
		mem_add(&m.mem, RAM / 4 * 3, RAM / 4, ram + RAM / 4 * 3, true))
		abort();
	pci_host_init(&m.host, &host_ops, NULL, &m.ports, &m.mmio, &m.mem);
	if (ahci_create(&env, disks, &m.ahci, NULL) || pci_bus_attach(&m.host.root, ahci_pci(m.ahci), 0x1f, 2))
		abort();
	d = ahci_pci(m.ahci);
	pci_dev_config_write(d, PCI_BAR0 + 16, 4, BAR4);
	pci_dev_config_write(d, PCI_BAR0 + 20, 4, BAR5);
	pci_dev_config_write(d, PCI_COMMAND, 2, 7);
	for (unsigned i = 0; i < 2; i++) {
		bus_write(&m.mmio, BAR5 + 0x100 + i * 0x80 + 0x00, 4, LIST + i * 0x400);
		bus_write(&m.mmio, BAR5 + 0x100 + i * 0x80 + 0x08, 4, FIS + i * 0x100);
		bus_write(&m.mmio, BAR5 + 0x100 + i * 0x80 + 0x14, 4, ~0u);
		bus_write(&m.mmio, BAR5 + 0x100 + i * 0x80 + 0x18, 4, 0x11);
	}
	bus_write(&m.mmio, BAR5 + 4, 4, 2);
}

/* A command in port 0 or 1, any tag: operands from the operation, data at a place and in pieces it chooses. */
static void build(const uint8_t *op)
{
	unsigned port = op[1] & 1, tag = op[1] >> 3, prds = op[2] & 0xf;
	uint8_t *h = ram + LIST + port * 0x400 + tag * 32, *t = ram + TABLE + (port * 32 + tag) * 0x400;

	memset(t, 0, 0x400);
	put_le16(h, 5 | (op[2] & 0x60));
	put_le16(h + 2, prds == 15 ? 0xffff : prds);
	put_le32(h + 8, (uint32_t)(t - ram));
	t[0] = 0x27;
	t[1] = op[2] & 0x10 ? 0 : 0x80;
	t[2] = op[3];
	t[3] = op[4];
	t[4] = op[5];
	t[5] = op[6];
	t[7] = op[7] | 0x40;
	put_le16(t + 12, op[3] == 0x60 || op[3] == 0x61 ? tag << 3 : op[4]);
	t[15] = op[4];
	memcpy(t + 0x40, op + 3, 5);
	t[0x48] = op[7];
	for (unsigned i = 0; i < prds && i < 15; i++) {
		put_le64(t + 0x80 + i * 16, DATA + (i << 13) + op[5]);
		put_le32(t + 0x8c + i * 16, (uint32_t)op[6] << 5 | op[7] | 1);
	}
	bus_write(&m.mmio, BAR5 + 0x134 + port * 0x80, 4, 1u << tag);
	bus_write(&m.mmio, BAR5 + 0x138 + port * 0x80, 4, 1u << tag);
}

static void step(const uint8_t *op)
{
	static const uint8_t sizes[] = { 1, 2, 4, 8 };
	unsigned off = get_le16(op + 1), size = sizes[op[3] & 3];
	uint32_t val = get_le32(op + 4);

	switch (op[0] % 10) {
	case 0: bus_write(&m.mmio, BAR5 + (off & 0xfff), size, val); break;
	case 1: bus_read(&m.mmio, BAR5 + (off & 0xfff), size); break;
	case 2: bus_write(&m.mmio, BAR5 + 0x100 + (op[1] % 3) * 0x80 + (op[2] & 0x3c), 4, val); break;
	case 3: bus_write(&m.ports, BAR4 + (off & 0x1f), size > 4 ? 4 : size, val); break;
	case 4: put_le32(ram + (get_le32(op + 1) & 0xffff & ~3u), val); break;
	case 5: pci_dev_config_write(ahci_pci(m.ahci), off & 0xff & ~3u, 4, val); break;
	case 6:
		if (m.disk->held_count)
			fault_release(m.disk, op[1] % m.disk->held_count);
		break;
	case 7:
		m.disk->hold = op[1] & 1;
		m.disk->fail_with = op[2] & 1 ? (op[2] & 2 ? -ENOSPC : -EIO) : 0;
		m.disk->fail_after = op[3] & 7;
		m.disk->b.readonly = op[1] & 2;
		break;
	default: build(op); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	start();
	for (size_t i = 0; i + 8 <= len && i < 8 * 512; i += 8)
		step(in + i);
	if (len % 8 == 1)
		pci_host_reset(&m.host);
	ahci_free(m.ahci);
	block_free(&m.disk->b);
	return 0;
}
