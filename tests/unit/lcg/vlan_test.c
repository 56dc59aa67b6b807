/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/vlan.h"
#include "lib/bits.h"
#include "tests/unit/suite.h"

enum { ROOM = 64, SIZE = 80 };

static uint8_t buf[ROOM + SIZE];

/* Bytes that count up behind the EtherType. */
static struct frame plain(void)
{
	struct frame f = { .data = buf + ROOM, .len = SIZE };

	for (unsigned i = 0; i < SIZE; i++)
		f.data[i] = (uint8_t)i;
	put_be16(f.data + 12, 0x0800);
	return f;
}

static void pushes_and_pops(void)
{
	struct frame f = plain();

	check_eq(vlan_tci(&f), VLAN_NO_TCI);
	vlan_push(&f, VLAN_TPID, 0x6014);
	check_eq(f.len, SIZE + 4);
	check_eq(get_be16(f.data + 12), 0x8100);
	check_eq(vlan_tci(&f), 0x6014);
	check_eq(get_be16(f.data + 16), 0x0800);
	check(f.data[0] == 0 && f.data[11] == 11 && f.data[18] == 14);
	vlan_pop(&f);
	check_eq(f.len, SIZE);
	check(f.data == buf + ROOM);
	check(f.data[0] == 0 && f.data[11] == 11 && f.data[14] == 14);
	check_eq(get_be16(f.data + 12), 0x0800);
}

static void moves_offsets_along(void)
{
	struct frame f = plain();

	f.hdr = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = htole16(54), .csum_start = htole16(34), .csum_offset = htole16(16) };
	vlan_push(&f, VLAN_TPID, 5);
	check_eq(le16toh(f.hdr.csum_start), 38);
	check_eq(le16toh(f.hdr.csum_offset), 16);
	check_eq(le16toh(f.hdr.hdr_len), 58);
	vlan_pop(&f);
	check_eq(le16toh(f.hdr.csum_start), 34);
	check_eq(le16toh(f.hdr.hdr_len), 54);
	/* nothing to complete, nothing to move */
	f.hdr = (struct virtio_net_hdr_v1){ .csum_start = htole16(7) };
	vlan_push(&f, VLAN_TPID, 5);
	check_eq(le16toh(f.hdr.csum_start), 7);
}

static void sees_no_tag_in_less_than_one(void)
{
	struct frame f = plain();

	put_be16(f.data + 12, VLAN_TPID);
	for (f.len = 14; f.len < 18; f.len++)
		check_eq(vlan_tci(&f), VLAN_NO_TCI);
	check(vlan_tci(&f) != VLAN_NO_TCI);
	put_be16(f.data + 12, VLAN_TPID_SERVICE);
	check_eq(vlan_tci(&f), VLAN_NO_TCI);
}

static const struct test tests[] = {
	{ "pushes and pops", pushes_and_pops },
	{ "moves offsets along", moves_offsets_along },
	{ "sees no tag in less than one", sees_no_tag_in_less_than_one },
	{ NULL },
};
const struct suite suite_lcg_vlan = { tests };
