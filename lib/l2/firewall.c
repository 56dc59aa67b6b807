/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/firewall.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/l2/offload.h"
#include "lib/l2/policy_priv.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { ETH_TYPE_ARP = 0x0806, DHCP_MS = 60 * 1000 };
#define NS_PER_S 1000000000ull
#define PIECE_NS (30 * NS_PER_S)

/* struct conn's flags; those of one end are shifted by its direction. */
enum {
	REPLIED = 1,		/* the other end answered */
	RESUMED = 2,		/* begun before we saw it: in either direction */
	RESET = 4,
	FIN_SEEN = 16,		/* 2 bits */
	BACK = 64,		/* 2 bits: sent on after RESET */
};

/* A packet in pieces whose first one passed. */
struct piece { struct address from, to; uint64_t until_ns; uint32_t id; uint16_t vid; uint8_t proto, direction; };

struct firewall {
	const struct policy *policy;
	struct conntrack *table;
	bool tracks, resuming;
	uint16_t generation;
	uint64_t resume_until_ns;
	uint64_t dhcp_ns[2];		/* when the server asked, IPv4 and IPv6; 0: not yet */
	unsigned piece_next;
	struct piece pieces[FIREWALL_PIECES];
};

int firewall_create(unsigned size, struct firewall **firewall)
{
	struct firewall *fw = calloc(1, sizeof *fw);
	int r;

	if (!fw)
		return -ENOMEM;
	r = conntrack_create(size, &fw->table);
	if (r) {
		free(fw);
		return r;
	}
	*firewall = fw;
	return 0;
}

void firewall_free(struct firewall *fw)
{
	if (!fw)
		return;
	conntrack_free(fw->table);
	free(fw);
}

void firewall_resume(struct firewall *fw)
{
	fw->resuming = true;
}

void firewall_set_policy(struct firewall *fw, const struct policy *policy)
{
	bool tracks = policy->limited[0] || policy->limited[1];

	fw->policy = policy;
	fw->generation++;
	if (tracks && !fw->tracks)
		fw->resuming = true;
	if (!tracks && fw->tracks)
		conntrack_clear(fw->table);
	fw->tracks = tracks;
}

const struct conntrack_counters *firewall_counters(const struct firewall *fw)
{
	return conntrack_counters(fw->table);
}

/* ---- what a frame is */

static struct rule_packet packet_of(enum filter_direction direction, const struct conn_key *k)
{
	bool out = direction == FILTER_FROM_SERVER;

	return (struct rule_packet){ .direction = direction, .v6 = k->v6, .proto = k->proto, .from = out ? k->server : k->peer,
		.to = out ? k->peer : k->server, .port = out ? k->peer_port : k->server_port };
}

/* ip: a header; ports follow from the caller */
static struct conn_key key_of(enum filter_direction direction, const uint8_t *ip, bool v6, uint8_t proto, uint16_t vid)
{
	struct address from = address_of(ip + (v6 ? 8 : 12), v6), to = address_of(ip + (v6 ? 24 : 16), v6);
	bool out = direction == FILTER_FROM_SERVER;

	return (struct conn_key){ .server = out ? from : to, .peer = out ? to : from, .vid = vid, .proto = proto, .v6 = v6 };
}

static void set_ports(struct conn_key *k, enum filter_direction direction, const uint8_t *l4)
{
	bool out = direction == FILTER_FROM_SERVER;

	k->server_port = get_be16(l4 + (out ? 0 : 2));
	k->peer_port = get_be16(l4 + (out ? 2 : 0));
}

enum icmp { ICMP_OTHER, ICMP_ASK, ICMP_ANSWER, ICMP_ERROR, ICMP_NEIGHBOUR };

static enum icmp icmp_kind(const struct frame *f, bool v6)
{
	const uint8_t *l4 = f->data + f->l4;

	if (!v6) {
		switch (l4[0]) {
		case 8: case 13: return ICMP_ASK;
		case 0: case 14: return ICMP_ANSWER;
		case 3: case 11: case 12: return ICMP_ERROR;
		default: return ICMP_OTHER;
		}
	}
	switch (l4[0]) {
	case 128: return ICMP_ASK;
	case 129: return ICMP_ANSWER;
	case 1: case 2: case 3: case 4: return ICMP_ERROR;
	case 133: case 134: case 135: case 136: return !l4[1] && f->data[f->l3 + 7] == 255 ? ICMP_NEIGHBOUR : ICMP_OTHER;
	case 130: case 131: case 132: case 143: return f->data[f->l3 + 7] == 1 ? ICMP_NEIGHBOUR : ICMP_OTHER;
	default: return ICMP_OTHER;
	}
}

