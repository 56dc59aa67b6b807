/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who this server is towards gateways, relays and other servers: a certificate of its own, got through the volume agent
 * (crypto/luks/agent.h) by the one-time token or out of a folder, never through a file of ours; renewed the same way while the
 * server runs. The private key stands in secret memory. Nothing here waits: until there is a certificate there are no links.
 * All on the loop's thread, which lives as long as the process, under its guard.
 */
#pragma once
#include <jansson.h>
#include <openssl/ssl.h>
#include "lib/err.h"
#include "lib/loop.h"

struct agent;
struct credentials;

struct credentials_config {
	struct loop *loop;
	const char *server;		/* the name that the certificate must have */
	const char *lma, *token;	/* HOST:PORT and where the one-time token comes from; or NULL */
	const char *folder;		/* instead of a token: an identity as `hull pki enrol` writes it; or NULL */
	/* There is a certificate, or a fresh one: for links to come. */
	void (*changed)(void *ctx);
	void *ctx;
};

/* One context a side and purpose; NULL until changed was called for the first time. */
struct credentials_tls { SSL_CTX *server, *client, *relay; };

/*
 * agent: one that was started for volumes and may have used up the token, taken over also on failure; NULL: none was.
 * Strings stay the caller's. -EINVAL: the placement does not say where a certificate comes from.
 */
int credentials_create(const struct credentials_config *config, struct agent *agent, struct credentials **c,
	struct err *err) must_check;
void credentials_free(struct credentials *c);	/* ends the agent, wipes; NULL is fine */
const struct credentials_tls *credentials_tls(const struct credentials *c);
/*
 * May the other side of ssl, after the handshake and its HELLO (lib/l2/hello.h), have a path to our NIC? One that calls is
 * the gateway or server that it says it is, its ticket is for the two of us, and nobody used it before; one that we called is
 * the server that it answers as. -EPERM, -EACCES, -EEXIST, ticket_verify's and tls_peer's.
 */
int credentials_admit(struct credentials *c, SSL *ssl, const char *nic, const json_t *hello, struct err *err) must_check;
/*
 * Ask at once. A token that was refused (used, expired, another server's) is asked for again only so: the place that it is read
 * from may have a fresh one. -EBUSY, -EALREADY: nothing is due.
 */
int credentials_retry(struct credentials *c, struct err *err) must_check;
/* {"state": "none"|"refused"|"valid"|"expired", "until": seconds since 1970, "text": the last failure}; NULL: out of memory */
json_t *credentials_status(const struct credentials *c);
