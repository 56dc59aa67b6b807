/* SPDX-License-Identifier: Apache-2.0 */
/* Receive (§3.2): address filters, checksum verification, and frames into descriptors. */
#include "hv/dev/e1000_priv.h"
#include "lib/l2/checksum.h"
#include "lib/log.h"

enum { RX_DD = 0x01, RX_EOP = 0x02, RX_IXSM = 0x04, RX_VP = 0x08, RX_TCPCS = 0x20, RX_IPCS = 0x40, RX_PIF = 0x80,	/* status */
	RX_TCPE = 0x20, RX_IPE = 0x40 };	/* errors */
/* The longest frame the chip takes (LPE), the longest without, FCS included; and one frame's descriptors at 256 bytes each. */
enum { LONGEST = 16384, LONG = 1522, FRAME_DESCS = LONGEST / 256 + 1 };

/* One frame on its way into the ring, as pieces: header, rest behind a stripped tag, padding and FCS. */
struct rx {
	struct e1000 *n;
	struct { const uint8_t *data; size_t len; } piece[3];
	size_t len;		/* sum of pieces */
	uint8_t status, errors;
	uint16_t special, csum;
	bool inexact;		/* passed by hash only */
	bool trusted;		/* the wire vouches for the checksums */
	uint32_t causes;
};

static bool match_hash(const struct e1000 *n, const uint8_t *to)
{
	static const uint8_t shift[] = { 4, 3, 2, 0 };
	unsigned hash = (to[5] << 8 | to[4]) >> shift[n->reg[R_RCTL] >> 12 & 3] & 0xfff;

	return n->reg[R_MTA + (hash >> 5)] >> (hash & 31) & 1;
}

static bool match_exact(const struct e1000 *n, const uint8_t *to)
{
	for (unsigned i = R_RA; i < R_RA_END; i += 2)
		if (n->reg[i + 1] & RAH_AV && get_le32(to) == n->reg[i] && get_le16(to + 4) == (uint16_t)n->reg[i + 1])
			return true;
	return false;
}

static bool is_broadcast(const uint8_t *to)
{
	return get_le32(to) == UINT32_MAX && get_le16(to + 4) == UINT16_MAX;
}

static bool tagged(const struct e1000 *n, const uint8_t *frame, size_t len)
{
	return len >= 18 && get_be16(frame + 12) == n->reg[R_VET];
}

/* §10.3.3: VLAN filter, then addresses. */
static bool accept(struct rx *rx, const uint8_t *frame, size_t len)
{
	const struct e1000 *n = rx->n;
	uint32_t rctl = n->reg[R_RCTL];

	if (tagged(n, frame, len)) {
		unsigned tci = get_be16(frame + 14), vid = tci & 0xfff;

		if (rctl & RCTL_VFE && !(n->reg[R_VFTA + (vid >> 5)] >> (vid & 31) & 1))
			return false;
		if (rctl & RCTL_CFIEN && !(tci & 0x1000) != !(rctl & RCTL_CFI))
			return false;
	}
	if (match_exact(n, frame) || (rctl & RCTL_BAM && is_broadcast(frame)))
		return true;
	rx->inexact = true;
	if (!(frame[0] & 1))
		return rctl & RCTL_UPE;
	return rctl & RCTL_MPE || (!is_broadcast(frame) && match_hash(n, frame));
}

static size_t buffer_size(const struct e1000 *n)
{
	unsigned bsize = n->reg[R_RCTL] >> 16 & 3;

	return n->reg[R_RCTL] & RCTL_BSEX && bsize ? 32768u >> bsize : 2048u >> bsize;
}

static void verify_l4(struct rx *rx, const uint8_t *frame, const struct net_layers *l)
{
	uint64_t sum;
	size_t len = l->end - l->l4;

	if (!l->tcp && !get_be16(frame + l->l4 + 6))
		return;		/* UDP without checksum */
	rx->status |= RX_TCPCS;
	if (rx->trusted)
		return;
	sum = net_sum_be16(net_sum_pseudo(frame + l->l3, l->v6, l->tcp ? NET_IP_TCP : NET_IP_UDP), (uint16_t)len);
	if (net_sum_fold(net_sum(sum, frame + l->l4, len)) != 0xffff)
		rx->errors |= RX_TCPE;
}

