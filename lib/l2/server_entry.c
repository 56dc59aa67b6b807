/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that come in: who is let in, which lane belongs where, and when a path is dead. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/l2/server_priv.h"
#include "lib/log.h"

#define NS 1000000000ull
enum { SWEEP_S = 1, INCOMPLETE_S = 10, SILENT_S = 5 };

/* ---- life of an entry */

void entry_free(struct entry *e)
{
	struct l2_server *s = e->server;
	struct path_counters c;

	path_counters(e->path, &c);
	c.queued_bytes = c.window_bytes = c.rtt_ns = 0;
	path_counters_add(&s->counters.paths, &c);
	path_free(e->path);
	*e->link = e->next;
	if (e->next)
		e->next->link = e->link;
	s->entry_count--;
	if (e->in_election)
		election_remove(&s->election, &e->candidate, loop_now_ns());
	free(e);
}

static void on_open(void *ctx)
{
	struct entry *e = ctx;

	log_info("l2 %s %s: %s %s is here by %s, %u lanes", e->server->name, e->server->nic, e->gateway ? "gateway" : "server", e->name,
		 e->way, e->lanes);
	if (!e->gateway) {
		peers_came(&e->server->peers, e->name, e->nic);
		return;
	}
	e->in_election = true;
	snprintf(e->candidate.gateway, sizeof e->candidate.gateway, "%s %s", e->name, e->instance);
	e->candidate.path = e;
	election_add(&e->server->election, &e->candidate);
}

static void on_closed(void *ctx, const struct err *why)
{
	struct entry *e = ctx;
	struct l2_server *s = e->server;

	log_limited(LOG_WARN, "l2 %s %s: the path of %s by %s ended: %s", s->name, s->nic, e->name, e->way, why->text);
	entry_free(e);
	server_elect(s);
}

static void on_frame(void *ctx, struct frame *f)
{
	struct entry *e = ctx;

	if (e->gateway)
		server_gateway_frame(e->server, &e->candidate, f);
	else
		server_peer_frame(e->server, e->name, e->nic, f);
}

static void on_beat(void *ctx, const struct wire_beat *beat)
{
	struct entry *e = ctx;
	struct l2_server *s = e->server;
	struct wire_grant grant = { .stamp_ns = beat->stamp_ns, .state = WIRE_STANDBY };

	if (!e->gateway) {	/* another server beats to know that the path works */
		path_send_grant(e->path, &grant);
		return;
	}
	election_beat(&s->election, &e->candidate, beat, loop_now_ns());
	server_elect(s);
}

static void on_release(void *ctx, uint64_t stamp_ns)
{
	struct entry *e = ctx;

	if (!e->gateway)
		return;
	election_release(&e->server->election, &e->candidate, stamp_ns, loop_now_ns());
	server_elect(e->server);
}

static void on_peers(void *ctx, const json_t *json)
{
	static struct hello_peer list[HELLO_PEERS];	/* loop's thread; too large for a stack */
	struct entry *e = ctx;
	struct l2_server *s = e->server;
	unsigned count, mtu;
	struct err err;

	if (!e->gateway || !election_serves(&s->election, &e->candidate, loop_now_ns())) {
		s->counters.peers_ignored++;
		return;
	}
	if (hello_parse_peers(json, list, &count, &mtu, &err)) {
		path_fail(e->path, &err);
		return;
	}
	if (s->ops.lan_mtu)
		s->ops.lan_mtu(s->ctx, mtu);
	peers_set(&s->peers, list, count);
}

static const struct path_ops path_ops = { .open = on_open, .frame = on_frame, .beat = on_beat, .release = on_release,
	.peers = on_peers, .closed = on_closed };

/* ---- a lane that came in */

static struct entry *find(struct l2_server *s, const struct hello *h)
{
	for (struct entry *e = s->entries; e; e = e->next)
		if (e->gateway == h->gateway && !strcmp(e->name, h->name) && !strcmp(e->instance, h->instance) &&
		    !strcmp(e->way, h->way) && (h->gateway || !strcmp(e->nic, h->from_nic)))
			return e;
	return NULL;
}

