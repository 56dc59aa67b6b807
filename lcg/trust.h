/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's identity and its talk with the management application: certificate and revocation list are kept fresh (in the
 * folder, too), tickets are asked for. All that may block does so on one thread of its own; answers come on the loop's thread.
 * While the application is away the gateway goes on with what it has: that is said once, and counted.
 */
#pragma once
#include <openssl/ssl.h>
#include <stdbool.h>
#include <time.h>
#include "crypto/pki/ticket.h"
#include "lib/loop.h"

struct trust;

struct trust_config {
	const char *dir;		/* crypto/identity_folder.h */
	const char *lma;		/* HOST:PORT; NULL: no tickets, nothing is renewed */
};

struct trust_counters { uint64_t asked, refused, away, tickets, renewals, renewal_failures, lists, list_failures; };

enum { TRUST_TICKETS = 16, TRUST_JOBS = 4096 };

struct trust_ticket { char text[TICKET_TEXT]; time_t until; };
/* Once a question. count 0: why says what. The tickets live until the call returns. */
typedef void trust_fn(void *ctx, const struct trust_ticket *tickets, unsigned count, const struct err *why);

/* Reads the folder; renewed is called when the contexts below are other ones. */
int trust_create(struct loop *loop, const struct trust_config *config, loop_fn *renewed, void *ctx, struct trust **trust,
	struct err *err) must_check;
/*
 * NULL is fine. wait: a second at most for what its thread has under way; false: that goes on for some seconds, so that the
 * process should end by _exit.
 */
bool trust_free(struct trust *trust, bool wait);
/* Nothing to do: the same folder with the same certificate, the same lma. Errors: what the folder holds is of no use. */
int trust_is_same(const struct trust *trust, const struct trust_config *config, bool *same, struct err *err) must_check;

const char *trust_name(const struct trust *trust);	/* lcg/NAME in the certificate */
time_t trust_until(const struct trust *trust);
SSL_CTX *trust_tls(const struct trust *trust);		/* client, hull-l2/1; the trust's references */
SSL_CTX *trust_tls_relay(const struct trust *trust);

/*
 * Tickets for hv/callee's nic; caller NULL: this gateway, else hv/caller. -EAGAIN: too many questions wait; -ENOTCONN: there is
 * no lma.
 */
int trust_ask(struct trust *trust, const char *caller, const char *callee, const char *nic, unsigned count, trust_fn *fn,
	void *ctx) must_check;
void trust_forget(struct trust *trust, const void *ctx);	/* its questions are not answered any more */
void trust_counters(const struct trust *trust, struct trust_counters *counters);
bool trust_lma_is_away(const struct trust *trust);
