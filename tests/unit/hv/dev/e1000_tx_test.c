/* SPDX-License-Identifier: Apache-2.0 */
/* Transmit rings of the 82540EM as a driver uses and abuses them. */
#include "tests/unit/hv/dev/e1000_rig.h"
#include "tests/unit/suite.h"

static void a_legacy_frame_goes_out_and_is_reported(void)
{
	struct rig *r = rig_start();
	uint8_t *f = r->ram + RIG_TX_BUF, *d;
	size_t len = frames_make(f, false, true, 1000);

	d = rig_tx_legacy(r, RIG_TX_BUF, (unsigned)len, EOP | IFCS | RS);
	rig_kick(r);
	check_eq(r->port.sent, 1);
	check_eq(r->port.len[0], len);
	check(!memcmp(r->port.frame[0], f, len));
	check_eq(r->port.hdr[0].flags, 0);
	check_eq(r->port.hdr[0].gso_type, 0);
	check_eq(d[12] & 1, 1);
	check_eq(rig_get(r, TDH), 1);
	check_eq(r->line, 1);
	check_eq(rig_get(r, ICR), TXDW | TXQE);
	check_eq(rig_get(r, TPT), 1);
	check_eq(rig_get(r, GPTC), 1);
	check_eq(rig_get(r, 0x4090), len + 4);
	d = rig_tx_legacy(r, RIG_TX_BUF, (unsigned)len, EOP | IFCS);
	rig_kick(r);
	check_eq(d[12], 0);
	check_eq(rig_get(r, ICR), TXQE);
	rig_free(r);
}

static void a_frame_may_lie_in_several_buffers_and_the_ring_wraps(void)
{
	struct rig *r = rig_start();
	uint8_t *f = r->ram + RIG_TX_BUF;
	size_t len = frames_make(f, false, true, 1000);

	for (unsigned i = 0; i < 40; i++) {
		rig_tx_legacy(r, RIG_TX_BUF, 14, IFCS);
		rig_tx_legacy(r, RIG_TX_BUF + 14, 500, IFCS);
		rig_tx_legacy(r, 0, 0, IFCS);
		rig_tx_legacy(r, RIG_TX_BUF + 514, (unsigned)len - 514, EOP | IFCS | RS);
		rig_kick(r);
		rig_tx_legacy(r, RIG_TX_BUF, 60, EOP | IFCS);
		rig_kick(r);
	}
	check_eq(r->port.sent, 80);
	check_eq(r->port.len[14], len);
	check(!memcmp(r->port.frame[14], f, len));
	check_eq(rig_get(r, TDH), r->tx);
	rig_free(r);
}

static void short_frames_are_padded_and_a_drivers_own_fcs_is_dropped(void)
{
	struct rig *r = rig_start();
	uint8_t zeros[60] = { 0 };

	memset(r->ram + RIG_TX_BUF, 0xee, 100);
	rig_tx_legacy(r, RIG_TX_BUF, 20, EOP | IFCS);
	rig_kick(r);
	check_eq(r->port.len[0], 60);
	check(!memcmp(r->port.frame[0] + 20, zeros, 40));
	rig_set(r, TCTL, 2);
	rig_tx_legacy(r, RIG_TX_BUF, 20, EOP | IFCS);
	rig_tx_legacy(r, RIG_TX_BUF, 68, EOP);
	rig_kick(r);
	check_eq(r->port.len[1], 20);
	check_eq(r->port.len[2], 64);
	rig_free(r);
}

