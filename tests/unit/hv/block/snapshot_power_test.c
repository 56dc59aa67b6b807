/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random requests, and the power goes at a random moment: volume and store lose an arbitrary part of what was not flushed. The
 * past must come back byte by byte, and every flushed write of the present be there, however often that happens in a row.
 */
#include <errno.h>
#include <stdlib.h>
#include "hv/block/snapshot_priv.h"
#include "lib/scope.h"
#include "tests/unit/suite.h"

enum { CLUSTERS = 12, SIZE = CLUSTERS * SNAP_CLUSTER + 1024, STORE = SNAP_GROUPS_OFF + (CLUSTERS + 1) * (SNAP_CLUSTER + SNAP_BLOCK),
	SECTOR = 512, HELD = 64, DEPTH = 8, WINDOW = 6 * SECTOR };

static uint64_t state;

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % below;
}

/* ---- a medium with a write cache: requests end late and in any order, what is not flushed may be lost sector by sector */

struct medium { struct block b; uint8_t *now, *safe; uint64_t size; struct block_req *held[HELD]; unsigned count; };

static void move(struct medium *m, const struct block_req *req, uint8_t *to, bool torn)
{
	uint64_t off = req->off;

	for (unsigned i = 0; i < req->iov_count; i++)
		for (size_t at = 0; at < req->iov[i].iov_len; at += SECTOR, off += SECTOR) {
			uint8_t *p = (uint8_t *)req->iov[i].iov_base + at;

			if (req->op == BLOCK_READ)
				memcpy(p, m->now + off, SECTOR);
			else if (!torn || draw(2))
				memcpy(to + off, p, SECTOR);
		}
}

static void perform(struct medium *m, struct block_req *req)
{
	if (req->op == BLOCK_FLUSH) {
		memcpy(m->safe, m->now, m->size);
	} else if (req->op == BLOCK_READ || req->op == BLOCK_WRITE) {
		move(m, req, m->now, false);
		if (req->fua)
			move(m, req, m->safe, false);
	} else {
		memset(m->now + req->off, 0, req->len);
	}
	req->done(req, 0);
}

static void perform_one(struct medium *m)
{
	unsigned i = draw(m->count);
	struct block_req *req = m->held[i];

	m->held[i] = m->held[--m->count];
	perform(m, req);
}

static void medium_submit(struct block *b, struct block_req *req)
{
	struct medium *m = container_of(b, struct medium, b);

	if (m->count < HELD && draw(4))
		m->held[m->count++] = req;
	else
		perform(m, req);
}

static void medium_drain(struct block *b)
{
	struct medium *m = container_of(b, struct medium, b);

	while (m->count)
		perform_one(m);
}

static void medium_free(struct block *b)
{
	struct medium *m = container_of(b, struct medium, b);

	free(m->now);
	free(m->safe);
	free(m);
}

static struct medium *make(uint64_t size, const uint8_t *content)
{
	static const struct block_ops ops = { .name = "medium", .submit = medium_submit, .drain = medium_drain, .free = medium_free };
	struct medium *m = calloc(1, sizeof *m);

	m->b = (struct block){ .ops = &ops, .size = size, .logical = SECTOR, .physical = 4096, .can_discard = true };
	m->size = size;
	m->now = calloc(1, size);
	m->safe = calloc(1, size);
	if (content) {
		memcpy(m->now, content, size);
		memcpy(m->safe, content, size);
	}
	return m;
}

/*
 * The power goes, or only the process is killed (then the cache stays): what is there afterwards, as a new medium. Requests in
 * flight arrive in part; they never end.
 */
static struct medium *cut(struct medium *m, bool power)
{
	struct medium *fresh;

	for (unsigned i = 0; i < m->count; i++)
		if (m->held[i]->op == BLOCK_WRITE)
			move(m, m->held[i], m->now, power || draw(2));
	for (uint64_t off = 0; off < m->size; off += SECTOR)
		if (power && draw(2))
			memcpy(m->safe + off, m->now + off, SECTOR);
	fresh = make(m->size, m->safe);
	if (!power)
		memcpy(fresh->now, m->now, m->size);
	return fresh;
}

/* ---- the guest */

struct write { struct block_req req; struct iovec iov; uint8_t data[WINDOW]; bool busy; };

static struct medium *volume, *store;
static struct block *layer;
static uint8_t past[SIZE], acked[SIZE], flushed[SIZE];
static bool clean[SIZE / SECTOR];		/* flushed, and not written to since: must be exactly so */
static unsigned writing[SIZE / SECTOR];
static struct write writes[DEPTH];

static void write_done(struct block_req *req, int r)
{
	struct write *w = req->ctx;

	check_eq(r, 0);
	for (uint64_t s = req->off / SECTOR, i = 0; i < req->len / SECTOR; s++, i++) {
		if (req->op == BLOCK_WRITE)
			memcpy(acked + s * SECTOR, w->data + i * SECTOR, SECTOR);
		else
			memset(acked + s * SECTOR, 0, SECTOR);
		writing[s]--;
	}
	w->busy = false;
}

