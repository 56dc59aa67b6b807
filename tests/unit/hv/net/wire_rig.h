/* SPDX-License-Identifier: Apache-2.0 */
/* A NIC's half that keeps what arrives, and a loop that runs until something does. Header only. */
#pragma once
#include <stdlib.h>
#include "lib/l2/offload.h"
#include "hv/net/port.h"
#include "lib/loop.h"
#include "tests/unit/suite.h"

struct wire_rig {
	struct loop *loop;
	struct loop_timer *limit;
	struct net_port *port;
	bool late, up, full;
	unsigned frames, refused, changes;
	size_t bytes, len;
	struct virtio_net_hdr_v1 hdr;
	uint8_t frame[NET_FRAME_MAX];	/* the last one */
};

static inline bool wire_rig_receive(void *nic, const struct virtio_net_hdr_v1 *hdr, const void *frame, size_t len)
{
	struct wire_rig *w = nic;

	loop_stop(w->loop);
	if (w->full) {
		w->refused++;
		return false;
	}
	w->frames++;
	w->bytes += len;
	w->len = len;
	w->hdr = *hdr;
	memcpy(w->frame, frame, len);
	return true;
}

static inline void wire_rig_carrier(void *nic, bool up)
{
	struct wire_rig *w = nic;

	w->up = up;
	w->changes++;
	loop_stop(w->loop);
}

static inline void wire_rig_late(void *ctx)
{
	struct wire_rig *w = ctx;

	w->late = true;
	loop_stop(w->loop);
}

static const struct net_nic_ops wire_rig_ops = { .receive = wire_rig_receive, .carrier = wire_rig_carrier };

static inline struct wire_rig *wire_rig_create(void)
{
	struct wire_rig *w = calloc(1, sizeof *w);

	if (!w || loop_create(&w->loop, NULL) || loop_timer_create(w->loop, wire_rig_late, w, &w->limit))
		abort();
	return w;
}

static inline void wire_rig_connect(struct wire_rig *w, struct net_port *port)
{
	w->port = port;
	net_port_connect(port, &wire_rig_ops, w);
}

static inline void wire_rig_free(struct wire_rig *w)
{
	net_port_free(w->port);
	loop_free(w->loop);
	free(w);
}

/* Run the loop until cond holds; it is looked at after each frame and each change of the carrier. Fails after 10 s. */
#define wire_rig_wait(w, cond) \
	do { \
		(w)->late = false; \
		loop_timer_arm((w)->limit, loop_now_ns() + 10000000000ull); \
		while (!(cond) && !(w)->late) \
			check_eq(loop_run((w)->loop), 0); \
		loop_timer_disarm((w)->limit); \
		check(!(w)->late); \
	} while (0)

/* One round of the loop. */
static inline void wire_rig_round(struct wire_rig *w)
{
	loop_timer_arm(w->limit, loop_now_ns());
	check_eq(loop_run(w->loop), 0);
}

static inline void wire_rig_send(struct wire_rig *w, const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame, size_t len)
{
	static const struct virtio_net_hdr_v1 none;
	struct iovec iov[2] = { { (void *)frame, 14 }, { (void *)(frame + 14), len - 14 } };

	net_port_send(w->port, hdr ? hdr : &none, iov, 2);
}
