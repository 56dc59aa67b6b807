/* SPDX-License-Identifier: Apache-2.0 */
/* A NIC on one side, a gateway (lib/l2/gateway.h) on the other, over plain links of this machine. */
#include "hv/net/l2.h"
#include <errno.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/l2/checksum.h"
#include "lib/l2/gateway.h"
#include "lib/l2/offload.h"
#include "lib/scope.h"
#include "tests/unit/suite.h"

enum { PATIENCE_S = 20, BIG = 40000, KEPT = 64 };

static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 }, other[6] = { 2, 0, 0, 0, 0, 1 };

static struct {
	struct loop *loop;
	struct loop_timer *timer;
	uint64_t end_ns;
	bool (*done)(void);
	struct net_port *port;
	struct l2_gateway *gateway;
	/* the NIC */
	bool room, carrier, refuse;
	uint8_t stuck;		/* a queue without room: of frames that end so; 0: none */
	unsigned received, asked;
	size_t len[KEPT];
	uint8_t first[KEPT], frame[FRAME_MAX];
	struct virtio_net_hdr_v1 hdr;
	bool sums;		/* all received so far were complete */
	/* the gateway */
	bool active;
	unsigned arrived;
	struct frame got;
	uint8_t bytes[FRAME_MAX];
} rig;

/* ---- time */

static void tick(void *ctx)
{
	if (rig.done() || loop_now_ns() > rig.end_ns)
		loop_stop(rig.loop);
	else
		loop_timer_arm(rig.timer, loop_now_ns() + 1000000);
}

static bool until(bool (*done)(void))
{
	rig.done = done;
	rig.end_ns = loop_now_ns() + PATIENCE_S * 1000000000ull;
	loop_timer_arm(rig.timer, 0);
	check_eq(loop_run(rig.loop), 0);
	return done();
}

/* ---- the NIC */

static bool receive(void *nic, const struct virtio_net_hdr_v1 *hdr, const void *frame, size_t len)
{
	struct net_layers l;

	if (!rig.room || (rig.stuck && ((const uint8_t *)frame)[len - 1] == rig.stuck))
		return false;
	if (rig.received < KEPT) {
		rig.len[rig.received] = len;
		rig.first[rig.received] = ((const uint8_t *)frame)[len - 1];
	}
	memcpy(rig.frame, frame, len);
	rig.hdr = *hdr;
	rig.received++;
	if (net_layers_find(frame, len, true, &l)) {
		uint64_t sum = net_sum_be16(net_sum_pseudo((const uint8_t *)frame + l.l3, l.v6, NET_IP_TCP), (uint16_t)(l.end - l.l4));

		rig.sums &= net_sum_fold(net_sum(sum, (const uint8_t *)frame + l.l4, l.end - l.l4)) == 0xffff;
	}
	return true;
}

static void carrier(void *nic, bool up) { rig.carrier = up; }

static const struct net_nic_ops nic_ops = { .receive = receive, .carrier = carrier };

/* ---- the gateway */

static void on_frame(void *ctx, struct frame *f)
{
	rig.arrived++;
	rig.got = *f;
	memcpy(rig.bytes, f->data, f->len);
}

static void on_active(void *ctx, bool active) { rig.active = active; }

static void call(void)
{
	static const struct l2_gateway_ops ops = { .frame = on_frame, .active = on_active };
	json_t *status = net_l2_status(rig.port);
	struct l2_gateway_config c = { .gateway = "gw1", .server = "web01", .nic = "net0", .segment = "office", .lanes = 2 };
	struct err err = { .text = "" };
	char address[64];

	snprintf(address, sizeof address, "127.0.0.1:%lld", (long long)json_integer_value(json_object_get(status, "port")));
	json_decref(status);
	c.direct = address;
	check_eq(l2_gateway_create(rig.loop, &c, &ops, NULL, &rig.gateway, &err), 0);
	check_str(err.text, "");
}

/* ---- both */

static int authorise(void *ctx, const char *nic, struct link *link, const json_t *hello, struct err *err)
{
	rig.asked++;
	check_str(nic, "net0");
	check_str(json_string_value(json_object_get(hello, "name")), "gw1");
	return rig.refuse ? err_set(err, -EPERM, "not you") : 0;
}

static void begin(bool always)
{
	struct net_l2_config c = { .server = "web01", .nic = "net0", .segment = "office", .listen = "127.0.0.1:0", .carrier = always,
		.authorise = authorise };
	struct config *empty = NULL;
	struct policy *policy = NULL;
	struct err err = { .text = "" };

	memset(&rig, 0, sizeof rig);
	rig.room = rig.sums = true;
	memcpy(c.mac, mac, 6);
	CU_ASSERT_FATAL(!loop_create(&rig.loop, NULL) && !loop_timer_create(rig.loop, tick, NULL, &rig.timer));
	CU_ASSERT_FATAL(!config_create(&empty) && !policy_read(empty, "net0", &policy, &err));
	config_free(empty);
	CU_ASSERT_FATAL(!net_l2_create(&c, policy, rig.loop, &rig.port, &err));
	net_port_connect(rig.port, &nic_ops, NULL);
}

