/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts for links (lib/link): version 1.3 only, both sides with certificates of Hull's authority, the purpose named by ALPN.
 * A context is for one side and one purpose. One thread, but links made of it may live in others.
 */
#pragma once
#include <openssl/ssl.h>
#include <stdbool.h>
#include "crypto/pki/cert.h"

struct tls_config {
	bool server;
	const char *alpn;		/* "hull-ctl/1"; a peer that offers another or none is refused; static string */
	X509 *ca;			/* whom to trust */
	const uint8_t *pin;		/* client, instead of ca: the authority whose key has this hash, which the server then shows */
	X509_CRL *crl;			/* NULL: no list is at hand */
	X509 *cert;			/* ours; NULL: none (a client that has not enrolled) */
	EVP_PKEY *key;
	bool peer_optional;		/* server: a client without certificate is let in, one with a bad certificate isn't */
	unsigned tickets;		/* server: session tickets per handshake; 0: no resumption */
	bool lean;			/* many idle links rather than few fast ones: buffers are given back between records */
};

int tls_create(const struct tls_config *config, SSL_CTX **ctx, struct err *err) must_check;
/* For the links to come; those that are there keep what they have. */
int tls_set_identity(SSL_CTX *ctx, X509 *cert, EVP_PKEY *key, X509 *ca, struct err *err) must_check;
int tls_set_trust(SSL_CTX *ctx, X509 *ca, X509_CRL *crl, struct err *err) must_check;

/*
 * Who is on the other side, after the handshake. Also of a resumed session, whose certificate no handshake looked at again.
 * -EACCES: it showed no certificate; else cert_verify's codes. cert is the link's, not a reference of its own.
 */
int tls_peer(SSL *ssl, time_t now, struct pki_id *id, X509 **cert, struct err *err) must_check;
/* The authority at the end of the peer's chain, as it was verified; the caller's reference. NULL: none. */
X509 *tls_peer_ca(SSL *ssl);
