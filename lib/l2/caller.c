/* SPDX-License-Identifier: Apache-2.0 */
/* waiting → connecting (each lane by itself) → open; from anywhere back to waiting. */
#include "lib/l2/caller.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/link/dial.h"
#include "lib/link/relay.h"
#include "lib/log.h"
#include "lib/scope.h"

#define MS 1000000ull
#define NS 1000000000ull
enum { PAUSE_MIN_MS = 100, PAUSE_MAX_MS = 10000, NO_TICKET_MS = 500 };

struct way { struct caller *caller; unsigned lane; struct dial *dial; struct relay_client *relay; char *ticket; };

struct caller {
	struct loop *loop;
	struct caller_ops ops;
	void *ctx;
	struct hello hello;
	char *name, *instance, *server, *nic, *segment, *from_nic, *address;
	bool relay, connecting, dry;	/* dry: waits for tickets */
	size_t queue_max;
	SSL_CTX *tls, *tls_relay;
	struct way ways[PATH_LANES];
	struct path *path;
	struct loop_timer *timer;	/* the next try, or the end of this one; when open: the next beat */
	struct backoff pause;
	uint64_t deadline_ns, opened_ns;
	uint64_t flags;
	uint32_t priority;
	unsigned mtu;			/* of the NIC, as its end says */
	struct caller_counters counters;	/* path: of those that were */
	struct err last;		/* why the last try failed */
};

/* ---- an end, and the next beginning */

static void retry(struct caller *c, uint64_t wait_ns)
{
	loop_timer_arm(c->timer, loop_now_ns() + wait_ns + 1);
}

static void tear_down(struct caller *c)
{
	struct path_counters counters;

	for (unsigned i = 0; i < PATH_LANES; i++) {
		dial_cancel(c->ways[i].dial);
		relay_cancel(c->ways[i].relay);
		free(c->ways[i].ticket);
		c->ways[i] = (struct way){ .caller = c, .lane = i };
	}
	if (!c->path)
		return;
	path_counters(c->path, &counters);
	counters.queued_bytes = counters.window_bytes = counters.rtt_ns = 0;
	path_counters_add(&c->counters.path, &counters);
	path_free(c->path);
	c->path = NULL;
}

/* The owner may free the caller when it hears: nothing behind it. */
static void give_up(struct caller *c, const struct err *why)
{
	bool was_open = c->opened_ns;

	c->last = *why;
	c->connecting = false;
	c->opened_ns = 0;
	tear_down(c);
	retry(c, why->code == -EAGAIN ? NO_TICKET_MS * MS : backoff_next_ns(&c->pause));
	if (was_open) {
		log_warn("l2 %s %s by %s: the path ended: %s", c->server, c->nic, caller_way(c), c->last.text);
		c->ops.closed(c->ctx, c);
	} else if (c->last.code != -EAGAIN) {	/* tickets come by another way, which is no failure of this one */
		c->counters.connect_failures++;
		log_limited(LOG_WARN, "l2 %s %s by %s: no path: %s", c->server, c->nic, caller_way(c), c->last.text);
	}
}

/* ---- the path */

static void on_open(void *ctx)
{
	struct caller *c = ctx;

	c->connecting = false;
	c->opened_ns = loop_now_ns();
	c->last = (struct err){ 0 };
	c->counters.connects++;
	backoff_reset(&c->pause);
	log_info("l2 %s %s by %s: the path is open, %u lanes", c->server, c->nic, caller_way(c), c->hello.lanes);
	loop_timer_arm(c->timer, 1);
	if (c->ops.open)
		c->ops.open(c->ctx, c);
}

static void on_frame(void *ctx, struct frame *f)
{
	struct caller *c = ctx;

	c->ops.frame(c->ctx, c, f);
}

static void on_grant(void *ctx, const struct wire_grant *grant)
{
	struct caller *c = ctx;

	c->ops.grant(c->ctx, c, grant);
}

static void on_closed(void *ctx, const struct err *why)
{
	give_up(ctx, why);
}

static int on_check(void *ctx, struct link *link, const json_t *hello, struct err *err)
{
	struct caller *c = ctx;
	int rc = hello_check(hello, c->server, c->nic, c->segment, &c->mtu, err);

	return rc || !c->ops.check ? rc : c->ops.check(c->ctx, link, hello, err);
}

/* ---- connecting */

