/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/life.h"
#include <string.h>
#include "lib/log.h"

void life_init(struct life *l, struct loop *loop, pthread_mutex_t *device_lock, struct vcpu **vcpu, unsigned count,
	       const struct life_ops *ops)
{
	memset(l, 0, sizeof *l);
	l->loop = loop;
	l->device_lock = device_lock;
	l->vcpu = vcpu;
	l->count = count;
	l->ops = *ops;
	pthread_mutex_init(&l->gate, NULL);
	pthread_cond_init(&l->changed, NULL);
}

/* With the gate held. */
static void hold(struct life *l)
{
	if (l->want == LIFE_RUN)
		l->want = LIFE_HOLD;
	for (unsigned i = 0; i < l->count; i++)
		vcpu_kick(l->vcpu[i]);
}

static void end(struct life *l)
{
	pthread_mutex_lock(&l->gate);
	l->want = LIFE_END;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->gate);
	loop_stop(l->loop);
}

static void reset(struct life *l)
{
	l->resets++;
	l->ops.reset(l->ops.ctx);
	pthread_mutex_lock(&l->gate);
	l->reset_asked = false;
	if (!l->end_asked)
		l->want = LIFE_RUN;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->gate);
}

/* On the loop's thread, with the device lock (the loop's guard). */
static void carry_out(void *ctx)
{
	struct life *l = ctx;
	bool ending;

	/* A vCPU may be waiting for the device lock on its way to a stop. */
	pthread_mutex_unlock(l->device_lock);
	pthread_mutex_lock(&l->gate);
	while (l->standing < l->count && (l->reset_asked || l->end_asked))
		pthread_cond_wait(&l->changed, &l->gate);
	pthread_mutex_unlock(&l->gate);
	pthread_mutex_lock(l->device_lock);
	pthread_mutex_lock(&l->gate);
	ending = l->end_asked;
	if (!ending && !l->reset_asked) {	/* an earlier call has done it */
		pthread_mutex_unlock(&l->gate);
		return;
	}
	pthread_mutex_unlock(&l->gate);
	if (ending)
		end(l);
	else
		reset(l);
}

static void ask(struct life *l)
{
	if (loop_post(l->loop, carry_out, l)) {
		log_error("out of memory: the machine ends");
		l->end_asked = true;
		l->end = LIFE_FAILED;
		loop_stop(l->loop);
	}
}

void life_ask_reset(struct life *l)
{
	if (l->no_reboot) {
		life_ask_end(l, LIFE_NO_REBOOT);
		return;
	}
	pthread_mutex_lock(&l->gate);
	if (!l->reset_asked && !l->end_asked) {
		l->reset_asked = true;
		hold(l);
		ask(l);
	}
	pthread_mutex_unlock(&l->gate);
}

void life_ask_end(struct life *l, enum life_end how)
{
	pthread_mutex_lock(&l->gate);
	if (!l->end_asked) {
		l->end_asked = true;
		l->end = how;
		hold(l);
		ask(l);
	}
	pthread_mutex_unlock(&l->gate);
}

bool life_paused(struct life *l)
{
	bool on;

	pthread_mutex_lock(&l->gate);
	l->standing++;
	pthread_cond_broadcast(&l->changed);
	while (l->want == LIFE_HOLD)
		pthread_cond_wait(&l->changed, &l->gate);
	on = l->want == LIFE_RUN;
	if (on)
		l->standing--;	/* a vCPU that ends keeps standing */
	pthread_mutex_unlock(&l->gate);
	return on;
}

enum life_end life_join(struct life *l)
{
	pthread_mutex_lock(&l->gate);
	l->want = LIFE_END;
	for (unsigned i = 0; i < l->count; i++)
		vcpu_kick(l->vcpu[i]);
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->gate);
	for (unsigned i = 0; i < l->count; i++)
		vcpu_join(l->vcpu[i]);
	return l->end_asked ? l->end : LIFE_FAILED;
}
