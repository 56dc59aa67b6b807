/* SPDX-License-Identifier: Apache-2.0 */
/* The real clock: CLOCK_MONOTONIC, with timers on the event loop. Under the device lock, as all of struct clock. */
#pragma once
#include "hv/clock.h"
#include "lib/loop.h"

struct clock_real_slot;		/* what a device's timer has on the loop */

struct clock_real {
	struct clock clock;
	struct loop *loop;
	struct clock_real_slot *slots;	/* list */
};

void clock_real_init(struct clock_real *c, struct loop *loop);
void clock_real_free(struct clock_real *c);	/* after the devices that own the timers */
