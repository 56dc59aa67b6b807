/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The management application's service: hull-ctl/1 over TLS links for enrolment, renewal, volume keys, tickets and the
 * revocation list (docs/wire.md). All calls are the loop's thread's.
 */
#pragma once
#include "crypto/keystore.h"
#include "lib/loop.h"

struct service;

struct service_config {
	const char *store;		/* the key store's path, to see that others changed it */
	const char *listen;		/* HOST:PORT; port 0: any */
	const char *name;		/* in our certificate */
	const char *audit;		/* file; it is appended to */
	uint32_t cert_life_s;		/* of what we issue */
	uint32_t handshake_s, idle_s;
	uint32_t refuse_ms;		/* how long a failed enrolment waits for its answer */
	unsigned connections;		/* at most */
};

/* X(counter, what it counts) */
#define SERVICE_COUNTERS(X) \
	X(accepted, "connections") \
	X(refused_full, "connections refused: all places taken by peers with certificates") \
	X(evicted, "connections without certificate that made room for newer ones") \
	X(accept_failed, "connections the kernel could not give us") \
	X(handshake_failed, "TLS refused, or not TLS") \
	X(handshake_late, "handshakes that took too long") \
	X(peer_refused, "certificates that are nobody's") \
	X(idle, "idle connections ended") \
	X(broken, "connections cut off") \
	X(requests, "requests") \
	X(bad_message, "messages against the rules") \
	X(unknown_verb, "requests for verbs that do not exist") \
	X(denied, "requests by the wrong role, or without certificate") \
	X(unread, "connections whose peer asks and does not read") \
	X(enrolled, "certificates issued for tokens") \
	X(enrol_refused, "enrolments refused") \
	X(renewed, "certificates renewed") \
	X(renew_refused, "renewals refused") \
	X(keys, "volume keys handed out") \
	X(key_refused, "volume keys refused") \
	X(tickets, "tickets handed out") \
	X(ticket_refused, "requests for tickets refused") \
	X(busy, "requests to be asked again, because another program was changing the store") \
	X(audit_failed, "requests refused because the audit log cannot be written") \
	X(internal, "requests that failed for reasons of our own")

struct service_counters {
#define X(name, what) uint64_t name;
	SERVICE_COUNTERS(X)
#undef X
};

/* ks must outlive the service; it has an authority. */
int service_create(struct loop *loop, struct keystore *ks, const struct service_config *config, struct service **service,
	struct err *err) must_check;
void service_free(struct service *service);	/* closes all links; wipes; NULL is fine */
const char *service_address(const struct service *service);
unsigned service_connections(const struct service *service);
const struct service_counters *service_counters(const struct service *service);
void service_log_counters(const struct service *service);	/* those that are not zero, one line each */
/* Read the store again and open the audit log anew. A failure leaves what was there. */
int service_reload(struct service *service, struct err *err) must_check;
