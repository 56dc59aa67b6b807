/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/pki/ca.h"
#include "tests/unit/crypto/pki/pki_rig.h"

struct seen { unsigned certs, tokens, revoked; };

static int count_entry(void *ctx, const struct ca_entry *e)
{
	struct seen *s = ctx;

	s->tokens += e->token;
	s->certs += !e->token;
	s->revoked += !!e->revoked;
	return 0;
}

static struct seen look(struct pki_rig *r)
{
	struct seen s = { 0 };
	struct err err = { .text = "" };

	if (ca_walk(r->ca, count_entry, &s, &err))
		suite_note("%s", err.text);
	return s;
}

static void is_made_once(void)
{
	struct keystore *ks;
	struct ca *ca;
	struct pki_rig r;
	struct err err;

	rig_setup(&r);
	check_eq(ca_create(r.ks, r.now, &err), -EEXIST);
	check_str(err.text, "authority: this store has one already");
	ks = rig_open_store(r.path, false);
	check_eq(ca_open(ks, &ca, &err), 0);
	check(!X509_cmp(ca_cert(ca), ca_cert(r.ca)));
	ca_free(ca);
	keystore_close(ks);
	ks = rig_open_store(suite_tmp("empty.store"), true);
	check_eq(ca_open(ks, &ca, &err), -ENOENT);
	check_str(err.text, "authority: this store has none; `hull pki init` makes one");
	keystore_close(ks);
	rig_drop(&r);
}

static void issues(void)
{
	EVP_PKEY *key = rig_key();
	struct pki_id id, bad = { .role = PKI_HV, .name = "a b" };
	struct pki_rig r;
	struct err err;
	X509 *cert, *none;

	rig_setup(&r);
	cert = rig_cert(&r, PKI_LCG, "lan-1", key);
	check_eq(ca_check(r.ca, cert, r.now, &id, &err), 0);
	check_eq(id.role, PKI_LCG);
	check_str(id.name, "lan-1");
	check_eq(cert_from(cert), r.now - CA_SKEW_S);
	check_eq(cert_until(cert), r.now + CA_LIFE_S);
	check_eq(ca_issue(r.ca, &bad, key, CA_LIFE_S, r.now, &none, &err), -EINVAL);
	check_str(err.text, "name: holds other characters than A-Z a-z 0-9 . _ -");
	check_eq(ca_issue(r.ca, &id, key, 59, r.now, &none, &err), -EINVAL);
	check_str(err.text, "certificate: a life of 59 s is not 60 to 31622400");
	check_eq(ca_issue(r.ca, &id, key, CA_LIFE_S, r.now + 3653 * 86400, &none, &err), -EKEYEXPIRED);
	check_str(err.text, "authority: its own certificate has expired; a new store is needed");
	check(!none);
	check_eq(ca_issue(r.ca, &id, key, CA_LIFE_S, r.now + 3652 * 86400 - 100, &none, &err), 0);
	check_eq(cert_until(none), cert_until(ca_cert(r.ca)));
	check_eq(look(&r).certs, 2);
	X509_free(none);
	X509_free(cert);
	EVP_PKEY_free(key);
	rig_drop(&r);
}

static void enrols_once(void)
{
	EVP_PKEY *key = rig_key();
	struct pki_id id;
	struct token t;
	struct pki_rig r;
	struct err err;
	char id_text[TOKEN_ID_TEXT], why[128];
	X509 *cert;

	rig_setup(&r);
	rig_token(&r, PKI_HV, "dc-web01", 900, &t);
	check_eq(look(&r).tokens, 1);
	check_eq(ca_enrol(r.ca, &t, key, CA_LIFE_S, r.now, &id, &cert, &err), 0);
	check_eq(id.role, PKI_HV);
	check_str(id.name, "dc-web01");
	check_eq(ca_check(r.ca, cert, r.now, &id, &err), 0);
	X509_free(cert);
	check_eq(look(&r).tokens, 0);
	check_eq(ca_enrol(r.ca, &t, key, CA_LIFE_S, r.now, &id, &cert, &err), -EPERM);
	token_id(&t, id_text);
	snprintf(why, sizeof why, "token %s: unknown, used, or not as it was made", id_text);
	check_str(err.text, why);
	check(!cert);
	check_eq(look(&r).certs, 1);
	EVP_PKEY_free(key);
	rig_drop(&r);
}

