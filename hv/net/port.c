/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/net/port.h"
#include "lib/l2/offload.h"
#include "hv/net/wire.h"

void net_wire_init(struct net_port *p, const struct net_port_ops *ops)
{
	*p = (struct net_port){ .ops = ops };
}

bool net_wire_deliver(struct net_port *p, const struct virtio_net_hdr_v1 *hdr, const void *frame, size_t len)
{
	if (!p->nic_ops || len < NET_ETH_HEADER || len > NET_FRAME_MAX) {
		p->rx.drops++;
		return true;
	}
	if (!p->nic_ops->receive(p->nic, hdr, frame, len))
		return false;
	p->rx.frames++;
	p->rx.bytes += len;
	return true;
}

void net_wire_set_carrier(struct net_port *p, bool up)
{
	if (p->carrier == up)
		return;
	p->carrier = up;
	if (p->nic_ops)
		p->nic_ops->carrier(p->nic, up);
}

void net_wire_no_resume(struct net_port *p)
{
}

void net_wire_no_offload(struct net_port *p, unsigned tun_flags)
{
}

void net_port_connect(struct net_port *p, const struct net_nic_ops *ops, void *nic)
{
	p->nic_ops = ops;
	p->nic = nic;
	if (ops)
		ops->carrier(nic, p->carrier);
}

void net_port_send(struct net_port *p, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned iov_count)
{
	size_t len = net_iov_len(iov, iov_count);

	if (!p->carrier || len < NET_ETH_HEADER || len > NET_FRAME_MAX) {
		p->tx.drops++;
		return;
	}
	p->tx.frames++;
	p->tx.bytes += len;
	p->ops->send(p, hdr, iov, iov_count);
}

void net_port_resume(struct net_port *p)
{
	p->ops->resume(p);
}

void net_port_set_offload(struct net_port *p, unsigned tun_flags)
{
	p->ops->set_offload(p, tun_flags);
}

void net_port_free(struct net_port *p)
{
	if (p)
		p->ops->free(p);
}
