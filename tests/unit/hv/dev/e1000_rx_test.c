/* SPDX-License-Identifier: Apache-2.0 */
/* Receive rings and filters of the 82540EM as a driver uses and abuses them. */
#include "tests/unit/hv/dev/e1000_rig.h"
#include "tests/unit/suite.h"

enum { DD = 1, END = 2, IXSM = 4, VP = 8, TCPCS = 0x20, IPCS = 0x40, PIF = 0x80, TCPE = 0x20, IPE = 0x40 };
enum { UPE = 1 << 3, MPE = 1 << 4, LPE = 1 << 5, BAM = 1 << 15, BSIZE_256 = 3 << 16, BSIZE_1024 = 1 << 16, VFE = 1 << 18,
	CFIEN = 1 << 19, BSEX = 1 << 25, SECRC = 1 << 26 };

static uint8_t frame[NET_FRAME_MAX];

static void a_frame_lands_in_the_next_buffer(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(frame, false, true, 1000);
	uint8_t *d = rig_rx_desc(r, 0);

	check(rig_give(r, frame, len));
	check(!memcmp(r->ram + RIG_RX_BUF, frame, len));
	check_eq(get_le16(d + 8), len);
	check_eq(d[12], DD | END | IXSM);
	check_eq(d[13], 0);
	check_eq(rig_get(r, RDH), 1);
	check_eq(r->line, 1);
	check_eq(rig_get(r, ICR), RXT0);
	rig_free(r);
}

static void the_fcs_counts_unless_stripped_and_short_frames_are_padded(void)
{
	struct rig *r = rig_start();

	frames_make(frame, false, true, 0);
	memset(r->ram + RIG_RX_BUF, 0xee, 100);
	check(rig_give(r, frame, 20));
	check_eq(get_le16(rig_rx_desc(r, 0) + 8), 60);
	check_eq(r->ram[RIG_RX_BUF + 20], 0);
	check_eq(r->ram[RIG_RX_BUF + 59], 0);
	check_eq(r->ram[RIG_RX_BUF + 60], 0xee);
	rig_set(r, RCTL, 2 | BAM);
	check(rig_give(r, frame, 20));
	check_eq(get_le16(rig_rx_desc(r, 1) + 8), 64);
	rig_free(r);
}

static bool passes(struct rig *r, const char *to)
{
	uint32_t head = rig_get(r, RDH);
	bool passed;

	memcpy(frame, to, 6);
	check(rig_give(r, frame, 100));
	passed = rig_get(r, RDH) != head;
	rig_refill(r);
	return passed;
}

static void addresses_are_filtered(void)
{
	struct rig *r = rig_start();

	frames_make(frame, false, true, 100);
	check(passes(r, "\x52\x54\x00\x00\x00\x01"));
	check(!passes(r, "\x52\x54\x00\x00\x00\x03"));
	check(passes(r, "\xff\xff\xff\xff\xff\xff"));
	check(!passes(r, "\x01\x00\x5e\x00\x00\x01"));
	check_eq(e1000_faults(r->nic)->rx_filtered, 2);
	check_eq(rig_get(r, TPR), 4);
	check_eq(rig_get(r, GPRC), 2);
	rig_set(r, RCTL, 2 | UPE);
	check(passes(r, "\x52\x54\x00\x00\x00\x03"));
	check(!passes(r, "\xff\xff\xff\xff\xff\xff"));
	check(!passes(r, "\x01\x00\x5e\x00\x00\x01"));
	rig_set(r, RCTL, 2 | MPE);
	check(!passes(r, "\x52\x54\x00\x00\x00\x03"));
	check(passes(r, "\xff\xff\xff\xff\xff\xff"));
	check(passes(r, "\x01\x00\x5e\x00\x00\x01"));
	rig_set(r, RCTL, 2);
	rig_set(r, RAL + 15 * 8, 0x00005452);
	rig_set(r, RAH + 15 * 8, 0x0300);
	check(!passes(r, "\x52\x54\x00\x00\x00\x03"));	/* not valid */
	rig_set(r, RAH + 15 * 8, 0x80000300);
	check(passes(r, "\x52\x54\x00\x00\x00\x03"));
	rig_set(r, RAH, 0x0100);
	check(!passes(r, "\x52\x54\x00\x00\x00\x01"));
	rig_free(r);
}

