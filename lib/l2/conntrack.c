/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/conntrack.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

enum { NONE = -1, SIZE_MIN = 16, SIZE_MAX_ENTRIES = 1 << 20, TOUCH_MS = 1000 };

/*
 * How long silence may last. Half-open connections of Linux retry for a minute, idle ones are kept for five days by its own
 * firewall; a second of inexactness (TOUCH_MS) does not matter.
 */
static const uint32_t timeout_ms[CONN_CLASSES] = {
	[CONN_NEW] = 60 * 1000, [CONN_CLOSING] = 120 * 1000, [CONN_LOOSE] = 300 * 1000, [CONN_ESTABLISHED] = 5u * 86400 * 1000,
};
/* Established ones that were silent for so long may make room: their next segment takes them up again. */
enum { IDLE_MS = 600 * 1000 };

struct list { int32_t oldest, newest; };

struct conntrack {
	struct conn *conns;		/* mapped, so that unused ones cost nothing */
	int32_t *heads;			/* 0: none, else index + 1, for the same reason */
	unsigned size;
	int32_t free, fresh;		/* given back; never used from here on */
	struct list list[CONN_CLASSES];
	uint64_t secret[2];
	struct conntrack_counters counters;
};

_Static_assert(sizeof(struct conn) <= 64 + 8, "a connection is about one cache line");

