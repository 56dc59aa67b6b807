/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of a socket pair on one loop, plain and TLS; time-outs, back pressure, ends and cuts. */
#include "lib/link/link.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/link/socket.h"
#include "tests/unit/lib/link/link_rig.h"

static void carries(void)
{
	struct link_config small = { .read_max = 3000, .write_max = 6000, .secret = true }, rekey = { .rekey_records = 7 };

	carry(false, NULL, 0);
	carry(true, NULL, 0);
	carry(true, NULL, 777);
	carry(false, &small, 1000);
	carry(true, &small, 1000);
	carry(true, &rekey, 0);
}

/* That this leaves nothing is seen by tests/system/key-leak.sh. */
static void has_plaintext_wiped(void)
{
	struct link_config secret = { .secret = true };
	struct rig r;

	setup(&r, true, &secret);
	check(SSL_get_options(link_ssl(r.a.link)) & SSL_OP_CLEANSE_PLAINTEXT);
	check(SSL_get_options(link_ssl(r.b.link)) & SSL_OP_CLEANSE_PLAINTEXT);
	drop(&r);
	setup(&r, true, NULL);
	check(!(SSL_get_options(link_ssl(r.a.link)) & SSL_OP_CLEANSE_PLAINTEXT));
	drop(&r);
}

static void updates_keys(void)
{
	struct link_config rekey = { .rekey_records = 2 };
	struct rig r;

	setup(&r, true, &rekey);
	r.b.stop_at = 500000;
	fill(&r.a);
	run(&r, 10000);
	check(!r.timed_out);
	check(link_counters(r.a.link)->key_updates >= 5);
	check_eq(r.b.sum, 0);
	drop(&r);
}

/* A reader that stands still stops the writer; nothing grows. */
static void pauses(bool tls)
{
	struct link_config c = { .write_max = 20000 };
	struct rig r;

	setup(&r, tls, &c);
	link_pause(r.b.link, true);
	fill(&r.a);
	run(&r, 60);
	fill(&r.a);
	run(&r, 60);
	check(r.timed_out);
	check(r.a.sent < 200000);
	check_eq(r.b.got, 0);
	check(link_queued(r.a.link) <= 20000);
	check(link_counters(r.a.link)->full >= 1);
	check_eq(link_counters(r.b.link)->pauses, 1);
	link_pause(r.b.link, false);
	r.b.end_on_end = true;
	run(&r, 20000);
	check_eq(r.b.got, WHOLE);
	check_eq(r.b.sum, 0);
	drop(&r);
}

static void has_back_pressure(void)
{
	pauses(false);
	pauses(true);
}

static size_t take_nothing(void *ctx, const uint8_t *data, size_t len) { return 0; }

static void bounds_a_message(void)
{
	static const struct link_ops stubborn = { .read = take_nothing, .closed = on_closed };
	struct link_config c = { .read_max = 5000 };
	struct link *mute;
	struct end e;
	struct rig r;
	int fd[2];

	setup(&r, false, &c);
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	r.closes = 1;
	e = (struct end){ .loop = r.loop, .stops = &r.closes };
	CU_ASSERT_FATAL(!link_create(r.loop, fd[0], &c, &stubborn, &e, &e.link, NULL));
	CU_ASSERT_FATAL(!link_create(r.loop, fd[1], &c, &(struct link_ops){ 0 }, NULL, &mute, NULL));
	check_eq(link_write(mute, &r, sizeof r), 0);
	for (int i = 0; i < 40; i++)
		(void)!link_write(mute, &r, 100);
	run(&r, 5000);
	check_eq(e.why.code, -EMSGSIZE);
	check_str(e.why.text, "the other side sent more than 5000 bytes of one message");
	link_free(mute);
	drop(&r);
}

static void is_freed_in_a_callback(void)
{
	struct rig r;

	for (int tls = 0; tls < 2; tls++) {
		setup(&r, tls, NULL);
		r.closes = 1;
		r.b.free_in_read = true;
		fill(&r.a);
		run(&r, 5000);
		check(!r.timed_out);
		check(!r.b.link && r.a.closed);
		drop(&r);
	}
}

