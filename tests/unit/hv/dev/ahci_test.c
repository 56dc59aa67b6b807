/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's half of AHCI: builds command lists in guest memory and reads what comes back. */
#include "hv/dev/ahci.h"
#include <errno.h>
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

static void intx(void *ctx, uint8_t devfn, unsigned pin, int level)
{
	struct rig *r = ctx;

	r->rises += level && !r->level;
	r->level = level;
}

static void msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct rig *r = ctx;

	check_eq(addr, 0xfee01000);
	check_eq(data, 0x4041);
	r->msis++;
}

static const struct pci_host_ops host_ops = { .intx = intx, .msi = msi };

static uint32_t reg(struct rig *r, unsigned off) { return (uint32_t)bus_read(&r->mmio, BAR5 + off, 4); }
static void set(struct rig *r, unsigned off, uint32_t val) { bus_write(&r->mmio, BAR5 + off, 4, val); }
static uint32_t preg(struct rig *r, unsigned port, unsigned off) { return reg(r, 0x100 + port * 0x80 + off); }
static void pset(struct rig *r, unsigned port, unsigned off, uint32_t val) { set(r, 0x100 + port * 0x80 + off, val); }
static uint32_t base(unsigned port) { return PORT_MEM * (port + 1); }
static uint8_t *fis(struct rig *r, unsigned port, unsigned off) { return r->ram + base(port) + AT_FIS + off; }
static uint8_t *data(struct rig *r, unsigned port) { return r->ram + base(port) + AT_DATA; }

static void start(struct rig *r, unsigned port)
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

static struct rig *rig_plain(void)
{
	struct rig *r = calloc(1, sizeof *r);

	r->ram = calloc(1, RAM);
	check_eq(mem_add(&r->mem, 0, RAM, r->ram, false), 0);
	pci_host_init(&r->host, &host_ops, r, &r->ports, &r->mmio, &r->mem);
	r->env = (struct env_pci){ .kind = ENV_PCI_AHCI, .name = "sata0", .device = 0x1f, .function = 2, .vendor_id = 0x8086,
		.device_id = 0x2922, .subsystem_vendor = 0x1028, .subsystem_device = 0x0236, .revision = 2, .ports = 6, .disk_count = 2 };
	r->env.disks[0] = (struct env_disk){ .name = "sda", .port = 0, .model = "HGST HUS722T1TALA604", .serial = "WMC6N0D12345",
		.firmware = "RAGNWA07", .wwn = 0x50014ee2b1234567, .size = DISK_SIZE, .logical = 512, .physical = 4096, .rpm = 7200 };
	r->env.disks[1] = (struct env_disk){ .name = "sr0", .medium = ENV_CD, .port = 2, .model = "QEMU DVD-ROM", .serial = "QM00005",
		.firmware = "2.5+", .logical = 2048, .physical = 2048 };
	r->disk = fault_create(DISK_SIZE);
	for (unsigned i = 0; i < DISK_SIZE; i++)
		r->disk->data[i] = (uint8_t)(i / 512 + i);
	return r;
}

static void plug(struct rig *r)
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

static struct rig *rig_create(void)
{
	struct rig *r = rig_plain();

	plug(r);
	set(r, GHC, 0x80000002);
	start(r, 0);
	start(r, 2);
	return r;
}

static void rig_free(struct rig *r)
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

static void build(struct rig *r, unsigned port, unsigned tag, const struct cmd *c)
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

static void prd(struct rig *r, unsigned port, unsigned tag, unsigned i, uint64_t at, uint32_t len)
{
	uint8_t *h = r->ram + base(port) + AT_LIST + tag * 32, *p = r->ram + base(port) + AT_TABLE + tag * TABLE_SIZE + 0x80 + i * 16;

	put_le16(h + 2, (uint16_t)(i + 1));
	put_le64(p, at);
	put_le32(p + 8, 0);
	put_le32(p + 12, len - 1);
}

static uint32_t prdbc(struct rig *r, unsigned port, unsigned tag) { return get_le32(r->ram + base(port) + AT_LIST + tag * 32 + 4); }

/* Issue in slot 0 and report the task file. */
static uint32_t run(struct rig *r, unsigned port, struct cmd c)
{
	pset(r, port, PXIS, 0xffffffff);
	set(r, IS, 0xffffffff);
	build(r, port, 0, &c);
	pset(r, port, CI, 1);
	return preg(r, port, TFD);
}

/* What a driver does after an error. */
static void restart(struct rig *r, unsigned port)
{
	pset(r, port, CMD, FRE);
	check_eq(preg(r, port, CMD) & CR, 0);
	check_eq(preg(r, port, CI), 0);
	pset(r, port, CMD, FRE | ST);
	pset(r, port, PXIS, 0xffffffff);
	set(r, IS, 0xffffffff);
}

static uint16_t word(struct rig *r, unsigned port, unsigned n) { return get_le16(data(r, port) + 2 * n); }

static void ata_string(struct rig *r, unsigned port, unsigned first, unsigned words, char *out)
{
	for (unsigned i = 0; i < words; i++) {
		out[2 * i] = (char)(word(r, port, first + i) >> 8);
		out[2 * i + 1] = (char)word(r, port, first + i);
	}
	out[2 * words] = 0;
}

/* ---- controller */

