/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/frame.h"
#include <errno.h>
#include "lib/l2/offload.h"
#include "tests/unit/hv/net/frames.h"
#include "tests/unit/suite.h"

static uint8_t room[FRAME_HEADROOM + FRAME_MAX + 64];
static uint8_t *const frame = room + FRAME_HEADROOM;

static struct frame parsed(size_t len, enum frame_cause want)
{
	struct frame f = { .data = frame, .len = len };

	check_eq(frame_parse(&f), want);
	return f;
}

static struct frame parsed_hdr(size_t len, struct virtio_net_hdr_v1 hdr, enum frame_cause want)
{
	struct frame f = { .hdr = hdr, .data = frame, .len = len };

	check_eq(frame_parse(&f), want);
	return f;
}

/* Put n bytes into the frame at an offset; the new length. */
static size_t insert(size_t len, size_t at, const void *bytes, size_t n)
{
	memmove(frame + at + n, frame + at, len - at);
	memcpy(frame + at, bytes, n);
	return len + n;
}

static void headers_are_found(void)
{
	for (unsigned kind = 0; kind < 4; kind++) {
		bool v6 = kind & 1, tcp = kind & 2;
		size_t len = frames_make(frame, v6, tcp, 100);
		struct frame f = parsed(len + 6, FRAME_OK);	/* padding */

		check_eq(f.vid, FRAME_NO_VID);
		check_eq(f.type, v6 ? 0x86dd : 0x0800);
		check_eq(f.l3, 14);
		check_eq(f.l4, v6 ? 54 : 34);
		check_eq(f.payload, f.l4 + (tcp ? 20 : 8));
		check_eq(f.proto, tcp ? 6 : 17);
		check_eq(f.end, len);
		check(!f.fragment && !f.cut);
	}
}

static void vlan_tags_are_skipped(void)
{
	size_t len = frames_make(frame, false, true, 10);
	struct frame f;

	len = insert(len, 12, "\x81\x00\x60\x07", 4);
	f = parsed(len, FRAME_OK);
	check_eq(f.vid, 7);
	check_eq(f.l3, 18);
	len = insert(len, 12, "\x88\xa8\x00\x64", 4);
	f = parsed(len, FRAME_OK);
	check_eq(f.vid, 100);
	check_eq(f.l4, 42);
	len = insert(len, 12, "\x81\x00\x00\x01", 4);	/* a third one is not looked behind */
	f = parsed(len, FRAME_OK);
	check_eq(f.type, 0x8100);
	check_eq(f.l3, 0);
	len = frames_make(frame, true, true, 10);
	f = parsed(insert(len, 12, "\x81\x00\xe0\x00", 4), FRAME_OK);	/* priority tag */
	check_eq(f.vid, FRAME_NO_VID);
	check_eq(f.l4, 58);
}

static void cut_and_odd_ip_passes_without_headers(void)
{
	size_t len = frames_make(frame, false, true, 10);
	struct frame f;

	for (size_t n = FRAME_MIN; n < len; n++) {
		f = parsed(n, FRAME_OK);
		check_eq(f.l3 | f.l4 | f.payload | f.proto, 0);
	}
	frame[14] = 0x44;	/* shorter than a header */
	check_eq(parsed(len, FRAME_OK).l3, 0);
	frame[14] = 0x65;
	check_eq(parsed(len, FRAME_OK).l3, 0);
	frames_make(frame, false, true, 10);
	frame[46] = 0x40;	/* TCP data offset */
	f = parsed(len, FRAME_OK);
	check_eq(f.l3, 14);
	check_eq(f.l4, 0);
	frame[46] = 0xf0;
	check_eq(parsed(len, FRAME_OK).l4, 0);
	(void)parsed(FRAME_MIN - 1, FRAME_SHORT);
	(void)parsed(FRAME_MAX + 1, FRAME_LONG);
}

