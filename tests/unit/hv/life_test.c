/* SPDX-License-Identifier: Apache-2.0 */
/* The life's protocol with threads that behave as vCPUs do: no KVM, the same kicks. */
#include "hv/life.h"
#include <sched.h>
#include <stdlib.h>
#include "tests/unit/suite.h"

enum { CPUS = 4 };

struct rig;
struct cpu { struct vcpu v; struct kvm_run run; struct rig *rig; unsigned index; unsigned steps; };

struct rig {
	struct loop *loop;
	pthread_mutex_t lock;
	struct life life;
	struct cpu cpu[CPUS];
	struct vcpu *vcpu[CPUS];
	void (*step)(struct cpu *c);		/* one exit, with the device lock */
	atomic_int inside;			/* CPUs between two pauses */
	atomic_uint resets, disturbed;
	bool fail_reset;
};

static void *run(void *arg)
{
	struct cpu *c = arg;
	struct rig *r = c->rig;

	c->v.thread = pthread_self();
	atomic_store(&c->v.running, true);
	for (;;) {
		if (!__atomic_load_n(&c->run.immediate_exit, __ATOMIC_SEQ_CST)) {
			atomic_fetch_add(&r->inside, 1);
			pthread_mutex_lock(&r->lock);
			c->steps++;
			r->step(c);
			pthread_mutex_unlock(&r->lock);
			sched_yield();
			atomic_fetch_sub(&r->inside, 1);
			continue;
		}
		__atomic_store_n(&c->run.immediate_exit, 0, __ATOMIC_SEQ_CST);
		if (!life_paused(&r->life))
			return NULL;
	}
}

static void on_reset(void *ctx)
{
	struct rig *r = ctx;

	/* Under the device lock, which is not recursive, and with every vCPU standing. */
	if (atomic_load(&r->inside) || !pthread_mutex_trylock(&r->lock))
		atomic_fetch_add(&r->disturbed, 1);
	atomic_fetch_add(&r->resets, 1);
	if (r->fail_reset)
		life_ask_end(&r->life, LIFE_FAILED);
}

static void take(void *ctx) { pthread_mutex_lock(ctx); }
static void drop(void *ctx) { pthread_mutex_unlock(ctx); }

static struct rig *start(void (*step)(struct cpu *c))
{
	struct rig *r = calloc(1, sizeof *r);
	struct err err;

	if (!r)
		abort();
	check_eq(vcpu_init_signal(&err), 0);
	check_eq(loop_create(&r->loop, &err), 0);
	pthread_mutex_init(&r->lock, NULL);
	loop_set_guard(r->loop, take, drop, &r->lock);
	r->step = step;
	for (unsigned i = 0; i < CPUS; i++) {
		r->cpu[i].v.run = &r->cpu[i].run;
		r->cpu[i].rig = r;
		r->cpu[i].index = i;
		r->vcpu[i] = &r->cpu[i].v;
	}
	life_init(&r->life, r->loop, &r->lock, r->vcpu, CPUS, &(struct life_ops){ .reset = on_reset, .ctx = r });
	return r;
}

static enum life_end go(struct rig *r)
{
	for (unsigned i = 0; i < CPUS; i++) {
		check_eq(pthread_create(&r->cpu[i].v.handle, NULL, run, &r->cpu[i]), 0);
		r->cpu[i].v.started = true;
	}
	check_eq(loop_run(r->loop), 0);
	return life_join(&r->life);
}

