/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rate limit layer: bytes and operations per second with a burst of one tenth of a second (at least one request), kept by
 * token buckets. Requests over the limit wait in order; flushes wait only behind what came before them, and cost nothing.
 * Discards cost an operation and no bytes: none move. Zeroes do, since an encrypted volume is written with them. Draining (a reset,
 * power off) lets go at once what waits, and charges for it.
 */
#pragma once
#include "hv/block/block.h"
#include "hv/clock.h"

struct block_rate { uint64_t bytes, ops; };	/* per second; 0: no limit */

/* "200M/s 5000/s": bytes with K, M or G (powers of 1024), operations without a unit; either alone will do. */
int block_rate_parse(const char *text, struct block_rate *rate, struct err *err) must_check;
/* Takes lower over when it succeeds. */
int block_limit_create(struct block *lower, const struct block_rate *rate, struct clock *clock, struct block **b) must_check;
/* Both buckets are full again, and what waits is judged anew. */
void block_limit_set(struct block *b, const struct block_rate *rate);
