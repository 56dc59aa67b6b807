/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lowest layer of a disk: a regular file or a block device, beside the page cache where the kernel can (README.md). Data
 * moves by io_uring, or by a small pool of threads where the kernel refuses io_uring.
 *
 * The thread that opens a volume owns it: it runs the loop, polls, drains and frees, and all completions are delivered on
 * it (under the loop's guard); what it submits may complete inside submit. Others only submit. Without a loop,
 * block_file_poll delivers.
 */
#pragma once
#include "hv/block/block.h"
#include "lib/loop.h"

enum block_file_engine { BLOCK_FILE_AUTO, BLOCK_FILE_URING, BLOCK_FILE_POOL };

/*
 * Opens and locks path: exclusively, or shared when readonly. A disk somebody else holds is refused with -EBUSY.
 * Size and sector sizes come from the device; a regular file has 512-byte logical and 4096-byte physical sectors.
 * loop may be NULL. The caller frees *b with block_free, which drains.
 */
int block_file_open(const char *path, bool readonly, struct loop *loop, struct block **b, struct err *err) must_check;
/* The same with a chosen engine; BLOCK_FILE_URING fails where the kernel refuses it. */
int block_file_open_engine(const char *path, bool readonly, enum block_file_engine engine, struct loop *loop, struct block **b,
	struct err *err) must_check;
/* Deliver what has completed; b must come from block_file_open. */
void block_file_poll(struct block *b);
enum block_file_engine block_file_engine(const struct block *b);

/* The descriptor that carries the locks: who has a copy of it (agent_lend) holds them too. -1: b is no file. */
int block_file_fd(const struct block *b);

/*
 * A device is held exclusively (O_EXCL), which keeps it from being mounted, and also from a helper that must open it so. Let go
 * of that and take it again: requests go on meanwhile, and the locks (lib/filelock.h) stay. Files have no claim, nor have other
 * layers.
 * -EBUSY: somebody else holds it now.
 */
void block_file_release_claim(struct block *b);
int block_file_take_claim(struct block *b, struct err *err) must_check;
