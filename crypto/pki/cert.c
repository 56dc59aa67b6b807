/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/pki/cert.h"
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include "crypto/secret.h"
#include "lib/scope.h"

static const char *const roles[PKI_ROLES] = { [PKI_LMA] = "lma", [PKI_LCG] = "lcg", [PKI_CSC] = "csc", [PKI_HV] = "hv" };
static const char scheme[] = "hull://";

int cert_trouble(struct err *err, int code, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return err_set(err, code, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
}

const char *pki_role_name(enum pki_role role)
{
	return roles[role];
}

int pki_role_parse(const char *text, enum pki_role *role, struct err *err)
{
	for (unsigned i = 0; i < PKI_ROLES; i++) {
		if (!strcmp(text, roles[i])) {
			*role = (enum pki_role)i;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "role \"%.40s\": is none of lma, lcg, csc, hv", text);
}

int pki_name_check(const char *name, struct err *err)
{
	size_t len = strlen(name);

	if (!len || len > PKI_NAME_MAX)
		return err_set(err, -EINVAL, "name: has %zu characters, 1 to %d are allowed", len, PKI_NAME_MAX);
	if (strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != len)
		return err_set(err, -EINVAL, "name: holds other characters than A-Z a-z 0-9 . _ -");
	return 0;
}

int pki_id_parse(const char *uri, size_t len, struct pki_id *id, struct err *err)
{
	char text[sizeof scheme + 8 + PKI_NAME_MAX + 1], *name;

	if (len >= sizeof text || memchr(uri, 0, len) || len < strlen(scheme) || memcmp(uri, scheme, strlen(scheme)))
		return err_set(err, -EKEYREJECTED, "certificate: its URI is not hull://ROLE/NAME");
	memcpy(text, uri + strlen(scheme), len - strlen(scheme));
	text[len - strlen(scheme)] = 0;
	name = strchr(text, '/');
	if (!name)
		return err_set(err, -EKEYREJECTED, "certificate: its URI is not hull://ROLE/NAME");
	*name++ = 0;
	if (pki_role_parse(text, &id->role, err) || pki_name_check(name, err)) {
		err_prefix(err, "certificate");
		return err ? (err->code = -EKEYREJECTED) : -EKEYREJECTED;
	}
	strcpy(id->name, name);
	return 0;
}

int cert_key_create(EVP_PKEY **key, struct err *err)
{
	/* what OpenSSL keeps of the algorithm is to lie in ordinary memory */
	EVP_PKEY *first = EVP_EC_gen("P-256");

	EVP_PKEY_free(first);
	secret_openssl_begin();
	*key = first ? EVP_EC_gen("P-256") : NULL;
	secret_openssl_end();
	return *key ? 0 : cert_trouble(err, -EIO, "cannot make a P-256 key");
}

/* ---- texts */

static int bio_text(BIO *bio, int written, char **pem)
{
	char *data;
	long len = written == 1 ? BIO_get_mem_data(bio, &data) : 0;

	*pem = len > 0 ? strndup(data, (size_t)len) : NULL;
	BIO_free(bio);
	return *pem ? 0 : -ENOMEM;
}

static BIO *text_bio(const char *what, const char *pem, size_t len, struct err *err)
{
	BIO *bio = len && len <= PKI_PEM_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;

	if (!bio)
		(void)err_set(err, -EINVAL, "%s: has %zu bytes, 1 to %d are allowed", what, len, PKI_PEM_MAX);
	return bio;
}

/* PEM readers ask for a passphrase on the terminal unless told what it is. */
static int no_passphrase(char *buf, int size, int rw, void *ctx)
{
	return -1;
}

int cert_request_create(EVP_PKEY *key, char **pem, struct err *err)
{
	X509_REQ *req = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	int written = 0, rc;

	if (req && bio && X509_REQ_set_version(req, X509_REQ_VERSION_1) && X509_REQ_set_pubkey(req, key) &&
	    X509_REQ_sign(req, key, EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256()))
		written = PEM_write_bio_X509_REQ(bio, req);
	rc = bio_text(bio, written, pem);
	X509_REQ_free(req);
	return rc ? cert_trouble(err, rc, "signing request: cannot be made") : 0;
}

static bool key_allowed(EVP_PKEY *key)
{
	char group[64];

	if (EVP_PKEY_is_a(key, "ED25519"))
		return true;
	if (!EVP_PKEY_is_a(key, "EC") || !EVP_PKEY_get_group_name(key, group, sizeof group, NULL))
		return false;
	return !strcmp(group, "prime256v1") || !strcmp(group, "secp384r1");
}

int cert_request_parse(const char *pem, size_t len, EVP_PKEY **key, struct err *err)
{
	BIO *bio = text_bio("signing request", pem, len, err);
	X509_REQ *req;
	int rc = 0;

	*key = NULL;
	if (!bio)
		return -EINVAL;
	req = PEM_read_bio_X509_REQ(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	if (!req)
		return cert_trouble(err, -EINVAL, "signing request: cannot be read");
	*key = X509_REQ_get_pubkey(req);
	if (!*key)
		rc = cert_trouble(err, -EINVAL, "signing request: its public key cannot be read");
	else if (!key_allowed(*key))
		rc = err_set(err, -EINVAL, "signing request: its key is none of P-256, P-384, Ed25519");
	else if (X509_REQ_verify(req, *key) != 1)
		rc = err_set(err, -EINVAL, "signing request: its signature is wrong");
	X509_REQ_free(req);
	ERR_clear_error();
	if (rc) {
		EVP_PKEY_free(*key);
		*key = NULL;
	}
	return rc;
}

int cert_parse(const char *pem, size_t len, X509 **cert, struct err *err)
{
	BIO *bio = text_bio("certificate", pem, len, err);

	*cert = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	if (!bio)
		return -EINVAL;
	return *cert ? 0 : cert_trouble(err, -EINVAL, "certificate: cannot be read");
}

int cert_text(X509 *cert, char **pem)
{
	BIO *bio = BIO_new(BIO_s_mem());

	return bio_text(bio, bio ? PEM_write_bio_X509(bio, cert) : 0, pem);
}

int cert_crl_parse(const char *pem, size_t len, X509_CRL **crl, struct err *err)
{
	/* a list grows with what it lists; a message bounds it */
	BIO *bio = len && len <= INT32_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;

	*crl = bio ? PEM_read_bio_X509_CRL(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	return *crl ? 0 : cert_trouble(err, -EINVAL, "revocation list: cannot be read");
}

int cert_crl_text(X509_CRL *crl, char **pem)
{
	BIO *bio = BIO_new(BIO_s_mem());

	return bio_text(bio, bio ? PEM_write_bio_X509_CRL(bio, crl) : 0, pem);
}

/* ---- what a certificate says */

int cert_id(X509 *cert, struct pki_id *id, struct err *err)
{
	int crit = 0, rc;
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &crit, NULL);
	const GENERAL_NAME *name = names && sk_GENERAL_NAME_num(names) == 1 ? sk_GENERAL_NAME_value(names, 0) : NULL;

	if (!name || name->type != GEN_URI)
		rc = err_set(err, -EKEYREJECTED, "certificate: has not exactly one subject alternative name, a URI");
	else
		rc = pki_id_parse((const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
			(size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier), id, err);
	GENERAL_NAMES_free(names);
	return rc;
}

void cert_serial(X509 *cert, char text[PKI_SERIAL_TEXT])
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	const uint8_t *data = ASN1_STRING_get0_data(serial);
	int len = ASN1_STRING_length(serial), at = 0;

	/* a foreign one may be of any length; what is cut off is in no record of ours */
	for (int i = 0; i < len && i < PKI_SERIAL; i++)
		at += sprintf(text + at, "%02x", data[i]);
	text[at] = 0;
}

int cert_pin(X509 *cert, uint8_t pin[PKI_PIN])
{
	uint8_t *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der), ok;

	ok = len > 0 && EVP_Digest(der, (size_t)len, pin, NULL, EVP_sha256(), NULL);
	OPENSSL_free(der);
	return ok ? 0 : -EINVAL;
}

static time_t when(const ASN1_TIME *t)
{
	struct tm tm;

	return t && ASN1_TIME_to_tm(t, &tm) ? timegm(&tm) : 0;
}

time_t cert_from(const X509 *cert)
{
	return when(X509_get0_notBefore(cert));
}

time_t cert_until(const X509 *cert)
{
	return when(X509_get0_notAfter(cert));
}

/* ---- verification */

int cert_verify_code(long verify_result)
{
	switch (verify_result) {
	case X509_V_OK: return 0;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
	case X509_V_ERR_CRL_HAS_EXPIRED:
	case X509_V_ERR_CRL_NOT_YET_VALID: return -EKEYEXPIRED;
	case X509_V_ERR_CERT_REVOKED: return -EKEYREVOKED;
	default: return -EKEYREJECTED;
	}
}

static void trust(X509_STORE_CTX *ctx, X509_STORE *store, X509_CRL *crl, time_t now)
{
	unsigned long flags = X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE | (crl ? X509_V_FLAG_CRL_CHECK : 0);

	if (crl)
		X509_STORE_add_crl(store, crl);
	X509_STORE_CTX_set_flags(ctx, flags);
	X509_STORE_CTX_set_time(ctx, 0, now);
}

int cert_verify(X509 *cert, X509 *ca, X509_CRL *crl, time_t now, struct err *err)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int rc = -ENOMEM;

	if (store && ctx && X509_STORE_add_cert(store, ca) && X509_STORE_CTX_init(ctx, store, cert, NULL)) {
		trust(ctx, store, crl, now);
		X509_verify_cert(ctx);
		rc = cert_verify_code(X509_STORE_CTX_get_error(ctx));
	}
	if (rc == -ENOMEM)
		(void)err_set(err, rc, "certificate: out of memory");
	else if (rc)
		(void)err_set(err, rc, "certificate: %s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	ERR_clear_error();
	return rc;
}
