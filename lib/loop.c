/* SPDX-License-Identifier: Apache-2.0 */
/*
 * epoll, one timerfd for the earliest timer, one eventfd for posts and stop.
 * A round: wait; enter; descriptors, due timers, posts, then the tasks asked for meanwhile; leave. lock protects the lists and the
 * heap and is never held over a callback; the guard, where there is one, keeps other threads' set, remove, arm and disarm out of
 * a round.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include "lib/loop_priv.h"
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

struct post { struct post *next; loop_fn *fn; void *ctx; };

static void nothing(void *ctx) {}

uint64_t loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec;
}

void loop_wake(struct loop *loop)
{
	static const uint64_t one = 1;
	int saved = errno;

	/* full (EAGAIN) means that it is readable already */
	while (write(loop->wake, &one, sizeof one) < 0 && errno == EINTR)
		;
	errno = saved;
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
		loop_wake(loop);	/* a round frees it */
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
	loop_wake(loop);
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
		loop_run_timers(loop);
	if (posts) {
		/* emptied before the queue is taken: a later post makes it readable again */
		if (read(loop->wake, &count, sizeof count) < 0)
			count = 0;
		run_posts(loop);
	}
	loop_run_tasks(loop);
	pthread_mutex_lock(&loop->lock);
	loop->in_round = false;
	if (loop->clock_stale)
		loop_set_clock(loop);
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
	loop_wake(loop);
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
	loop->task_end = &loop->tasks;
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
	loop_free_timers(loop);
	loop_free_tasks(loop);
	for (struct post *p = loop->posts, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	scope_close(&loop->clock);
	scope_close(&loop->wake);
	scope_close(&loop->epoll);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}
