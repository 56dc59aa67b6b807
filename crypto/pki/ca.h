/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificate authority: its key, what it issued, revoked and invited, all as records of a key store (docs/pki.md names them).
 * Each call that changes something is one transaction of the store. Times are seconds since 1970, given by the caller. One thread
 * per store.
 */
#pragma once
#include "crypto/keystore.h"
#include "crypto/pki/cert.h"
#include "crypto/pki/token.h"

struct ca;

enum { CA_LIFE_S = 86400, CA_LIFE_MIN_S = 60, CA_LIFE_MAX_S = 366 * 86400, CA_SKEW_S = 300,
	CA_TOKEN_S = 900, CA_TOKEN_MAX_S = 30 * 86400, CA_CRL_S = 7 * 86400 };

/* A new authority in the store. -EEXIST when it has one. */
int ca_create(struct keystore *ks, time_t now, struct err *err) must_check;
/* The store's; it must outlive ca. -ENOENT: it has none. */
int ca_open(struct keystore *ks, struct ca **ca, struct err *err) must_check;
void ca_free(struct ca *ca);	/* wipes; NULL is fine */
X509 *ca_cert(const struct ca *ca);	/* ca's own reference */

/* A certificate for key as id for life_s from now (and CA_SKEW_S before it), and its record. */
int ca_issue(struct ca *ca, const struct pki_id *id, EVP_PKEY *key, uint32_t life_s, time_t now, X509 **cert,
	struct err *err) must_check;

/* A one-time token for id, good for ttl_s. -EINVAL: also for role lma, whose programs have the store. */
int ca_token_create(struct ca *ca, const struct pki_id *id, uint32_t ttl_s, time_t now, struct token *token,
	struct err *err) must_check;
/*
 * Takes the token out of the store and issues, both or neither. -EPERM: no such token (never made, used, or a wrong secret, which
 * are not told apart); -EKEYEXPIRED; -EKEYREJECTED: another authority's. id says who it is.
 */
int ca_enrol(struct ca *ca, const struct token *token, EVP_PKEY *key, uint32_t life_s, time_t now, struct pki_id *id, X509 **cert,
	struct err *err) must_check;
/* A fresh certificate for whom old belongs to, when ca_check has nothing against it. */
int ca_renew(struct ca *ca, X509 *old, EVP_PKEY *key, uint32_t life_s, time_t now, X509 **cert, struct err *err) must_check;

/* Is it ours, valid at now, recorded and not revoked? cert_verify's codes. id says who it is. */
int ca_check(struct ca *ca, X509 *cert, time_t now, struct pki_id *id, struct err *err) must_check;

/*
 * Revoke by serial number, or by name: then all certificates of that name, and its tokens are gone. *count: how many
 * certificates it hit that were not revoked before. -ENOENT: nothing like that is there.
 */
int ca_revoke(struct ca *ca, const char *what, time_t now, unsigned *count, struct err *err) must_check;
/* The revocation list as of now, good for CA_CRL_S. */
int ca_crl(struct ca *ca, time_t now, X509_CRL **crl, struct err *err) must_check;
/* Forget certificates that expired more than a day ago, and tokens likewise. *count: how many records. */
int ca_prune(struct ca *ca, time_t now, unsigned *count, struct err *err) must_check;

struct ca_entry {
	bool token;			/* else a certificate */
	char serial[PKI_SERIAL_TEXT];	/* or the token's id */
	struct pki_id id;
	time_t from, until;
	time_t revoked;			/* 0: is not */
};
/* Certificates, then tokens, each in order of serial numbers. A nonzero return ends the walk. */
int ca_walk(struct ca *ca, int (*fn)(void *ctx, const struct ca_entry *e), void *ctx, struct err *err) must_check;