/* §3.2.9: what is verified is said in the status; what is not leaves IXSM. */
static void verify(struct rx *rx, const uint8_t *frame, size_t len)
{
	uint32_t rxcsum = rx->n->reg[R_RXCSUM];
	size_t start = rxcsum & 0xff, l3 = tagged(rx->n, frame, len) ? 18 : 14, header;
	struct net_layers l;

	if (start < len)
		rx->csum = be16toh((uint16_t)~net_sum_fold(net_sum(0, frame + start, len - start)));
	if (rxcsum & RXCSUM_IPOFL && len >= l3 + 20 && get_be16(frame + l3 - 2) == NET_ETH_IPV4) {
		header = (frame[l3] & 15u) * 4u;
		rx->status |= RX_IPCS;
		if (frame[l3] >> 4 != 4 || header < 20 || l3 + header > len || net_sum_fold(net_sum(0, frame + l3, header)) != 0xffff)
			rx->errors |= RX_IPE;
	}
	if (rxcsum & RXCSUM_TUOFL && !(rx->errors & RX_IPE) && net_layers_find(frame, len, true, &l) && (!l.v6 || rxcsum & RXCSUM_IPV6OFL))
		verify_l4(rx, frame, &l);
	if (!(rx->status & (RX_IPCS | RX_TCPCS)))
		rx->status |= RX_IXSM;
}

/* Bytes [off, off+len) of the frame to memory. */
static int copy(struct rx *rx, uint64_t gpa, size_t off, size_t len)
{
	for (unsigned i = 0; i < 3 && len; i++) {
		size_t part = rx->piece[i].len;

		if (off >= part) {
			off -= part;
			continue;
		}
		part = part - off < len ? part - off : len;
		if (pci_dev_dma_write(&rx->n->pci, gpa, rx->piece[i].data + off, part) < 0)
			return -1;
		gpa += part;
		len -= part;
		off = 0;
	}
	return 0;
}

static uint32_t advance(const struct e1000_ring *r, uint32_t i)
{
	return i + 1 == r->count ? 0 : i + 1;
}

static void write_back(struct rx *rx, uint64_t gpa, size_t len, bool last)
{
	uint8_t raw[8];

	put_le16(raw, (uint16_t)len);
	put_le16(raw + 2, rx->csum);
	raw[4] = (uint8_t)(RX_DD | (last ? RX_EOP | rx->status : rx->status & RX_VP));
	raw[5] = last ? rx->errors : 0;
	put_le16(raw + 6, rx->special);
	if (pci_dev_dma_write(&rx->n->pci, gpa + 8, raw, sizeof raw) < 0)
		rx->n->faults.rx_descriptor++;
}

/*
 * §3.2.3: first find the descriptors that hold the frame, then fill them; so a frame is in the ring whole or not at all.
 * A null buffer address is written back empty and holds nothing.
 */
static bool put(struct rx *rx, struct e1000_ring *r)
{
	uint64_t addr[FRAME_DESCS + 1];
	size_t room = 0, size = buffer_size(rx->n), off = 0;
	uint32_t i = r->head;
	unsigned used = 0;

	for (; room < rx->len; i = advance(r, i)) {
		uint8_t raw[8];

		if (i == r->tail || used == sizeof addr / sizeof addr[0])
			return false;
		if (pci_dev_dma_read(&rx->n->pci, r->base + (uint64_t)i * E1000_DESC, raw, sizeof raw) < 0) {
			rx->n->faults.rx_descriptor++;
			return false;
		}
		addr[used] = get_le64(raw);
		if (addr[used++])
			room += size;
	}
	for (unsigned k = 0; k < used; k++, r->head = advance(r, r->head)) {
		size_t part = !addr[k] ? 0 : rx->len - off < size ? rx->len - off : size;

		if (part && copy(rx, addr[k], off, part) < 0)
			rx->n->faults.rx_buffer++;
		off += part;
		write_back(rx, r->base + (uint64_t)r->head * E1000_DESC, part, k + 1 == used);
	}
	return true;
}

/* A run of null descriptors in front, or one that is longer than a frame, must not stop the ring for good. */
static void skip_null(struct rx *rx, struct e1000_ring *r)
{
	uint8_t raw[8];

	while (r->head != r->tail) {
		uint64_t gpa = r->base + (uint64_t)r->head * E1000_DESC;

		if (pci_dev_dma_read(&rx->n->pci, gpa, raw, sizeof raw) < 0 || get_le64(raw))
			return;
		write_back(rx, gpa, 0, false);
		r->head = advance(r, r->head);
	}
}

static uint32_t room(const struct e1000_ring *r)
{
	return r->tail >= r->head ? r->tail - r->head : r->count - r->head + r->tail;
}

static void count(struct e1000 *n, const uint8_t *frame, size_t len)
{
	e1000_count(n, R_GPRC, 1);
	e1000_count64(n, R_GORCL, (uint32_t)len);
	e1000_count_size(n, R_PRC64, len);
	if (frame[0] & 1)
		e1000_count(n, is_broadcast(frame) ? R_BPRC : R_MPRC, 1);
}

