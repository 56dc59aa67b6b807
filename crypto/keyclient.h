/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetches volume keys from the management application: enrols once with a one-time token (the certificate and its private key stay in
 * this process's memory), then asks over the same TLS 1.3 link (hull-ctl/1, docs/wire.md). The token says which authority to trust.
 * Blocking, with a time-out of 30 s; one thread.
 */
#pragma once
#include "crypto/keysource.h"

/* from->lma, lma_token, server, name. -EPERM: refused, with the application's own words; -ETIMEDOUT, -ECONNREFUSED, … */
int keyclient_fetch(const struct keysource *from, struct secret *key, struct err *err) must_check;
void keyclient_close(void);	/* the link and the identity; wipes */
