/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/pki/ca_priv.h"
#include "lib/scope.h"

enum { PRUNE_AFTER_S = 86400 };

int ca_walk(struct ca *ca, int (*fn)(void *ctx, const struct ca_entry *e), void *ctx, struct err *err)
{
	auto_free struct ca_record *list = NULL;
	size_t count;
	int rc = ca_record_list(ca->ks, &list, &count, err);

	for (size_t i = 0; !rc && i < count; i++)
		rc = fn(ctx, &list[i].e);
	return rc;
}

static int revoke_one(struct ca *ca, struct ca_record *r, time_t now, unsigned *count, struct err *err)
{
	if (r->e.token)
		return ca_record_remove(ca->ks, r, err);
	if (r->e.revoked)
		return 0;
	++*count;
	r->e.revoked = now;
	return ca_record_set(ca->ks, r, err);
}

static int revoke_all(struct ca *ca, const char *what, time_t now, unsigned *count, struct err *err)
{
	auto_free struct ca_record *list = NULL;
	bool found = false;
	size_t n;
	int rc = ca_record_list(ca->ks, &list, &n, err);

	for (size_t i = 0; !rc && i < n; i++) {
		if (strcmp(list[i].e.id.name, what) && strcmp(list[i].e.serial, what))
			continue;
		found = true;
		rc = revoke_one(ca, &list[i], now, count, err);
	}
	if (!rc && !found)
		rc = err_set(err, -ENOENT, "revoke: no certificate or token has the number or name \"%.70s\"", what);
	return rc;
}

int ca_revoke(struct ca *ca, const char *what, time_t now, unsigned *count, struct err *err)
{
	int rc = keystore_begin(ca->ks, err);

	*count = 0;
	return rc ? rc : ca_end(ca, revoke_all(ca, what, now, count, err), err);
}

int ca_prune(struct ca *ca, time_t now, unsigned *count, struct err *err)
{
	auto_free struct ca_record *list = NULL;
	size_t n;
	int rc = keystore_begin(ca->ks, err);

	*count = 0;
	if (rc)
		return rc;
	rc = ca_record_list(ca->ks, &list, &n, err);
	for (size_t i = 0; !rc && i < n; i++) {
		if (now - list[i].e.until < PRUNE_AFTER_S)
			continue;
		rc = ca_record_remove(ca->ks, &list[i], err);
		++*count;
	}
	if (!rc && !*count) {
		keystore_abort(ca->ks);	/* nothing to write */
		return 0;
	}
	return ca_end(ca, rc, err);
}

/* ---- the list */

static bool add_revoked(X509_CRL *crl, const struct ca_entry *e)
{
	X509_REVOKED *r = X509_REVOKED_new();
	BIGNUM *n = NULL;
	ASN1_INTEGER *serial = BN_hex2bn(&n, e->serial) ? BN_to_ASN1_INTEGER(n, NULL) : NULL;
	ASN1_TIME *at = ASN1_TIME_set(NULL, e->revoked);
	bool ok = r && serial && at && X509_REVOKED_set_serialNumber(r, serial) && X509_REVOKED_set_revocationDate(r, at) &&
		X509_CRL_add0_revoked(crl, r);

	if (!ok)
		X509_REVOKED_free(r);
	ASN1_TIME_free(at);
	ASN1_INTEGER_free(serial);
	BN_free(n);
	return ok;
}

static bool set_dates(X509_CRL *crl, time_t now)
{
	ASN1_TIME *from = ASN1_TIME_set(NULL, now - CA_SKEW_S), *until = ASN1_TIME_set(NULL, now + CA_CRL_S);
	bool ok = from && until && X509_CRL_set1_lastUpdate(crl, from) && X509_CRL_set1_nextUpdate(crl, until);

	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	return ok;
}

/* RFC 5280 section 5.2: the authority's key and a number that grows; milliseconds do. */
static bool set_extensions(struct ca *ca, X509_CRL *crl)
{
	struct timespec ts;
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	bool ok;

	clock_gettime(CLOCK_REALTIME, &ts);
	ok = number && ASN1_INTEGER_set_uint64(number, (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000) &&
		X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0);
	ASN1_INTEGER_free(number);
	X509V3_set_ctx(&ctx, ca->cert, NULL, NULL, crl, 0);
	ext = ok ? X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always") : NULL;
	ok = ext && X509_CRL_add_ext(crl, ext, -1);
	X509_EXTENSION_free(ext);
	return ok;
}

int ca_crl(struct ca *ca, time_t now, X509_CRL **out, struct err *err)
{
	auto_free struct ca_record *list = NULL;
	X509_CRL *crl = X509_CRL_new();
	size_t n;
	int rc = ca_record_list(ca->ks, &list, &n, err);
	bool ok = crl && X509_CRL_set_version(crl, X509_CRL_VERSION_2) && set_dates(crl, now) && set_extensions(ca, crl) &&
		X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert));

	*out = NULL;
	for (size_t i = 0; ok && !rc && i < n; i++)
		if (list[i].e.revoked)
			ok = add_revoked(crl, &list[i].e);
	ok = ok && X509_CRL_sort(crl) && X509_CRL_sign(crl, ca->key, EVP_sha256());
	if (!rc && !ok)
		rc = cert_trouble(err, -EIO, "revocation list: cannot be made");
	if (rc)
		X509_CRL_free(crl);
	else
		*out = crl;
	return rc;
}
