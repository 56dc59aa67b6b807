/* SPDX-License-Identifier: Apache-2.0 */
/* Gateways and server ends over real sockets on one loop: frames, takeovers, refusals, servers among themselves. */
#include "lib/l2/server.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/l2/gateway.h"
#include "lib/l2/hello.h"
#include "tests/unit/lib/l2/l2_rig.h"

static const uint8_t mac_a[6] = { 0x52, 0x54, 0, 0, 0, 1 }, mac_b[6] = { 0x52, 0x54, 0, 0, 0, 2 };
static const uint8_t mac_lan[6] = { 2, 0, 0, 0, 0, 9 };
static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };

struct end { struct l2_server *server; unsigned frames, carriers, mtu;
	bool carrier, full; uint8_t last[2048]; size_t len; int refuse; };
struct gate { struct l2_gateway *gateway; unsigned frames, changes; bool active; struct shim *shim; struct rig *rig; };
struct rig { struct loop *loop; struct end a, b; struct gate g[2]; bool two_served; };

static bool on_nic(void *ctx, struct frame *f)
{
	struct end *e = ctx;

	e->frames++;
	e->len = f->len;
	memcpy(e->last, f->data, f->len < sizeof e->last ? f->len : sizeof e->last);
	return !e->full;
}

static void on_carrier(void *ctx, bool up)
{
	struct end *e = ctx;

	e->carrier = up;
	e->carriers++;
}

static int on_authorise(void *ctx, struct link *link, const json_t *hello, struct err *err)
{
	struct end *e = ctx;

	return e->refuse ? err_set(err, e->refuse, "not you") : 0;
}

static void on_lan(void *ctx, struct frame *f) { ((struct gate *)ctx)->frames++; }

static void on_active(void *ctx, bool active)
{
	struct gate *g = ctx;
	struct rig *r = g->rig;

	g->active = active;
	g->changes++;
	r->two_served |= r->g[0].gateway && r->g[1].gateway && l2_gateway_is_active(r->g[0].gateway) &&
		l2_gateway_is_active(r->g[1].gateway);
}

static void on_mtu(void *ctx, unsigned mtu) { ((struct end *)ctx)->mtu = mtu; }

static void open_end(struct rig *r, struct end *e, const char *name, const uint8_t mac[6])
{
	static const struct l2_server_ops ops = { .frame = on_nic, .carrier = on_carrier, .lan_mtu = on_mtu };
	struct l2_server_config c = { .server = name, .nic = "net0", .segment = "office", .listen = "127.0.0.1:0",
		.authorise = on_authorise };

	memcpy(c.mac, mac, 6);
	CU_ASSERT_FATAL(!l2_server_create(r->loop, &c, &ops, e, &e->server, NULL));
}

static void setup(struct rig *r)
{
	*r = (struct rig){ 0 };
	CU_ASSERT_FATAL(!loop_create(&r->loop, NULL));
	open_end(r, &r->a, "dc-a", mac_a);
}

/* By a shim, so that it can be cut off. */
static void open_gate(struct rig *r, unsigned i, struct end *to, const char *server, const char *segment, uint32_t priority)
{
	static const struct l2_gateway_ops ops = { on_lan, on_active };
	char address[32], name[8];
	struct l2_gateway_config c = { .gateway = name, .server = server, .nic = "net0", .segment = segment, .direct = address,
		.lanes = 2, .priority = priority };

	r->g[i].rig = r;
	r->g[i].shim = shim_start(r->loop, l2_server_port(to->server));
	snprintf(address, sizeof address, "127.0.0.1:%u", shim_port(r->g[i].shim));
	snprintf(name, sizeof name, "gw%u", i);
	CU_ASSERT_FATAL(!l2_gateway_create(r->loop, &c, &ops, &r->g[i], &r->g[i].gateway, NULL));
}

static void close_gate(struct rig *r, unsigned i)
{
	l2_gateway_free(r->g[i].gateway);
	r->g[i].gateway = NULL;
}

static void teardown(struct rig *r)
{
	check(!r->two_served);
	close_gate(r, 0);
	close_gate(r, 1);
	l2_server_free(r->a.server);
	l2_server_free(r->b.server);
	shim_free(r->g[0].shim);
	shim_free(r->g[1].shim);
	loop_free(r->loop);
}