static void refuses_writes_after_the_end(void)
{
	struct rig r;

	setup(&r, false, NULL);
	link_end(r.a.link);
	check_eq(link_write(r.a.link, "x", 1), -EPIPE);
	r.b.end_on_end = true;
	run(&r, 5000);
	check(r.a.closed && r.b.closed);
	drop(&r);
}

/* One writes on after the other has ended. */
static void half_closes(void)
{
	struct rig r;

	for (int tls = 0; tls < 2; tls++) {
		setup(&r, tls, NULL);
		link_end(r.b.link);
		run(&r, 50);
		check(r.a.ended && !r.a.closed);
		fill(&r.a);
		run(&r, 20000);
		check_eq(r.b.got, WHOLE);
		check(r.a.closed && !r.a.why.code);
		drop(&r);
	}
}

static void sees_a_cut(void)
{
	struct rig r;
	int fd;

	setup(&r, true, NULL);
	run(&r, 100);
	check(r.a.ready && r.b.ready);
	/* as a crash of the other side would: the socket ends without a word of TLS */
	fd = SSL_get_fd(link_ssl(r.a.link));
	shutdown(fd, SHUT_RDWR);
	run(&r, 5000);
	check(r.b.closed);
	check_eq(r.b.why.code, -ECONNRESET);
	check_str(r.b.why.text, "the other side cut the connection off");
	drop(&r);
}

static void waits_no_longer(void)
{
	struct link_config c = { .handshake_s = 1 }, idle = { .idle_s = 1 };
	struct end e;
	struct rig r;
	int fd[2];

	setup(&r, true, &idle);
	run(&r, 5000);
	check_eq(r.a.why.code, -ETIMEDOUT);
	check_str(r.a.why.text, "idle for 1 s");
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	c.tls = r.tls[1];
	c.server = true;
	r.closes = 1;
	e = (struct end){ .loop = r.loop, .stops = &r.closes };
	CU_ASSERT_FATAL(!link_create(r.loop, fd[0], &c, &ops, &e, &e.link, NULL));
	run(&r, 5000);
	check_eq(e.why.code, -ETIMEDOUT);
	check_str(e.why.text, "no handshake in 1 s");
	close(fd[1]);
	drop(&r);
}

static void refuses_what_is_not_tls(void)
{
	struct link_config c = { .server = true };
	struct end e;
	struct rig r;
	int fd[2];

	setup(&r, true, NULL);
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	c.tls = r.tls[1];
	r.closes = 1;
	e = (struct end){ .loop = r.loop, .stops = &r.closes };
	CU_ASSERT_FATAL(!link_create(r.loop, fd[0], &c, &ops, &e, &e.link, NULL));
	(void)!write(fd[1], "GET / HTTP/1.1\r\n\r\n", 18);
	run(&r, 5000);
	check_eq(e.why.code, -EPROTO);
	check_str(e.why.text, "TLS: http request");
	close(fd[1]);
	drop(&r);
}

static void says_why_it_cannot_connect(void)
{
	struct addrinfo *list;
	char name[SOCKET_HOST];
	struct err err;
	struct end e;
	struct rig r;
	int fd;

	setup(&r, false, NULL);
	check_eq(socket_listen("127.0.0.1:0", &fd, name, &err), 0);
	close(fd);	/* nobody listens there now */
	check_eq(socket_resolve(name, false, &list, &err), 0);
	check_eq(socket_connect(list, &fd, &err), 0);
	freeaddrinfo(list);
	r.closes = 1;
	e = (struct end){ .loop = r.loop, .stops = &r.closes };
	CU_ASSERT_FATAL(!link_create(r.loop, fd, &(struct link_config){ 0 }, &ops, &e, &e.link, &err));
	run(&r, 5000);
	check_eq(e.why.code, -ECONNREFUSED);
	check_str(e.why.text, "cannot connect: Connection refused");
	drop(&r);
}

