/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/net/port.h"
#include "hv/net/null.h"
#include "hv/net/wire.h"
#include "tests/unit/hv/net/fake_port.h"
#include "tests/unit/suite.h"

struct nic { unsigned frames, changes; bool up, full; };

static bool receive(void *ctx, const struct virtio_net_hdr_v1 *hdr, const void *frame, size_t len)
{
	struct nic *n = ctx;

	n->frames += !n->full;
	return !n->full;
}

static void carrier(void *ctx, bool up)
{
	struct nic *n = ctx;

	n->changes++;
	n->up = up;
}

static const struct net_nic_ops nic_ops = { .receive = receive, .carrier = carrier };
static const struct virtio_net_hdr_v1 none;
static struct fake_port f;
static uint8_t bytes[NET_FRAME_MAX + 1];

static void send(struct net_port *p, size_t len)
{
	struct iovec iov = { bytes, len };

	net_port_send(p, &none, &iov, 1);
}

static void connecting_tells_the_carrier_at_once_and_each_change_after(void)
{
	struct nic n = { 0 };

	fake_port_init(&f);
	net_port_connect(&f.port, &nic_ops, &n);
	check_eq(n.changes, 1);
	check(n.up);
	net_wire_set_carrier(&f.port, true);
	check_eq(n.changes, 1);
	net_wire_set_carrier(&f.port, false);
	check_eq(n.changes, 2);
	check(!n.up);
}

static void frames_are_counted_and_impossible_ones_dropped(void)
{
	struct nic n = { 0 };

	fake_port_init(&f);
	net_port_connect(&f.port, &nic_ops, &n);
	send(&f.port, 60);
	send(&f.port, 13);
	send(&f.port, NET_FRAME_MAX + 1);
	check_eq(f.sent, 1);
	check_eq(f.port.tx.frames, 1);
	check_eq(f.port.tx.bytes, 60);
	check_eq(f.port.tx.drops, 2);
	f.port.carrier = false;
	send(&f.port, 60);
	check_eq(f.port.tx.drops, 3);
	check(net_wire_deliver(&f.port, &none, bytes, 13));
	check(net_wire_deliver(&f.port, &none, bytes, NET_FRAME_MAX + 1));
	check_eq(n.frames, 0);
	check_eq(f.port.rx.drops, 2);
	n.full = true;
	check(!net_wire_deliver(&f.port, &none, bytes, 100));
	check_eq(f.port.rx.frames, 0);
	n.full = false;
	check(net_wire_deliver(&f.port, &none, bytes, 100));
	check_eq(f.port.rx.frames, 1);
	check_eq(f.port.rx.bytes, 100);
}

static void without_a_nic_frames_are_dropped(void)
{
	fake_port_init(&f);
	check(net_wire_deliver(&f.port, &none, bytes, 100));
	check_eq(f.port.rx.drops, 1);
	net_wire_set_carrier(&f.port, false);
}

static void the_null_port_drops_what_it_gets(void)
{
	struct net_port *p;
	struct nic n = { 0 };

	check_or_return(!net_null_create(true, &p));
	net_port_connect(p, &nic_ops, &n);
	check(n.up);
	send(p, 60);
	check_eq(p->tx.frames, 1);
	check_eq(p->tx.drops, 1);
	net_port_resume(p);
	net_port_set_offload(p, 0);
	net_port_free(p);
	check_or_return(!net_null_create(false, &p));
	net_port_connect(p, &nic_ops, &n);
	check(!n.up);
	net_port_free(p);
	net_port_free(NULL);
}

static const struct test tests[] = {
	{ "connecting tells the carrier at once and each change after", connecting_tells_the_carrier_at_once_and_each_change_after },
	{ "frames are counted and impossible ones dropped", frames_are_counted_and_impossible_ones_dropped },
	{ "without a NIC frames are dropped", without_a_nic_frames_are_dropped },
	{ "the null port drops what it gets", the_null_port_drops_what_it_gets },
	{ NULL, NULL },
};
const struct suite suite_hv_net_port = { tests };
