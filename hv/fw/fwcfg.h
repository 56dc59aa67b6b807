/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware configuration device: named blobs that SeaBIOS, OVMF and Linux read through I/O ports or DMA.
 * A chip core: fill it, seal it, map it. After sealing nothing is added; reset only forgets the selection.
 * All calls under the device lock. Interface: QEMU docs/specs/fw_cfg.rst.
 *
 * Ports, from 0x510: +0 selector (write 16), +1 data (each byte read moves on), +4…+11 DMA address, big-endian; writing its
 * low half (+8), or all of it at once (+4, 8 bytes), runs the request that stands there. Contents are read only: a DMA write
 * ends with the error bit. A request moves at most FWCFG_DMA_MAX bytes.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/bus.h"
#include "hv/mem.h"
#include "lib/err.h"

#define FWCFG_PORT 0x510
#define FWCFG_PORTS 12
#define FWCFG_NAME_MAX 55		/* and a NUL */
#define FWCFG_MAX_FILES 64
#define FWCFG_MAX_KEYS 32
#define FWCFG_DMA_MAX (64u << 20)

enum fwcfg_key {
	FWCFG_SIGNATURE = 0x00, FWCFG_ID = 0x01, FWCFG_UUID = 0x02, FWCFG_RAM_SIZE = 0x03, FWCFG_NOGRAPHIC = 0x04,
	FWCFG_NB_CPUS = 0x05, FWCFG_NUMA = 0x0d, FWCFG_BOOT_MENU = 0x0e, FWCFG_MAX_CPUS = 0x0f, FWCFG_DIRECTORY = 0x19,
	FWCFG_FILES = 0x20, FWCFG_IRQ0_OVERRIDE = 0x8002,
};

struct fwcfg_item { char name[FWCFG_NAME_MAX + 1]; uint16_t key; uint8_t *data; uint32_t len; };

struct fwcfg {
	const struct mem *mem;		/* for DMA */
	struct fwcfg_item key[FWCFG_MAX_KEYS], file[FWCFG_MAX_FILES];	/* files: sorted by name once sealed */
	unsigned keys, files;
	bool sealed;
	uint16_t selected;
	uint32_t pos;			/* next byte of the selected item; never past its end */
	uint8_t dma[8];			/* the address register's bytes */
	uint64_t dma_errors;		/* requests that ended with the error bit */
};

/* Empty but for the signature and the id. */
int fwcfg_init(struct fwcfg *cfg, const struct mem *mem) must_check;
void fwcfg_free(struct fwcfg *cfg);
/* Copies data. -EEXIST, -ENOSPC, -ENOMEM; -EINVAL when sealed, the name is empty or too long, or len is 4 GiB or more. */
int fwcfg_add_file(struct fwcfg *cfg, const char *name, const void *data, size_t len) must_check;
int fwcfg_add_key(struct fwcfg *cfg, uint16_t key, const void *data, size_t len) must_check;	/* below 0x20 or from 0x8000 */
/* Little-endian integers. */
int fwcfg_add_key_u16(struct fwcfg *cfg, uint16_t key, uint16_t val) must_check;
int fwcfg_add_key_u32(struct fwcfg *cfg, uint16_t key, uint32_t val) must_check;
int fwcfg_add_key_u64(struct fwcfg *cfg, uint16_t key, uint64_t val) must_check;
int fwcfg_add_file_u16(struct fwcfg *cfg, const char *name, uint16_t val) must_check;
int fwcfg_add_file_u32(struct fwcfg *cfg, const char *name, uint32_t val) must_check;
int fwcfg_add_file_u64(struct fwcfg *cfg, const char *name, uint64_t val) must_check;
/* Sort, give out the files' keys and write the directory. */
int fwcfg_seal(struct fwcfg *cfg) must_check;
void fwcfg_reset(struct fwcfg *cfg);
/* A file's bytes (the device's own) or NULL. */
const struct fwcfg_item *fwcfg_file(const struct fwcfg *cfg, const char *name);
/* Map as { .base = FWCFG_PORT, .len = FWCFG_PORTS, .ops = &fwcfg_ports, .ctx = cfg }. */
extern const struct bus_ops fwcfg_ports;
