/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/pki/cert.h"
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include "tests/unit/crypto/pki/pki_rig.h"

static void refuse_id(const char *uri, const char *why)
{
	struct pki_id id;
	struct err err;

	check_eq(pki_id_parse(uri, strlen(uri), &id, &err), -EKEYREJECTED);
	check_eq(err.code, -EKEYREJECTED);
	check_str(err.text, why);
}

static void reads_names(void)
{
	struct pki_id id;
	struct err err;

	check_eq(pki_id_parse("hull://hv/dc-web01", 18, &id, &err), 0);
	check_eq(id.role, PKI_HV);
	check_str(id.name, "dc-web01");
	refuse_id("http://hv/x", "certificate: its URI is not hull://ROLE/NAME");
	refuse_id("hull://", "certificate: its URI is not hull://ROLE/NAME");
	refuse_id("hull://hv", "certificate: its URI is not hull://ROLE/NAME");
	refuse_id("hull://boss/x", "certificate: role \"boss\": is none of lma, lcg, csc, hv");
	refuse_id("hull://hv/", "certificate: name: has 0 characters, 1 to 63 are allowed");
	refuse_id("hull://hv/a/b", "certificate: name: holds other characters than A-Z a-z 0-9 . _ -");
	check_eq(pki_id_parse("hull://hv/a\0b", 13, &id, &err), -EKEYREJECTED);
	check_eq(pki_id_parse("hull://hv/a\0b", 13, &id, NULL), -EKEYREJECTED);
	refuse_id("hull://hv/0123456789012345678901234567890123456789012345678901234567890123",
		"certificate: name: has 64 characters, 1 to 63 are allowed");
}

static void reads_requests(void)
{
	EVP_PKEY *key = rig_key(), *got = NULL;
	struct err err;
	char *pem = NULL;

	check_eq(cert_request_create(key, &pem, &err), 0);
	check_eq(cert_request_parse(pem, strlen(pem), &got, &err), 0);
	check_eq(EVP_PKEY_eq(key, got), 1);
	EVP_PKEY_free(got);
	check_eq(cert_request_parse(pem, 0, &got, &err), -EINVAL);
	check_str(err.text, "signing request: has 0 bytes, 1 to 16384 are allowed");
	check_eq(cert_request_parse("x", 1, &got, &err), -EINVAL);
	check_str(err.text, "signing request: cannot be read: no start line");
	free(pem);
	EVP_PKEY_free(key);
}

/* A request of `holder`'s name signed by another key. */
static char *forged(EVP_PKEY *holder, EVP_PKEY *signer)
{
	X509_REQ *req = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *pem;
	long n;

	CU_ASSERT_FATAL(X509_REQ_set_pubkey(req, holder) && X509_REQ_sign(req, signer, EVP_sha256()));
	CU_ASSERT_FATAL(PEM_write_bio_X509_REQ(bio, req));
	n = BIO_get_mem_data(bio, &data);
	pem = strndup(data, (size_t)n);
	X509_REQ_free(req);
	BIO_free(bio);
	return pem;
}

static void refuses_forged_requests(void)
{
	EVP_PKEY *a = rig_key(), *b = rig_key(), *got;
	char *pem = forged(a, b);
	struct err err;

	check_eq(cert_request_parse(pem, strlen(pem), &got, &err), -EINVAL);
	check_str(err.text, "signing request: its signature is wrong");
	check(!got);
	free(pem);
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
}

static void refuses_other_keys(void)
{
	EVP_PKEY *key = EVP_RSA_gen(2048), *got;
	struct err err;
	char *pem;

	check_eq(cert_request_create(key, &pem, &err), 0);
	check_eq(cert_request_parse(pem, strlen(pem), &got, &err), -EINVAL);
	check_str(err.text, "signing request: its key is none of P-256, P-384, Ed25519");
	free(pem);
	EVP_PKEY_free(key);
	key = EVP_EC_gen("secp256k1");
	check_eq(cert_request_create(key, &pem, &err), 0);
	check_eq(cert_request_parse(pem, strlen(pem), &got, &err), -EINVAL);
	free(pem);
	EVP_PKEY_free(key);
	key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	check_eq(cert_request_create(key, &pem, &err), 0);
	check_eq(cert_request_parse(pem, strlen(pem), &got, &err), 0);
	free(pem);
	EVP_PKEY_free(got);
	EVP_PKEY_free(key);
}