static int make(struct l2_server *s, const struct hello *h, struct entry **out, struct err *err)
{
	struct path_config config = { .lanes = h->lanes, .queue_max = s->queue_max };
	struct entry *e;
	int rc;

	if (s->entry_count >= ENTRIES_MAX)
		return err_set(err, -ENOSPC, "%d paths are here already", ENTRIES_MAX);
	e = calloc(1, sizeof *e);
	if (!e)
		return err_set(err, -ENOMEM, "out of memory");
	*e = (struct entry){ .server = s, .gateway = h->gateway, .attempt = h->attempt, .lanes = h->lanes,
		.made_ns = loop_now_ns() };
	rc = path_create(s->loop, &config, &path_ops, e, &e->path, err);
	if (rc) {
		free(e);
		return rc;
	}
	/* hello_parse bounds them */
	snprintf(e->name, sizeof e->name, "%s", h->name);
	snprintf(e->instance, sizeof e->instance, "%s", h->instance);
	snprintf(e->way, sizeof e->way, "%s", h->way);
	snprintf(e->nic, sizeof e->nic, "%s", h->gateway ? "" : h->from_nic);
	e->next = s->entries;
	e->link = &s->entries;
	if (e->next)
		e->next->link = &e->next;
	s->entries = e;
	s->entry_count++;
	*out = e;
	return 0;
}

static int check(struct l2_server *s, struct link *link, const json_t *json, struct hello *h, struct err *err)
{
	int rc = hello_parse(json, h, err);

	if (rc)
		return rc;
	if (strcmp(h->server, s->name) || strcmp(h->nic, s->nic))
		return err_set(err, -ENOENT, "this is %s of %s, not %s of %s", s->nic, s->name, h->nic, h->server);
	if (strcmp(h->segment, s->segment))
		return err_set(err, -EINVAL, "%s of %s belongs to segment %s, not %s", s->nic, s->name, s->segment, h->segment);
	rc = s->authorise ? s->authorise(s->ctx, link, json, err) : 0;
	if (rc || h->gateway || peers_knows(&s->peers, h->name, h->from_nic))
		return rc;
	return err_set(err, -EAGAIN, "no gateway has told of server %s yet", h->name);
}

/* The entry that the lane belongs to; an older one of the same way makes room. */
static int place(struct l2_server *s, const struct hello *h, struct entry **out, struct err *err)
{
	struct entry *e = find(s, h);

	if (e && h->attempt < e->attempt)
		return err_set(err, -EALREADY, "a later attempt is here");
	if (e && h->attempt > e->attempt) {
		entry_free(e);
		server_elect(s);
		e = NULL;
	}
	if (e && e->lanes != h->lanes)
		return err_set(err, -EPROTO, "the lanes disagree: %u or %u", e->lanes, h->lanes);
	*out = e;
	return e ? 0 : make(s, h, out, err);
}

void server_arrived(void *ctx, struct lane *lane, const json_t *json)
{
	struct l2_server *s = ctx;
	json_t *answer = NULL;
	struct entry *e;
	struct hello h;
	struct err err;
	int rc = check(s, lane_link(lane), json, &h, &err);

	if (!rc)
		rc = place(s, &h, &e, &err);
	if (!rc && !(answer = hello_answer(s->name, s->nic, s->segment, s->mac, s->mtu)))
		rc = err_set(&err, -ENOMEM, "out of memory");
	if (rc) {
		s->counters.refused++;
		door_refuse(s->door, lane, &err);
		return;
	}
	door_want(s->door, h.lanes);
	rc = path_adopt_lane(e->path, h.lane, lane, answer, &err);
	json_decref(answer);
	if (rc) {
		s->counters.refused++;
		log_limited(LOG_WARN, "l2 %s %s: refused %s: %s", s->name, s->nic, h.name, err.text);
	}
}

/* ---- dead paths */

uint64_t server_sweep(struct l2_server *s, uint64_t now)
{
	for (struct entry *e = s->entries, *next; e; e = next) {
		struct err why;

		next = e->next;
		if (!path_is_open(e->path) && now > e->made_ns + INCOMPLETE_S * NS)
			err_set(&why, -ETIMEDOUT, "not all of %u lanes came in %d s", e->lanes, INCOMPLETE_S);
		else if (path_is_open(e->path) && now > path_heard_ns(e->path) + SILENT_S * NS)
			err_set(&why, -ETIMEDOUT, "no beat for %d s", SILENT_S);
		else
			continue;
		if (!path_fail(e->path, &why))
			entry_free(e);
	}
	return now + SWEEP_S * NS;
}