static void options_and_extension_headers_are_walked(void)
{
	static const uint8_t options[8] = { 6, 0, 1, 4, 0, 0, 0, 0 }, hops[8] = { 60, 0, 1, 4, 0, 0, 0, 0 };
	size_t len = frames_make(frame, false, true, 10);
	struct frame f;

	len = insert(len, 34, "\x94\x04\x00\x00", 4);
	frame[14] = 0x46;
	put_be16(frame + 16, (uint16_t)(len - 14));
	check_eq(parsed(len, FRAME_OK).l4, 38);
	len = frames_make(frame, true, true, 10);
	len = insert(insert(len, 54, options, 8), 54, hops, 8);
	frame[20] = 0;
	put_be16(frame + 18, (uint16_t)(len - 54));
	f = parsed(len, FRAME_OK);
	check_eq(f.proto, 6);
	check_eq(f.l4, 70);
	for (unsigned i = 0; i < 7; i++)
		len = insert(len, 54, "\x3c\x00\x01\x04\x00\x00\x00", 8);
	frame[20] = 60;
	frame[54 + 6 * 8] = 0;
	put_be16(frame + 18, (uint16_t)(len - 54));
	f = parsed(len, FRAME_OK);
	check_eq(f.l3, 14);
	check_eq(f.l4, 0);	/* nine: too many */
	len = frames_make(frame, true, true, 10);
	len = insert(len, 54, options, 8);
	frame[20] = 60;
	frame[55] = 200;	/* past the end */
	put_be16(frame + 18, (uint16_t)(len - 54));
	check_eq(parsed(len, FRAME_OK).l4, 0);
}

static void fragments_are_told(void)
{
	static const uint8_t first[8] = { 17, 0, 0, 1, 0, 0, 0, 9 }, later[8] = { 17, 0, 0, 0x10, 0, 0, 0, 9 },
		whole[8] = { 17, 0, 0, 0, 0, 0, 0, 9 };
	size_t len = frames_make(frame, false, false, 100);
	struct frame f;
	uint32_t hash;

	put_be16(frame + 20, 0x2000);
	f = parsed(len, FRAME_OK);
	check(!f.fragment && f.cut == 14 && f.l4 == 34);
	hash = f.hash;
	put_be16(frame + 20, 0x2005);
	frame[34] ^= 1;
	f = parsed(len, FRAME_OK);
	check(f.fragment && f.cut == 14 && !f.l4 && f.proto == 17);
	check_eq(f.hash, hash);
	for (unsigned i = 0; i < 3; i++) {
		len = frames_make(frame, true, false, 100);
		len = insert(len, 54, i == 0 ? first : i == 1 ? later : whole, 8);
		frame[20] = 44;
		put_be16(frame + 18, (uint16_t)(len - 54));
		f = parsed(len, FRAME_OK);
		check_eq(f.fragment, i == 1);
		check_eq(f.cut, i == 2 ? 0 : 54);
		check_eq(f.l4, i == 1 ? 0 : 62);
		check_eq(f.proto, 17);
	}
}

