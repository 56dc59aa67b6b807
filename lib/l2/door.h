/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By which connections come in to a server's end: it listens, and at each relay sockets of it are parked, a few more than are
 * in use. What came in is a lane that has to say HELLO. Inside lib/l2 only. On the loop's thread, or under its guard.
 */
#pragma once
#include "lib/l2/lane.h"
#include "lib/l2/server.h"

struct door;

enum { DOOR_SPARE = 2, DOOR_WAITING = 64 };	/* parked at each relay at least; lanes at most that have not said HELLO */

struct door_ops {
	/* A lane's HELLO; the lane is the callee's from now on, who gives it an owner, or calls door_refuse. */
	void (*arrived)(void *ctx, struct lane *lane, const json_t *hello);
};

struct door_counters { uint64_t calls, refused_full, hello_failures; unsigned parked; };

/* Of the configuration: server, nic, relay, listen and the three contexts. */
int door_create(struct loop *loop, const struct l2_server_config *config, const struct door_ops *ops, void *ctx, struct door **door,
	struct err *err) must_check;
void door_free(struct door *d);	/* NULL is fine */
/* Says why in a HELLO, then ends it; the lane is the door's. */
void door_refuse(struct door *d, struct lane *lane, const struct err *why);
/* So many connections at once were needed: as many stay parked. */
void door_want(struct door *d, unsigned lanes);
void door_set_tls(struct door *d, SSL_CTX *tls_server, SSL_CTX *tls_relay);
uint16_t door_port(const struct door *d);
void door_counters(const struct door *d, struct door_counters *counters);
json_t *door_status(const struct door *d);	/* relays: address, parked, trouble */