static void start(void)
{
	struct err err = { .text = "" };

	check_eq(net_l2_start(rig.port, NULL, NULL, NULL, &err), 0);
	check_str(err.text, "");
	call();
}

static void end(void)
{
	l2_gateway_free(rig.gateway);
	net_port_free(rig.port);
	loop_timer_free(rig.timer);
	loop_free(rig.loop);
}

static bool is_up(void) { return rig.carrier && rig.active; }
static bool has_arrived(void) { return rig.arrived > 0; }
static bool has_received(void) { return rig.received > 0; }

/* A TCP segment of n bytes behind its headers, from or to the server. */
static size_t make(uint8_t *at, bool from_server, size_t n, uint8_t fill)
{
	memset(at, 0, 54);
	memcpy(at, from_server ? other : mac, 6);
	memcpy(at + 6, from_server ? mac : other, 6);
	put_be16(at + 12, 0x0800);
	at[14] = 0x45;
	put_be16(at + 16, (uint16_t)(40 + n));
	at[22] = 64;
	at[23] = 6;
	put_be32(at + 26, 0xc0000201);
	put_be32(at + 30, 0xc0000202);
	at[46] = 0x50;
	at[47] = 0x10;
	net_sum_store(at + 24, (uint16_t)~net_sum_fold(net_sum(0, at + 14, 20)));
	/* the pseudo-header's sum, as a driver leaves it to be completed */
	net_sum_store(at + 50, net_sum_fold(net_sum_be16(net_sum_pseudo(at + 14, 0, 6), (uint16_t)(20 + n))));
	memset(at + 54, fill, n);
	return 54 + n;
}

static const struct virtio_net_hdr_v1 super = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
	.gso_size = 1448, .hdr_len = 54, .csum_start = 34, .csum_offset = 16 };

static void to_server(const struct virtio_net_hdr_v1 *hdr, size_t n, uint8_t fill)
{
	static uint8_t room[FRAME_HEADROOM + FRAME_MAX];
	struct frame f = { .hdr = *hdr, .data = room + FRAME_HEADROOM };

	f.len = make(f.data, false, n, fill);
	check_eq(frame_parse(&f), FRAME_OK);
	l2_gateway_send(rig.gateway, &f);
}

/* ---- tests */

static void without_a_certificate_nothing_goes(void)
{
	uint8_t frame[100];
	struct iovec iov = { frame, make(frame, true, 10, 1) };
	json_t *status;

	begin(false);
	check(!rig.carrier);
	net_port_send(rig.port, &(struct virtio_net_hdr_v1){ 0 }, &iov, 1);
	check_eq(rig.port->tx.drops, 1);
	status = net_l2_status(rig.port);
	check(json_is_null(json_object_get(status, "link")));
	check_eq(json_integer_value(json_object_get(status, "port")), 0);
	json_decref(status);
	check(net_l2_is(rig.port));
	end();
	begin(true);
	check(rig.carrier);
	net_port_send(rig.port, &(struct virtio_net_hdr_v1){ 0 }, &iov, 1);
	check_eq(rig.port->tx.drops, 1);
	end();
}

