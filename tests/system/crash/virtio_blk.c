/* SPDX-License-Identifier: Apache-2.0 */
/* virtio 1.2: one queue, three descriptors a request, MSI-X message 0 (sections 2.7, 4.1, 5.2). */
#include "guest.h"

enum { QUEUE = 64, BAR = 0xc1000000 };
enum { DESC_NEXT = 1, DESC_WRITE = 2 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };
enum { FEATURE_FLUSH = 1 << 9, FEATURE_VERSION_1 = 1 << 0 };	/* the latter in the upper word */

static struct { uint64_t at; uint32_t len; uint16_t flags, next; } desc[QUEUE] __attribute__((aligned(4096)));
static volatile struct { uint16_t flags, index, ring[QUEUE]; } avail __attribute__((aligned(4096)));
static volatile struct { uint16_t flags, index; struct { uint32_t id, len; } ring[QUEUE]; } used __attribute__((aligned(4096)));
static struct { uint32_t type, reserved; uint64_t sector; } header[DEPTH];
static volatile uint8_t status[DEPTH];
static struct io *waiting[DEPTH];
static uint16_t seen;
static uint64_t common, notify;

/* The capability that says where structure `type` is. */
static unsigned structure(uint32_t fn, unsigned type)
{
	for (unsigned cap = pci_capability(fn, 9, 0); cap; cap = pci_capability(fn, 9, cap)) {
		if (pci_read(fn, cap) >> 24 == type)
			return cap;
	}
	stop("virtio: a structure is missing");
}

static uint64_t bar_place(uint32_t fn, unsigned bar, uint64_t at)
{
	pci_write(fn, 0x10 + 4 * bar, (uint32_t)at);
	if ((pci_read(fn, 0x10 + 4 * bar) & 6) == 4)
		pci_write(fn, 0x14 + 4 * bar, 0);
	return at;
}

/* All structures are in one BAR, the MSI-X table in the same or in another. */
static void place_bars(uint32_t fn)
{
	unsigned bar = pci_read(fn, structure(fn, 1) + 4) & 7, msix = pci_capability(fn, 0x11, 0), table_bar;
	uint64_t at, table;

	if (!msix)
		stop("virtio: no MSI-X");
	table_bar = pci_read(fn, msix + 4) & 7;
	at = bar_place(fn, bar, BAR);
	table = (table_bar == bar ? at : bar_place(fn, table_bar, BAR + 0x100000)) + (pci_read(fn, msix + 4) & ~7u);
	common = at + pci_read(fn, structure(fn, 1) + 8);
	notify = at + pci_read(fn, structure(fn, 2) + 8);
	pci_write(fn, 4, 6);
	pci_write(fn, msix, 0x80000000u);
	mmio_write32(table, MSI_ADDRESS);
	mmio_write32(table + 4, 0);
	mmio_write32(table + 8, VECTOR);
	mmio_write32(table + 12, 0);
}

static void queue_address(unsigned reg, const volatile void *at)
{
	mmio_write32(common + reg, (uint32_t)(uintptr_t)at);
	mmio_write32(common + reg + 4, 0);
}

static void start(void)
{
	uint32_t fn = pci_function(4, 0);

	if (pci_read(fn, 0) != 0x10421af4)
		stop("virtio: no disk at 00:04.0");
	place_bars(fn);
	mmio_write8(common + 0x14, 0);
	mmio_write8(common + 0x14, ACKNOWLEDGE | DRIVER);
	mmio_write32(common + 8, 0);
	mmio_write32(common + 0xc, FEATURE_FLUSH);
	mmio_write32(common + 8, 1);
	mmio_write32(common + 0xc, FEATURE_VERSION_1);
	mmio_write8(common + 0x14, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	if (!(mmio_read32(common + 0x14) & FEATURES_OK))
		stop("virtio: features refused");
	mmio_write16(common + 0x16, 0);
	mmio_write16(common + 0x18, QUEUE);
	mmio_write16(common + 0x1a, 0);
	queue_address(0x20, desc);
	queue_address(0x28, &avail);
	queue_address(0x30, &used);
	mmio_write16(common + 0x1c, 1);
	mmio_write8(common + 0x14, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static void submit(struct io *io)
{
	static const uint32_t types[] = { [IO_READ] = 0, [IO_WRITE] = 1, [IO_FLUSH] = 4 };
	unsigned n = io->number, d = n * 3;

	header[n].type = types[io->kind];
	header[n].sector = io->kind == IO_FLUSH ? 0 : io->disk_lba;
	status[n] = 0xff;
	waiting[n] = io;
	desc[d].at = (uintptr_t)&header[n];
	desc[d].len = 16;
	desc[d].flags = DESC_NEXT;
	desc[d].next = (uint16_t)(io->kind == IO_FLUSH ? d + 2 : d + 1);
	desc[d + 1].at = (uintptr_t)io->data;
	desc[d + 1].len = io->sectors * SECTOR;
	desc[d + 1].flags = DESC_NEXT | (io->kind == IO_READ ? DESC_WRITE : 0);
	desc[d + 1].next = (uint16_t)(d + 2);
	desc[d + 2].at = (uintptr_t)&status[n];
	desc[d + 2].len = 1;
	desc[d + 2].flags = DESC_WRITE;
	avail.ring[avail.index % QUEUE] = (uint16_t)d;
	barrier();
	avail.index++;
	barrier();
	mmio_write16(notify, 0);
}

static struct io *reap(void)
{
	unsigned n;

	barrier();
	if (used.index == seen)
		return NULL;
	n = used.ring[seen++ % QUEUE].id / 3;
	if (n >= DEPTH || !waiting[n])
		stop("virtio: something was done that nobody asked for");
	waiting[n]->failed = status[n] != 0;
	return waiting[n];
}

const struct disk virtio_blk = { .depth = DEPTH, .start = start, .submit = submit, .reap = reap };
