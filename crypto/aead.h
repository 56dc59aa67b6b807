/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authenticated encryption of small things: AES-256-GCM (NIST SP 800-38D) and HKDF with SHA-256 (RFC 5869), by OpenSSL. Any thread.
 *
 * Wrapping is what nearly everybody wants: each call draws a salt of 32 random bytes and derives a key and a nonce of its own from
 * the wrapping key, that salt and the purpose. No key is used for two messages, so no nonce can repeat.
 * A wrap is the salt, the ciphertext and the tag, in this order.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"

enum { AEAD_KEY = 32, AEAD_NONCE = 12, AEAD_TAG = 16, AEAD_SALT = 32, AEAD_WRAP = AEAD_SALT + AEAD_TAG };

/* HKDF: extract with salt, expand with info (a string; its NUL is not part of it). -ENOMEM. */
int aead_derive(const void *key, size_t key_len, const void *salt, size_t salt_len, const char *info, void *out,
	size_t len) must_check;

/* len bytes of in → len + AEAD_TAG bytes of out. A nonce must never come twice with one key. -ENOMEM. */
int aead_seal(const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], const void *aad, size_t aad_len, const void *in,
	size_t len, void *out) must_check;
/* The reverse: len counts the tag, out gets len - AEAD_TAG. -EBADMSG: changed, or another key, nonce or aad; out is zeroes. */
int aead_open(const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], const void *aad, size_t aad_len, const void *in,
	size_t len, void *out) must_check;

/* len bytes of in → len + AEAD_WRAP bytes of out, for one purpose (a string) and bound to aad. -ENOMEM. */
int aead_wrap(const uint8_t key[AEAD_KEY], const char *purpose, const void *aad, size_t aad_len, const void *in, size_t len,
	void *out) must_check;
/* The reverse: len counts AEAD_WRAP. -EBADMSG as above. */
int aead_unwrap(const uint8_t key[AEAD_KEY], const char *purpose, const void *aad, size_t aad_len, const void *in, size_t len,
	void *out) must_check;