static void add_lane(struct way *w, int fd, const char *ticket)
{
	struct caller *c = w->caller;
	struct hello h = c->hello;
	struct err err;
	json_t *hello;
	int rc;

	h.lane = w->lane;
	h.ticket = ticket;
	hello = hello_make(&h);
	if (!hello) {
		scope_close(&fd);
		rc = err_set(&err, -ENOMEM, "out of memory");
	} else {
		rc = path_add_lane(c->path, w->lane, fd, c->tls, hello, on_check, &err);
	}
	json_decref(hello);
	if (rc)
		give_up(c, &err);
}

/* A ticket that went to the relay goes to the server end, too, which looks at it again. */
static void on_socket(void *ctx, int fd, const struct err *why)
{
	struct way *w = ctx;
	struct caller *c = w->caller;
	auto_free char *ticket = take_ptr(w->ticket);
	struct err none;

	w->dial = NULL;
	w->relay = NULL;
	if (fd < 0) {
		give_up(c, why);
		return;
	}
	/* directly: not before it is sure that somebody is there, since a ticket is for one connection */
	if (!ticket && c->ops.ticket && !(ticket = c->ops.ticket(c->ctx))) {
		scope_close(&fd);
		err_set(&none, -EAGAIN, "no ticket is at hand");
		give_up(c, &none);
		return;
	}
	add_lane(w, fd, ticket);
}

static int start_way(struct way *w, struct err *err)
{
	struct caller *c = w->caller;

	if (c->relay) {
		if (!c->ops.ticket || !(w->ticket = c->ops.ticket(c->ctx)))
			return err_set(err, -EAGAIN, "no ticket is at hand");
		return relay_call(c->loop, c->address, c->tls_relay, w->ticket, on_socket, w, &w->relay, err);
	}
	return dial_start(c->loop, c->address, 0, on_socket, w, &w->dial, err);
}

static int start(struct caller *c, struct err *err)
{
	static const struct path_ops ops = { .open = on_open, .frame = on_frame, .grant = on_grant, .closed = on_closed };
	struct path_config config = { .caller = true, .lanes = c->hello.lanes, .queue_max = c->queue_max };
	int rc = path_create(c->loop, &config, &ops, c, &c->path, err);

	c->hello.attempt++;
	for (unsigned i = 0; !rc && i < c->hello.lanes; i++)
		rc = start_way(&c->ways[i], err);
	return rc;
}

static void begin(struct caller *c)
{
	struct err err;

	c->dry = c->ops.tickets && c->ops.tickets(c->ctx) < c->hello.lanes;
	if (c->dry) {
		err_set(&c->last, -EAGAIN, "no tickets are at hand");
		retry(c, PAUSE_MAX_MS * MS);
		return;
	}
	if (start(c, &err)) {
		give_up(c, &err);
		return;
	}
	c->connecting = true;
	loop_timer_arm(c->timer, loop_now_ns() + CALLER_CONNECT_S * NS);
}

/* ---- beats */

static void beat(struct caller *c)
{
	uint64_t now = loop_now_ns();
	struct err why;

	if (now > path_heard_ns(c->path) + CALLER_SILENT_S * NS) {
		err_set(&why, -ETIMEDOUT, "no answer to beats for %d s", CALLER_SILENT_S);
		give_up(c, &why);
		return;
	}
	path_send_beat(c->path, now, c->flags, c->priority);
	loop_timer_arm(c->timer, now + WIRE_BEAT_MS * MS);
}

static void on_timer(void *ctx)
{
	struct caller *c = ctx;
	struct err why;

	if (c->opened_ns) {
		beat(c);
	} else if (c->connecting) {
		err_set(&why, -ETIMEDOUT, "not open in %d s", CALLER_CONNECT_S);
		give_up(c, &why);
	} else {
		begin(c);
	}
}

void caller_tickets(struct caller *c)
{
	if (c->dry)
		retry(c, 0);
	c->dry = false;
}

void caller_set_beat(struct caller *c, uint64_t flags, uint32_t priority, bool now)
{
	c->flags = flags;
	c->priority = priority;
	if (now && c->opened_ns)
		loop_timer_arm(c->timer, 1);
}

/* ---- life */

void caller_set_tls(struct caller *c, SSL_CTX *tls, SSL_CTX *tls_relay)
{
	if (tls)
		SSL_CTX_up_ref(tls);
	if (tls_relay)
		SSL_CTX_up_ref(tls_relay);
	SSL_CTX_free(c->tls);
	SSL_CTX_free(c->tls_relay);
	c->tls = tls;
	c->tls_relay = tls_relay;
}