static void shows_itself_as_ich9(void)
{
	struct rig *r = rig_plain();
	struct pci_dev *d;

	plug(r);
	d = ahci_pci(r->ahci);
	check_eq(pci_dev_config_read(d, 0, 4), 0x29228086);
	check_eq(pci_dev_config_read(d, 8, 4), 0x01060102);
	check_eq(pci_dev_config_read(d, 0x2c, 4), 0x02361028);
	check_eq(pci_dev_config_read(d, 0x34, 1), 0x80);
	check_eq(pci_dev_config_read(d, 0x3d, 1), 1);
	check_eq(pci_dev_config_read(d, 0x80, 4), 0x0080a805);
	check_eq(pci_dev_config_read(d, 0x90, 1), 0x40);
	check_eq(pci_dev_config_read(d, 0xa8, 4), 0x00100012);
	check_eq(pci_dev_config_read(d, 0xac, 4), 0x00000048);
	check_eq(reg(r, 0x00), 0xc0141f05);
	check_eq(reg(r, 0x04), 0x80000000);
	check_eq(reg(r, 0x0c), 0x3f);
	check_eq(reg(r, 0x10), 0x00010000);
	check_eq(preg(r, 0, CMD), 0x6);
	check_eq(preg(r, 0, SSTS), 0x113);
	check_eq(preg(r, 1, SSTS), 0);
	check_eq(preg(r, 2, SSTS), 0x113);
	check_eq(preg(r, 0, SIG), 0xffffffff);
	check_eq(preg(r, 1, TFD), 0x7f);
	check_eq(reg(r, 0x400), 0);
	check_eq(bus_read(&r->mmio, BAR5 + 1, 2), 0x141f);
	check_eq(bus_read(&r->mmio, BAR5 + 0x0c, 8), 0x000100000000003f);
	bus_write(&r->ports, BAR4 + 0x10, 4, 0x0c);
	check_eq(bus_read(&r->ports, BAR4 + 0x14, 4), 0x3f);
	rig_free(r);
}

static void the_signature_waits_for_fis_receive(void)
{
	struct rig *r = rig_plain();

	plug(r);
	check_eq(preg(r, 0, TFD) & 0x80, 0x80);
	pset(r, 0, FB, base(0) + AT_FIS);
	pset(r, 0, CMD, FRE);
	check_eq(preg(r, 0, TFD), 0x150);
	check_eq(preg(r, 0, SIG), 0x00000101);
	check_eq(fis(r, 0, 0x40)[0], 0x34);
	check_eq(fis(r, 0, 0x40)[2], 0x50);
	check_eq(preg(r, 0, PXIS) & DHRS, 0);
	pset(r, 2, FB, base(2) + AT_FIS);
	pset(r, 2, CMD, FRE);
	check_eq(preg(r, 2, SIG), 0xeb140101);
	check_eq(preg(r, 2, TFD), 0x100);
	rig_free(r);
}

static void refuses_unsuitable_media(void)
{
	struct rig *r = rig_plain();
	struct block *disks[AHCI_PORTS] = { NULL };
	struct err err = { 0 };

	check_eq(ahci_create(&r->env, disks, &r->ahci, &err), -EINVAL);
	check_str(err.text, "sata0: disk sda has no medium");
	disks[0] = &r->disk->b;
	r->env.disks[0].size += 512;
	check_eq(ahci_create(&r->env, disks, &r->ahci, &err), -EINVAL);
	check_str(err.text, "sata0: disk sda has 8388608 bytes, needs 8389120");
	r->env.disks[0].size -= 512;
	r->disk->b.logical = 4096;
	check_eq(ahci_create(&r->env, disks, &r->ahci, &err), -EINVAL);
	check_str(err.text, "sata0: disk sda has sectors of 512 bytes, its medium serves only 4096");
	r->env.ports = 7;
	check_eq(ahci_create(&r->env, disks, &r->ahci, &err), -EINVAL);
	check_str(err.text, "sata0: 7 ports, 1 to 6 are possible");
	r->env.ports = 2;
	r->disk->b.logical = 512;
	check_eq(ahci_create(&r->env, disks, &r->ahci, &err), -EINVAL);
	check_str(err.text, "sata0: no port 2 for disk sr0");
	check(!r->ahci);
	rig_free(r);
}

/* ---- identity */

static void identifies_the_disk(void)
{
	struct rig *r = rig_create();
	char s[64];

	check_eq(run(r, 0, (struct cmd){ .command = 0xec, .bytes = 512 }), 0x50);
	check_eq(preg(r, 0, CI), 0);
	check_eq(preg(r, 0, PXIS), PSS);	/* PIO data in: no register FIS at the end */
	check_eq(prdbc(r, 0, 0), 512);
	check_eq(fis(r, 0, 0x20)[0], 0x5f);
	check_eq(fis(r, 0, 0x20)[15], 0x50);
	ata_string(r, 0, 27, 20, s);
	check_str(s, "HGST HUS722T1TALA604                    ");
	ata_string(r, 0, 10, 10, s);
	check_str(s, "WMC6N0D12345        ");
	ata_string(r, 0, 23, 4, s);
	check_str(s, "RAGNWA07");
	check_eq(get_le32(data(r, 0) + 120), DISK_SIZE / 512);
	check_eq(get_le64(data(r, 0) + 200), DISK_SIZE / 512);
	check_eq(word(r, 0, 75), 31);
	check_eq(word(r, 0, 76), 0x0100);
	check_eq(word(r, 0, 80), 0x00f0);
	check_eq(word(r, 0, 82), 0x4021);
	check_eq(word(r, 0, 83), 0x7400);
	check_eq(word(r, 0, 84), 0x4100);
	check_eq(word(r, 0, 85), 0x4021);
	check_eq(word(r, 0, 87), 0x4100);
	check_eq(word(r, 0, 88), 0x203f);
	check_eq(word(r, 0, 106), 0x6003);
	check_eq(word(r, 0, 108), 0x5001);
	check_eq(word(r, 0, 111), 0x4567);
	check_eq(word(r, 0, 169), 1);
	check_eq(word(r, 0, 217), 7200);
	check_eq(run(r, 0, (struct cmd){ .command = 0xa1, .bytes = 512 }), 0x451);
	rig_free(r);
}

static void identify_follows_the_environment(void)
{
	struct rig *r = rig_plain();

	r->env.disks[0].wwn = 0;
	r->env.disks[0].logical = r->env.disks[0].physical = 4096;
	r->env.disks[0].rpm = 1;
	r->disk->b.can_discard = false;
	plug(r);
	start(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xec, .bytes = 512 }), 0x50);
	check_eq(word(r, 0, 84), 0x4000);
	check_eq(word(r, 0, 87), 0x4000);
	check_eq(word(r, 0, 106), 0x7000);
	check_eq(get_le32(data(r, 0) + 234), 2048);
	check_eq(get_le64(data(r, 0) + 200), DISK_SIZE / 4096);
	check_eq(word(r, 0, 69), 0);
	check_eq(word(r, 0, 169), 0);
	check_eq(word(r, 0, 217), 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0x06, .features = 1, .count = 1, .bytes = 512 }), 0x451);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .lba = 1, .count = 1, .bytes = 4096 }), 0x50);
	check_eq(r->disk->last_off, 4096);
	check_eq(r->disk->last_len, 4096);
	rig_free(r);
}

