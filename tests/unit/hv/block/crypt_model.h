/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encryption layer against a plain memory model: bytes decide what is asked of it. Shared by the randomized unit test and the
 * fuzz target. Requests that overlap one in flight are left out, since their outcome is nobody's promise; what a failed
 * write covered is unknown until it is written again. model_error says what went wrong first, NULL when nothing did.
 */
#pragma once
#include <errno.h>
#include <stdio.h>
#include "crypto/xts.h"
#include "lib/buf.h"
#include "tests/unit/hv/block/crypt_rig.h"

enum { MODEL_DATA = 384 << 10, MODEL_SECTORS = MODEL_DATA / 512, MODEL_CALLS = 24 };
#define MODEL_MARK "plaintext-marker"

struct model_call { struct crypt_call c; struct model *m; uint8_t *data; };

struct model {
	struct fault *f;
	struct block *b;
	struct luks_segment key[2];	/* as in the layout: new, old */
	unsigned keys;
	uint64_t data_off, boundary, zone_off, zone_len;
	bool frozen, empty, cancelling;
	int fail;			/* what lower may have said since failures began */
	uint8_t plain[MODEL_DATA];
	bool known[MODEL_SECTORS];
	struct model_call *calls[MODEL_CALLS];
	uint64_t ops, seed;
	char error[160];
};

#define model_fail(m, ...) ((m)->error[0] ? 0 : snprintf((m)->error, sizeof (m)->error, __VA_ARGS__))

static inline uint64_t model_random(struct model *m)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return m->seed;
}