static void super_frames_pass_whole(void)
{
	static uint8_t frame[FRAME_MAX];
	struct iovec iov[2] = { { frame, 54 }, { frame + 54, BIG } };

	begin(false);
	start();
	check(until(is_up));
	check(rig.asked >= 2);	/* each connection */
	make(frame, true, BIG, 7);
	net_port_send(rig.port, &super, iov, 2);
	check(until(has_arrived));
	check_eq(rig.got.len, 54 + BIG);
	check_eq(rig.got.hdr.gso_type, super.gso_type);
	check_eq(le16toh(rig.got.hdr.gso_size), 1448);
	check(!memcmp(rig.bytes, frame, 54 + BIG));
	net_port_set_offload(rig.port, TUN_F_CSUM | TUN_F_TSO4);
	to_server(&super, BIG, 9);
	check(until(has_received));
	check_eq(rig.received, 1);
	check_eq(rig.len[0], 54 + BIG);
	check_eq(rig.hdr.gso_type, super.gso_type);
	check_eq(rig.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	end();
}

static bool all_pieces(void) { return rig.received >= (BIG + 1447) / 1448; }

static void nic_without_offloads_gets_plain_frames(void)
{
	struct virtio_net_hdr_v1 sum = super;

	begin(false);
	start();
	check(until(is_up));
	to_server(&super, BIG, 9);
	check(until(all_pieces));
	check_eq(rig.received, (BIG + 1447) / 1448);
	check_eq(rig.len[0], 54 + 1448);
	check_eq(rig.hdr.gso_type, 0);
	check_eq(rig.hdr.flags, VIRTIO_NET_HDR_F_DATA_VALID);
	check(rig.sums);
	rig.received = 0;
	sum.gso_type = 0;
	to_server(&sum, 100, 3);
	check(until(has_received));
	check_eq(rig.hdr.flags, VIRTIO_NET_HDR_F_DATA_VALID);
	check(rig.sums);
	end();
}

static json_int_t status_number(const char *key)
{
	json_t *status = net_l2_status(rig.port);
	json_int_t n = json_integer_value(json_object_get(status, key));

	json_decref(status);
	return n;
}

static bool is_holding(void) { return status_number("held_bytes") > 0; }
static bool is_full(void) { return status_number("drop_full") == 2; }

static void frames_wait_for_room_and_then_are_dropped(void)
{
	enum { FIT = NET_L2_HELD / (54 + BIG + 16) };

	begin(false);
	start();
	check(until(is_up));
	net_port_set_offload(rig.port, TUN_F_CSUM | TUN_F_TSO4);
	rig.room = false;
	for (unsigned i = 0; i < FIT + 2; i++)
		to_server(&super, BIG, (uint8_t)i);
	check(until(is_full));
	check_eq(rig.port->rx.drops, 2);
	check_eq(status_number("held_bytes"), FIT * (54 + BIG + 16));
	net_port_resume(rig.port);
	check_eq(rig.received, 0);
	rig.room = true;
	net_port_resume(rig.port);
	check_eq(rig.received, FIT);
	for (unsigned i = 0; i < FIT; i++)
		check_eq(rig.first[i], i);
	check_eq(status_number("held_bytes"), 0);
	rig.room = false;
	to_server(&super, BIG, 1);
	rig.received = 0;
	check(until(is_holding));
	net_port_set_offload(rig.port, 0);	/* another driver: what waits was not made for it */
	rig.room = true;
	net_port_resume(rig.port);
	check_eq(rig.received, 0);
	end();
}

static bool two_received(void) { return rig.received == 2; }
static bool held_three(void) { return status_number("held_bytes") == 3 * (54 + 100 + 16); }

static void full_queue_stops_no_other(void)
{
	static const uint8_t order[] = { 1, 2, 1, 2, 1 }, after[] = { 2, 2, 1, 1, 1 };

	begin(false);
	start();
	check(until(is_up));
	rig.stuck = 1;
	for (size_t i = 0; i < sizeof order; i++)
		to_server(&(struct virtio_net_hdr_v1){ 0 }, 100, order[i]);
	check(until(two_received) && until(held_three));
	net_port_resume(rig.port);
	check_eq(rig.received, 2);
	check_eq(status_number("drop_full"), 0);
	rig.stuck = 0;
	net_port_resume(rig.port);
	check_eq(rig.received, sizeof after);
	check(!memcmp(rig.first, after, sizeof after));
	check_eq(status_number("held_bytes"), 0);
	end();
}

static bool is_lonely(void)
{
	json_t *status = net_l2_status(rig.port);
	bool up = json_is_true(json_object_get(json_object_get(status, "link"), "carrier"));

	json_decref(status);
	return !up;
}

static void cable_stays_in_while_gateways_change(void)
{
	begin(false);
	start();
	check(until(is_up));
	l2_gateway_free(rig.gateway);
	rig.gateway = NULL;
	check(until(is_lonely));
	check(rig.carrier);
	rig.active = false;
	call();
	check(until(is_up));
	end();
}

static bool was_refused(void) { return rig.asked > 0; }

static void who_may_not_gets_nothing(void)
{
	begin(false);
	rig.refuse = true;
	start();
	check(until(was_refused));
	check(!rig.carrier);
	check(!rig.active);
	end();
}

static const struct test tests[] = {
	{ "without a certificate nothing goes", without_a_certificate_nothing_goes },
	{ "super-frames pass whole", super_frames_pass_whole },
	{ "a NIC without offloads gets plain frames", nic_without_offloads_gets_plain_frames },
	{ "frames wait for room, and then are dropped", frames_wait_for_room_and_then_are_dropped },
	{ "a full queue stops no other", full_queue_stops_no_other },
	{ "the cable stays in while gateways change", cable_stays_in_while_gateways_change },
	{ "who may not gets nothing", who_may_not_gets_nothing },
	{ NULL, NULL },
};

const struct suite suite_hv_net_l2 = { tests };
