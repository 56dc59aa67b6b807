/* SPDX-License-Identifier: Apache-2.0 */
/* The whole of it: guard, size, rate, clamp; the firewall has a file of its own. */
#include "lib/l2/filter.h"
#include <errno.h>
#include <stdio.h>
#include "lib/l2/guard.h"
#include "lib/l2/mss.h"
#include "lib/log.h"
#include "tests/unit/lib/l2/packets.h"
#include "tests/unit/suite.h"

#define S 1000000000ull
#define SERVER "192.0.2.10"
#define SERVER6 "2001:db8::10"
#define PEER "198.51.100.7"
#define PEER6 "2001:db8:1::7"
#define ADDRESSES "nic.net0.address = " SERVER " " SERVER6 "\n"

static struct pk_frame frame;
static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static struct policy *policy(const char *text)
{
	struct err err = { .text = "" };
	struct policy *p = NULL;
	struct config *config;

	check_eq(config_parse("test", text, strlen(text), &config, &err), 0);
	check_eq(policy_read(config, "net0", &p, &err), 0);
	config_free(config);
	return p;
}

static struct filter *make(const char *text)
{
	struct policy *p = policy(text);
	struct filter *filter = NULL;
	struct err err;

	/* Drops are what is tested here; their lines would only be noise. */
	log_init("unit", LOG_ERROR);
	if (p)
		check_eq(filter_create(pk_server, p, &filter, &err), 0);
	return filter;
}

static enum filter_cause from(struct filter *f, struct pk p)
{
	p.from_server = true;
	return filter_pass(f, FILTER_FROM_SERVER, pk_make(&frame, &p), S);
}

static enum filter_cause to(struct filter *f, struct pk p)
{
	return filter_pass(f, FILTER_TO_SERVER, pk_make(&frame, &p), S);
}

static void a_server_is_who_it_is(void)
{
	static const uint8_t other[6] = { 2, 0, 0, 0, 0, 1 }, group[6] = { 3, 0, 0, 0, 0, 1 };
	struct filter *f = make("");

	check_or_return(f);
	check_eq(from(f, (struct pk){ .src = SERVER, .dst = PEER, .proto = PK_UDP }), FILTER_PASS);
	check_eq(from(f, (struct pk){ .src = "203.0.113.1", .dst = PEER, .proto = PK_UDP }), FILTER_PASS);	/* no addresses are set */
	check_eq(from(f, (struct pk){ .src = SERVER, .dst = PEER, .proto = PK_UDP, .eth_src = other }), FILTER_SPOOFED_MAC);
	check_eq(from(f, (struct pk){ .src = SERVER, .dst = PEER, .proto = PK_UDP, .eth_src = group }), FILTER_SPOOFED_MAC);
	check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_UDP }), FILTER_PASS);
	check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_UDP, .eth_src = pk_server }), FILTER_SPOOFED_MAC);
	check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_UDP, .eth_src = group }), FILTER_SPOOFED_MAC);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_arp(&frame, 2, pk_server, pk_peer, other, SERVER, PEER), S), FILTER_SPOOFED_MAC);
	check_eq(filter_pass(f, FILTER_TO_SERVER, pk_arp(&frame, 2, other, pk_server, pk_server, PEER, SERVER), S), FILTER_SPOOFED_MAC);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_nd(&frame, true, 136, SERVER6, PEER6, SERVER6, 2, other), S), FILTER_SPOOFED_MAC);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_nd(&frame, true, 135, SERVER6, PEER6, PEER6, 1, other), S), FILTER_SPOOFED_MAC);
	check_eq(filter_pass(f, FILTER_TO_SERVER, pk_nd(&frame, false, 136, PEER6, SERVER6, PEER6, 2, pk_server), S), FILTER_SPOOFED_MAC);
	filter_free(f);
}

/* A neighbour advertisement of the server's own address as the first piece of a packet */
static struct frame *nd_in_pieces(void)
{
	static const uint8_t piece[8] = { PK_ICMP6, 0, 0, 1, 0, 0, 0, 9 };
	struct frame *f = pk_nd(&frame, true, 136, SERVER6, PEER6, SERVER6, 2, pk_server);

