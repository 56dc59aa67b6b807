/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dial: perhaps a look-up on a thread of its own, then one attempt per address, each a connecting socket that is watched. The
 * thread knows nothing of the dial or the loop: it fills a struct lookup that both hold, and rings its eventfd; who lets go of it
 * last frees it.
 */
#include "lib/link/dial.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include "lib/link/socket.h"
#include "lib/scope.h"

#define MS 1000000ull
enum { TIMEOUT_MS = 10000, APART_MS = 300, ADDRESSES = 16, STACK = 512 * 1024, LOOKUPS = 32 };

struct lookup {
	atomic_uint holders;
	int done;		/* eventfd */
	char address[SOCKET_HOST + 16];
	struct addrinfo *list;
	struct err why;
};

struct attempt { struct dial *dial; struct loop_watch *watch; int fd; };

struct dial {
	struct loop *loop;
	dial_fn *fn;
	void *ctx;
	struct loop_timer *next, *late;
	struct loop_watch *watch;	/* of lookup */
	struct lookup *lookup;
	struct addrinfo *list;
	const struct addrinfo *to[ADDRESSES];
	struct attempt attempt[ADDRESSES];
	unsigned count, tried, open;
	uint32_t timeout_ms;
	char address[SOCKET_HOST + 16];
	struct err why;			/* of the last attempt that failed */
};

/* ---- pauses */

void backoff_reset(struct backoff *b)
{
	b->next_ms = 0;
}

uint64_t backoff_next_ns(struct backoff *b)
{
	uint64_t pause = b->next_ms, least = b->min_ms ? b->min_ms : 1;
	uint32_t chance;

	if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) != sizeof chance)
		chance = (uint32_t)(loop_now_ns() * 2654435761u >> 10);
	b->next_ms = (uint32_t)(pause ? pause * 2 : least);
	if (pause * 2 > b->max_ms || b->next_ms > b->max_ms)
		b->next_ms = b->max_ms > least ? b->max_ms : (uint32_t)least;
	return pause * MS / 2 + pause * (uint64_t)(chance % 1000) * MS / 1000;
}

/* ---- looking a name up */

static atomic_uint lookups;	/* threads that do */

static void let_go(struct lookup *l)
{
	if (atomic_fetch_sub(&l->holders, 1) != 1)
		return;
	if (l->list)
		freeaddrinfo(l->list);
	scope_close(&l->done);
	free(l);
}

static void *look_up(void *arg)
{
	static const uint64_t one = 1;
	struct lookup *l = arg;

	if (socket_resolve(l->address, false, &l->list, &l->why))
		l->list = NULL;
	while (write(l->done, &one, sizeof one) < 0 && errno == EINTR)
		;
	let_go(l);
	atomic_fetch_sub(&lookups, 1);
	return NULL;
}

/* No signal is ever this thread's business. */
static int start_thread(struct lookup *l)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	/* nobody can end one that waits for a name server */
	if (atomic_fetch_add(&lookups, 1) >= LOOKUPS) {
		atomic_fetch_sub(&lookups, 1);
		return -EBUSY;
	}
	rc = pthread_attr_init(&attr);

	if (rc) {
		atomic_fetch_sub(&lookups, 1);
		return -rc;
	}
	sigfillset(&all);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	rc = pthread_create(&thread, &attr, look_up, l);
	if (!rc)
		pthread_setname_np(thread, "dial");
	else
		atomic_fetch_sub(&lookups, 1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -rc;
}

/* ---- life */

static void destroy(struct dial *d)
{
	loop_watch_remove(d->watch);
	for (unsigned i = 0; i < d->tried; i++) {
		loop_watch_remove(d->attempt[i].watch);
		scope_close(&d->attempt[i].fd);
	}
	loop_timer_free(d->next);
	loop_timer_free(d->late);
	if (d->lookup)
		let_go(d->lookup);
	if (d->list)
		freeaddrinfo(d->list);
	free(d);
}

void dial_cancel(struct dial *d)
{
	if (d)
		destroy(d);
}

/* The dial is gone before its owner hears, who may dial anew at once. */
static void finish(struct dial *d, int fd)
{
	dial_fn *fn = d->fn;
	void *ctx = d->ctx;
	struct err why = d->why;

	destroy(d);
	fn(ctx, fd, fd < 0 ? &why : NULL);
}

/* ---- connecting */

static void try_next(struct dial *d);

static void failed(struct dial *d, struct attempt *a)
{
	loop_watch_remove(a->watch);
	scope_close(&a->fd);
	a->watch = NULL;
	a->fd = -1;
	err_prefix(&d->why, "%.80s", d->address);
	d->open--;
	if (!d->open && d->tried == d->count)
		finish(d, -1);
	else
		try_next(d);
}

static void on_attempt(void *ctx, int fd, uint32_t events)
{
	struct attempt *a = ctx;
	int code = 0;
	socklen_t len = sizeof code;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len))
		code = errno;
	if (code) {
		err_set(&a->dial->why, -code, "cannot connect: %s", strerror(code));
		failed(a->dial, a);
		return;
	}
	loop_watch_remove(a->watch);
	a->watch = NULL;
	a->fd = -1;
	finish(a->dial, fd);
}

