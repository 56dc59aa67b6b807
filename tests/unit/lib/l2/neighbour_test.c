/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/neighbour.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "lib/bits.h"
#include "tests/unit/lib/l2/packets.h"
#include "tests/unit/suite.h"

#define S 1000000000ull
#define SERVER "192.0.2.10"
#define SERVER6 "2001:db8::10"
#define PEER "192.0.2.7"
#define PEER6 "2001:db8::7"

static struct pk_frame frame;
static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, third[6] = { 2, 0, 0, 0, 0, 3 };

static struct address ip(const char *text)
{
	struct address a;
	bool v6;

	check_eq(address_parse(text, &a, &v6), 0);
	return a;
}

static bool is(const uint8_t *mac, const uint8_t *want)
{
	return mac && want ? !memcmp(mac, want, 6) : mac == want;
}

/* The same message behind two tags, or a provider's. */
static const struct frame *retag(struct pk_frame *p, uint16_t outer, uint16_t vid, uint16_t inner)
{
	static uint8_t buf[256];
	static struct frame f;
	struct frame *from = &p->f;

	f = *from;
	memcpy(buf, from->data, 12);
	put_be16(buf + 12, outer);
	put_be16(buf + 14, vid);
	put_be16(buf + 16, inner);
	put_be16(buf + 18, 6);
	memcpy(buf + (inner ? 20 : 16), from->data + 12, from->len - 12);
	f.data = buf;
	f.len = from->len + (inner ? 8 : 4);
	check_eq(frame_parse(&f), FRAME_OK);
	return &f;
}

/* One tag is a VLAN; who has more tags is of another one, and answers could not name it. */
static void other_tags_are_other_networks(void)
{
	struct neighbours *t;
	uint8_t buf[NEIGHBOUR_FRAME];

	check_or_return(!neighbours_create(16, 120, &t));
	pk_arp(&frame, 1, pk_peer, everybody, pk_peer, PEER, SERVER);
	neighbours_learn(t, retag(&frame, 0x8100, 5, 0), S);
	check(is(neighbours_find(t, 5, ip(PEER), S), pk_peer));
	pk_arp(&frame, 1, third, everybody, third, PEER, SERVER);
	neighbours_learn(t, retag(&frame, 0x8100, 5, 0x8100), S);
	neighbours_learn(t, retag(&frame, 0x88a8, 5, 0), S);
	check(is(neighbours_find(t, 5, ip(PEER), S), pk_peer));
	neighbours_learn(t, retag(&frame, 0x8100, 0, 0x8100), S);
	check(is(neighbours_find(t, FRAME_NO_VID, ip(PEER), S), NULL));
	pk_arp(&frame, 1, third, everybody, third, SERVER, PEER);
	check_eq(neighbours_answer(t, retag(&frame, 0x8100, 5, 0x8100), buf, S), 0);
	check_eq(neighbours_answer(t, retag(&frame, 0x88a8, 5, 0), buf, S), 0);
	check(neighbours_answer(t, retag(&frame, 0x8100, 5, 0), buf, S) > 0);
	neighbours_free(t);
}

static void owners_are_learnt_and_age(void)
{
	struct neighbours *t;

	check_or_return(!neighbours_create(16, 120, &t));
	check(neighbours_learn(t, pk_arp(&frame, 1, pk_peer, everybody, pk_peer, PEER, SERVER), S));
	check(is(neighbours_find(t, FRAME_NO_VID, ip(PEER), S), pk_peer));
	check(is(neighbours_find(t, 5, ip(PEER), S), NULL));
	check(is(neighbours_find(t, FRAME_NO_VID, ip(SERVER), S), NULL));
	check(neighbours_learn(t, pk_arp(&frame, 2, third, pk_peer, third, PEER, SERVER), S));
	check(is(neighbours_find(t, FRAME_NO_VID, ip(PEER), S), third));
	check_eq(neighbours_counters(t)->moved, 1);
	check(is(neighbours_find(t, FRAME_NO_VID, ip(PEER), 121 * S), third));
	check(is(neighbours_find(t, FRAME_NO_VID, ip(PEER), 122 * S), NULL));
	/* Nothing is learnt from a probe, and from who speaks for another station. */
	check(neighbours_learn(t, pk_arp(&frame, 1, pk_peer, everybody, pk_peer, "0.0.0.0", PEER), S));
	check(neighbours_learn(t, pk_arp(&frame, 2, pk_peer, everybody, third, PEER, PEER), S));
	check(is(neighbours_find(t, FRAME_NO_VID, ip(PEER), S), NULL));
	check(neighbours_learn(t, pk_nd(&frame, false, 136, PEER6, "ff02::1", PEER6, 2, pk_peer), S));
	check(is(neighbours_find(t, FRAME_NO_VID, ip(PEER6), S), pk_peer));
	check(neighbours_learn(t, pk_nd(&frame, false, 135, "fe80::7", "ff02::1:ff00:10", SERVER6, 1, pk_peer), S));
	check(is(neighbours_find(t, FRAME_NO_VID, ip("fe80::7"), S), pk_peer));
	neighbours_forget(t, pk_peer);
	check(is(neighbours_find(t, FRAME_NO_VID, ip(PEER6), S), NULL));
	for (unsigned i = 0; i < 200; i++) {
		char text[32];

		snprintf(text, sizeof text, "10.0.0.%u", i);
		check(neighbours_learn(t, pk_arp(&frame, 1, pk_peer, everybody, pk_peer, text, SERVER), S));
	}
	check_eq(neighbours_counters(t)->evicted, 184);
	neighbours_free(t);
	neighbours_free(NULL);
	check_eq(-neighbours_create(15, 1, &t), EINVAL);
	check_eq(-neighbours_create(16, 0, &t), EINVAL);
}