/* ---- connections */

static bool allowed(const struct firewall *fw, enum filter_direction direction, const struct conn_key *k)
{
	struct rule_packet p = packet_of(direction, k);

	return policy_allows(fw->policy, &p);
}

/* By the rules of now; those that changed meanwhile are asked once. */
static bool still_allowed(struct firewall *fw, struct conn *c)
{
	if (c->generation == fw->generation)
		return true;
	if (!allowed(fw, c->first, &c->key) && !(c->flags & RESUMED && allowed(fw, !c->first, &c->key)))
		return false;
	c->generation = fw->generation;
	return true;
}

static enum filter_cause begin(struct firewall *fw, enum filter_direction direction, const struct conn_key *k, uint8_t flags,
	uint64_t now_ns)
{
	struct conn *c;

	if (!allowed(fw, direction, k) && !(flags & RESUMED && allowed(fw, !direction, k)))
		return FILTER_FIREWALL;
	c = conntrack_add(fw->table, k, now_ns);
	if (!c)
		return FILTER_FLOOD;
	c->generation = fw->generation;
	c->first = (uint8_t)direction;
	c->flags = flags;
	return FILTER_PASS;
}

static bool resumes(struct firewall *fw, uint64_t now_ns)
{
	if (fw->resuming) {
		fw->resuming = false;
		fw->resume_until_ns = now_ns + FILTER_RESUME_S * NS_PER_S;
	}
	return now_ns < fw->resume_until_ns;
}

static enum filter_cause tcp_new(struct firewall *fw, enum filter_direction direction, const struct conn_key *k, uint8_t tcp,
	uint64_t now_ns)
{
	if (tcp & RST)
		return allowed(fw, direction, k) ? FILTER_PASS : FILTER_FIREWALL;
	return begin(fw, direction, k, !(tcp & SYN) && resumes(fw, now_ns) ? RESUMED : 0, now_ns);
}

/* A connection is established when its first end has acknowledged the other's SYN, or the other one sends more than that. */
static enum conn_class tcp_class(struct conn *c, enum filter_direction direction, uint8_t tcp, const uint8_t *l4)
{
	if (tcp & RST) {
		c->flags = (uint8_t)((c->flags | RESET) & ~(BACK * 3));
		return CONN_CLOSING;
	}
	if (tcp & FIN)
		c->flags |= (uint8_t)(FIN_SEEN << direction);
	if ((c->flags & FIN_SEEN * 3) == FIN_SEEN * 3)
		return CONN_CLOSING;
	if (c->flags & RESET) {
		/* Sequence numbers are not followed, so a forged RST must not be able to end what goes on. */
		c->flags |= (uint8_t)(BACK << direction);
		if ((c->flags & BACK * 3) != BACK * 3)
			return CONN_CLOSING;
		c->flags = (uint8_t)(c->flags & ~(RESET | BACK * 3));
		return CONN_ESTABLISHED;
	}
	if (c->class != CONN_NEW)
		return c->class;
	if (direction != c->first) {
		c->flags |= REPLIED;
		c->check = (uint16_t)(get_be32(l4 + 4) + 1);
		return tcp & SYN || !(tcp & ACK) ? CONN_NEW : CONN_ESTABLISHED;
	}
	return c->flags & REPLIED && !(tcp & SYN) && tcp & ACK && (uint16_t)get_be32(l4 + 8) == c->check ? CONN_ESTABLISHED : CONN_NEW;
}

