/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TAP device that hands over and takes frames with their offloads (virtio-net headers): up to 64 KiB as one. What its kernel
 * does not take whole is segmented here. On the loop's thread, or under its guard.
 */
#pragma once
#include "lib/l2/frame.h"
#include "lib/loop.h"

struct tap;

struct tap_ops {
	/*
	 * hdr, data and len are set, not parsed; FRAME_HEADROOM stands before data; it lives until the call returns. Datagrams of one
	 * round may come as one super-frame. The TAP stays until this returned.
	 */
	void (*frame)(void *ctx, struct frame *f);
	void (*gone)(void *ctx);	/* the device was deleted; once. Unset: nothing. */
};

struct tap_counters {
	struct { uint64_t frames, bytes; } in, out;	/* in: from the kernel to us */
	/* full: its queue was; down: the interface was; refused: the kernel did not like it; short: it gave us less than a header */
	uint64_t drop_full, drop_down, drop_refused, drop_short;
	uint64_t segmented;		/* frames that were cut here, because the kernel did not take them whole */
	uint64_t coalesced;		/* UDP datagrams that were handed over as parts of super-frames (lib/l2/coalesce.h) */
};

/* ops are copied. The device has to exist; -ENODEV, -EBUSY, -EPERM, … The message says how to make one. */
int tap_open(struct loop *loop, const char *name, const struct tap_ops *ops, void *ctx, struct tap **tap,
	struct err *err) must_check;
void tap_free(struct tap *tap);		/* NULL is fine */
/* Parsed; the FRAME_HEADROOM before its data is written to. Never blocks; what the kernel does not take is dropped and counted. */
void tap_write(struct tap *tap, struct frame *f);
/* Frames wait in the kernel while paused. */
void tap_pause(struct tap *tap, bool pause);
/* The cable, as the kernel's side of the device sees it. */
void tap_set_carrier(struct tap *tap, bool up);
const char *tap_name(const struct tap *tap);
const struct tap_counters *tap_counters(const struct tap *tap);
