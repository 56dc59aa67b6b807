/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/block/crypt.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "hv/block/crypt_priv.h"
#include "lib/bits.h"
#include "lib/loop.h"

#define KEEP (256u << 10)		/* bytes of buffers that an idle layer may keep */
#define GIVE_BACK_NS 200000000ull	/* at most this often */

static void push(struct crypt_queue *q, struct block_req *req)
{
	req->next = NULL;
	if (q->head)
		q->tail->next = req;
	else
		q->head = req;
	q->tail = req;
}

static void push_front(struct crypt_queue *q, struct block_req *req)
{
	req->next = q->head;
	if (!q->head)
		q->tail = req;
	q->head = req;
}

static struct block_req *pop(struct crypt_queue *q)
{
	struct block_req *req = q->head;

	q->head = req->next;
	return req;
}

static void put(struct block_req *req)
{
	struct crypt_cursor *at = crypt_cursor(req);

	if (!--at->holds && at->issued == req->len)
		req->done(req, at->error);
}

/* An idle disk is no reason to hold memory; one that comes and goes keeps it. */
static void give_back(struct crypt *c)
{
	uint64_t now;

	if (c->in_flight || c->touched <= KEEP)
		return;
	now = loop_now_ns();
	if (now - c->given_back_ns < GIVE_BACK_NS)
		return;
	c->given_back_ns = now;
	if (madvise(c->pool, CRYPT_PIECES * CRYPT_PIECE, MADV_DONTNEED))
		return;
	c->touched = 0;
	for (unsigned i = 0; i < CRYPT_PIECES; i++)
		c->pieces[i].touched = 0;
}

/* ---- pieces */

static void piece_done(struct block_req *below, int result)
{
	struct crypt_piece *p = container_of(below, struct crypt_piece, req);
	struct block_req *parent = p->parent;
	struct crypt *c = p->crypt;

	if (!result && parent->op == BLOCK_READ)
		crypt_decrypt_piece(p);
	if (result && !crypt_cursor(parent)->error)
		crypt_cursor(parent)->error = result;
	p->parent = NULL;
	p->next = c->free_pieces;
	c->free_pieces = p;
	c->in_flight--;
	put(parent);
	crypt_check_zone(c);
	crypt_pump(c);
	give_back(c);
}

/* How far the request's next piece goes: what a buffer holds, and one key. */
static uint64_t piece_end(const struct crypt *c, const struct block_req *req, uint64_t off)
{
	uint64_t end = req->off + req->len, mask = c->unit - 1, most = (off & ~mask) + CRYPT_PIECE;

	if (req->op == BLOCK_DISCARD)
		return end & ~mask;
	if (end > most)
		end = most;
	return off < c->boundary && end > c->boundary ? c->boundary : end;
}

static void skip_iov(struct block_req *req, uint64_t n)
{
	struct crypt_cursor *at = crypt_cursor(req);

	for (; n; at->index++, at->skip = 0) {
		uint64_t left = req->iov[at->index].iov_len - at->skip;

		if (n < left) {
			at->skip += n;
			return;
		}
		n -= left;
	}
}

static void note_touched(struct crypt *c, struct crypt_piece *p, uint64_t len)
{
	if (len > p->touched) {
		c->touched += len - p->touched;
		p->touched = (uint32_t)len;
	}
}

static void issue(struct crypt *c, struct block_req *req, uint64_t off, uint64_t end)
{
	struct crypt_cursor *at = crypt_cursor(req);
	struct crypt_piece *p = c->free_pieces;
	uint64_t inside;

	c->free_pieces = p->next;
	c->in_flight++;
	p->parent = req;
	p->off = off;
	p->len = end - off;
	p->key = &c->key[off < c->boundary ? CRYPT_NEW : CRYPT_OLD];
	p->index = at->index;
	p->skip = at->skip;
	p->req = (struct block_req){ .op = req->op, .fua = req->fua, .off = c->data_off + off, .len = p->len, .done = piece_done };
	at->issued = req->op == BLOCK_DISCARD ? req->len : at->issued + p->len;
	at->holds++;
	at->turn++;
	if (req->op != BLOCK_DISCARD) {
		inside = off & (xts_sector(p->key->xts) - 1);
		p->iov = (struct iovec){ p->buf + inside, p->len };
		p->req.iov = &p->iov;
		p->req.iov_count = 1;
		note_touched(c, p, inside + p->len);
		if (req->op != BLOCK_WRITE_ZEROES)
			skip_iov(req, p->len);
		if (req->op != BLOCK_READ)
			crypt_encrypt_piece(p);
		if (req->op == BLOCK_WRITE_ZEROES)
			p->req.op = BLOCK_WRITE;
	}
	block_submit(c->b.lower, &p->req);
}

