/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/frame.h"
#include <errno.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/l2/offload.h"

/* IPv6 extension headers (RFC 8200 §4; AH: RFC 4302) that are walked before the chain counts as odd. */
enum { EXTENSIONS_MAX = 8, EXT_HOPS = 0, EXT_ROUTING = 43, EXT_FRAGMENT = 44, EXT_AUTH = 51, EXT_OPTIONS = 60, EXT_MOBILITY = 135,
	EXT_HIP = 139, EXT_SHIM6 = 140 };
enum { IP_ICMP = 1, IP_ICMP6 = 58, ETH_TYPE_ARP = 0x0806, ETH_TYPE_RARP = 0x8035 };

static const char *const names[] = {
	[FRAME_OK] = "ok", [FRAME_SHORT] = "short", [FRAME_LONG] = "long", [FRAME_BAD_OFFLOAD] = "bad-offload",
	[FRAME_BAD_IP] = "bad-ip",
};
_Static_assert(sizeof names / sizeof names[0] == FRAME_CAUSES, "a name for each cause");

const char *frame_cause_name(enum frame_cause cause)
{
	return (unsigned)cause < FRAME_CAUSES ? names[cause] : "unknown";
}

/* Both ends of a flow are mixed alike and added, so that the order does not matter. */
static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)(a ^ 0x9e3779b97f4a7c15) * (b ^ 0xe7037ed1a0b428db);

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint32_t finish(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93;
	return (uint32_t)(h >> 32);
}

