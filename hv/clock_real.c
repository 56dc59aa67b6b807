/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/clock_real.h"
#include <stddef.h>
#include <time.h>
#include "lib/log.h"
#include "lib/scope.h"

struct clock_real_slot {
	struct clock_real_slot *next;
	struct clock_timer *timer;
	struct loop_timer *loop_timer;
};

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
	s = calloc(1, sizeof *s);
	if (!s || loop_timer_create(c->loop, fire, s, &s->loop_timer)) {
		free(s);
		return NULL;
	}
	s->timer = t;
	s->next = c->slots;
	c->slots = s;
	t->priv = s;
	return s;
}

static void arm(struct clock *clock, struct clock_timer *t)
{
	struct clock_real_slot *s = slot_of(container_of(clock, struct clock_real, clock), t);

	if (s)
		loop_timer_arm(s->loop_timer, t->deadline_ns);
	else
		log_limited(LOG_WARN, "no memory for a device's timer: it will not fire");
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
	for (struct clock_real_slot *s = c->slots, *next; s; s = next) {
		next = s->next;
		loop_timer_free(s->loop_timer);
		free(s);
	}
	c->slots = NULL;
}