static enum filter_cause tcp_pass(struct firewall *fw, enum filter_direction direction, const struct frame *f, struct conn_key *k,
	uint64_t now_ns)
{
	const uint8_t *l4 = f->data + f->l4;
	uint8_t tcp = l4[13];
	struct conn *c;

	set_ports(k, direction, l4);
	c = conntrack_find(fw->table, k, now_ns);
	if (c && !still_allowed(fw, c)) {
		conntrack_remove(fw->table, c);
		c = NULL;
	}
	if (c && (tcp & (SYN | ACK | RST)) == SYN) {
		/* Another one with the same ports, or a trick to get in by one that goes out. */
		if (c->class == CONN_CLOSING) {
			conntrack_remove(fw->table, c);
			c = NULL;
		} else if (direction != c->first) {
			return allowed(fw, direction, k) ? FILTER_PASS : FILTER_FIREWALL;
		}
	}
	if (!c)
		return tcp_new(fw, direction, k, tcp, now_ns);
	conntrack_touch(fw->table, c, tcp_class(c, direction, tcp, l4), now_ns);
	return FILTER_PASS;
}

/* Everything whose connections only go silent. ask: may begin one. */
static enum filter_cause other_pass(struct firewall *fw, enum filter_direction direction, struct conn_key *k, bool ask,
	uint64_t now_ns)
{
	struct conn *c = conntrack_find(fw->table, k, now_ns);

	if (c && !still_allowed(fw, c)) {
		conntrack_remove(fw->table, c);
		c = NULL;
	}
	if (!c && !ask)
		return allowed(fw, direction, k) ? FILTER_PASS : FILTER_FIREWALL;
	if (!c)
		return begin(fw, direction, k, 0, now_ns);
	conntrack_touch(fw->table, c, direction == c->first ? c->class : CONN_LOOSE, now_ns);
	return FILTER_PASS;
}

/* ---- DHCP: its answers don't come from where it was asked */

static bool is_dhcp_answer(struct firewall *fw, enum filter_direction direction, const struct conn_key *k, uint64_t now_ns)
{
	uint16_t client = k->v6 ? 546 : 68, server = k->v6 ? 547 : 67;
	uint64_t *asked = &fw->dhcp_ns[k->v6];

	if (k->server_port != client || k->peer_port != server)
		return false;
	if (direction == FILTER_FROM_SERVER) {
		if (allowed(fw, direction, k))
			*asked = now_ns;
		return false;
	}
	return *asked && now_ns - *asked < DHCP_MS * 1000000ull;
}

/* ---- ICMP */

/* The connection that the packet inside an error belongs to: that packet went the other way. */
static bool related(struct firewall *fw, enum filter_direction direction, const struct frame *f, bool v6, uint64_t now_ns)
{
	const uint8_t *ip = f->data + f->payload, *l4;
	size_t left = f->end - f->payload, header;
	struct conn_key k;
	struct conn *c;

	if (left < (v6 ? 48 : 28) || ip[0] >> 4 != (v6 ? 6 : 4))
		return false;
	header = v6 ? 40 : (ip[0] & 15u) * 4u;
	if (header < 20 || left < header + 8 || (!v6 && get_be16(ip + 6) & 0x1fff))
		return false;
	l4 = ip + header;
	k = key_of(!direction, ip, v6, v6 ? ip[6] : ip[9], f->vid);
	if (k.proto == NET_IP_TCP || k.proto == NET_IP_UDP)
		set_ports(&k, !direction, l4);
	else if (k.proto == (v6 ? RULE_ICMP6 : RULE_ICMP))
		k.server_port = get_be16(l4 + 4);
	/* The sender of that packet must be who is told. */
	if (memcmp(ip + (v6 ? 8 : 12), f->data + f->l3 + (v6 ? 24 : 16), v6 ? 16 : 4))
		return false;
	c = conntrack_find(fw->table, &k, now_ns);
	return c && still_allowed(fw, c);
}

static enum filter_cause icmp_pass(struct firewall *fw, enum filter_direction direction, const struct frame *f, struct conn_key *k,
	uint64_t now_ns)
{
	enum icmp kind = icmp_kind(f, k->v6);

	switch (kind) {
	case ICMP_NEIGHBOUR:
		return FILTER_PASS;
	case ICMP_ERROR:
		if (related(fw, direction, f, k->v6, now_ns))
			return FILTER_PASS;
		break;
	case ICMP_ASK: case ICMP_ANSWER:
		if (f->payload < f->l4 + 8)
			break;
		k->server_port = get_be16(f->data + f->l4 + 4);
		return other_pass(fw, direction, k, kind == ICMP_ASK, now_ns);
	case ICMP_OTHER:
		break;
	}
	return allowed(fw, direction, k) ? FILTER_PASS : FILTER_FIREWALL;
}

