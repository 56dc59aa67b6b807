/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table of servers, each with its sockets, the youngest first. */
#include "csc/parking.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include "lib/scope.h"

struct host;

struct spot {
	struct spot *next, **link;	/* in host.spots */
	struct parking *parking;
	struct host *host;
	struct loop_watch *watch;
	time_t since;
	int fd;
	char nic[PARKING_NIC], serial[PKI_SERIAL_TEXT];
};

struct host {
	struct host *next;		/* in its bucket */
	struct spot *spots;
	unsigned count;
	char server[PKI_NAME_MAX + 1];
};

struct parking {
	struct loop *loop;
	parking_lost_fn *fn;
	void *ctx;
	struct host **bucket;
	size_t buckets;			/* a power of two */
	uint64_t seed;			/* names are chosen by those who enrolled */
	unsigned max, per_server, count, servers;
};

enum { BUCKETS_MIN = 64 };

/* ---- servers */

/* FNV-1a, from a place nobody knows */
static size_t hash(const struct parking *p, const char *server)
{
	uint64_t h = p->seed;

	for (; *server; server++)
		h = (h ^ (uint8_t)*server) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

static struct host **find(const struct parking *p, const char *server)
{
	struct host **h = &p->bucket[hash(p, server) & (p->buckets - 1)];

	while (*h && strcmp((*h)->server, server))
		h = &(*h)->next;
	return h;
}

/* Twice the buckets when there are as many servers; without memory the chains grow. */
static void grow(struct parking *p)
{
	struct host **old = p->bucket, **fresh;
	size_t buckets = p->buckets;

	if (p->servers < buckets)
		return;
	fresh = calloc(buckets * 2, sizeof(struct host *));
	if (!fresh)
		return;
	p->bucket = fresh;
	p->buckets = buckets * 2;
	for (size_t i = 0; i < buckets; i++)
		for (struct host *h = old[i], *next; h; h = next) {
			struct host **to = find(p, h->server);

			next = h->next;
			h->next = NULL;
			*to = h;
		}
	free(old);
}

static struct host *host_of(struct parking *p, const char *server)
{
	struct host **at, *h;

	grow(p);
	at = find(p, server);
	if (*at)
		return *at;
	h = calloc(1, sizeof *h);
	if (!h)
		return NULL;
	strcpy(h->server, server);
	*at = h;
	p->servers++;
	return h;
}

static void drop_host(struct parking *p, struct host *h)
{
	struct host **at = find(p, h->server);

	if (h->count)
		return;
	*at = h->next;
	p->servers--;
	free(h);
}

/* ---- sockets */

static struct parked describe(const struct spot *s)
{
	struct parked d = { .since = s->since, .fd = s->fd };

	strcpy(d.server, s->host->server);
	strcpy(d.nic, s->nic);
	strcpy(d.serial, s->serial);
	return d;
}

/* The socket stays open. The server goes with its last one. */
static void unlink_spot(struct parking *p, struct spot *s)
{
	struct host *h = s->host;

	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	loop_watch_remove(s->watch);
	free(s);
	p->count--;
	h->count--;
	drop_host(p, h);
}

static void lose(struct parking *p, struct spot *s, enum parking_loss why)
{
	struct parked d = describe(s);

	unlink_spot(p, s);
	p->fn(p->ctx, &d, why);
	close(d.fd);
}

static void on_socket(void *ctx, int fd, uint32_t events)
{
	struct spot *s = ctx;
	uint8_t byte;

	lose(s->parking, s, recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0 ? PARKING_SPOKE : PARKING_GONE);
}

static void evict_oldest(struct parking *p, struct host *h)
{
	struct spot *s = h->spots;

	while (s->next)
		s = s->next;
	lose(p, s, PARKING_EVICTED);
}

static int add(struct parking *p, const struct parked *d)
{
	struct spot *s = calloc(1, sizeof *s);
	struct host *h = s ? host_of(p, d->server) : NULL;
	int rc;

	if (!h) {
		free(s);
		return -ENOMEM;
	}
	*s = (struct spot){ .parking = p, .host = h, .fd = d->fd, .since = d->since };
	strcpy(s->nic, d->nic);
	strcpy(s->serial, d->serial);
	rc = loop_watch_add(p->loop, d->fd, EPOLLIN | EPOLLRDHUP, on_socket, s, &s->watch);
	if (rc) {
		free(s);
		drop_host(p, h);
		return rc;
	}
	s->next = h->spots;
	s->link = &h->spots;
	if (s->next)
		s->next->link = &s->next;
	h->spots = s;
	h->count++;
	p->count++;
	if (h->count > p->per_server)
		evict_oldest(p, h);
	return 0;
}

int parking_add(struct parking *p, const struct parked *d, struct err *err)
{
	int rc = p->count < p->max ? add(p, d) : -ENOSPC;

	if (!rc)
		return 0;
	close(d->fd);
	return err_set(err, rc, rc == -ENOSPC ? "parking: all %u places are taken" : "parking: no memory or descriptor (%u taken)",
		p->count);
}

int parking_take(struct parking *p, const char *server, const char *nic, struct parked *out)
{
	const struct host *h = *find(p, server);
	struct spot *s = h ? h->spots : NULL;

	while (s && strcmp(s->nic, nic))
		s = s->next;
	if (!s)
		return -ENOENT;
	*out = describe(s);
	unlink_spot(p, s);
	return 0;
}

/* ---- all of them */

unsigned parking_sweep(struct parking *p, bool (*fn)(void *ctx, const struct parked *parked), void *ctx)
{
	unsigned swept = 0;

	for (size_t i = 0; i < p->buckets; i++)
		for (struct host *h = p->bucket[i], *next_host; h; h = next_host) {
			next_host = h->next;	/* the host goes with its last socket */
			for (struct spot *s = h->spots, *next; s; s = next) {
				struct parked d = describe(s);

				next = s->next;
				if (!fn(ctx, &d))
					continue;
				unlink_spot(p, s);
				close(d.fd);
				swept++;
			}
		}
	return swept;
}

static bool everyone(void *ctx, const struct parked *parked)
{
	return true;
}

unsigned parking_count(const struct parking *p)
{
	return p->count;
}

unsigned parking_servers(const struct parking *p)
{
	return p->servers;
}

unsigned parking_list(const struct parking *p, unsigned from, struct parked *list, unsigned max)
{
	unsigned at = 0, n = 0;

	for (size_t i = 0; i < p->buckets && n < max; i++)
		for (const struct host *h = p->bucket[i]; h && n < max; h = h->next) {
			if (at + h->count <= from) {
				at += h->count;
				continue;
			}
			for (const struct spot *s = h->spots; s && n < max; s = s->next)
				if (at++ >= from)
					list[n++] = describe(s);
		}
	return n;
}

/* ---- life */

int parking_create(struct loop *loop, unsigned max, unsigned per_server, parking_lost_fn *fn, void *ctx, struct parking **out,
	struct err *err)
{
	struct parking *p = calloc(1, sizeof *p);

	*out = NULL;
	if (p)
		*p = (struct parking){ .loop = loop, .max = max, .per_server = per_server, .fn = fn, .ctx = ctx, .buckets = BUCKETS_MIN,
			.bucket = calloc(BUCKETS_MIN, sizeof(struct host *)) };
	if (!p || !p->bucket || getrandom(&p->seed, sizeof p->seed, 0) != sizeof p->seed) {
		if (p)
			free(p->bucket);
		free(p);
		return err_set(err, -ENOMEM, "parking: out of memory");
	}
	*out = p;
	return 0;
}

void parking_free(struct parking *p)
{
	if (!p)
		return;
	(void)parking_sweep(p, everyone, NULL);
	free(p->bucket);
	free(p);
}
