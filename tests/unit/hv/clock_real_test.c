/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/clock_real.h"
#include "tests/unit/suite.h"

enum { MS = 1000000, MANY = 200 };

struct rig {
	struct loop *loop;
	struct clock_real real;
	struct clock *clock;
	struct clock_timer timer[MANY];
	unsigned fired, order[8];
};

static struct rig *current;	/* one test at a time */

static void note(unsigned which)
{
	if (current->fired < 8)
		current->order[current->fired] = which;
	current->fired++;
}

static void first(void *ctx) { note(1); }
static void second(void *ctx) { note(2); }
static void last(void *ctx) { note(3); loop_stop(current->loop); }

static void again(void *ctx)
{
	note(4);
	if (current->fired < 3)
		clock_arm(current->clock, &current->timer[0], clock_now(current->clock));
}

static struct rig *start(void)
{
	static struct rig r;
	struct err err;

	memset(&r, 0, sizeof r);
	check_eq(loop_create(&r.loop, &err), 0);
	clock_real_init(&r.real, r.loop);
	r.clock = &r.real.clock;
	current = &r;
	return &r;
}

static void end(struct rig *r)
{
	clock_real_free(&r->real);
	loop_free(r->loop);
}

static void timer(struct rig *r, unsigned i, void (*fn)(void *), uint64_t after_ns)
{
	r->timer[i].fire = fn;
	clock_arm(r->clock, &r->timer[i], clock_now(r->clock) + after_ns);
}

static void timers_fire_in_order(void)
{
	struct rig *r = start();
	uint64_t begin = clock_now(r->clock);

	timer(r, 0, last, 6 * MS);
	timer(r, 1, second, 4 * MS);
	timer(r, 2, first, 2 * MS);
	check_eq(loop_run(r->loop), 0);
	check_eq(r->fired, 3);
	check(r->order[0] == 1 && r->order[1] == 2 && r->order[2] == 3);
	check(!r->timer[0].armed && !r->timer[1].armed && !r->timer[2].armed);
	check(clock_now(r->clock) - begin >= 6 * MS);
	end(r);
}

static void a_disarmed_timer_is_silent(void)
{
	struct rig *r = start();

	timer(r, 0, first, 0);
	clock_disarm(r->clock, &r->timer[0]);
	clock_disarm(r->clock, &r->timer[0]);
	clock_disarm(r->clock, &r->timer[3]);	/* never armed */
	timer(r, 1, last, MS);
	check_eq(loop_run(r->loop), 0);
	check_eq(r->fired, 1);
	end(r);
}

static void arming_again_moves(void)
{
	struct rig *r = start();

	timer(r, 0, first, 3600ull * 1000 * MS);
	timer(r, 1, last, 2 * MS);
	timer(r, 0, first, MS);
	check_eq(loop_run(r->loop), 0);
	check_eq(r->fired, 2);
	check_eq(r->order[0], 1);
	end(r);
}

static void a_timer_may_arm_itself(void)
{
	struct rig *r = start();

	timer(r, 0, again, 0);
	timer(r, 1, last, 5 * MS);
	check_eq(loop_run(r->loop), 0);
	check_eq(r->fired, 4);
	end(r);
}

/* A server with many NICs owns some hundred timers. */
static void there_is_no_limit(void)
{
	struct rig *r = start();

	for (unsigned i = 0; i < MANY - 1; i++)
		timer(r, i, first, 0);
	timer(r, MANY - 1, last, MS);
	check_eq(loop_run(r->loop), 0);
	check_eq(r->fired, MANY);
	end(r);
}

static void far_deadlines_are_fine(void)
{
	struct rig *r = start();

	r->timer[0].fire = first;
	clock_arm(r->clock, &r->timer[0], ~0ull);
	timer(r, 1, last, MS);
	check_eq(loop_run(r->loop), 0);
	check_eq(r->fired, 1);
	check(r->timer[0].armed);
	check(clock_wall(r->clock) > 1500000000ll * 1000000000);
	end(r);
}

static const struct test tests[] = {
	{ "timers fire in the order of their deadlines", timers_fire_in_order },
	{ "a disarmed timer is silent", a_disarmed_timer_is_silent },
	{ "arming again moves the deadline", arming_again_moves },
	{ "a timer may arm itself when it fires", a_timer_may_arm_itself },
	{ "there is no limit to timers", there_is_no_limit },
	{ "deadlines that never come are fine", far_deadlines_are_fine },
	{ NULL, NULL },
};
const struct suite suite_hv_clock_real = { tests };
