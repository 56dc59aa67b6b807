/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk stack's one interface: a chain of layers, each a struct block. Requests are scatter lists in host memory with
 * an asynchronous completion. Submit and completion happen under the device lock; a layer may complete before submit
 * returns. The request and its iovec are the caller's and stay put until done is called, once.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "lib/err.h"

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES, BLOCK_OPS };

struct block_req {
	enum block_op op;
	bool fua;			/* write is on the medium before done */
	uint64_t off, len;		/* bytes, multiples of the sector size, inside the disk; 0 for flush */
	const struct iovec *iov;	/* read and write: sums to len */
	unsigned iov_count;
	void (*done)(struct block_req *req, int result);	/* 0 or -errno as the medium gave it */
	void *ctx;
	struct block_req *next;		/* the layer's own while it holds the request */
	uint64_t priv[4];		/* likewise */
};

struct block;
struct block_ops {
	const char *name;
	void (*submit)(struct block *b, struct block_req *req);	/* always ends in req->done */
	/* Wait until nothing is in flight (loop thread or start-up/exit only). */
	void (*drain)(struct block *b);
	void (*free)(struct block *b);	/* nothing in flight; frees the layers below too */
	/*
	 * Between plug and unplug a layer may hold requests back to hand them on together; requests may complete inside unplug:
	 * inside the outermost call of it on the stack, a bounded number, the rest from the loop. Calls nest; the device lock is not
	 * let go of between them. Optional: past a layer without them both go on to `lower`; a layer with them passes them on itself.
	 */
	void (*plug)(struct block *b);
	void (*unplug)(struct block *b);
};

struct block {
	const struct block_ops *ops;
	uint64_t size;			/* bytes */
	uint32_t logical, physical;	/* sector bytes the layer can serve */
	bool readonly, can_discard;
	struct block *lower;		/* the one layer below; NULL: the lowest, or several below */
};

/* Checks range, alignment and op against b, completes bad requests with -EINVAL / -EROFS, passes good ones on. */
void block_submit(struct block *b, struct block_req *req);
void block_plug(struct block *b);
void block_unplug(struct block *b);
void block_drain(struct block *b);
void block_free(struct block *b);	/* drains; NULL is fine */
