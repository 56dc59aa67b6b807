/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory that misbehaves by plan: requests can be held back and let go in any order, fail, or write only a part
 * before they fail. It also counts. One test's own; free it with block_free.
 */
#pragma once
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "hv/block/block.h"
#include "lib/scope.h"

#define FAULT_HELD 256

struct fault {
	struct block b;
	uint8_t *data;
	bool hold;		/* keep requests until fault_release */
	unsigned fail_after;	/* with fail_with: this many requests succeed first */
	int fail_with;
	bool fail_once;		/* only the next one */
	uint64_t write_part;	/* of a failing write this many bytes arrive */
	struct block_req *held[FAULT_HELD];
	unsigned held_count;
	unsigned count[BLOCK_OPS], fua, submits;
	uint64_t last_off, last_len;
	bool batch;		/* requests between plug and unplug are performed inside unplug */
	unsigned plugs, most_plugged;	/* most_plugged: held at an unplug */
	unsigned round;		/* at most so many inside an unplug, 0: all */
	bool working;		/* unplug is on the stack: the outermost one performs */
};

static inline void fault_move(struct fault *f, struct block_req *req, uint64_t len)
{
	uint8_t *at = f->data + req->off;

	for (unsigned i = 0; i < req->iov_count && len; i++) {
		size_t n = req->iov[i].iov_len < len ? req->iov[i].iov_len : (size_t)len;

		if (req->op == BLOCK_READ)
			memcpy(req->iov[i].iov_base, at, n);
		else
			memcpy(at, req->iov[i].iov_base, n);
		at += n;
		len -= n;
	}
}

static inline void fault_perform(struct fault *f, struct block_req *req)
{
	int r;

	if (f->fail_with && !f->fail_after) {
		if (req->op == BLOCK_WRITE)
			fault_move(f, req, f->write_part);
		r = f->fail_with;
		if (f->fail_once) {
			f->fail_once = false;
			f->fail_with = 0;
		}
		req->done(req, r);
		return;
	}
	if (f->fail_with)
		f->fail_after--;
	if (req->op == BLOCK_READ || req->op == BLOCK_WRITE)
		fault_move(f, req, req->len);
	else if (req->op != BLOCK_FLUSH)
		memset(f->data + req->off, 0, req->len);
	req->done(req, 0);
}

static inline void fault_submit(struct block *b, struct block_req *req)
{
	struct fault *f = container_of(b, struct fault, b);

	f->submits++;
	f->count[req->op]++;
	f->fua += req->fua;
	f->last_off = req->off;
	f->last_len = req->len;
	if ((f->hold || (f->batch && f->plugs)) && f->held_count < FAULT_HELD)
		f->held[f->held_count++] = req;
	else
		fault_perform(f, req);
}

/* Let the i-th held request go. */
static inline void fault_release(struct fault *f, unsigned i)
{
	struct block_req *req = f->held[i];

	f->held_count--;
	memmove(f->held + i, f->held + i + 1, (f->held_count - i) * sizeof f->held[0]);
	fault_perform(f, req);
}

static inline void fault_drain(struct block *b)
{
	struct fault *f = container_of(b, struct fault, b);

	while (f->held_count)
		fault_release(f, 0);
}

static inline void fault_plug(struct block *b)
{
	container_of(b, struct fault, b)->plugs++;
}

static inline void fault_unplug(struct block *b)
{
	struct fault *f = container_of(b, struct fault, b);
	unsigned left = f->round ? f->round : UINT_MAX;

	if (f->held_count > f->most_plugged)
		f->most_plugged = f->held_count;
	if (--f->plugs || f->working)
		return;
	f->working = true;
	while (left-- && f->batch && !f->hold && f->held_count)
		fault_release(f, 0);
	f->working = false;
}

static inline void fault_free(struct block *b)
{
	struct fault *f = container_of(b, struct fault, b);

	free(f->data);
	free(f);
}

static inline struct fault *fault_create(uint64_t size)
{
	static const struct block_ops ops = { .name = "fault", .submit = fault_submit, .drain = fault_drain, .free = fault_free,
		.plug = fault_plug, .unplug = fault_unplug };
	struct fault *f = calloc(1, sizeof *f);

	f->data = calloc(1, size);
	f->b = (struct block){ .ops = &ops, .size = size, .logical = 512, .physical = 4096, .can_discard = true };
	return f;
}
