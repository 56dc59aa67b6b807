/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/identity.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/lmaclient.h"
#include "crypto/secret.h"
#include "lib/scope.h"

enum { CRL_MAX = 16 << 20, CRL_ASKS = 4096, CRL_OLD_S = 86400 };

/* The certificate in an answer: for our key, and from the authority that we know. */
static int take_cert(const json_t *ok, X509 *ca, EVP_PKEY *key, X509 **cert, struct err *err)
{
	const char *pem = json_string_value(json_object_get(ok, "certificate"));
	int rc;

	*cert = NULL;
	if (!pem)
		return err_set(err, -EPROTO, "answer: holds no certificate");
	rc = cert_parse(pem, strlen(pem), cert, err);
	if (!rc)
		rc = cert_verify(*cert, ca, NULL, time(NULL), err);
	if (!rc && X509_check_private_key(*cert, key) != 1)
		rc = err_set(err, -EPROTO, "answer: the certificate is for another key");
	if (rc) {
		X509_free(*cert);
		*cert = NULL;
	}
	return rc;
}

static json_t *enrol_request(const struct token *token, const char *csr)
{
	char *text = secret_alloc(TOKEN_TEXT);
	json_t *request = NULL;

	if (text) {
		token_text(token, text);
		request = json_pack("{s:s, s:s, s:s}", "do", "enrol", "token", text, "csr", csr);
	}
	secret_free(text);
	return request;
}

int identity_enrol(const char *lma, const struct token *token, struct identity *id, struct err *err)
{
	struct identity fresh = { 0 };
	struct lmaclient *client = NULL;
	auto_free char *csr = NULL;
	json_t *ok = NULL;
	int rc = cert_key_create(&fresh.key, err);

	if (!rc)
		rc = cert_request_create(fresh.key, &csr, err);
	if (!rc)
		rc = lmaclient_open(lma, &(struct identity){ 0 }, token->pin, &client, err);
	if (!rc)
		rc = lmaclient_call(client, enrol_request(token, csr), &ok, err);
	if (!rc) {
		fresh.ca = lmaclient_ca(client);
		X509_up_ref(fresh.ca);
		rc = take_cert(ok, fresh.ca, fresh.key, &fresh.cert, err);
	}
	json_decref(ok);
	lmaclient_close(client);
	if (rc)
		identity_drop(&fresh);
	else
		*id = fresh;
	return rc;
}

int identity_renew(const char *lma, struct identity *id, struct err *err)
{
	struct lmaclient *client = NULL;
	auto_free char *csr = NULL;
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	json_t *ok = NULL;
	int rc = cert_key_create(&key, err);

	if (!rc)
		rc = cert_request_create(key, &csr, err);
	if (!rc)
		rc = lmaclient_open(lma, id, NULL, &client, err);
	if (!rc)
		rc = lmaclient_call(client, json_pack("{s:s, s:s}", "do", "renew", "csr", csr), &ok, err);
	if (!rc)
		rc = take_cert(ok, id->ca, key, &cert, err);
	json_decref(ok);
	lmaclient_close(client);
	if (rc) {
		EVP_PKEY_free(key);
		return rc;
	}
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
	id->key = key;
	id->cert = cert;
	return 0;
}

/* The whole list, which comes in pieces; begins anew when another edition comes between. malloc'd. */
static int fetch_text(struct lmaclient *client, char **text, size_t *len, struct err *err)
{
	json_int_t size = 0, edition = 0;
	size_t at = 0;

	*text = NULL;
	for (unsigned asked = 0; !size || at < (size_t)size; asked++) {
		const char *piece;
		json_int_t all, which;
		json_t *ok = NULL;
		size_t n = 0;
		int rc = asked > CRL_ASKS ? err_set(err, -EPROTO, "answer: the revocation list has no end") :
			lmaclient_call(client, json_pack("{s:s, s:I}", "do", "crl", "from", (json_int_t)at), &ok, err);

		if (!rc && json_unpack(ok, "{s:s%, s:I, s:I}", "crl", &piece, &n, "size", &all, "edition", &which))
			rc = err_set(err, -EPROTO, "answer: holds no revocation list");
		if (!rc && size && (all != size || which != edition)) {
			free(*text);
			*text = NULL;
			size = 0;
			at = 0;
			json_decref(ok);
			continue;
		}
		if (!rc && (all < 1 || all > CRL_MAX || !n || n > (size_t)all - at))
			rc = err_set(err, -EPROTO, "answer: a piece of the revocation list that does not fit");
		if (!rc && !*text && !(*text = malloc((size_t)all)))
			rc = err_set(err, -ENOMEM, "revocation list: out of memory");
		if (!rc)
			memcpy(*text + at, piece, n);
		json_decref(ok);
		if (rc)
			return rc;
		size = all;
		edition = which;
		at += n;
	}
	*len = at;
	return 0;
}

static bool is_older(const X509_CRL *crl, const X509_CRL *than)
{
	return than && ASN1_TIME_compare(X509_CRL_get0_lastUpdate(crl), X509_CRL_get0_lastUpdate(than)) < 0;
}

int identity_fetch_crl(const char *lma, struct identity *id, struct err *err)
{
	/* A list that is too old would let nobody fetch the next one. What comes is signed, whoever sends it. */
	const struct identity listless = { .ca = id->ca, .cert = id->cert, .key = id->key };
	auto_free char *text = NULL;
	struct lmaclient *client;
	X509_CRL *crl = NULL;
	size_t len = 0;
	int rc = lmaclient_open(lma, &listless, NULL, &client, err);

	if (!rc)
		rc = fetch_text(client, &text, &len, err);
	if (!rc)
		rc = cert_crl_parse(text, len, &crl, err);
	if (!rc && X509_CRL_verify(crl, X509_get0_pubkey(id->ca)) != 1)
		rc = cert_trouble(err, -EKEYREJECTED, "revocation list: is not the authority's");
	if (!rc && is_older(crl, id->crl))
		rc = err_set(err, -EKEYREJECTED, "revocation list: is older than the one that is known");
	if (!rc) {
		X509_CRL_free(id->crl);
		id->crl = crl;
		crl = NULL;
	}
	X509_CRL_free(crl);
	lmaclient_close(client);
	return rc;
}

bool identity_crl_due(const struct identity *id, time_t now)
{
	const ASN1_TIME *from = id->crl ? X509_CRL_get0_lastUpdate(id->crl) : NULL;

	/* From the future: clocks disagree, and a fresh one does no harm. */
	return !from || ASN1_TIME_cmp_time_t(from, now - CRL_OLD_S) < 0 || ASN1_TIME_cmp_time_t(from, now) > 0;
}

bool identity_due(const struct identity *id, time_t now)
{
	time_t from = cert_from(id->cert), until = cert_until(id->cert);

	return now >= from + (until - from) / 3 * 2;
}

void identity_drop(struct identity *id)
{
	X509_free(id->ca);
	X509_free(id->cert);
	X509_CRL_free(id->crl);
	EVP_PKEY_free(id->key);
	*id = (struct identity){ 0 };
}
