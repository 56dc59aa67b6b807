/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/if_tun.h>
#include "hv/dev/virtio_net.h"
#include "tests/unit/suite.h"
#include "tests/unit/hv/dev/virtio_driver.h"
#include "tests/unit/hv/dev/virtio_fakes.h"

#define W VRING_DESC_F_WRITE
#define F(name) BIT64(VIRTIO_NET_F_##name)
#define BASE \
	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_INDIRECT_DESC) | BIT64(VIRTIO_RING_F_EVENT_IDX) | F(MAC) | F(STATUS))
#define CTRL_ALL (F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_VLAN) | F(CTRL_RX_EXTRA) | F(CTRL_MAC_ADDR))
#define HOST (F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN))
#define GUEST (F(GUEST_CSUM) | F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_ECN) | F(CTRL_GUEST_OFFLOADS))
#define HDR 12u
#define TXBUF 0x40000u
#define RXBUF 0x50000u
#define CMD 0x3000u

static const struct env_pci env = { .kind = ENV_PCI_VIRTIO_NET, .name = "net0", .vendor_id = 0x1af4, .device_id = 0x1041,
				    .subsystem_vendor = 0x1af4, .subsystem_device = 0x1100, .revision = 1,
				    .mac = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 } };

static struct rig *rig;
static struct fake_wire *wire;
static struct virtio_net *net;
static struct driver d;
static struct vq rx, tx, ctrl;
static uint8_t frame[NET_FRAME_MAX + 1];
static const struct virtio_net_hdr_v1 plain;

static void begin(uint64_t features)
{
	struct virtio_place place;

	rig = rig_new();
	wire = fake_wire_new();
	place = (struct virtio_place){ &env, &rig->clock, false };
	check_eq(virtio_net_create(&net, &place, &wire->p, NULL), 0);
	d = driver_open(rig, virtio_net_pci(net), 3);
	memset(frame, 0, sizeof frame);
	memcpy(frame, env.mac, 6);
	for (unsigned i = 12; i < sizeof frame; i++)
		frame[i] = (uint8_t)(i * 7 + i / 256);
	if (!features)
		return;
	check(driver_negotiate(&d, features));
	vq_place(&rx, rig, 0x10000, 64, true);
	vq_place(&tx, rig, 0x18000, 64, true);
	vq_place(&ctrl, rig, 0x20000, 16, true);
	vq_program(&d, &rx, 0);
	vq_program(&d, &tx, 1);
	vq_program(&d, &ctrl, 2);
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	driver_msix(&d);
}

static void end(void)
{
	virtio_net_free(net);
	fake_wire_free(&wire->p);
	rig_free(rig);
}

static bool deliver(const struct virtio_net_hdr_v1 *h, size_t len)
{
	return wire->p.nic_ops->receive(wire->p.nic, h, frame, len);
}

static void give(unsigned n, uint32_t len)
{
	for (unsigned i = 0; i < n; i++)
		vq_add(&rx, (struct buffer[]){ { RXBUF + (rx.avail_idx % 64) * 0x1000, len, W } }, 1);
	vq_kick(&rx);
}

/* The next received buffer and its length; NULL when there is none. */
static const uint8_t *got(uint32_t *len)
{
	uint32_t id = 0;

	return vq_take(&rx, &id, len) ? rig->ram + le64toh(rx.desc[id].addr) : NULL;
}

static void send(const struct virtio_net_hdr_v1 *h, uint32_t len)
{
	uint32_t id = 0, used = 0;

	memcpy(rig->ram + TXBUF, h, HDR);
	memcpy(rig->ram + TXBUF + HDR, frame, len);
	vq_add(&tx, (struct buffer[]){ { TXBUF, HDR, 0 }, { TXBUF + HDR, len, 0 } }, 2);
	vq_kick(&tx);
	check(vq_take(&tx, &id, &used));
	check_eq(used, 0);
}

