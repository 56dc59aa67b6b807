/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk cipher: AES-XTS (IEEE 1619) with plain64 tweaks, as dm-crypt and LUKS use it: the tweak of a crypto sector is its
 * offset in 512-byte units, little endian, whatever the sector size. OpenSSL does the work. One thread at a time per cipher.
 */
#pragma once
#include <stdint.h>
#include <sys/uio.h>
#include "lib/err.h"

struct xts;

/* key_len 32 (AES-128) or 64 (AES-256); sector 512, 1024, 2048 or 4096. -EINVAL otherwise. */
int xts_create(const uint8_t *key, unsigned key_len, uint32_t sector, struct xts **x, struct err *err) must_check;
void xts_free(struct xts *x);	/* wipes; NULL is fine */
uint32_t xts_sector(const struct xts *x);
/*
 * len bytes, a multiple of the sector, from `in` to `out` (equal or not overlapping). tweak: the first sector's offset in
 * 512-byte units. Cannot fail for good arguments: OpenSSL refusing is a bug of ours.
 */
void xts_encrypt(struct xts *x, uint64_t tweak, uint8_t *out, const uint8_t *in, size_t len);
void xts_decrypt(struct xts *x, uint64_t tweak, uint8_t *out, const uint8_t *in, size_t len);
