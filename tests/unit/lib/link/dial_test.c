/* SPDX-License-Identifier: Apache-2.0 */
/* Connections over the loopback: by number, by name, with addresses that do not answer; pauses; who may be dialled. */
#include "lib/link/dial.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/unit/suite.h"

#define MS 1000000ull

struct caller { struct loop *loop; struct loop_timer *late; struct dial *dial; int fd, calls; struct err why; bool again; };

static void on_dial(void *ctx, int fd, const struct err *why)
{
	struct caller *c = ctx;

	c->calls++;
	c->fd = fd;
	c->dial = NULL;
	if (why)
		c->why = *why;
	loop_stop(c->loop);
}

static void on_late(void *ctx) { loop_stop(((struct caller *)ctx)->loop); }

static void setup(struct caller *c)
{
	*c = (struct caller){ .fd = -1 };
	CU_ASSERT_FATAL(!loop_create(&c->loop, NULL) && !loop_timer_create(c->loop, on_late, c, &c->late));
}

static void run(struct caller *c)
{
	loop_timer_arm(c->late, loop_now_ns() + 15000 * MS);
	check_eq(loop_run(c->loop), 0);
}

static void drop(struct caller *c)
{
	dial_cancel(c->dial);
	if (c->fd >= 0)
		close(c->fd);
	loop_timer_free(c->late);
	loop_free(c->loop);
}