static uint8_t command(uint8_t class, uint8_t cmd, const void *data, uint32_t len)
{
	uint32_t id = 0, used = 0;
	uint8_t *p = rig->ram + CMD;

	p[0] = class;
	p[1] = cmd;
	memcpy(p + 2, data, len);
	rig->ram[0x2000] = 0xee;
	vq_add(&ctrl, (struct buffer[]){ { CMD, 2, 0 }, { CMD + 2, len, 0 }, { 0x2000, 1, W } }, 3);
	vq_kick(&ctrl);
	check(vq_take(&ctrl, &id, &used));
	check_eq(used, 1);
	return rig->ram[0x2000];
}

static void config_has_mac_and_link(void)
{
	uint8_t generation;

	begin(BASE);
	check_eq(reg_read(&d, VIRTIO_DEVICE, 4), 0x12005452);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 4, 2), 0x5634);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 6, 2), VIRTIO_NET_S_LINK_UP);
	check_eq(cfg_read(&d, PCI_VENDOR_ID, 4), 0x10411af4);
	check_eq(cfg_read(&d, PCI_REVISION, 4), 0x02000001);
	check_eq(cfg_read(&d, d.pci->msix.cap + 2u, 2) & 0x7ff, 3);	/* four vectors */
	reg_write(&d, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	generation = (uint8_t)reg_read(&d, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	wire->p.nic_ops->carrier(wire->p.nic, false);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 6, 2), 0);
	check_eq(rig->msi_data, 0x40);
	check(reg_read(&d, VIRTIO_PCI_COMMON_CFGGENERATION, 1) != generation);
	wire->p.nic_ops->carrier(wire->p.nic, false);
	check_eq(rig->msis, 1);
	reg_write(&d, VIRTIO_DEVICE, 1, 0);	/* the address cannot be written here */
	check_eq(reg_read(&d, VIRTIO_DEVICE, 1), 0x52);
	end();
}

static void features_that_need_others_are_refused_without(void)
{
	begin(0);
	check(driver_negotiate(&d, BASE | HOST | GUEST | CTRL_ALL | F(MRG_RXBUF)));
	check(driver_negotiate(&d, driver_offered(&d)));
	check(!driver_negotiate(&d, BASE | F(HOST_TSO4)));
	check(!driver_negotiate(&d, BASE | F(CSUM) | F(HOST_ECN)));
	check(!driver_negotiate(&d, BASE | F(GUEST_TSO6)));
	check(!driver_negotiate(&d, BASE | F(GUEST_CSUM) | F(GUEST_ECN)));
	check(!driver_negotiate(&d, BASE | F(CTRL_RX)));
	check(!driver_negotiate(&d, BASE | F(MQ)));
	end();
}

static void frame_is_received(void)
{
	uint32_t len = 0;
	const uint8_t *p;

	begin(BASE);
	give(4, 2048);
	check(deliver(&plain, 60));
	p = got(&len);
	check_or_return(p != NULL);
	check_eq(len, HDR + 60);
	check_eq(get_le16(p + 10), 1);	/* num_buffers */
	check(!memcmp(p + HDR, frame, 60));
	check_eq(rig->msi_data, 0x41);
	check_eq(rig->msis, 1);
	check(!got(&len));
	end();
}

static void large_frame_spreads_over_merged_buffers(void)
{
	struct virtio_net_hdr_v1 h = { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = htole16(1448), .hdr_len = htole16(66),
				       .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = htole16(34), .csum_offset = htole16(16) };
	uint32_t len = 0, off = 0;
	const uint8_t *p;

	begin(BASE | GUEST | F(CTRL_VQ) | F(MRG_RXBUF));
	check_eq(wire->offload, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN);
	give(20, 0x1000);
	check(deliver(&h, 65000));
	for (unsigned i = 0; i < 16; i++) {
		unsigned skip = i ? 0 : HDR;

		p = got(&len);
		check_or_return(p != NULL);
		if (!i) {
			check_eq(get_le16(p + 10), 16);
			check(!memcmp(p, &h, 10));
		}
		check_eq(len, i < 15 ? 0x1000 : 65012 - 15 * 0x1000);
		check(!memcmp(p + skip, frame + off, len - skip));
		off += len - skip;
	}
	check_eq(off, 65000);
	check(!got(&len));
	check_eq(rig->msis, 1);
	end();
}