	memmove(f->data + 62, f->data + 54, f->len - 54);
	memcpy(f->data + 54, piece, sizeof piece);
	f->data[20] = 44;
	put_be16(f->data + 18, (uint16_t)(f->len + 8 - 54));
	f->len += 8;
	check_eq(frame_parse(f), FRAME_OK);
	check_eq(f->cut, 54);
	return f;
}

static void addresses_can_not_be_forged(void)
{
	struct filter *f = make(ADDRESSES);

	check_or_return(f);
	check_eq(from(f, (struct pk){ .src = SERVER, .dst = PEER, .proto = PK_UDP }), FILTER_PASS);
	check_eq(from(f, (struct pk){ .src = SERVER6, .dst = PEER6, .proto = PK_UDP }), FILTER_PASS);
	check_eq(from(f, (struct pk){ .src = "192.0.2.11", .dst = PEER, .proto = PK_UDP }), FILTER_SPOOFED_IP);
	check_eq(from(f, (struct pk){ .src = "2001:db8::11", .dst = PEER6, .proto = PK_UDP }), FILTER_SPOOFED_IP);
	check_eq(from(f, (struct pk){ .src = "192.0.2.11", .dst = PEER, .proto = PK_UDP, .vid = 9 }), FILTER_SPOOFED_IP);
	check_eq(to(f, (struct pk){ .src = SERVER, .dst = SERVER, .proto = PK_UDP }), FILTER_SPOOFED_IP);
	check_eq(to(f, (struct pk){ .src = SERVER6, .dst = SERVER6, .proto = PK_UDP }), FILTER_SPOOFED_IP);
	/* ARP: answers and announcements, and the question whether somebody has the address */
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_arp(&frame, 2, pk_server, pk_peer, pk_server, SERVER, PEER), S), FILTER_PASS);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_arp(&frame, 2, pk_server, pk_peer, pk_server, PEER, SERVER), S), FILTER_SPOOFED_IP);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_arp(&frame, 1, pk_server, everybody, pk_server, "0.0.0.0", SERVER), S),
		FILTER_PASS);
	check_eq(filter_pass(f, FILTER_TO_SERVER, pk_arp(&frame, 1, pk_peer, everybody, pk_peer, SERVER, SERVER), S), FILTER_SPOOFED_IP);
	check_eq(filter_pass(f, FILTER_TO_SERVER, pk_arp(&frame, 1, pk_peer, everybody, pk_peer, PEER, SERVER), S), FILTER_PASS);
	frame.f.len = 30;	/* cut */
	check_eq(filter_pass(f, FILTER_TO_SERVER, &frame.f, S), FILTER_SPOOFED_IP);
	/* Nobody's address: DHCP's, and looking for a duplicate */
	check_eq(from(f, (struct pk){ .src = "0.0.0.0", .dst = "255.255.255.255", .proto = PK_UDP, .sport = 68, .dport = 67 }),
		FILTER_PASS);
	check_eq(from(f, (struct pk){ .src = "0.0.0.0", .dst = "255.255.255.255", .proto = PK_UDP, .sport = 68, .dport = 68 }),
		FILTER_SPOOFED_IP);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_nd(&frame, true, 135, "::", "ff02::1:ff00:10", SERVER6, 1, NULL), S), FILTER_PASS);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_nd(&frame, true, 135, "::", "ff02::1:ff00:10", PEER6, 1, NULL), S),
		FILTER_SPOOFED_IP);
	check_eq(from(f, (struct pk){ .src = "::", .dst = PEER6, .proto = PK_UDP }), FILTER_SPOOFED_IP);
	/* Neighbour discovery */
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_nd(&frame, true, 136, SERVER6, PEER6, SERVER6, 2, pk_server), S), FILTER_PASS);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_nd(&frame, true, 136, SERVER6, PEER6, PEER6, 2, pk_server), S), FILTER_SPOOFED_IP);
	check_eq(filter_pass(f, FILTER_TO_SERVER, pk_nd(&frame, false, 136, PEER6, SERVER6, SERVER6, 2, pk_peer), S), FILTER_SPOOFED_IP);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, nd_in_pieces(), S), FILTER_SPOOFED_IP);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_nd(&frame, true, 134, "fe80::5", "ff02::1", NULL, 1, pk_server), S),
		FILTER_SPOOFED_IP);
	/* Hidden: IP that is cut, in SNAP, behind a third tag */
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_hex(&frame, "2 0 0 0 0 99  52 54 0 12 34 56  8 0  45 0 0 20"), S),
		FILTER_SPOOFED_IP);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_hex(&frame, "2 0 0 0 0 99  52 54 0 12 34 56  0 8  aa aa 3 0 0 0 8 0"), S),
		FILTER_SPOOFED_IP);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_hex(&frame,
		"2 0 0 0 0 99  52 54 0 12 34 56  81 0 0 1  81 0 0 1  81 0 0 1  8 0  45 0"), S), FILTER_SPOOFED_IP);
	filter_free(f);
}

