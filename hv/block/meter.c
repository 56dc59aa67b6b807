/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/block/meter.h"
#include <errno.h>
#include <stdlib.h>
#include "lib/scope.h"

#define SHORTEST 8	/* the first bucket begins at 2^8 ns */

struct copy {
	struct block_req req;	/* for the lower layer */
	struct copy *next;	/* in meter.free */
	struct block_req *whole;
	struct meter *meter;
	uint64_t start_ns;
};

struct meter {
	struct block b;
	struct clock *clock;
	struct block_meter count;
	struct copy *free;
	struct block_req *waiting, **waiting_end;	/* priv[0]: when it came */
	bool pumping;
	struct copy copy[BLOCK_METER_REQUESTS];
};

static void count(struct block_meter_op *op, const struct block_req *req, int result, uint64_t ns)
{
	unsigned i = ns >> SHORTEST ? 63 - (unsigned)__builtin_clzll(ns >> SHORTEST) : 0;

	op->ops++;
	if (result)
		op->errors++;
	else
		op->bytes += req->len;
	op->total_ns += ns;
	if (ns > op->max_ns)
		op->max_ns = ns;
	op->bucket[i < BLOCK_METER_BUCKETS ? i : BLOCK_METER_BUCKETS - 1]++;
}

static void pump(struct meter *m);

static void on_done(struct block_req *req, int result)
{
	struct copy *c = req->ctx;
	struct meter *m = c->meter;
	struct block_req *whole = c->whole;

	m->count.in_flight--;
	count(&m->count.op[req->op], req, result, clock_now(m->clock) - c->start_ns);
	c->next = m->free;
	m->free = c;
	whole->done(whole, result);
	pump(m);
}

static void pass(struct meter *m, struct block_req *whole, uint64_t start_ns)
{
	struct copy *c = m->free;

	m->free = c->next;
	c->whole = whole;
	c->start_ns = start_ns;
	c->req = *whole;
	c->req.done = on_done;
	c->req.ctx = c;
	m->b.lower->ops->submit(m->b.lower, &c->req);
}

/* Copies come free while others are passed on: the outermost call goes on with what waits, so that the stack stays flat. */
static void pump(struct meter *m)
{
	if (m->pumping)
		return;
	m->pumping = true;
	while (m->waiting && m->free) {
		struct block_req *whole = m->waiting;

		m->waiting = whole->next;
		if (!m->waiting)
			m->waiting_end = &m->waiting;
		pass(m, whole, whole->priv[0]);
	}
	m->pumping = false;
}

static void submit(struct block *b, struct block_req *req)
{
	struct meter *m = container_of(b, struct meter, b);
	uint64_t now = clock_now(m->clock);

	if (++m->count.in_flight > m->count.most_in_flight)
		m->count.most_in_flight = m->count.in_flight;
	if (m->free && !m->waiting) {
		pass(m, req, now);
		return;
	}
	req->priv[0] = now;
	req->next = NULL;
	*m->waiting_end = req;
	m->waiting_end = &req->next;
}

static void drain(struct block *b)
{
	struct meter *m = container_of(b, struct meter, b);

	do
		block_drain(b->lower);
	while (m->count.in_flight);
}

static void free_meter(struct block *b)
{
	block_free(b->lower);
	free(container_of(b, struct meter, b));
}

static const struct block_ops ops = { .name = "meter", .submit = submit, .drain = drain, .free = free_meter };

int block_meter_create(struct block *lower, struct clock *clock, struct block **b)
{
	struct meter *m = calloc(1, sizeof *m);

	if (!m)
		return -ENOMEM;
	m->b = *lower;
	m->b.ops = &ops;
	m->b.lower = lower;
	m->clock = clock;
	m->waiting_end = &m->waiting;
	for (unsigned i = BLOCK_METER_REQUESTS; i-- > 0;) {
		m->copy[i].meter = m;
		m->copy[i].next = m->free;
		m->free = &m->copy[i];
	}
	*b = &m->b;
	return 0;
}

const struct block_meter *block_meter_read(const struct block *b)
{
	return &container_of(b, struct meter, b)->count;
}

uint64_t block_meter_quantile(const struct block_meter_op *op, double share)
{
	double wanted = share * (double)op->ops;
	uint64_t seen = 0, edge;

	if (!op->ops)
		return 0;
	for (unsigned i = 0; i < BLOCK_METER_BUCKETS - 1; i++) {
		seen += op->bucket[i];
		edge = 2ull << (i + SHORTEST);
		if (seen && (double)seen >= wanted)
			return edge < op->max_ns ? edge : op->max_ns;
	}
	return op->max_ns;
}
