/* SPDX-License-Identifier: Apache-2.0 */
/* What implementations of a wire's half (struct net_port_ops) share. Under the device lock. */
#pragma once
#include "hv/net/port.h"

/* Fill the common part; carrier is down. ops has every slot set. */
void net_wire_init(struct net_port *p, const struct net_port_ops *ops);
/* Hand a frame to the NIC and count it. False: the NIC has no room; keep it until ops->resume. With no NIC it is dropped. */
bool net_wire_deliver(struct net_port *p, const struct virtio_net_hdr_v1 *hdr, const void *frame, size_t len);
/* Tell the NIC when the carrier changes. */
void net_wire_set_carrier(struct net_port *p, bool up);
/* Default slots for wires without these. */
void net_wire_no_resume(struct net_port *p);
void net_wire_no_offload(struct net_port *p, unsigned tun_flags);
