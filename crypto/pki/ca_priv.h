/* SPDX-License-Identifier: Apache-2.0 */
/* The authority's inside: its parts, and its records in the key store. */
#pragma once
#include "crypto/pki/ca.h"

#define CA_KEY_RECORD "pki/ca.key"	/* PKCS #8, DER */
#define CA_CERT_RECORD "pki/ca.crt"	/* DER */

struct ca {
	struct keystore *ks;	/* the caller's */
	X509 *cert;
	EVP_PKEY *key;
};

/* What stands under pki/cert/SERIAL or pki/token/ID. */
struct ca_record {
	struct ca_entry e;
	uint8_t hash[32];	/* of a token: token_hash */
};

enum { CA_RECORD_NAME = 64 };

void ca_record_name(char name[CA_RECORD_NAME], bool token, const char *serial);
/* -ENOENT: no such record, without a message. -EINVAL: it is damaged. */
int ca_record_get(struct keystore *ks, bool token, const char *serial, struct ca_record *r, struct err *err) must_check;
/* Inside a transaction. */
int ca_record_set(struct keystore *ks, const struct ca_record *r, struct err *err) must_check;
int ca_record_remove(struct keystore *ks, const struct ca_record *r, struct err *err) must_check;
/* All records at once, malloc'd: a walk may then change them. */
int ca_record_list(struct keystore *ks, struct ca_record **list, size_t *count, struct err *err) must_check;

/* Inside a transaction: sign, and record. */
int ca_sign(struct ca *ca, const struct pki_id *id, EVP_PKEY *key, uint32_t life_s, time_t now, X509 **cert,
	struct err *err) must_check;
/* Commit when rc is 0, else abort and return rc. */
int ca_end(struct ca *ca, int rc, struct err *err) must_check;
