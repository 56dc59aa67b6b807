/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blocking client of the management application: hull-ctl/1 over one TLS link, on an event loop of its own. One thread per
 * client.
 */
#pragma once
#include <jansson.h>
#include "crypto/identity.h"

struct lmaclient;

enum { LMACLIENT_WAIT_S = 30, LMACLIENT_BUSY_S = 20 };

/*
 * Connects, and is sure that the other side is the management application of the authority in id->ca, or, when id has none, of
 * the one that pin names. id's certificate is shown when there is one. -ETIMEDOUT, -ECONNREFUSED, -EPROTO (TLS, certificates), …
 */
int lmaclient_open(const char *lma, const struct identity *id, const uint8_t *pin, struct lmaclient **client,
	struct err *err) must_check;
/*
 * request is stolen; NULL is -ENOMEM. Asked again for LMACLIENT_BUSY_S while the answer is EAGAIN. -errno of the answer with its
 * words, or of the link, which is then over.
 */
int lmaclient_call(struct lmaclient *client, json_t *request, json_t **ok, struct err *err) must_check;
X509 *lmaclient_ca(const struct lmaclient *client);	/* the authority of the other side; the client's reference */
bool lmaclient_alive(const struct lmaclient *client);
void lmaclient_close(struct lmaclient *client);	/* NULL is fine */
