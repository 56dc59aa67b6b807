/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The round trip of a path, and what is told of it to the end that lends leases by it (lib/l2/election.h): the worst of the last
 * minute, so that leases outlive lost segments, but not more than is of use on a path as long as this one is now. A pause of the
 * net or of a machine brings samples as long as itself; it is over, and must not make the next takeover slow.
 * Time is given by the caller. Pure functions.
 */
#pragma once
#include <stdint.h>

enum { ROUNDTRIP_CALM_MS = 150 };	/* may be told of a short path; it makes leases of 800 ms */

/* The extreme of the period that runs, and of the one before it. */
struct extreme { uint64_t now, before, from_ns; };

struct roundtrip {
	uint64_t smooth_ns, min_ns;	/* RFC 6298; 0: not known */
	struct extreme low, high;	/* of one to two seconds, of half a minute to a whole one */
};

void roundtrip_take(struct roundtrip *r, uint64_t rtt_ns, uint64_t now_ns);
uint32_t roundtrip_told_us(const struct roundtrip *r);	/* 0: not known */
