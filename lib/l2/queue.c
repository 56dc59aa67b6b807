/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/queue.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

#define TARGET 5000000ull	/* ns; RFC 8289 section 4.2 */
#define INTERVAL 100000000ull

/*
 * What a flow may send in its turn. Messages are super-frames as well as small ones: a quantum of one packet would be spent in
 * most turns on going round.
 */
enum { QUANTUM = 16384, MTU = 1600, BIG = 66000, SPARE = 4 };

struct message { struct message *next; uint64_t at_ns; size_t len, room; uint8_t data[]; };

enum where { NOWHERE, NEW, OLD };

struct flow {
	struct message *first, **end;
	struct flow *next;		/* in its list */
	size_t bytes;
	int64_t deficit;
	enum where where;
	/* CoDel */
	uint64_t above_ns, drop_ns;	/* since when too late, plus an interval; when to lose the next */
	uint32_t count, last_count;
	bool dropping;
};

struct list { struct flow *first, **end; };

struct fair_queue {
	size_t max, bytes;		/* data and what holds it */
	struct list fresh, old;
	struct flow *turn;		/* whose first message get gave; NULL: none */
	struct message *spare;		/* big ones, kept while something waits */
	unsigned spares;
	struct fair_queue_counters counters;
	struct flow flows[QUEUE_FLOWS];
};

/* ---- lists */

static void append(struct list *l, struct flow *f, enum where where)
{
	f->next = NULL;
	f->where = where;
	*l->end = f;
	l->end = &f->next;
}

static struct flow *take_first(struct list *l)
{
	struct flow *f = l->first;

	l->first = f->next;
	if (!l->first)
		l->end = &l->first;
	f->where = NOWHERE;
	return f;
}

/* ---- messages */

static struct message *message_new(struct fair_queue *q, size_t len)
{
	struct message *m = q->spare;
	size_t room = len > BIG / 2 && len < BIG ? BIG : len;

	if (m && room == BIG) {
		q->spare = m->next;
		q->spares--;
		return m;
	}
	m = malloc(sizeof *m + room);
	if (m)
		m->room = room;
	return m;
}

static void message_free(struct fair_queue *q, struct message *m)
{
	if (m->room != BIG || q->spares >= SPARE) {
		free(m);
		return;
	}
	m->next = q->spare;
	q->spare = m;
	q->spares++;
}

static void free_spares(struct fair_queue *q)
{
	while (q->spare) {
		struct message *m = q->spare;

		q->spare = m->next;
		free(m);
	}
	q->spares = 0;
}

static size_t cost(const struct message *m)
{
	return sizeof *m + m->room;
}

static void lose_first(struct fair_queue *q, struct flow *f)
{
	struct message *m = f->first;

	f->first = m->next;
	if (!f->first)
		f->end = &f->first;
	f->bytes -= cost(m);
	q->bytes -= cost(m);
	message_free(q, m);
	if (!q->bytes)
		free_spares(q);
}

static struct flow *longest(struct fair_queue *q)
{
	struct flow *f = &q->flows[0];

	for (unsigned i = 1; i < QUEUE_FLOWS; i++)
		if (q->flows[i].bytes > f->bytes)
			f = &q->flows[i];
	return f;
}

bool fair_queue_put(struct fair_queue *q, uint32_t hash, const void *data, size_t len, uint64_t now)
{
	struct flow *f = &q->flows[hash % QUEUE_FLOWS];
	struct message *m = len > q->max / 2 ? NULL : message_new(q, len);

	q->turn = NULL;
	if (!m || cost(m) > q->max) {
		q->counters.full++;
		free(m);
		return false;
	}
	*m = (struct message){ .at_ns = now, .len = len, .room = m->room };
	memcpy(m->data, data, len);
	while (q->bytes + cost(m) > q->max) {
		q->counters.full++;
		lose_first(q, longest(q));
	}
	*f->end = m;
	f->end = &m->next;
	f->bytes += cost(m);
	q->bytes += cost(m);
	if (f->where == NOWHERE) {
		f->deficit = QUANTUM;
		append(&q->fresh, f, NEW);
	}
	return true;
}

