/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay: hull-relay/1 over TLS (docs/wire.md). Servers park, gateways call with tickets, their sockets are spliced; what then
 * goes through is between the two ends. All calls are the loop's thread's; the process ignores SIGPIPE.
 */
#pragma once
#include <jansson.h>
#include "crypto/identity.h"
#include "lib/loop.h"

struct csc;

struct csc_config {
	const char *listen;		/* HOST:PORT; port 0: any */
	uint32_t handshake_s;		/* TLS, the request, and the end of TLS: each */
	uint32_t wait_s;		/* a call for a server that is not parked */
	uint32_t dead_s;		/* a peer that acknowledges nothing, parked and relayed ones too */
	uint32_t grace_ms;		/* what a peer has for its next step (certificate, request, end) when all places are taken */
	unsigned connections;		/* in TLS, at most */
	unsigned parked, per_server, relayed;	/* at most */
	unsigned tickets;		/* used ones that are remembered */
};

/* X(counter, what it counts) */
#define CSC_COUNTERS(X) \
	X(accepted, "connections") \
	X(held_back, "times that all places for TLS were taken") \
	X(evicted, "connections that took their time and made room for newer ones") \
	X(accept_failed, "connections the kernel could not give us") \
	X(handshake_failed, "TLS refused, or not TLS") \
	X(handshake_late, "handshakes that took too long") \
	X(peer_refused, "certificates that are nobody's, or of another role") \
	X(late, "peers that took too long to ask, or to end TLS") \
	X(broken, "connections cut off") \
	X(bad_message, "messages against the rules") \
	X(unknown_verb, "requests for verbs that do not exist") \
	X(parked, "sockets parked") \
	X(park_denied, "servers that wanted to park as somebody else") \
	X(park_full, "sockets not parked: full") \
	X(parked_gone, "parked sockets that ended or failed") \
	X(parked_spoke, "parked sockets that said something uncalled") \
	X(parked_evicted, "parked sockets that made room for younger ones of their server") \
	X(calls, "calls") \
	X(ticket_bad, "tickets that are none, or not the authority's") \
	X(ticket_expired, "tickets that were over, or not valid yet") \
	X(ticket_foreign, "tickets for another caller or relay") \
	X(ticket_used, "tickets that were used before") \
	X(ticket_full, "calls refused: too many tickets to remember") \
	X(nobody, "calls for servers that were not parked") \
	X(call_full, "calls refused: full") \
	X(given_back, "parked sockets whose caller did not come") \
	X(relayed, "pairs of connections relayed") \
	X(relayed_ended, "of them ended by both sides") \
	X(relayed_cut, "of them cut off") \
	X(revoked, "parked and relayed sockets closed because their certificate was revoked") \
	X(to_server_bytes, "bytes that went to servers, of ended ones") \
	X(to_caller_bytes, "bytes that went to callers, of ended ones") \
	X(internal, "requests that failed for reasons of our own")

struct csc_counters {
#define X(name, what) uint64_t name;
	CSC_COUNTERS(X)
#undef X
};

/* id is copied by reference; its certificate's role is csc. */
int csc_create(struct loop *loop, const struct csc_config *config, const struct identity *id, struct csc **csc,
	struct err *err) must_check;
void csc_free(struct csc *csc);		/* closes all; NULL is fine */
/* For connections to come; parked and relayed ones whose certificate is on the list now are closed. */
int csc_set_identity(struct csc *csc, const struct identity *id, struct err *err) must_check;
const char *csc_address(const struct csc *csc);
const struct csc_counters *csc_counters(const struct csc *csc);
void csc_log_counters(const struct csc *csc);	/* those that are not zero, one line each */
/* For the control socket. The caller's reference; NULL: out of memory. */
json_t *csc_status(const struct csc *csc);
/* Parked or relayed ones from the from-th on, some of them. */
json_t *csc_list(const struct csc *csc, bool relayed, unsigned from);