static void link_local_addresses_pass_but_not_a_routers(void)
{
	struct filter *f = make(ADDRESSES);

	check_or_return(f);
	check_eq(from(f, (struct pk){ .src = "fe80::5", .dst = PEER6, .proto = PK_UDP }), FILTER_PASS);
	check_eq(from(f, (struct pk){ .src = "fe80::1", .dst = PEER6, .proto = PK_UDP }), FILTER_PASS);
	check_eq(filter_pass(f, FILTER_TO_SERVER, pk_nd(&frame, false, 134, "fe80::1", "ff02::1", NULL, 1, pk_peer), S), FILTER_PASS);
	check_eq(from(f, (struct pk){ .src = "fe80::1", .dst = PEER6, .proto = PK_UDP }), FILTER_SPOOFED_IP);
	check_eq(filter_pass(f, FILTER_FROM_SERVER, pk_nd(&frame, true, 136, "fe80::5", "ff02::1", "fe80::1", 2, pk_server), S),
		FILTER_SPOOFED_IP);
	check_eq(from(f, (struct pk){ .src = "fe80::5", .dst = PEER6, .proto = PK_UDP }), FILTER_PASS);
	filter_free(f);
}

static void reserved_groups_stay_on_their_wire(void)
{
	struct filter *f = make("");
	uint8_t dst[6] = { 0x01, 0x80, 0xc2, 0, 0, 0 };

	check_or_return(f);
	for (unsigned i = 0; i < 32; i++) {
		dst[5] = (uint8_t)i;
		enum filter_cause want = i < 16 ? FILTER_RESERVED : FILTER_PASS;

		check_eq(from(f, (struct pk){ .src = SERVER, .dst = PEER, .proto = PK_UDP, .eth_dst = dst }), want);
		check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_UDP, .eth_dst = dst }), want);
	}
	filter_free(f);
}

static void storms_and_rates_are_limited_by_direction(void)
{
	struct filter *f = make("nic.net0.storm = 10/s\nnic.net0.rate = 1M/s");
	struct filter_counters c;
	unsigned passed = 0;

	check_or_return(f);
	for (unsigned i = 0; i < 15; i++)
		passed += from(f, (struct pk){ .src = SERVER, .dst = PEER, .proto = PK_UDP, .eth_dst = everybody }) == FILTER_PASS;
	check_eq(passed, 10);
	check_eq(from(f, (struct pk){ .src = SERVER, .dst = PEER, .proto = PK_UDP }), FILTER_PASS);
	check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_UDP, .eth_dst = everybody }), FILTER_PASS);
	passed = 0;
	for (unsigned i = 0; i < 400; i++) {
		enum filter_cause cause = to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_UDP, .payload = 1000 });

		check(cause == FILTER_PASS || cause == FILTER_RATE);
		passed += cause == FILTER_PASS;
	}
	check(passed >= 250 && passed <= 252);	/* 256 KiB of 1042 bytes, less what passed before */
	filter_counters(f, &c);
	check_eq(c.cause[FILTER_STORM], 5);
	check_eq(c.cause[FILTER_RATE], 400 - passed);
	/* Another policy with the same limits does not fill the buckets. */
	filter_set_policy(f, policy("nic.net0.storm = 10/s\nnic.net0.rate = 1M/s\nnic.net0.allow.1 = in any"));
	check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_UDP, .payload = 1000 }), FILTER_RATE);
	filter_set_policy(f, policy("nic.net0.storm = off"));
	check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_UDP, .payload = 1000 }), FILTER_PASS);
	for (unsigned i = 0; i < 50; i++)
		check_eq(from(f, (struct pk){ .src = SERVER, .dst = PEER, .proto = PK_UDP, .eth_dst = everybody }), FILTER_PASS);
	filter_free(f);
}

