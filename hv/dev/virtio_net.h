/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio network device (virtio 1.2 §5.1): as many queue pairs as the environment says and the control queue, checksum and
 * segmentation offload, mergeable receive buffers. Ends in a struct net_port; super-frames pass whole. Under the device lock.
 */
#pragma once
#include "hv/dev/virtio_pci.h"
#include "hv/net/port.h"

#define VIRTIO_NET_MACS 64	/* filter entries; more set "all unicast" or "all multicast" */

struct virtio_net;

struct virtio_net_stats {
	uint64_t tx_bad;		/* frames of the driver with an impossible header or size */
	uint64_t rx_bad;		/* frames of the wire with an offload the driver did not agree to, or of a bad size */
	uint64_t rx_filtered;		/* not for this address, group or VLAN */
	uint64_t rx_no_driver;		/* came while no driver was running */
	uint64_t rx_too_big;		/* larger than the driver's buffers */
	uint64_t rx_waits;		/* times a frame had to wait for buffers */
	uint64_t ctrl_refused;		/* control commands answered with an error */
};

/* Connects to port, which stays the caller's and outlives the device. -ENOMEM. */
int virtio_net_create(struct virtio_net **net, const struct virtio_place *place, struct net_port *port,
		      struct err *err) must_check;
void virtio_net_free(struct virtio_net *net);	/* disconnects; NULL is fine */
/* The function to attach to a bus. */
struct pci_dev *virtio_net_pci(struct virtio_net *net);
const struct virtio_net_stats *virtio_net_stats(const struct virtio_net *net);
