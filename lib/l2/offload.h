/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a virtio-net header (virtio 1.1 §5.1.6) says about its frame, checked against the frame. Both are hostile: they
 * come from the guest or from the wire. Header fields are little-endian. Pure functions; any thread.
 */
#pragma once
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "lib/err.h"
#include "lib/l2/frame.h"

/* No stack sends more: 64 KiB at the smallest TCP segment, 48 bytes. */
#define NET_SEGMENTS_MAX 1400
#define NET_GSO_UDP_L4 5	/* VIRTIO_NET_HDR_GSO_UDP_L4, younger than some kernel headers */

enum { NET_ETH_HEADER = 14, NET_ETH_MIN = 60, NET_ETH_VLAN = 0x8100, NET_ETH_QINQ = 0x88a8, NET_ETH_IPV4 = 0x0800,
	NET_ETH_IPV6 = 0x86dd, NET_IP_TCP = 6, NET_IP_UDP = 17 };

/* Where the headers of a frame are. 0: there is none. */
struct net_layers {
	size_t l3, l4, payload;	/* offsets of IP header, TCP or UDP header, and its data */
	/* end of the IP packet by its own length field; <= frame length (Ethernet padding is not in it) */
	size_t end;
	bool v6, tcp;		/* v6: no extension headers between; tcp: else UDP */
};

/* IPv4 or IPv6 (behind up to two VLAN tags), not a fragment, TCP or UDP, all headers inside len. ip_end: trust the IP length
 * field and fail when it does not fit; false takes len (TSO frames of more than 64 KiB and prototype headers). */
bool net_layers_find(const uint8_t *frame, size_t len, bool ip_end, struct net_layers *layers);

/* 0 when hdr and frame agree; then *segments is how many frames it makes on a plain wire, 1 or more. -EINVAL otherwise.
 * layers is filled for segmented frames only. */
int net_offload_check(const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame, size_t len, struct net_layers *layers,
		      unsigned *segments) must_check;

/* Compute and store the checksum that a checked hdr asks for (NEEDS_CSUM); nothing to do otherwise. */
void net_offload_complete(const struct virtio_net_hdr_v1 *hdr, uint8_t *frame, size_t len);

/* Split a frame into what a plain wire carries, checksums complete, and give each piece to fn until it says false. A frame
 * without segmentation is given once. -EINVAL when hdr and frame disagree: then fn was not called. The pieces live until
 * fn returns. Uses 64 KiB of stack. */
typedef bool net_segment_fn(void *ctx, const uint8_t *frame, size_t len);
int net_segment(const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame, size_t len, net_segment_fn *fn,
	void *ctx) must_check;

/* Total length of a vector, SIZE_MAX when it overflows. */
size_t net_iov_len(const struct iovec *iov, unsigned count);
/* Gather into buf; the length, or 0 when it does not fit into cap. */
size_t net_iov_gather(const struct iovec *iov, unsigned count, uint8_t *buf, size_t cap);
