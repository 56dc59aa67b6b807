/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "hv/block/nbd_priv.h"

#define DIRECT_MIN (32u << 10)	/* elements from this length on need no buffer */
#define MOST_RANGE (1u << 30)	/* bytes a trim or zero command covers */

/* .bss: what WRITE_ZEROES sends where the server has no such command */
static uint8_t zeroes[NBD_BOUNCE];

void nbd_queue_push(struct nbd_queue *q, struct nbd_command *c)
{
	c->next = NULL;
	*q->end = c;
	q->end = &c->next;
}

struct nbd_command *nbd_queue_pop(struct nbd_queue *q)
{
	struct nbd_command *c = q->head;

	if (c) {
		q->head = c->next;
		if (!q->head)
			q->end = &q->head;
	}
	return c;
}

static uint8_t *buffer_of(struct nbd *n, const struct nbd_command *c)
{
	return n->bounce + (size_t)(c - n->command) * NBD_BOUNCE;
}

void nbd_cut_copy(const struct nbd_command *c, bool out)
{
	uint64_t skip = c->skip, left = c->len;
	uint8_t *at = c->data;

	for (const struct iovec *v = c->iov; left; v++, skip = 0) {
		size_t n = v->iov_len - skip;

		n = n < left ? n : (size_t)left;
		if (out)
			memcpy(at, (uint8_t *)v->iov_base + skip, n);
		else
			memcpy((uint8_t *)v->iov_base + skip, at, n);
		at += n;
		left -= n;
	}
}

/* The next bytes of a read or write: straight from a long element, or gathered. */
static void aim_data(struct nbd *n, struct nbd_command *c, uint64_t left)
{
	const struct block_req *whole = c->whole;
	uint64_t skip = whole->priv[CURSOR], direct;
	const struct iovec *v = whole->iov;

	for (; skip >= v->iov_len; v++)
		skip -= v->iov_len;
	direct = nbd_least(nbd_least(v->iov_len - skip, left), n->link.facts.max) & ~(uint64_t)(n->b.logical - 1);
	if (direct >= DIRECT_MIN || direct == left) {
		c->data = (uint8_t *)v->iov_base + skip;
		c->len = direct;
		return;
	}
	c->data = buffer_of(n, c);
	c->len = nbd_least(nbd_least(left, NBD_BOUNCE), n->link.facts.max) & ~(uint64_t)(n->b.logical - 1);
	c->iov = v;
	c->skip = skip;
	if (whole->op == BLOCK_WRITE)
		nbd_cut_copy(c, true);
}

bool nbd_cut_over(const struct nbd *n, const struct block_req *whole)
{
	if (whole->priv[RESULT])
		return true;	/* the rest of it would be for nothing */
	switch (whole->op) {
	case BLOCK_FLUSH:
		return whole->priv[CURSOR] || !n->link.facts.flush;
	case BLOCK_DISCARD:
		return whole->priv[CURSOR] == whole->len || !n->link.facts.trim;
	default:
		return whole->priv[CURSOR] == whole->len;
	}
}

struct block_req *nbd_cut_pop(struct nbd *n)
{
	struct block_req *whole = n->waiting;

	n->waiting = whole->next;
	if (!n->waiting)
		n->waiting_end = &n->waiting;
	return whole;
}

struct nbd_command *nbd_cut_take(struct nbd *n, struct block_req *whole, enum block_op op)
{
	struct nbd_command *c = n->free;

	n->free = c->next;
	*c = (struct nbd_command){ .nbd = n, .whole = whole, .op = op, .state = READY, .fua = whole->fua };
	whole->priv[OPEN]++;
	return c;
}

void nbd_cut_next(struct nbd *n, struct block_req *whole)
{
	struct nbd_command *c = nbd_cut_take(n, whole, whole->op);
	uint64_t left = whole->len - whole->priv[CURSOR];

	c->off = whole->off + whole->priv[CURSOR];
	switch (whole->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		aim_data(n, c, left);
		break;
	case BLOCK_WRITE_ZEROES:
		c->len = nbd_least(left, MOST_RANGE);
		if (!n->link.facts.zero) {
			c->op = BLOCK_WRITE;
			c->data = zeroes;
			c->len = nbd_least(nbd_least(left, NBD_BOUNCE), n->link.facts.max);
		}
		break;
	case BLOCK_DISCARD:
		c->len = nbd_least(left, MOST_RANGE);
		break;
	default:
		c->len = 1;	/* only marks the flush as cut */
	}
	whole->priv[CURSOR] += c->len;
	nbd_queue_push(&n->todo, c);
	if (nbd_cut_over(n, whole)) {
		nbd_cut_pop(n);
		whole->priv[OPEN]--;
	}
}

int64_t nbd_cut_send(struct nbd *n, struct nbd_command *c, int (*over)(void *ctx, int *error))
{
	const struct nbd_api *api = n->api;
	nbd_completion_callback cb = { .callback = over, .user_data = c };
	uint32_t flags = c->fua && n->link.facts.fua && c->op != BLOCK_READ && c->op != BLOCK_FLUSH ? LIBNBD_CMD_FLAG_FUA : 0;

	switch (c->op) {
	case BLOCK_READ:
		return api->aio_pread(n->link.h, c->data, c->len, c->off, cb, 0);
	case BLOCK_WRITE:
		return api->aio_pwrite(n->link.h, c->data, c->len, c->off, cb, flags);
	case BLOCK_DISCARD:
		return api->aio_trim(n->link.h, c->len, c->off, cb, flags);
	case BLOCK_WRITE_ZEROES:
		return api->aio_zero(n->link.h, c->len, c->off, cb, flags);
	default:
		c->answered = n->answered;
		return api->aio_flush(n->link.h, cb, 0);
	}
}