static void frame_waits_for_buffers(void)
{
	uint32_t len = 0;

	begin(BASE | F(MRG_RXBUF));
	check_eq(wire->resumed, 1);	/* the port may hold a frame from before the driver came */
	check(!deliver(&plain, 5000));
	wire->waiting = frame;
	wire->waiting_len = 5000;
	give(1, 0x1000);	/* not enough: one buffer of two */
	check_eq(wire->resumed, 2);
	check(!got(&len));
	check(wire->waiting != NULL);
	give(1, 0x1000);
	check_eq(wire->resumed, 3);
	check(!wire->waiting);
	check(got(&len) != NULL);
	check_eq(len, 0x1000);
	check(got(&len) != NULL);
	check_eq(len, 5012 - 0x1000);
	check_eq(rig->msis, 1);
	give(1, 0x1000);
	check_eq(wire->resumed, 3);	/* nobody waits */
	check_eq(virtio_net_stats(net)->rx_waits, 2);
	end();
}

static void receive_notifications_are_only_for_the_hungry(void)
{
	unsigned kicks;

	begin(BASE);
	give(4, 2048);
	kicks = rx.kicks;
	for (unsigned i = 0; i < 3; i++) {
		check(deliver(&plain, 60));
		give(1, 2048);
	}
	check_eq(rx.kicks, kicks);
	for (unsigned i = 0; i < 4; i++)
		check(deliver(&plain, 60));
	check(!deliver(&plain, 60));
	give(1, 2048);
	check_eq(rx.kicks, kicks + 1);
	end();
}

static void frame_larger_than_the_buffers_is_dropped(void)
{
	uint32_t len = 0;

	begin(BASE);
	give(2, 512);
	check(deliver(&plain, 1000));	/* no merging: it will never fit */
	check_eq(virtio_net_stats(net)->rx_too_big, 1);
	check(deliver(&plain, 500));
	check(got(&len) != NULL);
	check_eq(len, 512);
	end();
	begin(BASE | F(MRG_RXBUF));
	give(63, 64);
	check(!deliver(&plain, 64 * 64));	/* one more buffer could come */
	give(1, 64);
	check(deliver(&plain, 64 * 64));	/* the ring is full, and it does not fit */
	check_eq(virtio_net_stats(net)->rx_too_big, 1);
	check(deliver(&plain, 63 * 64));
	end();
}

static void bad_frames_of_the_wire_are_dropped(void)
{
	struct virtio_net_hdr_v1 h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };
	uint32_t len = 0;

	begin(BASE);
	give(4, 2048);
	check(deliver(&plain, 13));
	check(deliver(&h, 60));		/* a checksum to complete, which the driver did not agree to */
	h = (struct virtio_net_hdr_v1){ .gso_type = VIRTIO_NET_HDR_GSO_TCPV6 };
	check(deliver(&h, 60));
	h.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	check(deliver(&h, 60));
	check(deliver(&plain, NET_FRAME_MAX + 1));
	check_eq(virtio_net_stats(net)->rx_bad, 5);
	check(!got(&len));
	end();
}

static void frames_without_a_driver_are_dropped(void)
{
	begin(0);
	check(deliver(&plain, 60));
	check_eq(virtio_net_stats(net)->rx_no_driver, 1);
	end();
}

static void receive_buffer_below_a_header_breaks_the_device(void)
{
	begin(BASE);
	give(1, 11);
	check(deliver(&plain, 60));
	check_eq(status_of(&d) & VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_CONFIG_S_NEEDS_RESET);
	end();
}

