/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/rest.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

struct rest { struct loop_watch *watch; struct loop_timer *timer; };

static void arm(struct rest *r)
{
	loop_timer_arm(r->timer, loop_now_ns() + REST_MS * 1000000ull);
}

static void on_timer(void *ctx)
{
	struct rest *r = ctx;

	if (loop_watch_set(r->watch, EPOLLIN))
		arm(r);
}

int rest_create(struct loop *loop, struct loop_watch *watch, struct rest **out)
{
	struct rest *r = calloc(1, sizeof *r);
	int rc = r ? loop_timer_create(loop, on_timer, r, &r->timer) : -ENOMEM;

	*out = rc ? NULL : r;
	if (rc) {
		free(r);
		return rc;
	}
	r->watch = watch;
	return 0;
}

void rest_free(struct rest *r)
{
	if (!r)
		return;
	loop_timer_free(r->timer);
	free(r);
}

void rest_after(struct rest *r, int code)
{
	if (code != EAGAIN && code != EINTR && code != ECONNABORTED && !loop_watch_set(r->watch, 0))
		arm(r);
}
