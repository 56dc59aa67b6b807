/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other servers of the segment. Of two the one whose name comes first calls: directly, and when that has not come about in a
 * while, through relays, too. Whatever works may be sent by: the direct way first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/l2/server_priv.h"
#include "lib/log.h"

#define MS 1000000ull
enum { WAYS = L2_RELAYS + 1, QUIET_MS = 350, DIRECT_FIRST_MS = 3000 };

struct peer {
	struct peers *peers;
	struct peer *next;
	char *server, *nic, *direct, *relay[L2_RELAYS];
	bool calls;			/* we do */
	bool seen;			/* in the list that is being set */
	bool moved;			/* its frames go directly, as filters at both ends were told */
	struct caller *callers[WAYS];	/* the direct one first */
	struct loop_timer *timer;	/* time for relays */
	char *tickets[HELLO_TICKETS];
	unsigned ticket_count;
};

/* ---- calls */

static int on_check(void *ctx, struct link *link, const json_t *hello, struct err *err)
{
	struct l2_server *s = ((struct peer *)ctx)->peers->server;

	return s->authorise ? s->authorise(s->ctx, link, hello, err) : 0;
}

static char *on_ticket(void *ctx)
{
	struct peer *p = ctx;

	return p->ticket_count ? p->tickets[--p->ticket_count] : NULL;
}

static void on_open(void *ctx, struct caller *c)
{
	((struct peer *)ctx)->moved = false;	/* the next frame tells again: its flows may have gone elsewhere meanwhile */
}

static void on_closed(void *ctx, struct caller *c)
{
}

static void on_frame(void *ctx, struct caller *c, struct frame *f)
{
	struct peer *p = ctx;

	server_peer_frame(p->peers->server, p->server, p->nic, f);
}

static void on_grant(void *ctx, struct caller *c, const struct wire_grant *grant)
{
}

static void call(struct peer *p, const char *address, bool relay, struct caller **out)
{
	static const struct caller_ops ops = { on_check, on_ticket, on_open, on_closed, on_frame, on_grant, NULL };
	struct l2_server *s = p->peers->server;
	struct caller_config c = {
		.hello = { .name = s->name, .instance = s->instance, .server = p->server, .nic = p->nic, .segment = s->segment,
			.from_nic = s->nic, .lanes = 1 },
		.address = address, .relay = relay, .queue_max = s->queue_max, .tls = s->tls_client, .tls_relay = s->tls_relay,
	};
	struct err err;

	if (*out || !address)
		return;
	if (caller_create(s->loop, &c, &ops, p, out, &err))
		log_limited(LOG_WARN, "l2 %s %s: server %s: %s", s->name, s->nic, p->server, err.text);
}

static void on_timer(void *ctx)
{
	struct peer *p = ctx;

	if (!p->callers[0] || !caller_path(p->callers[0]))
		for (unsigned i = 0; i < L2_RELAYS; i++)
			call(p, p->relay[i], true, &p->callers[i + 1]);
	else
		loop_timer_arm(p->timer, loop_now_ns() + DIRECT_FIRST_MS * MS);	/* it may end one day */
}

/* ---- life */

static void forget_tickets(struct peer *p)
{
	while (p->ticket_count)
		free(p->tickets[--p->ticket_count]);
}

static void peer_free(struct peer *p)
{
	for (unsigned i = 0; i < WAYS; i++)
		caller_free(p->callers[i]);
	loop_timer_free(p->timer);
	forget_tickets(p);
	for (unsigned i = 0; i < L2_RELAYS; i++)
		free(p->relay[i]);
	free(p->server);
	free(p->nic);
	free(p->direct);
	free(p);
}

static bool copy(const char *from, char **to)
{
	*to = from ? strdup(from) : NULL;
	return !from || *to;
}

/* The filters of the way that its flows take from now on have not seen them begin. */
static void move(struct peer *p, bool directly)
{
	struct l2_server *s = p->peers->server;

	if (p->moved == directly)
		return;
	p->moved = directly;
	if (!directly)
		s->moves++;
	else if (s->ops.peer_moved)
		s->ops.peer_moved(s->ctx);
}