/* The next address, and the one after it soon; one that cannot even be tried makes room at once. */
static void try_next(struct dial *d)
{
	struct attempt *a = &d->attempt[d->tried];
	int rc;

	if (d->tried == d->count)
		return;
	*a = (struct attempt){ .dial = d, .fd = -1 };
	rc = socket_connect(d->to[d->tried++], &a->fd, &d->why);
	d->open++;
	if (!rc) {
		rc = loop_watch_add(d->loop, a->fd, EPOLLOUT, on_attempt, a, &a->watch);
		if (rc)
			err_set(&d->why, rc, "cannot watch a socket: %s", strerror(-rc));
	}
	if (rc)
		failed(d, a);
	else if (d->tried < d->count)
		loop_timer_arm(d->next, loop_now_ns() + APART_MS * MS);
}

static void on_next(void *ctx)
{
	try_next(ctx);
}

static void on_late(void *ctx)
{
	struct dial *d = ctx;

	err_set(&d->why, -ETIMEDOUT, "%.80s: no connection in %u ms", d->address, d->timeout_ms);
	finish(d, -1);
}

/* The resolver's order, but families take turns (RFC 8305, section 4): one that is broken costs one attempt. */
static void choose(struct dial *d)
{
	const struct addrinfo *same = d->list, *other = d->list;
	bool turn = true;

	while (d->count < ADDRESSES) {
		while (same && same->ai_family != d->list->ai_family)
			same = same->ai_next;
		while (other && other->ai_family == d->list->ai_family)
			other = other->ai_next;
		if (!same && !other)
			return;
		if (same && (turn || !other)) {
			d->to[d->count++] = same;
			same = same->ai_next;
		} else {
			d->to[d->count++] = other;
			other = other->ai_next;
		}
		turn = !turn;
	}
}

static void on_lookup(void *ctx, int fd, uint32_t events)
{
	struct dial *d = ctx;
	struct lookup *l = d->lookup;
	uint64_t one;

	if (read(fd, &one, sizeof one) < 0)
		return;
	loop_watch_remove(d->watch);
	d->watch = NULL;
	d->list = take_ptr(l->list);
	d->why = l->why;
	d->lookup = NULL;
	let_go(l);
	if (!d->list) {
		finish(d, -1);
		return;
	}
	choose(d);
	try_next(d);
}

/* ---- making */

static int start_lookup(struct dial *d, struct err *err)
{
	struct lookup *l = calloc(1, sizeof *l);
	int rc;

	if (!l)
		return err_set(err, -ENOMEM, "%.80s: out of memory", d->address);
	atomic_init(&l->holders, 2);
	strcpy(l->address, d->address);
	d->lookup = l;
	l->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = l->done < 0 ? -errno : loop_watch_add(d->loop, l->done, EPOLLIN, on_lookup, d, &d->watch);
	if (!rc)
		rc = start_thread(l);
	if (rc) {
		let_go(l);	/* the thread's */
		return err_set(err, rc, "%.80s: cannot look the name up: %s", d->address, strerror(-rc));
	}
	return 0;
}

static int begin(struct dial *d, struct err *err)
{
	int rc = loop_timer_create(d->loop, on_next, d, &d->next);

	if (!rc)
		rc = loop_timer_create(d->loop, on_late, d, &d->late);
	if (rc)
		return err_set(err, rc, "%.80s: cannot dial: %s", d->address, strerror(-rc));
	rc = socket_numeric(d->address, &d->list, err);
	if (rc < 0)
		return rc;
	loop_timer_arm(d->late, loop_now_ns() + d->timeout_ms * MS);
	if (rc)
		return start_lookup(d, err);
	choose(d);
	loop_timer_arm(d->next, 1);	/* not here: what fails at once has its callback too */
	return 0;
}

int dial_start(struct loop *loop, const char *address, uint32_t timeout_ms, dial_fn *fn, void *ctx, struct dial **out,
	struct err *err)
{
	struct dial *d = calloc(1, sizeof *d);
	int rc;

	*out = NULL;
	if (!d)
		return err_set(err, -ENOMEM, "%.80s: out of memory", address);
	*d = (struct dial){ .loop = loop, .fn = fn, .ctx = ctx, .timeout_ms = timeout_ms ? timeout_ms : TIMEOUT_MS };
	rc = socket_check(address, false, err);
	if (!rc) {
		snprintf(d->address, sizeof d->address, "%s", address);
		rc = begin(d, err);
	}
	if (rc)
		destroy(d);
	else
		*out = d;
	return rc;
}

int dial_listen(const char *address, int *fd, uint16_t *port, struct err *err)
{
	char name[SOCKET_HOST];
	int rc = socket_listen(address, fd, name, err);

	*port = rc ? 0 : (uint16_t)strtoul(strrchr(name, ':') + 1, NULL, 10);
	return rc;
}
