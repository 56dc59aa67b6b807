/* SPDX-License-Identifier: Apache-2.0 */
/* Transmit (§3.3-3.5): descriptors are gathered into one frame, its offloads become a virtio-net header. */
#include "hv/dev/e1000_priv.h"
#include "lib/l2/checksum.h"
#include "lib/log.h"

/* first command word, bits 31:24, and second word */
enum { CMD_EOP = BIT(24), CMD_IFCS = BIT(25), CMD_IC = BIT(26), CMD_TSE = BIT(26), CMD_RS = BIT(27), CMD_RPS = BIT(28),
	CMD_DEXT = BIT(29), CMD_VLE = BIT(30), TUCMD_TCP = BIT(24), TUCMD_IP = BIT(25), STA_DD = BIT(0),
	POPTS_IXSM = BIT(0), POPTS_TXSM = BIT(1) };
enum { TYPE_CONTEXT = 0, TYPE_DATA = 1 };

struct desc { uint64_t addr; uint32_t cmd, opts; };

/* Descriptors that one round looks at. */
enum { ROUND_DESCS = 1024 };

static void on_timer(void *ctx)
{
	e1000_tx_run(ctx);
}

void e1000_tx_init(struct e1000 *n)
{
	n->tx_timer = (struct clock_timer){ .fire = on_timer, .ctx = n };
}

void e1000_tx_reset(struct e1000 *n)
{
	clock_disarm(n->clock, &n->tx_timer);
	n->tx = (struct e1000_tx){ 0 };
}

static void drop(struct e1000 *n)
{
	n->faults.tx_frame++;
	log_limited(LOG_WARN, "%s: dropped a frame that its transmit descriptors describe wrongly", n->env->name);
}

static void load_context(struct e1000_tx *t, const struct desc *d)
{
	*(d->cmd & CMD_TSE ? &t->tso : &t->plain) = (struct e1000_context){
		.ipcss = (uint8_t)d->addr, .ipcso = (uint8_t)(d->addr >> 8), .ipcse = (uint16_t)(d->addr >> 16),
		.tucss = (uint8_t)(d->addr >> 32), .tucso = (uint8_t)(d->addr >> 40), .tucse = (uint16_t)(d->addr >> 48),
		.payload_len = d->cmd & 0xfffff, .tcp = d->cmd & TUCMD_TCP, .ipv4 = d->cmd & TUCMD_IP,
		.header_len = (uint8_t)(d->opts >> 8), .mss = (uint16_t)(d->opts >> 16),
	};
}

static void append(struct e1000 *n, uint64_t addr, uint32_t len)
{
	struct e1000_tx *t = &n->tx;

	if (t->bad || !len)
		return;
	if (len > NET_FRAME_MAX - t->len) {
		t->bad = true;
		return;
	}
	if (pci_dev_dma_read(&n->pci, addr, t->buf + t->len, len) < 0) {
		n->faults.tx_buffer++;
		t->bad = true;
		return;
	}
	t->len += len;
}

/* The checksum of [start, end] (end 0: to the end of the frame) goes to at. False when that is not inside the frame. */
static bool insert_sum(struct e1000_tx *t, unsigned start, unsigned at, unsigned end)
{
	unsigned stop = end && end < t->len ? end + 1 : t->len;

	if (start >= stop || at + 2 > t->len)
		return false;
	net_sum_store(t->buf + at, (uint16_t)~net_sum_fold(net_sum(0, t->buf + start, stop - start)));
	return true;
}

/* Leave the sum from start to the end of the frame to the port where its header can say so. */
static bool offload_sum(struct e1000_tx *t, struct virtio_net_hdr_v1 *hdr, unsigned start, unsigned at, unsigned end)
{
	if (end || at < start || start < NET_ETH_HEADER)
		return insert_sum(t, start, at, end);
	if (start >= t->len || at + 2 > t->len)
		return false;
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = htole16((uint16_t)start);
	hdr->csum_offset = htole16((uint16_t)(at - start));
	return true;
}

/* shift: bytes that were inserted before the IP header */
static bool offload_plain(struct e1000_tx *t, struct virtio_net_hdr_v1 *hdr, unsigned shift)
{
	const struct e1000_context *c = &t->plain;

	if (t->legacy_sum)
		return offload_sum(t, hdr, t->css + shift, t->cso + shift, 0);
	if (t->popts & POPTS_IXSM && !insert_sum(t, c->ipcss + shift, c->ipcso + shift, c->ipcse ? c->ipcse + shift : 0))
		return false;
	return !(t->popts & POPTS_TXSM) || offload_sum(t, hdr, c->tucss + shift, c->tucso + shift, c->tucse ? c->tucse + shift : 0);
}