/* ---- reading and writing */

static void reads_and_writes_by_dma(void)
{
	struct rig *r = rig_create();

	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .lba = 5, .count = 8, .bytes = 4096 }), 0x50);
	check_eq(preg(r, 0, PXIS), DHRS);
	check_eq(prdbc(r, 0, 0), 4096);
	check(!memcmp(data(r, 0), r->disk->data + 5 * 512, 4096));
	memset(data(r, 0), 0xa5, 1024);
	check_eq(run(r, 0, (struct cmd){ .command = 0xca, .lba = 7, .count = 2, .bytes = 1024, .flags = HDR_WRITE }), 0x50);
	check_eq(r->disk->data[7 * 512], 0xa5);
	check_eq(r->disk->data[9 * 512 - 1], 0xa5);
	check_eq(r->disk->data[9 * 512], (uint8_t)(9 + 9 * 512));
	check_eq(r->disk->fua, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x3d, .lba = 7, .count = 2, .bytes = 1024, .flags = HDR_WRITE }), 0x50);
	check_eq(r->disk->fua, 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0xc8, .lba = 3, .count = 0, .bytes = 131072 }), 0x50);
	check_eq(r->disk->last_len, 131072);
	/* CHS: cylinder 1, head 2, sector 3 */
	check_eq(run(r, 0, (struct cmd){ .command = 0xc8, .lba = 0x000103, .device = 0xa2, .count = 1, .bytes = 512 }), 0x50);
	check_eq(r->disk->last_off, ((1 * 16 + 2) * 63 + 2) * 512);
	rig_free(r);
}

static void reads_and_writes_by_pio(void)
{
	struct rig *r = rig_create();

	check_eq(run(r, 0, (struct cmd){ .command = 0x20, .lba = 4, .count = 2, .bytes = 1024 }), 0x50);
	check_eq(preg(r, 0, PXIS), PSS);
	check(!memcmp(data(r, 0), r->disk->data + 4 * 512, 1024));
	memset(data(r, 0), 0x5a, 1024);
	check_eq(run(r, 0, (struct cmd){ .command = 0x39, .lba = 4, .count = 2, .bytes = 1024, .flags = HDR_WRITE }), 0x50);
	check_eq(preg(r, 0, PXIS), DHRS);
	check_eq(r->disk->data[4 * 512], 0x5a);
	check_eq(run(r, 0, (struct cmd){ .command = 0xc6, .count = 3 }), 0x451);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xc6, .count = 0 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xc4, .lba = 4, .count = 1, .bytes = 512 }), 0x451);
	rig_free(r);
}

static void addresses_beyond_the_disk_are_not_found(void)
{
	struct rig *r = rig_create();
	static const uint64_t lba[] = { DISK_SIZE / 512, DISK_SIZE / 512 - 1, 0xffffffffffff };

	for (unsigned i = 0; i < 3; i++) {
		check_eq(run(r, 0, (struct cmd){ .command = 0x25, .lba = lba[i], .count = 2, .bytes = 1024 }), 0x1051);
		check_eq(preg(r, 0, PXIS), DHRS | TFES);
		check_eq(preg(r, 0, CI), 1);
		restart(r, 0);
	}
	check_eq(run(r, 0, (struct cmd){ .command = 0x42, .lba = DISK_SIZE / 512, .count = 1 }), 0x1051);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x40, .lba = 1, .count = 1 }), 0x50);
	check_eq(r->disk->submits, 0);
	rig_free(r);
}

static void odd_scatter_lists_work(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0x25, .lba = 1, .count = 2, .bytes = 1024 };
	uint32_t at = base(0) + AT_DATA;

	build(r, 0, 0, &c);
	prd(r, 0, 0, 0, at + 1, 3);
	prd(r, 0, 0, 1, at + 0x1000, 509);
	prd(r, 0, 0, 2, at + 0x2000, 4 << 20);	/* longer than the rest of the transfer */
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, TFD), 0x50);
	check_eq(prdbc(r, 0, 0), 1024);
	check(!memcmp(r->ram + at + 1, r->disk->data + 512, 3));
	check(!memcmp(r->ram + at + 0x1000, r->disk->data + 515, 509));
	check(!memcmp(r->ram + at + 0x2000, r->disk->data + 1024, 512));
	check_eq(r->ram[at + 0x2000 + 512], 0);
	rig_free(r);
}

static void a_short_scatter_list_is_an_overflow(void)
{
	struct rig *r = rig_create();

	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .lba = 1, .count = 2, .bytes = 1022 }), 0x451);
	check_eq(preg(r, 0, PXIS), DHRS | TFES | OFS);
	check_eq(prdbc(r, 0, 0), 0);
	check_eq(r->disk->submits, 0);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xec }), 0x451);
	rig_free(r);
}

static void bad_addresses_stop_the_port(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0x25, .lba = 1, .count = 2, .bytes = 1024 };

	build(r, 0, 0, &c);
	prd(r, 0, 0, 0, RAM - 512, 1024);	/* over the end */
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), HBFS);
	check_eq(preg(r, 0, CI), 1);
	restart(r, 0);
	build(r, 0, 0, &c);
	prd(r, 0, 0, 0, UINT64_MAX - 100, 1024);
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), HBFS);
	restart(r, 0);
	build(r, 0, 0, &c);
	put_le32(r->ram + base(0) + 8, 0xf0000000);	/* command table */
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), HBFS);
	restart(r, 0);
	pset(r, 0, CLB, 0xf0000000);
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), HBFS);
	restart(r, 0);
	pset(r, 0, CLB, base(0));
	build(r, 0, 0, &c);
	r->ram[base(0) + AT_TABLE] = 0x46;		/* not a register FIS */
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), IFS);
	restart(r, 0);
	pci_dev_config_write(ahci_pci(r->ahci), PCI_COMMAND, 2, 3);	/* no bus master */
	build(r, 0, 0, &c);
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), HBFS);
	check_eq(r->disk->submits, 0);
	pci_dev_config_write(ahci_pci(r->ahci), PCI_COMMAND, 2, 7);
	restart(r, 0);
	check_eq(run(r, 0, c), 0x50);
	rig_free(r);
}

