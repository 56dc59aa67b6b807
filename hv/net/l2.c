/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/net/l2.h"
#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include "hv/net/wire.h"
#include "lib/l2/offload.h"
#include "lib/l2/server.h"
#include "lib/log.h"
#include "lib/scope.h"

/* Younger than some system headers. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct l2 {
	struct net_port port;
	struct loop *loop;
	struct net_l2_config config;
	struct l2_server *server;	/* NULL: not started */
	struct loop_timer *down;	/* armed: the last gateway is gone, the carrier not yet */
	struct filter *filter;
	unsigned offload;		/* TUN_F_* that the NIC takes */
	/* Frames that found no room in the NIC: length, header, bytes, one after the other. NULL until needed. */
	uint8_t *held;
	size_t held_bytes;
	uint64_t drop_full, segmented;
};

struct held { uint32_t len; struct virtio_net_hdr_v1 hdr; };

static struct l2 *l2_of(struct net_port *p)
{
	return container_of(p, struct l2, port);
}

/* ---- guest → gateway */

static void send_frame(struct net_port *p, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned count)
{
	struct l2 *l = l2_of(p);

	if (l->server)
		l2_server_send(l->server, hdr, iov, count);
	else
		p->tx.drops++;
}

/* ---- gateway → guest */

static bool hold(struct l2 *l, const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame, size_t len)
{
	struct held h = { (uint32_t)len, *hdr };

	if (!l->held && !(l->held = malloc(NET_L2_HELD)))
		return false;
	if (sizeof h + len > NET_L2_HELD - l->held_bytes)
		return false;
	memcpy(l->held + l->held_bytes, &h, sizeof h);
	memcpy(l->held + l->held_bytes + sizeof h, frame, len);
	l->held_bytes += sizeof h + len;
	return true;
}

static bool give(struct l2 *l, const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame, size_t len)
{
	/* The NIC sees to it that none passes one that waits and that it has to follow. */
	if (net_wire_deliver(&l->port, hdr, frame, len))
		return true;
	if (hold(l, hdr, frame, len))
		return true;
	l->port.rx.drops++;
	l->drop_full++;
	return false;
}

static bool give_plain(void *ctx, const uint8_t *frame, size_t len)
{
	/* The sums are ours: the NIC need not check them again. */
	static const struct virtio_net_hdr_v1 plain = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };

	return give(ctx, &plain, frame, len);
}

/* Does the NIC take the frame as it is? */
static bool taken(const struct l2 *l, const struct virtio_net_hdr_v1 *h)
{
	unsigned need = 0;

	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		need |= TUN_F_CSUM;
	if (h->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		need |= TUN_F_TSO_ECN;
	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		break;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		need |= TUN_F_TSO4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		need |= TUN_F_TSO6;
		break;
	case NET_GSO_UDP_L4:
		need |= TUN_F_USO4 | TUN_F_USO6;
		break;
	default:
		return false;
	}
	return !(need & ~l->offload);
}

static bool on_frame(void *ctx, struct frame *f)
{
	struct l2 *l = ctx;
	uint64_t dropped = l->drop_full;

	if (taken(l, &f->hdr))
		return give(l, &f->hdr, f->data, f->len);
	l->segmented++;
	if (net_segment(&f->hdr, f->data, f->len, give_plain, l) < 0) {
		l->port.rx.drops++;
		return true;
	}
	return l->drop_full == dropped;
}

/* To whoever sent what was too long. */
static void reply(struct l2 *l, enum filter_direction direction, const struct frame *f, uint64_t now_ns)
{
	uint8_t buf[FRAME_HEADROOM + FILTER_REPLY_MAX];
	struct frame r = { .data = buf + FRAME_HEADROOM };

	r.len = filter_reply(l->filter, direction, f, r.data, now_ns);
	if (!r.len)
		return;
	if (direction == FILTER_FROM_SERVER)
		(void)give_plain(l, r.data, r.len);
	else
		l2_server_send_frame(l->server, &r);
}

/* What goes directly to and from other servers passes no gateway's filter. */
static bool on_peer(void *ctx, bool to_nic, struct frame *f)
{
	enum filter_direction direction = to_nic ? FILTER_TO_SERVER : FILTER_FROM_SERVER;
	uint64_t now = loop_now_ns();
	struct l2 *l = ctx;
	enum filter_cause cause = filter_pass(l->filter, direction, f, now);

	if (cause == FILTER_TOO_BIG)
		reply(l, direction, f, now);
	return cause == FILTER_PASS;
}

static void on_moved(void *ctx)
{
	filter_resume(((struct l2 *)ctx)->filter);
}

static void on_lan_mtu(void *ctx, unsigned mtu)
{
	struct l2 *l = ctx;

	filter_set_mtu(l->filter, mtu, mtu);
}