static uint64_t word(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

static uint64_t half(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint64_t mac_word(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p + 4, 2);
	return half(p) | (uint64_t)v << 32;
}

static uint32_t flow_hash(const struct frame *f)
{
	const uint8_t *ip = f->data + f->l3, *port = f->data + f->l4;
	uint64_t from = f->proto, to = f->proto;

	if (!f->l3)
		return finish(mix(mac_word(frame_src(f)), f->type) + mix(mac_word(frame_dst(f)), f->type));
	/* All pieces of a packet must be one flow, so ports count only where every piece has them. */
	if (f->l4 && !f->cut && (f->proto == NET_IP_TCP || f->proto == NET_IP_UDP)) {
		from |= (uint64_t)get_be16(port) << 16;
		to |= (uint64_t)get_be16(port + 2) << 16;
	}
	if (f->type == NET_ETH_IPV4)
		return finish(mix(half(ip + 12), from) + mix(half(ip + 16), to));
	return finish(mix(word(ip + 8) ^ from, word(ip + 16)) + mix(word(ip + 24) ^ to, word(ip + 32)));
}

/* Tags, EtherType. The offset of what follows. */
static size_t ethernet(struct frame *f)
{
	size_t at = 12;

	f->vid = FRAME_NO_VID;
	f->type = get_be16(f->data + at);
	for (unsigned tags = 0; tags < 2 && (f->type == NET_ETH_VLAN || f->type == NET_ETH_QINQ) && at + 6 <= f->len; tags++) {
		uint16_t vid = get_be16(f->data + at + 2) & 0xfff;

		if (!tags && vid)
			f->vid = vid;
		at += 4;
		f->type = get_be16(f->data + at);
	}
	return at + 2;
}

/* The header behind IP's at offset l4; l4 stays 0 when it is not whole. Returns where checked headers end. */
static size_t transport(struct frame *f, size_t at)
{
	size_t header = 8;

	if (f->fragment)
		return at;
	switch (f->proto) {
	case NET_IP_TCP:
		if (at + 20 > f->end)
			return at;
		header = (size_t)(f->data[at + 12] >> 4) * 4;
		if (header < 20)
			return at;
		break;
	case IP_ICMP:
	case IP_ICMP6:
		/* Four bytes are all that some types have, of version 6 all have eight. */
		header = f->proto == IP_ICMP && f->end - at < 8 ? 4 : 8;
		break;
	case NET_IP_UDP:
		break;
	default:
		return at;
	}
	if (at + header > f->end)
		return at;
	f->l4 = (uint16_t)at;
	f->payload = (uint16_t)(at + header);
	return at + header;
}

static size_t ipv4(struct frame *f, size_t at, bool segments)
{
	const uint8_t *ip = f->data + at;
	size_t header, total;
	uint16_t piece;

	if (at + 20 > f->len || ip[0] >> 4 != 4)
		return 0;
	header = (ip[0] & 15u) * 4u;
	total = segments ? f->len - at : get_be16(ip + 2);
	if (header < 20 || total < header || at + total > f->len)
		return 0;
	f->l3 = (uint16_t)at;
	f->end = (uint32_t)(at + total);
	f->proto = ip[9];
	piece = get_be16(ip + 6) & 0x3fff;
	f->fragment = piece & 0x1fff;
	f->cut = piece ? (uint16_t)at : 0;
	return transport(f, at + header);
}

static size_t ipv6(struct frame *f, size_t at, bool segments)
{
	const uint8_t *ip = f->data + at, *ext;
	size_t len, end;
	uint16_t piece;

	if (at + 40 > f->len || ip[0] >> 4 != 6)
		return 0;
	end = segments ? f->len : at + 40 + get_be16(ip + 4);
	if (end > f->len)
		return 0;
	f->l3 = (uint16_t)at;
	f->end = (uint32_t)end;
	f->proto = ip[6];
	at += 40;
	for (unsigned i = 0; i < EXTENSIONS_MAX && at + 8 <= end; i++) {
		ext = f->data + at;
		switch (f->proto) {
		case EXT_HOPS: case EXT_ROUTING: case EXT_OPTIONS: case EXT_MOBILITY: case EXT_HIP: case EXT_SHIM6:
			len = ext[1] * 8u + 8;
			break;
		case EXT_AUTH:
			len = ext[1] * 4u + 8;
			break;
		case EXT_FRAGMENT:
			piece = get_be16(ext + 2);
			/* One that is the whole packet is no fragment (RFC 6946). */
			if (piece & 0xfff9)
				f->cut = (uint16_t)at;
			f->fragment = piece & 0xfff8;
			len = 8;
			break;
		default:
			return transport(f, at);
		}
		if (at + len > end)
			return at;
		f->proto = ext[0];
		at += len;
		if (f->fragment)
			return at;
	}
	return transport(f, at);
}

/*
 * A checksum that is still to be computed is written into the frame after all checks, so it must not be able to change what
 * they looked at.
 */
static bool csum_ok(const struct frame *f, size_t headers)
{
	size_t start = le16toh(f->hdr.csum_start), offset = le16toh(f->hdr.csum_offset);

	if (start + offset + 2 > f->len)
		return false;
	if (f->l4 && start == f->l4)
		return offset == (f->proto == NET_IP_TCP ? 16 : f->proto == NET_IP_UDP ? 6 : 2);
	return f->type != ETH_TYPE_ARP && f->type != ETH_TYPE_RARP && start >= headers;
}

enum frame_cause frame_parse(struct frame *f)
{
	struct net_layers layers;
	bool segments = f->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE;
	size_t at, headers = 0;
	unsigned count;

	f->l3 = f->l4 = f->payload = f->cut = 0;
	f->end = 0;
	f->proto = 0;
	f->fragment = false;
	if (f->len < FRAME_MIN)
		return FRAME_SHORT;
	if (f->len > FRAME_MAX)
		return FRAME_LONG;
	f->hdr.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
	at = ethernet(f);
	f->body = (uint16_t)at;
	if (f->type == NET_ETH_IPV4)
		headers = ipv4(f, at, segments);
	else if (f->type == NET_ETH_IPV6)
		headers = ipv6(f, at, segments);
	if (segments) {
		if (!f->l4)
			return FRAME_BAD_IP;
		if (net_offload_check(&f->hdr, f->data, f->len, &layers, &count) < 0)
			return FRAME_BAD_OFFLOAD;
		f->hdr.hdr_len = htole16(f->payload);
	} else {
		f->hdr.gso_size = f->hdr.hdr_len = 0;
		if (!(f->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
			f->hdr.csum_start = f->hdr.csum_offset = 0;
		else if (!csum_ok(f, headers ? headers : at))
			return FRAME_BAD_OFFLOAD;
	}
	f->hash = flow_hash(f);
	return FRAME_OK;
}

void frame_mac_text(const uint8_t mac[FRAME_MAC], char text[FRAME_MAC_TEXT])
{
	static const char digit[] = "0123456789abcdef";

	for (unsigned i = 0; i < FRAME_MAC; i++) {
		*text++ = digit[mac[i] >> 4];
		*text++ = digit[mac[i] & 15];
		*text++ = i == FRAME_MAC - 1 ? '\0' : ':';
	}
}

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int frame_mac_parse(const char *text, uint8_t mac[FRAME_MAC])
{
	uint8_t out[FRAME_MAC];

	for (unsigned i = 0; i < FRAME_MAC; i++, text += 3) {
		int high = digit_of(text[0]), low = high < 0 ? -1 : digit_of(text[1]);

		if (low < 0 || text[2] != (i == FRAME_MAC - 1 ? '\0' : ':'))
			return -EINVAL;
		out[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(mac, out, FRAME_MAC);
	return 0;
}