/* One plain frame that passed the filters. False: the ring is full. */
static bool deliver(void *ctx, const uint8_t *frame, size_t len)
{
	static const uint8_t zeros[NET_ETH_MIN + E1000_FCS];
	struct rx *rx = ctx;
	struct e1000 *n = rx->n;
	size_t wire = (len < NET_ETH_MIN ? NET_ETH_MIN : len) + E1000_FCS, head = len;
	uint32_t before, after, threshold;
	struct e1000_ring r;

	rx->status = rx->inexact ? RX_PIF : 0;
	rx->errors = 0;
	rx->special = 0;
	verify(rx, frame, len);
	rx->piece[0].data = frame;
	rx->piece[1].len = 0;
	if (n->reg[R_CTRL] & CTRL_VME && tagged(n, frame, len)) {
		rx->status |= RX_VP;
		rx->special = get_be16(frame + 14);
		head = 12;
		rx->piece[1].data = frame + 16;
		rx->piece[1].len = len - 16;
	}
	rx->piece[0].len = head;
	rx->piece[2].data = zeros;
	rx->piece[2].len = wire - len - (n->reg[R_RCTL] & RCTL_SECRC ? E1000_FCS : 0);
	rx->len = head + rx->piece[1].len + rx->piece[2].len;
	if (!e1000_ring_get(n, R_RDBAL, &r))
		return false;
	before = room(&r);
	skip_null(rx, &r);
	if (!put(rx, &r)) {
		n->reg[R_RDH] = r.head;
		n->faults.rx_missed++;
		e1000_count(n, R_MPC, 1);
		rx->causes |= ICR_RXO;
		return false;
	}
	n->reg[R_RDH] = r.head;
	after = room(&r);
	threshold = r.count >> (1 + (n->reg[R_RCTL] >> 8 & 3));
	rx->causes |= ICR_RXT0 | (before > threshold && after <= threshold ? ICR_RXDMT0 : 0);
	count(n, frame, wire);
	return true;
}

/* Does the ring have room for this many frames of at most len bytes? A burst beyond the whole ring never will. */
static bool has_room(struct e1000 *n, unsigned frames, size_t len)
{
	size_t size = buffer_size(n), each = (len + E1000_FCS + size - 1) / size, need = frames * each;
	struct e1000_ring r;

	if (!e1000_ring_get(n, R_RDBAL, &r) || room(&r) >= need || (need >= r.count && room(&r) + 1 == r.count))
		return true;
	n->want_resume = true;
	e1000_count(n, R_RNBC, 1);
	e1000_raise(n, ICR_RXO);
	return false;
}

bool e1000_rx_frame(struct e1000 *n, const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame, size_t len)
{
	struct rx rx = { .n = n };
	struct net_layers layers;
	struct e1000_ring ring;
	unsigned segments;
	size_t longest = len;
	bool wanted, fits;

	if (!(n->reg[R_RCTL] & RCTL_EN) || !pci_dev_may_dma(&n->pci)) {
		n->faults.rx_off++;
		return true;
	}
	if (net_offload_check(hdr, frame, len, &layers, &segments) < 0) {
		n->faults.rx_frame++;
		log_limited(LOG_WARN, "%s: dropped a frame whose offload header does not fit it", n->env->name);
		return true;
	}
	if (segments > 1)
		longest = layers.payload + le16toh(hdr->gso_size);
	if (!e1000_ring_get(n, R_RDBAL, &ring)) {
		n->faults.rx_ring++;
		return true;
	}
	wanted = accept(&rx, frame, len);
	fits = longest + E1000_FCS <= (n->reg[R_RCTL] & RCTL_LPE ? LONGEST : LONG);
	if (wanted && fits && (n->want_resume || !has_room(n, segments, longest < NET_ETH_MIN ? NET_ETH_MIN : longest)))
		return false;
	e1000_count(n, R_TPR, 1);
	e1000_count64(n, R_TORL, (uint32_t)len + E1000_FCS);
	if (!wanted || !fits) {
		*(wanted ? &n->faults.rx_long : &n->faults.rx_filtered) += 1;
		e1000_count(n, R_ROC, wanted);
		return true;
	}
	rx.trusted = hdr->flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID);
	if (segments == 1 && !(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		deliver(&rx, frame, len);
	else if (net_segment(hdr, frame, len, deliver, &rx) < 0)
		n->faults.rx_frame++;
	if (rx.causes)
		e1000_raise(n, rx.causes);
	return true;
}

void e1000_rx_run(struct e1000 *n)
{
	if (!n->want_resume)
		return;
	n->want_resume = false;
	net_port_resume(n->port);
}