static bool first_serves(void *ctx) { return ((struct rig *)ctx)->g[0].active; }
static bool second_serves(void *ctx) { return ((struct rig *)ctx)->g[1].active; }
static bool nic_has(void *ctx) { return ((struct rig *)ctx)->a.frames >= 1; }
static bool b_has(void *ctx) { return ((struct rig *)ctx)->b.frames >= 1; }
static bool lan_has(void *ctx) { return ((struct rig *)ctx)->g[0].frames >= 1; }

static struct l2_server_counters counters_of(struct end *e)
{
	struct l2_server_counters c;

	l2_server_counters(e->server, &c);
	return c;
}

static struct l2_gateway_counters gate_counters(struct gate *g)
{
	struct l2_gateway_counters c;

	l2_gateway_counters(g->gateway, &c);
	return c;
}

static void send_in(struct gate *g, const uint8_t *to, const uint8_t *from, uint16_t port, size_t len)
{
	uint8_t buf[70000];
	struct frame f = rig_frame(buf, to, from, port, len);

	CU_ASSERT_FATAL(frame_parse(&f) == FRAME_OK);
	l2_gateway_send(g->gateway, &f);
}

static void send_out(struct end *e, const uint8_t *to, const uint8_t *from, uint16_t port, size_t len)
{
	uint8_t buf[70000];
	struct frame f = rig_frame(buf, to, from, port, len);
	struct iovec iov[2] = { { f.data, 20 }, { f.data + 20, len - 20 } };

	l2_server_send(e->server, &f.hdr, iov, 2);
}

static void test_frames(void)
{
	struct rig r;
	json_t *status;

	setup(&r);
	send_out(&r.a, mac_lan, mac_a, 1, 100);
	check_eq(counters_of(&r.a).drop_no_gateway, 1);
	open_gate(&r, 0, &r.a, "dc-a", "office", 0);
	send_in(&r.g[0], mac_a, mac_lan, 1, 100);
	check_eq(gate_counters(&r.g[0]).drop_passive, 1);
	check_or_return(rig_wait(r.loop, first_serves, &r));
	check(r.a.carrier);
	send_in(&r.g[0], mac_a, mac_lan, 1, 100);
	check(rig_wait(r.loop, nic_has, &r));
	check_eq(r.a.len, 100);
	check(!memcmp(r.a.last, mac_a, 6));
	send_out(&r.a, broadcast, mac_a, 1, 1514);
	check(rig_wait(r.loop, lan_has, &r));
	/* our own MAC from outside; no frame at all; a card without room */
	send_in(&r.g[0], mac_a, mac_a, 1, 100);
	send_out(&r.a, mac_lan, mac_a, 1, 100);
	l2_server_send(r.a.server, &(struct virtio_net_hdr_v1){ 0 }, &(struct iovec){ r.a.last, 5 }, 1);
	r.a.full = true;
	r.a.frames = 0;
	send_in(&r.g[0], mac_a, mac_lan, 1, 100);
	check(rig_wait(r.loop, nic_has, &r));
	check_eq(counters_of(&r.a).drop_spoofed, 1);
	check_eq(counters_of(&r.a).drop_bad_frame, 1);
	check_eq(counters_of(&r.a).drop_nic_full, 1);
	status = l2_server_status(r.a.server);
	check(json_array_size(json_object_get(status, "paths")) == 1);
	json_decref(status);
	status = l2_gateway_status(r.g[0].gateway);
	check(json_is_true(json_object_get(status, "active")));
	json_decref(status);
	teardown(&r);
}

static void two_gates(struct rig *r)
{
	setup(r);
	open_gate(r, 0, &r->a, "dc-a", "office", 0);
	CU_ASSERT_FATAL(rig_wait(r->loop, first_serves, r));
	open_gate(r, 1, &r->a, "dc-a", "office", 0);
	rig_run_ms(r->loop, 300);
	check(!r->g[1].active);
	check_eq(gate_counters(&r->g[1]).connects, 1);
}

static uint64_t takeover_ms(struct rig *r)
{
	uint64_t begin = loop_now_ns();

	check(rig_wait(r->loop, second_serves, r));
	return (loop_now_ns() - begin) / 1000000;
}

static void test_silent_cut(void)
{
	struct rig r;
	uint64_t ms;

	two_gates(&r);
	shim_freeze(r.g[0].shim, true);
	ms = takeover_ms(&r);
	check(ms <= 1000);
	check(!r.g[0].active);
	check_eq(counters_of(&r.a).takeovers, 1);
	/* what comes late is not taken */
	send_in(&r.g[0], mac_a, mac_lan, 1, 100);
	check_eq(gate_counters(&r.g[0]).drop_passive, 1);
	shim_freeze(r.g[0].shim, false);
	send_in(&r.g[1], mac_a, mac_lan, 1, 100);
	check(rig_wait(r.loop, nic_has, &r));
	teardown(&r);
}

