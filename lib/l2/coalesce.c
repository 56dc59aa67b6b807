/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/coalesce.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/l2/checksum.h"
#include "lib/l2/offload.h"

enum { UDP = 8, IP4 = 20, IP6 = 40, DF = 0x4000, IP_MAX = 65535 };

/* One flow: its first datagram whole, then the others' payloads. */
struct flow {
	struct virtio_net_hdr_v1 hdr;	/* of the first */
	uint16_t l3, l4, size;		/* size: of each payload but perhaps the last */
	bool v6;
	unsigned segments;
	size_t len;
	uint8_t room[COALESCE_HEADROOM + FRAME_MAX];
};

struct coalesce {
	coalesce_fn *out;
	void *ctx;
	unsigned used;			/* flows[0..used) hold something, the oldest first */
	struct flow *flows[COALESCE_FLOWS];
	struct coalesce_counters counters;
};

/* ---- what may be put together */

struct datagram { const struct frame *f; uint16_t l3, l4, size; bool v6, udp; };

/* The lengths of IP and UDP are those of the frame; no options, no fragments. */
static bool find(struct datagram *d)
{
	const uint8_t *data = d->f->data, *ip, *udp;
	size_t len = d->f->len, l3 = 14;
	uint16_t type;

	if (len < 14 + IP4 + UDP)
		return false;
	type = get_be16(data + 12);
	if (type == NET_ETH_VLAN) {
		type = get_be16(data + 16);
		l3 = 18;
	}
	d->v6 = type == NET_ETH_IPV6;
	if ((!d->v6 && type != NET_ETH_IPV4) || len < l3 + (d->v6 ? IP6 : IP4) + UDP)
		return false;
	ip = data + l3;
	d->udp = (d->v6 ? ip[6] : ip[9]) != NET_IP_TCP;
	d->l3 = (uint16_t)l3;
	d->l4 = (uint16_t)(l3 + (d->v6 ? IP6 : IP4));
	if (d->v6 ? ip[6] != NET_IP_UDP || ip[0] >> 4 != 6 || get_be16(ip + 4) != len - d->l4 :
	    ip[9] != NET_IP_UDP || ip[0] != 0x45 || get_be16(ip + 2) != len - l3 || get_be16(ip + 6) & ~DF)
		return false;
	udp = data + d->l4;
	d->size = (uint16_t)(len - d->l4 - UDP);
	return d->size && get_be16(udp + 4) == d->size + UDP;
}

/* Segmentation computes checksums anew: what is wrong must stay wrong, and none (0) must stay none. */
static bool sums_are_right(const struct datagram *d)
{
	const struct virtio_net_hdr_v1 *hdr = &d->f->hdr;
	const uint8_t *ip = d->f->data + d->l3, *udp = d->f->data + d->l4;
	uint64_t pseudo = net_sum_be16(net_sum_pseudo(ip, d->v6, NET_IP_UDP), (uint16_t)(d->size + UDP));
	uint16_t stored;

	if (!d->v6 && net_sum_fold(net_sum(0, ip, IP4)) != 0xffff)
		return false;
	memcpy(&stored, udp + 6, 2);
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return le16toh(hdr->csum_start) == d->l4 && le16toh(hdr->csum_offset) == 6 && stored == net_sum_fold(pseudo);
	return stored && net_sum_fold(net_sum(pseudo, udp, (size_t)d->size + UDP)) == 0xffff;
}

/* Storms are counted in frames, so groups' stay what they are. */
static bool is_mergeable(const struct datagram *d)
{
	return d->f->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE && !frame_is_multicast(d->f) && sums_are_right(d);
}

/* ---- flows */

static uint8_t *bytes(struct flow *fl)
{
	return fl->room + COALESCE_HEADROOM;
}

/* Same MACs, tag, addresses, ports. */
static bool is_same(struct flow *fl, const struct datagram *d)
{
	const uint8_t *a = bytes(fl), *b = d->f->data;
	size_t from = d->l4 - (d->v6 ? 32u : 8u);

	return fl->l4 == d->l4 && fl->v6 == d->v6 && !memcmp(a + from, b + from, d->l4 - from + 4) && !memcmp(a, b, d->l3);
}

static bool id_follows(const uint8_t *first, const uint8_t *ip, unsigned index)
{
	uint16_t from = get_be16(first + 4), id = get_be16(ip + 4);

	/* software segmentation takes 0 with DF for one that stays */
	return !from && get_be16(ip + 6) & DF ? !id : id == (uint16_t)(from + index);
}

