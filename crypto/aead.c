/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/aead.h"
#include <errno.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <string.h>
#include "crypto/secret.h"
#include "lib/scope.h"

static void free_md(EVP_MD **md) { EVP_MD_free(*md); }
static void free_kdf(EVP_KDF **kdf) { EVP_KDF_free(*kdf); }
static void free_kdf_ctx(EVP_KDF_CTX **ctx) { EVP_KDF_CTX_free(*ctx); }
static void free_cipher(EVP_CIPHER **cipher) { EVP_CIPHER_free(*cipher); }
static void free_cipher_ctx(EVP_CIPHER_CTX **ctx) { EVP_CIPHER_CTX_free(*ctx); }
static void free_secret(uint8_t **p) { secret_free(*p); }

int aead_derive(const void *key, size_t key_len, const void *salt, size_t salt_len, const char *info, void *out, size_t len)
{
	cleanup(free_md) EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);	/* before it is looked up in secret memory */
	cleanup(free_kdf) EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	cleanup(free_kdf_ctx) EVP_KDF_CTX *ctx = NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, "SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, key_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, salt_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, strlen(info)),
		OSSL_PARAM_construct_end(),
	};
	bool done;

	if (!md || !kdf)
		return -ENOMEM;
	secret_openssl_begin();
	ctx = EVP_KDF_CTX_new(kdf);
	done = ctx && EVP_KDF_derive(ctx, out, len, params) == 1;
	secret_openssl_end();
	return done ? 0 : -ENOMEM;
}

/* A context with its key, in secret memory; enc as EVP_CipherInit has it. */
static EVP_CIPHER_CTX *cipher_create(const uint8_t *key, const uint8_t *nonce, int enc)
{
	cleanup(free_cipher) EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	EVP_CIPHER_CTX *ctx = NULL;

	if (!cipher)
		return NULL;
	secret_openssl_begin();
	ctx = EVP_CIPHER_CTX_new();
	if (ctx && EVP_CipherInit_ex2(ctx, cipher, key, nonce, enc, NULL) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		ctx = NULL;
	}
	secret_openssl_end();
	return ctx;
}

int aead_seal(const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], const void *aad, size_t aad_len, const void *in,
	size_t len, void *out)
{
	cleanup(free_cipher_ctx) EVP_CIPHER_CTX *ctx = NULL;
	uint8_t *text = out;
	int n, tail;

	if (len > INT_MAX - AEAD_TAG || aad_len > INT_MAX)
		return -EFBIG;
	ctx = cipher_create(key, nonce, 1);
	if (!ctx || (aad_len && EVP_EncryptUpdate(ctx, NULL, &n, aad, (int)aad_len) != 1) ||
	    EVP_EncryptUpdate(ctx, text, &n, in, (int)len) != 1 || EVP_EncryptFinal_ex(ctx, text + n, &tail) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, text + len) != 1)
		return -ENOMEM;
	return 0;
}

int aead_open(const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], const void *aad, size_t aad_len, const void *in,
	size_t len, void *out)
{
	cleanup(free_cipher_ctx) EVP_CIPHER_CTX *ctx = NULL;
	uint8_t *text = out, tag[AEAD_TAG];
	int n, tail;

	if (len < AEAD_TAG || len > INT_MAX || aad_len > INT_MAX)
		return -EBADMSG;
	len -= AEAD_TAG;
	memcpy(tag, (const uint8_t *)in + len, AEAD_TAG);
	ctx = cipher_create(key, nonce, 0);
	if (!ctx || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG, tag) != 1 ||
	    (aad_len && EVP_DecryptUpdate(ctx, NULL, &n, aad, (int)aad_len) != 1) ||
	    EVP_DecryptUpdate(ctx, text, &n, in, (int)len) != 1)
		return -ENOMEM;
	if (EVP_DecryptFinal_ex(ctx, text + n, &tail) == 1)
		return 0;
	secret_wipe(text, len);
	return -EBADMSG;
}

/* The one-message key and its nonce, in secret memory. */
static int derive_own(const uint8_t key[AEAD_KEY], const char *purpose, const void *salt, uint8_t **own)
{
	*own = secret_alloc(AEAD_KEY + AEAD_NONCE);
	return *own ? aead_derive(key, AEAD_KEY, salt, AEAD_SALT, purpose, *own, AEAD_KEY + AEAD_NONCE) : -ENOMEM;
}

int aead_wrap(const uint8_t key[AEAD_KEY], const char *purpose, const void *aad, size_t aad_len, const void *in, size_t len,
	void *out)
{
	cleanup(free_secret) uint8_t *own = NULL;
	int rc;

	secret_random(out, AEAD_SALT);
	rc = derive_own(key, purpose, out, &own);
	return rc ? rc : aead_seal(own, own + AEAD_KEY, aad, aad_len, in, len, (uint8_t *)out + AEAD_SALT);
}

int aead_unwrap(const uint8_t key[AEAD_KEY], const char *purpose, const void *aad, size_t aad_len, const void *in, size_t len,
	void *out)
{
	cleanup(free_secret) uint8_t *own = NULL;
	int rc;

	if (len < AEAD_WRAP)
		return -EBADMSG;
	rc = derive_own(key, purpose, in, &own);
	return rc ? rc : aead_open(own, own + AEAD_KEY, aad, aad_len, (const uint8_t *)in + AEAD_SALT, len - AEAD_SALT, out);
}
