/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket. What is left may become negative by one frame, so that a super-frame passes a small bucket and is paid for
 * afterwards. Time is given by the caller. One thread.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/err.h"

/* per: units a second, 0: no limit; burst: units */
struct rate_limit { uint64_t per_s, burst; };
struct rate { struct rate_limit limit; int64_t left; uint64_t at_ns, rest; };

#define RATE_BURST_MIN (256u << 10)	/* of bytes: some super-frames, or TCP can't open its window */
#define RATE_MAX (1ull << 40)

/* Full. */
void rate_init(struct rate *rate, struct rate_limit limit);
/* May units pass now? Then they are taken. */
bool rate_pass(struct rate *rate, uint64_t units, uint64_t now_ns);
/*
 * "BYTES/s [burst BYTES]" with K, M, G (powers of 1024); burst: a quarter of a second by default, with which TCP gets all of the
 * rate (with half of that, two thirds). -EINVAL: names the word.
 */
int rate_parse_bytes(const char *text, struct rate_limit *limit, struct err *err) must_check;
/* "FRAMES/s", or "off"; the burst is one second. */
int rate_parse_frames(const char *text, struct rate_limit *limit, struct err *err) must_check;