/* Where a request that has more to do waits for it. */
static void set_aside(struct crypt *c, struct block_req *req, bool frozen)
{
	struct crypt_cursor *at = crypt_cursor(req);

	if (frozen) {
		push(&c->parked, req);
	} else if (at->turn < CRYPT_TURN) {
		push_front(&c->waiting, req);
	} else {
		at->turn = 0;
		push(&c->waiting, req);
	}
}

/* As much as there are buffers of the turn of a request, which stands in no list. */
static void take_turn(struct crypt *c, struct block_req *req)
{
	struct crypt_cursor *at = crypt_cursor(req);
	bool frozen = false;

	at->holds++;
	while (at->turn < CRYPT_TURN && c->free_pieces && at->issued < req->len && !at->error) {
		uint64_t off = req->off + at->issued, end = piece_end(c, req, off);

		if (crypt_frozen(c, off, end)) {
			frozen = off >= c->zone_off || req->op == BLOCK_DISCARD;
			if (frozen) {
				at->error = c->zone_error;
				break;
			}
			end = c->zone_off;
		}
		issue(c, req, off, end);
	}
	if (at->error)
		at->issued = req->len;
	if (at->issued < req->len)
		set_aside(c, req, frozen);
	put(req);
}

/*
 * The outermost call hands out all turns there are, so that the stack stays flat. What completes while lower is unplugged comes
 * back here: lower then carries on what it is given, or leaves it for its next round (the device lock is not held for all).
 */
void crypt_pump(struct crypt *c)
{
	if (c->pumping || !c->waiting.head || !c->free_pieces)
		return;
	c->pumping = true;
	block_plug(c->b.lower);
	while (c->waiting.head && c->free_pieces)
		take_turn(c, pop(&c->waiting));
	c->pumping = false;
	block_unplug(c->b.lower);
}

/* ---- the layer */

static void submit(struct block *b, struct block_req *req)
{
	struct crypt *c = crypt_of(b);

	if (req->op == BLOCK_FLUSH) {	/* is about what has completed, none of which waits here */
		block_submit(b->lower, req);
		return;
	}
	*crypt_cursor(req) = (struct crypt_cursor){ 0 };
	if (req->op == BLOCK_DISCARD) {	/* whole crypto sectors: the rest of one would no longer decrypt */
		uint64_t first = bits_align_up(req->off, c->unit);

		if (first >= piece_end(c, req, first)) {
			req->done(req, 0);
			return;
		}
		crypt_cursor(req)->issued = first - req->off;
	}
	push(&c->waiting, req);
	crypt_pump(c);
}

static void cancel_parked(struct crypt *c)
{
	while (c->parked.head) {
		struct block_req *req = pop(&c->parked);
		struct crypt_cursor *at = crypt_cursor(req);

		if (!at->error)
			at->error = -ECANCELED;
		at->issued = req->len;
		at->holds++;
		put(req);
	}
}

static void drain(struct block *b)
{
	struct crypt *c = crypt_of(b);

	do {
		crypt_pump(c);
		block_drain(b->lower);
		cancel_parked(c);
	} while (c->in_flight || c->waiting.head || c->parked.head);
}

void crypt_destroy(struct crypt *c)
{
	crypt_key_wipe(&c->key[CRYPT_NEW]);
	crypt_key_wipe(&c->key[CRYPT_OLD]);
	if (c->pool)
		munmap(c->pool, CRYPT_PIECES * CRYPT_PIECE);
	block_free(c->b.lower);
	free(c);
}

static void free_crypt(struct block *b)
{
	crypt_destroy(crypt_of(b));
}

const struct block_ops crypt_ops = { .name = "crypt", .submit = submit, .drain = drain, .free = free_crypt };
