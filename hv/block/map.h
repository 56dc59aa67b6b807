/* SPDX-License-Identifier: Apache-2.0 */
/* The map layer: one disk from slices of several volumes, one after the other. A request may span several. */
#pragma once
#include "hv/block/block.h"

struct block_slice { struct block *lower; uint64_t off, len; };	/* bytes of lower; len 0: to its end */

/*
 * Takes the lower layers over when it succeeds; a lower layer may stand in several slices and is freed once. Sector sizes are the
 * largest below; a slice that is not a multiple of them, or beyond lower's end, is -EINVAL with a message. Flush goes to every
 * lower layer and fails if any fails.
 */
int block_map_create(const struct block_slice *slices, unsigned count, struct block **b, struct err *err) must_check;
