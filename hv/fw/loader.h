/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linker-loader script: how firmware is told to place blobs whose pointers hold offsets. Entries of 128 bytes,
 * little-endian; file names are fw_cfg's. SeaBIOS src/fw/romfile_loader.h.
 */
#pragma once
#include <stdbool.h>
#include "hv/mem.h"
#include "lib/buf.h"
#include "lib/err.h"

#define LOADER_ENTRY 128
#define LOADER_NAME 56

/* Write one entry. */
void loader_allocate(struct wbuf *script, const char *file, uint32_t align, bool low);	/* low: below 1 MiB */
void loader_pointer(struct wbuf *script, const char *in, const char *to, size_t offset, uint8_t size);
void loader_checksum(struct wbuf *script, const char *file, size_t offset, size_t start, size_t len);

/* Run a script. */
struct loader_file { const char *name; const uint8_t *data; size_t len; uint64_t gpa; };	/* gpa: set when allocated, else 0 */

/* Places files in [start, end) of memory in the order the script allocates them. The script may be hostile.
 * -EINVAL: names an unknown or not yet placed file, or bytes outside it; -ENOSPC; -EFAULT. */
int loader_run(const void *script, size_t len, struct loader_file *files, unsigned count, struct mem *mem,
	       uint64_t start, uint64_t end, struct err *err) must_check;