static void a_pinned_address_can_not_be_claimed(void)
{
	struct neighbours *t;

	check_or_return(!neighbours_create(16, 120, &t));
	check_eq(neighbours_pin(t, FRAME_NO_VID, ip(SERVER), pk_server), 0);
	check_eq(neighbours_pin(t, FRAME_NO_VID, ip(SERVER), pk_server), 0);
	check_eq(-neighbours_pin(t, FRAME_NO_VID, ip(SERVER), third), EEXIST);
	check_eq(-neighbours_pin(t, FRAME_NO_VID, ip(SERVER), everybody), EINVAL);
	check(!neighbours_learn(t, pk_arp(&frame, 1, pk_peer, everybody, pk_peer, SERVER, SERVER), S));
	check_eq(neighbours_counters(t)->refused, 1);
	check(is(neighbours_find(t, FRAME_NO_VID, ip(SERVER), 99999 * S), pk_server));
	neighbours_unpin(t, FRAME_NO_VID, ip(SERVER));
	check(is(neighbours_find(t, FRAME_NO_VID, ip(SERVER), S), NULL));
	for (unsigned i = 0; i < 16; i++) {
		char text[32];

		snprintf(text, sizeof text, "10.0.0.%u", i);
		check_eq(neighbours_pin(t, 1, ip(text), pk_server), 0);
	}
	check_eq(-neighbours_pin(t, 1, ip(SERVER), pk_server), ENOSPC);
	check(neighbours_learn(t, pk_arp(&frame, 1, pk_peer, everybody, pk_peer, PEER, SERVER), S));
	check(is(neighbours_find(t, FRAME_NO_VID, ip(PEER), S), NULL));
	neighbours_free(t);
}

