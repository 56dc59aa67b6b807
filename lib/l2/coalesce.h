/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consecutive datagrams of a UDP flow become one super-frame (VIRTIO_NET_HDR_GSO_UDP_L4), so that all that follows costs once for
 * many of them. As in the kernel's GRO, only what segmentation makes again bit by bit is put together: unicast, at most one
 * VLAN tag, no Ethernet padding; IPv4 without options or fragments and with a right header checksum, or IPv6 without extension
 * headers; equal but for lengths, checksums and identification, which counts up, or is 0 with DF set (software segmentation
 * keeps that 0, a kernel counts it up: it means nothing then, RFC 6864); payloads of one length, but for a last one that is
 * shorter; checksums that are right, or still to be completed over a right pseudo-header.
 *
 * Order within a flow holds; frames of other flows may pass. Nothing is kept for longer than its owner's batch. No clock, no
 * descriptors; one thread.
 */
#pragma once
#include "lib/l2/frame.h"

struct coalesce;

enum {
	COALESCE_HEADROOM = 32,		/* writable bytes before the data of what comes out: two VLAN tags' more than FRAME_HEADROOM */
	COALESCE_SEGMENTS = 64,		/* what kernels take at most */
	COALESCE_FLOWS = 8,		/* that are gathered side by side; more push out the oldest */
};

/* hdr, data and len are set, not parsed; it lives until the call returns. No call of this module inside. */
typedef void coalesce_fn(void *ctx, struct frame *f);

struct coalesce_counters { uint64_t datagrams, super_frames; };	/* datagrams that went into so many super-frames */

/* -ENOMEM. A flow's 64 KiB are taken when there is one. */
int coalesce_create(coalesce_fn *out, void *ctx, struct coalesce **coalesce) must_check;
void coalesce_free(struct coalesce *coalesce);	/* NULL is fine; what it holds is lost */
/* As out has it, COALESCE_HEADROOM included. It is copied, or given to out as it is before the call returns. */
void coalesce_frame(struct coalesce *coalesce, struct frame *f);
/* The end of a batch: all that is held goes out. */
void coalesce_flush(struct coalesce *coalesce);
const struct coalesce_counters *coalesce_counters(const struct coalesce *coalesce);