static inline void model_open(struct model *m)
{
	struct luks_layout l = { .version = 2, .data_off = m->data_off, .data_len = MODEL_DATA, .segment_count = m->keys };
	struct err err = { 0 };

	l.segment[0] = m->key[0];
	if (m->keys == 2) {
		l.segment[0].len = m->boundary;
		l.segment[1] = m->key[1];
		l.segment[1].off = m->boundary;
		l.segment[1].tweak += m->boundary / 512;
	}
	if (block_crypt_create(&m->f->b, &l, &m->b, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
}

static inline struct model *model_create(struct rbuf *in)
{
	struct model *m = calloc(1, sizeof *m);
	uint8_t shape = rbuf_u8(in);

	m->seed = 0x9e3779b97f4a7c15 + shape;
	m->data_off = (shape & 4) ? 65536 : 0;
	m->key[0] = crypt_segment(512u << (shape & 3), shape & 8 ? 32 : 64);
	m->key[0].tweak = shape & 16 ? 77 : 0;
	m->keys = 1;
	m->boundary = MODEL_DATA;
	m->f = fault_create(m->data_off + MODEL_DATA);
	model_open(m);
	return m;
}

/* ---- requests */

static inline void model_set_known(struct model *m, uint64_t off, uint64_t len, bool known)
{
	memset(m->known + off / 512, known, len / 512);
}

static inline void model_check_read(struct model *m, const struct block_req *req, const uint8_t *data)
{
	for (uint64_t o = 0; o < req->len; o += 512) {
		uint64_t at = req->off + o;

		if (m->known[at / 512] && memcmp(data + o, m->plain + at, 512))
			model_fail(m, "op %llu: byte %llu is not what was written", (unsigned long long)m->ops, (unsigned long long)at);
	}
}

static inline void model_done(struct block_req *req, int result)
{
	struct model_call *call = container_of(req, struct model_call, c.req);
	struct model *m = call->m;

	if (call->c.ends++)
		model_fail(m, "a request ended twice");
	if (result && result != m->fail && !(result == -ECANCELED && m->cancelling))
		model_fail(m, "a request ended with %d", result);
	if (req->op == BLOCK_READ && !result)
		model_check_read(m, req, call->data);
	if (req->op != BLOCK_READ && req->op != BLOCK_DISCARD && result)
		model_set_known(m, req->off, req->len, false);
	for (unsigned i = 0; i < MODEL_CALLS; i++) {
		if (m->calls[i] == call)
			m->calls[i] = NULL;
	}
	free(call->data);
	free(call);
}

/* The place for a call that nothing in flight disturbs. */
static inline struct model_call **model_place(struct model *m, enum block_op op, uint64_t off, uint64_t len)
{
	struct model_call **free_place = NULL;

	for (unsigned i = 0; i < MODEL_CALLS; i++) {
		const struct block_req *r = m->calls[i] ? &m->calls[i]->c.req : NULL;

		if (!r)
			free_place = &m->calls[i];
		else if (off < r->off + r->len && r->off < off + len && !(op == BLOCK_READ && r->op == BLOCK_READ))
			return NULL;
	}
	return free_place;
}

static inline void model_mark(struct model *m, uint8_t *data, uint64_t len)
{
	for (uint64_t o = 0; o < len; o += 16) {
		uint64_t r[2] = { model_random(m), o };

		memcpy(data + o, o % 512 ? (const void *)r : MODEL_MARK, 16);
	}
}

static inline void model_cut(struct model *m, struct crypt_call *c)
{
	uint8_t *at = c->iov[0].iov_base;
	uint64_t left = c->req.len;
	unsigned n = 0, parts = (unsigned)(model_random(m) % array_len(c->iov));

	for (; n < parts; n++) {
		uint64_t some = model_random(m) % (left + 1);

		c->iov[n] = (struct iovec){ at, some };
		at += some;
		left -= some;
	}
	c->iov[n++] = (struct iovec){ at, left };
	c->req.iov_count = n;
}

/* What the model holds after the request, if it succeeds. */
static inline void model_foresee(struct model *m, const struct block_req *req, const uint8_t *data)
{
	uint64_t unit = m->key[0].sector > m->key[1].sector ? m->key[0].sector : m->key[1].sector, first, end;

	switch (req->op) {
	case BLOCK_WRITE:
		memcpy(m->plain + req->off, data, req->len);
		model_set_known(m, req->off, req->len, true);
		break;
	case BLOCK_WRITE_ZEROES:
		memset(m->plain + req->off, 0, req->len);
		model_set_known(m, req->off, req->len, true);
		break;
	case BLOCK_DISCARD:
		first = (req->off + unit - 1) / unit * unit;
		end = (req->off + req->len) / unit * unit;
		if (first < end)
			model_set_known(m, first, end - first, false);
		break;
	default:
		break;
	}
}

static inline void model_request(struct model *m, enum block_op op, struct rbuf *in)
{
	uint64_t off = rbuf_le16(in) % MODEL_SECTORS * 512ull, shape = rbuf_u8(in), len;
	struct model_call **place, *call;

	len = op == BLOCK_FLUSH ? 0 : (shape >= 248 ? (shape - 247) * 40960 : (shape >> 1) % 40 * 512 + 512);
	if (op == BLOCK_FLUSH)
		off = 0;
	if (len > MODEL_DATA - off)
		len = MODEL_DATA - off;
	place = model_place(m, op, off, len);
	if (!place)
		return;
	call = calloc(1, sizeof *call);
	call->m = m;
	call->data = malloc(len + !len);
	if (op == BLOCK_WRITE)
		model_mark(m, call->data, len);
	crypt_call_init(&call->c, op, off, call->data, len);
	if (op == BLOCK_READ || op == BLOCK_WRITE)
		model_cut(m, &call->c);
	call->c.req.done = model_done;
	call->c.req.fua = shape & 1 && op == BLOCK_WRITE;
	*place = call;
	model_foresee(m, &call->c.req, call->data);
	block_submit(m->b, &call->c.req);
}

/* ---- rotation, as the volume agent does it */

static inline void model_empty(void *ctx)
{
	struct model *m = ctx;

	m->empty = true;
	for (unsigned i = 0; i < m->f->held_count; i++) {
		uint64_t off = m->f->held[i]->off - m->data_off, end = off + m->f->held[i]->len;

		if (m->f->held[i]->op != BLOCK_FLUSH && off < m->zone_off + m->zone_len && end > m->zone_off)
			model_fail(m, "op %llu: the zone is said to be empty and is not", (unsigned long long)m->ops);
	}
}

static inline void model_recrypt(struct model *m)
{
	struct xts *from, *to;
	uint8_t *at = m->f->data + m->data_off + m->zone_off;

	if (xts_create(m->key[1].key, m->key[1].key_len, m->key[1].sector, &from, NULL) ||
	    xts_create(m->key[0].key, m->key[0].key_len, m->key[0].sector, &to, NULL))
		abort();
	xts_decrypt(from, m->key[1].tweak + m->zone_off / 512, at, at, m->zone_len);
	xts_encrypt(to, m->key[0].tweak + m->zone_off / 512, at, at, m->zone_len);
	xts_free(from);
	xts_free(to);
}

static inline void model_begin(struct model *m, uint8_t how)
{
	struct luks_segment fresh = crypt_segment(512u << (how & 3), how & 4 ? 32 : 64);
	int r = block_crypt_rotate_begin(m->b, &fresh, NULL);

	if (r) {
		model_fail(m, "rotate_begin: %d", r);
		return;
	}
	m->key[1] = m->key[0];
	m->key[0] = fresh;
	m->keys = 2;
	m->boundary = 0;
}

static inline void model_thaw(struct model *m, uint64_t boundary)
{
	int r;

	m->frozen = m->empty = false;
	r = block_crypt_thaw(m->b, boundary);
	if (r)
		model_fail(m, "thaw at %llu: %d", (unsigned long long)boundary, r);
}

/* The next step of a rotation, whichever it is. */
static inline void model_rotate(struct model *m, uint8_t how)
{
	uint64_t boundary;

	if (m->keys == 1) {
		model_begin(m, how);
	} else if (m->frozen && m->empty) {
		model_recrypt(m);
		m->boundary = m->zone_off + m->zone_len;
		model_thaw(m, m->boundary);
	} else if (m->frozen) {
		if (block_crypt_freeze(m->b, 0, 4096, model_empty, m) != -EBUSY || !block_crypt_thaw(m->b, m->boundary + 4096))
			model_fail(m, "a second zone, or a thaw too early, was not refused");
	} else if (m->boundary < MODEL_DATA) {
		m->zone_off = m->boundary;
		m->zone_len = ((how & 15) + 1) * 4096;
		if (m->zone_len > MODEL_DATA - m->zone_off)
			m->zone_len = MODEL_DATA - m->zone_off;
		m->frozen = true;
		if (block_crypt_freeze(m->b, m->zone_off, m->zone_len, model_empty, m))
			model_fail(m, "freeze failed");
	} else {
		if (!block_crypt_rotating(m->b, &boundary) || boundary != MODEL_DATA || block_crypt_rotate_end(m->b))
			model_fail(m, "rotate_end failed");
		m->key[1] = (struct luks_segment){ 0 };
		m->keys = 1;
	}
}

/* ---- the rest */

static inline void model_drain(struct model *m)
{
	m->cancelling = true;
	block_drain(m->b);
	m->cancelling = false;
	for (unsigned i = 0; i < MODEL_CALLS; i++) {
		if (m->calls[i])
			model_fail(m, "a request outlived drain");
	}
}

/* Nobody says what the zone holds; or somebody will after all. */
static inline void model_fail_zone(struct model *m, bool fails)
{
	if (fails && !m->fail)
		m->fail = -EIO;
	block_crypt_fail_zone(m->b, fails ? m->fail : 0);
	if (block_crypt_zone_frozen(m->b) != m->frozen)
		model_fail(m, "the layer and the model do not agree on what is frozen");
}

/* The process ends and another one opens the volume, perhaps in the middle of a rotation. */
static inline void model_reopen(struct model *m)
{
	struct fault *fresh = fault_create(512);
	uint8_t *data = m->f->data;

	model_drain(m);
	free(fresh->data);
	fresh->data = data;
	fresh->b.size = m->f->b.size;
	m->f->data = NULL;
	block_free(m->b);
	m->f = fresh;
	m->fail = 0;
	m->frozen = m->empty = false;
	model_open(m);
}

static inline void model_step(struct model *m, struct rbuf *in)
{
	static const enum block_op often[] = { BLOCK_WRITE, BLOCK_READ, BLOCK_WRITE, BLOCK_READ, BLOCK_WRITE, BLOCK_READ, BLOCK_FLUSH,
		BLOCK_DISCARD, BLOCK_WRITE_ZEROES };
	uint8_t what = rbuf_u8(in) % 32;

	m->ops++;
	if (what < 18) {
		model_request(m, often[what / 2], in);
	} else if (what < 24) {
		if (m->f->held_count)
			fault_release(m->f, rbuf_u8(in) % m->f->held_count);
	} else if (what < 26) {
		m->f->hold = rbuf_u8(in) & 3;
	} else if (what < 30) {
		model_rotate(m, rbuf_u8(in));
	} else if (what == 30) {
		uint8_t how = rbuf_u8(in);

		m->f->fail_with = how & 1 ? -(how & 2 ? EIO : ENOSPC) : 0;
		m->f->fail_after = how >> 5;
		m->f->write_part = (how >> 2 & 7) * 512;
		if (m->f->fail_with && m->fail && m->fail != m->f->fail_with)
			m->f->fail_with = m->fail;
		if (m->f->fail_with)
			m->fail = m->f->fail_with;
	} else {
		uint8_t how = rbuf_u8(in);

		if (how < 8)
			model_reopen(m);
		else if (how < 24)
			model_drain(m);
		else if (how & 128)
			model_fail_zone(m, how & 1);
		else if (m->frozen)
			model_thaw(m, m->boundary);
	}
}

/* Ends everything, reads all back, looks for plaintext below; what went wrong first, or NULL. Then free(m). */
static inline const char *model_finish(struct model *m)
{
	static uint8_t all[MODEL_DATA];
	struct block_req whole = { .len = MODEL_DATA };

	if (m->frozen)
		model_thaw(m, m->boundary);
	m->f->hold = false;
	model_drain(m);
	m->f->fail_with = 0;
	if (crypt_call_now(m->b, BLOCK_READ, 0, all, MODEL_DATA))
		model_fail(m, "the last read failed");
	model_check_read(m, &whole, all);
	if (memmem(m->f->data, m->f->b.size, MODEL_MARK, strlen(MODEL_MARK)))
		model_fail(m, "plaintext lies on the volume");
	block_free(m->b);
	return m->error[0] ? m->error : NULL;
}