static void questions_are_answered_for_the_owner(void)
{
	uint8_t buf[NEIGHBOUR_FRAME];
	struct frame f = { .data = buf };
	struct neighbours *t;

	check_or_return(!neighbours_create(16, 120, &t));
	check_eq(neighbours_pin(t, FRAME_NO_VID, ip(SERVER), pk_server), 0);
	check_eq(neighbours_pin(t, FRAME_NO_VID, ip(SERVER6), pk_server), 0);
	f.len = neighbours_answer(t, pk_arp(&frame, 1, pk_peer, everybody, pk_peer, PEER, SERVER), buf, S);
	check_eq(f.len, 60);
	check_eq(frame_parse(&f), FRAME_OK);
	check(is(frame_dst(&f), pk_peer) && is(frame_src(&f), pk_server));
	check(!memcmp(buf + 14, "\x00\x01\x08\x00\x06\x04\x00\x02", 8) && is(buf + 22, pk_server) && !memcmp(buf + 28,
		"\xc0\x00\x02\x0a", 4));
	check(is(buf + 32, pk_peer) && !memcmp(buf + 38, "\xc0\x00\x02\x07", 4));
	f.len = neighbours_answer(t, pk_nd(&frame, false, 135, PEER6, "ff02::1:ff00:10", SERVER6, 1, pk_peer), buf, S);
	check_eq(f.len, 86);
	check_eq(frame_parse(&f), FRAME_OK);
	check(pk_sums_right(&f) && is(frame_dst(&f), pk_peer));
	check_eq(buf[54], 136);
	check_eq(buf[58], 0x60);	/* solicited, override, no router */
	check(neighbours_learn(t, &f, S) && is(neighbours_find(t, FRAME_NO_VID, ip(SERVER6), S), pk_server));
	/* Left to the owner: not known, not to everybody, duplicates, its own */
	check_eq(neighbours_answer(t, pk_arp(&frame, 1, pk_peer, everybody, pk_peer, PEER, "192.0.2.99"), buf, S), 0);
	check_eq(neighbours_answer(t, pk_arp(&frame, 1, pk_peer, pk_server, pk_peer, PEER, SERVER), buf, S), 0);
	check_eq(neighbours_answer(t, pk_arp(&frame, 1, pk_peer, everybody, pk_peer, "0.0.0.0", SERVER), buf, S), 0);
	check_eq(neighbours_answer(t, pk_arp(&frame, 1, pk_peer, everybody, pk_peer, SERVER, SERVER), buf, S), 0);
	check_eq(neighbours_answer(t, pk_arp(&frame, 2, pk_peer, everybody, pk_peer, PEER, SERVER), buf, S), 0);
	check_eq(neighbours_answer(t, pk_arp(&frame, 1, pk_server, everybody, pk_server, PEER, SERVER), buf, S), 0);
	check_eq(neighbours_answer(t, pk_nd(&frame, false, 135, "::", "ff02::1:ff00:10", SERVER6, 1, NULL), buf, S), 0);
	check_eq(neighbours_counters(t)->answered, 2);
	neighbours_free(t);
}

static void a_routers_answer_says_so(void)
{
	uint8_t buf[NEIGHBOUR_FRAME];
	struct neighbours *t;
	struct frame *f;

	check_or_return(!neighbours_create(16, 120, &t));
	f = pk_nd(&frame, false, 136, "fe80::1", "ff02::1", "fe80::1", 2, pk_peer);
	f->data[f->l4 + 4] = 0xa0;
	check(neighbours_learn(t, f, S));
	check_eq(neighbours_answer(t, pk_nd(&frame, true, 135, SERVER6, "ff02::1:ff00:1", "fe80::1", 1, pk_server), buf, S), 86);
	check_eq(buf[58], 0xe0);
	neighbours_free(t);
}

static void announcements_are_learnt(void)
{
	uint8_t buf[NEIGHBOUR_FRAME];
	struct frame f = { .data = buf };
	struct neighbours *t;

	check_or_return(!neighbours_create(16, 120, &t));
	for (unsigned vlan = 0; vlan < 2; vlan++) {
		uint16_t vid = vlan ? 100 : FRAME_NO_VID;

		f.len = neighbour_announce_arp(buf, vid, pk_server, ip(SERVER));
		check_eq(f.len, 60);
		check_eq(frame_parse(&f), FRAME_OK);
		check_eq(f.vid, vid);
		check(is(frame_dst(&f), everybody) && neighbours_learn(t, &f, S));
		check(is(neighbours_find(t, vid, ip(SERVER), S), pk_server));
		f.len = neighbour_announce_na(buf, vid, pk_server, ip(SERVER6));
		check_eq(f.len, vlan ? 90 : 86);
		check_eq(frame_parse(&f), FRAME_OK);
		check(pk_sums_right(&f) && frame_is_multicast(&f) && neighbours_learn(t, &f, S));
		check(is(neighbours_find(t, vid, ip(SERVER6), S), pk_server));
		f.len = neighbour_announce_rarp(buf, vid, pk_server);
		check_eq(f.len, 60);
		check_eq(frame_parse(&f), FRAME_OK);
		check_eq(f.type, 0x8035);
		check(is(frame_src(&f), pk_server));
	}
	neighbours_free(t);
}

static const struct test neighbour_tests[] = {
	{ "other tags are other networks", other_tags_are_other_networks },
	{ "owners are learnt and age", owners_are_learnt_and_age },
	{ "a pinned address can not be claimed", a_pinned_address_can_not_be_claimed },
	{ "questions are answered for the owner", questions_are_answered_for_the_owner },
	{ "a router's answer says so", a_routers_answer_says_so },
	{ "announcements are learnt", announcements_are_learnt },
	{ 0 }
};
const struct suite suite_lib_l2_neighbour = { neighbour_tests };