static void end(struct rig *r)
{
	check_eq(atomic_load(&r->disturbed), 0);
	check_eq(atomic_load(&r->inside), 0);
	loop_free(r->loop);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* ---- what the vCPUs do */

static void nothing(struct cpu *c) {}

static void power_off_on_the_tenth(struct cpu *c)
{
	if (c->steps == 10)
		life_ask_end(&c->rig->life, LIFE_POWERED_OFF);
}

/* CPU 1 asks a hundred times, then CPU 0 powers off. */
static void reset_in_a_circle(struct cpu *c)
{
	struct rig *r = c->rig;

	if (atomic_load(&r->resets) >= 100)
		life_ask_end(&r->life, LIFE_POWERED_OFF);
	else if (c->index)
		life_ask_reset(&r->life);
}

static void reset_then_power_off_at_once(struct cpu *c)
{
	life_ask_reset(&c->rig->life);
	life_ask_end(&c->rig->life, LIFE_POWERED_OFF);
	life_ask_reset(&c->rig->life);
	life_ask_end(&c->rig->life, LIFE_FAILED);
}

static void one_reset(struct cpu *c)
{
	if (c->index == 2 && c->steps == 1)
		life_ask_reset(&c->rig->life);
	if (c->steps >= 1000 && atomic_load(&c->rig->resets))
		life_ask_end(&c->rig->life, LIFE_FORCED_OFF);
}

/* ---- tests */

static void a_guest_powers_off(void)
{
	struct rig *r = start(power_off_on_the_tenth);

	check_eq(go(r), LIFE_POWERED_OFF);
	check_eq(r->life.resets, 0);
	end(r);
}

static void the_operator_ends_it_from_the_loop(void)
{
	struct rig *r = start(nothing);

	life_ask_end(&r->life, LIFE_FORCED_OFF);	/* before any thread runs */
	check_eq(go(r), LIFE_FORCED_OFF);
	end(r);
}

static void all_stand_at_a_reset_and_go_on(void)
{
	struct rig *r = start(one_reset);

	check_eq(go(r), LIFE_FORCED_OFF);
	check_eq(r->life.resets, 1);
	check_eq(atomic_load(&r->resets), 1);
	end(r);
}

static void resets_in_a_circle(void)
{
	struct rig *r = start(reset_in_a_circle);

	check_eq(go(r), LIFE_POWERED_OFF);
	check(atomic_load(&r->resets) >= 100);
	check_eq(r->life.resets, atomic_load(&r->resets));
	end(r);
}

static void the_first_end_wins_over_resets(void)
{
	struct rig *r = start(reset_then_power_off_at_once);

	check_eq(go(r), LIFE_POWERED_OFF);
	check_eq(atomic_load(&r->resets), 0);
	end(r);
}

static void no_reboot_ends_instead(void)
{
	struct rig *r = start(one_reset);

	r->life.no_reboot = true;
	check_eq(go(r), LIFE_NO_REBOOT);
	check_eq(atomic_load(&r->resets), 0);
	end(r);
}

static void a_reset_that_fails_ends(void)
{
	struct rig *r = start(one_reset);

	r->fail_reset = true;
	check_eq(go(r), LIFE_FAILED);
	check_eq(atomic_load(&r->resets), 1);
	end(r);
}

/* A machine whose second vCPU got no thread: the others are joined. */
static void threads_that_never_started_are_not_waited_for(void)
{
	struct rig *r = start(nothing);

	check_eq(pthread_create(&r->cpu[0].v.handle, NULL, run, &r->cpu[0]), 0);
	r->cpu[0].v.started = true;
	life_ask_end(&r->life, LIFE_FAILED);
	check_eq(life_join(&r->life), LIFE_FAILED);
	end(r);
}

static const struct test tests[] = {
	{ "a guest powers off", a_guest_powers_off },
	{ "an end before the first instruction is kept", the_operator_ends_it_from_the_loop },
	{ "at a reset all stand, then all go on", all_stand_at_a_reset_and_go_on },
	{ "resets in a circle from several vCPUs", resets_in_a_circle },
	{ "the first end wins, also over a pending reset", the_first_end_wins_over_resets },
	{ "--no-reboot ends instead", no_reboot_ends_instead },
	{ "a reset that fails ends", a_reset_that_fails_ends },
	{ "threads that never started are not waited for", threads_that_never_started_are_not_waited_for },
	{ NULL, NULL },
};
const struct suite suite_hv_life = { tests };
