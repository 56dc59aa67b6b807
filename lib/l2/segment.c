/* SPDX-License-Identifier: Apache-2.0 */
/* Segmentation in software, for wires and NICs that carry plain frames only. */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include "lib/l2/checksum.h"
#include "lib/l2/offload.h"
#include "lib/bits.h"

enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_CWR = 0x80, IP_DF = 0x4000 };

/* Give the headers at seg, copied from the whole frame, the values of segment number index. */
static void fix_headers(uint8_t *seg, size_t len, const struct net_layers *l, unsigned index, size_t done, bool last, bool ecn)
{
	uint8_t *ip = seg + l->l3, *l4 = seg + l->l4;
	uint16_t l4_len = (uint16_t)(len - l->l4), sum;
	uint8_t *csum = l4 + (l->tcp ? 16 : 6);

	if (l->v6) {
		put_be16(ip + 4, l4_len);
	} else {
		put_be16(ip + 2, (uint16_t)(len - l->l3));
		/* datagrams that are never cut may all have none, and lib/l2/coalesce.h takes it for that */
		if (l->tcp || get_be16(ip + 4) || !(get_be16(ip + 6) & IP_DF))
			put_be16(ip + 4, (uint16_t)(get_be16(ip + 4) + index));
		put_be16(ip + 10, 0);
		net_sum_store(ip + 10, (uint16_t)~net_sum_fold(net_sum(0, ip, l->l4 - l->l3)));
	}
	if (l->tcp) {
		put_be32(l4 + 4, (uint32_t)(get_be32(l4 + 4) + done));
		if (!last)
			l4[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
		if (ecn && index)
			l4[13] &= (uint8_t)~TCP_CWR;
	} else {
		put_be16(l4 + 4, l4_len);
	}
	put_be16(csum, 0);
	sum = (uint16_t)~net_sum_fold(
		net_sum(net_sum_be16(net_sum_pseudo(ip, l->v6, l->tcp ? NET_IP_TCP : NET_IP_UDP), l4_len), l4, l4_len));
	net_sum_store(csum, sum ? sum : 0xffff);
}

int net_segment(const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame, size_t len, net_segment_fn *fn, void *ctx)
{
	uint8_t buf[FRAME_MAX];
	size_t size = le16toh(hdr->gso_size), left;
	struct net_layers l;
	unsigned segments;
	int r = net_offload_check(hdr, frame, len, &l, &segments);

	if (r < 0)
		return r;
	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
			fn(ctx, frame, len);
			return 0;
		}
		memcpy(buf, frame, len);
		net_offload_complete(hdr, buf, len);
		fn(ctx, buf, len);
		return 0;
	}
	left = len - l.payload;
	for (unsigned i = 0; i < segments; i++) {
		size_t n = left < size ? left : size, done = i * size;

		memcpy(buf, frame, l.payload);
		memcpy(buf + l.payload, frame + l.payload + done, n);
		left -= n;
		fix_headers(buf, l.payload + n, &l, i, done, !left, hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN);
		if (!fn(ctx, buf, l.payload + n))
			break;
	}
	return 0;
}
