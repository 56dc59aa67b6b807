/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of a virtual cable: a NIC model and whatever its frames go to (TAP, socket, later the L2 link).
 * Frames travel with a virtio-net header (virtio 1.1 §5.1.6, 12 bytes, little-endian, num_buffers unused) so that
 * segmentation and checksum offloads stay whole. All calls under the device lock; nothing is kept after a call returns.
 */
#pragma once
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "lib/err.h"
#include "lib/l2/frame.h"

#define NET_FRAME_MAX FRAME_MAX

/*
 * Frames of a guest leave under the device lock, which all vCPUs need, and a wire may encrypt them on the way: a card that has
 * taken so many bytes goes on by its clock.
 */
#define NET_ROUND_BYTES (256u << 10)

struct net_port;

/* The NIC's half. */
struct net_nic_ops {
	/*
	 * A frame from the wire. False: no room now; the port keeps it (one frame at least) and waits for net_port_resume. Until then
	 * those that have to come after it are refused, too; others may have room.
	 */
	bool (*receive)(void *nic, const struct virtio_net_hdr_v1 *hdr, const void *frame, size_t len);
	void (*carrier)(void *nic, bool up);
};

/* The wire's half. */
struct net_port_ops {
	const char *name;
	/* A frame from the guest. Dropped and counted when the wire is full or down: never blocks. */
	void (*send)(struct net_port *p, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned iov_count);
	void (*resume)(struct net_port *p);	/* the NIC has room again */
	/* Which offloads the NIC can receive: TUN_F_* bits; 0: plain frames with full checksums only. */
	void (*set_offload)(struct net_port *p, unsigned tun_flags);
	void (*free)(struct net_port *p);
};

struct net_port {
	const struct net_port_ops *ops;
	const struct net_nic_ops *nic_ops;
	void *nic;
	bool carrier;
	struct { uint64_t frames, bytes, drops; } tx, rx;	/* tx: guest → wire */
};

void net_port_connect(struct net_port *p, const struct net_nic_ops *ops, void *nic);	/* calls carrier at once */
void net_port_send(struct net_port *p, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned iov_count);
void net_port_resume(struct net_port *p);
void net_port_set_offload(struct net_port *p, unsigned tun_flags);
void net_port_free(struct net_port *p);	/* NULL is fine */