static void a_scatter_list_beyond_reason_is_refused(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0x25, .count = 16384, .bytes = 8 << 20 };
	uint8_t *t = r->ram + 8 * PORT_MEM;

	build(r, 0, 0, &c);
	put_le16(r->ram + base(0) + 2, 65535);
	put_le32(r->ram + base(0) + 8, 8 * PORT_MEM);
	memcpy(t, r->ram + base(0) + AT_TABLE, 0x80);
	for (unsigned i = 0; i < 65535; i++) {
		put_le32(t + 0x80 + i * 16, base(0) + AT_DATA + i % 2 * 2);
		put_le32(t + 0x80 + i * 16 + 12, 0);
	}
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), HBFS);
	check_eq(r->disk->submits, 0);
	rig_free(r);
}

/* ---- queued commands */

static struct cmd ncq(bool write, unsigned tag, uint64_t lba, uint16_t n)
{
	return (struct cmd){ .command = write ? 0x61 : 0x60, .features = n, .count = (uint16_t)(tag << 3), .lba = lba,
		.bytes = n * 512u, .flags = write ? HDR_WRITE : 0 };
}

static void queue(struct rig *r, unsigned tag, uint64_t lba)
{
	struct cmd c = ncq(false, tag, lba, 1);

	build(r, 0, tag, &c);
	prd(r, 0, tag, 0, base(0) + AT_DATA + tag * 512, 512);
}

static void queued_commands_end_in_any_order(void)
{
	struct rig *r = rig_create();

	r->disk->hold = true;
	for (unsigned i = 0; i < 3; i++)
		queue(r, i, 10 + i);
	pset(r, 0, SACT, 7);
	pset(r, 0, CI, 7);
	check_eq(preg(r, 0, CI), 0);		/* accepted */
	check_eq(preg(r, 0, SACT), 7);
	check_eq(preg(r, 0, TFD), 0x50);
	check_eq(preg(r, 0, PXIS), 0);
	check_eq(r->disk->held_count, 3);
	fault_release(r->disk, 1);
	check_eq(preg(r, 0, SACT), 5);
	check_eq(preg(r, 0, PXIS), SDBS);
	check_eq(fis(r, 0, 0x58)[0], 0xa1);
	check_eq(fis(r, 0, 0x58)[1], 0x40);
	check_eq(fis(r, 0, 0x58)[2], 0x50);
	check_eq(get_le32(fis(r, 0, 0x5c)), 2);
	check(!memcmp(data(r, 0) + 512, r->disk->data + 11 * 512, 512));
	check_eq(data(r, 0)[0], 0);
	fault_release(r->disk, 1);
	check_eq(preg(r, 0, SACT), 1);
	fault_release(r->disk, 0);
	check_eq(preg(r, 0, SACT), 0);
	check_eq(get_le32(fis(r, 0, 0x5c)), 1);
	rig_free(r);
}

static void commands_done_at_once_share_one_fis_and_interrupt(void)
{
	struct rig *r = rig_create();

	for (unsigned i = 0; i < 32; i++)
		queue(r, i, 100 + i);
	pset(r, 0, SACT, 0xffffffff);
	r->rises = 0;
	pset(r, 0, CI, 0xffffffff);
	check_eq(preg(r, 0, SACT), 0);
	check_eq(preg(r, 0, CI), 0);
	check_eq(get_le32(fis(r, 0, 0x5c)), 0xffffffff);
	check_eq(r->rises, 1);
	check_eq(r->disk->submits, 32);
	rig_free(r);
}

static void queued_writes_honour_fua(void)
{
	struct rig *r = rig_create();
	struct cmd c = ncq(true, 3, 77, 2);

	memset(data(r, 0), 0x77, 1024);
	build(r, 0, 3, &c);
	pset(r, 0, SACT, 8);
	pset(r, 0, CI, 8);
	check_eq(r->disk->fua, 0);
	check_eq(r->disk->data[77 * 512 + 1023], 0x77);
	c.device = 0xc0;
	build(r, 0, 3, &c);
	pset(r, 0, SACT, 8);
	pset(r, 0, CI, 8);
	check_eq(r->disk->fua, 1);
	check_eq(preg(r, 0, SACT), 0);
	rig_free(r);
}

static void a_queued_error_stops_the_queue_and_is_logged(void)
{
	struct rig *r = rig_create();

	r->disk->hold = true;
	for (unsigned i = 0; i < 4; i++)
		queue(r, i, 0x10 + i);
	pset(r, 0, SACT, 0xf);
	pset(r, 0, CI, 0xf);
	fault_release(r->disk, 0);
	r->disk->fail_with = -EIO;
	fault_release(r->disk, 1);	/* tag 2 */
	r->disk->fail_with = 0;
	check_eq(preg(r, 0, PXIS), SDBS | TFES);
	check_eq(preg(r, 0, TFD), 0x4041 | 0x10);
	check_eq(preg(r, 0, SACT), 0xe);
	check_eq(get_le32(fis(r, 0, 0x5c)), 0);
	check_eq(fis(r, 0, 0x58)[3], 0x40);
	/* The others are still out: the port does not stop before their pages are free. */
	pset(r, 0, CMD, FRE);
	check_eq(preg(r, 0, CMD) & CR, CR);
	check_eq(preg(r, 0, SACT), 0);
	fault_drain(&r->disk->b);
	check_eq(preg(r, 0, CMD) & CR, 0);
	check_eq(preg(r, 0, PXIS), SDBS | TFES);
	r->disk->hold = false;
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x2f, .lba = 0x10, .count = 1, .bytes = 512 }), 0x50);
	check_eq(data(r, 0)[0], 2);
	check_eq(data(r, 0)[2], 0x51);
	check_eq(data(r, 0)[3], 0x40);
	check_eq(data(r, 0)[4], 0x12);
	check_eq(data(r, 0)[7], 0x40);
	{
		uint8_t sum = 0;

		for (unsigned i = 0; i < 512; i++)
			sum = (uint8_t)(sum + data(r, 0)[i]);
		check_eq(sum, 0);
	}
	check_eq(run(r, 0, (struct cmd){ .command = 0x2f, .lba = 0x10, .count = 1, .bytes = 512 }), 0x50);
	check_eq(data(r, 0)[0], 0x80);	/* once */
	check_eq(run(r, 0, (struct cmd){ .command = 0x2f, .lba = 0, .count = 1, .bytes = 512 }), 0x50);
	check_eq(word(r, 0, 0x10), 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0x2f, .lba = 0x11, .count = 1, .bytes = 512 }), 0x451);
	rig_free(r);
}

