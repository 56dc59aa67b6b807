/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates as Hull's authority issues them (docs/pki.md): X.509 version 3, P-256, and one URI as subject alternative name
 * that says who it is, hull://ROLE/NAME. Nothing else of a certificate says who somebody is.
 */
#pragma once
#include <openssl/x509.h>
#include <stdint.h>
#include <time.h>
#include "lib/err.h"

enum pki_role { PKI_LMA, PKI_LCG, PKI_CSC, PKI_HV, PKI_ROLES };
enum { PKI_NAME_MAX = 63, PKI_SERIAL = 16, PKI_SERIAL_TEXT = 2 * PKI_SERIAL + 1, PKI_PIN = 32, PKI_PEM_MAX = 16384 };

struct pki_id { enum pki_role role; char name[PKI_NAME_MAX + 1]; };

const char *pki_role_name(enum pki_role role);
int pki_role_parse(const char *text, enum pki_role *role, struct err *err) must_check;
/* 1…63 of [A-Za-z0-9._-], the names of the key store too. */
int pki_name_check(const char *name, struct err *err) must_check;
/* hull://ROLE/NAME, all len bytes. */
int pki_id_parse(const char *uri, size_t len, struct pki_id *id, struct err *err) must_check;

/* A fresh P-256 key, in secret memory. */
int cert_key_create(EVP_PKEY **key, struct err *err) must_check;

/* PEM texts in both directions; text is malloc'd. A private key never takes this way. */
int cert_request_create(EVP_PKEY *key, char **pem, struct err *err) must_check;
/*
 * A signing request (PKCS #10): its signature is checked and its public key handed out; whatever else it asks for is not looked at.
 * Keys are P-256, P-384 or Ed25519.
 */
int cert_request_parse(const char *pem, size_t len, EVP_PKEY **key, struct err *err) must_check;
int cert_parse(const char *pem, size_t len, X509 **cert, struct err *err) must_check;
int cert_text(X509 *cert, char **pem) must_check;
int cert_crl_parse(const char *pem, size_t len, X509_CRL **crl, struct err *err) must_check;
int cert_crl_text(X509_CRL *crl, char **pem) must_check;

/* -EKEYREJECTED: it is none of Hull's. */
int cert_id(X509 *cert, struct pki_id *id, struct err *err) must_check;
void cert_serial(X509 *cert, char text[PKI_SERIAL_TEXT]);
/* SHA-256 of the subject public key info. */
int cert_pin(X509 *cert, uint8_t pin[PKI_PIN]) must_check;
time_t cert_from(const X509 *cert);
time_t cert_until(const X509 *cert);

/*
 * Issued by ca, valid at now, not on crl (NULL: no list is at hand). -EKEYEXPIRED (also: not yet valid, or the list is too old),
 * -EKEYREVOKED, -EKEYREJECTED.
 */
int cert_verify(X509 *cert, X509 *ca, X509_CRL *crl, time_t now, struct err *err) must_check;
/* The same classes for an X509_V_ERR_… of a handshake. */
int cert_verify_code(long verify_result);

/* err_set with OpenSSL's own reason after the text; empties its queue. */
int cert_trouble(struct err *err, int code, const char *what);
