/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll, one timerfd for the earliest timer of a binary heap, one eventfd for posts and stop.
 * A round: wait; enter; descriptors, due timers, posts; leave. lock protects the lists and the heap and is never held
 * over a callback; the guard, where there is one, keeps other threads' set, remove, arm and disarm out of a round.
 */
#include "lib/loop.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "lib/scope.h"

#define EVENTS_A_ROUND 64
#define NS 1000000000ull

struct loop_watch {
	struct loop *loop;
	struct loop_watch *next, **link;	/* in loop.watches, or in loop.removed (next only) */
	loop_fd_fn *fn;
	void *ctx;
	int fd;
	uint32_t events;	/* 0: not in the epoll set, so that a hung-up descriptor can rest */
	bool removed;
};

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

struct post { struct post *next; loop_fn *fn; void *ctx; };

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
	struct post *posts, **post_end;
};

static void nothing(void *ctx) {}

uint64_t loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

static void wake(struct loop *loop)
{
	static const uint64_t one = 1;
	int saved = errno;

	/* full (EAGAIN) means that it is readable already */
	while (write(loop->wake, &one, sizeof one) < 0 && errno == EINTR)
		;
	errno = saved;
}

/* ---- timers: a binary heap by deadline */

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

/* lock held. The timerfd follows the earliest deadline; within a round once, at its end. */
static void set_clock(struct loop *loop)
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
	set_clock(loop);
	pthread_mutex_unlock(&loop->lock);
}

void loop_timer_disarm(struct loop_timer *t)
{
	pthread_mutex_lock(&t->loop->lock);
	take_out(t);
	set_clock(t->loop);
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
	set_clock(loop);
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	loop->timer_count--;
	pthread_mutex_unlock(&loop->lock);
	free(t);
}

/* Move what is due out of the heap first: a callback that arms its timer in the past gets its turn in the next round. */
static void run_timers(struct loop *loop)
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

/* ---- descriptors */

int loop_watch_add(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *ctx, struct loop_watch **watch)
{
	struct loop_watch *w = calloc(1, sizeof *w);
	struct epoll_event ev = { .events = events, .data.ptr = w };
	int rc = 0;

	*watch = NULL;
	if (!w)
		return -ENOMEM;
	*w = (struct loop_watch){ .loop = loop, .fn = fn, .ctx = ctx, .fd = fd, .events = events };
	*watch = w;	/* before the first callback, which may run at once on the loop's thread */
	pthread_mutex_lock(&loop->lock);
	if (events && epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		rc = -errno;
	} else {
		w->next = loop->watches;
		w->link = &loop->watches;
		if (w->next)
			w->next->link = &w->next;
		loop->watches = w;
	}
	pthread_mutex_unlock(&loop->lock);
	if (rc) {
		*watch = NULL;
		free(w);
	}
	return rc;
}

int loop_watch_set(struct loop_watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };
	int op = !events ? EPOLL_CTL_DEL : w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, rc = 0;

	pthread_mutex_lock(&w->loop->lock);
	if (events != w->events && epoll_ctl(w->loop->epoll, op, w->fd, &ev))
		rc = -errno;
	if (!rc)
		w->events = events;
	pthread_mutex_unlock(&w->loop->lock);
	return rc;
}

void loop_watch_remove(struct loop_watch *w)
{
	struct loop *loop;
	bool idle;

	if (!w)
		return;
	loop = w->loop;
	pthread_mutex_lock(&loop->lock);
	if (w->events)
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	w->removed = true;
	w->next = loop->removed;
	loop->removed = w;
	idle = !loop->in_round;
	pthread_mutex_unlock(&loop->lock);
	if (idle)
		wake(loop);	/* a round frees it */
}

static void run_watch(struct loop *loop, struct loop_watch *w, uint32_t events)
{
	uint32_t wanted;

	pthread_mutex_lock(&loop->lock);
	/* an earlier callback of this round may have removed it or changed what it waits for */
	wanted = w->removed || !w->events ? 0 : w->events | EPOLLERR | EPOLLHUP;
	pthread_mutex_unlock(&loop->lock);
	if (events & wanted)
		w->fn(w->ctx, w->fd, events & wanted);
}

