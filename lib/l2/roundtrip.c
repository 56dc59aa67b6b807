/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/roundtrip.h"

#define MS 1000000ull
#define NS 1000000000ull

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Turned over by samples, not by time: before a long pause there was a period, too. */
static void turn(struct extreme *e, uint64_t rtt, uint64_t now, uint64_t period)
{
	if (e->now && now - e->from_ns < period)
		return;
	e->before = e->now ? e->now : rtt;
	e->now = rtt;
	e->from_ns = now;
}

void roundtrip_take(struct roundtrip *r, uint64_t rtt, uint64_t now)
{
	rtt = rtt ? rtt : 1;
	r->smooth_ns = r->smooth_ns ? (r->smooth_ns * 7 + rtt) / 8 : rtt;
	r->min_ns = r->min_ns ? smaller(r->min_ns, rtt) : rtt;
	turn(&r->low, rtt, now, NS);
	r->low.now = smaller(r->low.now, rtt);
	turn(&r->high, rtt, now, 30 * NS);
	r->high.now = larger(r->high.now, rtt);
}

uint32_t roundtrip_told_us(const struct roundtrip *r)
{
	uint64_t low = smaller(r->low.now, r->low.before), high = larger(r->high.now, r->high.before);

	/* nine quarters: the answer's way, and the lost segment's until it is missed and comes again */
	return (uint32_t)(smaller(smaller(high, larger(low * 9 / 4, ROUNDTRIP_CALM_MS * MS)), UINT32_MAX * 1000ull) / 1000);
}