/* ---- CoDel, RFC 8289 section 5, with a table-free square root */

static uint64_t interval_over_root(uint32_t count)
{
	uint64_t lo = 1, hi = 65536;

	/* the largest whole root of count × 2^16, which is root × 2^8 */
	while (lo < hi) {
		uint64_t mid = (lo + hi + 1) / 2;

		if (mid * mid <= (uint64_t)count << 16 && mid <= 65536)
			lo = mid;
		else
			hi = mid - 1;
	}
	return (INTERVAL << 8) / lo;
}

/* Has the first message, and what stood before it, waited too long for a whole interval? */
static bool is_late(struct flow *f, uint64_t now)
{
	if (!f->first || now - f->first->at_ns < TARGET || f->bytes <= MTU) {
		f->above_ns = 0;
		return false;
	}
	if (!f->above_ns) {
		f->above_ns = now + INTERVAL;
		return false;
	}
	return now >= f->above_ns;
}

static void lose_late(struct fair_queue *q, struct flow *f)
{
	q->counters.late++;
	lose_first(q, f);
}

static void go_on_dropping(struct fair_queue *q, struct flow *f, uint64_t now)
{
	f->dropping = is_late(f, now);
	while (f->dropping && now >= f->drop_ns) {
		lose_late(q, f);
		f->count += f->count < 65535;
		f->dropping = is_late(f, now);
		f->drop_ns += interval_over_root(f->count);
	}
}

static void manage_delay(struct fair_queue *q, struct flow *f, uint64_t now)
{
	if (f->dropping) {
		go_on_dropping(q, f, now);
		return;
	}
	if (!is_late(f, now))
		return;
	lose_late(q, f);
	f->dropping = is_late(f, now) || f->first;
	/* soon again: where it was, not from the beginning */
	f->count = f->count > f->last_count + 1 && now - f->drop_ns < 16 * INTERVAL ? f->count - f->last_count : 1;
	f->last_count = f->count;
	f->drop_ns = now + interval_over_root(f->count);
}

/* ---- deficit round robin, RFC 8290 section 4.2 */

const uint8_t *fair_queue_get(struct fair_queue *q, uint64_t now, size_t *len)
{
	for (;;) {
		struct list *l = q->fresh.first ? &q->fresh : &q->old;
		struct flow *f = l->first;

		q->turn = NULL;
		if (!f)
			return NULL;
		if (f->deficit <= 0) {
			f->deficit += QUANTUM;
			append(&q->old, take_first(l), OLD);
			continue;
		}
		manage_delay(q, f, now);
		if (f->first) {
			q->turn = f;
			*len = f->first->len;
			return f->first->data;
		}
		/* a new flow that is empty waits its turn among the old ones, so that it cannot come back as a new one at once */
		take_first(l);
		if (l == &q->fresh && q->old.first)
			append(&q->old, f, OLD);
	}
}

void fair_queue_drop(struct fair_queue *q)
{
	struct flow *f = q->turn;

	bug_on(!f);
	f->deficit -= (int64_t)f->first->len;
	lose_first(q, f);
	q->turn = NULL;
}

size_t fair_queue_bytes(const struct fair_queue *q)
{
	return q->bytes;
}

const struct fair_queue_counters *fair_queue_counters(const struct fair_queue *q)
{
	return &q->counters;
}

int fair_queue_create(size_t max, struct fair_queue **out)
{
	struct fair_queue *q = calloc(1, sizeof *q);

	*out = q;
	if (!q)
		return -ENOMEM;
	q->max = max;
	q->fresh.end = &q->fresh.first;
	q->old.end = &q->old.first;
	for (unsigned i = 0; i < QUEUE_FLOWS; i++)
		q->flows[i].end = &q->flows[i].first;
	return 0;
}

void fair_queue_free(struct fair_queue *q)
{
	if (!q)
		return;
	for (unsigned i = 0; i < QUEUE_FLOWS; i++)
		while (q->flows[i].first)
			lose_first(q, &q->flows[i]);
	free_spares(q);
	free(q);
}