static void the_clamp_lowers_what_is_too_large(void)
{
	static const uint8_t even[] = { 2, 4, 0x23, 0x28, 1, 1, 4, 2 }, odd[] = { 1, 2, 4, 0x23, 0x28, 1, 4, 2 }, low[] = { 2, 4, 2,
		0x18 },
		broken[] = { 8, 0, 2, 4, 0x23, 0x28, 1, 1 }, cut[] = { 1, 1, 1, 2 };
	struct filter *f = make("");
	struct filter_counters c;

	check_or_return(f);
	filter_set_mtu(f, 1500, 9000);
	for (unsigned kind = 0; kind < 8; kind++) {
		bool v6 = kind & 1, out = kind & 2;
		const uint8_t *options = kind & 4 ? odd : even;
		struct pk p = { .src = v6 ? PEER6 : PEER, .dst = v6 ? SERVER6 : SERVER, .proto = PK_TCP, .flags = PK_SYN, .options = options,
			.options_len = 8, .payload = 5 };

		if (out) {
			p.src = v6 ? SERVER6 : SERVER;
			p.dst = v6 ? PEER6 : PEER;
			p.flags |= PK_ACK;
		}
		check_eq((out ? from : to)(f, p), FILTER_PASS);
		check_eq(get_be16(frame.f.data + frame.f.l4 + 22 + !!(kind & 4)), v6 ? 1440 : 1460);
		check(pk_sums_right(&frame.f));
	}
	filter_counters(f, &c);
	check_eq(c.clamped, 8);
	/* Not in other segments, not upwards, not in what can't be read */
	check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_TCP, .flags = PK_ACK, .options = even, .options_len = 8 }), 0);
	check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_TCP, .flags = PK_SYN, .options = low, .options_len = 4 }), 0);
	check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_TCP, .flags = PK_SYN, .options = broken,
		.options_len = 8 }), 0);
	check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_TCP, .flags = PK_SYN, .options = cut, .options_len = 4 }), 0);
	filter_counters(f, &c);
	check_eq(c.clamped, 8);
	filter_set_policy(f, policy("nic.net0.mss = 1000"));
	check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_TCP, .flags = PK_SYN, .options = even, .options_len = 8 }), 0);
	check_eq(get_be16(frame.f.data + frame.f.l4 + 22), 1000);
	filter_set_policy(f, policy("nic.net0.mss = off"));
	check_eq(to(f, (struct pk){ .src = PEER, .dst = SERVER, .proto = PK_TCP, .flags = PK_SYN, .options = even, .options_len = 8 }), 0);
	check_eq(get_be16(frame.f.data + frame.f.l4 + 22), 9000);
	filter_free(f);
}

static void a_checksum_to_come_stays_as_it_is(void)
{
	static const uint8_t options[] = { 2, 4, 0x23, 0x28 };
	struct frame *f = pk_make(&frame, &(struct pk){ .src = PEER, .dst = SERVER, .proto = PK_TCP, .flags = PK_SYN, .options = options,
		.options_len = 4 });
	uint8_t *csum = f->data + f->l4 + 16;

	f->hdr = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = htole16(f->l4),
		.csum_offset = htole16(16) };
	put_be16(csum, 0x1234);
	check(mss_clamp(f, 1460, 1440));
	check_eq(get_be16(csum), 0x1234);
	check_eq(get_be16(f->data + f->l4 + 22), 1460);
}

