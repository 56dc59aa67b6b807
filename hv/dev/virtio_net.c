/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hv/dev/virtio_net_priv.h"
#include "lib/l2/offload.h"
#include "lib/log.h"

#define ETH_HEADER 14
#define HEADER sizeof(struct virtio_net_hdr_v1)
#define NUM_BUFFERS offsetof(struct virtio_net_hdr_v1, num_buffers)

/* Queues: receive and transmit in turn, a pair after the other, then control (virtio 1.2 §5.1.2). */
static unsigned rx_of(unsigned pair) { return 2 * pair; }
static bool is_tx(unsigned queue) { return queue & 1; }

/* A driver that knows of one pair finds the control queue behind that. */
static unsigned control_queue(const struct virtio_net *n)
{
	return virtio_pci_has(&n->virtio, VIRTIO_NET_F_MQ) ? 2 * n->pairs_max : 2;
}

static struct virtio_chain chain_of(struct virtio_net *n)
{
	return (struct virtio_chain){ .iov = n->iov, .max = QUEUE_SIZE + 2 };
}

/* ---- wire to guest */

static bool listed(const struct mac_list *l, const uint8_t *mac)
{
	for (unsigned i = 0; i < l->count; i++) {
		if (!memcmp(l->mac[i], mac, 6))
			return true;
	}
	return l->overflow;
}

static bool wanted(const struct virtio_net *n, const uint8_t *frame, size_t len)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (n->mode & PROMISC)
		return true;
	if (get_be16(frame + 12) == 0x8100 && len >= ETH_HEADER + 4) {
		unsigned vid = get_be16(frame + ETH_HEADER) & 0xfff;

		if (!(n->vlans[vid / 32] & BIT(vid % 32)))
			return false;
	}
	if (!memcmp(frame, broadcast, 6))
		return !(n->mode & NOBCAST);
	if (frame[0] & 1)
		return !(n->mode & NOMULTI) && (n->mode & ALLMULTI || listed(&n->multicast, frame));
	return !(n->mode & NOUNI) && (n->mode & ALLUNI || !memcmp(frame, n->config, 6) || listed(&n->unicast, frame));
}

/* The port was told what the driver takes; a frame that says otherwise is the wire's mistake. */
static bool agreed(const struct virtio_net *n, const struct virtio_net_hdr_v1 *h)
{
	uint64_t on = n->guest_offloads;
	uint8_t type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && !(on & BIT64(VIRTIO_NET_F_GUEST_CSUM)))
		return false;
	if (h->gso_type & VIRTIO_NET_HDR_GSO_ECN && !(on & BIT64(VIRTIO_NET_F_GUEST_ECN)))
		return false;
	return type == VIRTIO_NET_HDR_GSO_NONE ||
	       (type == VIRTIO_NET_HDR_GSO_TCPV4 && on & BIT64(VIRTIO_NET_F_GUEST_TSO4)) ||
	       (type == VIRTIO_NET_HDR_GSO_TCPV6 && on & BIT64(VIRTIO_NET_F_GUEST_TSO6)) ||
	       (h->gso_type == NET_GSO_UDP_L4 && on & (BIT64(F_GUEST_USO4) | BIT64(F_GUEST_USO6)));
}

/* The next receive buffer. When there is none the driver is asked to tell us about more. */
static bool next_buffer(struct virtio_net *n, unsigned queue, struct virtio_chain *c)
{
	*c = (struct virtio_chain){ .iov = n->rx_iov, .max = QUEUE_SIZE + 2 };
	do {
		if (virtio_pci_pop(&n->virtio, queue, c))
			return true;
		/* The wish stands behind the buffers looked at: the first one after them brings a notification. */
	} while (virtio_pci_listen(&n->virtio, queue));
	return false;
}

/* Bytes [off, …) of header and frame, as far as they fit into one buffer; returns how many. */
static size_t fill(const struct virtio_chain *c, const struct virtio_net_hdr_v1 *h, const uint8_t *frame, size_t len, size_t off)
{
	size_t n = 0;

	if (off < HEADER)
		off += n = virtio_chain_write(c, 0, (const uint8_t *)h + off, HEADER - off);
	return n + virtio_chain_write(c, n, frame + (off - HEADER), HEADER + len - off);
}

enum outcome { PLACED, WAIT, TOO_BIG, BROKEN };