static void frame_is_sent(void)
{
	begin(BASE);
	send(&plain, 1514);
	check_eq(wire->sent, 1);
	check_eq(wire->len, 1514);
	check_eq(wire->segments, 1);
	check(!memcmp(wire->frame, frame, 1514));
	/* header and frame in one buffer, and in many */
	memcpy(rig->ram + TXBUF + HDR, frame, 100);
	vq_add(&tx, (struct buffer[]){ { TXBUF, HDR + 100, 0 } }, 1);
	vq_add(&tx, (struct buffer[]){ { TXBUF, 5, 0 }, { TXBUF + 5, 20, 0 }, { TXBUF + 25, HDR + 75, 0 } }, 3);
	vq_kick(&tx);
	check_eq(wire->sent, 3);
	check_eq(wire->len, 100);
	check_eq(wire->segments, 2);
	check(!memcmp(wire->frame, frame, 100));
	end();
}

static void super_frame_passes_whole(void)
{
	struct virtio_net_hdr_v1 h = { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, .gso_size = htole16(1448),
				       .hdr_len = htole16(66), .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = htole16(34),
				       .csum_offset = htole16(16), .num_buffers = 0xbad };

	begin(BASE | HOST);
	send(&h, 64000);
	check_eq(wire->sent, 1);
	check_eq(wire->len, 64000);
	h.num_buffers = 0;
	check(!memcmp(&wire->hdr, &h, sizeof h));
	end();
}

static void impossible_transmit_headers_are_dropped(void)
{
	static const struct virtio_net_hdr_v1 bad[] = {
		{ .flags = 1, .csum_start = 58, .csum_offset = 1 },			/* past the frame */
		{ .flags = 1, .csum_start = 0xffff, .csum_offset = 0xffff },
		{ .flags = 1, .gso_type = 1, .csum_start = 34, .csum_offset = 16 },	/* segment size 0 */
		{ .flags = 0, .gso_type = 1, .gso_size = 100 },				/* segmentation without checksum */
		{ .flags = 1, .gso_type = 3, .gso_size = 100, .csum_start = 34, .csum_offset = 16 },	/* UDP: not offered */
		{ .flags = 1, .gso_type = 7, .gso_size = 100, .csum_start = 34, .csum_offset = 16 },
		{ .flags = 1, .gso_type = 0x80, .gso_size = 100, .csum_start = 34, .csum_offset = 16 },
		{ .flags = 1, .gso_type = 1, .gso_size = 100, .hdr_len = 61, .csum_start = 34, .csum_offset = 16 },
	};

	begin(BASE | HOST);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		send(&bad[i], 60);
		check_eq(virtio_net_stats(net)->tx_bad, i + 1);
	}
	send(&plain, 13);
	vq_add(&tx, (struct buffer[]){ { TXBUF, 11, 0 } }, 1);
	vq_add(&tx, (struct buffer[]){ { TXBUF, 64, W } }, 1);
	vq_add(&tx, (struct buffer[]){ { TXBUF, HDR + NET_FRAME_MAX + 1, 0 } }, 1);
	vq_kick(&tx);
	check_eq(virtio_net_stats(net)->tx_bad, 12);
	check_eq(wire->sent, 0);
	check_eq(le16toh(tx.used[1]), 12);	/* and the buffers come back */
	end();
	begin(BASE);
	send(&(struct virtio_net_hdr_v1){ .flags = 1, .csum_start = 34, .csum_offset = 16 }, 60);	/* not negotiated */
	check_eq(virtio_net_stats(net)->tx_bad, 1);
	end();
}

static void transmit_batch_is_one_interrupt(void)
{
	begin(BASE);
	for (unsigned i = 0; i < 20; i++)
		vq_add(&tx, (struct buffer[]){ { TXBUF, HDR + 60, 0 } }, 1);
	vq_kick(&tx);
	check_eq(wire->sent, 20);
	check_eq(rig->msis, 1);
	check_eq(rig->msi_data, 0x42);
	end();
}

