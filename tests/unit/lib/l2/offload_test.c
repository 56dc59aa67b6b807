/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/offload.h"
#include <errno.h>
#include "hv/net/port.h"
#include "tests/unit/hv/net/frames.h"
#include "tests/unit/suite.h"

static uint8_t frame[NET_FRAME_MAX];

struct seen { unsigned count, wrong, stop; size_t payload; bool v6, tcp; uint8_t flags_first, flags_last; };

static bool look(void *ctx, const uint8_t *f, size_t len)
{
	struct seen *s = ctx;
	size_t l4 = s->v6 ? 54 : 34, head = l4 + (s->tcp ? 20 : 8);

	s->wrong += !frames_valid(f, s->v6, s->tcp, len);
	if (s->tcp)
		s->wrong += get_be32(f + l4 + 4) != 0x1000 + s->payload;
	if (!s->v6)
		s->wrong += get_be16(f + 18) != 0x1234 + s->count;
	s->wrong += memcmp(f + head, frame + head + s->payload, len - head) != 0;
	if (!s->count)
		s->flags_first = f[l4 + 13];
	s->flags_last = f[l4 + 13];
	s->payload += len - head;
	s->count++;
	return s->count != s->stop;
}

static struct virtio_net_hdr_v1 gso(bool v6, bool tcp, unsigned size)
{
	return (struct virtio_net_hdr_v1){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_size = htole16((uint16_t)size),
		.gso_type = !tcp ? NET_GSO_UDP_L4 : v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
		.csum_start = htole16(v6 ? 54 : 34), .csum_offset = htole16(tcp ? 16 : 6),
	};
}

static void segments_are_complete_frames(void)
{
	for (unsigned kind = 0; kind < 4; kind++) {
		bool v6 = kind & 1, tcp = kind & 2;
		struct seen s = { .v6 = v6, .tcp = tcp };
		size_t len = frames_make(frame, v6, tcp, 5000);
		struct virtio_net_hdr_v1 hdr = gso(v6, tcp, 1448);

		frames_make_partial(frame, v6, tcp, len);
		check_eq(net_segment(&hdr, frame, len, look, &s), 0);
		check_eq(s.count, 4);
		check_eq(s.wrong, 0);
		check_eq(s.payload, 5000);
		if (tcp) {
			check_eq(s.flags_first, 0x10);
			check_eq(s.flags_last, 0x19);
		}
	}
}

static void splitting_ends_when_the_taker_says_so(void)
{
	struct seen s = { .tcp = true, .stop = 2 };
	size_t len = frames_make(frame, false, true, 5000);
	struct virtio_net_hdr_v1 hdr = gso(false, true, 1000);

	check_eq(net_segment(&hdr, frame, len, look, &s), 0);
	check_eq(s.count, 2);
}

static void a_partial_checksum_is_completed(void)
{
	for (unsigned kind = 0; kind < 4; kind++) {
		bool v6 = kind & 1, tcp = kind & 2;
		size_t len = frames_make(frame, v6, tcp, 333);
		struct virtio_net_hdr_v1 hdr = gso(v6, tcp, 0);
		uint8_t whole[1000];

		hdr.gso_type = 0;
		memcpy(whole, frame, len);
		frames_make_partial(frame, v6, tcp, len);
		check(memcmp(whole, frame, len));
		net_offload_complete(&hdr, frame, len);
		check(!memcmp(whole, frame, len));
	}
}

static void a_congestion_mark_stays_on_the_first_segment_only(void)
{
	struct seen s = { .tcp = true };
	size_t len = frames_make(frame, false, true, 3000);
	struct virtio_net_hdr_v1 hdr = gso(false, true, 1000);

	hdr.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	frame[34 + 13] |= 0x80;
	check_eq(net_segment(&hdr, frame, len, look, &s), 0);
	check_eq(s.flags_first, 0x90);
	check_eq(s.flags_last, 0x19);
}

static int verdict(const struct virtio_net_hdr_v1 *hdr, size_t len)
{
	struct net_layers l;
	unsigned n;

	return net_offload_check(hdr, frame, len, &l, &n);
}

