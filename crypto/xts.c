/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/xts.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include "crypto/secret.h"
#include "lib/bits.h"
#include "lib/scope.h"

/* The key is set once; a sector only sets the tweak. A context has one direction, so there are two. */
struct xts {
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *encrypt, *decrypt;
	uint32_t sector;
};

/* The key has been checked: only memory can lack. */
static bool set_keys(struct xts *x, const uint8_t *key)
{
	x->encrypt = EVP_CIPHER_CTX_new();
	x->decrypt = EVP_CIPHER_CTX_new();
	return x->encrypt && x->decrypt && EVP_EncryptInit_ex2(x->encrypt, x->cipher, key, NULL, NULL) &&
		EVP_DecryptInit_ex2(x->decrypt, x->cipher, key, NULL, NULL);
}

int xts_create(const uint8_t *key, unsigned key_len, uint32_t sector, struct xts **x, struct err *err)
{
	struct xts *n;
	bool set;

	if (key_len != 32 && key_len != 64)
		return err_set(err, -EINVAL, "AES-XTS takes keys of 256 or 512 bits, not %u", key_len * 8);
	if (sector < 512 || sector > 4096 || !bits_is_pow2(sector))
		return err_set(err, -EINVAL, "encryption sectors of %u bytes are not supported; 512, 1024, 2048 and 4096 are", sector);
	/* OpenSSL refuses such a key (SP 800-38E wants the halves to differ): no volume under it can be used. */
	if (secret_equal(key, key + key_len / 2, key_len / 2))
		return err_set(err, -EINVAL, "the volume key's two halves are equal, so it is not an AES-XTS key; make a new one");
	n = calloc(1, sizeof *n);
	if (!n)
		return err_set(err, -ENOMEM, "out of memory");
	n->sector = sector;
	n->cipher = EVP_CIPHER_fetch(NULL, key_len == 32 ? "AES-128-XTS" : "AES-256-XTS", NULL);
	if (!n->cipher) {
		xts_free(n);
		return err_set(err, -ENOTSUP, "OpenSSL offers no AES-%u-XTS; its default provider is needed", key_len * 4);
	}
	secret_openssl_begin();
	set = set_keys(n, key);
	secret_openssl_end();
	if (!set) {
		xts_free(n);
		return secret_refused(err, -ENOMEM);
	}
	*x = n;
	return 0;
}

void xts_free(struct xts *x)
{
	if (!x)
		return;
	/* The contexts cleanse their key schedules. */
	EVP_CIPHER_CTX_free(x->encrypt);
	EVP_CIPHER_CTX_free(x->decrypt);
	EVP_CIPHER_free(x->cipher);
	free(x);
}

uint32_t xts_sector(const struct xts *x)
{
	return x->sector;
}

void xts_encrypt(struct xts *x, uint64_t tweak, uint8_t *out, const uint8_t *in, size_t len)
{
	uint8_t iv[16] = { 0 };
	int n;

	bug_on(len & (x->sector - 1));
	for (; len; len -= x->sector, out += x->sector, in += x->sector, tweak += x->sector / 512) {
		put_le64(iv, tweak);
		bug_on(!EVP_EncryptInit_ex2(x->encrypt, NULL, NULL, iv, NULL) ||
			!EVP_EncryptUpdate(x->encrypt, out, &n, in, (int)x->sector));
	}
}

void xts_decrypt(struct xts *x, uint64_t tweak, uint8_t *out, const uint8_t *in, size_t len)
{
	uint8_t iv[16] = { 0 };
	int n;

	bug_on(len & (x->sector - 1));
	for (; len; len -= x->sector, out += x->sector, in += x->sector, tweak += x->sector / 512) {
		put_le64(iv, tweak);
		bug_on(!EVP_DecryptInit_ex2(x->decrypt, NULL, NULL, iv, NULL) ||
			!EVP_DecryptUpdate(x->decrypt, out, &n, in, (int)x->sector));
	}
}