/* A guest that adds a frame for each one taken. */
static void refill(struct net_port *p, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned count)
{
	vq_add(&tx, (struct buffer[]){ { TXBUF, HDR + 60, 0 } }, 1);
	fake_wire_send(p, hdr, iov, count);
}

static void endless_transmit_is_taken_in_rounds(void)
{
	static const struct net_port_ops ops = { "refill", refill, fake_wire_resume, fake_wire_offload, fake_wire_free };

	begin(BASE);
	wire->p.ops = &ops;
	vq_add(&tx, (struct buffer[]){ { TXBUF, HDR + 60, 0 } }, 1);
	vq_kick(&tx);
	check_eq(wire->sent, 256);
	check_eq(rig_advance(rig, 0), 1);	/* the clock comes back to the rest */
	check_eq(wire->sent, 512);
	wire->p.ops = &fake_wire_ops;
	check_eq(rig_advance(rig, 0), 1);
	check_eq(wire->sent, 513);
	check_eq(rig_advance(rig, 0), 0);
	end();
}

static void wire_may_answer_inside_send(void)
{
	uint32_t len = 0;
	const uint8_t *p;

	begin(BASE);
	give(4, 2048);
	wire->loop = true;
	send(&plain, 600);
	p = got(&len);
	check_or_return(p != NULL);
	check_eq(len, HDR + 600);
	check(!memcmp(p + HDR, frame, 600));
	end();
}

static bool passes(const uint8_t *mac)
{
	uint64_t before = virtio_net_stats(net)->rx_filtered;

	memcpy(frame, mac, 6);
	give(1, 2048);
	check(deliver(&plain, 64));
	return virtio_net_stats(net)->rx_filtered == before;
}

static uint8_t rx_mode(uint8_t cmd, uint8_t on) { return command(VIRTIO_NET_CTRL_RX, cmd, &on, 1); }

static void receive_modes_filter(void)
{
	static const uint8_t other[6] = { 0x52, 0x54, 0, 1, 2, 3 }, group[6] = { 1, 0, 0x5e, 0, 0, 1 },
			     all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	begin(BASE | CTRL_ALL);
	check(passes(other));	/* promiscuous until told otherwise */
	check_eq(rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK);
	put_be16(frame + 12, 0x0800);
	check(!passes(other));
	check(!passes(group));
	check(passes(all));
	check(passes(env.mac));
	check_eq(rx_mode(VIRTIO_NET_CTRL_RX_ALLMULTI, 1), VIRTIO_NET_OK);
	check(passes(group));
	check_eq(rx_mode(VIRTIO_NET_CTRL_RX_NOMULTI, 1), VIRTIO_NET_OK);
	check(!passes(group));
	check_eq(rx_mode(VIRTIO_NET_CTRL_RX_ALLUNI, 1), VIRTIO_NET_OK);
	check(passes(other));
	check_eq(rx_mode(VIRTIO_NET_CTRL_RX_NOUNI, 1), VIRTIO_NET_OK);
	check(!passes(env.mac));
	check_eq(rx_mode(VIRTIO_NET_CTRL_RX_NOBCAST, 1), VIRTIO_NET_OK);
	check(!passes(all));
	check_eq(rx_mode(6, 1), VIRTIO_NET_ERR);
	end();
	begin(BASE | F(CTRL_VQ) | F(CTRL_RX));
	check_eq(rx_mode(VIRTIO_NET_CTRL_RX_NOBCAST, 1), VIRTIO_NET_ERR);	/* not negotiated */
	check_eq(virtio_net_stats(net)->ctrl_refused, 1);
	end();
}

