/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each way is filled (socket → pipe) and drained (pipe → socket). Its pipe is lent while bytes are in it. While the way's reader
 * takes nothing we wait for that reader only.
 */
#include "csc/splice.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "lib/scope.h"

enum { TURNS = 4 };		/* of a pipe's size, before others have theirs */
enum { UNSENT = 256 << 10 };	/* bytes that wait in a socket behind those under way: more would only add to every delay */

struct way {
	int from, to;
	struct pipe pipe;	/* while held */
	size_t held;		/* bytes in it */
	uint64_t moved;
	bool ended;		/* from has, and to was told */
};

struct splice {
	struct pipes *pipes;
	splice_fn *fn;
	void *ctx;
	struct loop_watch *watch[2];
	struct way way[2];	/* way[i] is from fd[i] */
	int fd[2];
};

/* ---- moving */

/* Bytes, 0 the end, -EAGAIN, -errno. */
static ssize_t move(int from, int to, size_t len)
{
	ssize_t n;

	do
		n = splice(from, NULL, to, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* 0: the pipe is empty; -EAGAIN: the reader takes no more. */
static int drain(struct way *w)
{
	while (w->held) {
		ssize_t n = move(w->pipe.out, w->to, w->held);

		if (n <= 0)
			return n ? (int)n : -EPIPE;
		w->held -= (size_t)n;
		w->moved += (uint64_t)n;
	}
	return 0;
}

/* Into an empty pipe. Bytes that came; 0: the end; -EAGAIN. */
static int fill(struct way *w)
{
	ssize_t n = move(w->from, w->pipe.in, w->pipe.size);

	if (n > 0)
		w->held = (size_t)n;
	return (int)n;
}

/* The pipe is empty. */
static int pass_end(struct way *w)
{
	w->ended = true;
	return shutdown(w->to, SHUT_WR) && errno != ENOTCONN ? -errno : 0;
}

/* 0: wait for what wishes() says; else the code that ends it all. */
static int turn(struct way *w)
{
	int rc = drain(w);

	for (int i = 0; i < TURNS && !rc; i++) {
		bool all;

		rc = fill(w);
		if (!rc)
			return pass_end(w);
		all = rc > 0 && (size_t)rc < w->pipe.size / 2;	/* the socket had no more: the loop says when it has */
		if (rc > 0)
			rc = drain(w);
		if (all)
			break;
	}
	return rc == -EAGAIN ? 0 : rc;
}

static int pump(struct splice *s, struct way *w)
{
	int rc = w->held ? 0 : pipes_take(s->pipes, &w->pipe);

	if (rc)
		return rc;
	rc = turn(w);
	if (!w->held || rc) {
		pipes_give(s->pipes, &w->pipe, !w->held);
		w->held = 0;
	}
	return rc;
}

/* ---- waiting */

/* Edge triggered when there is nothing to do: a socket that hung up rests, one that fails is still heard of. */
static uint32_t wishes(const struct splice *s, int i)
{
	const struct way *out = &s->way[i], *in = &s->way[!i];
	uint32_t events = (out->ended || out->held ? 0 : EPOLLIN) | (in->held ? EPOLLOUT : 0);

	return events ? events : EPOLLET;
}

static int wait_on(struct splice *s)
{
	int rc = 0;

	for (int i = 0; i < 2 && !rc; i++)
		rc = loop_watch_set(s->watch[i], wishes(s, i));
	return rc;
}

static int failure(int fd)
{
	int code = 0;
	socklen_t len = sizeof code;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len))
		code = errno;
	return code ? -code : -ECONNRESET;
}

/* Go on, or tell the owner that it is over. */
static void settle(struct splice *s, int rc)
{
	bool over = rc || (s->way[0].ended && s->way[1].ended);

	if (!over) {
		rc = wait_on(s);
		over = rc;
	}
	if (!over)
		return;
	for (int i = 0; i < 2; i++) {
		loop_watch_remove(s->watch[i]);
		s->watch[i] = NULL;
	}
	s->fn(s->ctx, rc);	/* may free it */
}

static void on_socket(void *ctx, int fd, uint32_t events)
{
	struct splice *s = ctx;
	int i = fd == s->fd[1], rc = 0;

	if (events & EPOLLERR)
		rc = failure(fd);
	if (!rc && events & (EPOLLIN | EPOLLHUP) && !s->way[i].ended && !s->way[i].held)
		rc = pump(s, &s->way[i]);
	if (!rc && events & (EPOLLOUT | EPOLLHUP) && s->way[!i].held)
		rc = pump(s, &s->way[!i]);
	settle(s, rc);
}

/* ---- life */

void splice_free(struct splice *s)
{
	if (!s)
		return;
	for (int i = 0; i < 2; i++) {
		if (s->way[i].held)
			pipes_give(s->pipes, &s->way[i].pipe, false);
		loop_watch_remove(s->watch[i]);
		scope_close(&s->fd[i]);
	}
	free(s);
}

int splice_create(struct loop *loop, struct pipes *pipes, int a, int b, splice_fn *fn, void *ctx, struct splice **out,
	struct err *err)
{
	struct splice *s = calloc(1, sizeof *s);
	int rc = s ? 0 : -ENOMEM;

	*out = NULL;
	if (!s) {
		scope_close(&a);
		scope_close(&b);
		return err_set(err, rc, "splice: out of memory");
	}
	*s = (struct splice){ .pipes = pipes, .fn = fn, .ctx = ctx, .fd = { a, b },
		.way = { { .from = a, .to = b }, { .from = b, .to = a } } };
	for (int i = 0; i < 2; i++)
		(void)!setsockopt(s->fd[i], IPPROTO_TCP, TCP_NOTSENT_LOWAT, &(int){ UNSENT }, sizeof(int));
	for (int i = 0; i < 2 && !rc; i++)
		rc = loop_watch_add(loop, s->fd[i], EPOLLIN, on_socket, s, &s->watch[i]);
	if (rc) {
		splice_free(s);
		return err_set(err, rc, "splice: cannot be watched: %s", strerror(-rc));
	}
	*out = s;
	return 0;
}

void splice_moved(const struct splice *s, uint64_t *a_to_b, uint64_t *b_to_a)
{
	*a_to_b = s->way[0].moved;
	*b_to_a = s->way[1].moved;
}
