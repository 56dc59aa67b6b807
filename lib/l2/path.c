/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/path.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/l2/lane.h"
#include "lib/link/session.h"
#include "lib/log.h"
#include "lib/scope.h"

/*
 * BEATs in a row are what a path that stood still for a while brings at once; more of them, or more grants than beats, are a
 * flood.
 */
enum { STAMPS = 64, BEATS_AT_ONCE = 200, BEAT_EARN_MS = 25, QUEUE_MAX = 4 << 20 };
#define MS 1000000ull

struct slot { struct path *path; struct lane *lane; unsigned i; bool greeted; };

struct path {
	struct loop *loop;
	struct path_config config;
	struct path_ops ops;
	void *ctx;
	path_check_fn *check;
	struct slot slots[PATH_LANES];
	json_t *hello;			/* the peer's first */
	uint64_t heard_ns, rtt_ns, rtt_min_ns, rtt_var_ns;	/* smoothed, and its mean deviation (RFC 6298) */
	uint64_t stamps[STAMPS];	/* of our last beats, a ring; 0: unused or answered */
	unsigned stamp;
	uint64_t last_stamp;
	uint64_t beats_from_ns;		/* a bucket: filled up to now - this, in BEAT_EARN_MS */
	uint64_t drop_closed;
	bool open, closed, freed;
	unsigned busy;
};

static void nothing(void *ctx) {}
static void no_frame(void *ctx, struct frame *f) {}
static void no_beat(void *ctx, const struct wire_beat *beat) {}
static void no_grant(void *ctx, const struct wire_grant *grant) {}
static void no_release(void *ctx, uint64_t stamp_ns) {}
static void no_peers(void *ctx, const json_t *peers) {}
static void no_closed(void *ctx, const struct err *why) {}

static void enter(struct path *path)
{
	path->busy++;
}

static bool leave(struct path *path)
{
	bool freed = path->freed;

	if (!--path->busy && freed)
		free(path);
	return !freed;
}

void path_free(struct path *path)
{
	if (!path)
		return;
	for (unsigned i = 0; i < PATH_LANES; i++) {
		lane_free(path->slots[i].lane);
		path->slots[i].lane = NULL;
	}
	json_decref(path->hello);
	path->hello = NULL;
	path->open = false;
	path->closed = path->freed = true;
	if (!path->busy)
		free(path);
}

/* ---- what comes */

static void on_closed(void *ctx, const struct err *why)
{
	struct slot *slot = ctx;
	struct path *path = slot->path;
	struct err copy = *why;

	if (path->closed)
		return;
	if (path->config.lanes > 1)
		err_prefix(&copy, "lane %u", slot->i);
	path->closed = true;
	path->open = false;
	path->ops.closed(path->ctx, &copy);	/* frees the path, and may free it here: nothing behind it */
}

static void fail(struct slot *slot, const struct err *why)
{
	lane_fail(slot->lane, why);
}

bool path_fail(struct path *path, const struct err *why)
{
	for (unsigned i = 0; i < PATH_LANES; i++)
		if (path->slots[i].lane) {
			fail(&path->slots[i], why);
			return true;
		}
	return false;
}

static void greet(struct slot *slot)
{
	struct path *path = slot->path;
	unsigned greeted = 0;

	slot->greeted = true;
	for (unsigned i = 0; i < path->config.lanes; i++)
		greeted += path->slots[i].greeted;
	if (greeted < path->config.lanes || path->open)
		return;
	path->open = true;
	path->heard_ns = loop_now_ns();
	path->ops.open(path->ctx);
}

static void on_hello(void *ctx, const json_t *hello)
{
	struct slot *slot = ctx;
	struct path *path = slot->path;
	struct err err = { 0 };
	int rc = path->check ? path->check(path->ctx, lane_link(slot->lane), hello, &err) : 0;

	if (!rc && path->hello && !json_equal(path->hello, hello))
		rc = err_set(&err, -EPROTO, "its HELLO is not that of the other lanes");
	if (rc) {
		fail(slot, &err);
		return;
	}
	if (!path->hello)
		path->hello = json_incref((json_t *)hello);
	enter(path);
	greet(slot);
	(void)leave(path);
}

static void on_frame(void *ctx, struct frame *f)
{
	struct slot *slot = ctx;

	if (slot->path->open)
		slot->path->ops.frame(slot->path->ctx, f);
	else
		slot->path->drop_closed++;
}

static int take_beat(struct path *path, const struct wire_beat *beat, struct err *err)
{
	uint64_t now = loop_now_ns(), room = BEATS_AT_ONCE * BEAT_EARN_MS * MS;

	if (path->beats_from_ns + room < now)
		path->beats_from_ns = now - room;
	path->beats_from_ns += BEAT_EARN_MS * MS;
	if (path->beats_from_ns > now)
		return err_set(err, -EPROTO, "a flood of BEATs");
	path->heard_ns = now;
	path->rtt_ns = beat->rtt_us * 1000ull;
	if (path->rtt_ns && (!path->rtt_min_ns || path->rtt_ns < path->rtt_min_ns))
		path->rtt_min_ns = path->rtt_ns;
	path->ops.beat(path->ctx, beat);
	return 0;
}