static void reads_addresses(void)
{
	static const char *const bad[] = { "", "host", "host:", "host:x", "::1:80", "host:80x" };
	struct addrinfo *list;
	struct err err;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		check_eq(socket_resolve(bad[i], false, &list, &err), -EINVAL);
	check_eq(socket_resolve("::1:80", false, &list, &err), -EINVAL);
	check_str(err.text, "address \"::1:80\": an IPv6 host stands in brackets, [HOST]:PORT");
	check_eq(socket_resolve(":80", false, &list, &err), -EINVAL);
	check_str(err.text, "address \":80\": names no host");
	check_eq(socket_resolve("[::1]:80", false, &list, &err), 0);
	freeaddrinfo(list);
	check_eq(socket_resolve(":80", true, &list, &err), 0);
	freeaddrinfo(list);
}

/* Small writes share a record while corked. */
static void corks(void)
{
	struct rig r;
	uint64_t before;

	setup(&r, true, NULL);
	run(&r, 50);
	before = link_counters(r.a.link)->out_records;
	link_cork(r.a.link, true);
	for (int i = 0; i < 100; i++) {
		uint8_t byte[2] = { (uint8_t)(2 * i * 31), (uint8_t)((2 * i + 1) * 31) };

		check_eq(link_write(r.a.link, byte, 2), 0);
	}
	check_eq(link_counters(r.a.link)->out_records, before);
	r.b.stop_at = 200;
	link_cork(r.a.link, false);
	run(&r, 5000);
	check_eq(link_counters(r.a.link)->out_records, before + 1);
	check_eq(r.b.got, 200);
	check_eq(r.b.sum, 0);
	drop(&r);
}

struct taker { struct end end; int fd; struct link *freed; };

static void on_closed_take(void *ctx, const struct err *why)
{
	struct taker *t = ctx;

	t->fd = link_take_fd(t->end.link);
	on_closed(&t->end, why);
}

/* Both end their TLS; what follows on the socket belongs to whom takes it, to the byte. */
static void hands_its_socket_over(void)
{
	static const struct link_ops taking = { on_ready, on_read, on_writable, on_end, on_closed_take };
	struct link_config c = { 0 };
	struct taker t[2];
	uint8_t text[8];
	struct rig r;
	int fd[2];

	setup(&r, true, NULL);
	r.closes = 1;
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	for (int i = 0; i < 2; i++) {
		c.tls = r.tls[i];
		c.server = i;
		t[i] = (struct taker){ .end = { .loop = r.loop, .stops = &r.closes }, .fd = -1 };
		CU_ASSERT_FATAL(!link_create(r.loop, fd[i], &c, &taking, &t[i], &t[i].end.link, NULL));
		check_eq(link_take_fd(t[i].end.link), -1);
	}
	t[1].end.end_on_end = true;
	link_end(t[0].end.link);
	run(&r, 5000);	/* one is through, and speaks at once */
	for (int i = 0; i < 2; i++)
		if (t[i].fd >= 0)
			check_eq(write(t[i].fd, "plain", 5), 5);
	r.closes = !t[0].end.closed + !t[1].end.closed;
	if (r.closes)
		run(&r, 5000);
	check(t[0].fd >= 0 && t[1].fd >= 0);
	(void)!write(t[0].fd, "!", 1);
	(void)!write(t[1].fd, "!", 1);
	check(recv(t[0].fd, text, sizeof text, 0) > 0 && recv(t[1].fd, text, sizeof text, 0) > 0);
	close(t[0].fd);
	close(t[1].fd);
	drop(&r);
}

static const struct test tests[] = {
	{ "carries", carries },
	{ "has plaintext wiped", has_plaintext_wiped },
	{ "updates keys", updates_keys },
	{ "has back pressure", has_back_pressure },
	{ "bounds a message", bounds_a_message },
	{ "is freed in a callback", is_freed_in_a_callback },
	{ "refuses writes after the end", refuses_writes_after_the_end },
	{ "half closes", half_closes },
	{ "sees a cut", sees_a_cut },
	{ "waits no longer", waits_no_longer },
	{ "refuses what is not TLS", refuses_what_is_not_tls },
	{ "says why it cannot connect", says_why_it_cannot_connect },
	{ "reads addresses", reads_addresses },
	{ "corks", corks },
	{ "hands its socket over", hands_its_socket_over },
	{ NULL },
};
const struct suite suite_lib_link_link = { tests };