/*
 * §3.5: the chip's prototype header has no lengths and a pseudo-header sum without one; virtio-net wants the headers of
 * one large packet.
 */
static bool offload_segments(struct e1000_tx *t, struct virtio_net_hdr_v1 *hdr, unsigned shift, unsigned *segments)
{
	const struct e1000_context *c = &t->tso;
	struct net_layers l;
	uint8_t *ip, *l4;
	size_t l4_len, payload;

	if (!c->mss || !net_layers_find(t->buf, t->len, false, &l))
		return false;
	if (l.v6 == c->ipv4 || l.tcp != c->tcp || l.l3 != c->ipcss + shift || l.l4 != c->tucss + shift ||
	    l.payload != c->header_len + shift || t->len - l.l3 > 65535)
		return false;
	ip = t->buf + l.l3;
	l4 = t->buf + l.l4;
	l4_len = t->len - l.l4;
	payload = t->len - l.payload;
	if (l.v6) {
		put_be16(ip + 4, (uint16_t)l4_len);
	} else {
		put_be16(ip + 2, (uint16_t)(t->len - l.l3));
		put_be16(ip + 10, 0);
		net_sum_store(ip + 10, (uint16_t)~net_sum_fold(net_sum(0, ip, l.l4 - l.l3)));
	}
	if (!l.tcp)
		put_be16(l4 + 4, (uint16_t)l4_len);
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = htole16((uint16_t)l.l4);
	hdr->csum_offset = htole16(l.tcp ? 16 : 6);
	net_sum_store(l4 + (l.tcp ? 16 : 6),
		      net_sum_fold(net_sum_be16(net_sum_pseudo(ip, l.v6, l.tcp ? NET_IP_TCP : NET_IP_UDP), (uint16_t)l4_len)));
	*segments = payload ? (unsigned)((payload + c->mss - 1) / c->mss) : 1;
	if (*segments == 1)
		return true;
	hdr->gso_type = !l.tcp ? NET_GSO_UDP_L4 : l.v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	hdr->gso_size = htole16(c->mss);
	hdr->hdr_len = htole16((uint16_t)l.payload);
	return *segments <= NET_SEGMENTS_MAX;
}

static void count(struct e1000 *n, unsigned segments)
{
	struct e1000_tx *t = &n->tx;
	uint32_t bytes = t->len + (segments - 1) * t->tso.header_len + segments * E1000_FCS;

	e1000_count(n, R_TPT, segments);
	e1000_count(n, R_GPTC, segments);
	e1000_count64(n, R_TOTL, bytes);
	e1000_count64(n, R_GOTCL, bytes);
	for (unsigned i = 1; i < segments; i++)
		e1000_count_size(n, R_PTC64, t->tso.header_len + t->tso.mss + E1000_FCS);
	e1000_count_size(n, R_PTC64, (bytes - (segments - 1) * (t->tso.header_len + t->tso.mss + E1000_FCS)));
	if (segments > 1)
		e1000_count(n, R_TSCTC, 1);
	if (t->buf[0] & 1)
		e1000_count(n, memcmp(t->buf, "\xff\xff\xff\xff\xff\xff", 6) ? R_MPTC : R_BPTC, segments);
}

static void insert_tag(struct e1000 *n)
{
	struct e1000_tx *t = &n->tx;

	memmove(t->buf + 16, t->buf + 12, t->len - 12);
	put_be16(t->buf + 12, (uint16_t)n->reg[R_VET]);
	put_be16(t->buf + 14, t->vlan);
	t->len += 4;
}

static void emit(struct e1000 *n, const struct virtio_net_hdr_v1 *hdr)
{
	struct e1000_tx *t = &n->tx;
	struct iovec iov = { .iov_base = t->buf, .iov_len = t->len };

	if (n->reg[R_RCTL] & RCTL_LBM || e1000_phy_loopback(n))
		(void)e1000_rx_frame(n, hdr, t->buf, t->len);
	else if (n->reg[R_STATUS] & STATUS_LU)
		net_port_send(n->port, hdr, &iov, 1);
}