static void mac_tables_and_address(void)
{
	static const uint8_t other[6] = { 0x52, 0x54, 0, 1, 2, 3 }, group[6] = { 1, 0, 0x5e, 0, 0, 1 };
	uint8_t table[4 + 6 + 4 + 6] = { 1 }, big[4 + 6 * 65 + 4] = { 65 };

	begin(BASE | CTRL_ALL);
	check_eq(rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK);
	put_be16(frame + 12, 0x0800);
	memcpy(table + 4, other, 6);
	table[10] = 1;
	memcpy(table + 14, group, 6);
	check_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, sizeof table), VIRTIO_NET_OK);
	check(passes(other));
	check(passes(group));
	table[10] = 2;	/* says more than there is: the old table stays */
	check_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, sizeof table), VIRTIO_NET_ERR);
	put_le32(table + 10, 0xffffffff);
	check_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, sizeof table), VIRTIO_NET_ERR);
	check(passes(other));
	check_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, big, sizeof big), VIRTIO_NET_OK);
	check(passes(other));	/* too many to keep: all unicast */
	check(!passes(group));
	check_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6), VIRTIO_NET_OK);
	check_eq(reg_read(&d, VIRTIO_DEVICE, 4), 0x01005452);
	check_eq(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 5), VIRTIO_NET_ERR);
	check_eq(command(VIRTIO_NET_CTRL_MAC, 2, other, 6), VIRTIO_NET_ERR);
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	check_eq(reg_read(&d, VIRTIO_DEVICE, 4), 0x12005452);	/* the environment's again */
	end();
}

static void vlans_filter(void)
{
	uint8_t vid[2] = { 100, 0 };

	begin(BASE | CTRL_ALL);
	check_eq(rx_mode(VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK);
	put_be16(frame + 12, 0x8100);
	put_be16(frame + 14, 0x6000 | 100);
	check(!passes(env.mac));
	check_eq(command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, vid, 2), VIRTIO_NET_OK);
	check(passes(env.mac));
	check_eq(command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, vid, 2), VIRTIO_NET_OK);
	check(!passes(env.mac));
	vid[1] = 0x10;
	check_eq(command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, vid, 2), VIRTIO_NET_ERR);
	check_eq(command(VIRTIO_NET_CTRL_VLAN, 2, "\1", 2), VIRTIO_NET_ERR);
	check_eq(command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, vid, 1), VIRTIO_NET_ERR);
	end();
}

static void guest_offloads_can_be_switched(void)
{
	uint8_t on[8];

	begin(BASE | GUEST | F(CTRL_VQ));
	put_le64(on, F(GUEST_CSUM));
	check_eq(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, on, 8), VIRTIO_NET_OK);
	check_eq(wire->offload, TUN_F_CSUM);
	put_le64(on, F(GUEST_TSO4));
	check_eq(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, on, 8), VIRTIO_NET_ERR);
	put_le64(on, F(GUEST_CSUM) | F(GUEST_UFO));
	check_eq(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, on, 8), VIRTIO_NET_ERR);
	check_eq(wire->offload, TUN_F_CSUM);
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	check_eq(wire->offload, 0);
	end();
}

static void unknown_commands_are_refused(void)
{
	begin(BASE | CTRL_ALL);
	check_eq(command(3, 0, "", 1), VIRTIO_NET_ERR);
	check_eq(command(4, 0, "\1", 2), VIRTIO_NET_ERR);
	check_eq(command(255, 0, "", 1), VIRTIO_NET_ERR);
	rig->ram[0x2000] = 0xee;
	vq_add(&ctrl, (struct buffer[]){ { CMD, 1, 0 }, { 0x2000, 1, W } }, 2);
	vq_add(&ctrl, (struct buffer[]){ { CMD, 8000, 0 }, { 0x2001, 1, W } }, 2);
	vq_add(&ctrl, (struct buffer[]){ { CMD, 3, 0 } }, 1);	/* nowhere to answer */
	vq_kick(&ctrl);
	check_eq(rig->ram[0x2000], VIRTIO_NET_ERR);
	check_eq(rig->ram[0x2001], VIRTIO_NET_ERR);
	check_eq(le16toh(ctrl.used[1]), 6);
	end();
}