static void multicast_hashes_use_the_chosen_bits(void)
{
	static const unsigned shift[] = { 4, 3, 2, 0 };
	struct rig *r = rig_start();

	frames_make(frame, false, true, 100);
	for (unsigned mo = 0; mo < 4; mo++) {
		unsigned hash = 0xfb34u >> shift[mo] & 0xfff;

		rig_set(r, RCTL, 2 | mo << 12);
		check(!passes(r, "\x01\x00\x5e\x00\x34\xfb"));
		rig_set(r, MTA + hash / 32 * 4, 1u << hash % 32);
		check(passes(r, "\x01\x00\x5e\x00\x34\xfb"));
		rig_set(r, MTA + hash / 32 * 4, ~(1u << hash % 32));
		check(!passes(r, "\x01\x00\x5e\x00\x34\xfb"));
		rig_set(r, MTA + hash / 32 * 4, 0);
	}
	rig_free(r);
}

static void a_hash_match_is_marked_inexact(void)
{
	struct rig *r = rig_start();

	frames_make(frame, false, true, 100);
	memcpy(frame, "\x01\x00\x5e\x00\x00\x00", 6);
	rig_set(r, MTA, 1);
	check(rig_give(r, frame, 100));
	check_eq(rig_rx_desc(r, 0)[12] & PIF, PIF);
	rig_free(r);
}

static size_t tag(size_t len, unsigned tci)
{
	memmove(frame + 16, frame + 12, len - 12);
	put_be16(frame + 12, 0x8100);
	put_be16(frame + 14, (uint16_t)tci);
	return len + 4;
}

static void tags_are_stripped_in_vlan_mode(void)
{
	struct rig *r = rig_start();
	size_t len = tag(frames_make(frame, false, true, 100), 0x2064);
	uint8_t plain[200];

	frames_make(plain, false, true, 100);
	check(rig_give(r, frame, len));
	check_eq(get_le16(rig_rx_desc(r, 0) + 8), len);
	check_eq(rig_rx_desc(r, 0)[12] & VP, 0);
	rig_set(r, CTRL, rig_get(r, CTRL) | 1u << 30);
	rig_set(r, RXCSUM, 0x300);
	check(rig_give(r, frame, len));
	check_eq(get_le16(rig_rx_desc(r, 1) + 8), len - 4);
	check_eq(rig_rx_desc(r, 1)[12], DD | END | VP | IPCS | TCPCS);
	check_eq(rig_rx_desc(r, 1)[13], 0);
	check_eq(get_le16(rig_rx_desc(r, 1) + 14), 0x2064);
	check(!memcmp(r->ram + RIG_RX_BUF + RIG_RX_STRIDE, plain, len - 4));
	check(rig_give(r, plain, len - 4));
	check_eq(rig_rx_desc(r, 2)[12] & VP, 0);
	rig_free(r);
}

static void vlans_are_filtered(void)
{
	struct rig *r = rig_start();
	size_t len = tag(frames_make(frame, false, true, 100), 0x1064);

	rig_set(r, RCTL, 2 | VFE);
	check(rig_give(r, frame, len));
	check_eq(rig_get(r, RDH), 0);
	rig_set(r, VFTA + 3 * 4, 1 << 4);	/* 0x64 = 3 * 32 + 4 */
	check(rig_give(r, frame, len));
	check_eq(rig_get(r, RDH), 1);
	rig_set(r, RCTL, 2 | VFE | CFIEN);	/* CFI must be 0, is 1 */
	check(rig_give(r, frame, len));
	check_eq(rig_get(r, RDH), 1);
	len = frames_make(frame, false, true, 100);
	check(rig_give(r, frame, len));		/* untagged ones pass */
	check_eq(rig_get(r, RDH), 2);
	rig_free(r);
}

