/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes through two spliced sockets: both ways, ends, back pressure, cuts, and nothing while nothing happens. */
#include "csc/splice.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include "tests/unit/csc/loop_rig.h"

enum { WHOLE = 6000000 };

struct far { int fd; size_t sent, got, goal; bool ended; unsigned wrong; };	/* an end that somebody else holds */
struct rig { struct loop *loop; struct pipes *pipes; struct splice *splice; struct far a, b; bool over; int code; };

static void on_over(void *ctx, int code)
{
	struct rig *r = ctx;

	r->over = true;
	r->code = code;
	splice_free(r->splice);
	r->splice = NULL;
}

static void setup(struct rig *r)
{
	struct err err = { .text = "" };
	int a[2], b[2];

	*r = (struct rig){ 0 };
	tcp_pair(a);
	tcp_pair(b);
	for (int i = 0; i < 2; i++) {
		fcntl(a[i], F_SETFL, O_NONBLOCK);
		fcntl(b[i], F_SETFL, O_NONBLOCK);
	}
	r->a.fd = a[0];
	r->b.fd = b[0];
	CU_ASSERT_FATAL(!loop_create(&r->loop, NULL) && !pipes_create(&r->pipes, NULL));
	CU_ASSERT_FATAL(!splice_create(r->loop, r->pipes, a[1], b[1], on_over, r, &r->splice, &err));
}

static void drop(struct rig *r)
{
	splice_free(r->splice);
	check_eq(pipes_taken(r->pipes), 0);
	pipes_free(r->pipes);
	loop_free(r->loop);
	if (r->a.fd >= 0)
		close(r->a.fd);
	if (r->b.fd >= 0)
		close(r->b.fd);
}

static uint8_t byte_at(size_t at) { return (uint8_t)(at * 31 + at / 4096); }

static void push(struct far *f, size_t until)
{
	uint8_t piece[20000];

	while (f->sent < until) {
		size_t n = until - f->sent < sizeof piece ? until - f->sent : sizeof piece;
		ssize_t done;

		for (size_t i = 0; i < n; i++)
			piece[i] = byte_at(f->sent + i);
		done = write(f->fd, piece, n);
		if (done <= 0)
			return;
		f->sent += (size_t)done;
	}
}

static void pull(struct far *f)
{
	uint8_t piece[50000];
	ssize_t n;

	while ((n = read(f->fd, piece, sizeof piece)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			f->wrong += piece[i] != byte_at(f->got + (size_t)i);
		f->got += (size_t)n;
	}
	f->ended |= !n;
}

static bool both_moved(void *ctx)
{
	struct rig *r = ctx;

	push(&r->a, WHOLE);
	push(&r->b, WHOLE);
	pull(&r->a);
	pull(&r->b);
	return r->a.got == WHOLE && r->b.got == WHOLE;
}

static bool is_over(void *ctx)
{
	struct rig *r = ctx;

	if (r->a.fd >= 0)
		pull(&r->a);
	if (r->b.fd >= 0)
		pull(&r->b);
	return r->over;
}

static bool b_ended(void *ctx)
{
	struct rig *r = ctx;

	pull(&r->b);
	return r->b.ended;
}

static bool a_got(void *ctx)
{
	struct rig *r = ctx;

	pull(&r->a);
	return r->a.got == r->a.goal;
}

static void moves_both_ways(void)
{
	uint64_t ab, ba;
	struct rig r;

	setup(&r);
	check(loop_until(r.loop, both_moved, &r));
	check(!r.a.wrong && !r.b.wrong);
	splice_moved(r.splice, &ab, &ba);
	check(ab == WHOLE && ba == WHOLE);
	check_eq(pipes_taken(r.pipes), 0);	/* nothing is under way */
	shutdown(r.a.fd, SHUT_WR);
	shutdown(r.b.fd, SHUT_WR);
	check(loop_until(r.loop, is_over, &r));
	check_eq(r.code, 0);
	check(r.a.ended && r.b.ended);
	drop(&r);
}

static void passes_ends_on(void)
{
	struct rig r;

	setup(&r);
	push(&r.a, 100);
	shutdown(r.a.fd, SHUT_WR);
	check(loop_until(r.loop, b_ended, &r));
	check_eq(r.b.got, 100);
	check(!r.over);
	push(&r.b, 5000);	/* the other way goes on */
	r.a.goal = 5000;
	check(loop_until(r.loop, a_got, &r));
	check(!r.over && !r.a.ended);
	shutdown(r.b.fd, SHUT_WR);
	check(loop_until(r.loop, is_over, &r));
	check_eq(r.code, 0);
	drop(&r);
}

struct stall { struct rig *r; size_t last; unsigned same; };

static bool stalls(void *ctx)
{
	struct stall *s = ctx;

	push(&s->r->a, (size_t)1 << 30);
	s->same = s->r->a.sent == s->last ? s->same + 1 : 0;
	s->last = s->r->a.sent;
	return s->same > 100;
}

static double cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool time_is_up(void *ctx) { return loop_now_ns() >= *(uint64_t *)ctx; }

/* CPU seconds of a tenth of a second of the loop. */
static double cost_of_waiting(struct loop *loop)
{
	struct until u = { .loop = loop, .is = time_is_up, .end = UINT64_MAX, .step = 100 * LOOP_MS };
	uint64_t end = loop_now_ns() + 100 * LOOP_MS;
	double before = cpu();

	u.ctx = &end;
	CU_ASSERT_FATAL(!loop_timer_create(loop, until_look, &u, &u.timer));
	loop_timer_arm(u.timer, end);
	CU_ASSERT(!loop_run(loop));
	loop_timer_free(u.timer);
	return cpu() - before;
}

/* What nobody reads stays with who writes it; then all of it arrives. */
static void stops_a_writer(void)
{
	struct rig r;
	struct stall s = { .r = &r };
	size_t held;

	setup(&r);
	check(loop_until(r.loop, stalls, &s));
	held = r.a.sent;
	check(held < 64u << 20);
	check_eq(pipes_taken(r.pipes), 1);
	check(cost_of_waiting(r.loop) < 0.02);
	push(&r.b, 3000);	/* the other way is free meanwhile */
	r.a.goal = 3000;
	check(loop_until(r.loop, a_got, &r));
	shutdown(r.a.fd, SHUT_WR);
	check(loop_until(r.loop, b_ended, &r));
	check_eq(r.b.got, r.a.sent);
	check_eq(r.b.wrong, 0);
	drop(&r);
}

/* The writer ends and goes while its last bytes still wait: they arrive, and nobody spins meanwhile. */
static void keeps_the_last_bytes(void)
{
	struct rig r;
	struct stall s = { .r = &r };
	size_t sent;

	setup(&r);
	check(loop_until(r.loop, stalls, &s));
	sent = r.a.sent;
	shutdown(r.b.fd, SHUT_WR);
	loop_rounds(r.loop, 10);
	close(r.a.fd);
	r.a.fd = -1;
	check(cost_of_waiting(r.loop) < 0.02);
	check(!r.over);
	check(loop_until(r.loop, is_over, &r));
	check_eq(r.code, 0);
	check_eq(r.b.got, sent);
	drop(&r);
}

static void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(fd);
}

