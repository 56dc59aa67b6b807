/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay's clients (docs/wire.md, hull-relay/1): a server that has no public address parks, a gateway calls it with a ticket.
 * Both talk TLS with the relay first, so that it knows who they are, then both sides end that TLS properly on the same
 * connection, which from then on is a plain pipe: the relay splices two of them in its kernel, and the TLS that follows is
 * between the two ends. On the wire nothing but TLS is ever to be seen. On the loop's thread.
 */
#pragma once
#include <openssl/ssl.h>
#include "lib/err.h"
#include "lib/loop.h"

struct relay_client;

#define RELAY_ALPN "hull-relay/1"

/*
 * Once, never inside relay_park or relay_call; the client is gone then. 0: fd is a connected, non-blocking socket, the callee's
 * from now on: the next bytes on it are the other end's (a parked one is called when it becomes readable). Else fd is -1 and why
 * says what:
 *   no connection       -ECONNREFUSED, -EHOSTUNREACH, … as dial_start has it
 *   no time left        -ETIMEDOUT: to connect, shake hands, or answer
 *   no trust            -EPROTO: TLS was refused, by either side; -EKEYREJECTED: the other side is no relay
 *   the relay says      -EPERM: not you (role, name, ticket of somebody else or for another relay); -EBADMSG: is no ticket;
 *                       -EKEYEXPIRED, -EKEYREJECTED: the ticket is over, not the authority's; -EEXIST: it was used;
 *                       -ENOENT: nobody is parked under that name; -ENOSPC: the relay is full;
 *                       -EAGAIN: too many tickets were used in the last minutes; -EINVAL
 *   the relay is gone   -ECONNRESET; -EPROTO: it breaks the rules
 */
typedef void relay_fn(void *ctx, int fd, const struct err *why);

/*
 * relay: HOST:PORT (numeric address, or a name that is looked up off the loop's thread). tls: a client context for RELAY_ALPN,
 * with our certificate; the client takes a reference.
 */
int relay_park(struct loop *loop, const char *relay, SSL_CTX *tls, const char *server, const char *nic, relay_fn *fn, void *ctx,
	struct relay_client **client, struct err *err) must_check;
int relay_call(struct loop *loop, const char *relay, SSL_CTX *tls, const char *ticket, relay_fn *fn, void *ctx,
	struct relay_client **client, struct err *err) must_check;
void relay_cancel(struct relay_client *client);	/* fn is not called any more; NULL is fine */
