/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's half of a split virtqueue (virtio 1.2 §2.7): indirect descriptors, event index, notification suppression.
 * Under the device lock. Everything in the ring is the guest's and hostile: each descriptor is copied once and checked,
 * the copy is used. A ring that breaks the rules stops (fault says why) until the driver resets it.
 */
#pragma once
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "hv/mem.h"

#define VIRTIO_RING_MAX 1024	/* entries; also the longest indirect table */

struct virtio_ring {
	const struct mem *mem;
	/* programmed by the driver before start */
	uint16_t size;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	bool indirect, event_idx;	/* negotiated */
	/* the ring's own */
	bool live;
	bool quiet;			/* the driver need not notify us */
	const char *fault;		/* static text, NULL while healthy */
	const struct vring_desc *desc;
	uint16_t *avail;		/* flags, index, size entries, used event */
	uint16_t *used;			/* flags, index, size elements of 4 halfwords, avail event */
	uint16_t next_avail;		/* next available entry to take */
	uint16_t next_used;		/* used index as the driver sees it */
	uint16_t signalled;		/* used index at the last look at the used event */
	bool signalled_valid;
	bool unsignalled;		/* something was shown since the driver's wish was last asked */
	uint64_t chains, signals, suppressed;	/* taken; interrupts wanted and not wanted by the driver */
};

/* One chain of buffers. iov points into guest memory: first the readable, then the writable segments. */
struct virtio_chain {
	struct iovec *iov;		/* the caller's, max entries */
	unsigned max;
	uint16_t head;
	unsigned readable, writable;	/* segments */
	uint64_t read_len, write_len;	/* bytes, together below 2^32 */
};

/* Resolve the three areas and begin. -EINVAL: size, alignment or addresses are impossible (fault says which). */
int virtio_ring_start(struct virtio_ring *r) must_check;
/* Back to power-on, driver settings forgotten; mem stays. */
void virtio_ring_reset(struct virtio_ring *r);

/* Take the next chain. 1: c is filled; 0: nothing there; -EPROTO: the ring is broken, now or before. */
int virtio_ring_pop(struct virtio_ring *r, struct virtio_chain *c) must_check;
/* Give the last count taken chains back untouched; none of them may have been pushed. */
void virtio_ring_unpop(struct virtio_ring *r, uint16_t count);
/* Place a used element off places ahead of the used index, without showing it; virtio_ring_show makes count of them visible. */
void virtio_ring_fill(struct virtio_ring *r, uint16_t off, uint16_t head, uint32_t written);
void virtio_ring_show(struct virtio_ring *r, uint16_t count);
/* Fill and show one. */
void virtio_ring_push(struct virtio_ring *r, uint16_t head, uint32_t written);
/* Does the driver want an interrupt for what was shown since the last call? Never for nothing. */
bool virtio_ring_should_signal(struct virtio_ring *r);

/* Tell the driver that notifications are not needed: we are looking anyway. */
void virtio_ring_quiet(struct virtio_ring *r);
/* Ask for notifications again. True: something arrived meanwhile without one, so look again. */
bool virtio_ring_listen(struct virtio_ring *r);

/* Copy len bytes from offset off of the readable part / to offset off of the writable part; returns how many there were. */
size_t virtio_chain_read(const struct virtio_chain *c, uint64_t off, void *dst, size_t len);
size_t virtio_chain_write(const struct virtio_chain *c, uint64_t off, const void *src, size_t len);
/* Cut the first n bytes off the readable part, by moving segments; n <= read_len. */
void virtio_chain_skip(struct virtio_chain *c, uint64_t n);
/* Where byte off of the writable part lies, or NULL past its end. */
uint8_t *virtio_chain_byte(const struct virtio_chain *c, uint64_t off);
