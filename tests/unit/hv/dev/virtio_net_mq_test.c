/* SPDX-License-Identifier: Apache-2.0 */
/* Several queue pairs, and which of them a frame goes to. */
#include "hv/dev/virtio_net_priv.h"
#include "tests/unit/suite.h"
#include "tests/unit/hv/dev/virtio_driver.h"
#include "tests/unit/hv/dev/virtio_fakes.h"

#define W VRING_DESC_F_WRITE
#define F(name) BIT64(VIRTIO_NET_F_##name)
#define BASE (BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_EVENT_IDX) | F(MAC) | F(CTRL_VQ))
enum { HDR = 12, PAIRS = 4, QUEUES = 2 * PAIRS + 1, SIZE = 16, TXBUF = 0x40000, RXBUF = 0x50000, CMD = 0x3000, FRAME = 64 };

static const struct env_pci env = { .kind = ENV_PCI_VIRTIO_NET, .name = "net0", .vendor_id = 0x1af4, .device_id = 0x1041,
				    .mac = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 }, .queues = PAIRS };

static struct rig *rig;
static struct fake_wire *wire;
static struct virtio_net *net;
static struct driver d;
static struct vq q[QUEUES];
static uint8_t frame[NET_FRAME_MAX];
static const struct virtio_net_hdr_v1 plain;

static void begin(uint64_t features, unsigned queues)
{
	struct virtio_place place;

	rig = rig_new();
	wire = fake_wire_new();
	place = (struct virtio_place){ &env, &rig->clock, false };
	check_eq(virtio_net_create(&net, &place, &wire->p, NULL), 0);
	d = driver_open(rig, virtio_net_pci(net), 3);
	check(driver_negotiate(&d, features));
	for (unsigned i = 0; i < queues; i++) {
		vq_place(&q[i], rig, 0xa0000 + i * 0x8000, SIZE, true);
		vq_program(&d, &q[i], i);
	}
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	driver_msix(&d);
}

static void end(void)
{
	virtio_net_free(net);
	fake_wire_free(&wire->p);
	rig_free(rig);
}

/* A TCP segment from port a to port b of 192.0.2.1 and .2, or back. */
static void make(uint16_t a, uint16_t b, bool back)
{
	memset(frame, 0, FRAME);
	memcpy(frame + (back ? 0 : 6), env.mac, 6);
	frame[back ? 6 : 0] = 2;
	put_be16(frame + 12, 0x0800);
	frame[14] = 0x45;
	frame[23] = 6;
	put_be32(frame + 26, back ? 0xc0000202 : 0xc0000201);
	put_be32(frame + 30, back ? 0xc0000201 : 0xc0000202);
	put_be16(frame + 34, back ? b : a);
	put_be16(frame + 36, back ? a : b);
}

static bool deliver(void) { return wire->p.nic_ops->receive(wire->p.nic, &plain, frame, FRAME); }

static void give(unsigned pair)
{
	vq_add(&q[2 * pair], (struct buffer[]){ { RXBUF + pair * 0x1000, 2048, W } }, 1);
	vq_kick(&q[2 * pair]);
}

static bool got(unsigned pair)
{
	uint32_t id = 0, len = 0;

	return vq_take(&q[2 * pair], &id, &len);
}

static void send(unsigned pair)
{
	memcpy(rig->ram + TXBUF + HDR, frame, FRAME);
	memset(rig->ram + TXBUF, 0, HDR);
	vq_add(&q[2 * pair + 1], (struct buffer[]){ { TXBUF, HDR, 0 }, { TXBUF + HDR, FRAME, 0 } }, 2);
	vq_kick(&q[2 * pair + 1]);
}

static uint8_t command(unsigned queue, uint8_t cmd, const void *data, uint32_t len)
{
	rig->ram[CMD] = VIRTIO_NET_CTRL_MQ;
	rig->ram[CMD + 1] = cmd;
	memcpy(rig->ram + CMD + 2, data, len);
	rig->ram[0x2000] = 0xee;
	vq_add(&q[queue], (struct buffer[]){ { CMD, 2 + len, 0 }, { 0x2000, 1, W } }, 2);
	vq_kick(&q[queue]);
	return rig->ram[0x2000];
}

static uint8_t set_pairs(unsigned n)
{
	return command(2 * PAIRS, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, (uint8_t[]){ (uint8_t)n, (uint8_t)(n >> 8) }, 2);
}

static void device_shows_its_pairs(void)
{
	begin(BASE | F(MQ), QUEUES);
	check(driver_offered(&d) & F(MQ));
	check_eq(reg_read(&d, VIRTIO_DEVICE + 8, 2), PAIRS);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
	check_eq(cfg_read(&d, d.pci->msix.cap + 2u, 2) & 0x7ff, QUEUES);	/* one vector more than queues */
	check(!driver_negotiate(&d, (BASE | F(MQ)) & ~F(CTRL_VQ)));
	end();
}

