/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetches volume keys from the management application: enrols once with a one-time token (the certificate and its private key
 * stay in this process's memory), then asks over a TLS 1.3 link with that certificate (hull-ctl/1, docs/wire.md). The token
 * says which authority to trust; it is read once, and renewal needs none. So one process fetches all keys of a server.
 * Blocking, with a time-out of 30 s for each question; one thread.
 */
#pragma once
#include "crypto/identity.h"
#include "crypto/keysource.h"

/* from->lma, lma_token, server, name. -EPERM: refused, with the application's own words; -ETIMEDOUT, -ECONNREFUSED, … */
int keyclient_fetch(const struct keysource *from, struct secret *key, struct err *err) must_check;
/* Who that makes us: references of the caller's own. from->lma, lma_token. */
int keyclient_identity(const struct keysource *from, struct identity *id, struct err *err) must_check;
void keyclient_close(void);	/* the link and the identity; wipes */
