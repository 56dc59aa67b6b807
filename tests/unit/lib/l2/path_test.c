/* SPDX-License-Identifier: Apache-2.0 */
/* A server end, and a caller of hand-written bytes: whatever breaks the rules ends that path, with its reason, and nothing else. */
#include "lib/l2/path.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/bits.h"
#include "tests/unit/lib/l2/l2_rig.h"

static const uint8_t mac_a[6] = { 0x52, 0x54, 0, 0, 0, 1 }, mac_b[6] = { 0x52, 0x54, 0, 0, 0, 2 };

struct side {
	struct rig *rig;
	struct path *path;
	unsigned opens, frames, beats, grants, closes;
	struct err why;
	struct wire_grant grant;
};
struct rig { struct loop *loop; struct side s; int fd[PATH_LANES]; json_t *hello; bool refuse; };

static void on_open(void *ctx) { ((struct side *)ctx)->opens++; }
static void on_frame(void *ctx, struct frame *f) { ((struct side *)ctx)->frames++; }
static void on_beat(void *ctx, const struct wire_beat *beat) { ((struct side *)ctx)->beats++; }

static void on_grant(void *ctx, const struct wire_grant *grant)
{
	struct side *s = ctx;

	s->grants++;
	s->grant = *grant;
}

static void on_closed(void *ctx, const struct err *why)
{
	struct side *s = ctx;

	s->closes++;
	s->why = *why;
	path_free(s->path);
	s->path = NULL;
}

static int on_check(void *ctx, struct link *link, const json_t *hello, struct err *err)
{
	struct side *s = ctx;

	return s->rig->refuse ? err_set(err, -EPERM, "not this one") : 0;
}

static const struct path_ops ops = { .open = on_open, .frame = on_frame, .beat = on_beat, .grant = on_grant, .closed = on_closed };

/* Our side calls; the other one is the test's sockets. */
static void setup(struct rig *r, unsigned lanes)
{
	struct path_config config = { .caller = true, .lanes = lanes };

	*r = (struct rig){ .hello = json_pack("{s:i}", "version", 1), .s.rig = r };
	CU_ASSERT_FATAL(!loop_create(&r->loop, NULL));
	CU_ASSERT_FATAL(!path_create(r->loop, &config, &ops, &r->s, &r->s.path, NULL));
	for (unsigned i = 0; i < lanes; i++) {
		int fd[2];

		CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
		r->fd[i] = fd[0];
		CU_ASSERT_FATAL(!path_add_lane(r->s.path, i, fd[1], NULL, r->hello, on_check, NULL));
	}
}

static void teardown(struct rig *r)
{
	path_free(r->s.path);
	for (unsigned i = 0; i < PATH_LANES; i++)
		if (r->fd[i])
			close(r->fd[i]);
	json_decref(r->hello);
	loop_free(r->loop);
}

static void say(struct rig *r, unsigned lane, const void *data, size_t len)
{
	CU_ASSERT_FATAL(send(r->fd[lane], data, len, MSG_NOSIGNAL) == (ssize_t)len);
}

static void say_text(struct rig *r, unsigned lane, enum wire_type type, const char *text)
{
	uint8_t header[WIRE_HEADER];

	wire_put_header(header, type, strlen(text));
	say(r, lane, header, sizeof header);
	say(r, lane, text, strlen(text));
}

static void say_frame(struct rig *r, uint16_t port, size_t len)
{
	uint8_t buf[70000];
	struct frame f = rig_frame(buf, mac_a, mac_b, port, len);
	size_t n;
	uint8_t *at = wire_put_frame(&f, &n);

	say(r, 0, at, n);
}

static bool closed(void *ctx) { return ((struct rig *)ctx)->s.closes; }
static bool opened(void *ctx) { return ((struct rig *)ctx)->s.opens; }
static bool three_frames(void *ctx) { return ((struct rig *)ctx)->s.frames >= 3; }
static bool two_grants(void *ctx) { return ((struct rig *)ctx)->s.grants >= 2; }

