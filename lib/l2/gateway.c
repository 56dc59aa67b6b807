/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/gateway.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "lib/l2/caller.h"
#include "lib/l2/election.h"
#include "lib/log.h"
#include "lib/scope.h"

enum { WAYS = L2_RELAYS + 1, LANES = 2 };
_Static_assert(array_len(((struct l2_gateway_config *)0)->relay) == L2_RELAYS, "as many relays as servers have");

struct l2_gateway {
	struct loop *loop;
	struct l2_gateway_ops ops;
	void *ctx;
	int (*authorise)(void *ctx, struct link *link, const json_t *hello, struct err *err);
	char *(*ticket)(void *ctx);
	unsigned (*tickets)(void *ctx);
	char *name, *server, *nic;
	uint32_t priority;
	uint8_t moves;			/* of the last grant by the path that serves */
	bool lan, active;
	struct caller *callers[WAYS];
	unsigned ways;
	struct lease lease;		/* its path is the struct caller */
	struct loop_timer *timer;	/* the lease's end */
	struct l2_gateway_counters counters;
};

static void no_frame(void *ctx, struct frame *f) {}
static void no_active(void *ctx, bool active) {}
static void no_moved(void *ctx) {}

/* ---- the lease */

static bool serving(const struct l2_gateway *g)
{
	return g->active && lease_runs(&g->lease, loop_now_ns());
}

/* What the lease says now, said to the owner when it changed. */
static void update(struct l2_gateway *g)
{
	uint64_t now = loop_now_ns();
	bool active = lease_runs(&g->lease, now);

	if (active)
		loop_timer_arm(g->timer, g->lease.until_ns);
	else
		loop_timer_disarm(g->timer);
	if (active == g->active)
		return;
	g->active = active;
	g->counters.takeovers += active;
	g->counters.leases_lost += !active;
	if (active)
		log_info("l2 %s %s: gateway %s serves, by %s", g->server, g->nic, g->name, caller_way(g->lease.path));
	else
		log_info("l2 %s %s: gateway %s does not serve any more", g->server, g->nic, g->name);
	g->ops.active(g->ctx, active);
}

static void release(struct l2_gateway *g)
{
	for (unsigned i = 0; i < g->ways; i++)
		if (caller_path(g->callers[i]))
			path_send_release(caller_path(g->callers[i]), g->lease.released_ns);
}

static void on_grant(void *ctx, struct caller *c, const struct wire_grant *grant)
{
	struct l2_gateway *g = ctx;

	bool moved = grant->state == WIRE_ACTIVE && grant->moves != g->moves;

	if (moved)
		g->moves = grant->moves;
	if (lease_grant(&g->lease, c, grant, loop_now_ns()))
		release(g);
	if (moved && serving(g))
		g->ops.moved(g->ctx);
	update(g);
}

static void on_closed(void *ctx, struct caller *c)
{
	struct l2_gateway *g = ctx;

	lease_forget(&g->lease, c);
	update(g);
}

static void on_timer(void *ctx)
{
	update(ctx);
}

/* ---- frames */

static void on_frame(void *ctx, struct caller *c, struct frame *f)
{
	struct l2_gateway *g = ctx;

	if (serving(g))
		g->ops.frame(g->ctx, f);
	else
		g->counters.drop_passive++;
}

void l2_gateway_send(struct l2_gateway *g, struct frame *f)
{
	struct path *path;

	if (!serving(g)) {
		g->counters.drop_passive++;
		return;
	}
	path = caller_path(g->lease.path);
	if (path)
		path_send(path, f);
	else
		g->counters.drop_closed++;
}

/* ---- what the owner says */

static void say(struct l2_gateway *g, bool now)
{
	for (unsigned i = 0; i < g->ways; i++)
		caller_set_beat(g->callers[i], g->lan ? WIRE_BEAT_LAN : 0, g->priority, now);
}

void l2_gateway_set_lan(struct l2_gateway *g, bool works)
{
	if (g->lan == works)
		return;
	g->lan = works;
	say(g, true);
}

int l2_gateway_send_peers(struct l2_gateway *g, const json_t *peers)
{
	struct path *path = serving(g) ? caller_path(g->lease.path) : NULL;

	return path ? path_send_peers(path, peers) : -ENOTCONN;
}

void l2_gateway_set_tls(struct l2_gateway *g, SSL_CTX *tls, SSL_CTX *tls_relay)
{
	for (unsigned i = 0; i < g->ways; i++)
		caller_set_tls(g->callers[i], tls, tls_relay);
}

unsigned l2_gateway_mtu(const struct l2_gateway *g)
{
	return serving(g) ? caller_mtu(g->lease.path) : 0;
}

void l2_gateway_tickets(struct l2_gateway *g)
{
	for (unsigned i = 0; i < g->ways; i++)
		caller_tickets(g->callers[i]);
}

bool l2_gateway_is_active(const struct l2_gateway *g)
{
	return serving(g);
}

/* ---- life */

void l2_gateway_free(struct l2_gateway *g)
{
	if (!g)
		return;
	if (lease_release(&g->lease, loop_now_ns()))
		release(g);
	for (unsigned i = 0; i < WAYS; i++)
		caller_free(g->callers[i]);
	loop_timer_free(g->timer);
	free(g->name);
	free(g->server);
	free(g->nic);
	free(g);
}

