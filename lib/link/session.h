/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session resumption for clients (RFC 8446, section 2.2): the tickets a peer gave, kept with the TLS context, which is for one
 * purpose, under the peer's name. Each is used once (appendix C.4). Any thread.
 */
#pragma once
#include <openssl/ssl.h>
#include "lib/err.h"

enum { SESSION_NAME = 128, SESSIONS = 64 };	/* of a context; the oldest goes */

/* Before the handshake: resume what peer gave, if there is something, and keep what it gives next. -EINVAL: too long a name. */
int session_offer(SSL *ssl, const char *peer) must_check;