void caller_free(struct caller *c)
{
	if (!c)
		return;
	tear_down(c);
	loop_timer_free(c->timer);
	SSL_CTX_free(c->tls);
	SSL_CTX_free(c->tls_relay);
	free(c->name);
	free(c->instance);
	free(c->server);
	free(c->nic);
	free(c->segment);
	free(c->from_nic);
	free(c->address);
	free(c);
}

static bool copy(const char *from, char **to, const char **shown)
{
	*to = from ? strdup(from) : NULL;
	*shown = *to;
	return !from || *to;
}

static int set_up(struct caller *c, const struct caller_config *config, struct err *err)
{
	const struct hello *h = &config->hello;
	const char *address;

	c->hello = *h;
	c->hello.lanes = h->lanes ? h->lanes : 1;
	if (!copy(h->name, &c->name, &c->hello.name) || !copy(h->instance, &c->instance, &c->hello.instance) ||
	    !copy(h->server, &c->server, &c->hello.server) || !copy(h->nic, &c->nic, &c->hello.nic) ||
	    !copy(h->segment, &c->segment, &c->hello.segment) || !copy(h->from_nic, &c->from_nic, &c->hello.from_nic) ||
	    !copy(config->address, &c->address, &address) || loop_timer_create(c->loop, on_timer, c, &c->timer))
		return err_set(err, -ENOMEM, "l2 caller: out of memory");
	c->hello.way = config->relay ? c->address : "direct";
	return 0;
}

int caller_create(struct loop *loop, const struct caller_config *config, const struct caller_ops *ops, void *ctx,
	struct caller **out, struct err *err)
{
	struct caller *c = calloc(1, sizeof *c);
	int rc;

	*out = NULL;
	if (!c)
		return err_set(err, -ENOMEM, "l2 caller: out of memory");
	*c = (struct caller){ .loop = loop, .ops = *ops, .ctx = ctx, .relay = config->relay, .queue_max = config->queue_max,
		.pause = { .min_ms = PAUSE_MIN_MS, .max_ms = PAUSE_MAX_MS } };
	for (unsigned i = 0; i < PATH_LANES; i++)
		c->ways[i] = (struct way){ .caller = c, .lane = i };
	caller_set_tls(c, config->tls, config->tls_relay);
	rc = set_up(c, config, err);
	if (rc) {
		caller_free(c);
		return rc;
	}
	retry(c, backoff_next_ns(&c->pause));
	*out = c;
	return 0;
}

/* ---- questions */

struct path *caller_path(const struct caller *c)
{
	return c->opened_ns ? c->path : NULL;
}

unsigned caller_mtu(const struct caller *c)
{
	return c->mtu;
}

const char *caller_way(const struct caller *c)
{
	return c->hello.way;
}

void caller_counters(const struct caller *c, struct caller_counters *out)
{
	struct path_counters now;

	*out = c->counters;
	if (!c->path)
		return;
	path_counters(c->path, &now);
	path_counters_add(&out->path, &now);
}

json_t *path_counters_json(const struct path_counters *c)
{
	return json_pack("{s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I}", "in_frames",
			 (json_int_t)c->in.frames, "in_bytes", (json_int_t)c->in.bytes, "out_frames", (json_int_t)c->out.frames,
			 "out_bytes", (json_int_t)c->out.bytes, "drop_queue_full", (json_int_t)c->drop_queue_full,
			 "drop_queue_late", (json_int_t)c->drop_queue_late, "drop_bad_frame", (json_int_t)c->drop_bad_frame,
			 "drop_closed", (json_int_t)c->drop_closed, "drop_control", (json_int_t)c->drop_control, "rtt_ns",
			 (json_int_t)c->rtt_ns, "rtt_min_ns", (json_int_t)c->rtt_min_ns, "queued_bytes",
			 (json_int_t)c->queued_bytes, "window_bytes", (json_int_t)c->window_bytes, "windows_shut",
			 (json_int_t)c->windows_shut, "link_in_bytes", (json_int_t)c->link.in_bytes, "link_out_bytes",
			 (json_int_t)c->link.out_bytes, "link_full", (json_int_t)c->link.full, "key_updates",
			 (json_int_t)c->link.key_updates);
}

json_t *caller_status(const struct caller *c)
{
	struct caller_counters counters;

	caller_counters(c, &counters);
	return json_pack("{s:s s:s s:b s:s s:I s:I s:s s:o}", "way", caller_way(c), "address", c->address, "open", c->opened_ns != 0,
			 "peer", c->opened_ns ? path_peer(c->path) : "", "connects", (json_int_t)counters.connects,
			 "connect_failures", (json_int_t)counters.connect_failures, "trouble", c->last.text, "counters",
			 path_counters_json(&counters.path));
}