static void take_rtt(struct path *path, uint64_t rtt)
{
	uint64_t off = rtt > path->rtt_ns ? rtt - path->rtt_ns : path->rtt_ns - rtt;

	path->rtt_var_ns = path->rtt_ns ? (path->rtt_var_ns * 3 + off) / 4 : rtt / 2;
	path->rtt_ns = path->rtt_ns ? (path->rtt_ns * 7 + rtt) / 8 : rtt;
	if (!path->rtt_min_ns || rtt < path->rtt_min_ns)
		path->rtt_min_ns = rtt;
}

/* The first answer to a beat measures the round trip; later ones only tell of a change. */
static int take_grant(struct path *path, const struct wire_grant *grant, struct err *err)
{
	uint64_t now = loop_now_ns();

	if (!grant->stamp_ns || grant->stamp_ns > path->last_stamp)
		return err_set(err, -EPROTO, "GRANT for a BEAT that was never sent");
	for (unsigned i = 0; i < STAMPS; i++) {
		if (path->stamps[i] != grant->stamp_ns)
			continue;
		path->stamps[i] = 0;
		take_rtt(path, now - grant->stamp_ns);
	}
	path->heard_ns = now;
	path->ops.grant(path->ctx, grant);
	return 0;
}

static int take_peers(struct path *path, const struct wire_message *m, struct err *err)
{
	json_error_t error;
	json_t *peers = json_loadb((const char *)m->body, m->len, JSON_REJECT_DUPLICATES, &error);

	if (!json_is_object(peers)) {
		json_decref(peers);
		return err_set(err, -EPROTO, "PEERS is no JSON object");
	}
	path->ops.peers(path->ctx, peers);
	json_decref(peers);
	return 0;
}

static int take(struct slot *slot, const struct wire_message *m, struct err *err)
{
	struct path *path = slot->path;

	if (slot->i)
		return err_set(err, -EPROTO, "%s on another lane than the first", wire_type_name(m->type));
	if (path->config.caller != (m->type == WIRE_GRANT))
		return err_set(err, -EPROTO, "%s from this side", wire_type_name(m->type));
	if (!path->open)
		return err_set(err, -EPROTO, "%s before all lanes are there", wire_type_name(m->type));
	if (m->type == WIRE_BEAT)
		return take_beat(path, &m->beat, err);
	if (m->type == WIRE_GRANT)
		return take_grant(path, &m->grant, err);
	if (m->type == WIRE_PEERS)
		return take_peers(path, m, err);
	path->ops.release(path->ctx, m->release_ns);
	return 0;
}

static void on_message(void *ctx, const struct wire_message *m)
{
	struct slot *slot = ctx;
	struct err err = { 0 };

	enter(slot->path);
	if (take(slot, m, &err) && !slot->path->closed)
		fail(slot, &err);
	(void)leave(slot->path);
}

static const struct lane_ops lane_ops = { on_hello, on_message, on_frame, on_closed };

/* ---- what goes */

void path_send(struct path *path, struct frame *f)
{
	if (!path->open) {
		path->drop_closed++;
		return;
	}
	/* not the bits that choose a flow's queue in the lane */
	lane_send_frame(path->slots[path->config.lanes == 1 ? 0 : (f->hash >> 16) % path->config.lanes].lane, f);
}

static void control(struct path *path, const uint8_t *message, size_t len)
{
	if (path->open)
		lane_send_control(path->slots[0].lane, message, len);
}

void path_send_beat(struct path *path, uint64_t now, uint64_t flags, uint32_t priority)
{
	uint64_t rtt_us = (path->rtt_ns + 4 * path->rtt_var_ns) / 1000;
	struct wire_beat beat = { now > path->last_stamp ? now : path->last_stamp + 1, flags, priority,
		rtt_us > UINT32_MAX ? UINT32_MAX : (uint32_t)rtt_us };
	uint8_t buf[WIRE_SMALL];

	if (!path->open)
		return;
	path->last_stamp = beat.stamp_ns;
	path->stamps[path->stamp++ % STAMPS] = beat.stamp_ns;
	control(path, buf, wire_put_beat(buf, &beat));
}

void path_send_grant(struct path *path, const struct wire_grant *grant)
{
	uint8_t buf[WIRE_SMALL];

	control(path, buf, wire_put_grant(buf, grant));
}

void path_send_release(struct path *path, uint64_t stamp_ns)
{
	uint8_t buf[WIRE_SMALL];

	control(path, buf, wire_put_release(buf, stamp_ns));
}

int path_send_peers(struct path *path, const json_t *peers)
{
	return path->open ? lane_send_json(path->slots[0].lane, WIRE_PEERS, peers, NULL) : -ENOTCONN;
}

/* ---- life */

int path_create(struct loop *loop, const struct path_config *config, const struct path_ops *ops, void *ctx, struct path **out,
	struct err *err)
{
	struct path *path;

