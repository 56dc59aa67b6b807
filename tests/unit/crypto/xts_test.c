/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/xts.h"
#include <errno.h>
#include <openssl/evp.h>
#include "crypto/secret.h"
#include "lib/scope.h"
#include "tests/unit/suite.h"

/* IEEE 1619-2007, annex B, vector 4 (AES-128, data unit 0) and vector 10 (AES-256, data unit 0xff): 512 bytes 00 01 … ff 00 … */
static const uint8_t key128[32] = {
	0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60, 0x28, 0x74, 0x71, 0x35, 0x26,
	0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95,
};
static const uint8_t key256[64] = {
	0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60, 0x28, 0x74, 0x71, 0x35, 0x26,
	0x62, 0x49, 0x77, 0x57, 0x24, 0x70, 0x93, 0x69, 0x99, 0x59, 0x57, 0x49, 0x66, 0x96, 0x76, 0x27,
	0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95,
	0x02, 0x88, 0x41, 0x97, 0x16, 0x93, 0x99, 0x37, 0x51, 0x05, 0x82, 0x09, 0x74, 0x94, 0x45, 0x92,
};
static const uint8_t begins128[16] = {
	0x27, 0xa7, 0x47, 0x9b, 0xef, 0xa1, 0xd4, 0x76, 0x48, 0x9f, 0x30, 0x8c, 0xd4, 0xcf, 0xa6, 0xe2,
};
static const uint8_t begins256[16] = {
	0x1c, 0x3b, 0x3a, 0x10, 0x2f, 0x77, 0x03, 0x86, 0xe4, 0x83, 0x6c, 0x99, 0xe3, 0x70, 0xcf, 0x9b,
};

static void count_up(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)i;
}

static void the_standards_vectors_hold(void)
{
	uint8_t in[512], out[512];
	struct xts *x;

	count_up(in, sizeof in);
	check_or_return(!xts_create(key128, 32, 512, &x, NULL));
	check_eq(xts_sector(x), 512);
	xts_encrypt(x, 0, out, in, sizeof in);
	check(!memcmp(out, begins128, sizeof begins128));
	xts_decrypt(x, 0, out, out, sizeof out);
	check(!memcmp(out, in, sizeof in));
	xts_free(x);
	check_or_return(!xts_create(key256, 64, 512, &x, NULL));
	xts_encrypt(x, 0xff, out, in, sizeof in);
	check(!memcmp(out, begins256, sizeof begins256));
	xts_decrypt(x, 0xff, out, out, sizeof out);
	check(!memcmp(out, in, sizeof in));
	xts_free(x);
}

static void aes(const uint8_t *key, unsigned len, const uint8_t *in, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;

	check(EVP_EncryptInit_ex(c, len == 16 ? EVP_aes_128_ecb() : EVP_aes_256_ecb(), NULL, key, NULL));
	EVP_CIPHER_CTX_set_padding(c, 0);
	check(EVP_EncryptUpdate(c, out, &n, in, 16));
	EVP_CIPHER_CTX_free(c);
}

/* XTS by its definition: C = AES(K1, P ^ T) ^ T, T = AES(K2, tweak) times alpha to the block's number. */
static void by_definition(const uint8_t *key, unsigned half, uint64_t tweak, const uint8_t *in, uint8_t *out, size_t len)
{
	uint8_t t[16] = { 0 }, block[16];

	for (unsigned i = 0; i < 8; i++)
		t[i] = (uint8_t)(tweak >> 8 * i);
	aes(key + half, half, t, t);
	for (size_t o = 0; o < len; o += 16) {
		unsigned carry = 0;

		for (unsigned i = 0; i < 16; i++)
			block[i] = in[o + i] ^ t[i];
		aes(key, half, block, block);
		for (unsigned i = 0; i < 16; i++)
			out[o + i] = block[i] ^ t[i];
		for (unsigned i = 0; i < 16; i++) {
			unsigned next = t[i] >> 7;

			t[i] = (uint8_t)(t[i] << 1 | carry);
			carry = next;
		}
		if (carry)
			t[0] ^= 0x87;
	}
}

static void a_sectors_tweak_is_its_offset_in_512_byte_units(void)
{
	static uint8_t in[16384], out[16384], want[16384];
	static const struct { unsigned key_len; uint32_t sector; uint64_t tweak; } cases[] = {
		{ 64, 512, 0 }, { 64, 4096, 8 }, { 64, 2048, 0x123456789abcdef0 }, { 32, 1024, 6 }, { 32, 4096, UINT64_MAX - 7 },
	};

	secret_random(in, sizeof in);
	for (unsigned i = 0; i < array_len(cases); i++) {
		const uint8_t *key = cases[i].key_len == 64 ? key256 : key128;
		struct xts *x;

		check_or_return(!xts_create(key, cases[i].key_len, cases[i].sector, &x, NULL));
		xts_encrypt(x, cases[i].tweak, out, in, sizeof in);
		for (uint64_t o = 0; o < sizeof in; o += cases[i].sector)
			by_definition(key, cases[i].key_len / 2, cases[i].tweak + o / 512, in + o, want + o, cases[i].sector);
		check(!memcmp(out, want, sizeof want));
		xts_decrypt(x, cases[i].tweak, out, out, sizeof out);
		check(!memcmp(out, in, sizeof in));
		xts_free(x);
	}
}

static void bad_keys_and_sectors_are_refused(void)
{
	uint8_t equal[64];
	struct err err = { 0 };
	struct xts *x;

	memset(equal, 7, sizeof equal);
	check_eq(xts_create(equal, 64, 512, &x, &err), -EINVAL);
	check_str(err.text, "the volume key's two halves are equal, so it is not an AES-XTS key; make a new one");
	check_eq(xts_create(equal, 32, 512, &x, &err), -EINVAL);
	check_eq(xts_create(key256, 48, 512, &x, &err), -EINVAL);
	check_str(err.text, "AES-XTS takes keys of 256 or 512 bits, not 384");
	check_eq(xts_create(key256, 64, 256, &x, &err), -EINVAL);
	check_str(err.text, "encryption sectors of 256 bytes are not supported; 512, 1024, 2048 and 4096 are");
	check_eq(xts_create(key256, 64, 8192, &x, &err), -EINVAL);
	check_eq(xts_create(key256, 64, 1536, &x, &err), -EINVAL);
	xts_free(NULL);
}

static void parts_of_a_sector_stand_by_themselves(void)
{
	static uint8_t in[4096], out[4096], changed[4096];
	struct xts *x;

	secret_random(in, sizeof in);
	check_or_return(!xts_create(key256, 64, 4096, &x, NULL));
	xts_encrypt(x, 8, out, in, sizeof in);
	in[1024] ^= 1;
	xts_encrypt(x, 8, changed, in, sizeof in);
	check(!memcmp(out, changed, 1024));
	check(memcmp(out + 1024, changed + 1024, 16));
	check(!memcmp(out + 1040, changed + 1040, sizeof out - 1040));
	xts_free(x);
}

static const struct test tests[] = {
	{ "the standard's vectors hold", the_standards_vectors_hold },
	{ "a sector's tweak is its offset in 512-byte units", a_sectors_tweak_is_its_offset_in_512_byte_units },
	{ "bad keys and sectors are refused", bad_keys_and_sectors_are_refused },
	{ "parts of a sector stand by themselves", parts_of_a_sector_stand_by_themselves },
	{ NULL, NULL },
};
const struct suite suite_crypto_xts = { tests };
