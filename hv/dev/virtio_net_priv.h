/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the virtio network device: virtio_net.c moves frames, ..._ctrl.c is the control queue, ..._steer.c chooses queues. */
#pragma once
#include <linux/virtio_net.h>
#include "hv/dev/virtio_net.h"
#include "lib/bits.h"

enum { QUEUE_SIZE = 256, CTRL_QUEUE_SIZE = 64, FLOWS = 256, FLOW_HEAD = 128, NO_PAIR = 0xff };

/* Younger than some system headers (virtio 1.3 §5.1.3). */
enum { F_GUEST_USO4 = 54, F_GUEST_USO6 = 55, F_HOST_USO = 56 };

/* What CTRL_RX switches, at the bit of its command. */
enum { PROMISC = BIT(VIRTIO_NET_CTRL_RX_PROMISC), ALLMULTI = BIT(VIRTIO_NET_CTRL_RX_ALLMULTI),
	ALLUNI = BIT(VIRTIO_NET_CTRL_RX_ALLUNI), NOMULTI = BIT(VIRTIO_NET_CTRL_RX_NOMULTI),
	NOUNI = BIT(VIRTIO_NET_CTRL_RX_NOUNI), NOBCAST = BIT(VIRTIO_NET_CTRL_RX_NOBCAST) };

struct mac_list { unsigned count; bool overflow; uint8_t mac[VIRTIO_NET_MACS][6]; };

struct virtio_net {
	struct virtio_pci virtio;
	struct net_port *port;
	const struct env_pci *env;
	uint8_t config[12];		/* MAC, status, most pairs, MTU (unused) */
	unsigned pairs_max, pairs;	/* pairs: those that receive now */
	uint32_t starved;		/* pairs, as bits: a frame waits at the port for their buffers */
	uint32_t full;			/* pairs, as bits: that frame comes before any other */
	uint32_t touched;		/* pairs, as bits: of this batch */
	bool batch;			/* several frames are coming: one interrupt a queue at the end */
	uint64_t guest_offloads;	/* VIRTIO_NET_F_GUEST_* now in force */
	uint8_t mode;
	struct mac_list unicast, multicast;
	uint32_t vlans[128];
	uint8_t flow[FLOWS];		/* by hash: the pair that the driver last sent on, or NO_PAIR */
	struct virtio_net_stats stats;
	/* a wire that answers inside send finds the transmit chain still in use */
	struct iovec rx_iov[QUEUE_SIZE + 2], iov[QUEUE_SIZE + 2];
	uint8_t command[4096];
};

/* A command's chain: carried out, and answered in its last byte. */
void virtio_net_control(struct virtio_net *n, struct virtio_chain *c);
/* VIRTIO_NET_F_GUEST_* that go together, and the driver's choice in force. */
bool virtio_net_offloads_valid(uint64_t on);
void virtio_net_set_offloads(struct virtio_net *n, uint64_t on);
/* Frames may have room now that waited: take them, with one interrupt a queue. */
void virtio_net_resume(struct virtio_net *n);

/* A flow's number; both directions have the same. head: the frame's first bytes, or all of them. */
uint8_t virtio_net_flow(const uint8_t *head, size_t len);

#define GUEST_OFFLOADS \
	(BIT64(VIRTIO_NET_F_GUEST_CSUM) | BIT64(VIRTIO_NET_F_GUEST_TSO4) | BIT64(VIRTIO_NET_F_GUEST_TSO6) | \
	 BIT64(VIRTIO_NET_F_GUEST_ECN) | BIT64(F_GUEST_USO4) | BIT64(F_GUEST_USO6))
