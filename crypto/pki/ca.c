/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/pki/ca.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>
#include "crypto/pki/ca_priv.h"
#include "lib/scope.h"

enum { CA_YEARS_S = 3652 * 86400 };

X509 *ca_cert(const struct ca *ca)
{
	return ca->cert;
}

/* ---- certificates */

static bool add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	bool ok;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	return ok;
}

/* Always as many bytes, and positive. */
static bool set_serial(X509 *cert)
{
	uint8_t random[PKI_SERIAL];
	BIGNUM *n;
	bool ok;

	secret_random(random, sizeof random);
	random[0] = (uint8_t)((random[0] & 0x3f) | 0x40);
	n = BN_bin2bn(random, sizeof random, NULL);
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
	BN_free(n);
	return ok;
}

static bool set_subject(X509 *cert, const char *unit, const char *name)
{
	X509_NAME *n = X509_get_subject_name(cert);

	return X509_NAME_add_entry_by_txt(n, "O", MBSTRING_ASC, (const uint8_t *)"Hull", -1, -1, 0) &&
		(!unit || X509_NAME_add_entry_by_txt(n, "OU", MBSTRING_ASC, (const uint8_t *)unit, -1, -1, 0)) &&
		X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
}

static bool set_times(X509 *cert, time_t from, time_t until)
{
	return ASN1_TIME_set(X509_getm_notBefore(cert), from) && ASN1_TIME_set(X509_getm_notAfter(cert), until);
}

/* What all have in common; without names and extensions. */
static X509 *blank(EVP_PKEY *key, time_t from, time_t until)
{
	X509 *cert = X509_new();

	if (cert && X509_set_version(cert, X509_VERSION_3) && set_serial(cert) && set_times(cert, from,
		until) && X509_set_pubkey(cert, key))
		return cert;
	X509_free(cert);
	return NULL;
}

