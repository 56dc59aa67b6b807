/* SPDX-License-Identifier: Apache-2.0 */
/* Frames, the election's surroundings, and the paths that come in (server_entry.c admits them). */
#include "lib/l2/server.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "lib/l2/offload.h"
#include "lib/l2/server_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

#define MS 1000000ull

/* ---- the election's wishes */

static void on_grant(void *ctx, struct candidate *c, const struct wire_grant *grant)
{
	const struct l2_server *s = ctx;
	struct wire_grant said = *grant;

	said.moves = s->moves;
	path_send_grant(((struct entry *)c->path)->path, &said);
}

static void on_changed(void *ctx, struct candidate *active)
{
	struct l2_server *s = ctx;
	struct entry *e = active ? active->path : NULL;

	if (e)
		log_info("l2 %s %s: gateway %s serves, by %s", s->name, s->nic, e->name, e->way);
	else
		log_info("l2 %s %s: no gateway serves", s->name, s->nic);
	if (s->ops.carrier)
		s->ops.carrier(s->ctx, active != NULL);
}

static const struct election_ops election_ops = { on_grant, on_changed };

/* Dead paths are looked for each second at least. */
static void on_timer(void *ctx)
{
	struct l2_server *s = ctx;
	uint64_t now = loop_now_ns(), next = election_tick(&s->election, now), sweep = server_sweep(s, now);

	loop_timer_arm(s->timer, next && next < sweep ? next : sweep);
}

void server_elect(struct l2_server *s)
{
	on_timer(s);
}

/* ---- frames to the NIC */

static void deliver(struct l2_server *s, struct frame *f)
{
	if (!s->ops.frame(s->ctx, f))
		s->counters.drop_nic_full++;
}

void server_gateway_frame(struct l2_server *s, const struct candidate *from, struct frame *f)
{
	if (!election_serves(&s->election, from, loop_now_ns())) {
		s->counters.drop_passive++;
	} else if (!memcmp(frame_src(f), s->mac, FRAME_MAC)) {
		s->counters.drop_spoofed++;
		log_limited(LOG_WARN, "l2 %s %s: a frame came in with our own MAC as its source", s->name, s->nic);
	} else {
		deliver(s, f);
	}
}

void server_peer_frame(struct l2_server *s, const char *name, const char *nic, struct frame *f)
{
	if (!peers_owns(&s->peers, name, nic, frame_src(f)) || memcmp(frame_dst(f), s->mac, FRAME_MAC)) {
		s->counters.drop_peer++;
		log_limited(LOG_WARN, "l2 %s %s: server %s sent a frame from or to a MAC that is not its or ours", s->name, s->nic,
			    name);
		return;
	}
	peers_heard(&s->peers, frame_src(f));
	if (s->ops.peer_pass && !s->ops.peer_pass(s->ctx, true, f)) {
		s->counters.drop_filtered++;
	} else {
		deliver(s, f);
	}
}

/* ---- frames from the NIC */

void l2_server_send_frame(struct l2_server *s, struct frame *f)
{
	enum frame_cause cause = frame_parse(f);
	struct path *path;

	if (cause != FRAME_OK) {
		s->counters.drop_bad_frame++;
		log_limited(LOG_WARN, "l2 %s %s: a frame of the card was dropped: %s", s->name, s->nic, frame_cause_name(cause));
		return;
	}
	path = s->peers.count && !frame_is_multicast(f) ? peers_find(&s->peers, frame_dst(f), loop_now_ns()) : NULL;
	if (path && s->ops.peer_pass && !s->ops.peer_pass(s->ctx, false, f)) {
		s->counters.drop_filtered++;
	} else if (path) {
		path_send(path, f);
	} else if (s->election.active) {
		path_send(((struct entry *)s->election.active->path)->path, f);
	} else {
		s->counters.drop_no_gateway++;
	}
}

void l2_server_send(struct l2_server *s, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned n)
{
	struct frame f = { .hdr = *hdr, .data = s->buffer + COALESCE_HEADROOM };

	f.len = net_iov_gather(iov, n, f.data, FRAME_MAX);
	coalesce_frame(s->coalesce, &f);
	if (coalesce_holds(s->coalesce))
		loop_task_run(s->flush);
}

static void on_datagrams(void *ctx, struct frame *f)
{
	l2_server_send_frame(ctx, f);
}

static void on_flush(void *ctx)
{
	struct l2_server *s = ctx;

	coalesce_flush(s->coalesce);
}

/* ---- life */

void l2_server_free(struct l2_server *s)
{
	if (!s)
		return;
	s->ops.carrier = NULL;
	peers_free(&s->peers);
	door_free(s->door);
	while (s->entries)
		entry_free(s->entries);
	loop_timer_free(s->timer);
	loop_task_free(s->flush);
	coalesce_free(s->coalesce);
	SSL_CTX_free(s->tls_client);
	SSL_CTX_free(s->tls_relay);
	free(s->name);
	free(s->nic);
	free(s->segment);
	free(s->buffer);
	free(s);
}

static void set_clients(struct l2_server *s, SSL_CTX *tls_client, SSL_CTX *tls_relay)
{
	if (tls_client)
		SSL_CTX_up_ref(tls_client);
	if (tls_relay)
		SSL_CTX_up_ref(tls_relay);
	SSL_CTX_free(s->tls_client);
	SSL_CTX_free(s->tls_relay);
	s->tls_client = tls_client;
	s->tls_relay = tls_relay;
}

