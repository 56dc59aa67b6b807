/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's half of AHCI: builds command lists in guest memory and reads what comes back. One controller, a disk, a CD drive. */
#pragma once
#include <errno.h>
#include "hv/dev/ahci.h"
#include "lib/bits.h"
#include "tests/unit/hv/block/fault.h"
#include "tests/unit/suite.h"

enum { RAM = 16 << 20, DISK_SIZE = 8 << 20, BAR5 = 0xfebf1000u, BAR4 = 0xc000 };
enum { GHC = 0x04, IS = 0x08 };
enum { CLB = 0x00, FB = 0x08, PXIS = 0x10, PXIE = 0x14, CMD = 0x18, TFD = 0x20, SIG = 0x24, SSTS = 0x28, SCTL = 0x2c, SERR = 0x30,
	SACT = 0x34, CI = 0x38 };
enum { ST = 1, FRE = 0x10, CR = 0x8000 };
enum { DHRS = 1, PSS = 2, SDBS = 8, DPS = 0x20, OFS = 1 << 24, IFS = 1 << 27, HBFS = 1 << 29, TFES = 1 << 30 };
/* guest memory: per port 1 MiB; lists, received FISes, tables, data */
enum { PORT_MEM = 0x100000, AT_LIST = 0, AT_FIS = 0x1000, AT_TABLE = 0x2000, TABLE_SIZE = 0x1000, AT_DATA = 0x40000 };
enum { HDR_WRITE = 0x40, HDR_ATAPI = 0x20, HDR_CLEAR = 0x400, HDR_RESET = 0x100 };

struct rig {
	struct mem mem;
	uint8_t *ram;
	struct bus ports, mmio;
	struct pci_host host;
	struct env_pci env;
	struct fault *disk;
	struct ahci *ahci;
	int level;
	unsigned msis, rises;
};

static inline void intx(void *ctx, uint8_t devfn, unsigned pin, int level)
{
	struct rig *r = ctx;

	r->rises += level && !r->level;
	r->level = level;
}

static inline void msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct rig *r = ctx;

	check_eq(addr, 0xfee01000);
	check_eq(data, 0x4041);
	r->msis++;
}

static const struct pci_host_ops host_ops = { .intx = intx, .msi = msi };

static inline uint32_t reg(struct rig *r, unsigned off) { return (uint32_t)bus_read(&r->mmio, BAR5 + off, 4); }
static inline void set(struct rig *r, unsigned off, uint32_t val) { bus_write(&r->mmio, BAR5 + off, 4, val); }
static inline uint32_t preg(struct rig *r, unsigned port, unsigned off) { return reg(r, 0x100 + port * 0x80 + off); }
static inline void pset(struct rig *r, unsigned port, unsigned off, uint32_t val) { set(r, 0x100 + port * 0x80 + off, val); }
static inline uint32_t base(unsigned port) { return PORT_MEM * (port + 1); }
static inline uint8_t *fis(struct rig *r, unsigned port, unsigned off) { return r->ram + base(port) + AT_FIS + off; }
static inline uint8_t *data(struct rig *r, unsigned port) { return r->ram + base(port) + AT_DATA; }

static inline void start(struct rig *r, unsigned port)
{
	pset(r, port, CLB, base(port) + AT_LIST);
	pset(r, port, FB, base(port) + AT_FIS);
	pset(r, port, CMD, FRE);
	pset(r, port, SERR, 0xffffffff);
	pset(r, port, CMD, FRE | ST);
	pset(r, port, PXIS, 0xffffffff);
	set(r, IS, 0xffffffff);
	pset(r, port, PXIE, 0xffffffff);
}

static inline struct rig *rig_plain(void)
{
	struct rig *r = calloc(1, sizeof *r);

	r->ram = calloc(1, RAM);
	check_eq(mem_add(&r->mem, 0, RAM, r->ram, false), 0);
	pci_host_init(&r->host, &host_ops, r, &r->ports, &r->mmio, &r->mem);
	r->env = (struct env_pci){ .kind = ENV_PCI_AHCI, .name = "sata0", .device = 0x1f, .function = 2, .vendor_id = 0x8086,
		.device_id = 0x2922, .subsystem_vendor = 0x1028, .subsystem_device = 0x0236, .revision = 2, .ports = 6, .disk_count = 2 };
	r->env.disks[0] = (struct env_disk){ .name = "sda", .port = 0, .model = "HGST HUS722T1TALA604", .serial = "WMC6N0D12345",
		.firmware = "RAGNWA07", .wwn = 0x50014ee2b1234567, .size = DISK_SIZE, .logical = 512, .physical = 4096, .rpm = 7200,
		.trim = true };
	r->env.disks[1] = (struct env_disk){ .name = "sr0", .medium = ENV_CD, .port = 2, .model = "QEMU DVD-ROM", .serial = "QM00005",
		.firmware = "2.5+", .inquiry_vendor = "QEMU", .inquiry_product = "QEMU DVD-ROM", .logical = 2048, .physical = 2048 };
	r->disk = fault_create(DISK_SIZE);
	for (unsigned i = 0; i < DISK_SIZE; i++)
		r->disk->data[i] = (uint8_t)(i / 512 + i);
	return r;
}

