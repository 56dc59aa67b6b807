/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encryption layer: plaintext above, AES-XTS ciphertext below, as a LUKS layout says. Ciphertext goes through the layer's own
 * aligned buffers; decrypted data goes straight to the request's memory. Of a crypto sector that a request covers only in part, or
 * that its memory cuts, the plaintext passes through the buffer too, which no core file shows.
 *
 * Requests may be smaller than a crypto sector, down to lower's own sectors: XTS encrypts each 16 bytes of a sector by
 * themselves (IEEE 1619, 5.3.1), so the bytes written get the ciphertext that they have as part of their sector, and what stands
 * beside them is neither read nor written. Discards are passed on for whole crypto sectors, the rest of them is ignored;
 * discarded sectors read as whatever their remains decrypt to. Zeroes are written encrypted.
 *
 * A request is carried out in pieces; when some fail it ends once, after the last, with the first error.
 *
 * While a volume's key is rotated, two keys are in use: one on each side of a boundary, and a frozen zone between.
 *
 * block_drain while a zone is frozen: what waits for the zone ends with -ECANCELED, since it would not be carried out before
 * drain returns. Drain is for resets and for the end, where nobody waits for those requests any more.
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

/*
 * Rotation; all under the device lock, b from block_crypt_create. Order: begin, (freeze, thaw)…, end. A call that does not fit is
 * refused with -EINVAL and changes nothing, since what another process says decides the arguments.
 */

/* A second key comes into use: nothing is under it yet (boundary at the beginning). -EBUSY when there are two already. */
int block_crypt_rotate_begin(struct block *b, const struct luks_segment *fresh, struct err *err) must_check;
/*
 * Freeze [off, off + len) of the plaintext, in whole crypto sectors and cut at the end of the disk: requests wait before they touch
 * it, and done is called (perhaps at once) when none is in flight there. One zone at a time: -EBUSY.
 */
int block_crypt_freeze(struct block *b, uint64_t off, uint64_t len, void (*done)(void *ctx), void *ctx) must_check;
/*
 * What lies below boundary is under the new key from now on; the zone's requests go on. The boundary stays where it was (then also
 * before done was called, which is then not called any more) or moves up within the frozen zone, to a multiple of both keys'
 * sectors or to the end.
 */
int block_crypt_thaw(struct block *b, uint64_t boundary) must_check;
/*
 * Nobody will say soon what the frozen zone holds: what waits for it, and what comes until the thaw, ends with error. A thaw, or
 * error 0, undoes it. Nothing happens when no zone is frozen.
 */
void block_crypt_fail_zone(struct block *b, int error);
bool block_crypt_zone_frozen(const struct block *b);
/* Everything is under the new key (the boundary is at the end, else -EINVAL); the old one is wiped. */
int block_crypt_rotate_end(struct block *b) must_check;
/* How far: bytes under the new key; false when no rotation is under way. */
bool block_crypt_rotating(const struct block *b, uint64_t *boundary);