/* ---- pieces */

static struct piece piece_of(enum filter_direction direction, const struct frame *f, bool v6)
{
	const uint8_t *ip = f->data + f->l3;

	/* IPv6 names a packet by addresses and number alone: its pieces may begin with another header. */
	return (struct piece){ .from = address_of(ip + (v6 ? 8 : 12), v6), .to = address_of(ip + (v6 ? 24 : 16), v6), .vid = f->vid,
		.id = v6 ? get_be32(f->data + f->cut + 4) : get_be16(ip + 4), .proto = v6 ? 0 : ip[9],
		.direction = (uint8_t)direction };
}

static bool piece_eq(const struct piece *a, const struct piece *b)
{
	return a->id == b->id && a->vid == b->vid && a->proto == b->proto && a->direction == b->direction &&
		address_eq(a->from, b->from) && address_eq(a->to, b->to);
}

static struct piece *piece_find(struct firewall *fw, const struct piece *p, uint64_t now_ns)
{
	for (unsigned i = 0; i < FIREWALL_PIECES; i++)
		if (fw->pieces[i].until_ns > now_ns && piece_eq(&fw->pieces[i], p))
			return &fw->pieces[i];
	return NULL;
}

static enum filter_cause later_piece(struct firewall *fw, enum filter_direction direction, const struct frame *f, bool v6,
	uint64_t now_ns)
{
	struct piece p = piece_of(direction, f, v6);

	/* RFC 1858: one at offset 8 could overwrite what was looked at in TCP's header. */
	if (!v6 && f->proto == NET_IP_TCP && (get_be16(f->data + f->l3 + 6) & 0x1fff) < 3)
		return FILTER_FRAGMENT;
	return piece_find(fw, &p, now_ns) ? FILTER_PASS : FILTER_FRAGMENT;
}

static void first_piece(struct firewall *fw, enum filter_direction direction, const struct frame *f, bool v6, uint64_t now_ns)
{
	struct piece p = piece_of(direction, f, v6), *slot = piece_find(fw, &p, now_ns);

	if (!slot)
		slot = &fw->pieces[fw->piece_next++ % FIREWALL_PIECES];
	*slot = p;
	slot->until_ns = now_ns + PIECE_NS;
}

/* ---- */

static enum filter_cause ip_pass(struct firewall *fw, enum filter_direction direction, const struct frame *f, bool v6,
	uint64_t now_ns)
{
	struct conn_key k = key_of(direction, f->data + f->l3, v6, f->proto, f->vid);

	switch (f->proto) {
	case NET_IP_TCP:
		return f->l4 ? tcp_pass(fw, direction, f, &k, now_ns) : FILTER_FIREWALL;
	case NET_IP_UDP:
		if (!f->l4)
			return FILTER_FIREWALL;
		set_ports(&k, direction, f->data + f->l4);
		if (is_dhcp_answer(fw, direction, &k, now_ns))
			return FILTER_PASS;
		return other_pass(fw, direction, &k, true, now_ns);
	case RULE_ICMP: case RULE_ICMP6:
		/* Each belongs to its version; the other one is some protocol like others. */
		if (v6 == (f->proto == RULE_ICMP6))
			return f->l4 ? icmp_pass(fw, direction, f, &k, now_ns) : FILTER_FIREWALL;
		break;
	}
	return other_pass(fw, direction, &k, true, now_ns);
}

enum filter_cause firewall_pass(struct firewall *fw, enum filter_direction direction, const struct frame *f, uint64_t now_ns)
{
	bool limited = fw->policy->limited[direction], v6 = f->type == NET_ETH_IPV6;
	enum filter_cause cause;

	if (!fw->tracks)
		return FILTER_PASS;
	/* What can't be understood can't be allowed by a rule; it is not tracked. */
	if (!f->l3)
		return limited && f->type != ETH_TYPE_ARP ? FILTER_FIREWALL : FILTER_PASS;
	if (f->fragment)
		return limited ? later_piece(fw, direction, f, v6, now_ns) : FILTER_PASS;
	cause = ip_pass(fw, direction, f, v6, now_ns);
	if (!limited && cause != FILTER_PASS)
		cause = FILTER_PASS;
	if (f->cut && cause == FILTER_PASS && limited)
		first_piece(fw, direction, f, v6, now_ns);
	return cause;
}
