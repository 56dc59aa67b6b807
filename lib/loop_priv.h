/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop's inside, shared by its files: loop.c, loop_timer.c, loop_task.c. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "lib/loop.h"

enum timer_state { IDLE, WAITING, DUE };

struct loop_timer {
	struct loop *loop;
	struct loop_timer *next, **link;	/* in loop.timers */
	struct loop_timer *due_next, **due_link;	/* in loop.due, while DUE */
	loop_fn *fn;
	void *ctx;
	uint64_t deadline;
	size_t slot;		/* in the heap, while WAITING */
	enum timer_state state;
};

struct loop_task {
	struct loop *loop;
	struct loop_task *next, **link;	/* in loop.all_tasks */
	struct loop_task *due_next, **due_link;	/* in loop.tasks, while asked for */
	loop_fn *fn;
	void *ctx;
	bool asked;
};

struct loop {
	int epoll, wake, clock;
	atomic_bool stop;
	loop_fn *enter, *leave;
	void *guard_ctx;
	pthread_mutex_t lock;
	bool in_round;			/* the loop's thread is between enter and leave */
	bool clock_stale;		/* the earliest deadline changed in this round */
	uint64_t clock_set;		/* what the timerfd is armed to, 0: not armed */
	struct loop_watch *watches, *removed;	/* removed ones live until the end of a round, whose events may name them */
	struct loop_timer *timers, *due;
	struct loop_timer **heap;	/* room for every timer: arming cannot fail */
	size_t waiting, timer_count, heap_room;
	struct loop_task *all_tasks, *tasks, **task_end;
	size_t task_count;
	struct post *posts, **post_end;
};

void loop_wake(struct loop *loop);	/* the wait ends; any thread, also a signal handler */
/* lock held. The timerfd follows the earliest deadline; within a round once, at its end. */
void loop_set_clock(struct loop *loop);
void loop_run_timers(struct loop *loop);
void loop_run_tasks(struct loop *loop);	/* at the end of a round */
void loop_free_timers(struct loop *loop);
void loop_free_tasks(struct loop *loop);