static void one_write(void)
{
	uint64_t sector = draw(SIZE / SECTOR - 6), count = 1 + draw(6);
	enum block_op op = draw(5) ? BLOCK_WRITE : draw(2) ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES;
	struct write *w = &writes[draw(DEPTH)];

	if (w->busy)
		return;
	/* overlapping writes in flight end in either order: not what this is about */
	for (uint64_t s = sector; s < sector + count; s++)
		if (writing[s])
			return;
	for (uint64_t s = sector; s < sector + count; s++) {
		writing[s]++;
		clean[s] = false;
	}
	for (unsigned i = 0; i < WINDOW; i += 4)
		memcpy(w->data + i, &(uint32_t){ draw(UINT32_MAX) }, 4);
	w->busy = true;
	w->iov = (struct iovec){ w->data, count * SECTOR };
	w->req = (struct block_req){ .op = op, .off = sector * SECTOR, .len = count * SECTOR, .done = write_done, .ctx = w };
	if (op == BLOCK_WRITE) {
		w->req.iov = &w->iov;
		w->req.iov_count = 1;
	}
	block_submit(layer, &w->req);
}

static void flush_all(void)
{
	block_drain(layer);
	check_eq(snap_run(layer, BLOCK_FLUSH, 0, NULL, 0, false), 0);
	memcpy(flushed, acked, SIZE);
	memset(clean, true, sizeof clean);
}

static void live(unsigned steps)
{
	while (steps--) {
		uint32_t what = draw(1000);

		if (what < 550)
			one_write();
		else if (what < 740 && volume->count)
			perform_one(volume);
		else if (what < 985 && store->count)
			perform_one(store);
		else if (what == 999)
			flush_all();
	}
}

static void put_layer(bool create)
{
	struct err err = { 0 };

	CU_ASSERT_FATAL(!block_snapshot_create(&volume->b, NULL, &layer));
	if (snap_open_on(layer, &store->b, NULL, create, &err))
		suite_note("seed state %llx: %s", (unsigned long long)state, err.text);
	CU_ASSERT_FATAL(!err.code);
}

static void free_layer(struct medium *v, struct medium *s)
{
	struct block *old = layer;

	/* The dead machine's: let it end on media that nobody reads again. */
	volume = v;
	store = s;
	block_free(old);
}

static void check_present(const struct medium *m)
{
	unsigned bad = 0;

	for (unsigned s = 0; s < SIZE / SECTOR; s++)
		bad += clean[s] && memcmp(m->now + s * SECTOR, flushed + s * SECTOR, SECTOR);
	check_eq(bad, 0);
}

static void dies(bool power)
{
	struct medium *v = cut(volume, power), *s = cut(store, power);

	check_present(v);
	free_layer(v, s);
	memset(writing, 0, sizeof writing);
	memset(writes, 0, sizeof writes);
	memcpy(acked, v->now, SIZE);
	memset(clean, false, sizeof clean);
	put_layer(false);
}

/* Home, with the power going a few times on the way. */
static void roll_back(void)
{
	struct medium *v = make(SIZE, volume->now), *s = make(STORE, store->now);

	block_free(layer);
	for (unsigned cuts = 0;; cuts++) {
		struct snap_store *st = NULL;
		struct err err = { 0 };
		struct medium *v2, *s2;

		check_eq(snap_store_open(&s->b, NULL, &st, &err), 0);
		if (!st)
			break;
		check_eq(snap_roll_back_on(&v->b, st, NULL, NULL, &err), 0);
		if (err.code)
			suite_note("%s", err.text);
		if (cuts == 2 || err.code) {
			check(!memcmp(v->safe, past, SIZE));
			snap_store_free(st);
			break;
		}
		/* as if it had stopped half way: any part of it on the volume */
		v2 = make(SIZE, v->now);
		for (uint64_t c = 0; c < CLUSTERS; c++)
			if (snap_is_kept(st, c) && draw(2))
				for (unsigned i = 0; i < SNAP_CLUSTER; i += SECTOR)
					if (draw(2))
						memset(v2->now + c * SNAP_CLUSTER + i, 0xee, SECTOR);
		memcpy(v2->safe, v2->now, SIZE);
		s2 = cut(s, true);
		snap_store_free(st);
		block_free(&v->b);
		v = v2;
		s = s2;
	}
	block_free(&v->b);
}

static void lives(void)
{
	for (unsigned life = 0; life < 200; life++) {
		state = life * 7919 + 1;
		for (unsigned i = 0; i < SIZE; i += 4)
			memcpy(past + i, &(uint32_t){ draw(UINT32_MAX) }, 4);
		memset(past + 5 * SNAP_CLUSTER, 0, SNAP_CLUSTER);
		memcpy(acked, past, SIZE);
		memset(clean, false, sizeof clean);
		volume = make(SIZE, past);
		store = make(STORE, NULL);
		put_layer(true);
		for (unsigned cuts = draw(4); cuts; cuts--) {
			live(draw(200));
			dies(draw(2));
		}
		live(draw(300));
		flush_all();
		check_present(volume);
		roll_back();
	}
}

static const struct test tests[] = {
	{ "the power goes at random moments", lives },
	{ NULL, NULL },
};
const struct suite suite_hv_block_snapshot_power = { tests };