static void an_error_among_commands_done_at_once_reports_the_others_first(void)
{
	struct rig *r = rig_create();

	r->disk->fail_with = -ENOSPC;
	r->disk->fail_after = 2;
	for (unsigned i = 0; i < 4; i++)
		queue(r, i, i);
	pset(r, 0, SACT, 0xf);
	pset(r, 0, CI, 0xf);
	check_eq(preg(r, 0, SACT), 0xc);
	check_eq(preg(r, 0, CI), 8);	/* never taken */
	check_eq(preg(r, 0, TFD), 0x4051);
	check_eq(preg(r, 0, PXIS), SDBS | TFES);
	check_eq(r->disk->submits, 3);
	rig_free(r);
}

static void an_unqueued_command_beside_queued_ones_ends_all(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0x25, .count = 1, .bytes = 512 };

	r->disk->hold = true;
	queue(r, 4, 1);
	build(r, 0, 5, &c);
	pset(r, 0, SACT, 0x10);
	pset(r, 0, CI, 0x30);
	check_eq(preg(r, 0, TFD), 0x451);
	check_eq(preg(r, 0, CI), 0x20);
	fault_drain(&r->disk->b);
	check_eq(preg(r, 0, SACT), 0x10);
	r->disk->hold = false;
	restart(r, 0);
	check_eq(run(r, 0, c), 0x50);
	rig_free(r);
}

static void a_tag_used_twice_stops_the_port(void)
{
	struct rig *r = rig_create();

	r->disk->hold = true;
	queue(r, 4, 1);
	pset(r, 0, SACT, 0x10);
	pset(r, 0, CI, 0x10);
	pset(r, 0, CI, 0x10);
	check_eq(preg(r, 0, PXIS), IFS);
	check_eq(r->disk->held_count, 1);
	fault_drain(&r->disk->b);
	rig_free(r);
}

/* ---- errors, resets */

static void media_errors_name_the_sector(void)
{
	struct rig *r = rig_create();

	r->disk->fail_with = -EIO;
	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .lba = 0x123, .count = 8, .bytes = 4096 }), 0x4051);
	check_eq(preg(r, 0, PXIS), DHRS | TFES);
	check_eq(fis(r, 0, 0x40)[2], 0x51);
	check_eq(fis(r, 0, 0x40)[3], 0x40);
	check_eq(get_le16(fis(r, 0, 0x44)), 0x123);
	check_eq(prdbc(r, 0, 0), 0);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x35, .lba = 0x124, .count = 8, .bytes = 4096, .flags = HDR_WRITE }), 0x4051);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xe7 }), 0x461);	/* device fault */
	restart(r, 0);
	r->disk->fail_with = 0;
	r->disk->b.readonly = true;
	check_eq(run(r, 0, (struct cmd){ .command = 0x35, .lba = 1, .count = 1, .bytes = 512, .flags = HDR_WRITE }), 0x451);
	restart(r, 0);
	/* After an error nothing runs before the restart. */
	check_eq(run(r, 0, (struct cmd){ .command = 0x00 }), 0x451);
	r->disk->submits = 0;
	pset(r, 0, CI, 2);
	check_eq(r->disk->submits, 0);
	rig_free(r);
}

static void a_port_stopped_under_way_drops_the_command(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0x25, .lba = 1, .count = 1, .bytes = 512 };

	r->disk->hold = true;
	check_eq(run(r, 0, c), 0xc0);
	check_eq(preg(r, 0, CI), 1);
	pset(r, 0, CMD, FRE);
	check_eq(preg(r, 0, CI), 0);
	check_eq(preg(r, 0, CMD) & CR, CR);
	pset(r, 0, CMD, FRE | ST);
	r->disk->hold = false;
	check_eq(run(r, 0, c) & 0x80, 0);	/* waits in PxCI for the old one to come back */
	check_eq(preg(r, 0, CI), 1);
	check_eq(preg(r, 0, PXIS), 0);
	fault_release(r->disk, 0);
	check_eq(preg(r, 0, CI), 0);
	check_eq(preg(r, 0, PXIS), DHRS);
	check_eq(r->disk->submits, 2);
	rig_free(r);
}

static void software_reset_with_commands_under_way(void)
{
	struct rig *r = rig_create();
	struct cmd srst = { .not_command = true, .control = 4, .flags = HDR_RESET | HDR_CLEAR }, end = { .not_command = true };

	r->disk->hold = true;
	queue(r, 3, 9);
	pset(r, 0, SACT, 8);
	pset(r, 0, CI, 8);
	pset(r, 0, CMD, FRE);
	pset(r, 0, CMD, FRE | ST);
	memset(fis(r, 0, 0x40), 0, 20);
	build(r, 0, 0, &srst);
	pset(r, 0, CI, 1);
	fault_release(r->disk, 0);
	check_eq(preg(r, 0, CI), 0);
	build(r, 0, 1, &end);
	pset(r, 0, CI, 2);
	check_eq(preg(r, 0, CI), 0);
	check_eq(preg(r, 0, TFD), 0x150);
	check_eq(preg(r, 0, SIG), 0x101);
	check_eq(fis(r, 0, 0x40)[0], 0x34);
	check_eq(fis(r, 0, 0x40)[1], 0);
	check_eq(preg(r, 0, PXIS), 0);
	r->disk->hold = false;
	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .count = 1, .bytes = 512 }), 0x50);
	rig_free(r);
}

