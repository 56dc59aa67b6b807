/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/offload.h"
#include <errno.h>
#include <string.h>
#include "lib/l2/checksum.h"
#include "lib/bits.h"

/* The offset of the network header and its type, or 0. */
static size_t ethernet(const uint8_t *frame, size_t len, uint16_t *type)
{
	size_t at = 12;

	for (unsigned tags = 0; at + 2 <= len; tags++, at += 4) {
		*type = get_be16(frame + at);
		if ((*type != NET_ETH_VLAN && *type != NET_ETH_QINQ) || tags == 2)
			return at + 2;
	}
	return 0;
}

static bool ipv4(const uint8_t *frame, size_t len, bool ip_end, struct net_layers *l, uint8_t *proto)
{
	const uint8_t *ip = frame + l->l3;
	size_t header, total;

	if (l->l3 + 20 > len || ip[0] >> 4 != 4)
		return false;
	header = (ip[0] & 15u) * 4u;
	if (header < 20 || l->l3 + header > len)
		return false;
	total = get_be16(ip + 2);
	if (ip_end && (total < header || l->l3 + total > len))
		return false;
	if (get_be16(ip + 6) & 0x3fff)
		return false;
	l->end = ip_end ? l->l3 + total : len;
	l->l4 = l->l3 + header;
	*proto = ip[9];
	return true;
}

static bool ipv6(const uint8_t *frame, size_t len, bool ip_end, struct net_layers *l, uint8_t *proto)
{
	const uint8_t *ip = frame + l->l3;
	size_t payload;

	if (l->l3 + 40 > len || ip[0] >> 4 != 6)
		return false;
	payload = get_be16(ip + 4);
	if (ip_end && l->l3 + 40 + payload > len)
		return false;
	l->end = ip_end ? l->l3 + 40 + payload : len;
	l->l4 = l->l3 + 40;
	*proto = ip[6];
	return true;
}

bool net_layers_find(const uint8_t *frame, size_t len, bool ip_end, struct net_layers *l)
{
	uint16_t type = 0;
	uint8_t proto;
	size_t header;

	*l = (struct net_layers){ .l3 = ethernet(frame, len, &type) };
	if (!l->l3)
		return false;
	l->v6 = type == NET_ETH_IPV6;
	if (type == NET_ETH_IPV4 ? !ipv4(frame, len, ip_end, l, &proto) : !l->v6 || !ipv6(frame, len, ip_end, l, &proto))
		return false;
	l->tcp = proto == NET_IP_TCP;
	if (!l->tcp && proto != NET_IP_UDP)
		return false;
	if (l->l4 + (l->tcp ? 20 : 8) > l->end)
		return false;
	header = l->tcp ? (size_t)(frame[l->l4 + 12] >> 4) * 4 : 8;
	l->payload = l->l4 + header;
	return (!l->tcp || header >= 20) && l->payload <= l->end;
}

static int check_segments(const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame, size_t len, struct net_layers *l,
			  unsigned *segments)
{
	unsigned type = hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN, size = le16toh(hdr->gso_size);

	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || !size || !net_layers_find(frame, len, false, l))
		return -EINVAL;
	if (type == VIRTIO_NET_HDR_GSO_TCPV4 ? !l->tcp || l->v6 : type == VIRTIO_NET_HDR_GSO_TCPV6 ? !l->tcp || !l->v6 :
	    type != NET_GSO_UDP_L4 || l->tcp)
		return -EINVAL;
	if (le16toh(hdr->csum_start) != l->l4 || le16toh(hdr->csum_offset) != (l->tcp ? 16 : 6))
		return -EINVAL;
	/* A segment must still be an IPv4 packet. */
	if (l->payload - l->l3 + size > 65535)
		return -EINVAL;
	*segments = len > l->payload ? (unsigned)((len - l->payload + size - 1) / size) : 1;
	return *segments <= NET_SEGMENTS_MAX ? 0 : -EINVAL;
}

int net_offload_check(const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame, size_t len, struct net_layers *layers,
		      unsigned *segments)
{
	size_t start = le16toh(hdr->csum_start), at = start + le16toh(hdr->csum_offset);

	if (len < NET_ETH_HEADER || len > FRAME_MAX)
		return -EINVAL;
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && (start < NET_ETH_HEADER || start >= len || at + 2 > len))
		return -EINVAL;
	*segments = 1;
	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return 0;
	return check_segments(hdr, frame, len, layers, segments);
}

void net_offload_complete(const struct virtio_net_hdr_v1 *hdr, uint8_t *frame, size_t len)
{
	size_t start = le16toh(hdr->csum_start), at = start + le16toh(hdr->csum_offset);
	uint16_t sum;

	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || start > len || at + 2 > len)
		return;
	sum = (uint16_t)~net_sum_fold(net_sum(0, frame + start, len - start));
	/* RFC 768: a UDP checksum that comes out as zero is sent as ones. For TCP both mean the same. */
	net_sum_store(frame + at, sum ? sum : 0xffff);
}

size_t net_iov_len(const struct iovec *iov, unsigned count)
{
	size_t len = 0;

	for (unsigned i = 0; i < count; i++)
		if (__builtin_add_overflow(len, iov[i].iov_len, &len))
			return SIZE_MAX;
	return len;
}

size_t net_iov_gather(const struct iovec *iov, unsigned count, uint8_t *buf, size_t cap)
{
	size_t len = 0;

	for (unsigned i = 0; i < count; i++) {
		if (iov[i].iov_len > cap - len)
			return 0;
		if (iov[i].iov_len)
			memcpy(buf + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}
