/* SPDX-License-Identifier: Apache-2.0 */
/* A wire whose far end is the test: it keeps what the NIC sends and hands over what the test gives it. Header only. */
#pragma once
#include <string.h>
#include "lib/l2/offload.h"
#include "hv/net/wire.h"

#define FAKE_PORT_KEEP 16

struct fake_port {
	struct net_port port;	/* first */
	unsigned sent, resumed, offload;
	size_t len[FAKE_PORT_KEEP];
	struct virtio_net_hdr_v1 hdr[FAKE_PORT_KEEP];
	uint8_t frame[FAKE_PORT_KEEP][NET_FRAME_MAX];	/* the last ones, sent % FAKE_PORT_KEEP */
	/* a frame the NIC refused; offered again by resume */
	size_t held;
	struct virtio_net_hdr_v1 held_hdr;
	uint8_t held_frame[NET_FRAME_MAX];
};

static inline void fake_port_send(struct net_port *p, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned count)
{
	struct fake_port *f = (struct fake_port *)p;
	unsigned i = f->sent++ % FAKE_PORT_KEEP;

	f->hdr[i] = *hdr;
	f->len[i] = net_iov_gather(iov, count, f->frame[i], NET_FRAME_MAX);
}

/* False: refused, and kept. */
static inline bool fake_port_give(struct fake_port *f, const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame, size_t len)
{
	static const struct virtio_net_hdr_v1 none;

	if (net_wire_deliver(&f->port, hdr ? hdr : &none, frame, len))
		return true;
	f->held = len;
	f->held_hdr = hdr ? *hdr : none;
	memmove(f->held_frame, frame, len);
	return false;
}

static inline void fake_port_resume(struct net_port *p)
{
	struct fake_port *f = (struct fake_port *)p;
	size_t len = f->held;

	f->resumed++;
	f->held = 0;
	if (len)
		(void)fake_port_give(f, &f->held_hdr, f->held_frame, len);
}

static inline void fake_port_set_offload(struct net_port *p, unsigned flags)
{
	((struct fake_port *)p)->offload = flags;
}

static inline void fake_port_free(struct net_port *p)
{
}

static const struct net_port_ops fake_port_ops = {
	.name = "fake", .send = fake_port_send, .resume = fake_port_resume, .set_offload = fake_port_set_offload, .free = fake_port_free,
};

static inline void fake_port_init(struct fake_port *f)
{
	f->sent = f->resumed = 0;
	f->held = 0;
	f->offload = ~0u;
	net_wire_init(&f->port, &fake_port_ops);
	f->port.carrier = true;
}
