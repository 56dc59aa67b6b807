/* SPDX-License-Identifier: Apache-2.0 */
/* The real clock: CLOCK_MONOTONIC, with timers on the event loop. Under the device lock, as all of struct clock. */
#pragma once
#include "hv/clock.h"
#include "lib/loop.h"

#define CLOCK_REAL_TIMERS 64

struct clock_real {
	struct clock clock;
	struct loop *loop;
	unsigned count;
	struct clock_real_slot { struct clock_timer *timer; struct loop_timer *loop_timer; } slot[CLOCK_REAL_TIMERS];
};

void clock_real_init(struct clock_real *c, struct loop *loop);
void clock_real_free(struct clock_real *c);	/* after the devices that own the timers */
