/* SPDX-License-Identifier: Apache-2.0 */
/* The switch with a LAN and ports that only write down what they were given. */
#include "lcg/segment.h"
#include <errno.h>
#include "lcg/lan.h"
#include "lib/bits.h"
#include "tests/unit/suite.h"

enum { PORTS = 3, TYPE = 0x88b6, ARP = 0x0806 };
#define T0 1000000000000ull

struct end { unsigned frames; size_t len; uint8_t first[64]; uint32_t tci; };

struct rig {
	struct segment *segment;
	struct segment_port *port[PORTS];
	struct filter *filter[PORTS];
	struct end lan, server[PORTS], mirror;
	unsigned between;
	uint8_t buf[LAN_HEADROOM + 256];
};

static const uint8_t client[6] = { 2, 0, 0, 0, 0, 0xc1 }, all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t mac[PORTS][6] = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 }, { 2, 0, 0, 0, 0, 3 } };

static void note(struct end *e, const struct frame *f, uint32_t tci)
{
	e->frames++;
	e->len = f->len;
	e->tci = tci;
	memcpy(e->first, f->data, f->len < sizeof e->first ? f->len : sizeof e->first);
}

static void to_lan(void *ctx, const struct frame *f, uint32_t tci) { note(&((struct rig *)ctx)->lan, f, tci); }
static void to_mirror(void *ctx, const struct frame *f) { note(&((struct rig *)ctx)->mirror, f, 0); }
static void on_between(void *ctx, void *from, void *to) { ((struct rig *)ctx)->between++; }
static void to_server(void *ctx, struct frame *f) { note(ctx, f, 0); }

static const struct segment_ops ops = { .to_lan = to_lan, .mirror = to_mirror, .between = on_between };

static void setup(struct rig *r, const struct segment_config *config, const char *keys)
{
	struct config *placement;
	struct policy *policy;
	struct err err;

	memset(r, 0, sizeof *r);
	CU_ASSERT_FATAL(!config_parse("p", keys, strlen(keys), &placement, &err));
	CU_ASSERT_FATAL(!segment_create(config, &ops, r, &r->segment, &err));
	for (unsigned i = 0; i < PORTS; i++) {
		CU_ASSERT_FATAL(!policy_read(placement, "net0", &policy, &err));
		CU_ASSERT_FATAL(!filter_create(mac[i], policy, &r->filter[i], &err));
		CU_ASSERT_FATAL(!segment_add_port(r->segment, "s net0", mac[i], r->filter[i], to_server, &r->server[i], &r->port[i], &err));
	}
	config_free(placement);
	/* the third one is served by another gateway */
	segment_port_set_active(r->port[0], true, T0);
	segment_port_set_active(r->port[1], true, T0);
	r->lan = (struct end){ 0 };
}

static void drop(struct rig *r)
{
	for (unsigned i = 0; i < PORTS; i++) {
		segment_remove_port(r->port[i]);
		filter_free(r->filter[i]);
	}
	segment_free(r->segment);
}

static const struct segment_config untagged = { .name = "office", .vid = FRAME_NO_VID }, access20 = { .name = "office", .vid = 20 },
	trunk = { .name = "office", .vid = FRAME_NO_VID, .trunk = true };

static struct frame make(struct rig *r, const uint8_t *dst, const uint8_t *src, uint16_t type)
{
	struct frame f = { .data = r->buf + LAN_HEADROOM, .len = 60 };

	memset(f.data, 0, f.len);
	memcpy(f.data, dst, 6);
	memcpy(f.data + 6, src, 6);
	put_be16(f.data + 12, type);
	return f;
}

static void from_lan(struct rig *r, const uint8_t *dst, const uint8_t *src)
{
	struct frame f = make(r, dst, src, TYPE);

	segment_from_lan(r->segment, &f, T0);
}

static void from_port(struct rig *r, unsigned port, struct frame f)
{
	check_eq(frame_parse(&f), FRAME_OK);
	segment_from_port(r->port[port], &f, T0);
}

static uint64_t dropped(const struct rig *r, enum segment_drop why)
{
	return segment_counters(r->segment)->drop[why];
}

/* ---- tests */

static void from_the_lan(void)
{
	struct rig r;

	setup(&r, &untagged, "");
	from_lan(&r, mac[0], client);
	check_eq(r.server[0].frames, 1);
	check_eq(r.server[1].frames, 0);
	check_eq(r.mirror.frames, 1);
	/* to somebody on the LAN, and to a server that another gateway serves: nobody's here */
	from_lan(&r, (const uint8_t[6]){ 2, 0, 0, 0, 0, 0xc2 }, client);
	from_lan(&r, mac[2], client);
	check_eq(segment_counters(r.segment)->foreign, 2);
	from_lan(&r, all, client);
	check_eq(r.server[0].frames, 2);
	check_eq(r.server[1].frames, 1);
	check_eq(r.server[2].frames, 0);
	check_eq(r.mirror.frames, 2);
	check_eq(segment_counters(r.segment)->from_lan, 2);
	check_eq(r.lan.frames, 0);
	drop(&r);
}