static void checksums_are_verified(void)
{
	struct rig *r = rig_start();
	unsigned n = 0;

	rig_set(r, RXCSUM, 0x700);
	for (unsigned kind = 0; kind < 4; kind++) {
		bool v6 = kind & 1, tcp = kind & 2;
		size_t len = frames_make(frame, v6, tcp, 101);

		check(rig_give(r, frame, len));
		check_eq(rig_rx_desc(r, n)[12], DD | END | TCPCS | (v6 ? 0 : IPCS));
		check_eq(rig_rx_desc(r, n++)[13], 0);
		frame[len - 1] ^= 1;
		check(rig_give(r, frame, len));
		check_eq(rig_rx_desc(r, n)[12] & TCPCS, TCPCS);
		check_eq(rig_rx_desc(r, n++)[13], TCPE);
		rig_refill(r);
	}
	n = 0;
	frames_make(frame, false, true, 100);
	frame[24] ^= 1;
	check(rig_give(r, frame, 154));
	check_eq(rig_rx_desc(r, n)[12], DD | END | IPCS);
	check_eq(rig_rx_desc(r, n++)[13], IPE);
	frames_make(frame, false, false, 100);
	put_be16(frame + 40, 0);		/* UDP without a checksum */
	check(rig_give(r, frame, 142));
	check_eq(rig_rx_desc(r, n++)[12], DD | END | IPCS);
	put_be16(frame + 12, 0x88b5);		/* not IP */
	check(rig_give(r, frame, 142));
	check_eq(rig_rx_desc(r, n++)[12], DD | END | IXSM);
	rig_free(r);
}

static void a_partial_checksum_is_completed_before_delivery(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(frame, false, true, 500);
	struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16 };

	rig_set(r, RXCSUM, 0x300);
	frames_make_partial(frame, false, true, len);
	check(fake_port_give(&r->port, &hdr, frame, len));
	check(frames_valid(r->ram + RIG_RX_BUF, false, true, len));
	check_eq(rig_rx_desc(r, 0)[12], DD | END | IPCS | TCPCS);
	check_eq(rig_rx_desc(r, 0)[13], 0);
	rig_free(r);
}

static const struct virtio_net_hdr_v1 gso = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					      .gso_size = 1000, .csum_start = 34, .csum_offset = 16 };

static void a_super_frame_is_segmented(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(frame, false, true, 4500);

	frames_make_partial(frame, false, true, len);
	check(fake_port_give(&r->port, &gso, frame, len));
	check_eq(rig_get(r, RDH), 5);
	for (unsigned i = 0; i < 5; i++) {
		check_eq(get_le16(rig_rx_desc(r, i) + 8), i < 4 ? 1054 : 554);
		check(frames_valid(r->ram + RIG_RX_BUF + i * RIG_RX_STRIDE, false, true, i < 4 ? 1054 : 554));
	}
	check_eq(r->edges, 1);
	check_eq(rig_get(r, GPRC), 5);
	/* Two descriptors are left and five needed: it waits whole, and comes when there is room. */
	check(!fake_port_give(&r->port, &gso, frame, len));
	check_eq(rig_get(r, RDH), 5);
	rig_refill(r);
	check_eq(r->port.resumed, 1);
	check_eq(rig_get(r, RDH), 2);
	rig_free(r);
}

static void a_super_frame_beyond_the_ring_is_cut_not_stuck(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(frame, false, true, 20000);

	frames_make_partial(frame, false, true, len);
	check(fake_port_give(&r->port, &gso, frame, len));
	check_eq(rig_get(r, RDH), 7);
	check_eq(rig_get(r, MPC), 1);
	check_eq(e1000_faults(r->nic)->rx_missed, 1);
	rig_free(r);
}

static void frames_larger_than_a_buffer_use_several(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(frame, false, true, 1446);

	rig_set(r, RCTL, 2 | BSIZE_256 | SECRC);
	check(rig_give(r, frame, len));
	check_eq(rig_get(r, RDH), 6);
	for (unsigned i = 0; i < 6; i++) {
		check_eq(get_le16(rig_rx_desc(r, i) + 8), i < 5 ? 256 : len - 1280);
		check_eq(rig_rx_desc(r, i)[12], i < 5 ? DD : DD | END | IXSM);
		check(!memcmp(r->ram + RIG_RX_BUF + i * RIG_RX_STRIDE, frame + 256 * i, i < 5 ? 256 : len - 1280));
	}
	rig_free(r);
}