static void verifies(void)
{
	EVP_PKEY *key = rig_key();
	struct pki_rig r, other;
	struct err err;
	X509 *cert;

	rig_setup(&r);
	rig_setup(&other);
	cert = rig_cert(&r, PKI_HV, "dc-web01", key);
	check_eq(cert_verify(cert, ca_cert(r.ca), NULL, r.now, &err), 0);
	check_eq(cert_verify(cert, ca_cert(r.ca), NULL, r.now - CA_SKEW_S, &err), 0);
	check_eq(cert_verify(cert, ca_cert(r.ca), NULL, r.now - CA_SKEW_S - 1, &err), -EKEYEXPIRED);
	check_str(err.text, "certificate: certificate is not yet valid");
	check_eq(cert_verify(cert, ca_cert(r.ca), NULL, r.now + CA_LIFE_S - 1, &err), 0);
	check_eq(cert_verify(cert, ca_cert(r.ca), NULL, r.now + CA_LIFE_S + 1, &err), -EKEYEXPIRED);
	check_str(err.text, "certificate: certificate has expired");
	check_eq(cert_verify(cert, ca_cert(other.ca), NULL, r.now, &err), -EKEYREJECTED);
	check_str(err.text, "certificate: unable to get local issuer certificate");
	X509_free(cert);
	EVP_PKEY_free(key);
	rig_drop(&other);
	rig_drop(&r);
}

static void verifies_against_the_list(void)
{
	EVP_PKEY *key = rig_key();
	X509 *good, *bad;
	char serial[PKI_SERIAL_TEXT];
	struct pki_rig r;
	struct err err;
	unsigned count;
	X509_CRL *crl;

	rig_setup(&r);
	good = rig_cert(&r, PKI_HV, "a", key);
	bad = rig_cert(&r, PKI_HV, "b", key);
	cert_serial(bad, serial);
	check_eq(ca_revoke(r.ca, serial, r.now, &count, &err), 0);
	check_eq(ca_crl(r.ca, r.now, &crl, &err), 0);
	check_eq(cert_verify(good, ca_cert(r.ca), crl, r.now, &err), 0);
	check_eq(cert_verify(bad, ca_cert(r.ca), crl, r.now, &err), -EKEYREVOKED);
	check_str(err.text, "certificate: certificate revoked");
	check_eq(cert_verify(bad, ca_cert(r.ca), NULL, r.now, &err), 0);
	X509_CRL_free(crl);
	check_eq(ca_crl(r.ca, r.now - CA_CRL_S - 1, &crl, &err), 0);
	check_eq(cert_verify(bad, ca_cert(r.ca), crl, r.now, &err), -EKEYEXPIRED);
	check_str(err.text, "certificate: CRL has expired");
	X509_CRL_free(crl);
	X509_free(good);
	X509_free(bad);
	EVP_PKEY_free(key);
	rig_drop(&r);
}

static void keeps_texts(void)
{
	EVP_PKEY *key = rig_key();
	X509 *cert, *back;
	struct pki_rig r;
	struct err err;
	char *pem;

	rig_setup(&r);
	cert = rig_cert(&r, PKI_CSC, "cloud-a", key);
	check_eq(cert_text(cert, &pem), 0);
	check_eq(cert_parse(pem, strlen(pem), &back, &err), 0);
	check(!X509_cmp(cert, back));
	X509_free(back);
	check_eq(cert_parse(pem, 40, &back, &err), -EINVAL);
	check(!back);
	free(pem);
	X509_free(cert);
	EVP_PKEY_free(key);
	rig_drop(&r);
}

static const struct test tests[] = {
	{ "reads names", reads_names },
	{ "reads requests", reads_requests },
	{ "refuses forged requests", refuses_forged_requests },
	{ "refuses other keys", refuses_other_keys },
	{ "verifies", verifies },
	{ "verifies against the list", verifies_against_the_list },
	{ "keeps texts", keeps_texts },
	{ NULL },
};
const struct suite suite_crypto_pki_cert = { tests };
