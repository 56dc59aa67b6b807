/* SPDX-License-Identifier: Apache-2.0 */
/* An authority in a key store of its own, at a time of its own. */
#pragma once
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "crypto/pki/ca.h"
#include "tests/unit/suite.h"

struct pki_rig { char path[512]; struct keystore *ks; struct ca *ca; time_t now; };

static inline struct keystore *rig_open_store(const char *path, bool create)
{
	struct keystore_unlock unlock = { .way = KEYSTORE_FILE };
	struct keystore *ks = NULL;
	struct err err = { .text = "" };

	CU_ASSERT_FATAL(!secret_copy(&unlock.secret, "0123456789abcdef0123456789abcdef", 32));
	if (create ? keystore_create(path, &unlock, &ks, &err) : keystore_open(path, &unlock, &ks, &err))
		suite_note("%s", err.text);
	secret_destroy(&unlock.secret);
	CU_ASSERT_FATAL(ks != NULL);
	return ks;
}

static inline void rig_setup(struct pki_rig *r)
{
	static unsigned n;
	char name[32];
	struct err err = { .text = "" };

	snprintf(name, sizeof name, "pki-%u.store", n++);
	*r = (struct pki_rig){ .now = 1800000000 };
	snprintf(r->path, sizeof r->path, "%s", suite_tmp(name));
	unlink(r->path);	/* each file that includes this counts for itself */
	r->ks = rig_open_store(r->path, true);
	if (ca_create(r->ks, r->now, &err) || ca_open(r->ks, &r->ca, &err))
		suite_note("%s", err.text);
	CU_ASSERT_FATAL(r->ca != NULL);
}

static inline void rig_drop(struct pki_rig *r)
{
	ca_free(r->ca);
	keystore_close(r->ks);
	unlink(r->path);
}

static inline EVP_PKEY *rig_key(void)
{
	EVP_PKEY *key = NULL;

	CU_ASSERT_FATAL(!cert_key_create(&key, NULL));
	return key;
}

static inline X509 *rig_cert(struct pki_rig *r, enum pki_role role, const char *name, EVP_PKEY *key)
{
	struct pki_id id = { .role = role };
	X509 *cert = NULL;
	struct err err = { .text = "" };

	snprintf(id.name, sizeof id.name, "%s", name);
	if (ca_issue(r->ca, &id, key, CA_LIFE_S, r->now, &cert, &err))
		suite_note("%s", err.text);
	CU_ASSERT_FATAL(cert != NULL);
	return cert;
}

static inline void rig_token(struct pki_rig *r, enum pki_role role, const char *name, uint32_t ttl_s, struct token *token)
{
	struct pki_id id = { .role = role };
	struct err err = { .text = "" };
	int rc;

	snprintf(id.name, sizeof id.name, "%s", name);
	rc = ca_token_create(r->ca, &id, ttl_s, r->now, token, &err);
	if (rc)
		suite_note("%s", err.text);
	CU_ASSERT_FATAL(!rc);
}
