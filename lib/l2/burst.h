/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long to read from a descriptor that gives one frame a call. That nothing more is there shows only by one call in vain, which
 * stands between a lone frame and its way on: after many rounds that had one frame each it is made now and then only, to see whether
 * a burst has begun. Where it has, the loop comes again at once, so nothing waits but for its turn.
 */
#pragma once
#include <stdbool.h>

/* CALM: rounds of one frame in a row; of those that follow, one in LOOK looks for a second. */
enum { BURST_CALM = 32, BURST_LOOK = 8 };

struct burst { unsigned calm; };	/* rounds of one frame in a row; zero at first */

/* A round had so many frames by now: ask for another? */
static inline bool burst_goes_on(const struct burst *b, unsigned frames)
{
	return frames != 1 || b->calm < BURST_CALM || b->calm % BURST_LOOK == 0;
}

static inline void burst_end(struct burst *b, unsigned frames)
{
	if (frames > 1)
		b->calm = 0;
	else
		b->calm += frames;
}