static inline void plug(struct rig *r)
{
	struct block *disks[AHCI_PORTS] = { r->disk ? &r->disk->b : NULL };
	struct pci_dev *d;
	struct err err = { 0 };

	if (ahci_create(&r->env, disks, &r->ahci, &err))
		suite_note("%s", err.text);
	CU_ASSERT_FATAL(r->ahci != NULL);
	d = ahci_pci(r->ahci);
	check_eq(pci_bus_attach(&r->host.root, d, 0x1f, 2), 0);
	pci_dev_config_write(d, PCI_BAR0 + 16, 4, BAR4);
	pci_dev_config_write(d, PCI_BAR0 + 20, 4, BAR5);
	pci_dev_config_write(d, PCI_COMMAND, 2, 7);
}

static inline struct rig *rig_create(void)
{
	struct rig *r = rig_plain();

	plug(r);
	set(r, GHC, 0x80000002);
	start(r, 0);
	start(r, 2);
	return r;
}

static inline void rig_free(struct rig *r)
{
	ahci_free(r->ahci);
	block_free(&r->disk->b);
	free(r->ram);
	free(r);
}

struct cmd {
	uint8_t command, device, control;
	uint16_t features, count, flags;
	uint64_t lba;
	uint32_t bytes;		/* one PRD of that size at data(); 0: none */
	bool not_command;
	uint8_t cdb[16];
};

static inline void build(struct rig *r, unsigned port, unsigned tag, const struct cmd *c)
{
	uint8_t *h = r->ram + base(port) + AT_LIST + tag * 32, *t = r->ram + base(port) + AT_TABLE + tag * TABLE_SIZE;

	memset(h, 0, 32);
	memset(t, 0, TABLE_SIZE);
	put_le16(h, (uint16_t)(5 | c->flags));
	put_le16(h + 2, c->bytes ? 1 : 0);
	put_le32(h + 8, base(port) + AT_TABLE + tag * TABLE_SIZE);
	t[0] = 0x27;
	t[1] = c->not_command ? 0 : 0x80;
	t[2] = c->command;
	t[3] = (uint8_t)c->features;
	t[7] = c->device ? c->device : 0x40;
	for (unsigned i = 0; i < 3; i++) {
		t[4 + i] = (uint8_t)(c->lba >> 8 * i);
		t[8 + i] = (uint8_t)(c->lba >> (24 + 8 * i));
	}
	t[11] = (uint8_t)(c->features >> 8);
	put_le16(t + 12, c->count);
	t[15] = c->control;
	memcpy(t + 0x40, c->cdb, 16);
	put_le32(t + 0x80, base(port) + AT_DATA);
	put_le32(t + 0x8c, c->bytes - 1);
}

static inline void prd(struct rig *r, unsigned port, unsigned tag, unsigned i, uint64_t at, uint32_t len)
{
	uint8_t *h = r->ram + base(port) + AT_LIST + tag * 32, *p = r->ram + base(port) + AT_TABLE + tag * TABLE_SIZE + 0x80 + i * 16;

	put_le16(h + 2, (uint16_t)(i + 1));
	put_le64(p, at);
	put_le32(p + 8, 0);
	put_le32(p + 12, len - 1);
}

static inline uint32_t prdbc(struct rig *r, unsigned port, unsigned tag)
{
	return get_le32(r->ram + base(port) + AT_LIST + tag * 32 + 4);
}

/* Issue in slot 0 and report the task file. */
static inline uint32_t run(struct rig *r, unsigned port, struct cmd c)
{
	pset(r, port, PXIS, 0xffffffff);
	set(r, IS, 0xffffffff);
	build(r, port, 0, &c);
	pset(r, port, CI, 1);
	return preg(r, port, TFD);
}

/* What a driver does after an error. */
static inline void restart(struct rig *r, unsigned port)
{
	pset(r, port, CMD, FRE);
	check_eq(preg(r, port, CMD) & CR, 0);
	check_eq(preg(r, port, CI), 0);
	pset(r, port, CMD, FRE | ST);
	pset(r, port, PXIS, 0xffffffff);
	set(r, IS, 0xffffffff);
}

static inline uint16_t word(struct rig *r, unsigned port, unsigned n) { return get_le16(data(r, port) + 2 * n); }

static inline void ata_string(struct rig *r, unsigned port, unsigned first, unsigned words, char *out)
{
	for (unsigned i = 0; i < words; i++) {
		out[2 * i] = (char)(word(r, port, first + i) >> 8);
		out[2 * i + 1] = (char)word(r, port, first + i);
	}
	out[2 * words] = 0;
}

static inline struct cmd ncq(bool write, unsigned tag, uint64_t lba, uint16_t n)
{
	return (struct cmd){ .command = write ? 0x61 : 0x60, .features = n, .count = (uint16_t)(tag << 3), .lba = lba,
		.bytes = n * 512u, .flags = write ? HDR_WRITE : 0 };
}

static inline void queue(struct rig *r, unsigned tag, uint64_t lba)
{
	struct cmd c = ncq(false, tag, lba, 1);

	build(r, 0, tag, &c);
	prd(r, 0, tag, 0, base(0) + AT_DATA + tag * 512, 512);
}