static void long_frames_need_permission(void)
{
	struct rig *r = rig_start();

	frames_make(frame, false, true, 16384);
	check(rig_give(r, frame, 1518));
	check_eq(rig_get(r, RDH), 1);
	check(rig_give(r, frame, 1519));
	check_eq(rig_get(r, RDH), 1);
	check_eq(e1000_faults(r->nic)->rx_long, 1);
	rig_set(r, RCTL, 2 | LPE | BSEX | BSIZE_1024);	/* 16 KiB buffers */
	check(rig_give(r, frame, 16380));
	check_eq(rig_get(r, RDH), 2);
	check_eq(get_le16(rig_rx_desc(r, 1) + 8), 16384);
	check(rig_give(r, frame, 16381));
	check_eq(rig_get(r, RDH), 2);
	check_eq(e1000_faults(r->nic)->rx_long, 2);
	rig_free(r);
}

static void an_exhausted_ring_refuses_and_resumes(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(frame, false, true, 100);

	for (unsigned i = 0; i < 7; i++)
		check(rig_give(r, frame, len));
	check_eq(rig_get(r, ICR), RXT0 | RXDMT0);
	check(!rig_give(r, frame, len));
	check_eq(rig_get(r, ICR), RXO);
	check_eq(rig_get(r, RNBC), 1);
	check_eq(rig_get(r, RDH), 7);
	rig_set(r, RDT, 0);
	check_eq(r->port.resumed, 1);
	check_eq(r->port.held, 0);
	check_eq(rig_get(r, RDH), 0);
	check_eq(rig_get(r, GPRC), 8);
	rig_set(r, RDT, 3);
	check_eq(r->port.resumed, 1);
	rig_free(r);
}

static void the_minimum_threshold_is_reported_once_when_crossed(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(frame, false, true, 100);

	rig_set(r, RCTL, 2 | 1 << 8);		/* a quarter of 8 */
	for (unsigned i = 1; i <= 7; i++) {
		check(rig_give(r, frame, len));
		check_eq(rig_get(r, ICR), i == 5 ? RXT0 | RXDMT0 : RXT0);
	}
	rig_free(r);
}

static void turning_the_receiver_off_lets_a_waiting_frame_go(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(frame, false, true, 100);

	rig_set(r, RDT, 0);
	check(!rig_give(r, frame, len));
	rig_set(r, RCTL, 0);
	check_eq(r->port.held, 0);
	check_eq(e1000_faults(r->nic)->rx_off, 1);
	rig_set(r, RCTL, 2);
	check(!rig_give(r, frame, len));
	rig_set(r, CTRL, 1u << 26);
	check_eq(r->port.held, 0);
	rig_free(r);
}

static void null_buffers_are_returned_empty(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(frame, false, true, 100);

	put_le64(rig_rx_desc(r, 0), 0);
	put_le64(rig_rx_desc(r, 1), 0);
	check(rig_give(r, frame, len));
	check_eq(rig_get(r, RDH), 3);
	check_eq(rig_rx_desc(r, 0)[12], DD);
	check_eq(get_le16(rig_rx_desc(r, 1) + 8), 0);
	check_eq(get_le16(rig_rx_desc(r, 2) + 8), len);
	for (unsigned i = 0; i < 8; i++)
		put_le64(rig_rx_desc(r, i), 0);
	check(rig_give(r, frame, len));
	check_eq(rig_get(r, RDH), 7);
	check_eq(rig_get(r, MPC), 1);
	rig_free(r);
}

static void buffers_and_rings_outside_memory_lose_the_frame_only(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(frame, false, true, 100);

	put_le64(rig_rx_desc(r, 0), RIG_RAM - 5);
	put_le64(rig_rx_desc(r, 1), ~0ull - 5);
	check(rig_give(r, frame, len));
	check(rig_give(r, frame, len));
	check(rig_give(r, frame, len));
	check_eq(e1000_faults(r->nic)->rx_buffer, 2);
	check(!memcmp(r->ram + RIG_RX_BUF + 2 * RIG_RX_STRIDE, frame, len));
	rig_set(r, RDBAL + 4, 0xffffffff);
	check(rig_give(r, frame, len));
	check_eq(e1000_faults(r->nic)->rx_descriptor, 1);
	rig_set(r, RDH, 100);
	check(rig_give(r, frame, len));
	rig_set(r, RDH, 0);
	rig_set(r, RDT, 8);
	check(rig_give(r, frame, len));
	rig_set(r, RDLEN, 0);
	check(rig_give(r, frame, len));
	check_eq(e1000_faults(r->nic)->rx_ring, 3);
	rig_free(r);
}