void l2_server_set_tls(struct l2_server *s, SSL_CTX *tls_server, SSL_CTX *tls_client, SSL_CTX *tls_relay)
{
	set_clients(s, tls_client, tls_relay);
	door_set_tls(s->door, tls_server, tls_relay);
	peers_set_tls(&s->peers, tls_client, tls_relay);
}

static int open_parts(struct l2_server *s, const struct l2_server_config *config, struct err *err)
{
	static const struct door_ops door_ops = { server_arrived };
	uint64_t chance;

	if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
		return err_set(err, -EIO, "l2: no random numbers");
	snprintf(s->instance, sizeof s->instance, "%016llx", (unsigned long long)chance);
	if (!s->name || !s->nic || !s->segment || !s->buffer || loop_timer_create(s->loop, on_timer, s, &s->timer) ||
	    coalesce_create(on_datagrams, s, &s->coalesce) || loop_task_create(s->loop, on_flush, s, &s->flush))
		return err_set(err, -ENOMEM, "l2: out of memory");
	return door_create(s->loop, config, &door_ops, s, &s->door, err);
}

int l2_server_create(struct loop *loop, const struct l2_server_config *config, const struct l2_server_ops *ops, void *ctx,
	struct l2_server **out, struct err *err)
{
	struct l2_server *s = calloc(1, sizeof *s);
	int rc;

	*out = NULL;
	if (!s)
		return err_set(err, -ENOMEM, "l2: out of memory");
	*s = (struct l2_server){ .loop = loop, .ops = *ops, .ctx = ctx, .authorise = config->authorise,
		.name = strdup(config->server), .nic = strdup(config->nic), .segment = strdup(config->segment),
		.mtu = config->mtu, .queue_max = config->queue_max,
		.buffer = malloc(COALESCE_HEADROOM + FRAME_MAX) };
	memcpy(s->mac, config->mac, FRAME_MAC);
	s->peers.server = s;
	set_clients(s, config->tls_client, config->tls_relay);
	election_init(&s->election, &election_ops, s, loop_now_ns());
	rc = open_parts(s, config, err);
	if (rc) {
		l2_server_free(s);
		return rc;
	}
	loop_timer_arm(s->timer, 1);
	*out = s;
	return 0;
}

/* ---- questions */

bool l2_server_has_peer(const struct l2_server *s)
{
	return peers_work(&s->peers, loop_now_ns());
}

uint16_t l2_server_port(const struct l2_server *s)
{
	return door_port(s->door);
}

void l2_server_counters(const struct l2_server *s, struct l2_server_counters *out)
{
	struct door_counters door;

	*out = s->counters;
	door_counters(s->door, &door);
	out->elections = s->election.elections;
	out->takeovers = s->election.takeovers;
	out->refused += door.refused_full;
	out->calls = door.calls;
	out->parked = door.parked;
	for (const struct entry *e = s->entries; e; e = e->next) {
		struct path_counters c;

		path_counters(e->path, &c);
		path_counters_add(&out->paths, &c);
	}
	peers_add_counters(&s->peers, &out->paths);
}

static json_t *entry_status(const struct l2_server *s, const struct entry *e)
{
	struct path_counters c;

	path_counters(e->path, &c);
	return json_pack("{s:s s:s s:s s:s s:b s:b s:i s:I s:b s:o}", "role", e->gateway ? "lcg" : "hv", "name", e->name, "way", e->way,
			 "peer", path_peer(e->path), "open", path_is_open(e->path), "active", s->election.active == &e->candidate,
			 "lanes", (int)e->lanes, "priority", (json_int_t)e->candidate.beat.priority, "lan",
			 (e->candidate.beat.flags & WIRE_BEAT_LAN) != 0, "counters", path_counters_json(&c));
}

static json_t *counters_json(const struct l2_server_counters *c)
{
	return json_pack("{s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:o}", "drop_no_gateway", (json_int_t)c->drop_no_gateway,
			 "drop_passive", (json_int_t)c->drop_passive, "drop_nic_full", (json_int_t)c->drop_nic_full, "drop_spoofed",
			 (json_int_t)c->drop_spoofed, "drop_peer", (json_int_t)c->drop_peer, "drop_filtered",
			 (json_int_t)c->drop_filtered, "drop_bad_frame", (json_int_t)c->drop_bad_frame, "elections",
			 (json_int_t)c->elections, "takeovers", (json_int_t)c->takeovers, "refused", (json_int_t)c->refused,
			 "calls", (json_int_t)c->calls, "peers_ignored", (json_int_t)c->peers_ignored, "parked",
			 (json_int_t)c->parked, "paths", path_counters_json(&c->paths));
}

json_t *l2_server_status(const struct l2_server *s)
{
	struct l2_server_counters c;
	json_t *paths = json_array();

	l2_server_counters(s, &c);
	for (const struct entry *e = s->entries; e; e = e->next)
		json_array_append_new(paths, entry_status(s, e));
	return json_pack("{s:s s:s s:s s:b s:o s:o s:o s:o}", "server", s->name, "nic", s->nic, "segment", s->segment, "carrier",
			 s->election.active != NULL, "paths", paths, "relays", door_status(s->door), "peers", peers_status(&s->peers),
			 "counters", counters_json(&c));
}
