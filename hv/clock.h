/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time as devices see it. Injected into every chip core: the machine gives the real one, tests a fake one.
 * Under the device lock, as all calls into a device.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct clock_timer {
	void (*fire)(void *ctx);	/* called once when the deadline has passed, under the device lock, never from clock_arm */
	void *ctx;
	uint64_t deadline_ns;
	bool armed;
	void *priv;			/* the clock's own */
};

struct clock {
	const struct clock_ops *ops;
};

struct clock_ops {
	uint64_t (*now_ns)(struct clock *clock);	/* monotonic, does not run while the guest is stopped */
	int64_t (*wall_ns)(struct clock *clock);	/* CLOCK_REALTIME, for RTCs */
	void (*arm)(struct clock *clock, struct clock_timer *timer);	/* deadline_ns is set; moves an armed timer */
	void (*disarm)(struct clock *clock, struct clock_timer *timer);
};

static inline uint64_t clock_now(struct clock *clock) { return clock->ops->now_ns(clock); }
static inline int64_t clock_wall(struct clock *clock) { return clock->ops->wall_ns(clock); }
static inline void clock_arm(struct clock *clock, struct clock_timer *timer, uint64_t deadline_ns)
{
	timer->deadline_ns = deadline_ns;
	timer->armed = true;
	clock->ops->arm(clock, timer);
}
static inline void clock_disarm(struct clock *clock, struct clock_timer *timer)
{
	if (timer->armed) {
		timer->armed = false;
		clock->ops->disarm(clock, timer);
	}
}