static void ends(struct rig *r, int code, const char *text)
{
	check(rig_wait(r->loop, closed, r));
	check_eq(r->s.closes, 1);
	check_eq(-r->s.why.code, -code);
	check_str(r->s.why.text, text);
	teardown(r);
}

static void open_path(struct rig *r, unsigned lanes)
{
	setup(r, lanes);
	for (unsigned i = 0; i < lanes; i++)
		say_text(r, i, WIRE_HELLO, "{\"version\":1}");
	check(rig_wait(r->loop, opened, r));
}

static void test_hello(void)
{
	struct rig r;

	setup(&r, 1);
	say_frame(&r, 1, 100);
	ends(&r, -EPROTO, "FRAME before HELLO");
	setup(&r, 1);
	say_text(&r, 0, WIRE_HELLO, "[1]");
	ends(&r, -EPROTO, "HELLO is no JSON object");
	setup(&r, 1);
	say_text(&r, 0, WIRE_HELLO, "{\"a\":1,\"a\":2}");
	ends(&r, -EPROTO, "HELLO is no JSON object");
	setup(&r, 1);
	r.refuse = true;
	say_text(&r, 0, WIRE_HELLO, "{\"version\":1}");
	ends(&r, -EPERM, "not this one");
	open_path(&r, 1);
	say_text(&r, 0, WIRE_HELLO, "{\"version\":1}");
	ends(&r, -EPROTO, "a second HELLO");
	setup(&r, 2);
	say_text(&r, 0, WIRE_HELLO, "{\"version\":1}");
	say_text(&r, 1, WIRE_HELLO, "{\"version\":2}");
	ends(&r, -EPROTO, "lane 1: its HELLO is not that of the other lanes");
	setup(&r, 2);
	say_text(&r, 0, WIRE_HELLO, "{\"version\":1}");
	close(r.fd[1]);
	r.fd[1] = 0;
	check(rig_wait(r.loop, closed, &r));
	check_eq(r.s.opens, 0);
	teardown(&r);
}

static void test_rules(void)
{
	struct wire_grant grant = { 1, 500, WIRE_ACTIVE, 0 };
	struct wire_beat beat = { .stamp_ns = 1 };
	uint8_t buf[WIRE_SMALL];
	struct rig r;

	open_path(&r, 1);
	say(&r, 0, "\0\0\0\x63", 4);
	ends(&r, -EPROTO, "message of type 99, which there is not");
	open_path(&r, 1);
	say(&r, 0, "\xff\xff\xff\x02", 4);
	ends(&r, -EPROTO, "FRAME of 16777215 bytes: 26 to 65570 are right");
	open_path(&r, 1);
	say(&r, 0, buf, wire_put_grant(buf, &grant));
	ends(&r, -EPROTO, "GRANT for a BEAT that was never sent");
	open_path(&r, 1);
	say(&r, 0, buf, wire_put_beat(buf, &beat));
	ends(&r, -EPROTO, "BEAT from this side");
	open_path(&r, 2);
	say(&r, 1, buf, wire_put_grant(buf, &grant));
	ends(&r, -EPROTO, "lane 1: GRANT on another lane than the first");
	open_path(&r, 1);
	say(&r, 0, buf, wire_put_consumed(buf, 1));
	ends(&r, -EPROTO, "CONSUMED is more than was sent");
	setup(&r, 2);
	say_text(&r, 0, WIRE_HELLO, "{\"version\":1}");
	say(&r, 0, buf, wire_put_grant(buf, &grant));
	ends(&r, -EPROTO, "lane 0: GRANT before all lanes are there");
}

static void test_frames(void)
{
	struct path_counters c;
	struct rig r;
	uint8_t bad[60] = { 0 };

	open_path(&r, 1);
	say_frame(&r, 1, 100);
	/* a header that asks for what the frame has not: dropped, the path lives */
	wire_put_header(bad, WIRE_FRAME, 40);
	bad[4] = 1;
	put_le16(bad + 10, 60000);
	say(&r, 0, bad, 44);
	say_frame(&r, 1, 60000);
	say_frame(&r, 1, 60);
	check(rig_wait(r.loop, three_frames, &r));
	path_counters(r.s.path, &c);
	check_eq(c.drop_bad_frame, 1);
	check_eq(c.in.frames, 3);
	teardown(&r);
}