static struct peer *peer_new(struct peers *peers, const struct hello_peer *h)
{
	struct l2_server *s = peers->server;
	struct peer *p = calloc(1, sizeof *p);
	int order = strcmp(s->name, h->server);
	bool ok;

	if (!p)
		return NULL;
	*p = (struct peer){ .peers = peers, .calls = order ? order < 0 : strcmp(s->nic, h->nic) < 0 };
	ok = copy(h->server, &p->server) && copy(h->nic, &p->nic) && copy(h->direct, &p->direct) &&
		!loop_timer_create(s->loop, on_timer, p, &p->timer);
	for (unsigned i = 0; ok && i < h->relay_count; i++)
		ok = copy(h->relay[i], &p->relay[i]);
	if (!ok) {
		peer_free(p);
		return NULL;
	}
	p->next = peers->first;
	peers->first = p;
	peers->count++;
	if (p->calls) {
		call(p, p->direct, false, &p->callers[0]);
		loop_timer_arm(p->timer, p->direct ? loop_now_ns() + DIRECT_FIRST_MS * MS : 1);
	}
	return p;
}

/* ---- what PEERS says */

static struct peer *find(const struct peers *peers, const char *server, const char *nic)
{
	for (struct peer *p = peers->first; p; p = p->next)
		if (!strcmp(p->server, server) && !strcmp(p->nic, nic))
			return p;
	return NULL;
}

