/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/aead.h"
#include <errno.h>
#include "crypto/secret.h"
#include "tests/unit/suite.h"

/* RFC 5869, test case 1. */
static void derives_as_the_rfc_says(void)
{
	static const uint8_t okm[42] = {
		0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90, 0x43, 0x4f, 0x64, 0xd0, 0x36, 0x2f, 0x2a, 0x2d, 0x2d, 0x0a, 0x90, 0xcf,
		0x1a, 0x5a, 0x4c, 0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf, 0x34, 0x00, 0x72, 0x08, 0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65,
	};
	static const char info[] = { '\xf0', '\xf1', '\xf2', '\xf3', '\xf4', '\xf5', '\xf6', '\xf7', '\xf8', '\xf9', 0 };
	uint8_t key[22], salt[13], out[42];

	memset(key, 0x0b, sizeof key);
	for (uint8_t i = 0; i < sizeof salt; i++)
		salt[i] = i;
	check_eq(aead_derive(key, sizeof key, salt, sizeof salt, info, out, sizeof out), 0);
	check(!memcmp(out, okm, sizeof out));
}

/* McGrew and Viega, The Galois/Counter Mode of Operation, test case 16. */
static void seals_as_the_specification_says(void)
{
	static const uint8_t key[32] = {
		0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
		0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
	};
	static const uint8_t nonce[12] = { 0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88 };
	static const uint8_t plain[60] = {
		0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26, 0x9a, 0x86, 0xa7, 0xa9, 0x53,
		0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53,
		0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25, 0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39,
	};
	static const uint8_t aad[20] = {
		0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2,
	};
	static const uint8_t first[8] = { 0x52, 0x2d, 0xc1, 0xf0, 0x99, 0x56, 0x7d, 0x07 };
	static const uint8_t tag[16] = {
		0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d, 0x55, 0x1b,
	};
	uint8_t out[76], back[60];

	check_eq(aead_seal(key, nonce, aad, sizeof aad, plain, sizeof plain, out), 0);
	check(!memcmp(out, first, sizeof first) && !memcmp(out + 60, tag, sizeof tag));
	check_eq(aead_open(key, nonce, aad, sizeof aad, out, sizeof out, back), 0);
	check(!memcmp(back, plain, sizeof plain));
}

static void a_changed_bit_anywhere_is_refused(void)
{
	uint8_t key[AEAD_KEY] = { 1 }, in[20], wrap[sizeof in + AEAD_WRAP], out[sizeof in], zeroes[sizeof in] = { 0 };

	memset(in, 7, sizeof in);
	check_eq(aead_wrap(key, "test", "aad", 3, in, sizeof in, wrap), 0);
	for (size_t bit = 0; bit < sizeof wrap * 8; bit++) {
		wrap[bit / 8] ^= (uint8_t)(1 << bit % 8);
		check_eq(aead_unwrap(key, "test", "aad", 3, wrap, sizeof wrap, out), -EBADMSG);
		check(!memcmp(out, zeroes, sizeof out));
		wrap[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	check_eq(aead_unwrap(key, "test", "aad", 3, wrap, sizeof wrap, out), 0);
	check(!memcmp(out, in, sizeof out));
}

static void another_key_purpose_or_aad_is_refused(void)
{
	uint8_t key[AEAD_KEY] = { 1 }, other[AEAD_KEY] = { 2 }, wrap[4 + AEAD_WRAP], out[4];

	check_eq(aead_wrap(key, "test", "aad", 3, "four", 4, wrap), 0);
	check_eq(aead_unwrap(other, "test", "aad", 3, wrap, sizeof wrap, out), -EBADMSG);
	check_eq(aead_unwrap(key, "tess", "aad", 3, wrap, sizeof wrap, out), -EBADMSG);
	check_eq(aead_unwrap(key, "test", "aaa", 3, wrap, sizeof wrap, out), -EBADMSG);
	check_eq(aead_unwrap(key, "test", NULL, 0, wrap, sizeof wrap, out), -EBADMSG);
	for (size_t len = 0; len < sizeof wrap; len++)
		check_eq(aead_unwrap(key, "test", "aad", 3, wrap, len, out), -EBADMSG);
}

static void nothing_can_be_wrapped(void)
{
	uint8_t key[AEAD_KEY] = { 1 }, wrap[AEAD_WRAP], again[AEAD_WRAP], out[1];

	check_eq(aead_wrap(key, "test", NULL, 0, "", 0, wrap), 0);
	check_eq(aead_unwrap(key, "test", NULL, 0, wrap, sizeof wrap, out), 0);
	check_eq(aead_wrap(key, "test", NULL, 0, "", 0, again), 0);
	check(memcmp(wrap, again, AEAD_SALT));	/* two wraps of one thing have nothing in common */
	wrap[40] ^= 1;
	check_eq(aead_unwrap(key, "test", NULL, 0, wrap, sizeof wrap, out), -EBADMSG);
}

static const struct test tests[] = {
	{ "derives as the RFC says", derives_as_the_rfc_says },
	{ "seals as the specification says", seals_as_the_specification_says },
	{ "a changed bit anywhere is refused", a_changed_bit_anywhere_is_refused },
	{ "another key, purpose or aad is refused", another_key_purpose_or_aad_is_refused },
	{ "nothing can be wrapped", nothing_can_be_wrapped },
	{ NULL, NULL },
};
const struct suite suite_crypto_aead = { tests };