static void queue_reset_stops_one_direction(void)
{
	uint32_t len = 0;

	begin(BASE | BIT64(VIRTIO_F_RING_RESET) | CTRL_ALL);
	give(1, 2048);
	check(deliver(&plain, 60));
	check(!deliver(&plain, 70));	/* no buffer: it waits at the port */
	wire->waiting = frame;
	wire->waiting_len = 70;
	queue_reset_begin(&d, 0);
	check(!queue_resetting(&d));
	check(deliver(&plain, 80));	/* nobody to give it to */
	check_eq(virtio_net_stats(net)->rx_no_driver, 1);
	send(&plain, 60);
	check_eq(wire->sent, 1);
	check_eq(command(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "\1", 1), VIRTIO_NET_OK);
	vq_place(&rx, rig, 0x28000, 16, true);
	vq_program(&d, &rx, 0);
	check(wire->waiting != NULL);
	give(1, 2048);
	check(!wire->waiting);
	check(got(&len) != NULL);
	check_eq(len, HDR + 70);
	check(!got(&len));
	queue_reset_begin(&d, 1);
	vq_place(&tx, rig, 0x18000, 8, true);
	vq_program(&d, &tx, 1);
	send(&plain, 60);
	check_eq(wire->sent, 2);
	end();
}

static void two_instances_do_not_mix(void)
{
	struct fake_wire *wire2 = fake_wire_new();
	struct env_pci env2 = env;
	struct virtio_net *net2;
	struct virtio_place place;
	struct driver d2;

	begin(BASE);
	env2.mac[5] = 0x57;
	place = (struct virtio_place){ &env2, &rig->clock, false };
	check_eq(virtio_net_create(&net2, &place, &wire2->p, NULL), 0);
	d2 = driver_open(rig, virtio_net_pci(net2), 4);
	check_eq(reg_read(&d2, VIRTIO_DEVICE + 5, 1), 0x57);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 5, 1), 0x56);
	send(&plain, 60);
	check_eq(wire->sent, 1);
	check_eq(wire2->sent, 0);
	virtio_net_free(net2);
	virtio_net_free(NULL);
	check(!wire2->p.nic_ops);	/* the wire has nobody to call */
	check(wire->p.nic_ops != NULL);
	fake_wire_free(&wire2->p);
	end();
}

static const struct test tests[] = {
	{ "the config has MAC and link", config_has_mac_and_link },
	{ "features that need others are refused without", features_that_need_others_are_refused_without },
	{ "a frame is received", frame_is_received },
	{ "a large frame spreads over merged buffers", large_frame_spreads_over_merged_buffers },
	{ "a frame waits for buffers", frame_waits_for_buffers },
	{ "receive notifications are only for the hungry", receive_notifications_are_only_for_the_hungry },
	{ "a frame larger than the buffers is dropped", frame_larger_than_the_buffers_is_dropped },
	{ "bad frames of the wire are dropped", bad_frames_of_the_wire_are_dropped },
	{ "frames without a driver are dropped", frames_without_a_driver_are_dropped },
	{ "a receive buffer below a header breaks the device", receive_buffer_below_a_header_breaks_the_device },
	{ "a frame is sent", frame_is_sent },
	{ "a super-frame passes whole", super_frame_passes_whole },
	{ "impossible transmit headers are dropped", impossible_transmit_headers_are_dropped },
	{ "a transmit batch is one interrupt", transmit_batch_is_one_interrupt },
	{ "an endless transmit is taken in rounds", endless_transmit_is_taken_in_rounds },
	{ "the wire may answer inside send", wire_may_answer_inside_send },
	{ "receive modes filter", receive_modes_filter },
	{ "MAC tables and address are set", mac_tables_and_address },
	{ "VLANs filter", vlans_filter },
	{ "guest offloads can be switched", guest_offloads_can_be_switched },
	{ "unknown commands are refused", unknown_commands_are_refused },
	{ "a queue reset stops one direction", queue_reset_stops_one_direction },
	{ "two instances do not mix", two_instances_do_not_mix },
	{ NULL, NULL },
};

const struct suite suite_hv_dev_virtio_net = { tests };