static void contradicting_frames_from_the_wire_are_dropped(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(frame, false, true, 4500);
	struct virtio_net_hdr_v1 h = gso;

	h.gso_size = 0;
	check(fake_port_give(&r->port, &h, frame, len));
	h = gso;
	h.csum_start = 1000;
	check(fake_port_give(&r->port, &h, frame, len));
	h.gso_type = 77;
	check(fake_port_give(&r->port, &h, frame, len));
	h = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 65535, .csum_offset = 65535 };
	check(fake_port_give(&r->port, &h, frame, len));
	check_eq(e1000_faults(r->nic)->rx_frame, 4);
	check_eq(rig_get(r, RDH), 0);
	rig_free(r);
}

static void nothing_is_received_without_link_enable_or_bus_mastering(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(frame, false, true, 100);

	pci_dev_config_write(e1000_pci(r->nic), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	check(rig_give(r, frame, len));
	pci_dev_config_write(e1000_pci(r->nic), PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	net_wire_set_carrier(&r->port.port, false);
	check(rig_give(r, frame, len));
	check_eq(e1000_faults(r->nic)->rx_off, 2);
	check_eq(rig_get(r, RDH), 0);
	rig_free(r);
}

static void the_ring_wraps(void)
{
	struct rig *r = rig_start();

	for (unsigned i = 0; i < 100; i++) {
		size_t len = frames_make(frame, false, true, 100 + i);
		uint8_t *d = rig_rx_desc(r, i);

		check(rig_give(r, frame, len));
		check_eq(get_le16(d + 8), len);
		check(!memcmp(r->ram + get_le64(d), frame, len));
		put_le64(d + 8, 0);
		rig_set(r, RDT, i % 8);
	}
	rig_free(r);
}

static const struct test tests[] = {
	{ "a frame lands in the next buffer", a_frame_lands_in_the_next_buffer },
	{ "the FCS counts unless stripped and short frames are padded", the_fcs_counts_unless_stripped_and_short_frames_are_padded },
	{ "addresses are filtered", addresses_are_filtered },
	{ "multicast hashes use the chosen bits", multicast_hashes_use_the_chosen_bits },
	{ "a hash match is marked inexact", a_hash_match_is_marked_inexact },
	{ "tags are stripped in VLAN mode", tags_are_stripped_in_vlan_mode },
	{ "VLANs are filtered", vlans_are_filtered },
	{ "checksums are verified", checksums_are_verified },
	{ "a partial checksum is completed before delivery", a_partial_checksum_is_completed_before_delivery },
	{ "a super frame is segmented", a_super_frame_is_segmented },
	{ "a super frame beyond the ring is cut, not stuck", a_super_frame_beyond_the_ring_is_cut_not_stuck },
	{ "frames larger than a buffer use several", frames_larger_than_a_buffer_use_several },
	{ "long frames need permission", long_frames_need_permission },
	{ "an exhausted ring refuses and resumes", an_exhausted_ring_refuses_and_resumes },
	{ "the minimum threshold is reported once when crossed", the_minimum_threshold_is_reported_once_when_crossed },
	{ "turning the receiver off lets a waiting frame go", turning_the_receiver_off_lets_a_waiting_frame_go },
	{ "null buffers are returned empty", null_buffers_are_returned_empty },
	{ "buffers and rings outside memory lose the frame only", buffers_and_rings_outside_memory_lose_the_frame_only },
	{ "contradicting frames from the wire are dropped", contradicting_frames_from_the_wire_are_dropped },
	{ "nothing is received without link, enable or bus mastering", nothing_is_received_without_link_enable_or_bus_mastering },
	{ "the ring wraps", the_ring_wraps },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_e1000_rx = { tests };
