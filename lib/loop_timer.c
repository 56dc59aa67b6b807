/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: a binary heap by deadline, and one timerfd for the earliest. */
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "lib/loop_priv.h"

#define NS 1000000000ull

static void place(struct loop *loop, size_t slot, struct loop_timer *t)
{
	loop->heap[slot] = t;
	t->slot = slot;
}

static void sift_up(struct loop *loop, struct loop_timer *t)
{
	size_t at = t->slot;

	for (; at && loop->heap[(at - 1) / 2]->deadline > t->deadline; at = (at - 1) / 2)
		place(loop, at, loop->heap[(at - 1) / 2]);
	place(loop, at, t);
}

static void sift_down(struct loop *loop, struct loop_timer *t)
{
	size_t at = t->slot, child;

	for (; (child = 2 * at + 1) < loop->waiting; at = child) {
		if (child + 1 < loop->waiting && loop->heap[child + 1]->deadline < loop->heap[child]->deadline)
			child++;
		if (loop->heap[child]->deadline >= t->deadline)
			break;
		place(loop, at, loop->heap[child]);
	}
	place(loop, at, t);
}

/* lock held. Out of the heap or the due list. */
static void take_out(struct loop_timer *t)
{
	struct loop *loop = t->loop;
	struct loop_timer *last;

	if (t->state == DUE) {
		*t->due_link = t->due_next;
		if (t->due_next)
			t->due_next->due_link = t->due_link;
	} else if (t->state == WAITING) {
		last = loop->heap[--loop->waiting];
		if (last != t) {
			place(loop, t->slot, last);
			sift_up(loop, last);
			sift_down(loop, last);
		}
	}
	t->state = IDLE;
}

void loop_set_clock(struct loop *loop)
{
	uint64_t first = loop->waiting ? loop->heap[0]->deadline : 0;
	struct itimerspec when = { .it_value = { .tv_sec = (time_t)(first / NS), .tv_nsec = (long)(first % NS) } };

	if (loop->in_round) {
		loop->clock_stale = true;
		return;
	}
	loop->clock_stale = false;
	if (first != loop->clock_set)
		timerfd_settime(loop->clock, TFD_TIMER_ABSTIME, &when, NULL);
	loop->clock_set = first;
}

int loop_timer_create(struct loop *loop, loop_fn *fn, void *ctx, struct loop_timer **timer)
{
	struct loop_timer *t = calloc(1, sizeof *t), **heap;

	*timer = NULL;
	if (!t)
		return -ENOMEM;
	*t = (struct loop_timer){ .loop = loop, .fn = fn, .ctx = ctx };
	pthread_mutex_lock(&loop->lock);
	if (loop->timer_count == loop->heap_room) {
		heap = reallocarray(loop->heap, loop->heap_room * 2 + 8, sizeof(struct loop_timer *));
		if (!heap) {
			pthread_mutex_unlock(&loop->lock);
			free(t);
			return -ENOMEM;
		}
		loop->heap = heap;
		loop->heap_room = loop->heap_room * 2 + 8;
	}
	loop->timer_count++;
	t->next = loop->timers;
	t->link = &loop->timers;
	if (t->next)
		t->next->link = &t->next;
	loop->timers = t;
	pthread_mutex_unlock(&loop->lock);
	*timer = t;
	return 0;
}

void loop_timer_arm(struct loop_timer *t, uint64_t deadline_ns)
{
	struct loop *loop = t->loop;

	pthread_mutex_lock(&loop->lock);
	take_out(t);
	t->deadline = deadline_ns ? deadline_ns : 1;	/* 0 would disarm the timerfd */
	t->state = WAITING;
	place(loop, loop->waiting++, t);
	sift_up(loop, t);
	loop_set_clock(loop);
	pthread_mutex_unlock(&loop->lock);
}

void loop_timer_disarm(struct loop_timer *t)
{
	pthread_mutex_lock(&t->loop->lock);
	take_out(t);
	loop_set_clock(t->loop);
	pthread_mutex_unlock(&t->loop->lock);
}

void loop_timer_free(struct loop_timer *t)
{
	struct loop *loop;

	if (!t)
		return;
	loop = t->loop;
	pthread_mutex_lock(&loop->lock);
	take_out(t);
	loop_set_clock(loop);
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	loop->timer_count--;
	pthread_mutex_unlock(&loop->lock);
	free(t);
}

/* Move what is due out of the heap first: a callback that arms its timer in the past gets its turn in the next round. */
void loop_run_timers(struct loop *loop)
{
	uint64_t now = loop_now_ns(), ticks;
	struct loop_timer **end = &loop->due, *t;
	loop_fn *fn;
	void *ctx;

	if (read(loop->clock, &ticks, sizeof ticks) < 0)
		ticks = 0;	/* not expired, or set anew since: the heap decides */
	pthread_mutex_lock(&loop->lock);
	loop->clock_set = 0;
	loop->clock_stale = true;
	while (loop->waiting && loop->heap[0]->deadline <= now) {
		t = loop->heap[0];
		take_out(t);
		t->state = DUE;
		t->due_next = NULL;
		t->due_link = end;
		*end = t;
		end = &t->due_next;
	}
	while ((t = loop->due)) {
		take_out(t);
		fn = t->fn;
		ctx = t->ctx;
		pthread_mutex_unlock(&loop->lock);
		fn(ctx);	/* may free t */
		pthread_mutex_lock(&loop->lock);
	}
	pthread_mutex_unlock(&loop->lock);
}

void loop_free_timers(struct loop *loop)
{
	for (struct loop_timer *t = loop->timers, *next; t; t = next) {
		next = t->next;
		free(t);
	}
	free(loop->heap);
}