static void free_watches(struct loop_watch *w)
{
	for (struct loop_watch *next; w; w = next) {
		next = w->next;
		free(w);
	}
}

/* ---- posts */

int loop_post(struct loop *loop, loop_fn *fn, void *ctx)
{
	struct post *p = malloc(sizeof *p);

	if (!p)
		return -ENOMEM;
	*p = (struct post){ .fn = fn, .ctx = ctx };
	pthread_mutex_lock(&loop->lock);
	*loop->post_end = p;
	loop->post_end = &p->next;
	pthread_mutex_unlock(&loop->lock);
	wake(loop);
	return 0;
}

/* lock held */
static struct post *take_posts(struct loop *loop)
{
	struct post *p = loop->posts;

	loop->posts = NULL;
	loop->post_end = &loop->posts;
	return p;
}

static void run_posts(struct loop *loop)
{
	struct post *p, *next;

	pthread_mutex_lock(&loop->lock);
	p = take_posts(loop);
	pthread_mutex_unlock(&loop->lock);
	for (; p; p = next) {
		next = p->next;
		p->fn(p->ctx);
		free(p);
	}
}

/* ---- the loop */

static void run_round(struct loop *loop, struct epoll_event *events, int n)
{
	struct loop_watch *w;
	uint64_t count;
	bool posts = false, timers = false;

	loop->enter(loop->guard_ctx);
	pthread_mutex_lock(&loop->lock);
	loop->in_round = true;
	pthread_mutex_unlock(&loop->lock);
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == &loop->wake)
			posts = true;
		else if (events[i].data.ptr == &loop->clock)
			timers = true;
		else
			run_watch(loop, events[i].data.ptr, events[i].events);
	}
	if (timers)
		run_timers(loop);
	if (posts) {
		/* emptied before the queue is taken: a later post makes it readable again */
		if (read(loop->wake, &count, sizeof count) < 0)
			count = 0;
		run_posts(loop);
	}
	pthread_mutex_lock(&loop->lock);
	loop->in_round = false;
	if (loop->clock_stale)
		set_clock(loop);
	w = loop->removed;
	loop->removed = NULL;
	pthread_mutex_unlock(&loop->lock);
	free_watches(w);
	loop->leave(loop->guard_ctx);
}

int loop_run(struct loop *loop)
{
	struct epoll_event events[EVENTS_A_ROUND];

	while (!atomic_exchange(&loop->stop, false)) {
		int n = epoll_wait(loop->epoll, events, EVENTS_A_ROUND, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			run_round(loop, events, n);
	}
	return 0;
}

/* A stop before loop_run is not lost: the next loop_run returns at once. */
void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stop, true);
	wake(loop);
}

void loop_set_guard(struct loop *loop, loop_fn *enter, loop_fn *leave, void *ctx)
{
	loop->enter = enter ? enter : nothing;
	loop->leave = leave ? leave : nothing;
	loop->guard_ctx = ctx;
}

static int watch_own(struct loop *loop, int *fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = fd };

	return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, *fd, &ev) ? -errno : 0;
}

int loop_create(struct loop **out, struct err *err)
{
	struct loop *loop = calloc(1, sizeof *loop);
	int rc = 0;

	*out = NULL;
	if (!loop)
		return err_set(err, -ENOMEM, "event loop: out of memory");
	pthread_mutex_init(&loop->lock, NULL);
	loop->post_end = &loop->posts;
	loop_set_guard(loop, NULL, NULL, NULL);
	loop->wake = loop->clock = -1;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll >= 0)
		loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake >= 0)
		loop->clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->clock < 0)
		rc = -errno;
	if (!rc)
		rc = watch_own(loop, &loop->wake);
	if (!rc)
		rc = watch_own(loop, &loop->clock);
	if (rc) {
		loop_free(loop);
		return err_set(err, rc, "event loop: cannot be made: %s", strerror(-rc));
	}
	*out = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	free_watches(loop->watches);
	free_watches(loop->removed);
	for (struct loop_timer *t = loop->timers, *next; t; t = next) {
		next = t->next;
		free(t);
	}
	for (struct post *p = loop->posts, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	free(loop->heap);
	scope_close(&loop->clock);
	scope_close(&loop->wake);
	scope_close(&loop->epoll);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}