static void comreset_waits_for_what_is_under_way(void)
{
	struct rig *r = rig_create();

	r->disk->hold = true;
	queue(r, 3, 9);
	queue(r, 7, 9);
	pset(r, 0, SACT, 0x88);
	pset(r, 0, CI, 0x88);
	pset(r, 0, CMD, FRE);
	pset(r, 0, SCTL, 0x301);
	check_eq(preg(r, 0, SSTS), 0);
	check_eq(preg(r, 0, TFD), 0x7f);
	pset(r, 0, SCTL, 0x300);
	check_eq(preg(r, 0, SSTS), 0x113);
	check_eq(preg(r, 0, TFD), 0x80);
	check_eq(preg(r, 0, SERR) & 1 << 26, 1 << 26);
	check_eq(preg(r, 0, PXIS) & 0x40, 0x40);
	fault_release(r->disk, 0);
	check_eq(preg(r, 0, TFD), 0x80);
	fault_release(r->disk, 0);
	check_eq(preg(r, 0, TFD), 0x150);
	check_eq(preg(r, 0, SIG), 0x101);
	pset(r, 0, SERR, 0xffffffff);
	check_eq(preg(r, 0, PXIS) & 0x40, 0);
	pset(r, 0, SCTL, 4);
	check_eq(preg(r, 0, SSTS), 4);
	pset(r, 0, SCTL, 0);
	check_eq(preg(r, 0, SSTS), 0x113);
	rig_free(r);
}

static void controller_reset_waits_for_what_is_under_way(void)
{
	struct rig *r = rig_create();

	r->disk->hold = true;
	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .count = 1, .bytes = 512 }), 0xc0);
	set(r, GHC, 0x80000001);
	check_eq(reg(r, GHC), 0x80000001);
	set(r, GHC, 0x80000002);	/* nobody listens now */
	fault_release(r->disk, 0);
	check_eq(reg(r, GHC), 0x80000000);
	check_eq(preg(r, 0, CMD), 6);
	check_eq(preg(r, 0, PXIE), 0);
	check_eq(preg(r, 0, CLB), base(0));
	r->disk->hold = false;
	start(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .count = 1, .bytes = 512 }), 0x50);
	pci_host_reset(&r->host);
	check_eq(pci_dev_config_read(ahci_pci(r->ahci), PCI_COMMAND, 2), 0);
	rig_free(r);
}

static void freeing_with_commands_under_way(void)
{
	struct rig *r = rig_create();

	r->disk->hold = true;
	queue(r, 1, 9);
	queue(r, 2, 9);
	pset(r, 0, SACT, 6);
	pset(r, 0, CI, 6);
	check_eq(r->disk->held_count, 2);
	rig_free(r);	/* the sanitizer judges */
}

/* ---- interrupts */

static void intx_follows_the_status_registers(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0xe7 };

	check_eq(r->level, 0);
	run(r, 0, c);
	check_eq(r->level, 1);
	check_eq(reg(r, IS), 1);
	set(r, IS, 1);			/* in vain while the port has its bit */
	check_eq(reg(r, IS), 1);
	check_eq(r->level, 1);
	pset(r, 0, PXIS, DHRS);
	check_eq(reg(r, IS), 1);	/* latched */
	check_eq(r->level, 1);
	set(r, IS, 1);
	check_eq(r->level, 0);
	pset(r, 0, PXIE, 0);
	run(r, 0, c);
	check_eq(preg(r, 0, PXIS), DHRS);
	check_eq(r->level, 0);
	pset(r, 0, PXIE, DHRS);
	check_eq(r->level, 1);
	set(r, GHC, 0x80000000);
	check_eq(r->level, 0);
	rig_free(r);
}

static void msi_is_sent_once_for_each_rise(void)
{
	struct rig *r = rig_create();
	struct pci_dev *d = ahci_pci(r->ahci);
	struct cmd c = { .command = 0xe5 };

	pci_dev_config_write(d, 0x84, 4, 0xfee01000);
	pci_dev_config_write(d, 0x8c, 2, 0x4041);
	pci_dev_config_write(d, 0x82, 2, 1);
	run(r, 0, c);
	check_eq(r->msis, 1);
	check_eq(r->level, 0);
	build(r, 2, 0, &c);
	pset(r, 2, CI, 1);
	check_eq(r->msis, 1);		/* IS was not zero */
	pset(r, 0, PXIS, DHRS);
	set(r, IS, 1);
	check_eq(r->msis, 2);		/* port 2 is still there */
	pset(r, 2, PXIS, DHRS);
	set(r, IS, 4);
	check_eq(r->msis, 2);
	run(r, 0, c);
	check_eq(r->msis, 3);
	rig_free(r);
}

static void narrow_writes_touch_only_their_bits(void)
{
	struct rig *r = rig_create();

	run(r, 0, (struct cmd){ .command = 0xe5 });
	bus_write(&r->mmio, BAR5 + 0x100 + PXIS + 1, 1, 0xff);
	check_eq(preg(r, 0, PXIS), DHRS);
	bus_write(&r->mmio, BAR5 + 0x100 + PXIS, 1, 0xff);
	check_eq(preg(r, 0, PXIS), 0);
	bus_write(&r->mmio, BAR5 + 0x100 + CLB + 2, 1, 0x55);
	check_eq(preg(r, 0, CLB), 0x550000 | (base(0) & 0xff00ffff));
	rig_free(r);
}

/* ---- the smaller commands */