static X509 *self_signed(EVP_PKEY *key, time_t now)
{
	X509 *cert = blank(key, now - CA_SKEW_S, now + CA_YEARS_S);
	char name[64] = "authority ";
	uint8_t pin[PKI_PIN];

	if (!cert || cert_pin(cert, pin))
		goto fail;
	for (size_t i = 0; i < 4; i++)
		sprintf(name + strlen(name), "%02x", pin[i]);
	if (set_subject(cert, NULL, name) && X509_set_issuer_name(cert, X509_get_subject_name(cert)) &&
	    add_ext(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	    add_ext(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	    add_ext(cert, cert, NID_subject_key_identifier, "hash") &&
	    add_ext(cert, cert, NID_authority_key_identifier, "keyid:always") && X509_sign(cert, key, EVP_sha256()))
		return cert;
fail:
	X509_free(cert);
	return NULL;
}

static X509 *signed_leaf(struct ca *ca, const struct pki_id *id, EVP_PKEY *key, time_t from, time_t until)
{
	X509 *cert = blank(key, from, until);
	char uri[32 + PKI_NAME_MAX];

	snprintf(uri, sizeof uri, "URI:hull://%s/%s", pki_role_name(id->role), id->name);
	if (cert && set_subject(cert, pki_role_name(id->role), id->name) &&
	    X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) &&
	    add_ext(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_ext(cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
	    add_ext(cert, ca->cert, NID_ext_key_usage, "serverAuth,clientAuth") &&
	    add_ext(cert, ca->cert, NID_subject_alt_name, uri) && add_ext(cert, ca->cert, NID_subject_key_identifier, "hash") &&
	    add_ext(cert, ca->cert, NID_authority_key_identifier, "keyid:always") && X509_sign(cert, ca->key, EVP_sha256()))
		return cert;
	X509_free(cert);
	return NULL;
}

int ca_sign(struct ca *ca, const struct pki_id *id, EVP_PKEY *key, uint32_t life_s, time_t now, X509 **cert, struct err *err)
{
	struct ca_record r = { .e = { .id = *id, .from = now - CA_SKEW_S, .until = now + life_s } };
	int rc;

	*cert = NULL;
	if (life_s < CA_LIFE_MIN_S || life_s > CA_LIFE_MAX_S)
		return err_set(err, -EINVAL, "certificate: a life of %u s is not %d to %d", life_s, CA_LIFE_MIN_S, CA_LIFE_MAX_S);
	rc = pki_name_check(id->name, err);
	if (rc)
		return rc;
	if (r.e.from < cert_from(ca->cert))
		r.e.from = cert_from(ca->cert);
	if (r.e.until > cert_until(ca->cert))
		r.e.until = cert_until(ca->cert);
	if (r.e.until <= now)
		return err_set(err, -EKEYEXPIRED, "authority: its own certificate has expired; a new store is needed");
	*cert = signed_leaf(ca, id, key, r.e.from, r.e.until);
	if (!*cert)
		return cert_trouble(err, -EIO, "certificate: cannot be made");
	cert_serial(*cert, r.e.serial);
	rc = ca_record_set(ca->ks, &r, err);
	if (rc) {
		X509_free(*cert);
		*cert = NULL;
	}
	return rc;
}

int ca_end(struct ca *ca, int rc, struct err *err)
{
	if (!rc)
		return keystore_commit(ca->ks, err);
	keystore_abort(ca->ks);
	return rc;
}

int ca_issue(struct ca *ca, const struct pki_id *id, EVP_PKEY *key, uint32_t life_s, time_t now, X509 **cert, struct err *err)
{
	int rc = keystore_begin(ca->ks, err);

	*cert = NULL;
	if (rc)
		return rc;
	rc = ca_sign(ca, id, key, life_s, now, cert, err);
	rc = ca_end(ca, rc, err);
	if (rc) {
		X509_free(*cert);
		*cert = NULL;
	}
	return rc;
}

/* ---- the authority itself */

/* PKCS #8 without OpenSSL's copies staying behind in ordinary memory. */
static int key_der(EVP_PKEY *key, struct secret *der)
{
	PKCS8_PRIV_KEY_INFO *info;
	uint8_t *p;
	int len, rc = -EIO;

	secret_openssl_begin();
	info = EVP_PKEY2PKCS8(key);
	len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : 0;
	if (len > 0 && !(rc = secret_create(der, (size_t)len))) {
		p = der->data;
		rc = i2d_PKCS8_PRIV_KEY_INFO(info, &p) == len ? 0 : -EIO;
	}
	PKCS8_PRIV_KEY_INFO_free(info);
	secret_openssl_end();
	return rc;
}

static int write_new(struct keystore *ks, EVP_PKEY *key, X509 *cert, struct err *err)
{
	struct secret der = { 0 };
	uint8_t *cert_der = NULL;
	int len = i2d_X509(cert, &cert_der), rc = key_der(key, &der);

	if (rc || len <= 0)
		rc = cert_trouble(err, -EIO, "authority: its key cannot be written");
	if (!rc)
		rc = keystore_record_set(ks, CA_KEY_RECORD, der.data, der.len, err);
	if (!rc)
		rc = keystore_record_set(ks, CA_CERT_RECORD, cert_der, (size_t)len, err);
	OPENSSL_free(cert_der);
	secret_destroy(&der);
	return rc;
}

int ca_create(struct keystore *ks, time_t now, struct err *err)
{
	struct ca ca = { .ks = ks };
	struct secret there = { 0 };
	int rc = cert_key_create(&ca.key, err);

	if (rc)
		return rc;
	ca.cert = self_signed(ca.key, now);
	rc = ca.cert ? keystore_begin(ks, err) : cert_trouble(err, -EIO, "authority: its certificate cannot be made");
	if (!rc) {
		rc = keystore_record_get(ks, CA_CERT_RECORD, &there, NULL);
		secret_destroy(&there);
		if (!rc)
			rc = err_set(err, -EEXIST, "authority: this store has one already");
		else if (rc == -ENOENT)
			rc = write_new(ks, ca.key, ca.cert, err);
		else
			(void)err_set(err, rc, "authority: the store cannot be read");
		rc = ca_end(&ca, rc, err);
	}
	X509_free(ca.cert);
	EVP_PKEY_free(ca.key);
	return rc;
}

static int load(struct ca *ca, const struct secret *cert, const struct secret *key, struct err *err)
{
	const uint8_t *p = cert->data;
	EVP_PKEY *warm;

	ca->cert = d2i_X509(NULL, &p, (long)cert->len);
	/* once outside: what OpenSSL keeps of its decoders is to lie in ordinary memory */
	p = key->data;
	warm = d2i_AutoPrivateKey(NULL, &p, (long)key->len);
	EVP_PKEY_free(warm);
	p = key->data;
	secret_openssl_begin();
	ca->key = d2i_AutoPrivateKey(NULL, &p, (long)key->len);
	secret_openssl_end();
	if (!ca->cert || !ca->key || X509_check_private_key(ca->cert, ca->key) != 1)
		return cert_trouble(err, -EINVAL, "authority: its key or certificate in the store is damaged");
	return 0;
}

int ca_open(struct keystore *ks, struct ca **out, struct err *err)
{
	struct secret cert = { 0 }, key = { 0 };
	struct ca *ca = calloc(1, sizeof *ca);
	int rc;

	*out = NULL;
	if (!ca)
		return err_set(err, -ENOMEM, "authority: out of memory");
	ca->ks = ks;
	rc = keystore_record_get(ks, CA_CERT_RECORD, &cert, err);
	if (!rc)
		rc = keystore_record_get(ks, CA_KEY_RECORD, &key, err);
	if (rc == -ENOENT)
		(void)err_set(err, rc, "authority: this store has none; `hull pki init` makes one");
	if (!rc)
		rc = load(ca, &cert, &key, err);
	secret_destroy(&cert);
	secret_destroy(&key);
	if (rc)
		ca_free(ca);
	else
		*out = ca;
	return rc;
}

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	free(ca);
}

int ca_check(struct ca *ca, X509 *cert, time_t now, struct pki_id *id, struct err *err)
{
	char serial[PKI_SERIAL_TEXT];
	struct ca_record r;
	int rc = cert_verify(cert, ca->cert, NULL, now, err);

	if (!rc)
		rc = cert_id(cert, id, err);
	if (rc)
		return rc;
	cert_serial(cert, serial);
	rc = ca_record_get(ca->ks, false, serial, &r, err);
	if (rc == -ENOENT)
		return err_set(err, -EKEYREJECTED, "certificate %s: is not in this store", serial);
	if (rc)
		return rc;
	if (r.e.revoked)
		return err_set(err, -EKEYREVOKED, "certificate %s: was revoked", serial);
	if (r.e.id.role != id->role || strcmp(r.e.id.name, id->name))
		return err_set(err, -EKEYREJECTED, "certificate %s: the store says another name", serial);
	return 0;
}