/* And what else segmentation copies. */
static bool fits(struct flow *fl, const struct datagram *d)
{
	const uint8_t *a = bytes(fl) + fl->l3, *b = d->f->data + d->l3;

	if (d->size > fl->size || fl->len + d->size - fl->l3 > IP_MAX)
		return false;
	if (d->v6)
		return !memcmp(a, b, 4) && a[7] == b[7];
	return a[1] == b[1] && a[8] == b[8] && !memcmp(a + 6, b + 6, 2) && id_follows(a, b, fl->segments);
}

static void fix_lengths(struct flow *fl)
{
	uint8_t *ip = bytes(fl) + fl->l3, *udp = bytes(fl) + fl->l4;
	uint16_t len = (uint16_t)(fl->len - fl->l4);

	if (fl->v6) {
		put_be16(ip + 4, len);
	} else {
		put_be16(ip + 2, (uint16_t)(fl->len - fl->l3));
		put_be16(ip + 10, 0);
		net_sum_store(ip + 10, (uint16_t)~net_sum_fold(net_sum(0, ip, IP4)));
	}
	put_be16(udp + 4, len);
	net_sum_store(udp + 6, net_sum_fold(net_sum_be16(net_sum_pseudo(ip, fl->v6, NET_IP_UDP), len)));
}

static void deliver(struct coalesce *c, struct flow *fl)
{
	struct frame f = { .hdr = fl->hdr, .data = bytes(fl), .len = fl->len };

	if (fl->segments > 1) {
		fix_lengths(fl);
		f.hdr = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = NET_GSO_UDP_L4,
			.gso_size = htole16(fl->size), .hdr_len = htole16((uint16_t)(fl->l4 + UDP)), .csum_start = htole16(fl->l4),
			.csum_offset = htole16(6) };
		c->counters.datagrams += fl->segments;
		c->counters.super_frames++;
	}
	c->out(c->ctx, &f);
}

static void release(struct coalesce *c, unsigned i)
{
	struct flow *fl = c->flows[i];

	deliver(c, fl);
	memmove(c->flows + i, c->flows + i + 1, (--c->used - i) * sizeof(struct flow *));
	c->flows[c->used] = fl;
}

static void append(struct coalesce *c, unsigned i, const struct datagram *d)
{
	struct flow *fl = c->flows[i];

	memcpy(bytes(fl) + fl->len, d->f->data + d->l4 + UDP, d->size);
	fl->len += d->size;
	fl->segments++;
	if (d->size < fl->size || fl->segments == COALESCE_SEGMENTS)
		release(c, i);
}

/* False: out of memory. */
static bool begin(struct coalesce *c, const struct datagram *d)
{
	struct flow *fl;

	if (c->used == COALESCE_FLOWS)
		release(c, 0);
	fl = c->flows[c->used];
	if (!fl)
		fl = c->flows[c->used] = malloc(sizeof *fl);
	if (!fl)
		return false;
	fl->hdr = d->f->hdr;
	fl->l3 = d->l3;
	fl->l4 = d->l4;
	fl->size = d->size;
	fl->v6 = d->v6;
	fl->segments = 1;
	fl->len = d->f->len;
	memcpy(bytes(fl), d->f->data, d->f->len);
	c->used++;
	return true;
}

void coalesce_flush(struct coalesce *c)
{
	while (c->used)
		release(c, 0);
}

void coalesce_frame(struct coalesce *c, struct frame *f)
{
	struct datagram d = { .f = f, .udp = true };
	unsigned i;

	if (!find(&d) || !is_mergeable(&d)) {
		/* it may belong to one of the flows, in a way that nobody looked for: behind it, then */
		if (d.udp)
			coalesce_flush(c);
		c->out(c->ctx, f);
		return;
	}
	for (i = 0; i < c->used && !is_same(c->flows[i], &d); i++)
		;
	if (i < c->used && fits(c->flows[i], &d)) {
		append(c, i, &d);
		return;
	}
	if (i < c->used)
		release(c, i);
	if (!begin(c, &d))
		c->out(c->ctx, f);
}

/* ---- life */

int coalesce_create(coalesce_fn *out, void *ctx, struct coalesce **coalesce)
{
	struct coalesce *c = calloc(1, sizeof *c);

	*coalesce = c;
	if (!c)
		return -ENOMEM;
	*c = (struct coalesce){ .out = out, .ctx = ctx };
	return 0;
}

void coalesce_free(struct coalesce *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < COALESCE_FLOWS; i++)
		free(c->flows[i]);
	free(c);
}

const struct coalesce_counters *coalesce_counters(const struct coalesce *c)
{
	return &c->counters;
}