static void test_kill(void)
{
	struct rig r;

	two_gates(&r);
	shim_free(r.g[0].shim);
	r.g[0].shim = NULL;
	check(takeover_ms(&r) <= 1000);
	teardown(&r);
}

static void test_stop(void)
{
	struct rig r;

	two_gates(&r);
	close_gate(&r, 0);
	check(takeover_ms(&r) <= 400);
	teardown(&r);
}

static void test_lan_down(void)
{
	struct rig r;

	two_gates(&r);
	l2_gateway_set_lan(r.g[0].gateway, false);
	check(takeover_ms(&r) <= 400);
	check(!r.g[0].active);
	l2_gateway_set_lan(r.g[1].gateway, false);
	l2_gateway_set_lan(r.g[0].gateway, true);
	check(rig_wait(r.loop, first_serves, &r));
	teardown(&r);
}

static bool reconnected(void *ctx)
{
	struct rig *r = ctx;

	return gate_counters(&r->g[0]).connects >= 2 && r->g[0].active;
}

static void test_again(void)
{
	struct rig r;

	setup(&r);
	open_gate(&r, 0, &r.a, "dc-a", "office", 0);
	check_or_return(rig_wait(r.loop, first_serves, &r));
	shim_cut(r.g[0].shim);
	check(rig_wait(r.loop, reconnected, &r));
	send_in(&r.g[0], mac_a, mac_lan, 1, 100);
	check(rig_wait(r.loop, nic_has, &r));
	teardown(&r);
}

static bool refused_twice(void *ctx) { return counters_of(&((struct rig *)ctx)->a).refused >= 2; }

static void test_refused(void)
{
	struct rig r;

	setup(&r);
	open_gate(&r, 0, &r.a, "dc-x", "office", 0);
	check(rig_wait(r.loop, refused_twice, &r));
	close_gate(&r, 0);
	teardown(&r);
	setup(&r);
	open_gate(&r, 0, &r.a, "dc-a", "lab", 0);
	check(rig_wait(r.loop, refused_twice, &r));
	close_gate(&r, 0);
	teardown(&r);
	setup(&r);
	r.a.refuse = -EKEYEXPIRED;
	open_gate(&r, 0, &r.a, "dc-a", "office", 0);
	check(rig_wait(r.loop, refused_twice, &r));
	teardown(&r);
}

/* A frame that would go on for ever meets bounded queues. */
static void test_flood(void)
{
	struct rig r;
	struct l2_gateway_counters c;

	setup(&r);
	open_gate(&r, 0, &r.a, "dc-a", "office", 0);
	check_or_return(rig_wait(r.loop, first_serves, &r));
	shim_freeze(r.g[0].shim, true);
	for (unsigned i = 0; i < 3000; i++)
		send_in(&r.g[0], mac_a, mac_lan, (uint16_t)i, 16000);
	c = gate_counters(&r.g[0]);
	check(c.paths.queued_bytes <= 4 << 20);
	check(c.paths.drop_queue_full > 1000);
	check(c.paths.windows_shut > 0);
	teardown(&r);
}

/* ---- servers among themselves */

static json_t *introduction(struct rig *r)
{
	char a[32], b[32];

	snprintf(a, sizeof a, "127.0.0.1:%u", l2_server_port(r->a.server));
	snprintf(b, sizeof b, "127.0.0.1:%u", l2_server_port(r->b.server));
	return json_pack("{s:i s:[{s:s s:s s:[s] s:s s:[] s:[sss]} {s:s s:s s:[s] s:s s:[] s:[sss]}]}", "mtu", 1400, "peers",
			 "server", "dc-a",
			 "nic", "net0", "macs", "52:54:00:00:00:01", "direct", a, "relay", "tickets", "t1", "t2", "t3", "server", "dc-b", "nic", "net0",
			 "macs", "52:54:00:00:00:02", "direct", b, "relay", "tickets", "t1", "t2", "t3");
}

static void two_servers(struct rig *r)
{
	setup(r);
	open_end(r, &r->b, "dc-b", mac_b);
	open_gate(r, 0, &r->a, "dc-a", "office", 0);
	open_gate(r, 1, &r->b, "dc-b", "office", 0);
	CU_ASSERT_FATAL(rig_wait(r->loop, first_serves, r) && rig_wait(r->loop, second_serves, r));
}