	*out = NULL;
	if (!config->lanes || config->lanes > PATH_LANES)
		return err_set(err, -EINVAL, "%u lanes: 1 to %u are right", config->lanes, PATH_LANES);
	path = calloc(1, sizeof *path);
	if (!path)
		return err_set(err, -ENOMEM, "path: out of memory");
	*path = (struct path){ .loop = loop, .config = *config, .ctx = ctx, .heard_ns = loop_now_ns() };
	path->ops = (struct path_ops){
		.open = ops->open ? ops->open : nothing,
		.frame = ops->frame ? ops->frame : no_frame,
		.beat = ops->beat ? ops->beat : no_beat,
		.grant = ops->grant ? ops->grant : no_grant,
		.release = ops->release ? ops->release : no_release,
		.peers = ops->peers ? ops->peers : no_peers,
		.closed = ops->closed ? ops->closed : no_closed,
	};
	for (unsigned i = 0; i < PATH_LANES; i++)
		path->slots[i] = (struct slot){ .path = path, .i = i };
	if (!path->config.queue_max)
		path->config.queue_max = QUEUE_MAX;
	*out = path;
	return 0;
}

static int check_slot(const struct path *path, unsigned i, struct err *err)
{
	if (i >= path->config.lanes)
		return err_set(err, -EINVAL, "lane %u of %u", i, path->config.lanes);
	if (path->slots[i].lane)
		return err_set(err, -EEXIST, "lane %u is there already", i);
	return 0;
}

int path_add_lane(struct path *path, unsigned i, int fd, SSL_CTX *tls, const json_t *hello, path_check_fn *check,
	struct err *err)
{
	const char *server = json_string_value(json_object_get(hello, "server")), *nic = json_string_value(json_object_get(hello, "nic"));
	struct slot *slot = &path->slots[i < PATH_LANES ? i : 0];
	char resume[SESSION_NAME];
	int rc = check_slot(path, i, err);

	if (rc) {
		scope_close(&fd);
		return rc;
	}
	path->check = check;
	snprintf(resume, sizeof resume, "%s/%s", server ? server : "", nic ? nic : "");
	rc = lane_create(path->loop, fd, tls, false, resume, &lane_ops, slot, &slot->lane, err);
	if (rc)
		return rc;
	lane_set_queue(slot->lane, path->config.queue_max / path->config.lanes);
	rc = lane_send_json(slot->lane, WIRE_HELLO, hello, err);
	if (rc) {
		lane_free(slot->lane);
		slot->lane = NULL;
	}
	return rc;
}

int path_adopt_lane(struct path *path, unsigned i, struct lane *lane, const json_t *hello, struct err *err)
{
	int rc = check_slot(path, i, err);

	if (!rc)
		rc = lane_send_json(lane, WIRE_HELLO, hello, err);
	if (rc) {
		lane_free(lane);
		return rc;
	}
	path->slots[i].lane = lane;
	lane_set_owner(lane, &lane_ops, &path->slots[i]);
	lane_set_queue(lane, path->config.queue_max / path->config.lanes);
	enter(path);
	greet(&path->slots[i]);
	(void)leave(path);
	return 0;
}

/* ---- questions */

bool path_is_open(const struct path *path)
{
	return path->open;
}

uint64_t path_rtt_ns(const struct path *path)
{
	return path->rtt_ns;
}

uint64_t path_heard_ns(const struct path *path)
{
	return path->heard_ns;
}

const char *path_peer(const struct path *path)
{
	return path->slots[0].lane ? link_peer(lane_link(path->slots[0].lane)) : "";
}

void path_counters(const struct path *path, struct path_counters *c)
{
	*c = (struct path_counters){ .rtt_ns = path->rtt_ns, .rtt_min_ns = path->rtt_min_ns, .drop_closed = path->drop_closed };
	for (unsigned i = 0; i < PATH_LANES; i++)
		if (path->slots[i].lane)
			lane_add_counters(path->slots[i].lane, c);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

void path_counters_add(struct path_counters *s, const struct path_counters *c)
{
	s->in.frames += c->in.frames;
	s->in.bytes += c->in.bytes;
	s->out.frames += c->out.frames;
	s->out.bytes += c->out.bytes;
	s->drop_queue_full += c->drop_queue_full;
	s->drop_queue_late += c->drop_queue_late;
	s->drop_bad_frame += c->drop_bad_frame;
	s->drop_closed += c->drop_closed;
	s->drop_control += c->drop_control;
	s->rtt_ns = least(s->rtt_ns, c->rtt_ns);
	s->rtt_min_ns = least(s->rtt_min_ns, c->rtt_min_ns);
	s->queued_bytes += c->queued_bytes;
	s->window_bytes += c->window_bytes;
	s->windows_shut += c->windows_shut;
	s->link.in_bytes += c->link.in_bytes;
	s->link.out_bytes += c->link.out_bytes;
	s->link.in_reads += c->link.in_reads;
	s->link.out_records += c->link.out_records;
	s->link.pauses += c->link.pauses;
	s->link.full += c->link.full;
	s->link.key_updates += c->link.key_updates;
}