static void reach(const char *format, const char *listen)
{
	struct err err = { .text = "" };
	char address[64];
	struct caller c;
	uint16_t port;
	int fd;

	setup(&c);
	CU_ASSERT_FATAL(!dial_listen(listen, &fd, &port, &err));
	snprintf(address, sizeof address, format, port);
	check_eq(dial_start(c.loop, address, 0, on_dial, &c, &c.dial, &err), 0);
	check_eq(c.calls, 0);
	run(&c);
	check_eq(c.calls, 1);
	check(c.fd >= 0 && fcntl(c.fd, F_GETFL) & O_NONBLOCK && fcntl(c.fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	drop(&c);
}

static void reaches_a_listener(void)
{
	reach("127.0.0.1:%u", "127.0.0.1:0");
	/* a name; where it has an IPv6 address, nobody listens there */
	reach("localhost:%u", "127.0.0.1:0");
}

static void says_why_nobody_answers(void)
{
	char address[64], want[160];
	struct caller c;
	uint16_t port;
	int fd;

	setup(&c);
	CU_ASSERT_FATAL(!dial_listen("127.0.0.1:0", &fd, &port, NULL));
	close(fd);	/* nobody listens there now */
	snprintf(address, sizeof address, "127.0.0.1:%u", port);
	check_eq(dial_start(c.loop, address, 0, on_dial, &c, &c.dial, NULL), 0);
	run(&c);
	check_eq(c.calls, 1);
	check_eq(c.fd, -1);
	check_eq(c.why.code, -ECONNREFUSED);
	snprintf(want, sizeof want, "%s: cannot connect: Connection refused", address);
	check_str(c.why.text, want);
	drop(&c);
}

/* A listener whose backlog is full drops what comes, as a host that is off does. */
static void gives_up(void)
{
	struct err err = { .text = "" };
	struct caller c, fill[2];
	char address[64], want[160];
	uint16_t port;
	int fd;

	setup(&c);
	CU_ASSERT_FATAL(!dial_listen("127.0.0.1:0", &fd, &port, &err) && !listen(fd, 0));
	snprintf(address, sizeof address, "127.0.0.1:%u", port);
	for (unsigned i = 0; i < 2; i++) {
		setup(&fill[i]);
		check_eq(dial_start(fill[i].loop, address, 300, on_dial, &fill[i], &fill[i].dial, &err), 0);
		run(&fill[i]);
	}
	check_eq(dial_start(c.loop, address, 50, on_dial, &c, &c.dial, &err), 0);
	run(&c);
	check_eq(c.calls, 1);
	check_eq(c.why.code, -ETIMEDOUT);
	snprintf(want, sizeof want, "%s: no connection in 50 ms", address);
	check_str(c.why.text, want);
	close(fd);
	for (unsigned i = 0; i < 2; i++)
		drop(&fill[i]);
	drop(&c);
}

static void says_that_a_name_is_unknown(void)
{
	struct caller c;

	setup(&c);
	check_eq(dial_start(c.loop, "no-such-host.invalid:80", 0, on_dial, &c, &c.dial, NULL), 0);
	run(&c);
	check_eq(c.calls, 1);
	check_eq(c.why.code, -EHOSTUNREACH);
	check(!strncmp(c.why.text, "address \"no-such-host.invalid:80\": ", 35));
	drop(&c);
}

/* Also while the name is being looked up: the thread then frees what it found. */
static void is_cancelled(void)
{
	static const char *const where[] = { "127.0.0.1:1", "localhost:1", "no-such-host.invalid:1" };
	struct caller c;

	for (unsigned i = 0; i < 3; i++) {
		setup(&c);
		check_eq(dial_start(c.loop, where[i], 0, on_dial, &c, &c.dial, NULL), 0);
		dial_cancel(c.dial);
		c.dial = NULL;
		loop_timer_arm(c.late, loop_now_ns() + 20 * MS);
		check_eq(loop_run(c.loop), 0);
		check_eq(c.calls, 0);
		drop(&c);
	}
	dial_cancel(NULL);
}

static unsigned threads(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/task");

	CU_ASSERT_FATAL(d != NULL);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* A thread that looks a name up cannot be ended: whoever dials and cancels does not make them more and more. */
static void looks_few_up_at_once(void)
{
	unsigned before = threads(), most = 0, ok = 0;
	struct caller c;
	struct err err;

	setup(&c);
	for (unsigned i = 0; i < 2000; i++) {
		int rc = dial_start(c.loop, "no-such-host.invalid:1", 0, on_dial, &c, &c.dial, &err);
		unsigned now = i % 10 ? 0 : threads();

		ok += !rc;
		if (rc)
			check_eq(rc, -EBUSY);
		most = now > most ? now : most;
		dial_cancel(c.dial);
	}
	c.dial = NULL;
	check(ok >= 32);
	if (most > before + 40)
		suite_note("%u threads", most);
	check(most <= before + 40);	/* a few may have done their work and not ended yet */
	drop(&c);
}

static void refuses_what_is_no_address(void)
{
	static const struct { const char *address, *text; } bad[] = {
		{ "", "address \"\": is not HOST:PORT" },
		{ "host", "address \"host\": is not HOST:PORT" },
		{ "host:", "address \"host:\": is not HOST:PORT" },
		{ "host:80x", "address \"host:80x\": is not HOST:PORT" },
		{ "host:-1", "address \"host:-1\": is not HOST:PORT" },
		{ "host:000080", "address \"host:000080\": is not HOST:PORT" },
		{ "host:65536", "address \"host:65536\": a port is at most 65535" },
		{ "host:0", "address \"host:0\": names no port" },
		{ ":80", "address \":80\": names no host" },
		{ "::1:80", "address \"::1:80\": an IPv6 host stands in brackets, [HOST]:PORT" },
		{ "a b:80", "address \"a b:80\": no host has such a name" },
		{ "a\n:80", "address \"a?:80\": no host has such a name" },
	};
	char text[400];
	struct err err;
	struct caller c;

	setup(&c);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		check_eq(dial_start(c.loop, bad[i].address, 0, on_dial, &c, &c.dial, &err), -EINVAL);
		check_str(err.text, bad[i].text);
		check(!c.dial);
	}
	memset(text, 'a', sizeof text);
	strcpy(text + 300, ":80");
	check_eq(dial_start(c.loop, text, 0, on_dial, &c, &c.dial, &err), -EINVAL);
	drop(&c);
}

static void refuses_to_listen_where_it_cannot(void)
{
	char address[64];
	struct err err;
	uint16_t port, other;
	int fd, again;

	check_eq(dial_listen("nonsense", &fd, &port, &err), -EINVAL);
	check_eq(port, 0);
	CU_ASSERT_FATAL(!dial_listen("127.0.0.1:0", &fd, &port, &err));
	snprintf(address, sizeof address, "127.0.0.1:%u", port);
	check_eq(dial_listen(address, &again, &other, &err), -EADDRINUSE);
	check_eq(again, -1);
	close(fd);
}

static void pauses_grow(void)
{
	static const uint64_t base[] = { 0, 100, 200, 400, 500, 500 };
	struct backoff b = { .min_ms = 100, .max_ms = 500 };

	for (int turn = 0; turn < 50; turn++) {
		for (size_t i = 0; i < sizeof base / sizeof base[0]; i++) {
			uint64_t ns = backoff_next_ns(&b);

			check(ns >= base[i] * MS / 2 && ns <= base[i] * MS * 3 / 2);
		}
		backoff_reset(&b);
	}
	b = (struct backoff){ .min_ms = 3000000000u, .max_ms = 4000000000u };
	for (int i = 0; i < 4; i++)
		check(backoff_next_ns(&b) <= 6000000000u * MS);
	check_eq(b.next_ms, 4000000000u);
	b = (struct backoff){ 0 };
	for (int i = 0; i < 4; i++)
		check(backoff_next_ns(&b) < 2 * MS);
}

static const struct test tests[] = {
	{ "reaches a listener", reaches_a_listener },
	{ "says why nobody answers", says_why_nobody_answers },
	{ "gives up", gives_up },
	{ "says that a name is unknown", says_that_a_name_is_unknown },
	{ "is cancelled", is_cancelled },
	{ "looks few names up at once", looks_few_up_at_once },
	{ "refuses what is no address", refuses_what_is_no_address },
	{ "refuses to listen where it cannot", refuses_to_listen_where_it_cannot },
	{ "pauses grow", pauses_grow },
	{ NULL, NULL },
};
const struct suite suite_lib_link_dial = { tests };
