/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/tls.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/secret.h"

/* What a context knows beyond OpenSSL's own fields; freed with it. */
struct own { char alpn[64]; uint8_t pin[PKI_PIN]; };

static int index_of_own = -1;

static void free_own(void *parent, void *own, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	free(own);
}

static void make_index(void)
{
	index_of_own = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_own);
}

static int own_index(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_index);
	return index_of_own;
}

/* ---- purpose */

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in, unsigned inlen,
	void *ctx)
{
	const struct own *own = ctx;
	size_t len = strlen(own->alpn);

	for (unsigned at = 0; at < inlen; at += 1 + in[at]) {
		if (in[at] != len || inlen - at <= len || memcmp(in + at + 1, own->alpn, len))
			continue;
		*out = in + at + 1;
		*outlen = (unsigned char)len;
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* select_alpn is not asked when a client names no purpose. */
static int need_alpn(SSL *ssl, int *alert, void *ctx)
{
	const unsigned char *list;
	size_t len;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &list, &len))
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
	return SSL_CLIENT_HELLO_ERROR;
}

static int set_purpose(SSL_CTX *ctx, const struct tls_config *c, struct own *own)
{
	size_t len = strlen(c->alpn);
	uint8_t list[sizeof own->alpn + 1];

	if (!len || len >= sizeof own->alpn)
		return -EINVAL;
	strcpy(own->alpn, c->alpn);
	if (c->server) {
		SSL_CTX_set_alpn_select_cb(ctx, select_alpn, own);
		SSL_CTX_set_client_hello_cb(ctx, need_alpn, NULL);
		return 0;
	}
	list[0] = (uint8_t)len;
	memcpy(list + 1, c->alpn, len);
	return SSL_CTX_set_alpn_protos(ctx, list, (unsigned)len + 1) ? -ENOMEM : 0;
}

/* ---- trust */

/* The authority is the one of the shown certificates that has the pinned key; then OpenSSL verifies as ever. */
static int verify_pinned(X509_STORE_CTX *ctx, void *arg)
{
	const struct own *own = arg;
	STACK_OF(X509) *shown = X509_STORE_CTX_get0_untrusted(ctx), *trusted = NULL;
	uint8_t pin[PKI_PIN];
	int ok = 0;

	for (int i = 0; i < sk_X509_num(shown) && !trusted; i++) {
		X509 *cert = sk_X509_value(shown, i);

		if (cert_pin(cert, pin) || !secret_equal(pin, own->pin, sizeof pin) || !X509_self_signed(cert, 1))
			continue;
		trusted = sk_X509_new_null();
		if (!trusted || !sk_X509_push(trusted, cert))
			break;
	}
	if (trusted && sk_X509_num(trusted)) {
		X509_STORE_CTX_set0_trusted_stack(ctx, trusted);
		ok = X509_verify_cert(ctx);
	} else {
		X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_UNTRUSTED);
	}
	sk_X509_free(trusted);
	return ok;
}

int tls_set_trust(SSL_CTX *ctx, X509 *ca, X509_CRL *crl, struct err *err)
{
	X509_STORE *store = X509_STORE_new();
	unsigned long flags = X509_V_FLAG_X509_STRICT | (crl ? X509_V_FLAG_CRL_CHECK : 0);

	if (!store || !X509_STORE_add_cert(store, ca) || (crl && !X509_STORE_add_crl(store, crl)) || !X509_STORE_set_flags(store, flags)) {
		X509_STORE_free(store);
		return cert_trouble(err, -ENOMEM, "TLS: cannot set whom to trust");
	}
	SSL_CTX_set_cert_store(ctx, store);	/* takes it; each link keeps the one it began with */
	return 0;
}

int tls_set_identity(SSL_CTX *ctx, X509 *cert, EVP_PKEY *key, X509 *ca, struct err *err)
{
	if (SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1 ||
	    SSL_CTX_clear_chain_certs(ctx) != 1 || (ca && SSL_CTX_add1_chain_cert(ctx, ca) != 1))
		return cert_trouble(err, -EINVAL, "TLS: cannot use this certificate and key");
	return 0;
}