static void *map(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void forget(struct conntrack *t)
{
	t->free = NONE;
	t->fresh = 0;
	t->counters.now = 0;
	for (unsigned i = 0; i < CONN_CLASSES; i++)
		t->list[i] = (struct list){ NONE, NONE };
}

int conntrack_create(unsigned size, struct conntrack **table)
{
	struct conntrack *t;
	unsigned n = SIZE_MIN;

	if (size < SIZE_MIN || size > SIZE_MAX_ENTRIES)
		return -EINVAL;
	while (n < size)
		n *= 2;
	t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	t->size = n;
	t->conns = map(n * sizeof *t->conns);
	t->heads = map(n * sizeof *t->heads);
	forget(t);
	if (!t->conns || !t->heads || getrandom(t->secret, sizeof t->secret, 0) != sizeof t->secret) {
		conntrack_free(t);
		return -ENOMEM;
	}
	*table = t;
	return 0;
}

void conntrack_free(struct conntrack *table)
{
	if (!table)
		return;
	if (table->conns)
		munmap(table->conns, table->size * sizeof *table->conns);
	if (table->heads)
		munmap(table->heads, table->size * sizeof *table->heads);
	free(table);
}

void conntrack_clear(struct conntrack *table)
{
	forget(table);
	/* Gives the memory back, as zeroes. Where that fails they are written. */
	if (madvise(table->heads, table->size * sizeof *table->heads, MADV_DONTNEED) ||
	    madvise(table->conns, table->size * sizeof *table->conns, MADV_DONTNEED))
		memset(table->heads, 0, table->size * sizeof *table->heads);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static int32_t *head_of(const struct conntrack *t, const struct conn_key *k)
{
	uint64_t ports, h;

	memcpy(&ports, &k->server_port, 8);
	h = mix(k->server.word[0] ^ t->secret[0], k->server.word[1] ^ t->secret[1]);
	h ^= mix(k->peer.word[0] ^ t->secret[1], k->peer.word[1] ^ h);
	h = mix(h ^ ports, t->secret[0] | 1);
	return &t->heads[h & (t->size - 1)];
}

static bool same(const struct conn_key *a, const struct conn_key *b)
{
	return !memcmp(a, b, sizeof *a);
}
_Static_assert(sizeof(struct conn_key) == 40, "no padding: keys are compared as bytes");

static struct conn *at(const struct conntrack *t, int32_t i)
{
	return &t->conns[i];
}

static void unlist(struct conntrack *t, struct conn *c)
{
	struct list *l = &t->list[c->class];

	*(c->before == NONE ? &l->oldest : &at(t, c->before)->after) = c->after;
	*(c->after == NONE ? &l->newest : &at(t, c->after)->before) = c->before;
}

static void append(struct conntrack *t, struct conn *c)
{
	struct list *l = &t->list[c->class];
	int32_t i = (int32_t)(c - t->conns);

	c->before = l->newest;
	c->after = NONE;
	*(l->newest == NONE ? &l->oldest : &at(t, l->newest)->after) = i;
	l->newest = i;
}

void conntrack_remove(struct conntrack *t, struct conn *c)
{
	int32_t i = (int32_t)(c - t->conns), *link = head_of(t, &c->key);

	while (*link != i + 1)
		link = &at(t, *link - 1)->chain;
	*link = c->chain;
	unlist(t, c);
	c->chain = t->free;
	t->free = i;
	t->counters.now--;
}

static uint32_t ms(uint64_t now_ns)
{
	return (uint32_t)(now_ns / 1000000);
}

/* Silent for longer than limit; a clock that is behind makes nothing old. */
static bool silent(const struct conn *c, uint64_t now_ns, uint32_t limit)
{
	uint32_t idle = ms(now_ns) - c->seen_ms;

	return idle > limit && idle < 1u << 31;
}

struct conn *conntrack_find(struct conntrack *t, const struct conn_key *key, uint64_t now_ns)
{
	int32_t i = *head_of(t, key);
	struct conn *c;

	while (i && !same(&at(t, i - 1)->key, key))
		i = at(t, i - 1)->chain;
	if (!i)
		return NULL;
	c = at(t, i - 1);
	if (!silent(c, now_ns, timeout_ms[c->class]))
		return c;
	conntrack_remove(t, c);
	t->counters.expired++;
	return NULL;
}

/* Two of each class at most, so that a call stays cheap; more than come in go out. */
static void expire(struct conntrack *t, uint64_t now_ns)
{
	for (unsigned class = 0; class < CONN_CLASSES; class++) {
		for (unsigned n = 0; n < 2 && t->list[class].oldest != NONE; n++) {
			struct conn *c = at(t, t->list[class].oldest);

			if (!silent(c, now_ns, timeout_ms[class]))
				break;
			conntrack_remove(t, c);
			t->counters.expired++;
		}
	}
}

static bool evict(struct conntrack *t, uint64_t now_ns)
{
	for (unsigned class = 0; class < CONN_CLASSES; class++) {
		int32_t i = t->list[class].oldest;

		if (i == NONE || (class == CONN_ESTABLISHED && !silent(at(t, i), now_ns, IDLE_MS)))
			continue;
		conntrack_remove(t, at(t, i));
		t->counters.evicted++;
		return true;
	}
	return false;
}

struct conn *conntrack_add(struct conntrack *t, const struct conn_key *key, uint64_t now_ns)
{
	struct conn *c;
	int32_t *head;

	expire(t, now_ns);
	if (t->free == NONE && t->fresh == (int32_t)t->size && !evict(t, now_ns))
		return NULL;
	if (t->free != NONE) {
		c = at(t, t->free);
		t->free = c->chain;
	} else {
		c = at(t, t->fresh++);
	}
	head = head_of(t, key);
	*c = (struct conn){ .key = *key, .seen_ms = ms(now_ns), .class = CONN_NEW, .chain = *head };
	*head = (int32_t)(c - t->conns) + 1;
	append(t, c);
	if (++t->counters.now > t->counters.most)
		t->counters.most = t->counters.now;
	return c;
}

void conntrack_touch(struct conntrack *t, struct conn *c, enum conn_class class, uint64_t now_ns)
{
	if (c->class == class && ms(now_ns) - c->seen_ms < TOUCH_MS)
		return;
	unlist(t, c);
	c->class = (uint8_t)class;
	c->seen_ms = ms(now_ns);
	append(t, c);
}

const struct conntrack_counters *conntrack_counters(const struct conntrack *table)
{
	return &table->counters;
}
