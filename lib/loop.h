/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of a process: one thread waits on descriptors, timers and signals and calls back.
 * All functions are for the loop's own thread unless marked "any thread".
 */
#pragma once
#include <stdint.h>
#include "lib/err.h"

struct loop;
struct loop_watch;	/* one descriptor */
struct loop_timer;	/* one one-shot timer */
struct loop_task;	/* one thing to do at the end of a round */

typedef void loop_fn(void *ctx);
typedef void loop_fd_fn(void *ctx, int fd, uint32_t events);	/* events: EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR */

int loop_create(struct loop **loop, struct err *err) must_check;
void loop_free(struct loop *loop);	/* NULL is fine; watches, timers and tasks still there are freed with it */

/* enter is called before each round of callbacks and leave after it (a lock around them); set before loop_run. */
void loop_set_guard(struct loop *loop, loop_fn *enter, loop_fn *leave, void *ctx);

/* Dispatch until loop_stop. Returns 0, or -errno when waiting itself failed. */
int loop_run(struct loop *loop) must_check;
void loop_stop(struct loop *loop);	/* any thread, also a signal handler */

/* The descriptor stays the caller's and must outlive the watch. Any thread (add), any thread (set, remove) under the guard. */
int loop_watch_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *ctx, struct loop_watch **watch) must_check;
int loop_watch_set(struct loop_watch *watch, uint32_t events) must_check;
void loop_watch_remove(struct loop_watch *watch);	/* NULL is fine; no callback after it returned */

/* Absolute CLOCK_MONOTONIC nanoseconds; arming again moves it. Any thread under the guard. */
int loop_timer_create(struct loop *loop, loop_fn *fn, void *ctx, struct loop_timer **timer) must_check;
void loop_timer_arm(struct loop_timer *timer, uint64_t deadline_ns);
void loop_timer_disarm(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

/*
 * fn is called once at the end of the round that runs now, before the loop waits again: what many callbacks of a round ask for is
 * done together. Outside a round the loop wakes for it. Any thread under the guard; fn may free its task.
 */
int loop_task_create(struct loop *loop, loop_fn *fn, void *ctx, struct loop_task **task) must_check;
void loop_task_run(struct loop_task *task);
void loop_task_free(struct loop_task *task);	/* NULL is fine; no callback after it */

/* Run fn on the loop's thread soon. Any thread. -ENOMEM when it could not be queued. */
int loop_post(struct loop *loop, loop_fn *fn, void *ctx) must_check;

uint64_t loop_now_ns(void);	/* CLOCK_MONOTONIC */