static void driver_of_one_pair_finds_control_behind_it(void)
{
	begin(BASE, 3);
	give(0);
	make(1, 2, true);
	check(deliver());
	check(got(0));
	check_eq(command(2, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\2", 2), VIRTIO_NET_ERR);	/* answers, but not agreed */
	check_eq(net->pairs, 1);
	reg_write(&d, VIRTIO_NOTIFY + VIRTIO_NOTIFY_STEP * 2 * PAIRS, 2, 0);
	end();
}

static void impossible_pairs_are_refused(void)
{
	begin(BASE | F(MQ), QUEUES);
	check_eq(set_pairs(0), VIRTIO_NET_ERR);
	check_eq(set_pairs(PAIRS + 1), VIRTIO_NET_ERR);
	check_eq(set_pairs(0x8000), VIRTIO_NET_ERR);
	check_eq(command(2 * PAIRS, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\2", 1), VIRTIO_NET_ERR);
	check_eq(command(2 * PAIRS, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\2\0", 3), VIRTIO_NET_ERR);
	check_eq(command(2 * PAIRS, 1, "\2", 2), VIRTIO_NET_ERR);
	check_eq(virtio_net_stats(net)->ctrl_refused, 6);
	check_eq(net->pairs, 1);
	check_eq(set_pairs(PAIRS), VIRTIO_NET_OK);
	check_eq(net->pairs, PAIRS);
	end();
}

static void flow_comes_back_where_it_was_sent(void)
{
	begin(BASE | F(MQ), QUEUES);
	check_eq(set_pairs(PAIRS), VIRTIO_NET_OK);
	for (unsigned pair = 0; pair < PAIRS; pair++) {
		make(1000, 80, false);
		send(pair);
		check_eq(wire->sent, pair + 1);
		give(pair);
		make(1000, 80, true);
		check(deliver());
		check(got(pair));
		check_eq(rig->msi_data, 0x40 + 2 * pair + 1);
	}
	end();
}

static void flows_that_nobody_sent_spread(void)
{
	unsigned used = 0;

	begin(BASE | F(MQ), QUEUES);
	check_eq(set_pairs(PAIRS), VIRTIO_NET_OK);
	for (uint16_t port = 1; port < 200; port++) {
		unsigned pair;

		make(port, 80, true);
		pair = virtio_net_flow(frame, FRAME) % PAIRS;
		give(pair);
		check(deliver());
		check(got(pair));
		used |= BIT(pair);
	}
	check_eq(used, BIT(PAIRS) - 1);
	end();
}

static void waiting_frame_follows_when_pairs_go(void)
{
	begin(BASE | F(MQ), QUEUES);
	check_eq(set_pairs(PAIRS), VIRTIO_NET_OK);
	make(7, 8, false);
	send(3);
	make(7, 8, true);
	check(!deliver());
	wire->waiting = frame;
	wire->waiting_len = FRAME;
	give(0);
	check(wire->waiting != NULL);	/* another pair's buffer is no use */
	check_eq(set_pairs(1), VIRTIO_NET_OK);
	check(!wire->waiting);
	check(got(0));
	end();
}

static void full_pair_keeps_its_order_and_stops_no_other(void)
{
	begin(BASE | F(MQ), QUEUES);
	check_eq(set_pairs(PAIRS), VIRTIO_NET_OK);
	make(7, 8, false);
	send(3);
	make(9, 10, false);
	send(1);
	make(7, 8, true);
	check(!deliver());
	/* there is a buffer, but the driver has not said so: the one that waits comes first */
	vq_add(&q[6], (struct buffer[]){ { RXBUF + 0x3000, 2048, W } }, 1);
	check(!deliver());
	make(9, 10, true);
	give(1);
	check(deliver());
	check(got(1));
	make(7, 8, true);
	vq_kick(&q[6]);		/* the port is asked */
	check(deliver());
	check(got(3));
	check(!deliver());
	/* a new driver's first frames wait for nothing */
	check(driver_negotiate(&d, BASE | F(MQ)));
	for (unsigned i = 0; i < QUEUES; i++) {
		vq_place(&q[i], rig, 0xa0000 + i * 0x8000, SIZE, true);
		vq_program(&d, &q[i], i);
	}
	vq_add(&q[0], (struct buffer[]){ { RXBUF, 2048, W } }, 1);
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	driver_msix(&d);
	check(deliver());
	end();
}

static void round_is_short_however_long_its_frames_are(void)
{
	enum { BIG = 60000, MOST = NET_ROUND_BYTES / BIG + 1 };
	static const struct virtio_net_hdr_v1 none;

	begin(BASE, 3);
	memcpy(rig->ram + TXBUF, &none, HDR);
	for (unsigned i = 0; i < SIZE; i++)
		vq_add(&q[1], (struct buffer[]){ { TXBUF, HDR + BIG, 0 } }, 1);
	vq_kick(&q[1]);
	check_eq(wire->sent, MOST);
	rig_advance(rig, 1);
	check_eq(wire->sent, 2 * MOST);
	for (unsigned i = 0; i < SIZE; i++)
		rig_advance(rig, 1);
	check_eq(wire->sent, SIZE);
	end();
}

static void reset_leaves_one_pair(void)
{
	begin(BASE | F(MQ), QUEUES);
	check_eq(set_pairs(PAIRS), VIRTIO_NET_OK);
	make(7, 8, false);
	send(3);
	check(driver_negotiate(&d, BASE | F(MQ)));
	check_eq(net->pairs, 1);
	for (unsigned i = 0; i < FLOWS; i++)
		check_eq(net->flow[i], NO_PAIR);
	end();
}

static void datagrams_pass_whole(void)
{
	struct virtio_net_hdr_v1 h = { .flags = 1, .gso_type = 5, .gso_size = htole16(1000), .hdr_len = htole16(42),
				       .csum_start = htole16(34), .csum_offset = htole16(6) };

	begin(BASE | F(MQ) | F(CSUM) | F(GUEST_CSUM) | BIT64(F_GUEST_USO4) | BIT64(F_GUEST_USO6) | BIT64(F_HOST_USO), QUEUES);
	check_eq(wire->offload, 0x61);
	make(7, 8, false);
	memcpy(rig->ram + TXBUF, &h, HDR);
	vq_add(&q[1], (struct buffer[]){ { TXBUF, HDR + 9000, 0 } }, 1);
	vq_kick(&q[1]);
	check_eq(wire->len, 9000);
	check_eq(wire->hdr.gso_type, 5);
	vq_add(&q[0], (struct buffer[]){ { RXBUF, 0x4000, W } }, 1);
	check(wire->p.nic_ops->receive(wire->p.nic, &h, frame, 9000));
	check(got(0));
	check_eq(rig->ram[RXBUF + 1], 5);
	end();
	begin(BASE | F(MQ) | F(CSUM) | F(GUEST_CSUM), QUEUES);
	vq_add(&q[0], (struct buffer[]){ { RXBUF, 0x4000, W } }, 1);
	check(wire->p.nic_ops->receive(wire->p.nic, &h, frame, 9000));
	check_eq(virtio_net_stats(net)->rx_bad, 1);
	check(!driver_negotiate(&d, BASE | BIT64(F_HOST_USO)));
	check(!driver_negotiate(&d, BASE | BIT64(F_GUEST_USO4)));
	end();
}

static void flow_is_the_same_both_ways(void)
{
	uint8_t v6[60] = { [12] = 0x86, [13] = 0xdd, [20] = 17, [22 + 15] = 1, [38 + 15] = 2, [54] = 9, [57] = 7 };
	uint8_t back[60], tagged[70] = { [12] = 0x81 };

	begin(BASE, 3);
	make(7, 8, false);
	memcpy(tagged + 16, frame + 12, FRAME - 12);
	check_eq(virtio_net_flow(tagged, sizeof tagged), virtio_net_flow(frame, FRAME));
	memcpy(back, v6, sizeof v6);
	memcpy(back + 22, v6 + 38, 16);
	memcpy(back + 38, v6 + 22, 16);
	memcpy(back + 54, v6 + 56, 2);
	memcpy(back + 56, v6 + 54, 2);
	check_eq(virtio_net_flow(v6, sizeof v6), virtio_net_flow(back, sizeof back));
	for (size_t len = 0; len <= sizeof v6; len++)	/* cut anywhere */
		(void)virtio_net_flow(v6, len);
	end();
}

static const struct test tests[] = {
	{ "the device shows its pairs", device_shows_its_pairs },
	{ "a driver of one pair finds the control queue behind it", driver_of_one_pair_finds_control_behind_it },
	{ "impossible pairs are refused", impossible_pairs_are_refused },
	{ "a flow comes back where it was sent", flow_comes_back_where_it_was_sent },
	{ "flows that nobody sent spread", flows_that_nobody_sent_spread },
	{ "a waiting frame follows when pairs go", waiting_frame_follows_when_pairs_go },
	{ "a full pair keeps its order and stops no other", full_pair_keeps_its_order_and_stops_no_other },
	{ "a round is short however long its frames are", round_is_short_however_long_its_frames_are },
	{ "a reset leaves one pair", reset_leaves_one_pair },
	{ "datagrams pass whole", datagrams_pass_whole },
	{ "a flow is the same both ways", flow_is_the_same_both_ways },
	{ NULL, NULL },
};

const struct suite suite_hv_dev_virtio_net_mq = { tests };
