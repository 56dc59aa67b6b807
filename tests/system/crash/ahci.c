/* SPDX-License-Identifier: Apache-2.0 */
/* AHCI 1.3.1: port 0, one command at a time, READ and WRITE DMA EXT, FLUSH CACHE EXT, one MSI message. */
#include "guest.h"

enum { BAR = 0xc2000000, PORT = BAR + 0x100 };
enum { IS = 0x10, IE = 0x14, CMD = 0x18, TFD = 0x20, CI = 0x38 };

static uint32_t list[8] __attribute__((aligned(1024)));
static uint8_t fis[256] __attribute__((aligned(256)));
static struct { uint8_t cfis[128]; uint32_t prd[4]; } table __attribute__((aligned(128)));
static struct io *waiting;

static void enable_msi(uint32_t fn)
{
	unsigned msi = pci_capability(fn, 5, 0);
	uint32_t control;

	if (!msi)
		stop("ahci: no MSI");
	control = pci_read(fn, msi);
	pci_write(fn, msi + 4, MSI_ADDRESS);
	if (control & 1u << 23) {
		pci_write(fn, msi + 8, 0);
		pci_write(fn, msi + 12, VECTOR);
	} else {
		pci_write(fn, msi + 8, VECTOR);
	}
	pci_write(fn, msi, control | 1u << 16);
}

static void start(void)
{
	uint32_t fn = pci_function(31, 2);

	if (pci_read(fn, 8) >> 8 != 0x010601)
		stop("ahci: no controller at 00:1f.2");
	pci_write(fn, 0x24, BAR);
	pci_write(fn, 4, 6);
	enable_msi(fn);
	mmio_write32(BAR + 4, 1u << 31 | 2);
	mmio_write32(PORT, (uint32_t)(uintptr_t)list);
	mmio_write32(PORT + 4, 0);
	mmio_write32(PORT + 8, (uint32_t)(uintptr_t)fis);
	mmio_write32(PORT + 12, 0);
	mmio_write32(PORT + 0x30, ~0u);
	mmio_write32(PORT + IS, ~0u);
	mmio_write32(PORT + IE, 0x7dc0007f);
	mmio_write32(PORT + CMD, mmio_read32(PORT + CMD) | 1 << 4);
	mmio_write32(PORT + CMD, mmio_read32(PORT + CMD) | 1);
}

static void submit(struct io *io)
{
	static const uint8_t commands[] = { [IO_READ] = 0x25, [IO_WRITE] = 0x35, [IO_FLUSH] = 0xea };
	bool data = io->kind != IO_FLUSH;
	uint8_t *f = table.cfis;

	if (waiting)
		stop("ahci: two commands at once");
	waiting = io;
	f[0] = 0x27;
	f[1] = 0x80;
	f[2] = commands[io->kind];
	for (unsigned i = 0; i < 3; i++)
		f[4 + i] = data ? (uint8_t)(io->disk_lba >> 8 * i) : 0;
	f[7] = 0x40;
	f[8] = data ? (uint8_t)(io->disk_lba >> 24) : 0;
	f[12] = data ? (uint8_t)io->sectors : 0;
	table.prd[0] = (uint32_t)(uintptr_t)io->data;
	table.prd[3] = io->sectors * SECTOR - 1;
	list[0] = 5 | (io->kind == IO_WRITE ? 1 << 6 : 0) | (data ? 1u << 16 : 0);
	list[1] = 0;
	list[2] = (uint32_t)(uintptr_t)&table;
	list[3] = 0;
	barrier();
	mmio_write32(PORT + CI, 1);
}

static struct io *reap(void)
{
	struct io *io = waiting;
	uint32_t is = mmio_read32(PORT + IS);

	mmio_write32(PORT + IS, is);
	mmio_write32(BAR + 8, 1);
	if (!io || mmio_read32(PORT + CI) & 1)
		return NULL;
	io->failed = mmio_read32(PORT + TFD) & 1;
	waiting = NULL;
	return io;
}

const struct disk ahci = { .depth = 1, .start = start, .submit = submit, .reap = reap };