static void settings_are_shown_and_kept(void)
{
	struct rig *r = rig_create();

	check_eq(run(r, 0, (struct cmd){ .command = 0xef, .features = 0x03, .count = 0x22 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xef, .features = 0x82 }), 0x50);
	check_eq(r->disk->count[BLOCK_FLUSH], 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0xc6, .count = 8 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xec, .bytes = 512 }), 0x50);
	check_eq(word(r, 0, 63), 0x0407);
	check_eq(word(r, 0, 88), 0x003f);
	check_eq(word(r, 0, 85), 0x4001);
	check_eq(word(r, 0, 59), 0x0108);
	check_eq(run(r, 0, (struct cmd){ .command = 0x35, .count = 1, .bytes = 512, .flags = HDR_WRITE }), 0x50);
	check_eq(r->disk->fua, 1);	/* without a cache each write is on the medium */
	check_eq(run(r, 0, (struct cmd){ .command = 0xef, .features = 0x02 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xef, .features = 0x03, .count = 0x47 }), 0x451);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xef, .features = 0x05, .count = 0x80 }), 0x451);
	rig_free(r);
}

static void trims_neighbours_together(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0x06, .features = 1, .count = 1, .bytes = 512, .flags = HDR_WRITE };
	uint8_t *d = data(r, 0);

	put_le64(d, 8 | 8ull << 48);
	put_le64(d + 8, 16 | 8ull << 48);
	put_le64(d + 16, 64 | 1ull << 48);
	check_eq(run(r, 0, c), 0x50);
	check_eq(r->disk->count[BLOCK_DISCARD], 2);
	check_eq(r->disk->data[8 * 512], 0);
	check_eq(r->disk->data[24 * 512 - 1], 0);
	check_eq(r->disk->data[24 * 512], 24);
	check_eq(r->disk->last_off, 64 * 512);
	r->disk->hold = true;
	check_eq(run(r, 0, c), 0xc0);
	check_eq(r->disk->held_count, 1);
	fault_release(r->disk, 0);
	fault_release(r->disk, 0);
	check_eq(preg(r, 0, TFD), 0x50);
	r->disk->hold = false;
	put_le64(d + 16, DISK_SIZE / 512 | 1ull << 48);
	check_eq(run(r, 0, c), 0x1051);
	restart(r, 0);
	c.count = 65;
	check_eq(run(r, 0, c), 0x451);
	rig_free(r);
}

static void reports_health_and_power(void)
{
	struct rig *r = rig_create();
	uint8_t sum = 0;

	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xda, .lba = 0xc24f00 }), 0x50);
	check_eq(get_le32(fis(r, 0, 0x44)) & 0xffffff, 0xc24f00);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xd0, .lba = 0xc24f00, .bytes = 512 }), 0x50);
	for (unsigned i = 0; i < 512; i++)
		sum = (uint8_t)(sum + data(r, 0)[i]);
	check_eq(sum, 0);
	check_eq(data(r, 0)[2], 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xd1, .lba = 0xc24f00, .bytes = 512 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xd5, .lba = 0xc24f01, .count = 1, .bytes = 512 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xd9, .lba = 0xc24f00 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xda, .lba = 0xc24f00 }), 0x451);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xd8, .lba = 0xc24f00 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xda, .lba = 0 }), 0x451);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xe5 }), 0x50);
	check_eq(fis(r, 0, 0x40)[12], 0xff);
	check_eq(run(r, 0, (struct cmd){ .command = 0xe0 }), 0x50);
	check_eq(r->disk->count[BLOCK_FLUSH], 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0x27 }), 0x50);
	check_eq(get_le32(fis(r, 0, 0x44)) & 0xffffff, DISK_SIZE / 512 - 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0x90 }), 0x150);
	check_eq(run(r, 0, (struct cmd){ .command = 0xff }), 0x451);
	rig_free(r);
}

/* ---- the empty CD drive */

static uint32_t packet(struct rig *r, const char *cdb, uint32_t bytes, bool dma)
{
	struct cmd c = { .command = 0xa0, .features = dma, .lba = 0xfffe00, .bytes = bytes, .flags = HDR_ATAPI };

	memcpy(c.cdb, cdb, 12);
	memset(data(r, 2), 0xee, 256);
	return run(r, 2, c);
}

static uint16_t sense(struct rig *r)
{
	check_eq(packet(r, "\x03\0\0\0\x12\0\0\0\0\0\0\0", 18, true), 0x50);
	return (uint16_t)(data(r, 2)[2] << 8 | data(r, 2)[12]);
}

static void the_cd_drive_is_empty(void)
{
	static const char *const commands[] = {
		"\0\0\0\0\0\0\0\0\0\0\0\0", "\x25\0\0\0\0\0\0\0\0\0\0\0", "\x28\0\0\0\0\0\0\0\1\0\0\0", "\x43\0\0\0\0\0\0\0\x80\0\0\0",
	};
	struct rig *r = rig_create();

	for (unsigned i = 0; i < 4; i++) {
		check_eq(packet(r, commands[i], 2048, true), 0x2051);
		check_eq(preg(r, 2, PXIS), DHRS | TFES);
		restart(r, 2);
		check_eq(sense(r), 0x023a);
		check_eq(sense(r), 0);
	}
	check_eq(packet(r, "\xff\0\0\0\0\0\0\0\0\0\0\0", 0, true), 0x5051);
	restart(r, 2);
	check_eq(sense(r), 0x0520);
	rig_free(r);
}