static void from_servers(void)
{
	struct rig r;

	setup(&r, &untagged, "");
	from_port(&r, 0, make(&r, client, mac[0], TYPE));
	check_eq(r.lan.frames, 1);
	check_eq(r.lan.tci, VLAN_NO_TCI);
	from_port(&r, 0, make(&r, mac[1], mac[0], TYPE));
	check_eq(r.lan.frames, 1);
	check_eq(r.server[1].frames, 1);
	check_eq(r.between, 1);
	/* the gateway that serves the third one is on the LAN */
	from_port(&r, 0, make(&r, mac[2], mac[0], TYPE));
	check_eq(r.lan.frames, 2);
	from_port(&r, 0, make(&r, all, mac[0], TYPE));
	check_eq(r.lan.frames, 3);
	check_eq(r.server[0].frames, 0);
	check_eq(r.server[1].frames, 2);
	/* to itself */
	from_port(&r, 0, make(&r, mac[0], mac[0], TYPE));
	check_eq(dropped(&r, SEGMENT_SOURCE), 1);
	check_eq(r.server[0].frames, 0);
	/* who is passive says nothing */
	from_port(&r, 2, make(&r, client, mac[2], TYPE));
	check_eq(r.lan.frames, 3);
	drop(&r);
}

static void both_sides_of_a_mac(void)
{
	struct filter_counters c;
	struct rig r;

	setup(&r, &untagged, "");
	from_lan(&r, all, mac[0]);
	from_lan(&r, client, mac[1]);
	check_eq(dropped(&r, SEGMENT_LOOP), 2);
	check_eq(r.server[1].frames, 0);
	/* one that another gateway serves is on the LAN by right */
	from_lan(&r, mac[0], mac[2]);
	check_eq(r.server[0].frames, 1);
	from_port(&r, 0, make(&r, client, mac[1], TYPE));
	check_eq(r.lan.frames, 0);
	filter_counters(r.filter[0], &c);
	check_eq(c.cause[FILTER_SPOOFED_MAC], 1);
	/* passive: its MAC is free again */
	segment_port_set_active(r.port[0], false, T0);
	from_lan(&r, mac[1], mac[0]);
	check_eq(r.server[1].frames, 1);
	drop(&r);
}

static void access_segment(void)
{
	struct frame f;
	struct rig r;

	setup(&r, &access20, "");
	from_port(&r, 0, make(&r, client, mac[0], TYPE));
	check_eq(r.lan.tci, 20);
	/* a tag of priority alone goes over into the LAN's */
	f = make(&r, client, mac[0], VLAN_TPID);
	put_be16(f.data + 14, 0xa000);
	put_be16(f.data + 16, TYPE);
	from_port(&r, 0, f);
	check_eq(r.lan.frames, 2);
	check_eq(r.lan.tci, 0xa014);
	check_eq(r.lan.len, 56);
	check_eq(get_be16(r.lan.first + 12), TYPE);
	/* any other tag, one behind it, and a provider's: into VLANs that are none of the server's business */
	f = make(&r, client, mac[0], VLAN_TPID);
	put_be16(f.data + 14, 30);
	from_port(&r, 0, f);
	f = make(&r, client, mac[0], VLAN_TPID);
	put_be16(f.data + 16, VLAN_TPID);
	put_be16(f.data + 18, 30);
	from_port(&r, 0, f);
	from_port(&r, 0, make(&r, client, mac[0], VLAN_TPID_SERVICE));
	check_eq(dropped(&r, SEGMENT_VLAN), 3);
	check_eq(r.lan.frames, 2);
	drop(&r);
}

/* A frame from the LAN, whose tag of the segment is off already, with one more. */
static void tagged_from_lan(struct rig *r, uint16_t tpid, uint16_t tci, uint16_t type)
{
	struct frame f = make(r, mac[0], client, tpid);

	put_be16(f.data + 14, tci);
	put_be16(f.data + 16, type);
	put_be16(f.data + 18, 30);
	segment_from_lan(r->segment, &f, T0);
}