static int on_check(void *ctx, struct link *link, const json_t *hello, struct err *err)
{
	struct l2_gateway *g = ctx;

	return g->authorise ? g->authorise(g->ctx, link, hello, err) : 0;
}

static char *on_ticket(void *ctx)
{
	struct l2_gateway *g = ctx;

	return g->ticket(g->ctx);
}

static unsigned on_tickets(void *ctx)
{
	struct l2_gateway *g = ctx;

	return g->tickets(g->ctx);
}

static int add_way(struct l2_gateway *g, const struct l2_gateway_config *config, const char *instance, const char *address,
	bool relay, struct err *err)
{
	struct caller_ops ops = { on_check, config->ticket ? on_ticket : NULL, NULL, on_closed, on_frame, on_grant,
		config->tickets ? on_tickets : NULL };
	struct caller_config c = {
		.hello = { .gateway = true, .name = config->gateway, .instance = instance, .server = config->server,
			.nic = config->nic, .segment = config->segment, .lanes = config->lanes ? config->lanes : LANES },
		.address = address, .relay = relay, .queue_max = config->queue_max, .tls = config->tls,
		.tls_relay = config->tls_relay,
	};
	int rc = caller_create(g->loop, &c, &ops, g, &g->callers[g->ways], err);

	g->ways += !rc;
	return rc;
}

static int add_ways(struct l2_gateway *g, const struct l2_gateway_config *config, struct err *err)
{
	char instance[17];
	uint64_t chance;
	int rc = 0;

	if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
		return err_set(err, -EIO, "l2 gateway: no random numbers");
	snprintf(instance, sizeof instance, "%016llx", (unsigned long long)chance);
	if (config->direct)
		rc = add_way(g, config, instance, config->direct, false, err);
	for (unsigned i = 0; !rc && i < L2_RELAYS && config->relay[i]; i++)
		rc = add_way(g, config, instance, config->relay[i], true, err);
	return rc;
}

static int check(const struct l2_gateway_config *config, struct err *err)
{
	if (config->lanes > PATH_LANES)
		return err_set(err, -EINVAL, "%u lanes: 1 to %u are right", config->lanes, PATH_LANES);
	if (!config->direct && !config->relay[0])
		return err_set(err, -EINVAL, "server %s, NIC %s: neither a relay nor an address to call directly", config->server,
			       config->nic);
	return 0;
}

int l2_gateway_create(struct loop *loop, const struct l2_gateway_config *config, const struct l2_gateway_ops *ops, void *ctx,
	struct l2_gateway **out, struct err *err)
{
	struct l2_gateway *g;
	int rc = check(config, err);

	*out = NULL;
	if (rc)
		return rc;
	g = calloc(1, sizeof *g);
	if (!g)
		return err_set(err, -ENOMEM, "l2 gateway: out of memory");
	*g = (struct l2_gateway){ .loop = loop, .ctx = ctx, .authorise = config->authorise, .ticket = config->ticket,
		.tickets = config->tickets,
		.priority = config->priority, .lan = true, .name = strdup(config->gateway), .server = strdup(config->server),
		.nic = strdup(config->nic) };
	g->ops.frame = ops->frame ? ops->frame : no_frame;
	g->ops.active = ops->active ? ops->active : no_active;
	g->ops.moved = ops->moved ? ops->moved : no_moved;
	if (!g->name || !g->server || !g->nic || loop_timer_create(loop, on_timer, g, &g->timer))
		rc = err_set(err, -ENOMEM, "l2 gateway: out of memory");
	if (!rc)
		rc = add_ways(g, config, err);
	if (rc) {
		l2_gateway_free(g);
		return rc;
	}
	say(g, false);
	*out = g;
	return 0;
}

/* ---- questions */

void l2_gateway_counters(const struct l2_gateway *g, struct l2_gateway_counters *out)
{
	*out = g->counters;
	for (unsigned i = 0; i < g->ways; i++) {
		struct caller_counters c;

		caller_counters(g->callers[i], &c);
		out->connects += c.connects;
		out->connect_failures += c.connect_failures;
		path_counters_add(&out->paths, &c.path);
	}
}

json_t *l2_gateway_status(const struct l2_gateway *g)
{
	struct l2_gateway_counters c;
	json_t *ways = json_array();

	for (unsigned i = 0; i < g->ways; i++) {
		json_t *way = caller_status(g->callers[i]);

		if (way)
			json_object_set_new(way, "active", json_boolean(serving(g) && g->lease.path == g->callers[i]));
		json_array_append_new(ways, way);
	}
	l2_gateway_counters(g, &c);
	return json_pack("{s:s s:s s:s s:b s:b s:I s:I s:I s:I s:I s:I s:I s:o}", "gateway", g->name, "server", g->server, "nic", g->nic,
			 "active", serving(g), "lan", g->lan, "priority", (json_int_t)g->priority, "takeovers",
			 (json_int_t)c.takeovers, "leases_lost", (json_int_t)c.leases_lost, "drop_passive",
			 (json_int_t)c.drop_passive, "drop_closed", (json_int_t)c.drop_closed, "connects",
			 (json_int_t)c.connects, "connect_failures", (json_int_t)c.connect_failures, "paths", ways);
}