static bool same_address(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_ways(const struct peer *p, const struct hello_peer *h)
{
	for (unsigned i = 0; i < L2_RELAYS; i++)
		if (!same_address(p->relay[i], h->relay[i]))
			return false;
	return same_address(p->direct, h->direct);
}

static void drop_routes(struct peers *peers)
{
	for (unsigned i = 0; i < ROUTES; i++)
		while (peers->routes[i]) {
			struct route *r = peers->routes[i];

			peers->routes[i] = r->next;
			free(r);
		}
}

static void add_route(struct peers *peers, struct peer *p, const uint8_t mac[FRAME_MAC])
{
	struct route *r = calloc(1, sizeof *r);

	/* our own MAC is never another's */
	if (!r || !memcmp(mac, peers->server->mac, FRAME_MAC)) {
		free(r);
		return;
	}
	memcpy(r->mac, mac, FRAME_MAC);
	r->peer = p;
	r->next = peers->routes[mac[5]];
	peers->routes[mac[5]] = r;
}

static void set_tickets(struct peer *p, const struct hello_peer *h)
{
	forget_tickets(p);
	for (unsigned i = 0; i < h->ticket_count; i++)
		if ((p->tickets[p->ticket_count] = strdup(h->tickets[i])))
			p->ticket_count++;
}

/* What is not seen goes, and with it the paths that it called in by. */
static void drop_unseen(struct peers *peers)
{
	for (struct peer **at = &peers->first, *p; (p = *at);) {
		if (p->seen) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		peers->count--;
		move(p, false);
		for (struct entry *e = peers->server->entries, *next; e; e = next) {
			next = e->next;
			if (!e->gateway && !strcmp(e->name, p->server) && !strcmp(e->nic, p->nic))
				entry_free(e);
		}
		peer_free(p);
	}
}

static bool is_self(const struct l2_server *s, const struct hello_peer *h)
{
	return !strcmp(s->name, h->server) && !strcmp(s->nic, h->nic);
}

void peers_set(struct peers *peers, const struct hello_peer *list, unsigned count)
{
	for (struct peer *p = peers->first; p; p = p->next)
		p->seen = false;
	for (unsigned i = 0; i < count; i++) {
		struct peer *p = find(peers, list[i].server, list[i].nic);

		if (p)
			p->seen = same_ways(p, &list[i]);
	}
	drop_routes(peers);
	drop_unseen(peers);	/* those that live elsewhere now, too: they come anew */
	for (unsigned i = 0; i < count; i++) {
		struct peer *p = find(peers, list[i].server, list[i].nic);

		if (is_self(peers->server, &list[i]) || (!p && !(p = peer_new(peers, &list[i]))))
			continue;
		p->seen = true;
		set_tickets(p, &list[i]);
		for (unsigned m = 0; m < list[i].mac_count; m++)
			add_route(peers, p, list[i].macs[m]);
	}
}

void peers_free(struct peers *peers)
{
	drop_routes(peers);
	while (peers->first) {
		struct peer *p = peers->first;

		peers->first = p->next;
		peer_free(p);
	}
	peers->count = 0;
}

/* ---- frames */

static struct peer *owner(const struct peers *peers, const uint8_t mac[FRAME_MAC])
{
	for (const struct route *r = peers->routes[mac[5]]; r; r = r->next)
		if (!memcmp(r->mac, mac, FRAME_MAC))
			return r->peer;
	return NULL;
}

static bool works(const struct path *path, uint64_t now)
{
	return path && path_is_open(path) && now < path_heard_ns(path) + QUIET_MS * MS;
}

static struct path *way_in(const struct peers *peers, const struct peer *p, uint64_t now)
{
	struct path *path = NULL;

	for (const struct entry *e = peers->server->entries; e; e = e->next)
		if (!e->gateway && !strcmp(e->name, p->server) && !strcmp(e->nic, p->nic) && works(e->path, now)) {
			path = e->path;
			if (!strcmp(e->way, "direct"))
				break;
		}
	return path;
}

static struct path *way_to(const struct peers *peers, const struct peer *p, uint64_t now)
{
	for (unsigned i = 0; i < WAYS; i++)
		if (p->callers[i] && works(caller_path(p->callers[i]), now))
			return caller_path(p->callers[i]);
	return p->calls ? NULL : way_in(peers, p, now);
}

struct path *peers_find(struct peers *peers, const uint8_t mac[FRAME_MAC], uint64_t now)
{
	struct peer *p = owner(peers, mac);
	struct path *path = p ? way_to(peers, p, now) : NULL;

	if (p)
		move(p, path);
	return path;
}

void peers_heard(struct peers *peers, const uint8_t mac[FRAME_MAC])
{
	struct peer *p = owner(peers, mac);

	if (p && !p->moved)
		(void)peers_find(peers, mac, loop_now_ns());
}

void peers_came(struct peers *peers, const char *name, const char *nic)
{
	struct peer *p = find(peers, name, nic);

	if (p)
		p->moved = false;
}

bool peers_work(const struct peers *peers, uint64_t now)
{
	const struct peer *p = peers->first;

	while (p && !way_to(peers, p, now))
		p = p->next;
	return p;
}

bool peers_owns(const struct peers *peers, const char *name, const char *nic, const uint8_t mac[FRAME_MAC])
{
	const struct peer *p = owner(peers, mac);

	return p && !strcmp(p->server, name) && !strcmp(p->nic, nic);
}

bool peers_knows(const struct peers *peers, const char *name, const char *nic)
{
	return find(peers, name, nic);
}

/* ---- the rest */

void peers_set_tls(struct peers *peers, SSL_CTX *tls, SSL_CTX *tls_relay)
{
	for (struct peer *p = peers->first; p; p = p->next)
		for (unsigned i = 0; i < WAYS; i++)
			if (p->callers[i])
				caller_set_tls(p->callers[i], tls, tls_relay);
}

void peers_add_counters(const struct peers *peers, struct path_counters *sum)
{
	for (const struct peer *p = peers->first; p; p = p->next)
		for (unsigned i = 0; i < WAYS; i++)
			if (p->callers[i]) {
				struct caller_counters c;

				caller_counters(p->callers[i], &c);
				path_counters_add(sum, &c.path);
			}
}

json_t *peers_status(const struct peers *peers)
{
	json_t *list = json_array();

	for (const struct peer *p = peers->first; p; p = p->next) {
		json_t *ways = json_array();

		for (unsigned i = 0; i < WAYS; i++)
			if (p->callers[i])
				json_array_append_new(ways, caller_status(p->callers[i]));
		json_array_append_new(list, json_pack("{s:s s:s s:b s:i s:o}", "server", p->server, "nic", p->nic, "calls", p->calls,
						      "tickets", (int)p->ticket_count, "ways", ways));
	}
	return list;
}
