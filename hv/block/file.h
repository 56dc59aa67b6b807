/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lowest layer of a disk: a regular file or a block device, through the page cache. Data moves by io_uring, or by a
 * small pool of threads where the kernel refuses io_uring. Reads that the page cache can answer complete inside submit.
 *
 * Completions that come later are delivered on the loop's thread (under its guard). Without a loop, block_file_poll
 * delivers them. Submitting threads must live until what they submitted is done, or it is submitted again by the reaper.
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