static void both_directions_have_one_hash(void)
{
	for (unsigned kind = 0; kind < 4; kind++) {
		bool v6 = kind & 1;
		size_t len = frames_make(frame, v6, kind & 2, 10), ip = v6 ? 22 : 26, n = v6 ? 16 : 4, l4 = v6 ? 54 : 34;
		struct frame f = parsed(len, FRAME_OK);
		uint32_t hash = f.hash;
		uint8_t keep[16];

		memcpy(keep, frame + ip, n);
		memcpy(frame + ip, frame + ip + n, n);
		memcpy(frame + ip + n, keep, n);
		put_be16(frame + l4, 2000);
		put_be16(frame + l4 + 2, 1000);
		check_eq(parsed(len, FRAME_OK).hash, hash);
		put_be16(frame + l4, 2001);
		check(parsed(len, FRAME_OK).hash != hash);
	}
	memset(frame, 0, 64);
	memcpy(frame, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x88\xb5", 14);
	uint32_t hash = parsed(64, FRAME_OK).hash;
	memcpy(frame, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01", 12);
	check_eq(parsed(64, FRAME_OK).hash, hash);
}

/* Hashes choose lanes and queues by their low bits: neighbouring ports must spread. */
static void hashes_spread(void)
{
	size_t len = frames_make(frame, false, true, 0);
	unsigned lane[8] = { 0 }, queue[256] = { 0 }, worst = 0;

	for (unsigned port = 0; port < 8192; port++) {
		put_be16(frame + 34, (uint16_t)(32768 + port));
		uint32_t hash = parsed(len, FRAME_OK).hash;

		lane[hash & 7]++;
		queue[hash & 255]++;
	}
	for (unsigned i = 0; i < 8; i++)
		check(lane[i] > 850 && lane[i] < 1200);
	for (unsigned i = 0; i < 256; i++)
		worst = queue[i] > worst ? queue[i] : worst;
	check(worst < 75);
}

static void super_frames_must_agree_with_their_header(void)
{
	size_t len = frames_make(frame, false, true, 60000);
	struct virtio_net_hdr_v1 hdr = { .flags = 0xff, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = htole16(1448),
		.hdr_len = 0xffff, .csum_start = htole16(34), .csum_offset = htole16(16) };
	struct frame f = parsed_hdr(len, hdr, FRAME_OK);

	check_eq(f.end, len);
	check_eq(le16toh(f.hdr.hdr_len), 54);
	check_eq(f.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID);
	hdr.gso_size = 0;
	(void)parsed_hdr(len, hdr, FRAME_BAD_OFFLOAD);
	hdr.gso_size = htole16(1448);
	hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	(void)parsed_hdr(len, hdr, FRAME_BAD_OFFLOAD);
	put_be16(frame + 12, 0x0806);
	(void)parsed_hdr(len, hdr, FRAME_BAD_IP);
}

static void a_checksum_to_complete_can_not_forge_headers(void)
{
	size_t len = frames_make(frame, false, true, 100);
	struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };

	for (unsigned start = 0; start < len; start++) {
		for (unsigned offset = 0; offset < 100; offset++) {
			size_t at = start + offset;
			bool right = start == 34 && offset == 16;
			bool inner = start >= 54 && at + 2 <= len;

			hdr.csum_start = htole16((uint16_t)start);
			hdr.csum_offset = htole16((uint16_t)offset);
			(void)parsed_hdr(len, hdr, right || inner ? FRAME_OK : FRAME_BAD_OFFLOAD);
		}
	}
	hdr.csum_start = htole16(0xffff);
	hdr.csum_offset = htole16(0xffff);
	(void)parsed_hdr(len, hdr, FRAME_BAD_OFFLOAD);
	put_be16(frame + 12, 0x0806);
	hdr.csum_start = htole16(14);
	hdr.csum_offset = htole16(14);
	(void)parsed_hdr(len, hdr, FRAME_BAD_OFFLOAD);
}

static void macs_are_text(void)
{
	static const char *const bad[] = { "", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:56 ", "52:54:00:12:34:56:78",
		"5g:54:00:12:34:56", "525:4:00:12:34:56", "52-54-00-12-34-56" };
	uint8_t mac[FRAME_MAC];
	char text[FRAME_MAC_TEXT];

	check_eq(frame_mac_parse("52:54:00:aB:Cd:ef", mac), 0);
	frame_mac_text(mac, text);
	check_str(text, "52:54:00:ab:cd:ef");
	for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
		check_eq(-frame_mac_parse(bad[i], mac), EINVAL);
	check_str(frame_cause_name(FRAME_BAD_OFFLOAD), "bad-offload");
	check_str(frame_cause_name(FRAME_CAUSES), "unknown");
}

static const struct test frame_tests[] = {
	{ "headers are found", headers_are_found },
	{ "VLAN tags are skipped", vlan_tags_are_skipped },
	{ "cut and odd IP passes without headers", cut_and_odd_ip_passes_without_headers },
	{ "options and extension headers are walked", options_and_extension_headers_are_walked },
	{ "fragments are told", fragments_are_told },
	{ "both directions have one hash", both_directions_have_one_hash },
	{ "hashes spread", hashes_spread },
	{ "super-frames must agree with their header", super_frames_must_agree_with_their_header },
	{ "a checksum to complete can not forge headers", a_checksum_to_complete_can_not_forge_headers },
	{ "MACs are text", macs_are_text },
	{ 0 }
};
const struct suite suite_lib_l2_frame = { frame_tests };