/* Header and frame into as many buffers as needed; the buffers become visible together or not at all. */
static enum outcome place(struct virtio_net *n, unsigned queue, const struct virtio_net_hdr_v1 *h, const uint8_t *frame, size_t len)
{
	struct virtio_ring *r = &n->virtio.queue[queue].ring;
	bool merge = virtio_pci_has(&n->virtio, VIRTIO_NET_F_MRG_RXBUF);
	uint8_t *count_at[2] = { NULL, NULL };
	uint16_t count = 0;
	size_t done = 0;

	while (done < HEADER + len) {
		struct virtio_chain c;
		size_t got;

		if (count == (merge ? r->size : 1)) {
			virtio_ring_unpop(r, count);
			return TOO_BIG;
		}
		if (!next_buffer(n, queue, &c)) {
			virtio_ring_unpop(r, count);
			return virtio_pci_ring(&n->virtio, queue) ? WAIT : BROKEN;
		}
		if (c.write_len < HEADER) {
			virtio_pci_break(&n->virtio, queue, "receive buffer smaller than a header");
			return BROKEN;
		}
		for (unsigned i = 0; !count && i < 2; i++)
			count_at[i] = virtio_chain_byte(&c, NUM_BUFFERS + i);
		got = fill(&c, h, frame, len, done);
		virtio_ring_fill(r, count++, c.head, (uint32_t)got);
		done += got;
	}
	*count_at[0] = (uint8_t)count;
	*count_at[1] = (uint8_t)(count >> 8);
	virtio_ring_show(r, count);
	return PLACED;
}

/* The pair that takes a frame. */
static unsigned choose(const struct virtio_net *n, const uint8_t *frame, size_t len)
{
	uint8_t flow, pair;

	if (n->pairs == 1)
		return 0;
	flow = virtio_net_flow(frame, len);
	pair = n->flow[flow];
	return pair < n->pairs ? pair : flow % n->pairs;
}

static void placed(struct virtio_net *n, unsigned pair)
{
	if (n->batch)
		n->touched |= BIT(pair);
	else
		virtio_pci_signal(&n->virtio, rx_of(pair));
}

static bool receive(void *nic, const struct virtio_net_hdr_v1 *hdr, const void *frame, size_t len)
{
	struct virtio_net *n = nic;
	unsigned pair = len >= ETH_HEADER ? choose(n, frame, len) : 0;
	struct virtio_ring *r = virtio_pci_ring(&n->virtio, rx_of(pair));
	struct virtio_net_hdr_v1 h = *hdr;

	if (!r) {
		n->stats.rx_no_driver++;
		return true;
	}
	if (len < ETH_HEADER || len > NET_FRAME_MAX || !agreed(n, hdr)) {
		n->stats.rx_bad++;
		return true;
	}
	if (!wanted(n, frame, len)) {
		n->stats.rx_filtered++;
		return true;
	}
	if (n->full & BIT(pair))
		return false;
	h.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
	if (!(n->guest_offloads & BIT64(VIRTIO_NET_F_GUEST_CSUM)))
		h.flags = 0;
	virtio_ring_quiet(r);
	switch (place(n, rx_of(pair), &h, frame, len)) {
	case PLACED:
		placed(n, pair);
		break;
	case WAIT:
		n->stats.rx_waits++;
		n->starved |= BIT(pair);
		n->full |= BIT(pair);
		return false;
	case TOO_BIG:
		n->stats.rx_too_big++;
		break;
	case BROKEN:
		n->stats.rx_no_driver++;
		break;
	}
	return true;
}

void virtio_net_resume(struct virtio_net *n)
{
	if (n->batch)
		return;
	n->starved = n->full = 0;
	n->batch = true;
	net_port_resume(n->port);
	n->batch = false;
	for (unsigned pair = 0; n->touched; pair++, n->touched >>= 1) {
		if (n->touched & 1)
			virtio_pci_signal(&n->virtio, rx_of(pair));
	}
}

static void receive_notified(struct virtio_net *n, unsigned pair)
{
	struct virtio_ring *r = virtio_pci_ring(&n->virtio, rx_of(pair));

	if (r)
		virtio_ring_quiet(r);
	if (n->starved & BIT(pair))
		virtio_net_resume(n);
}

static void carrier(void *nic, bool up)
{
	struct virtio_net *n = nic;
	uint8_t status = up ? VIRTIO_NET_S_LINK_UP : 0;

	if (n->config[6] == status)
		return;
	n->config[6] = status;
	virtio_pci_config_changed(&n->virtio);
}

static const struct net_nic_ops nic_ops = { .receive = receive, .carrier = carrier };

/* ---- guest to wire */

