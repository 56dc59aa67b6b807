/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who this program is in Hull's eyes: its certificate, the key of it, and the authority it trusts; and how it gets and keeps
 * them.
 */
#pragma once
#include <stdbool.h>
#include "crypto/pki/cert.h"
#include "crypto/pki/token.h"

struct identity {
	X509 *ca, *cert;	/* NULL: has not enrolled */
	EVP_PKEY *key;		/* in secret memory */
	X509_CRL *crl;		/* NULL: never fetched */
};

/*
 * Make a key, enrol with the token at lma (HOST:PORT), which the token's pin authenticates. Blocks at most 30 s. *id only when
 * 0.
 */
int identity_enrol(const char *lma, const struct token *token, struct identity *id, struct err *err) must_check;
/* A fresh key and certificate, by the one that is still valid. id changes as a whole or not at all. */
int identity_renew(const char *lma, struct identity *id, struct err *err) must_check;
/* The revocation list; replaces the one that is there when it is the authority's, and no older. */
int identity_fetch_crl(const char *lma, struct identity *id, struct err *err) must_check;
/* Two thirds of its life are over. */
bool identity_crl_due(const struct identity *id, time_t now);	/* there is no list, or it is a day old */
bool identity_due(const struct identity *id, time_t now);
void identity_drop(struct identity *id);	/* wipes; a zeroed one is fine */