static void second_tags(void)
{
	struct frame f;
	struct rig r;

	setup(&r, &access20, "");
	tagged_from_lan(&r, VLAN_TPID, 30, TYPE);
	tagged_from_lan(&r, VLAN_TPID, 0xa000, VLAN_TPID);
	tagged_from_lan(&r, VLAN_TPID_SERVICE, 30, TYPE);
	check_eq(dropped(&r, SEGMENT_VLAN), 3);
	check_eq(r.server[0].frames, 0);
	/* one of priority alone says no VLAN */
	tagged_from_lan(&r, VLAN_TPID, 0xa000, TYPE);
	check_eq(r.server[0].frames, 1);
	check_eq(r.server[0].len, 56);
	check_eq(get_be16(r.server[0].first + 12), TYPE);
	/* half a tag */
	f = make(&r, client, mac[0], VLAN_TPID);
	f.len = 16;
	from_port(&r, 0, f);
	check_eq(dropped(&r, SEGMENT_VLAN), 4);
	check_eq(r.lan.frames, 0);
	drop(&r);
}

/* A big packet with DF from src to server 0, whose NIC takes less. */
static struct frame big(struct rig *r, const uint8_t *src)
{
	struct frame f = make(r, mac[0], src, 0x0800);
	uint8_t *ip = f.data + 14;

	f.len = 214;
	memset(ip, 0, 200);
	ip[0] = 0x45;
	put_be16(ip + 2, 200);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, (uint8_t[8]){ 192, 0, 2, 1, 192, 0, 2, 10 }, 8);
	return f;
}

/* Who sends too much at once is told, where it is. */
static void too_big(void)
{
	struct frame f;
	struct rig r;

	setup(&r, &untagged, "");
	segment_set_mtu(r.segment, 9000);
	segment_port_set_nic_mtu(r.port[0], 150);
	f = big(&r, client);
	segment_from_lan(r.segment, &f, T0);
	check_eq(r.server[0].frames, 0);
	check_eq(r.lan.frames, 1);
	check(!memcmp(r.lan.first, client, 6) && r.lan.first[34] == 3 && r.lan.first[35] == 4);
	from_port(&r, 1, big(&r, mac[1]));
	check_eq(r.lan.frames, 1);
	check_eq(r.server[1].frames, 1);
	check(!memcmp(r.server[1].first, mac[1], 6) && get_be16(r.server[1].first + 40) == 150);
	check_eq(segment_counters(r.segment)->too_big, 2);
	/* the LAN's is still known when a NIC's changes */
	segment_port_set_nic_mtu(r.port[0], 0);
	f = big(&r, client);
	segment_from_lan(r.segment, &f, T0);
	check_eq(r.server[0].frames, 1);
	drop(&r);
}

static void trunk_segment(void)
{
	struct frame f;
	struct rig r;

	setup(&r, &trunk, "");
	f = make(&r, client, mac[0], VLAN_TPID);
	put_be16(f.data + 14, 30);
	put_be16(f.data + 16, TYPE);
	from_port(&r, 0, f);
	check_eq(r.lan.frames, 1);
	check_eq(r.lan.tci, VLAN_NO_TCI);
	check_eq(get_be16(r.lan.first + 14), 30);
	f = make(&r, mac[0], client, VLAN_TPID);
	put_be16(f.data + 14, 30);
	segment_from_lan(r.segment, &f, T0);
	check_eq(r.server[0].frames, 1);
	check_eq(r.server[0].len, 60);
	drop(&r);
}

static void bad_frames(void)
{
	struct frame f;
	struct rig r;

	setup(&r, &untagged, "");
	f = make(&r, all, client, TYPE);
	f.len = 13;
	segment_from_lan(r.segment, &f, T0);
	check_eq(dropped(&r, SEGMENT_FRAME_SHORT), 1);
	f = make(&r, all, client, TYPE);
	f.hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	segment_from_lan(r.segment, &f, T0);
	check_eq(dropped(&r, SEGMENT_FRAME_IP), 1);
	f = make(&r, all, client, TYPE);
	f.hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f.hdr.csum_start = htole16(59);
	segment_from_lan(r.segment, &f, T0);
	check_eq(dropped(&r, SEGMENT_FRAME_OFFLOAD), 1);
	from_lan(&r, (const uint8_t[6]){ 1, 0x80, 0xc2, 0, 0, 0 }, client);
	check_eq(dropped(&r, SEGMENT_RESERVED), 1);
	from_lan(&r, mac[0], (const uint8_t[6]){ 3, 0, 0, 0, 0, 1 });
	check_eq(dropped(&r, SEGMENT_SOURCE), 1);
	check_eq(r.server[0].frames, 0);
	drop(&r);
}