static bool gso_valid(const struct virtio_net *n, const struct virtio_net_hdr_v1 *h)
{
	uint8_t type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	if (h->gso_type & VIRTIO_NET_HDR_GSO_ECN && !virtio_pci_has(&n->virtio, VIRTIO_NET_F_HOST_ECN))
		return false;
	if (h->gso_type == NET_GSO_UDP_L4)
		return h->gso_size && h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && virtio_pci_has(&n->virtio, F_HOST_USO);
	if (!h->gso_size || !(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return false;
	return (type == VIRTIO_NET_HDR_GSO_TCPV4 && virtio_pci_has(&n->virtio, VIRTIO_NET_F_HOST_TSO4)) ||
	       (type == VIRTIO_NET_HDR_GSO_TCPV6 && virtio_pci_has(&n->virtio, VIRTIO_NET_F_HOST_TSO6));
}

static bool header_valid(const struct virtio_net *n, const struct virtio_net_hdr_v1 *h, uint64_t len)
{
	if (len < ETH_HEADER || len > NET_FRAME_MAX || !gso_valid(n, h))
		return false;
	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE && le16toh(h->hdr_len) > len)
		return false;
	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return true;
	return virtio_pci_has(&n->virtio, VIRTIO_NET_F_CSUM) &&
	       (uint64_t)le16toh(h->csum_start) + le16toh(h->csum_offset) + 2 <= len;
}

/* The driver chose this pair for the flow: what comes back shall go there. */
static void learn(struct virtio_net *n, const struct virtio_chain *c, unsigned pair)
{
	uint8_t head[FLOW_HEAD];

	n->flow[virtio_net_flow(head, virtio_chain_read(c, 0, head, sizeof head))] = (uint8_t)pair;
}

static void transmit(struct virtio_net *n, struct virtio_chain *c, unsigned queue)
{
	struct virtio_net_hdr_v1 h = { 0 };

	if (c->read_len < HEADER) {
		n->stats.tx_bad++;
		return;
	}
	virtio_chain_read(c, 0, &h, HEADER);
	virtio_chain_skip(c, HEADER);
	h.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h.num_buffers = 0;
	if (!header_valid(n, &h, c->read_len)) {
		n->stats.tx_bad++;
		log_limited(LOG_WARN, "%s: the driver sent a frame with an impossible header; dropped", n->virtio.pci.name);
		return;
	}
	if (n->pairs > 1)
		learn(n, c, queue / 2);
	net_port_send(n->port, &h, c->iov, c->readable);
}

/* ---- queues */

/* One round of transmit or control, bounded: a driver that adds faster than we take must not keep the lock. */
static void drain(struct virtio_net *n, unsigned queue)
{
	struct virtio_ring *r = virtio_pci_ring(&n->virtio, queue);
	unsigned budget = QUEUE_SIZE;
	uint64_t bytes = 0;

	if (!r)
		return;
	do {
		struct virtio_chain c = chain_of(n);

		virtio_ring_quiet(r);
		for (; budget && virtio_pci_pop(&n->virtio, queue, &c); budget--, c = chain_of(n)) {
			uint16_t head = c.head;

			bytes += c.read_len;
			budget = bytes < NET_ROUND_BYTES ? budget : 1;
			if (is_tx(queue))
				transmit(n, &c, queue);
			else
				virtio_net_control(n, &c);
			virtio_ring_push(r, head, !is_tx(queue) && c.write_len > 0);
		}
	} while (budget && virtio_pci_listen(&n->virtio, queue));
	if (!budget)
		virtio_pci_again(&n->virtio, queue, 0);
	virtio_pci_signal(&n->virtio, queue);
}

static void notify(void *ctx, unsigned queue)
{
	struct virtio_net *n = ctx;
	unsigned control = control_queue(n);

	if (queue == control || (is_tx(queue) && queue < control))
		drain(n, queue);
	else if (queue < control)
		receive_notified(n, queue / 2);
}

/* ---- the device */

static void start(void *ctx)
{
	struct virtio_net *n = ctx;

	/* A filter that the driver can set starts closed, one that it cannot set stays open. */
	if (virtio_pci_has(&n->virtio, VIRTIO_NET_F_CTRL_VLAN))
		memset(n->vlans, 0, sizeof n->vlans);
	virtio_net_set_offloads(n, n->virtio.driver & GUEST_OFFLOADS);
	n->starved = BIT(0);	/* the port may hold a frame from before */
	n->full = 0;
}

static void reset(void *ctx)
{
	struct virtio_net *n = ctx;

	n->mode = PROMISC;
	memset(&n->unicast, 0, sizeof n->unicast);
	memset(&n->multicast, 0, sizeof n->multicast);
	memset(n->vlans, 0xff, sizeof n->vlans);
	memcpy(n->config, n->env->mac, 6);
	n->pairs = 1;
	n->full = 0;
	memset(n->flow, NO_PAIR, sizeof n->flow);
	virtio_net_set_offloads(n, 0);
}

static bool busy(void *ctx)
{
	return false;
}

/* Frames move while the caller waits, none is in flight. One that waits for receive buffers goes on waiting. */
static void queue_reset(void *ctx, unsigned queue) {}

static bool queue_busy(void *ctx, unsigned queue)
{
	return false;
}

static bool accept(void *ctx, uint64_t features)
{
	uint64_t host_tso = BIT64(VIRTIO_NET_F_HOST_TSO4) | BIT64(VIRTIO_NET_F_HOST_TSO6), by_csum = host_tso | BIT64(F_HOST_USO);
	uint64_t by_ctrl = BIT64(VIRTIO_NET_F_CTRL_RX) | BIT64(VIRTIO_NET_F_CTRL_VLAN) | BIT64(VIRTIO_NET_F_CTRL_RX_EXTRA) |
			   BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT64(VIRTIO_NET_F_MQ);

	if (features & by_csum && !(features & BIT64(VIRTIO_NET_F_CSUM)))
		return false;
	if (features & BIT64(VIRTIO_NET_F_HOST_ECN) && !(features & host_tso))
		return false;
	if (features & by_ctrl && !(features & BIT64(VIRTIO_NET_F_CTRL_VQ)))
		return false;
	return virtio_net_offloads_valid(features & GUEST_OFFLOADS);
}

/* All of it is read only once VERSION_1 is negotiated (virtio 1.2 §5.1.4). */
static void config_write(void *ctx, unsigned off, unsigned size, uint64_t val) {}

static const struct virtio_model_ops model_ops = {
	.notify = notify,
	.start = start,
	.reset = reset,
	.busy = busy,
	.queue_reset = queue_reset,
	.queue_busy = queue_busy,
	.accept = accept,
	.config_write = config_write,
};

#define FEATURES \
	(GUEST_OFFLOADS | BIT64(VIRTIO_NET_F_CSUM) | BIT64(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | BIT64(VIRTIO_NET_F_MAC) | \
	 BIT64(VIRTIO_NET_F_HOST_TSO4) | BIT64(VIRTIO_NET_F_HOST_TSO6) | BIT64(VIRTIO_NET_F_HOST_ECN) | \
	 BIT64(VIRTIO_NET_F_MRG_RXBUF) | BIT64(VIRTIO_NET_F_STATUS) | BIT64(VIRTIO_NET_F_CTRL_VQ) | \
	 BIT64(VIRTIO_NET_F_CTRL_RX) | BIT64(VIRTIO_NET_F_CTRL_VLAN) | BIT64(VIRTIO_NET_F_CTRL_RX_EXTRA) | \
	 BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT64(F_HOST_USO))

int virtio_net_create(struct virtio_net **net, const struct virtio_place *place, struct net_port *port, struct err *err)
{
	struct virtio_net *n = calloc(1, sizeof *n);
	struct virtio_model model = {
		.name = "virtio-net",
		.class_code = 0x020000,
		.ops = &model_ops,
		.ctx = n,
		.features = FEATURES,
		.config_size = sizeof n->config,
	};
	unsigned pairs = place->env->queues ?: 1;

	if (!n)
		return err_set(err, -ENOMEM, "%s: no memory for a network device", place->env->name);
	n->env = place->env;
	n->pairs_max = pairs;
	if (pairs > 1) {
		put_le16(n->config + 8, (uint16_t)pairs);
		model.features |= BIT64(VIRTIO_NET_F_MQ);
	}
	model.queues = 2 * pairs + 1;
	for (unsigned i = 0; i < 2 * pairs; i++)
		model.queue_size[i] = QUEUE_SIZE;
	model.queue_size[2 * pairs] = CTRL_QUEUE_SIZE;
	model.config = n->config;
	virtio_pci_init(&n->virtio, place, &model);
	n->port = port;
	virtio_net_set_offloads(n, 0);
	net_port_connect(port, &nic_ops, n);
	*net = n;
	return 0;
}

void virtio_net_free(struct virtio_net *net)
{
	if (!net)
		return;
	net_port_connect(net->port, NULL, NULL);
	virtio_pci_exit(&net->virtio);
	free(net);
}

struct pci_dev *virtio_net_pci(struct virtio_net *net)
{
	return &net->virtio.pci;
}

const struct virtio_net_stats *virtio_net_stats(const struct virtio_net *net)
{
	return &net->stats;
}