/* A queue of the NIC that is full stops only its own frames. */
static void resume(struct net_port *p)
{
	struct l2 *l = l2_of(p);
	size_t left = 0, next;

	for (size_t at = 0; at < l->held_bytes; at = next) {
		struct held h;

		memcpy(&h, l->held + at, sizeof h);
		next = at + sizeof h + h.len;
		if (net_wire_deliver(p, &h.hdr, l->held + at + sizeof h, h.len))
			continue;
		if (left < at)
			memmove(l->held + left, l->held + at, next - at);
		left += next - at;
	}
	l->held_bytes = left;
}

static void set_offload(struct net_port *p, unsigned tun_flags)
{
	struct l2 *l = l2_of(p);

	/* What waits was made for another driver. */
	if (l->offload != tun_flags)
		l->held_bytes = 0;
	l->offload = tun_flags;
}

/* ---- carrier */

static void on_down(void *ctx)
{
	struct l2 *l = ctx;

	/* Other servers need no gateway. */
	if (l2_server_has_peer(l->server)) {
		loop_timer_arm(l->down, loop_now_ns() + 1000000000ull);
		return;
	}
	log_limited(LOG_WARN, "nic %s: no gateway of segment %s for %d s: no carrier", l->config.nic, l->config.segment, NET_L2_HOLD_S);
	net_wire_set_carrier(&l->port, false);
}

/* A server shall not see its cable pulled for a moment whenever a gateway takes over. */
static void on_carrier(void *ctx, bool up)
{
	struct l2 *l = ctx;

	if (l->config.carrier)
		return;
	if (up) {
		loop_timer_disarm(l->down);
		net_wire_set_carrier(&l->port, true);
	} else {
		loop_timer_arm(l->down, loop_now_ns() + NET_L2_HOLD_S * 1000000000ull);
	}
}

/* ---- the whole */

static void destroy(struct net_port *p)
{
	struct l2 *l = l2_of(p);

	l2_server_free(l->server);
	loop_timer_free(l->down);
	filter_free(l->filter);
	free(l->held);
	free(l);
}

static const struct net_port_ops ops = {
	.name = "l2", .send = send_frame, .resume = resume, .set_offload = set_offload, .free = destroy,
};

int net_l2_create(const struct net_l2_config *config, struct policy *policy, struct loop *loop, struct net_port **port,
	struct err *err)
{
	struct l2 *l = calloc(1, sizeof *l);
	int r;

	if (!l) {
		policy_free(policy);
		return err_set(err, -ENOMEM, "no memory");
	}
	net_wire_init(&l->port, &ops);
	l->port.carrier = config->carrier;
	l->config = *config;
	l->loop = loop;
	r = filter_create(config->mac, policy, &l->filter, err);
	if (!r && loop_timer_create(loop, on_down, l, &l->down))
		r = err_set(err, -ENOMEM, "no memory");
	if (r)
		destroy(&l->port);
	else
		*port = &l->port;
	return r;
}

static int authorise(void *ctx, struct link *link, const json_t *hello, struct err *err)
{
	const struct l2 *l = ctx;

	return l->config.authorise(l->config.ctx, l->config.nic, link, hello, err);
}

int net_l2_start(struct net_port *port, SSL_CTX *server, SSL_CTX *client, SSL_CTX *relay, struct err *err)
{
	static const struct l2_server_ops server_ops = { .frame = on_frame, .carrier = on_carrier, .peer_pass = on_peer,
		.peer_moved = on_moved, .lan_mtu = on_lan_mtu };
	struct l2 *l = l2_of(port);
	struct l2_server_config c = { .server = l->config.server, .nic = l->config.nic, .segment = l->config.segment,
		.listen = l->config.listen, .advertise = l->config.advertise, .tls_server = server, .tls_client = client,
		.tls_relay = relay, .authorise = l->config.authorise ? authorise : NULL };

	if (l->server) {
		l2_server_set_tls(l->server, server, client, relay);
		return 0;
	}
	memcpy(c.mac, l->config.mac, sizeof c.mac);
	memcpy(c.relay, l->config.relay, sizeof c.relay);
	return l2_server_create(l->loop, &c, &server_ops, l, &l->server, err);
}

bool net_l2_is(const struct net_port *port)
{
	return port->ops == &ops;
}

/* Why frames of other servers were dropped. */
static json_t *filter_json(const struct filter *filter)
{
	struct filter_counters c;
	json_t *o = json_object();

	filter_counters(filter, &c);
	for (unsigned i = 0; i < FILTER_CAUSES && o; i++) {
		if (json_object_set_new(o, filter_cause_name(i), json_integer((json_int_t)c.cause[i]))) {
			json_decref(o);
			o = NULL;
		}
	}
	return o;
}

json_t *net_l2_status(const struct net_port *port)
{
	const struct l2 *l = container_of(port, struct l2, port);

	return json_pack("{ss si so sI sI sI so}", "segment", l->config.segment, "port",
		l->server ? (int)l2_server_port(l->server) : 0, "link",
		l->server ? l2_server_status(l->server) : json_null(), "held_bytes", (json_int_t)l->held_bytes, "drop_full",
		(json_int_t)l->drop_full, "segmented", (json_int_t)l->segmented, "peer_filter", filter_json(l->filter));
}
