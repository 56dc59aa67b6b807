/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/net/null.h"
#include <errno.h>
#include <stdlib.h>
#include "hv/net/wire.h"

static void send(struct net_port *p, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned iov_count)
{
	p->tx.drops++;
}

static void destroy(struct net_port *p)
{
	free(p);
}

static const struct net_port_ops ops = {
	.name = "null", .send = send, .resume = net_wire_no_resume, .set_offload = net_wire_no_offload, .free = destroy,
};

int net_null_create(bool carrier, struct net_port **port)
{
	struct net_port *p = malloc(sizeof *p);

	if (!p)
		return -ENOMEM;
	net_wire_init(p, &ops);
	p->carrier = carrier;
	*port = p;
	return 0;
}
