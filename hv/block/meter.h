/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The meter layer: counts operations and bytes, and sorts latencies into a histogram of powers of two. A request's time runs from
 * when it comes to when it ends. At most BLOCK_METER_REQUESTS are passed on at a time; more wait in order, their time running.
 */
#pragma once
#include "hv/block/block.h"
#include "hv/clock.h"

enum { BLOCK_METER_REQUESTS = 256 };	/* as many as a virtio queue holds */
enum { BLOCK_METER_BUCKETS = 32 };	/* bucket i: [2^i, 2^(i+1)) ns × 256; the first takes what is shorter, the last the rest */

struct block_meter_op { uint64_t ops, bytes, errors, total_ns, max_ns, bucket[BLOCK_METER_BUCKETS]; };
struct block_meter { struct block_meter_op op[BLOCK_OPS]; unsigned in_flight, most_in_flight; };

/* Takes lower over when it succeeds. */
int block_meter_create(struct block *lower, struct clock *clock, struct block **b) must_check;
const struct block_meter *block_meter_read(const struct block *b);
/*
 * Nanoseconds that a share (0…1) of the requests did not exceed: the upper edge of the bucket, or the longest if that is less;
 * 0 without requests.
 */
uint64_t block_meter_quantile(const struct block_meter_op *op, double share);
