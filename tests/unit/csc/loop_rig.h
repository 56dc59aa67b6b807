/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a loop until something is so, with a limit. */
#pragma once
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/loop.h"
#include "tests/unit/suite.h"

#define LOOP_MS 1000000ull

struct until { struct loop *loop; struct loop_timer *timer; bool (*is)(void *ctx); void *ctx; uint64_t end, step; bool was; };

static inline void until_look(void *ctx)
{
	struct until *u = ctx;
	uint64_t now = loop_now_ns();

	u->was = u->is(u->ctx);
	if (u->was || now >= u->end)
		loop_stop(u->loop);
	else
		loop_timer_arm(u->timer, now + u->step);
}

/* It became so within 20 s. */
static inline bool loop_until(struct loop *loop, bool (*is)(void *ctx), void *ctx)
{
	struct until u = { .loop = loop, .is = is, .ctx = ctx, .end = loop_now_ns() + 20000 * LOOP_MS, .step = LOOP_MS / 2 };

	CU_ASSERT_FATAL(!loop_timer_create(loop, until_look, &u, &u.timer));
	loop_timer_arm(u.timer, 1);
	CU_ASSERT(!loop_run(loop));
	loop_timer_free(u.timer);
	return u.was;
}

static inline bool until_rounds(void *ctx) { return !(*(unsigned *)ctx)--; }

/* So many rounds of the loop. */
static inline void loop_rounds(struct loop *loop, unsigned n)
{
	struct until u = { .loop = loop, .is = until_rounds, .ctx = &n, .end = UINT64_MAX, .step = 0 };

	CU_ASSERT_FATAL(!loop_timer_create(loop, until_look, &u, &u.timer));
	loop_timer_arm(u.timer, 1);
	CU_ASSERT(!loop_run(loop));
	loop_timer_free(u.timer);
}

/* Two ends of a TCP connection. */
static inline void tcp_pair(int fd[2])
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_FATAL(!bind(listener, (void *)&at, sizeof at) && !listen(listener, 1) && !getsockname(listener, (void *)&at, &len));
	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_FATAL(!connect(fd[0], (void *)&at, sizeof at));
	fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CU_ASSERT_FATAL(fd[1] >= 0);
	close(listener);
	signal(SIGPIPE, SIG_IGN);
}