/* The last descriptor of a frame has been seen. */
static void finish(struct e1000 *n)
{
	struct virtio_net_hdr_v1 hdr = { 0 };
	struct e1000_tx *t = &n->tx;
	bool tag = t->tag && n->reg[R_CTRL] & CTRL_VME;
	unsigned shift = tag ? 4 : 0, segments = 1;

	/* Without IFCS the frame ends in a checksum of the driver's own, which no port carries. */
	if (!t->fcs && t->len >= E1000_FCS)
		t->len -= E1000_FCS;
	if (t->bad || t->len < NET_ETH_HEADER || t->len > NET_FRAME_MAX - shift) {
		drop(n);
		return;
	}
	if (tag)
		insert_tag(n);
	if (t->segment ? !offload_segments(t, &hdr, shift, &segments) : !offload_plain(t, &hdr, shift)) {
		drop(n);
		return;
	}
	if (t->len < NET_ETH_MIN && n->reg[R_TCTL] & TCTL_PSP) {
		memset(t->buf + t->len, 0, NET_ETH_MIN - t->len);
		t->len = NET_ETH_MIN;
	}
	count(n, segments);
	emit(n, &hdr);
}

static void add(struct e1000 *n, const struct desc *d)
{
	struct e1000_tx *t = &n->tx;
	bool extended = d->cmd & CMD_DEXT;
	uint32_t len = d->cmd & (extended ? 0xfffff : 0xffff);

	if (!t->started) {
		t->started = true;
		t->popts = extended ? (uint8_t)(d->opts >> 8) : 0;
		t->segment = extended && d->cmd & CMD_TSE;
	}
	t->fcs |= d->cmd & CMD_IFCS || t->segment;
	if (d->cmd & CMD_VLE) {
		t->tag = true;
		t->vlan = (uint16_t)(d->opts >> 16);
	}
	if (!extended && d->cmd & CMD_IC) {
		t->legacy_sum = true;
		t->cso = (uint8_t)(d->cmd >> 16);
		t->css = (uint8_t)(d->opts >> 8);
	}
	t->round += len;
	append(n, d->addr, len);
	if (!(d->cmd & CMD_EOP))
		return;
	finish(n);
	t->started = t->segment = t->legacy_sum = t->fcs = t->tag = t->bad = false;
	t->len = 0;
}

/* One descriptor; true when its status was written back. */
static bool step(struct e1000 *n, uint64_t gpa)
{
	uint8_t raw[E1000_DESC];
	struct desc d;
	unsigned type;

	if (pci_dev_dma_read(&n->pci, gpa, raw, sizeof raw) < 0) {
		n->faults.tx_descriptor++;
		return false;
	}
	d = (struct desc){ .addr = get_le64(raw), .cmd = get_le32(raw + 8), .opts = get_le32(raw + 12) };
	type = d.cmd >> 20 & 15;
	if (!(d.cmd & CMD_DEXT) || type == TYPE_DATA)
		add(n, &d);
	else if (type == TYPE_CONTEXT)
		load_context(&n->tx, &d);
	else
		n->faults.tx_descriptor++;
	if (!(d.cmd & (CMD_RS | CMD_RPS)))
		return false;
	put_le32(raw + 12, d.opts | STA_DD);
	if (pci_dev_dma_write(&n->pci, gpa + 12, raw + 12, 4) < 0)
		n->faults.tx_descriptor++;
	return true;
}

void e1000_tx_run(struct e1000 *n)
{
	struct e1000_ring r;
	uint32_t causes = ICR_TXQE;

	if (!(n->reg[R_TCTL] & TCTL_EN) || !pci_dev_may_dma(&n->pci))
		return;
	if (!e1000_ring_get(n, R_TDBAL, &r)) {
		if (r.head != r.tail)
			n->faults.tx_ring++;
		return;
	}
	if (r.head == r.tail)
		return;
	n->tx.round = 0;
	for (unsigned i = 0; r.head != r.tail && i < ROUND_DESCS && n->tx.round < NET_ROUND_BYTES; i++) {
		if (step(n, r.base + (uint64_t)r.head * E1000_DESC))
			causes |= ICR_TXDW;
		r.head = r.head + 1 == r.count ? 0 : r.head + 1;
	}
	n->reg[R_TDH] = r.head;
	if (r.head != r.tail) {
		causes &= ~(uint32_t)ICR_TXQE;
		clock_arm(n->clock, &n->tx_timer, clock_now(n->clock));
	}
	e1000_raise(n, causes);
}