static size_t consumed_said(int fd)
{
	uint8_t data[4096];
	struct wire_message m;
	size_t used, at = 0, last = 0;
	ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);

	while (n > 0 && !wire_parse(data + at, (size_t)n - at, &used, &m, NULL) && used) {
		at += used;
		if (m.type == WIRE_CONSUMED)
			last = m.consumed;
	}
	return last;
}

static size_t said;
static bool all_told(void *ctx)
{
	size_t now = consumed_said(((struct rig *)ctx)->fd[0]);

	said = now ? now : said;
	return said == 3 * (16 + 1000);
}

static void test_consumed(void)
{
	struct rig r;

	open_path(&r, 1);
	said = 0;
	for (unsigned i = 0; i < 3; i++)
		say_frame(&r, 1, 1000);
	check(rig_wait(r.loop, all_told, &r));
	teardown(&r);
}

/* Every byte by itself, as a slow net may bring them. */
static void test_bytewise(void)
{
	struct rig r;
	uint8_t buf[400];
	size_t n;

	open_path(&r, 1);
	for (unsigned i = 0; i < 3; i++) {
		struct frame f = rig_frame(buf, mac_a, mac_b, 1, 80);
		uint8_t *at = wire_put_frame(&f, &n);

		for (size_t b = 0; b < n; b++) {
			say(&r, 0, at + b, 1);
			rig_run_ms(r.loop, 0);
		}
	}
	check(rig_wait(r.loop, three_frames, &r));
	teardown(&r);
}

static uint64_t stamp_said(struct rig *r)
{
	uint8_t data[4096];
	struct wire_message m;
	size_t used, at = 0;
	ssize_t n = recv(r->fd[0], data, sizeof data, 0);

	while (n > 0 && !wire_parse(data + at, (size_t)n - at, &used, &m, NULL) && used) {
		at += used;
		if (m.type == WIRE_BEAT)
			return m.beat.stamp_ns;
	}
	return 0;
}

static void test_grants(void)
{
	struct wire_grant grant = { 0, 500, WIRE_ACTIVE, 0 };
	uint8_t buf[WIRE_SMALL];
	struct rig r;

	open_path(&r, 1);
	path_send_beat(r.s.path, loop_now_ns(), WIRE_BEAT_LAN, 5);
	rig_run_ms(r.loop, 1);
	grant.stamp_ns = stamp_said(&r);
	check(grant.stamp_ns != 0);
	say(&r, 0, buf, wire_put_grant(buf, &grant));
	grant.state = WIRE_STANDBY;
	say(&r, 0, buf, wire_put_grant(buf, &grant));	/* once more: it changed */
	check(rig_wait(r.loop, two_grants, &r));
	check(path_rtt_ns(r.s.path) > 0);
	check_eq(r.s.grant.state, WIRE_STANDBY);
	teardown(&r);
}

/* Control messages to a peer that reads nothing are lost, frames wait in a queue that is bounded. */
static void test_full(void)
{
	struct path_counters c;
	struct rig r;
	uint8_t buf[70000];

	open_path(&r, 1);
	for (unsigned i = 0; i < 400; i++) {
		struct frame f = rig_frame(buf, mac_a, mac_b, 1, 60000);

		check(frame_parse(&f) == FRAME_OK);
		path_send(r.s.path, &f);
	}
	path_counters(r.s.path, &c);
	check(c.queued_bytes <= 4 << 20);
	check(c.drop_queue_full > 300);
	check(c.out.bytes <= 262144 + 70000);
	teardown(&r);
}

static const struct test tests[] = {
	{ "HELLO", test_hello },
	{ "messages against the rules", test_rules },
	{ "frames, good and bad", test_frames },
	{ "what was consumed is told", test_consumed },
	{ "byte by byte", test_bytewise },
	{ "beats and grants", test_grants },
	{ "a peer that reads nothing", test_full },
	{ NULL },
};
const struct suite suite_lib_l2_path = { tests };
