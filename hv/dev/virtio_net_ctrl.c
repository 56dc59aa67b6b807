/* SPDX-License-Identifier: Apache-2.0 */
/* The control queue (virtio 1.2 §5.1.6.5): filters, offloads, queue pairs. */
#include <linux/if_tun.h>
#include <string.h>
#include "hv/dev/virtio_net_priv.h"
#include "lib/buf.h"

/* Younger than some system headers. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static bool control_rx(struct virtio_net *n, uint8_t command, struct rbuf *b)
{
	uint8_t on = rbuf_u8(b);
	bool extra = command > VIRTIO_NET_CTRL_RX_ALLMULTI;

	if (b->failed || command > VIRTIO_NET_CTRL_RX_NOBCAST ||
	    !virtio_pci_has(&n->virtio, extra ? VIRTIO_NET_F_CTRL_RX_EXTRA : VIRTIO_NET_F_CTRL_RX))
		return false;
	n->mode = (uint8_t)(on ? n->mode | BIT(command) : n->mode & ~BIT(command));
	return true;
}

static void read_list(struct rbuf *b, struct mac_list *l)
{
	uint32_t count = rbuf_le32(b);

	l->count = count > VIRTIO_NET_MACS ? 0 : count;
	l->overflow = count > VIRTIO_NET_MACS;
	if (l->overflow)
		rbuf_skip(b, (size_t)count * 6);
	else
		rbuf_copy(b, l->mac, (size_t)count * 6);
}

static bool control_mac(struct virtio_net *n, uint8_t command, struct rbuf *b)
{
	struct mac_list unicast = { 0 }, multicast = { 0 };
	uint8_t mac[6];

	if (command == VIRTIO_NET_CTRL_MAC_TABLE_SET && virtio_pci_has(&n->virtio, VIRTIO_NET_F_CTRL_RX)) {
		read_list(b, &unicast);
		read_list(b, &multicast);
		if (b->failed || rbuf_left(b))
			return false;
		n->unicast = unicast;
		n->multicast = multicast;
		return true;
	}
	if (command == VIRTIO_NET_CTRL_MAC_ADDR_SET && virtio_pci_has(&n->virtio, VIRTIO_NET_F_CTRL_MAC_ADDR)) {
		rbuf_copy(b, mac, sizeof mac);
		if (b->failed || rbuf_left(b))
			return false;
		memcpy(n->config, mac, sizeof mac);
		return true;
	}
	return false;
}

static bool control_vlan(struct virtio_net *n, uint8_t command, struct rbuf *b)
{
	uint16_t vid = rbuf_le16(b);

	if (b->failed || vid > 4095 || command > VIRTIO_NET_CTRL_VLAN_DEL || !virtio_pci_has(&n->virtio, VIRTIO_NET_F_CTRL_VLAN))
		return false;
	if (command == VIRTIO_NET_CTRL_VLAN_ADD)
		n->vlans[vid / 32] |= BIT(vid % 32);
	else
		n->vlans[vid / 32] &= ~BIT(vid % 32);
	return true;
}

void virtio_net_set_offloads(struct virtio_net *n, uint64_t on)
{
	static const struct { unsigned feature, flag; } map[] = {
		{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM }, { VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 }, { VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
		{ F_GUEST_USO4, TUN_F_USO4 }, { F_GUEST_USO6, TUN_F_USO6 },
	};
	unsigned flags = 0;

	n->guest_offloads = on;
	for (size_t i = 0; i < sizeof map / sizeof map[0]; i++)
		flags |= on & BIT64(map[i].feature) ? map[i].flag : 0;
	if (n->port)
		net_port_set_offload(n->port, flags);
}

/* Receive segmentation rests on the receive checksum, congestion marks on segmentation (virtio 1.2 §5.1.3.1). */
bool virtio_net_offloads_valid(uint64_t on)
{
	uint64_t tso = BIT64(VIRTIO_NET_F_GUEST_TSO4) | BIT64(VIRTIO_NET_F_GUEST_TSO6), uso = BIT64(F_GUEST_USO4) | BIT64(F_GUEST_USO6);

	if (on & (tso | uso) && !(on & BIT64(VIRTIO_NET_F_GUEST_CSUM)))
		return false;
	return !(on & BIT64(VIRTIO_NET_F_GUEST_ECN)) || on & tso;
}

static bool control_offloads(struct virtio_net *n, uint8_t command, struct rbuf *b)
{
	uint64_t on = rbuf_le64(b);

	if (b->failed || command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || on & ~(n->virtio.driver & GUEST_OFFLOADS) ||
	    !virtio_net_offloads_valid(on) || !virtio_pci_has(&n->virtio, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))
		return false;
	virtio_net_set_offloads(n, on);
	return true;
}

static bool control_mq(struct virtio_net *n, uint8_t command, struct rbuf *b)
{
	uint16_t pairs = rbuf_le16(b);

	if (b->failed || rbuf_left(b) || command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || !pairs || pairs > n->pairs_max ||
	    !virtio_pci_has(&n->virtio, VIRTIO_NET_F_MQ))
		return false;
	n->pairs = pairs;
	/* What waited for a queue that receives no more goes to another one. */
	if (n->starved)
		virtio_net_resume(n);
	return true;
}

static bool (*const controls[])(struct virtio_net *n, uint8_t command, struct rbuf *b) = {
	[VIRTIO_NET_CTRL_RX] = control_rx,
	[VIRTIO_NET_CTRL_MAC] = control_mac,
	[VIRTIO_NET_CTRL_VLAN] = control_vlan,
	[VIRTIO_NET_CTRL_MQ] = control_mq,
	[VIRTIO_NET_CTRL_GUEST_OFFLOADS] = control_offloads,
};

void virtio_net_control(struct virtio_net *n, struct virtio_chain *c)
{
	struct rbuf b = rbuf_of(n->command, virtio_chain_read(c, 0, n->command, sizeof n->command));
	uint8_t class = rbuf_u8(&b), command = rbuf_u8(&b), ack = VIRTIO_NET_ERR;

	if (!b.failed && c->read_len <= sizeof n->command && class < sizeof controls / sizeof controls[0] && controls[class] &&
	    controls[class](n, command, &b))
		ack = VIRTIO_NET_OK;
	else
		n->stats.ctrl_refused++;
	virtio_chain_write(c, 0, &ack, 1);
}
