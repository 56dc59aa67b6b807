/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calling end of one path, kept alive: dials (direct, or a relay with a ticket for each connection), says HELLO, beats, and
 * begins again after a pause when anything of it ends. Inside lib/l2 only. On the loop's thread, or under its guard.
 */
#pragma once
#include "lib/l2/hello.h"
#include "lib/l2/path.h"

struct caller;

enum { CALLER_CONNECT_S = 15, CALLER_SILENT_S = 5 };

struct caller_config {
	struct hello hello;		/* its strings are copied; way, ticket, lane and attempt are set here */
	const char *address;		/* HOST:PORT of the server end, or of a relay */
	bool relay;
	size_t queue_max;
	SSL_CTX *tls, *tls_relay;	/* references are taken; tls NULL: plain */
};

struct caller_ops {
	int (*check)(void *ctx, struct link *link, const json_t *hello, struct err *err);
	/* malloc'd; NULL: none at hand, asked again after the next pause. An unset one: it goes without tickets. */
	char *(*ticket)(void *ctx);
	void (*open)(void *ctx, struct caller *c);
	void (*closed)(void *ctx, struct caller *c);		/* the path was open, and is not any more */
	void (*frame)(void *ctx, struct caller *c, struct frame *f);
	void (*grant)(void *ctx, struct caller *c, const struct wire_grant *grant);
	/* How many are at hand: nobody is dialled before there is one for each lane. Unset: that is seen when they are taken. */
	unsigned (*tickets)(void *ctx);
};

struct caller_counters { uint64_t connects, connect_failures; struct path_counters path; };

int caller_create(struct loop *loop, const struct caller_config *config, const struct caller_ops *ops, void *ctx,
	struct caller **caller, struct err *err) must_check;
void caller_free(struct caller *c);	/* NULL is fine */
/* What beats say from now on; now: one goes at once. */
void caller_set_beat(struct caller *c, uint64_t flags, uint32_t priority, bool now);
void caller_tickets(struct caller *c);	/* some have come: who waited for them begins */
void caller_set_tls(struct caller *c, SSL_CTX *tls, SSL_CTX *tls_relay);
struct path *caller_path(const struct caller *c);	/* NULL: not open */
unsigned caller_mtu(const struct caller *c);		/* the NIC's; 0: not known */
const char *caller_way(const struct caller *c);
/* Of this path and of those before it. */
void caller_counters(const struct caller *c, struct caller_counters *counters);
json_t *caller_status(const struct caller *c);		/* NULL: out of memory */
/* Sums and present values as an object. */
json_t *path_counters_json(const struct path_counters *c);