static void refuses_tokens(void)
{
	EVP_PKEY *key = rig_key();
	struct pki_rig r, other;
	struct token t, bad;
	struct pki_id id;
	struct err err;
	X509 *cert;

	rig_setup(&r);
	rig_setup(&other);
	rig_token(&r, PKI_HV, "dc-web01", 900, &t);
	bad = t;
	bad.secret[23] ^= 1;
	check_eq(ca_enrol(r.ca, &bad, key, CA_LIFE_S, r.now, &id, &cert, &err), -EPERM);
	bad = t;
	bad.id[0] ^= 1;
	check_eq(ca_enrol(r.ca, &bad, key, CA_LIFE_S, r.now, &id, &cert, &err), -EPERM);
	bad = t;
	bad.pin[31] ^= 0x80;
	check_eq(ca_enrol(r.ca, &bad, key, CA_LIFE_S, r.now, &id, &cert, &err), -EKEYREJECTED);
	check_str(err.text, "token: another authority made it");
	check_eq(ca_enrol(other.ca, &t, key, CA_LIFE_S, r.now, &id, &cert, &err), -EKEYREJECTED);
	check_eq(ca_enrol(r.ca, &t, key, CA_LIFE_S, r.now + 900, &id, &cert, &err), -EKEYEXPIRED);
	/* expired is told only to whom has the secret */
	bad = t;
	bad.secret[0] ^= 1;
	check_eq(ca_enrol(r.ca, &bad, key, CA_LIFE_S, r.now + 900, &id, &cert, &err), -EPERM);
	check_eq(look(&r).certs, 0);
	check_eq(ca_enrol(r.ca, &t, key, CA_LIFE_S, r.now + 899, &id, &cert, &err), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
	rig_drop(&other);
	rig_drop(&r);
}

static void refuses_odd_tokens(void)
{
	struct pki_id id = { .role = PKI_HV, .name = "a" };
	struct token t;
	struct pki_rig r;
	struct err err;

	rig_setup(&r);
	check_eq(ca_token_create(r.ca, &id, 0, r.now, &t, &err), -EINVAL);
	check_str(err.text, "token: a life of 0 s is not 1 to 2592000");
	id.role = PKI_LMA;
	check_eq(ca_token_create(r.ca, &id, 60, r.now, &t, &err), -EINVAL);
	check_str(err.text, "token: not for role lma, whose programs have the store and make their own certificates");
	id.role = PKI_HV;
	strcpy(id.name, "");
	check_eq(ca_token_create(r.ca, &id, 60, r.now, &t, &err), -EINVAL);
	check_eq(look(&r).tokens, 0);
	rig_drop(&r);
}

/* A store that fails to be written: neither the token is used nor a certificate there. */
static void enrols_wholly_or_not(void)
{
	EVP_PKEY *key = rig_key();
	struct pki_id id;
	struct token t;
	struct pki_rig r;
	struct err err;
	X509 *cert;

	rig_setup(&r);
	rig_token(&r, PKI_HV, "dc-web01", 900, &t);
	check_eq(ca_enrol(r.ca, &t, key, 1, r.now, &id, &cert, &err), -EINVAL);
	check(!cert);
	check_eq(look(&r).tokens, 1);
	check_eq(look(&r).certs, 0);
	check_eq(ca_enrol(r.ca, &t, key, CA_LIFE_S, r.now, &id, &cert, &err), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
	rig_drop(&r);
}

static void renews(void)
{
	EVP_PKEY *key = rig_key();
	struct pki_rig r, other;
	struct pki_id id;
	X509 *old, *fresh;
	struct err err;
	unsigned count;

	rig_setup(&r);
	rig_setup(&other);
	old = rig_cert(&r, PKI_HV, "dc-web01", key);
	check_eq(ca_renew(r.ca, old, key, CA_LIFE_S, r.now + 60000, &fresh, &err), 0);
	check_eq(cert_until(fresh), r.now + 60000 + CA_LIFE_S);
	check_eq(ca_check(r.ca, fresh, r.now + 100000, &id, &err), 0);
	check_eq(id.role, PKI_HV);
	check_str(id.name, "dc-web01");
	X509_free(fresh);
	check_eq(ca_renew(r.ca, old, key, CA_LIFE_S, r.now + CA_LIFE_S + 1, &fresh, &err), -EKEYEXPIRED);
	check_eq(ca_renew(other.ca, old, key, CA_LIFE_S, r.now, &fresh, &err), -EKEYREJECTED);
	check_eq(ca_revoke(r.ca, "dc-web01", r.now, &count, &err), 0);
	check_eq(count, 2);
	check_eq(ca_renew(r.ca, old, key, CA_LIFE_S, r.now, &fresh, &err), -EKEYREVOKED);
	check(!fresh);
	check_eq(look(&other).certs, 0);
	X509_free(old);
	EVP_PKEY_free(key);
	rig_drop(&other);
	rig_drop(&r);
}

static void revokes(void)
{
	EVP_PKEY *key = rig_key();
	X509 *cert;
	struct token t;
	struct pki_rig r;
	struct pki_id id;
	struct err err;
	unsigned count;
	struct seen s;

	rig_setup(&r);
	cert = rig_cert(&r, PKI_HV, "a", key);
	rig_token(&r, PKI_HV, "a", 900, &t);
	rig_token(&r, PKI_HV, "b", 900, &t);
	check_eq(ca_revoke(r.ca, "nobody", r.now, &count, &err), -ENOENT);
	check_str(err.text, "revoke: no certificate or token has the number or name \"nobody\"");
	check_eq(ca_revoke(r.ca, "a", r.now, &count, &err), 0);
	check_eq(count, 1);
	check_eq(ca_revoke(r.ca, "a", r.now, &count, &err), 0);
	check_eq(count, 0);
	s = look(&r);
	check(s.certs == 1 && s.revoked == 1 && s.tokens == 1);
	check_eq(ca_check(r.ca, cert, r.now, &id, &err), -EKEYREVOKED);
	X509_free(cert);
	EVP_PKEY_free(key);
	rig_drop(&r);
}

/* Another handle of the same store sees it after a refresh. */
static void is_shared(void)
{
	EVP_PKEY *key = rig_key();
	struct keystore *ks;
	struct pki_rig r;
	struct pki_id id;
	struct err err;
	struct ca *ca;
	unsigned count;
	X509 *cert;

	rig_setup(&r);
	ks = rig_open_store(r.path, false);
	check_eq(ca_open(ks, &ca, &err), 0);
	cert = rig_cert(&r, PKI_HV, "a", key);
	check_eq(ca_check(ca, cert, r.now, &id, &err), -EKEYREJECTED);
	check_eq(keystore_refresh(ks, &err), 0);
	check_eq(ca_check(ca, cert, r.now, &id, &err), 0);
	check_eq(ca_revoke(ca, "a", r.now, &count, &err), 0);
	check_eq(keystore_refresh(r.ks, &err), 0);
	check_eq(ca_check(r.ca, cert, r.now, &id, &err), -EKEYREVOKED);
	X509_free(cert);
	EVP_PKEY_free(key);
	ca_free(ca);
	keystore_close(ks);
	rig_drop(&r);
}

static void forgets_what_expired(void)
{
	EVP_PKEY *key = rig_key();
	struct token t;
	struct pki_rig r;
	struct err err;
	unsigned count;
	X509 *cert;

	rig_setup(&r);
	cert = rig_cert(&r, PKI_HV, "a", key);
	rig_token(&r, PKI_HV, "a", 900, &t);
	check_eq(ca_prune(r.ca, r.now, &count, &err), 0);
	check_eq(count, 0);
	check_eq(ca_prune(r.ca, r.now + 900 + 86400, &count, &err), 0);
	check_eq(count, 1);
	check_eq(ca_prune(r.ca, r.now + CA_LIFE_S + 86400, &count, &err), 0);
	check_eq(count, 1);
	check_eq(look(&r).certs + look(&r).tokens, 0);
	X509_free(cert);
	EVP_PKEY_free(key);
	rig_drop(&r);
}

static const struct test tests[] = {
	{ "is made once", is_made_once },
	{ "issues", issues },
	{ "enrols once", enrols_once },
	{ "refuses tokens", refuses_tokens },
	{ "refuses odd tokens", refuses_odd_tokens },
	{ "enrols wholly or not", enrols_wholly_or_not },
	{ "renews", renews },
	{ "revokes", revokes },
	{ "is shared", is_shared },
	{ "forgets what expired", forgets_what_expired },
	{ NULL },
};
const struct suite suite_crypto_pki_ca = { tests };