static bool peers_open(void *ctx)
{
	struct rig *r = ctx;
	json_t *status = l2_server_status(r->a.server), *peer = json_array_get(json_object_get(status, "peers"), 0);
	bool open = json_is_true(json_object_get(json_array_get(json_object_get(peer, "ways"), 0), "open"));

	json_decref(status);
	return open;
}

static bool gate_has(void *ctx) { return ((struct rig *)ctx)->g[0].frames >= 2; }

static void test_peers(void)
{
	struct rig r;
	json_t *peers;

	two_servers(&r);
	r.two_served = false;	/* each its own server */
	peers = introduction(&r);
	check(!l2_gateway_send_peers(r.g[0].gateway, peers));
	check(!l2_gateway_send_peers(r.g[1].gateway, peers));
	check_or_return(rig_wait(r.loop, peers_open, &r));
	rig_run_ms(r.loop, 150);	/* the called end has heard a beat */
	check_eq(r.a.mtu, 1400);
	check_eq(r.b.mtu, 1400);
	check(l2_server_has_peer(r.a.server) && l2_server_has_peer(r.b.server));
	send_out(&r.a, mac_b, mac_a, 1, 200);
	check(rig_wait(r.loop, b_has, &r));
	send_out(&r.b, mac_a, mac_b, 1, 200);
	check(rig_wait(r.loop, nic_has, &r));
	check_eq(r.g[0].frames, 0);
	check_eq(r.g[1].frames, 0);
	/* not its own source; then by the gateway: what is no peer's */
	send_out(&r.a, mac_b, mac_lan, 1, 200);
	send_out(&r.a, mac_lan, mac_a, 1, 200);
	send_out(&r.a, broadcast, mac_a, 1, 200);
	check(rig_wait(r.loop, gate_has, &r));
	check_eq(counters_of(&r.b).drop_peer, 1);
	check_eq(r.b.frames, 1);
	/* forgotten: all by the gateway */
	json_array_clear(json_object_get(peers, "peers"));
	check(!l2_gateway_send_peers(r.g[0].gateway, peers));
	rig_run_ms(r.loop, 50);
	check(!l2_server_has_peer(r.a.server));
	r.g[0].frames = 1;
	send_out(&r.a, mac_b, mac_a, 1, 200);
	check(rig_wait(r.loop, gate_has, &r));
	json_decref(peers);
	r.two_served = false;
	teardown(&r);
}

static bool path_ended(void *ctx) { return ((struct rig *)ctx)->g[0].changes >= 2; }

static void refuse_peers(json_t *peers)
{
	struct rig r;

	setup(&r);
	open_gate(&r, 0, &r.a, "dc-a", "office", 0);
	check_or_return(rig_wait(r.loop, first_serves, &r));
	check(!l2_gateway_send_peers(r.g[0].gateway, peers));
	check(rig_wait(r.loop, path_ended, &r));
	check_eq(r.a.mtu, 0);
	json_decref(peers);
	teardown(&r);
}

static void test_bad_peers(void)
{
	refuse_peers(json_pack("{s:[{s:s}]}", "peers", "server", "dc-b"));
	refuse_peers(json_pack("{s:[] s:i}", "peers", "mtu", -1));
	refuse_peers(json_pack("{s:[] s:i}", "peers", "mtu", FRAME_MAX + 1));
	refuse_peers(json_pack("{s:[] s:s}", "peers", "mtu", "1500"));
}

/* ---- hand-written callers */

static int dial(struct rig *r)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(l2_server_port(r->a.server)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_FATAL(fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof to));
	return fd;
}

