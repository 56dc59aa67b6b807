/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway's end for one NIC of one server: keeps a path to it through each relay (and direct, where the server listens),
 * beats,
 * and serves while a lease runs (lib/l2/server.h tells about the election). Connections that end are made again with growing
 * pauses.
 * All calls on the loop's thread, or under its guard.
 */
#pragma once
#include "lib/l2/frame.h"
#include "lib/l2/path.h"
#include "lib/loop.h"

struct l2_gateway;

struct l2_gateway_config {
	const char *gateway;			/* our name */
	const char *server, *nic, *segment;
	const char *relay[4];			/* HOST:PORT; NULL behind the last */
	const char *direct;			/* HOST:PORT, or NULL */
	unsigned lanes;				/* 0: 2 */
	uint32_t priority;
	SSL_CTX *tls;				/* client, purpose hull-l2/1; NULL: plain, for tests */
	SSL_CTX *tls_relay;			/* client, purpose hull-relay/1 */
	size_t queue_max;
	/* Is it the server (its certificate)? NULL (tests): anybody is. */
	int (*authorise)(void *ctx, struct link *link, const json_t *hello, struct err *err);
	/*
	 * A ticket for one more connection, malloc'd; NULL: none at hand, asked again after the next pause. Must not block.
	 */
	char *(*ticket)(void *ctx);
	/* How many there are; unset: not known. With it nobody is dialled in vain: l2_gateway_tickets says when more have come. */
	unsigned (*tickets)(void *ctx);
};

/* Unset ones do nothing. */
struct l2_gateway_ops {
	void (*frame)(void *ctx, struct frame *f);	/* from the server, only while we are active */
	void (*active)(void *ctx, bool active);
	void (*moved)(void *ctx);	/* flows that went from server to server directly come by here now: a filter sees their middle */
};

struct l2_gateway_counters {
	uint64_t drop_passive, drop_closed;	/* either direction while no lease runs; no path */
	uint64_t takeovers, leases_lost, connects, connect_failures;
	struct path_counters paths;
};

int l2_gateway_create(struct loop *loop, const struct l2_gateway_config *config, const struct l2_gateway_ops *ops, void *ctx,
	struct l2_gateway **gateway, struct err *err) must_check;
void l2_gateway_free(struct l2_gateway *gateway);	/* releases its lease; NULL is fine; in frame and active, too */
void l2_gateway_send(struct l2_gateway *gateway, struct frame *f);	/* as path_send, dropped and counted while not active */
bool l2_gateway_is_active(const struct l2_gateway *gateway);
unsigned l2_gateway_mtu(const struct l2_gateway *gateway);	/* the NIC's, while it is active; 0: not known */
void l2_gateway_set_lan(struct l2_gateway *gateway, bool works);	/* the LAN's carrier, at once in a BEAT */
int l2_gateway_send_peers(struct l2_gateway *gateway, const json_t *peers) must_check;
void l2_gateway_set_tls(struct l2_gateway *gateway, SSL_CTX *tls, SSL_CTX *tls_relay);
void l2_gateway_counters(const struct l2_gateway *gateway, struct l2_gateway_counters *counters);
void l2_gateway_tickets(struct l2_gateway *gateway);
json_t *l2_gateway_status(const struct l2_gateway *gateway);