static int set_peer(SSL_CTX *ctx, const struct tls_config *c, struct own *own, struct err *err)
{
	int mode = SSL_VERIFY_PEER | (c->server && !c->peer_optional ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);

	SSL_CTX_set_verify(ctx, mode, NULL);
	SSL_CTX_set_verify_depth(ctx, 1);
	if (c->ca)
		return tls_set_trust(ctx, c->ca, c->crl, err);
	bug_on(!c->pin || c->server);
	memcpy(own->pin, c->pin, sizeof own->pin);
	SSL_CTX_set_cert_verify_callback(ctx, verify_pinned, own);
	return 0;
}

static int set_versions(SSL_CTX *ctx, const struct tls_config *c)
{
	static const unsigned char session[] = "hull";

	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (c->lean)
		SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) && SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
		SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") &&
		SSL_CTX_set1_groups_list(ctx, "X25519:P-256") && SSL_CTX_set_num_tickets(ctx, c->tickets) &&
		SSL_CTX_set_session_id_context(ctx, session, sizeof session - 1) ? 0 : -EIO;
}

int tls_create(const struct tls_config *c, SSL_CTX **out, struct err *err)
{
	SSL_CTX *ctx = SSL_CTX_new(c->server ? TLS_server_method() : TLS_client_method());
	struct own *own = calloc(1, sizeof *own);
	int rc;

	*out = NULL;
	if (!ctx || !own || !SSL_CTX_set_ex_data(ctx, own_index(), own)) {
		free(own);
		SSL_CTX_free(ctx);
		return cert_trouble(err, -ENOMEM, "TLS: cannot make a context");
	}
	rc = set_versions(ctx, c);
	if (!rc)
		rc = set_purpose(ctx, c, own);
	rc = rc ? cert_trouble(err, rc, "TLS: cannot set up a context") : set_peer(ctx, c, own, err);
	if (!rc && c->cert)
		rc = tls_set_identity(ctx, c->cert, c->key, c->server ? c->ca : NULL, err);
	if (rc)
		SSL_CTX_free(ctx);
	else
		*out = ctx;
	return rc;
}

/* ---- the peer */

static int verified(long result, struct err *err)
{
	int rc = cert_verify_code(result);

	return rc ? err_set(err, rc, "certificate: %s", X509_verify_cert_error_string(result)) : 0;
}

/* By what the context trusts and knows to be revoked today. Certificates are the authority's own: no chain is needed. */
static int verify_again(SSL *ssl, X509 *cert, time_t now, struct err *err)
{
	X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int rc;

	if (!ctx || !X509_STORE_CTX_init(ctx, store, cert, SSL_get_peer_cert_chain(ssl)) ||
	    !X509_STORE_CTX_set_default(ctx, SSL_is_server(ssl) ? "ssl_client" : "ssl_server")) {
		X509_STORE_CTX_free(ctx);
		return cert_trouble(err, -ENOMEM, "certificate: cannot be looked at again");
	}
	X509_STORE_CTX_set_time(ctx, 0, now);
	X509_STORE_CTX_set_depth(ctx, 1);
	if (X509_verify_cert(ctx) != 1 && X509_STORE_CTX_get_error(ctx) == X509_V_OK)
		X509_STORE_CTX_set_error(ctx, X509_V_ERR_UNSPECIFIED);
	rc = verified(X509_STORE_CTX_get_error(ctx), err);
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return rc;
}

int tls_peer(SSL *ssl, time_t now, struct pki_id *id, X509 **out, struct err *err)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	int rc;

	*out = NULL;
	if (!cert)
		return err_set(err, -EACCES, "the other side shows no certificate");
	rc = SSL_session_reused(ssl) ? verify_again(ssl, cert, now, err) : verified(SSL_get_verify_result(ssl), err);
	if (rc)
		return rc;
	if (now >= cert_until(cert))
		return err_set(err, -EKEYEXPIRED, "certificate: has expired");
	rc = cert_id(cert, id, err);
	if (!rc)
		*out = cert;
	return rc;
}

X509 *tls_peer_ca(SSL *ssl)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	X509 *ca = chain && sk_X509_num(chain) > 1 ? sk_X509_value(chain, sk_X509_num(chain) - 1) : NULL;

	if (ca)
		X509_up_ref(ca);
	return ca;
}
