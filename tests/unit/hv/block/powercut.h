/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory with a volatile cache. Reads see what was written; only a flush, or FUA for its own data, makes it last. When
 * power is cut, of what was written since each 512-byte unit arrives or is lost by itself, in random order, and what
 * is in flight may have arrived in part. While power is off, requests end with -EIO.
 *
 * It outlives the layers above (block_free of theirs leaves it alone), so that they can be opened again on what is left:
 *	p = powercut_create(size, seed); … block_free(upper); powercut_cut(p); powercut_on(p); open again; … powercut_destroy(p)
 */
#pragma once
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hv/block/block.h"
#include "lib/scope.h"

#define POWERCUT_HELD 256
#define POWERCUT_NEVER UINT64_MAX

struct powercut_unit { uint64_t at; uint8_t data[512]; };

struct powercut {
	struct block b;
	uint8_t *data;			/* what reads see */
	uint8_t *medium;		/* what lasts */
	struct powercut_unit *cache;	/* written, not flushed; in the order of writing */
	size_t cached, room;
	bool off;
	uint64_t cut_after;		/* power goes with the request after this many more */
	bool hold;			/* keep requests until powercut_release */
	struct block_req *held[POWERCUT_HELD];
	unsigned held_count;
	uint64_t seed, submits, cuts;
};

static inline uint64_t powercut_random(struct powercut *p)
{
	p->seed ^= p->seed << 13;
	p->seed ^= p->seed >> 7;
	p->seed ^= p->seed << 17;
	return p->seed;
}

static inline void powercut_remember(struct powercut *p, uint64_t at, const uint8_t *unit)
{
	if (p->cached == p->room) {
		p->room = p->room ? p->room * 2 : 64;
		p->cache = realloc(p->cache, p->room * sizeof p->cache[0]);
	}
	p->cache[p->cached].at = at;
	memcpy(p->cache[p->cached++].data, unit, 512);
}

/* Older writes of the same place must not come back over one that lasts. */
static inline void powercut_settle(struct powercut *p, uint64_t off, uint64_t len)
{
	size_t kept = 0;

	memcpy(p->medium + off, p->data + off, len);
	for (size_t i = 0; i < p->cached; i++) {
		if (p->cache[i].at < off || p->cache[i].at >= off + len)
			p->cache[kept++] = p->cache[i];
	}
	p->cached = kept;
}

static inline void powercut_move(struct powercut *p, const struct block_req *req)
{
	uint8_t *at = p->data + req->off;

	if (req->op == BLOCK_DISCARD || req->op == BLOCK_WRITE_ZEROES)
		memset(at, 0, req->len);
	for (unsigned i = 0; i < req->iov_count; i++) {
		if (req->op == BLOCK_READ)
			memcpy(req->iov[i].iov_base, at, req->iov[i].iov_len);
		else
			memcpy(at, req->iov[i].iov_base, req->iov[i].iov_len);
		at += req->iov[i].iov_len;
	}
	for (uint64_t o = req->off; req->op != BLOCK_READ && o < req->off + req->len; o += 512)
		powercut_remember(p, o, p->data + o);
}

/* Power goes. Held requests arrive in part or not at all, and end with -EIO. */
static inline void powercut_cut(struct powercut *p)
{
	struct block_req *held[POWERCUT_HELD];
	unsigned count = p->held_count, odds = (unsigned)(powercut_random(p) % 5);

	if (p->off)
		return;
	p->off = true;
	p->cuts++;
	memcpy(held, p->held, sizeof held);
	p->held_count = 0;
	for (unsigned i = 0; i < count; i++) {
		if (held[i]->op != BLOCK_READ && held[i]->op != BLOCK_FLUSH)
			powercut_move(p, held[i]);
	}
	/* odds 0: all is lost; 4: all arrives, though in any order */
	for (size_t left = p->cached; left; left--) {
		size_t pick = powercut_random(p) % left;

		if (powercut_random(p) % 4 < odds)
			memcpy(p->medium + p->cache[pick].at, p->cache[pick].data, 512);
		p->cache[pick] = p->cache[left - 1];
	}
	p->cached = 0;
	memcpy(p->data, p->medium, p->b.size);
	for (unsigned i = 0; i < count; i++)
		held[i]->done(held[i], -EIO);
}

static inline void powercut_on(struct powercut *p)
{
	p->off = false;
	p->cut_after = POWERCUT_NEVER;
}

static inline void powercut_perform(struct powercut *p, struct block_req *req)
{
	if (p->off) {
		req->done(req, -EIO);
		return;
	}
	if (req->op == BLOCK_FLUSH)
		powercut_settle(p, 0, p->b.size);
	else
		powercut_move(p, req);
	if (req->fua && req->op != BLOCK_READ)
		powercut_settle(p, req->off, req->len);
	req->done(req, 0);
}

static inline void powercut_submit(struct block *b, struct block_req *req)
{
	struct powercut *p = container_of(b, struct powercut, b);

	p->submits++;
	if (!p->off && p->cut_after != POWERCUT_NEVER && !p->cut_after--) {
		p->held[p->held_count++] = req;
		powercut_cut(p);
	} else if (p->hold && !p->off && p->held_count < POWERCUT_HELD - 1) {
		p->held[p->held_count++] = req;
	} else {
		powercut_perform(p, req);
	}
}

/* Let the i-th held request go. */
static inline void powercut_release(struct powercut *p, unsigned i)
{
	struct block_req *req = p->held[i];

	p->held_count--;
	memmove(p->held + i, p->held + i + 1, (p->held_count - i) * sizeof p->held[0]);
	powercut_perform(p, req);
}

static inline void powercut_drain(struct block *b)
{
	struct powercut *p = container_of(b, struct powercut, b);

	while (p->held_count)
		powercut_release(p, 0);
}

static inline void powercut_leave(struct block *b)
{
}

static inline struct powercut *powercut_create(uint64_t size, uint64_t seed)
{
	static const struct block_ops ops = { .name = "powercut", .submit = powercut_submit, .drain = powercut_drain,
		.free = powercut_leave };
	struct powercut *p = calloc(1, sizeof *p);

	p->data = calloc(1, size);
	p->medium = calloc(1, size);
	p->seed = seed * 2 + 0x9e3779b97f4a7c15;
	p->cut_after = POWERCUT_NEVER;
	p->b = (struct block){ .ops = &ops, .size = size, .logical = 512, .physical = 4096, .can_discard = true };
	return p;
}

static inline void powercut_destroy(struct powercut *p)
{
	free(p->data);
	free(p->medium);
	free(p->cache);
	free(p);
}
