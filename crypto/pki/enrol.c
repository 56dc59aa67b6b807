/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include "crypto/pki/ca_priv.h"
#include "lib/scope.h"

int ca_token_create(struct ca *ca, const struct pki_id *id, uint32_t ttl_s, time_t now, struct token *token, struct err *err)
{
	struct ca_record r = { .e = { .token = true, .id = *id, .from = now, .until = now + ttl_s } };
	int rc = pki_name_check(id->name, err);

	if (rc)
		return rc;
	if (id->role == PKI_LMA)
		return err_set(err, -EINVAL, "token: not for role lma, whose programs have the store and make their own certificates");
	if (!ttl_s || ttl_s > CA_TOKEN_MAX_S)
		return err_set(err, -EINVAL, "token: a life of %u s is not 1 to %d", ttl_s, CA_TOKEN_MAX_S);
	secret_random(token->id, sizeof token->id);
	secret_random(token->secret, sizeof token->secret);
	if (cert_pin(ca->cert, token->pin))
		return cert_trouble(err, -EIO, "token: the authority's key cannot be named");
	token_id(token, r.e.serial);
	token_hash(token, r.hash);
	rc = keystore_begin(ca->ks, err);
	if (rc)
		return rc;
	return ca_end(ca, ca_record_set(ca->ks, &r, err), err);
}

/* A record that isn't there is compared too: how long a refusal takes says nothing. */
static int find(struct ca *ca, const struct token *token, time_t now, struct ca_record *r, struct err *err)
{
	uint8_t hash[32], pin[PKI_PIN];
	char id[TOKEN_ID_TEXT];
	int rc;

	if (cert_pin(ca->cert, pin) || !secret_equal(pin, token->pin, sizeof pin))
		return err_set(err, -EKEYREJECTED, "token: another authority made it");
	token_id(token, id);
	token_hash(token, hash);
	rc = ca_record_get(ca->ks, true, id, r, err);
	if (rc && rc != -ENOENT)
		return rc;
	if (!secret_equal(hash, r->hash, sizeof hash) || rc)
		return err_set(err, -EPERM, "token %s: unknown, used, or not as it was made", id);
	if (now >= r->e.until)
		return err_set(err, -EKEYEXPIRED, "token %s: has expired", id);
	return 0;
}

int ca_enrol(struct ca *ca, const struct token *token, EVP_PKEY *key, uint32_t life_s, time_t now, struct pki_id *id, X509 **cert,
	struct err *err)
{
	struct ca_record r;
	int rc = find(ca, token, now, &r, err);

	*cert = NULL;
	if (rc)
		return rc;	/* nobody outside makes the store's lock be taken */
	rc = keystore_begin(ca->ks, err);
	if (rc)
		return rc;
	rc = find(ca, token, now, &r, err);
	if (!rc)
		rc = ca_record_remove(ca->ks, &r, err);
	if (!rc)
		rc = ca_sign(ca, &r.e.id, key, life_s, now, cert, err);
	rc = ca_end(ca, rc, err);
	if (!rc) {
		*id = r.e.id;
		return 0;
	}
	X509_free(*cert);
	*cert = NULL;
	return rc;
}

int ca_renew(struct ca *ca, X509 *old, EVP_PKEY *key, uint32_t life_s, time_t now, X509 **cert, struct err *err)
{
	struct pki_id id;
	int rc = keystore_begin(ca->ks, err);

	*cert = NULL;
	if (rc)
		return rc;
	rc = ca_check(ca, old, now, &id, err);
	if (!rc)
		rc = ca_sign(ca, &id, key, life_s, now, cert, err);
	rc = ca_end(ca, rc, err);
	if (rc) {
		X509_free(*cert);
		*cert = NULL;
	}
	return rc;
}