static void headers_that_contradict_the_frame_are_refused(void)
{
	size_t len = frames_make(frame, false, true, 3000);
	struct virtio_net_hdr_v1 h, good = gso(false, true, 1000);

	check_eq(verdict(&good, len), 0);
	check_eq(verdict(&good, 13), -EINVAL);
	check_eq(verdict(&good, NET_FRAME_MAX + 1), -EINVAL);
	check_eq(verdict(&good, 50), -EINVAL);
	h = good; h.flags = 0;
	check_eq(verdict(&h, len), -EINVAL);
	h = good; h.gso_size = 0;
	check_eq(verdict(&h, len), -EINVAL);
	h = good; h.gso_size = htole16(2);	/* 1,500 segments */
	check_eq(verdict(&h, len), -EINVAL);
	h = good; h.gso_size = htole16(65535);
	check_eq(verdict(&h, len), -EINVAL);
	h = good; h.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	check_eq(verdict(&h, len), -EINVAL);
	h = good; h.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	check_eq(verdict(&h, len), -EINVAL);
	h = good; h.gso_type = NET_GSO_UDP_L4;
	check_eq(verdict(&h, len), -EINVAL);
	h = good; h.csum_start = htole16(33);
	check_eq(verdict(&h, len), -EINVAL);
	h = good; h.csum_offset = htole16(6);
	check_eq(verdict(&h, len), -EINVAL);
	h = good; h.gso_type = 0; h.csum_start = htole16(0xffff);
	check_eq(verdict(&h, len), -EINVAL);
	h = good; h.gso_type = 0; h.csum_offset = htole16((uint16_t)(len - 34 - 1));
	check_eq(verdict(&h, len), -EINVAL);
	h.csum_offset = htole16((uint16_t)(len - 34 - 2));
	check_eq(verdict(&h, len), 0);
}

static bool layers(size_t len, bool ip_end)
{
	struct net_layers l;

	return net_layers_find(frame, len, ip_end, &l);
}

static void truncated_and_malformed_packets_have_no_layers(void)
{
	size_t len = frames_make(frame, false, true, 100);

	check(layers(len, true));
	for (size_t n = 0; n < 54; n++)
		check(!layers(n, false));
	check(!layers(len - 1, true));
	frame[14] = 0x44;			/* header of 16 bytes */
	check(!layers(len, true));
	frame[14] = 0x65;
	check(!layers(len, true));
	frames_make(frame, false, true, 100);
	put_be16(frame + 20, 0x2000);		/* more fragments */
	check(!layers(len, true));
	frames_make(frame, false, true, 100);
	frame[46] = 0x40;			/* TCP header of 16 bytes */
	check(!layers(len, true));
	frame[46] = 0xf0;
	check(layers(len, true));
	check(!layers(34 + 40, false));
}

static void layers_are_found_behind_two_tags_but_not_three(void)
{
	size_t len = frames_make(frame, true, false, 100);
	struct net_layers l;

	for (unsigned tags = 1; tags <= 3; tags++) {
		memmove(frame + 16, frame + 12, len - 12);
		len += 4;
		put_be16(frame + 12, tags == 2 ? 0x88a8 : 0x8100);
		check(net_layers_find(frame, len, true, &l) == (tags < 3));
		if (tags < 3)
			check_eq(l.l3, 14 + 4 * tags);
	}
}

static void vectors_are_measured_and_gathered(void)
{
	uint8_t a[3] = { 1, 2, 3 }, b[2] = { 4, 5 }, out[6];
	struct iovec iov[3] = { { a, 3 }, { NULL, 0 }, { b, 2 } }, huge[2] = { { a, SIZE_MAX }, { b, 2 } };

	check_eq(net_iov_len(iov, 3), 5);
	check_eq(net_iov_len(huge, 2), SIZE_MAX);
	check_eq(net_iov_gather(iov, 3, out, 5), 5);
	check(!memcmp(out, "\1\2\3\4\5", 5));
	check_eq(net_iov_gather(iov, 3, out, 4), 0);
	check_eq(net_iov_gather(huge, 2, out, 6), 0);
}

static const struct test tests[] = {
	{ "segments are complete frames", segments_are_complete_frames },
	{ "splitting ends when the taker says so", splitting_ends_when_the_taker_says_so },
	{ "a partial checksum is completed", a_partial_checksum_is_completed },
	{ "a congestion mark stays on the first segment only", a_congestion_mark_stays_on_the_first_segment_only },
	{ "headers that contradict the frame are refused", headers_that_contradict_the_frame_are_refused },
	{ "truncated and malformed packets have no layers", truncated_and_malformed_packets_have_no_layers },
	{ "layers are found behind two tags but not three", layers_are_found_behind_two_tags_but_not_three },
	{ "vectors are measured and gathered", vectors_are_measured_and_gathered },
	{ NULL, NULL },
};
const struct suite suite_lib_l2_offload = { tests };
