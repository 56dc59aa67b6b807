/* SPDX-License-Identifier: Apache-2.0 */
#include "csc/refresh.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "crypto/identity_folder.h"
#include "lib/scope.h"

#define NS 1000000000ull
enum { AGAIN_S = 10 };

/* What a round's thread and we both hold; who lets go last frees it. */
struct round {
	atomic_uint holders;
	int done;	/* eventfd */
	char *dir, *lma;
	struct err why;
};

struct refresh {
	struct loop *loop;
	struct loop_timer *timer;
	struct loop_watch *watch;	/* of round.done */
	struct round *round;		/* NULL: none runs */
	const char *dir, *lma;
	uint32_t every_s;
	refresh_fn *fn;
	void *ctx;
};

static void let_go(struct round *r)
{
	if (atomic_fetch_sub(&r->holders, 1) != 1)
		return;
	scope_close(&r->done);
	free(r->dir);
	free(r->lma);
	free(r);
}

static int work(struct round *r)
{
	struct identity id = { 0 };
	int rc = identity_load(r->dir, &id, &r->why);

	if (!rc)
		rc = identity_fetch_crl(r->lma, &id, &r->why);
	if (!rc && identity_due(&id, time(NULL)))
		rc = identity_renew(r->lma, &id, &r->why);
	if (!rc)
		rc = identity_save(r->dir, &id, &r->why);
	identity_drop(&id);
	return rc;
}

static void *run(void *arg)
{
	static const uint64_t one = 1;
	struct round *r = arg;

	r->why.code = work(r);
	while (write(r->done, &one, sizeof one) < 0 && errno == EINTR)
		;
	let_go(r);
	return NULL;
}

/* No signal is ever this thread's business. */
static int start_thread(struct round *r)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int rc = pthread_attr_init(&attr);

	if (rc)
		return -rc;
	sigfillset(&all);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	rc = pthread_create(&thread, &attr, run, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -rc;
}

static void end_round(struct refresh *f)
{
	loop_watch_remove(f->watch);
	f->watch = NULL;
	if (f->round)
		let_go(f->round);
	f->round = NULL;
}

static void on_done(void *ctx, int fd, uint32_t events)
{
	struct refresh *f = ctx;
	struct err why = f->round->why;

	end_round(f);
	loop_timer_arm(f->timer, loop_now_ns() + (why.code && f->every_s > AGAIN_S ? AGAIN_S : f->every_s) * NS);
	f->fn(f->ctx, &why);
}

static int begin_round(struct refresh *f)
{
	struct round *r = calloc(1, sizeof *r);
	int rc;

	if (!r)
		return -ENOMEM;
	*r = (struct round){ .dir = strdup(f->dir), .lma = strdup(f->lma), .done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	atomic_init(&r->holders, 2);
	f->round = r;
	rc = r->done < 0 || !r->dir || !r->lma ? -ENOMEM : loop_watch_add(f->loop, r->done, EPOLLIN, on_done, f, &f->watch);
	if (!rc)
		rc = start_thread(r);
	if (rc) {
		let_go(r);	/* the thread's */
		end_round(f);
	}
	return rc;
}

static void on_timer(void *ctx)
{
	struct refresh *f = ctx;
	struct err why;
	int rc = begin_round(f);

	if (!rc)
		return;
	(void)err_set(&why, rc, "identity: cannot be refreshed: %s", strerror(-rc));
	loop_timer_arm(f->timer, loop_now_ns() + AGAIN_S * NS);
	f->fn(f->ctx, &why);
}

int refresh_create(struct loop *loop, const char *dir, const char *lma, uint32_t every_s, refresh_fn *fn, void *ctx,
	struct refresh **out, struct err *err)
{
	struct refresh *f = calloc(1, sizeof *f);
	int rc = f ? loop_timer_create(loop, on_timer, f, &f->timer) : -ENOMEM;

	*out = NULL;
	if (rc) {
		free(f);
		return err_set(err, rc, "refresh: out of memory");
	}
	f->loop = loop;
	f->dir = dir;
	f->lma = lma;
	f->every_s = every_s;
	f->fn = fn;
	f->ctx = ctx;
	loop_timer_arm(f->timer, 1);
	*out = f;
	return 0;
}

void refresh_free(struct refresh *f)
{
	if (!f)
		return;
	end_round(f);
	loop_timer_free(f->timer);
	free(f);
}