static int hello_by(struct rig *r, const char *role, unsigned lane, unsigned lanes, int attempt)
{
	struct hello h = { .gateway = !strcmp(role, "lcg"), .name = "gw7", .instance = "i", .way = "direct", .server = "dc-a",
		.nic = "net0", .segment = "office", .from_nic = "net0", .lane = lane, .lanes = lanes, .attempt = attempt };
	json_t *json = hello_make(&h);
	char *text = json_dumps(json, JSON_COMPACT);
	uint8_t header[WIRE_HEADER];
	int fd = dial(r);

	wire_put_header(header, WIRE_HELLO, strlen(text));
	CU_ASSERT_FATAL(send(fd, header, sizeof header, MSG_NOSIGNAL) == sizeof header);
	CU_ASSERT_FATAL(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
	free(text);
	json_decref(json);
	return fd;
}

struct reading { int fd; char text[4096]; size_t len; bool ended; };

static bool has_ended(void *ctx)
{
	struct reading *r = ctx;
	ssize_t n = recv(r->fd, r->text + r->len, sizeof r->text - 1 - r->len, MSG_DONTWAIT);

	if (n > 0)
		r->len += (size_t)n;
	r->ended = !n || (n < 0 && errno != EAGAIN);
	return r->ended;
}

static bool has_answer(void *ctx)
{
	struct reading *r = ctx;

	return has_ended(r) || r->len > WIRE_HEADER;
}

/* What comes until the end of fd, which is closed, holds text. */
static void ends_with(struct rig *r, int fd, const char *text)
{
	struct reading reading = { .fd = fd };

	check(rig_wait(r->loop, has_ended, &reading));
	if (!memmem(reading.text, reading.len, text, strlen(text)))
		suite_note("no \"%s\" in \"%.*s\"", text, (int)(reading.len > 4 ? reading.len - 4 : 0), reading.text + 4);
	check(memmem(reading.text, reading.len, text, strlen(text)) != NULL);
	close(fd);
}

static void answered(struct rig *r, int fd)
{
	struct reading reading = { .fd = fd };

	check(rig_wait(r->loop, has_answer, &reading));
	check(!reading.ended && memmem(reading.text, reading.len, "52:54:00:00:00:01", 17));
}

static void test_strange_callers(void)
{
	struct rig r;
	int one, two;

	setup(&r);
	one = hello_by(&r, "lcg", 0, 2, 5);
	answered(&r, one);
	ends_with(&r, hello_by(&r, "lcg", 1, 3, 5), "the lanes disagree: 2 or 3");
	ends_with(&r, hello_by(&r, "lcg", 1, 2, 4), "EALREADY");
	ends_with(&r, hello_by(&r, "hv", 0, 1, 1), "no gateway has told of server gw7 yet");
	check_eq(counters_of(&r.a).refused, 3);
	/* a second lane 0; a later attempt ends the earlier one */
	ends_with(&r, hello_by(&r, "lcg", 0, 2, 5), "");
	check_eq(counters_of(&r.a).refused, 4);
	two = hello_by(&r, "lcg", 0, 1, 6);
	answered(&r, two);
	ends_with(&r, one, "");
	close(two);
	teardown(&r);
}

static void test_beat_flood(void)
{
	struct wire_beat beat = { 1, 1, 0, 0 };
	uint8_t buf[WIRE_SMALL];
	struct rig r;
	int fd;

	setup(&r);
	fd = hello_by(&r, "lcg", 0, 1, 1);
	answered(&r, fd);
	for (unsigned i = 0; i < 300; i++) {
		size_t len;

		beat.stamp_ns++;
		len = wire_put_beat(buf, &beat);
		CU_ASSERT_FATAL(send(fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len);
	}
	ends_with(&r, fd, "");
	teardown(&r);
}

static bool all_refused(void *ctx) { return counters_of(&((struct rig *)ctx)->a).refused >= 36; }

/* Many that say nothing: the last ones find no place, and those that are there keep theirs. */
static void test_silent_callers(void)
{
	struct rig r;
	int fd[100];

	setup(&r);
	for (unsigned i = 0; i < 100; i++)
		fd[i] = dial(&r);
	check(rig_wait(r.loop, all_refused, &r));
	check_eq(counters_of(&r.a).refused, 36);
	for (unsigned i = 0; i < 100; i++)
		close(fd[i]);
	teardown(&r);
}

static const struct test tests[] = {
	{ "frames, carrier, drops", test_frames },
	{ "takeover: silent cut", test_silent_cut },
	{ "takeover: connections end", test_kill },
	{ "takeover: orderly stop", test_stop },
	{ "takeover: the LAN's cable", test_lan_down },
	{ "connections are made again", test_again },
	{ "refused callers", test_refused },
	{ "an end that reads nothing", test_flood },
	{ "servers among themselves", test_peers },
	{ "introductions that are none", test_bad_peers },
	{ "callers that disagree with themselves, or are unknown", test_strange_callers },
	{ "a flood of beats", test_beat_flood },
	{ "callers that say nothing", test_silent_callers },
	{ NULL },
};
const struct suite suite_lib_l2_server = { tests };