static void who_sends_too_much_at_once_is_told(void)
{
	static uint8_t reply[FILTER_REPLY_MAX];
	struct filter *f = make("");
	struct pk big = { .src = PEER, .dst = SERVER, .proto = PK_UDP, .payload = 2000, .df = true }, big6 = big;
	struct frame answer = { .data = reply };
	unsigned told = 0;

	big6.src = PEER6;
	big6.dst = SERVER6;
	big6.vid = 7;
	check_or_return(f);
	check_eq(to(f, big), FILTER_PASS);	/* no limit is known */
	filter_set_mtu(f, 1500, 1400);
	check_eq(to(f, big), FILTER_TOO_BIG);
	answer.len = filter_reply(f, FILTER_TO_SERVER, &frame.f, reply, S);
	check_eq(answer.len, 14 + 576);
	check_eq(frame_parse(&answer), FRAME_OK);
	check(pk_sums_right(&answer));
	check(!memcmp(frame_dst(&answer), pk_peer, 6) && !memcmp(frame_src(&answer), pk_server, 6));
	check(!memcmp(answer.data + 30, frame.f.data + 26, 4) && !memcmp(answer.data + 26, frame.f.data + 30, 4));
	check_eq(get_be16(answer.data + 34), 0x0304);
	check_eq(get_be16(answer.data + 40), 1400);
	check(!memcmp(answer.data + 42, frame.f.data + 14, 548));
	check_eq(to(f, big6), FILTER_TOO_BIG);
	answer.len = filter_reply(f, FILTER_TO_SERVER, &frame.f, reply, S);
	check_eq(answer.len, 18 + 1280);
	check_eq(frame_parse(&answer), FRAME_OK);
	check_eq(answer.vid, 7);
	check(pk_sums_right(&answer));
	check_eq(answer.data[58], 2);
	check_eq(get_be32(answer.data + 62), 1400);
	/* Not: to be cut on the way, errors, groups; not too often */
	big.df = false;
	check_eq(to(f, big), FILTER_TOO_BIG);
	check_eq(filter_reply(f, FILTER_TO_SERVER, &frame.f, reply, S), 0);
	big.df = true;
	big.src = "0.0.0.0";
	check_eq(to(f, big), FILTER_TOO_BIG);
	check_eq(filter_reply(f, FILTER_TO_SERVER, &frame.f, reply, S), 0);
	big.src = PEER;
	check_eq(to(f, (struct pk){ .src = PEER6, .dst = SERVER6, .proto = PK_ICMP6, .sport = 0x0100, .payload = 2000 }), FILTER_TOO_BIG);
	check_eq(filter_reply(f, FILTER_TO_SERVER, &frame.f, reply, S), 0);
	check_eq(to(f, big), FILTER_TOO_BIG);
	for (unsigned i = 0; i < 1000; i++)
		told += filter_reply(f, FILTER_TO_SERVER, &frame.f, reply, S) > 0;
	check_eq(told, 98);
	filter_free(f);
}

static void super_frames_pass_when_their_segments_do(void)
{
	struct filter *f = make("");
	struct frame *big;

	check_or_return(f);
	filter_set_mtu(f, 1500, 1400);
	for (unsigned size = 1359; size < 1363; size++) {
		big = pk_make(&frame, &(struct pk){ .src = PEER, .dst = SERVER, .proto = PK_TCP, .flags = PK_ACK, .payload = 30000 });
		big->hdr = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
			.gso_size = htole16((uint16_t)size), .csum_start = htole16(34), .csum_offset = htole16(16) };
		check_eq(frame_parse(big), FRAME_OK);
		check_eq(filter_pass(f, FILTER_TO_SERVER, big, S), size <= 1360 ? FILTER_PASS : FILTER_TOO_BIG);
	}
	check_eq(guard_frames(big), 23);
	filter_free(f);
}

static void causes_have_names_and_bad_macs_none(void)
{
	struct filter *f = NULL;
	struct err err;

	for (unsigned i = 0; i < FILTER_CAUSES; i++)
		check(filter_cause_name(i)[0]);
	check_str(filter_cause_name(FILTER_TOO_BIG), "too-big");
	check_str(filter_cause_name(99), "unknown");
	check_eq(-filter_create(everybody, policy(""), &f, &err), EINVAL);
	check_str(err.text, "a NIC's MAC can't be a group's");
	filter_free(NULL);
}

static const struct test filter_tests[] = {
	{ "a server is who it is", a_server_is_who_it_is },
	{ "addresses can not be forged", addresses_can_not_be_forged },
	{ "link-local addresses pass, but not a router's", link_local_addresses_pass_but_not_a_routers },
	{ "reserved groups stay on their wire", reserved_groups_stay_on_their_wire },
	{ "storms and rates are limited by direction", storms_and_rates_are_limited_by_direction },
	{ "the clamp lowers what is too large", the_clamp_lowers_what_is_too_large },
	{ "a checksum to come stays as it is", a_checksum_to_come_stays_as_it_is },
	{ "who sends too much at once is told", who_sends_too_much_at_once_is_told },
	{ "super-frames pass when their segments do", super_frames_pass_when_their_segments_do },
	{ "causes have names, and bad MACs none", causes_have_names_and_bad_macs_none },
	{ 0 }
};
const struct suite suite_lib_l2_filter = { filter_tests };
