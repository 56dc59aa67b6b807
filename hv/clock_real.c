/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/clock_real.h"
#include <stddef.h>
#include <time.h>
#include "lib/log.h"
#include "lib/scope.h"

static uint64_t now(struct clock *clock)
{
	return loop_now_ns();
}

static int64_t wall(struct clock *clock)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fire(void *ctx)
{
	struct clock_timer *t = ((struct clock_real_slot *)ctx)->timer;

	if (!t->armed)
		return;
	t->armed = false;
	t->fire(t->ctx);
}

/* A timer gets its slot when first armed and keeps it: devices own a fixed number of them. */
static struct clock_real_slot *slot_of(struct clock_real *c, struct clock_timer *t)
{
	struct clock_real_slot *s = t->priv;

	if (s)
		return s;
	bug_on(c->count == CLOCK_REAL_TIMERS);
	s = &c->slot[c->count];
	if (loop_timer_create(c->loop, fire, s, &s->loop_timer))
		return NULL;
	c->count++;
	s->timer = t;
	t->priv = s;
	return s;
}

static void arm(struct clock *clock, struct clock_timer *t)
{
	struct clock_real_slot *s = slot_of(container_of(clock, struct clock_real, clock), t);

	if (s)
		loop_timer_arm(s->loop_timer, t->deadline_ns);
	else
		log_limited(LOG_WARN, "a device timer could not be made: out of descriptors");
}

static void disarm(struct clock *clock, struct clock_timer *t)
{
	if (t->priv)
		loop_timer_disarm(((struct clock_real_slot *)t->priv)->loop_timer);
}

static const struct clock_ops ops = { .now_ns = now, .wall_ns = wall, .arm = arm, .disarm = disarm };

void clock_real_init(struct clock_real *c, struct loop *loop)
{
	*c = (struct clock_real){ .clock.ops = &ops, .loop = loop };
}

void clock_real_free(struct clock_real *c)
{
	for (unsigned i = 0; i < c->count; i++)
		loop_timer_free(c->slot[i].loop_timer);
	c->count = 0;
}