static void announces(void)
{
	static const uint8_t arp[28] = { 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1 };
	struct frame f;
	struct rig r;

	setup(&r, &untagged, "");
	segment_port_set_active(r.port[0], false, T0);
	check_eq(r.lan.frames, 0);
	segment_port_set_active(r.port[0], true, T0);
	check_eq(r.lan.frames, 1);
	check(!memcmp(r.lan.first, all, 6) && !memcmp(r.lan.first + 6, mac[0], 6));
	check_eq(get_be16(r.lan.first + 12), 0x8035);
	/* an address that it says it has */
	f = make(&r, all, mac[0], ARP);
	memcpy(f.data + 14, arp, sizeof arp);
	from_port(&r, 0, f);
	check_eq(r.lan.frames, 2);
	segment_port_announce(r.port[0], T0);
	check_eq(r.lan.frames, 4);
	check_eq(get_be16(r.lan.first + 12), ARP);
	check(!memcmp(r.lan.first + 28, arp + 14, 4) && !memcmp(r.lan.first + 38, arp + 14, 4));
	/* somebody else on the LAN took it over since */
	f = make(&r, all, client, ARP);
	memcpy(f.data + 14, arp, sizeof arp);
	memcpy(f.data + 22, client, 6);
	segment_from_lan(r.segment, &f, T0);
	segment_port_announce(r.port[0], T0);
	check_eq(r.lan.frames, 5);
	check_eq(get_be16(r.lan.first + 12), 0x8035);
	/* passive: nothing is said */
	segment_port_announce(r.port[2], T0);
	check_eq(r.lan.frames, 5);
	drop(&r);
}

static void answers_in_others_place(void)
{
	static const struct segment_config config = { .name = "office", .vid = FRAME_NO_VID, .suppress = true };
	static const uint8_t ask[28] = { 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1 };
	static const uint8_t back[28] = { 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 0xc1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 10 };
	struct frame f;
	struct rig r;

	setup(&r, &config, "");
	f = make(&r, all, mac[0], ARP);
	memcpy(f.data + 14, ask, sizeof ask);
	from_port(&r, 0, f);
	check_eq(r.lan.frames, 1);	/* nobody knows yet */
	f = make(&r, all, client, ARP);
	memcpy(f.data + 14, back, sizeof back);
	segment_from_lan(r.segment, &f, T0);
	check_eq(r.server[0].frames, 0);
	check_eq(r.lan.frames, 2);
	check(!memcmp(r.lan.first, client, 6) && !memcmp(r.lan.first + 6, mac[0], 6));
	/* and the server is told of the client */
	f = make(&r, all, mac[0], ARP);
	memcpy(f.data + 14, ask, sizeof ask);
	from_port(&r, 0, f);
	check_eq(r.lan.frames, 2);
	check_eq(r.server[0].frames, 1);
	check(!memcmp(r.server[0].first + 6, client, 6));
	/* among themselves those of the LAN are not answered for */
	f = make(&r, all, (const uint8_t[6]){ 2, 0, 0, 0, 0, 0xc2 }, ARP);
	memcpy(f.data + 14, ask, sizeof ask);
	memcpy(f.data + 22, "\2\0\0\0\0\xc2", 6);
	f.data[31] = 77;
	segment_from_lan(r.segment, &f, T0);
	check_eq(r.lan.frames, 2);
	check_eq(segment_counters(r.segment)->answers, 2);
	drop(&r);
}

static void no_two_servers_with_one_mac(void)
{
	struct segment_port *other;
	struct filter *filter;
	struct policy *policy;
	struct config *none;
	struct err err;
	struct rig r;

	setup(&r, &untagged, "");
	CU_ASSERT_FATAL(!config_create(&none) && !policy_read(none, "net0", &policy, &err) && !filter_create(mac[0], policy,
		&filter, &err));
	CU_ASSERT_FATAL(!segment_add_port(r.segment, "t net0", mac[0], filter, to_server, &r.server[2], &other, &err));
	segment_port_set_active(other, true, T0);
	from_lan(&r, mac[0], client);
	check_eq(r.server[0].frames, 1);
	check_eq(r.server[2].frames, 0);
	segment_remove_port(other);
	filter_free(filter);
	config_free(none);
	drop(&r);
}

static const struct test tests[] = {
	{ "from the LAN", from_the_lan },
	{ "from servers", from_servers },
	{ "both sides of a MAC", both_sides_of_a_mac },
	{ "access segment", access_segment },
	{ "second tags", second_tags },
	{ "too big", too_big },
	{ "trunk segment", trunk_segment },
	{ "bad frames", bad_frames },
	{ "announces", announces },
	{ "answers in others' place", answers_in_others_place },
	{ "no two servers with one MAC", no_two_servers_with_one_mac },
	{ NULL },
};
const struct suite suite_lcg_segment = { tests };