static void the_cd_drive_tells_who_it_is(void)
{
	struct rig *r = rig_create();
	char s[64];

	check_eq(run(r, 2, (struct cmd){ .command = 0xec, .bytes = 512 }), 0x451);
	check_eq(get_le32(fis(r, 2, 0x44)) & 0xffffff, 0xeb1401);
	restart(r, 2);
	check_eq(run(r, 2, (struct cmd){ .command = 0xa1, .bytes = 512 }), 0x50);
	check_eq(word(r, 2, 0), 0x85c0);
	ata_string(r, 2, 27, 20, s);
	check_str(s, "QEMU DVD-ROM                            ");
	check_eq(packet(r, "\x12\0\0\0\x60\0\0\0\0\0\0\0", 96, true), 0x50);
	check_eq(prdbc(r, 2, 0), 36);
	check(!memcmp(data(r, 2), "\x05\x80\x00\x21\x1f\0\0\0QEMU    QEMU DVD-ROM    2.5+\xee", 37));
	strcpy(r->env.disks[1].model, "HL-DT-ST DVDRAM GUD1N");
	check_eq(packet(r, "\x12\0\0\0\x60\0\0\0\0\0\0\0", 96, false), 0x50);
	check_eq(preg(r, 2, PXIS), DHRS | PSS);
	check(!memcmp(data(r, 2) + 8, "HL-DT-STDVDRAM GUD1N    2.5+", 28));
	check_eq(packet(r, "\x12\1\x83\0\x60\0\0\0\0\0\0\0", 96, true), 0x50);
	check(!memcmp(data(r, 2), "\x05\x83\0\x18\x02\0\0\x14QM00005             \xee", 29));
	check_eq(packet(r, "\x5a\0\x2a\0\0\0\0\0\x80\0\0\0", 128, true), 0x50);
	check(!memcmp(data(r, 2), "\0\x1c\x70\0\0\0\0\0\x2a\x14\x3b\0\x71\x60\x29\0\2\xc0\0\2\2\0\2\xc0\0\0\0\0\0\0\xee", 31));
	check_eq(packet(r, "\x46\0\0\0\0\0\0\0\x80\0\0\0", 128, true), 0x50);
	check(!memcmp(data(r, 2), "\0\0\0\x10\0\0\0\0\0\0\3\x08\0\x10\0\0\0\x08\0\0\xee", 21));
	check_eq(packet(r, "\x4a\1\0\0\x10\0\0\0\x08\0\0\0", 8, true), 0x50);
	check(!memcmp(data(r, 2), "\0\4\4\x10\0\0\0\0\xee", 9));
	rig_free(r);
}

static void the_cd_tray_can_be_locked(void)
{
	struct rig *r = rig_create();

	check_eq(packet(r, "\x1b\0\0\0\2\0\0\0\0\0\0\0", 0, true), 0x50);
	check_eq(packet(r, "\x1e\0\0\0\1\0\0\0\0\0\0\0", 0, true), 0x50);
	check_eq(packet(r, "\x1b\0\0\0\2\0\0\0\0\0\0\0", 0, true), 0x5051);
	restart(r, 2);
	check_eq(sense(r), 0x0553);
	check_eq(run(r, 2, (struct cmd){ .command = 0x25, .count = 1, .bytes = 512 }), 0x451);
	rig_free(r);
}

static void two_controllers_at_once(void)
{
	struct rig *a = rig_create(), *b = rig_create();

	a->disk->hold = true;
	queue(a, 0, 3);
	queue(b, 0, 4);
	pset(a, 0, SACT, 1);
	pset(b, 0, SACT, 1);
	pset(a, 0, CI, 1);
	pset(b, 0, CI, 1);
	check_eq(preg(a, 0, SACT), 1);
	check_eq(preg(b, 0, SACT), 0);
	check_eq(a->level, 0);
	check_eq(b->level, 1);
	fault_drain(&a->disk->b);
	check_eq(a->level, 1);
	check_eq(data(a, 0)[0], 3);
	check_eq(data(b, 0)[0], 4);
	rig_free(a);
	rig_free(b);
}

static const struct test tests[] = {
	{ "shows itself as ICH9", shows_itself_as_ich9 },
	{ "the signature waits for FIS receive", the_signature_waits_for_fis_receive },
	{ "refuses unsuitable media", refuses_unsuitable_media },
	{ "identifies the disk", identifies_the_disk },
	{ "IDENTIFY follows the environment", identify_follows_the_environment },
	{ "reads and writes by DMA", reads_and_writes_by_dma },
	{ "reads and writes by PIO", reads_and_writes_by_pio },
	{ "addresses beyond the disk are not found", addresses_beyond_the_disk_are_not_found },
	{ "odd scatter lists work", odd_scatter_lists_work },
	{ "a short scatter list is an overflow", a_short_scatter_list_is_an_overflow },
	{ "bad addresses stop the port", bad_addresses_stop_the_port },
	{ "a scatter list beyond reason is refused", a_scatter_list_beyond_reason_is_refused },
	{ "queued commands end in any order", queued_commands_end_in_any_order },
	{ "commands done at once share one FIS and interrupt", commands_done_at_once_share_one_fis_and_interrupt },
	{ "queued writes honour FUA", queued_writes_honour_fua },
	{ "a queued error stops the queue and is logged", a_queued_error_stops_the_queue_and_is_logged },
	{ "an error among commands done at once reports the others first",
		an_error_among_commands_done_at_once_reports_the_others_first },
	{ "an unqueued command beside queued ones ends all", an_unqueued_command_beside_queued_ones_ends_all },
	{ "a tag used twice stops the port", a_tag_used_twice_stops_the_port },
	{ "media errors name the sector", media_errors_name_the_sector },
	{ "a port stopped under way drops the command", a_port_stopped_under_way_drops_the_command },
	{ "software reset with commands under way", software_reset_with_commands_under_way },
	{ "COMRESET waits for what is under way", comreset_waits_for_what_is_under_way },
	{ "controller reset waits for what is under way", controller_reset_waits_for_what_is_under_way },
	{ "freeing with commands under way", freeing_with_commands_under_way },
	{ "INTx follows the status registers", intx_follows_the_status_registers },
	{ "MSI is sent once for each rise", msi_is_sent_once_for_each_rise },
	{ "narrow writes touch only their bits", narrow_writes_touch_only_their_bits },
	{ "settings are shown and kept", settings_are_shown_and_kept },
	{ "trims neighbours together", trims_neighbours_together },
	{ "reports health and power", reports_health_and_power },
	{ "the CD drive is empty", the_cd_drive_is_empty },
	{ "the CD drive tells who it is", the_cd_drive_tells_who_it_is },
	{ "the CD tray can be locked", the_cd_tray_can_be_locked },
	{ "two controllers at once", two_controllers_at_once },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_ahci = { tests };
