/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clock that stands still until a test moves it. fake_clock_advance fires the timers that fall due in deadline order,
 * each at its own deadline (so now_ns reads exactly that inside fire), those armed on the way too. Header only.
 */
#pragma once
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "hv/clock.h"

#define FAKE_CLOCK_TIMERS 32

struct fake_clock {
	struct clock clock;		/* first: what devices are given */
	uint64_t now;
	int64_t wall;			/* moves with now */
	struct clock_timer *timers[FAKE_CLOCK_TIMERS];	/* armed, in order of arming */
	unsigned count;
	uint64_t fired;			/* timers fired so far */
};

static inline uint64_t fake_clock_now(struct clock *clock)
{
	return ((struct fake_clock *)clock)->now;
}

static inline int64_t fake_clock_wall(struct clock *clock)
{
	return ((struct fake_clock *)clock)->wall;
}

static inline void fake_clock_disarm(struct clock *clock, struct clock_timer *timer)
{
	struct fake_clock *f = (struct fake_clock *)clock;

	for (unsigned i = 0; i < f->count; i++) {
		if (f->timers[i] == timer) {
			f->count--;
			memmove(&f->timers[i], &f->timers[i + 1], (f->count - i) * sizeof f->timers[0]);
			return;
		}
	}
}

static inline void fake_clock_arm(struct clock *clock, struct clock_timer *timer)
{
	struct fake_clock *f = (struct fake_clock *)clock;

	fake_clock_disarm(clock, timer);
	if (f->count == FAKE_CLOCK_TIMERS)
		abort();
	f->timers[f->count++] = timer;
}

static const struct clock_ops fake_clock_ops = {
	.now_ns = fake_clock_now, .wall_ns = fake_clock_wall, .arm = fake_clock_arm, .disarm = fake_clock_disarm,
};

static inline void fake_clock_init(struct fake_clock *f)
{
	*f = (struct fake_clock){ .clock.ops = &fake_clock_ops, .now = 1000000000u };
}

/* The armed timer with the earliest deadline (the first armed of equals), or NULL. */
static inline struct clock_timer *fake_clock_next(const struct fake_clock *f)
{
	struct clock_timer *next = NULL;

	for (unsigned i = 0; i < f->count; i++)
		if (!next || f->timers[i]->deadline_ns < next->deadline_ns)
			next = f->timers[i];
	return next;
}

/* Move time on by ns. A timer that keeps arming itself at or before now fires at most 100,000 times. */
static inline void fake_clock_advance(struct fake_clock *f, uint64_t ns)
{
	uint64_t end = f->now + ns;
	struct clock_timer *t;

	for (unsigned n = 0; n < 100000 && (t = fake_clock_next(f)) && t->deadline_ns <= end; n++) {
		if (t->deadline_ns > f->now) {
			f->wall += (int64_t)(t->deadline_ns - f->now);
			f->now = t->deadline_ns;
		}
		fake_clock_disarm(&f->clock, t);
		t->armed = false;
		f->fired++;
		t->fire(t->ctx);
	}
	f->wall += (int64_t)(end - f->now);
	f->now = end;
}
