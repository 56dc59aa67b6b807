/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a LAN attachment: lan.c has what all kinds share; lan_tap.c, lan_packet.c and lan_macvtap.c are the kinds. */
#pragma once
#include "lcg/lan.h"

struct lan {
	const struct lan_ops *ops;
	struct lan_config config;
	struct loop *loop;
	struct netdevs *devs;
	lan_frame_fn *frame;
	lan_works_fn *on_works;
	void *ctx;
	int fd;				/* -1: the device is gone */
	int index;			/* of the interface, as it was opened */
	struct loop_watch *watch;
	bool works, started;
	unsigned plain;			/* kinds of super-frames that the kernel refused: they are cut up here */
	uint32_t mtu;
	struct coalesce *coalesce;
	struct lan_counters counters;
	void *state;			/* the kind's own buffers */
};

extern const struct lan_ops lan_tap_ops, lan_packet_ops, lan_macvtap_ops;

/* For the kinds: a frame came in; at the end of those that came together, which are handed on by then: the batch is over. */
void lan_deliver(struct lan *lan, struct frame *f);
void lan_end_batch(struct lan *lan);
/* Reading gave -errno: true when it is over for this round. A device that vanished is let go. */
bool lan_read_failed(struct lan *lan, int code);
/* Watch lan->fd for frames. */
int lan_watch(struct lan *lan, loop_fd_fn *fn, struct err *err) must_check;

/* A TAP becomes a member of config.bridge, and of no other. */
int lan_tap_join(struct lan *lan, struct err *err) must_check;

/* lan_tun.c: TAP and macvtap speak the same language behind their descriptors. */
int lan_tun_start(struct lan *lan, struct err *err) must_check;
int lan_tun_send(struct lan *lan, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned n);
void lan_tun_stop(struct lan *lan);