static void a_checksum_travels_whole_in_the_header(void)
{
	struct rig *r = rig_start();
	uint8_t *f = r->ram + RIG_TX_BUF;

	for (unsigned kind = 0; kind < 4; kind++) {
		bool v6 = kind & 1, tcp = kind & 2;
		size_t len = frames_make(f, v6, tcp, 777);
		unsigned l4 = v6 ? 54 : 34;

		frames_make_partial(f, v6, tcp, len);
		if (!v6)
			put_be16(f + 24, 0);
		rig_tx_context(r, v6, tcp, (v6 ? 0 : 2) | tcp, 0, 0, 0);
		rig_tx_data(r, RIG_TX_BUF, 60, IFCS, v6 ? 2 : 3);
		rig_tx_data(r, RIG_TX_BUF + 60, (unsigned)len - 60, EOP | IFCS, 0);
		rig_kick(r);
		check_eq(r->port.sent, kind + 1);
		check_eq(r->port.hdr[kind].flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		check_eq(r->port.hdr[kind].csum_start, l4);
		check_eq(r->port.hdr[kind].csum_offset, tcp ? 16 : 6);
		check_eq(r->port.hdr[kind].gso_type, 0);
		net_offload_complete(&r->port.hdr[kind], r->port.frame[kind], len);
		check(frames_valid(r->port.frame[kind], v6, tcp, len));
	}
	rig_free(r);
}

static void a_legacy_checksum_is_inserted_too(void)
{
	struct rig *r = rig_start();
	uint8_t *f = r->ram + RIG_TX_BUF;
	size_t len = frames_make(f, false, true, 300);

	frames_make_partial(f, false, true, len);
	rig_tx(r, RIG_TX_BUF, (uint32_t)len | 50u << 16 | (EOP | IFCS | IC) << 24, 34 << 8);
	rig_kick(r);
	check_eq(r->port.hdr[0].csum_start, 34);
	net_offload_complete(&r->port.hdr[0], r->port.frame[0], len);
	check(frames_valid(r->port.frame[0], false, true, len));
	/* A checksum in front of what it covers fits no virtio-net header: done at once. */
	frames_make(f, false, true, 300);
	put_be16(f + 24, 0);
	rig_tx(r, RIG_TX_BUF, (uint32_t)len | 24u << 16 | (EOP | IFCS | IC) << 24, 30 << 8);
	rig_kick(r);
	check_eq(r->port.hdr[1].flags, 0);
	check_eq(get_be16(r->port.frame[1] + 24), (uint16_t)~frames_sum(0, f + 30, len - 30));
	rig_free(r);
}

static struct { unsigned count, wrong; size_t bytes; bool v6, tcp; } split;

static bool look(void *ctx, const uint8_t *f, size_t len)
{
	split.wrong += !frames_valid(f, split.v6, split.tcp, len);
	split.count++;
	split.bytes += len - (split.v6 ? 54 : 34) - (split.tcp ? 20 : 8);
	return true;
}

/* The prototype header as a driver prepares it: no lengths, pseudo-header sum without one. */
static size_t prototype(uint8_t *f, bool v6, bool tcp, size_t payload)
{
	size_t len = frames_make(f, v6, tcp, payload), l4 = v6 ? 54 : 34;

	if (v6) {
		put_be16(f + 18, 0);
	} else {
		put_be16(f + 16, 0);
		put_be16(f + 24, 0);
	}
	put_be16(f + l4 + (tcp ? 16 : 6), (uint16_t)frames_l4_sum(f + 14, v6, tcp, f, 0));
	return len;
}

static void a_segmented_send_travels_whole_in_the_header(void)
{
	struct rig *r = rig_start();
	uint8_t *f = r->ram + RIG_TX_BUF;

	for (unsigned kind = 0; kind < 4; kind++) {
		bool v6 = kind & 1, tcp = kind & 2;
		size_t len = prototype(f, v6, tcp, 60000);
		unsigned header = (v6 ? 54 : 34) + (tcp ? 20 : 8);
		struct virtio_net_hdr_v1 *h = &r->port.hdr[kind];

		rig_tx_context(r, v6, tcp, 4 | (v6 ? 0 : 2) | tcp, 60000, header, 1448);
		rig_tx_data(r, RIG_TX_BUF, header, TSE, 3);
		rig_tx_data(r, RIG_TX_BUF + header, (unsigned)len - header, EOP | TSE | IFCS | RS, 3);
		rig_kick(r);
		check_eq(r->port.sent, kind + 1);
		check_eq(h->gso_type, !tcp ? NET_GSO_UDP_L4 : v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
		check_eq(h->gso_size, 1448);
		check_eq(h->hdr_len, header);
		check_eq(h->csum_start, v6 ? 54 : 34);
		split.count = split.wrong = 0;
		split.bytes = 0;
		split.v6 = v6;
		split.tcp = tcp;
		check_eq(net_segment(h, r->port.frame[kind], r->port.len[kind], look, NULL), 0);
		check_eq(split.count, 42);
		check_eq(split.wrong, 0);
		check_eq(split.bytes, 60000);
		/* The large packet itself is a right one, too. */
		net_offload_complete(h, r->port.frame[kind], len);
		check(frames_valid(r->port.frame[kind], v6, tcp, len));
		check_eq(rig_get(r, GPTC), 42);
		check_eq(rig_get(r, TSCTC), 1);
	}
	rig_free(r);
}

static void a_segmented_send_that_fits_one_frame_is_a_plain_one(void)
{
	struct rig *r = rig_start();
	size_t len = prototype(r->ram + RIG_TX_BUF, false, true, 1000);

	rig_tx_context(r, false, true, 7, 1000, 54, 1448);
	rig_tx_data(r, RIG_TX_BUF, (unsigned)len, EOP | TSE | IFCS, 3);
	rig_kick(r);
	check_eq(r->port.sent, 1);
	check_eq(r->port.hdr[0].gso_type, 0);
	net_offload_complete(&r->port.hdr[0], r->port.frame[0], len);
	check(frames_valid(r->port.frame[0], false, true, len));
	rig_free(r);
}

static void contexts_for_segments_and_checksums_are_separate(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(r->ram + RIG_TX_BUF, true, false, 100);

	frames_make_partial(r->ram + RIG_TX_BUF, true, false, len);
	rig_tx_context(r, true, false, 0, 0, 0, 0);
	rig_tx_context(r, false, true, 7, 60000, 54, 1448);
	rig_tx_data(r, RIG_TX_BUF, (unsigned)len, EOP | IFCS, 2);
	rig_kick(r);
	check_eq(r->port.hdr[0].csum_start, 54);
	check_eq(r->port.hdr[0].csum_offset, 6);
	rig_free(r);
}

static void a_tag_is_inserted_when_vlan_mode_is_on(void)
{
	struct rig *r = rig_start();
	uint8_t *f = r->ram + RIG_TX_BUF;
	size_t len = frames_make(f, false, true, 100);

	frames_make_partial(f, false, true, len);
	rig_tx_context(r, false, true, 3, 0, 0, 0);
	rig_tx(r, RIG_TX_BUF, (uint32_t)len | 1u << 20 | (EOP | IFCS | VLE | DEXT) << 24, 2 << 8 | 0x2064u << 16);
	rig_kick(r);
	check_eq(r->port.len[0], len);
	rig_set(r, CTRL, rig_get(r, CTRL) | 1u << 30);
	rig_tx(r, RIG_TX_BUF, (uint32_t)len | 1u << 20 | (EOP | IFCS | VLE | DEXT) << 24, 2 << 8 | 0x2064u << 16);
	rig_kick(r);
	check_eq(r->port.len[1], len + 4);
	check_eq(get_be32(r->port.frame[1] + 12), 0x81002064);
	check_eq(get_be16(r->port.frame[1] + 16), 0x0800);
	check_eq(r->port.hdr[1].csum_start, 38);
	net_offload_complete(&r->port.hdr[1], r->port.frame[1], len + 4);
	memmove(r->port.frame[1] + 12, r->port.frame[1] + 16, len - 12);
	check(frames_valid(r->port.frame[1], false, true, len));
	rig_free(r);
}

static void sent_frames_come_back_in_loopback(void)
{
	struct rig *r = rig_start();
	size_t len = frames_make(r->ram + RIG_TX_BUF, false, true, 1000);

	rig_set(r, RCTL, rig_get(r, RCTL) | 3u << 6);
	rig_tx_legacy(r, RIG_TX_BUF, (unsigned)len, EOP | IFCS);
	rig_kick(r);
	check_eq(r->port.sent, 0);
	check_eq(rig_get(r, RDH), 1);
	check(!memcmp(r->ram + RIG_RX_BUF, r->ram + RIG_TX_BUF, len));
	rig_free(r);
}

static void without_a_link_frames_vanish_but_descriptors_come_back(void)
{
	struct rig *r = rig_start();
	uint8_t *d;

	net_wire_set_carrier(&r->port.port, false);
	d = rig_tx_legacy(r, RIG_TX_BUF, 60, EOP | IFCS | RS);
	rig_kick(r);
	check_eq(r->port.sent, 0);
	check_eq(d[12], 1);
	rig_free(r);
}

static void nothing_is_fetched_while_transmit_or_bus_mastering_is_off(void)
{
	struct rig *r = rig_start();

	rig_set(r, TCTL, 0);
	rig_tx_legacy(r, RIG_TX_BUF, 60, EOP | IFCS);
	rig_kick(r);
	check_eq(rig_get(r, TDH), 0);
	rig_set(r, TCTL, 0xa);
	check_eq(r->port.sent, 1);
	pci_dev_config_write(e1000_pci(r->nic), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	rig_tx_legacy(r, RIG_TX_BUF, 60, EOP | IFCS);
	rig_kick(r);
	check_eq(r->port.sent, 1);
	rig_free(r);
}

static void rings_that_contradict_themselves_do_nothing(void)
{
	struct rig *r = rig_start();

	rig_set(r, TDT, 16);
	rig_set(r, TDT, 0xffff);
	check_eq(e1000_faults(r->nic)->tx_ring, 2);
	rig_set(r, TDT, 0);
	rig_set(r, TDH, 500);
	rig_set(r, TDT, 3);
	check_eq(e1000_faults(r->nic)->tx_ring, 3);
	rig_set(r, TDLEN, 0);
	rig_set(r, TDT, 5);
	check_eq(e1000_faults(r->nic)->tx_ring, 4);
	check_eq(r->port.sent, 0);
	check_eq(rig_get(r, ICR), 0);
	rig_free(r);
}

static void descriptors_and_buffers_outside_memory_are_passed_over(void)
{
	struct rig *r = rig_start();

	rig_tx_legacy(r, RIG_RAM - 10, 60, EOP | IFCS | RS);
	rig_tx_legacy(r, ~0ull - 10, 60, EOP | IFCS | RS);
	rig_tx_legacy(r, RIG_TX_BUF, 60, EOP | IFCS | RS);
	rig_kick(r);
	check_eq(r->port.sent, 1);
	check_eq(e1000_faults(r->nic)->tx_buffer, 2);
	check_eq(e1000_faults(r->nic)->tx_frame, 2);
	check_eq(rig_get(r, TDH), 3);
	rig_set(r, TDBAL + 4, 1);
	rig_set(r, TDT, 2);
	check_eq(e1000_faults(r->nic)->tx_descriptor, 15);
	check_eq(rig_get(r, TDH), 2);
	rig_free(r);
}

static void a_frame_without_an_end_does_not_grow(void)
{
	struct rig *r = rig_start();

	for (unsigned i = 0; i < 200; i++) {
		rig_tx_data(r, 0, 0xfffff, IFCS, 0);
		rig_tx_data(r, 0, 0x8000, IFCS, 0);
		rig_kick(r);
	}
	rig_tx_data(r, 0, 60, EOP | IFCS, 0);
	rig_tx_data(r, 0, 60, EOP | IFCS, 0);
	rig_kick(r);
	check_eq(r->port.sent, 1);
	check_eq(e1000_faults(r->nic)->tx_frame, 1);
	rig_free(r);
}

static void endless_contexts_end_with_the_ring(void)
{
	struct rig *r = rig_start();

	for (unsigned i = 0; i < 15; i++)
		rig_tx_context(r, false, true, 7 | RS, 0xfffff, 255, 0);
	rig_kick(r);
	check_eq(rig_get(r, TDH), 15);
	check_eq(rig_get(r, ICR), TXDW | TXQE);
	rig_tx(r, 0, 2u << 20 | (DEXT | EOP) << 24, 0);		/* a type that is none */
	rig_kick(r);
	check_eq(e1000_faults(r->nic)->tx_descriptor, 1);
	check_eq(r->port.sent, 0);
	rig_free(r);
}

static void offloads_that_do_not_fit_their_frame_drop_it(void)
{
	struct rig *r = rig_start();
	uint8_t *f = r->ram + RIG_TX_BUF;
	unsigned drops = 0, len = (unsigned)prototype(f, false, true, 3000);
	static const struct { unsigned tucmd, header, mss; } bad[] = {
		{ 7, 54, 0 }, { 7, 53, 1448 }, { 7, 55, 1448 }, { 5, 54, 1448 }, { 6, 54, 1448 }, { 7, 255, 1448 }, { 7, 54, 1 },
	};

	for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		rig_tx_context(r, false, true, bad[i].tucmd, 3000, bad[i].header, bad[i].mss);
		rig_tx_data(r, RIG_TX_BUF, len, EOP | TSE | IFCS, 3);
		rig_kick(r);
		check_eq(e1000_faults(r->nic)->tx_frame, ++drops);
	}
	rig_tx(r, ~0ull, (DEXT | 3) << 24, 0);			/* offsets beyond every frame */
	for (unsigned popts = 1; popts <= 2; popts++) {
		rig_tx_data(r, RIG_TX_BUF, 60, EOP | IFCS, popts);
		rig_kick(r);
		check_eq(e1000_faults(r->nic)->tx_frame, ++drops);
	}
	rig_tx_legacy(r, RIG_TX_BUF, 13, EOP | IFCS);
	rig_kick(r);
	check_eq(e1000_faults(r->nic)->tx_frame, ++drops);
	check_eq(r->port.sent, 0);
	rig_free(r);
}

static void a_round_is_short_however_long_the_ring_is(void)
{
	enum { LONG_RING = 0x40000, COUNT = 4096, LEN = 1500, MOST = 1024 };
	struct rig *r = rig_start();
	unsigned bytes = NET_ROUND_BYTES / LEN + 1;

	for (unsigned i = 0; i < COUNT; i++) {
		put_le64(r->ram + LONG_RING + i * 16, RIG_TX_BUF);
		put_le32(r->ram + LONG_RING + i * 16 + 8, LEN | (EOP | IFCS | RS) << 24);
	}
	rig_set(r, TDBAL, LONG_RING);
	rig_set(r, TDLEN, COUNT * 16);
	rig_set(r, TDT, COUNT - 1);
	check_eq(r->port.sent, bytes);
	check_eq(rig_get(r, TDH), bytes);
	fake_clock_advance(&r->clock, 1);
	check_eq(r->port.sent, COUNT - 1);
	check_eq(rig_get(r, TDH), COUNT - 1);
	for (unsigned i = 0; i < COUNT; i++)	/* nothing to send, for ever */
		put_le32(r->ram + LONG_RING + i * 16 + 8, 0);
	rig_set(r, TDT, COUNT - 2);
	check_eq(rig_get(r, TDH), MOST - 1);	/* from COUNT - 1 on */
	rig_set(r, CTRL, 1u << 26);	/* a reset ends it */
	fake_clock_advance(&r->clock, 1000);
	check_eq(rig_get(r, TDH), 0);
	rig_free(r);
}

static const struct test tests[] = {
	{ "a legacy frame goes out and is reported", a_legacy_frame_goes_out_and_is_reported },
	{ "a frame may lie in several buffers and the ring wraps", a_frame_may_lie_in_several_buffers_and_the_ring_wraps },
	{ "short frames are padded and a driver's own FCS is dropped", short_frames_are_padded_and_a_drivers_own_fcs_is_dropped },
	{ "a checksum travels whole in the header", a_checksum_travels_whole_in_the_header },
	{ "a legacy checksum is inserted too", a_legacy_checksum_is_inserted_too },
	{ "a segmented send travels whole in the header", a_segmented_send_travels_whole_in_the_header },
	{ "a segmented send that fits one frame is a plain one", a_segmented_send_that_fits_one_frame_is_a_plain_one },
	{ "contexts for segments and checksums are separate", contexts_for_segments_and_checksums_are_separate },
	{ "a tag is inserted when VLAN mode is on", a_tag_is_inserted_when_vlan_mode_is_on },
	{ "sent frames come back in loopback", sent_frames_come_back_in_loopback },
	{ "without a link frames vanish but descriptors come back", without_a_link_frames_vanish_but_descriptors_come_back },
	{ "nothing is fetched while transmit or bus mastering is off", nothing_is_fetched_while_transmit_or_bus_mastering_is_off },
	{ "rings that contradict themselves do nothing", rings_that_contradict_themselves_do_nothing },
	{ "descriptors and buffers outside memory are passed over", descriptors_and_buffers_outside_memory_are_passed_over },
	{ "a frame without an end does not grow", a_frame_without_an_end_does_not_grow },
	{ "endless contexts end with the ring", endless_contexts_end_with_the_ring },
	{ "a round is short however long the ring is", a_round_is_short_however_long_the_ring_is },
	{ "offloads that do not fit their frame drop it", offloads_that_do_not_fit_their_frame_drop_it },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_e1000_tx = { tests };
