/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map layer: one disk from slices of several volumes, one after the other. A request may span several.
 *
 * Requests are cut into parts, one a slice, taken from a pool of a fixed size; what finds the pool empty waits in order. A
 * request that spans slices ends when all its parts have, with the error of the first part that failed: the others may have
 * reached the medium, as with any disk whose write fails half way. A part whose scatter list is cut inside an element and has
 * more elements than a pool entry holds needs memory; without it the request ends with -ENOMEM.
 */
#pragma once
#include "hv/block/block.h"

struct block_slice { struct block *lower; uint64_t off, len; };	/* bytes of lower; len 0: to its end */

/*
 * Takes the lower layers over when it succeeds; a lower layer may stand in several slices and is freed once. Sector sizes are the
 * largest below; a slice that is not a multiple of them, or beyond lower's end, is -EINVAL with a message. Flush goes to every
 * lower layer and fails if any fails. The map discards when any layer below can; the others keep their data, as they may.
 */
int block_map_create(const struct block_slice *slices, unsigned count, struct block **b, struct err *err) must_check;
