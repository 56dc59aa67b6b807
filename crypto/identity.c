/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/identity.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/lmaclient.h"
#include "crypto/secret.h"
#include "lib/scope.h"

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

int identity_fetch_crl(const char *lma, struct identity *id, struct err *err)
{
	struct lmaclient *client;
	X509_CRL *crl = NULL;
	EVP_PKEY *ca_key;
	const char *pem;
	json_t *ok = NULL;
	int rc = lmaclient_open(lma, id, NULL, &client, err);

	if (!rc)
		rc = lmaclient_call(client, json_pack("{s:s}", "do", "crl"), &ok, err);
	pem = json_string_value(json_object_get(ok, "crl"));
	if (!rc && !pem)
		rc = err_set(err, -EPROTO, "answer: holds no revocation list");
	if (!rc)
		rc = cert_crl_parse(pem, strlen(pem), &crl, err);
	ca_key = X509_get0_pubkey(id->ca);
	if (!rc && X509_CRL_verify(crl, ca_key) != 1)
		rc = cert_trouble(err, -EKEYREJECTED, "revocation list: is not the authority's");
	if (!rc) {
		X509_CRL_free(id->crl);
		id->crl = crl;
		crl = NULL;
	}
	X509_CRL_free(crl);
	json_decref(ok);
	lmaclient_close(client);
	return rc;
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
