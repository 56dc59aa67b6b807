/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crash guest: a 64-bit program on the bare machine, entered as a Linux kernel is. One CPU, interrupts only while it halts.
 *
 * What the host says, as the initial RAM disk: 33,264 random bytes, the same in all runs, then decimal numbers, one a line:
 * a seed, the disk (0 virtio-blk at 00:04.0, 1 AHCI port 0 at 00:1f.2), and for each earlier run the last number that it
 * reported flushed.
 * What the guest says on COM1:
 *   V N    the region was read; every flushed record is there; N sectors hold what was written after the last flush
 *   F N    the records 1 … N of this run are flushed
 *   E …    a record is lost or damaged, a request failed, a device misbehaved; the guest then stops
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SECTOR = 512, MOST_SECTORS = 128, DEPTH = 8 };

enum io_kind { IO_READ, IO_WRITE, IO_FLUSH };

struct io {
	enum io_kind kind;
	bool busy;		/* between submit and its return by reap */
	bool failed;
	unsigned number;	/* its place in the caller's array of DEPTH */
	uint32_t lba, sectors;	/* in the region */
	uint32_t disk_lba;
	uint64_t seq;
	uint8_t *data;
};

struct disk {
	unsigned depth;				/* requests it takes at once, at most DEPTH */
	void (*start)(void);
	void (*submit)(struct io *io);
	struct io *(*reap)(void);		/* a finished request, or NULL */
};
extern const struct disk virtio_blk, ahci;

/* ---- the machine (pc.c) */
enum { VECTOR = 0x40 };
#define MSI_ADDRESS 0xfee00000u

void pc_start(void);
void say(const char *text);
void say_number(uint64_t n);
void stop(const char *why) __attribute__((noreturn));	/* an E line, then silence */
/* Sleep until an interrupt; called with interrupts off, and one that is pending already ends it at once. */
void pc_halt(void);

static inline uint32_t pci_function(unsigned dev, unsigned fn) { return 0x80000000u | dev << 11 | fn << 8; }
uint32_t pci_read(uint32_t function, unsigned reg);	/* reg: a multiple of four */
void pci_write(uint32_t function, unsigned reg, uint32_t value);
unsigned pci_capability(uint32_t function, unsigned id, unsigned after);	/* 0: none */

static inline uint32_t mmio_read32(uint64_t at) { return *(volatile uint32_t *)at; }
static inline void mmio_write32(uint64_t at, uint32_t v) { *(volatile uint32_t *)at = v; }
static inline void mmio_write16(uint64_t at, uint16_t v) { *(volatile uint16_t *)at = v; }
static inline void mmio_write8(uint64_t at, uint8_t v) { *(volatile uint8_t *)at = v; }
static inline void barrier(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
