/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encryption layer: plaintext above, AES-XTS ciphertext below, as a LUKS layout says. Plaintext never leaves the
 * request's own memory; ciphertext goes through the layer's own aligned buffers. Reads and writes smaller than a
 * crypto sector are served by reading, changing and writing back whole sectors, one writer a sector at a time.
 *
 * While a volume's key is rotated, two keys are in use: one on each side of a boundary, and a frozen zone between.
 */
#pragma once
#include "crypto/luks/layout.h"
#include "hv/block/block.h"

/*
 * Puts the layer on lower, which holds the volume with its header (layout->data_off is where ciphertext begins; 0 with a
 * detached header). Takes lower over, also when it fails. Keys are copied out of layout into locked memory.
 * Refuses (-EINVAL, with a message) a layout that does not fit lower's size.
 */
int block_crypt_create(struct block *lower, const struct luks_layout *layout, struct block **b, struct err *err) must_check;

/* ---- rotation; all under the device lock, b from block_crypt_create */

/* A second key comes into use: nothing is under it yet (boundary at the beginning). -EBUSY when there are two already. */
int block_crypt_rotate_begin(struct block *b, const struct luks_segment *fresh, struct err *err) must_check;
/*
 * Freeze [off, off + len) of the plaintext: requests that touch it wait, and done is called (perhaps at once) when none is in
 * flight there. One zone at a time.
 */
void block_crypt_freeze(struct block *b, uint64_t off, uint64_t len, void (*done)(void *ctx), void *ctx);
/* What lies below boundary is under the new key from now on; the zone's requests go on. */
void block_crypt_thaw(struct block *b, uint64_t boundary);
/* Everything is under the new key; the old one is wiped. */
void block_crypt_rotate_end(struct block *b);
/* How far: bytes under the new key; false when no rotation is under way. */
bool block_crypt_rotating(const struct block *b, uint64_t *boundary);
