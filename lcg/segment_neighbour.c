/* SPDX-License-Identifier: Apache-2.0 */
/* What a segment knows about addresses: for answers in others' place, and for announcements when a NIC moves to this gateway. */
#include <string.h>
#include "lcg/lan.h"
#include "lcg/segment_priv.h"
#include "lib/bits.h"
#include "lib/l2/offload.h"

enum { TYPE_ARP = 0x0806, ARP_LEN = 28, ARP_SENDER_IP = 14, ICMP6 = 58, ND_SOLICITATION = 135, ND_ADVERTISEMENT = 136, ND_LEN = 24,
	ND_TARGET = 8 };

/* ---- which addresses a server says it has */

/* Not by what it sends from: a server that routes sends from everybody's. */
static bool claimed(const struct frame *f, struct address *ip, bool *v6)
{
	static const uint8_t none[16];
	size_t at = f->vid == FRAME_NO_VID ? FRAME_MIN : FRAME_MIN + VLAN_TAG;
	bool discovery = f->type == NET_ETH_IPV6 && f->l4 && f->proto == ICMP6 && f->end >= f->l4 + (size_t)ND_LEN;
	const uint8_t *l4 = f->data + f->l4, *address;

	*v6 = discovery;
	/* behind more tags is another network */
	if (f->body != at)
		return false;
	if (f->type == TYPE_ARP && f->len >= at + ARP_LEN && get_be16(f->data + at - 2) == TYPE_ARP)
		address = f->data + at + ARP_SENDER_IP;
	else if (discovery && l4[0] == ND_ADVERTISEMENT)
		address = l4 + ND_TARGET;
	else if (discovery && l4[0] == ND_SOLICITATION)
		address = f->data + f->l3 + 8;
	else
		return false;
	if (!memcmp(address, none, *v6 ? 16 : 4) || (*v6 && address[0] == 0xff))
		return false;
	*ip = address_of(address, *v6);
	return true;
}

static void keep(struct segment_port *p, struct address ip, uint16_t vid, bool v6)
{
	for (unsigned i = 0; i < p->addresses; i++)
		if (address_eq(p->address[i].ip, ip) && p->address[i].vid == vid)
			return;
	/* the oldest is forgotten: a server may have changed its addresses many times */
	if (p->addresses == SEGMENT_ADDRESSES)
		memmove(p->address, p->address + 1, --p->addresses * sizeof p->address[0]);
	p->address[p->addresses].ip = ip;
	p->address[p->addresses].vid = vid;
	p->address[p->addresses++].v6 = v6;
}

static struct segment_port *by_mac(struct segment *s, const uint8_t *mac)
{
	for (unsigned i = 0; i < s->highest; i++)
		if (s->port[i] && !memcmp(s->port[i]->mac, mac, FRAME_MAC))
			return s->port[i];
	return NULL;
}

void segment_neighbour_hear(struct segment *s, const struct frame *f, uint64_t now_ns)
{
	struct segment_port *p;
	struct address ip;
	bool v6;

	if (!claimed(f, &ip, &v6) || !neighbours_learn(s->neighbours, f, now_ns))
		return;
	p = by_mac(s, frame_src(f));
	if (p)
		keep(p, ip, f->vid, v6);
}

/* ---- announcements */

static void announce(struct segment *s, uint8_t *buf, size_t len)
{
	struct frame f = { .data = buf, .len = len };

	s->counters.announcements++;
	segment_send_made(s, &f);
}

void segment_port_announce(struct segment_port *p, uint64_t now_ns)
{
	uint8_t buf[LAN_HEADROOM + NEIGHBOUR_FRAME], *at = buf + LAN_HEADROOM;
	struct segment *s = p->segment;

	if (!p->active)
		return;
	announce(s, at, neighbour_announce_rarp(at, FRAME_NO_VID, p->mac));
	for (unsigned i = 0; i < p->addresses; i++) {
		const uint8_t *owner = neighbours_find(s->neighbours, p->address[i].vid, p->address[i].ip, now_ns);

		/* an address that has moved to another machine since is that one's */
		if (owner && memcmp(owner, p->mac, FRAME_MAC))
			continue;
		announce(s, at, (p->address[i].v6 ? neighbour_announce_na : neighbour_announce_arp)(at, p->address[i].vid, p->mac,
			p->address[i].ip));
	}
}

/* ---- answers in others' place */

static bool answer(struct segment *s, const struct frame *f, struct frame *a, uint64_t now_ns)
{
	if (!s->config.suppress)
		return false;
	a->len = neighbours_answer(s->neighbours, f, a->data, now_ns);
	return a->len;
}

bool segment_neighbour_from_lan(struct segment *s, struct frame *f, uint64_t now_ns)
{
	uint8_t buf[LAN_HEADROOM + NEIGHBOUR_FRAME];
	struct frame a = { .data = buf + LAN_HEADROOM };

	/* In a server's name only: who is on the LAN answers itself. */
	if (!answer(s, f, &a, now_ns) || fdb_find(s->fdb, 0, frame_src(&a), now_ns) <= 0)
		return false;
	s->counters.answers++;
	segment_send_made(s, &a);
	return true;
}

bool segment_neighbour_from_port(struct segment_port *p, struct frame *f, uint64_t now_ns)
{
	uint8_t buf[LAN_HEADROOM + NEIGHBOUR_FRAME];
	struct frame a = { .data = buf + LAN_HEADROOM };
	struct segment *s = p->segment;
	struct address ip;
	bool v6;

	if (claimed(f, &ip, &v6) && neighbours_learn(s->neighbours, f, now_ns))
		keep(p, ip, f->vid, v6);
	if (!answer(s, f, &a, now_ns) || !memcmp(frame_src(&a), p->mac, FRAME_MAC) || frame_parse(&a) != FRAME_OK)
		return false;
	s->counters.answers++;
	p->send(p->ctx, &a);
	return true;
}