static void hears_a_cut(void)
{
	struct rig r;
	struct stall s = { .r = &r };

	setup(&r);
	push(&r.a, 100);
	loop_rounds(r.loop, 5);
	reset(r.a.fd);
	r.a.fd = -1;
	check(loop_until(r.loop, is_over, &r));
	check(r.code == -ECONNRESET || r.code == -EPIPE);
	drop(&r);

	setup(&r);	/* while its bytes wait */
	s = (struct stall){ .r = &r };
	check(loop_until(r.loop, stalls, &s));
	reset(r.b.fd);
	r.b.fd = -1;
	check(loop_until(r.loop, is_over, &r));
	check(r.code == -ECONNRESET || r.code == -EPIPE);
	drop(&r);

	setup(&r);	/* after one way has ended */
	shutdown(r.a.fd, SHUT_WR);
	check(loop_until(r.loop, b_ended, &r));
	reset(r.a.fd);
	r.a.fd = -1;
	push(&r.b, 1);
	check(loop_until(r.loop, is_over, &r));
	check(r.code == -ECONNRESET || r.code == -EPIPE);
	drop(&r);
}

static void can_be_freed_full(void)
{
	struct rig r;
	struct stall s = { .r = &r };

	setup(&r);
	check(loop_until(r.loop, stalls, &s));
	splice_free(r.splice);
	r.splice = NULL;
	drop(&r);
}

static void lends_pipes(void)
{
	struct pipe taken[PIPES_LARGE_MAX + 8];
	unsigned large = 0;
	struct pipes *p;

	CU_ASSERT_FATAL(!pipes_create(&p, NULL));
	for (size_t i = 0; i < PIPES_LARGE_MAX + 8; i++) {
		CU_ASSERT_FATAL(!pipes_take(p, &taken[i]));
		large += taken[i].size >= PIPES_LARGE;
	}
	check(large <= PIPES_LARGE_MAX);
	check_eq(pipes_taken(p), PIPES_LARGE_MAX + 8);
	for (size_t i = PIPES_LARGE_MAX + 8; i--;)
		pipes_give(p, &taken[i], i % 4);
	CU_ASSERT_FATAL(!pipes_take(p, &taken[0]));
	check(!large || taken[0].size >= PIPES_LARGE);	/* large ones first */
	pipes_give(p, &taken[0], true);
	check_eq(pipes_taken(p), 0);
	pipes_free(p);
	pipes_free(NULL);
}

static const struct test tests[] = {
	{ "moves both ways", moves_both_ways },
	{ "passes ends on", passes_ends_on },
	{ "stops a writer", stops_a_writer },
	{ "keeps the last bytes", keeps_the_last_bytes },
	{ "hears a cut", hears_a_cut },
	{ "can be freed full", can_be_freed_full },
	{ "lends pipes", lends_pipes },
	{ NULL },
};
const struct suite suite_csc_splice = { tests };
