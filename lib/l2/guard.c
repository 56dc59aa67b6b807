/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/guard.h"
#include <string.h>
#include "lib/bits.h"
#include "lib/l2/offload.h"
#include "lib/l2/policy_priv.h"

enum { ETH_TYPE_ARP = 0x0806, ETH_TYPE_RARP = 0x8035, ETH_TYPE_LOWEST = 0x600, ARP_LEN = 28 };
enum { ND_RS = 133, ND_RA = 134, ND_NS = 135, ND_NA = 136, ND_REDIRECT = 137, OPTION_SOURCE = 1, OPTION_TARGET = 2 };

static bool mac_eq(const uint8_t *a, const uint8_t *b)
{
	return get_le32(a) == get_le32(b) && get_le16(a + 4) == get_le16(b + 4);
}

bool guard_is_reserved(const uint8_t mac[FRAME_MAC])
{
	return mac[0] == 0x01 && mac[1] == 0x80 && mac[2] == 0xc2 && !mac[3] && !mac[4] && mac[5] < 16;
}

uint64_t guard_frames(const struct frame *f)
{
	size_t size = le16toh(f->hdr.gso_size);

	return f->hdr.gso_type && size && f->len > f->payload ? (f->len - f->payload + size - 1) / size : 1;
}

void guard_set_policy(struct guard *guard, const struct policy *policy)
{
	for (unsigned i = 0; i < 2; i++)
		if (guard->storm[i].limit.per_s != policy->storm.per_s)
			rate_init(&guard->storm[i], policy->storm);
}

/* ---- addresses */

static bool is_own(const struct policy *p, struct address a)
{
	for (unsigned i = 0; i < p->address_count; i++)
		if (address_eq(p->address[i].ip, a))
			return true;
	return false;
}

static bool is_router(const struct guard *g, struct address a)
{
	for (unsigned i = 0; i < GUARD_ROUTERS; i++)
		if (address_eq(g->router[i], a))
			return true;
	return false;
}

static bool is_link_local(const uint8_t *ip)
{
	return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

static bool is_zero(const uint8_t *ip, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++)
		any |= ip[i];
	return !any;
}

/* May the server call itself this? Everything may be, where no addresses are set. */
static bool may_be6(const struct guard *g, const struct policy *p, const uint8_t *ip)
{
	struct address a = address_of(ip, true);

	if (is_link_local(ip))
		return !is_router(g, a) || is_own(p, a);
	return !p->address_count || is_own(p, a);
}

static bool may_be4(const struct policy *p, const uint8_t *ip)
{
	return !p->address_count || is_own(p, address_of(ip, false));
}

/* ---- ARP */

static enum filter_cause arp_pass(const struct guard *g, const struct policy *p, bool from_server, const struct frame *f)
{
	const uint8_t *arp = f->data + f->body, *sha = arp + 8, *spa = arp + 14;

	if (f->len < f->body + (size_t)ARP_LEN || get_be16(arp + 2) != NET_ETH_IPV4 || arp[4] != FRAME_MAC || arp[5] != 4)
		return p->address_count ? FILTER_SPOOFED_IP : FILTER_PASS;
	if (mac_eq(sha, g->mac) != from_server)
		return FILTER_SPOOFED_MAC;
	if (from_server)
		return may_be4(p, spa) || is_zero(spa, 4) ? FILTER_PASS : FILTER_SPOOFED_IP;
	return is_own(p, address_of(spa, false)) ? FILTER_SPOOFED_IP : FILTER_PASS;
}

/* ---- neighbour discovery (RFC 4861) */

/* Do options of this kind hold that MAC only? Options that can't be right make the whole message ignored: no. */
static bool options_are(const uint8_t *p, const uint8_t *end, uint8_t kind, const uint8_t *mac, bool want)
{
	for (; p + 2 <= end; p += p[1] * 8) {
		if (!p[1] || p + p[1] * 8 > end)
			return false;
		if (p[0] == kind && mac_eq(p + 2, mac) != want)
			return false;
	}
	return true;
}

static enum filter_cause nd_pass(struct guard *g, const struct policy *p, bool from_server, const struct frame *f)
{
	const uint8_t *ip = f->data + f->l3, *m = f->data + f->l4, *end = f->data + f->end;
	bool target = m[0] == ND_NS || m[0] == ND_NA;
	size_t options = m[0] == ND_RS ? 8 : m[0] == ND_RA ? 16 : m[0] == ND_REDIRECT ? 40 : 24;

	if (m[0] < ND_RS || m[0] > ND_REDIRECT)
		return FILTER_PASS;
	/* In pieces no receiver may take it (RFC 6980). */
	if (f->cut || (size_t)(end - m) < options)
		return FILTER_SPOOFED_IP;
	if (m[0] != ND_REDIRECT && !options_are(m + options, end, m[0] == ND_NA ? OPTION_TARGET : OPTION_SOURCE, g->mac, from_server))
		return FILTER_SPOOFED_MAC;
	if (!from_server) {
		struct address a = address_of(ip + 8, true);

		if (m[0] == ND_RA && ip[7] == 255 && is_link_local(ip + 8) && !is_router(g, a))
			g->router[g->router_next++ % GUARD_ROUTERS] = a;
		return m[0] == ND_NA && is_own(p, address_of(m + 8, true)) ? FILTER_SPOOFED_IP : FILTER_PASS;
	}
	if ((m[0] == ND_RA || m[0] == ND_REDIRECT) && p->address_count)
		return FILTER_SPOOFED_IP;
	if (target && (m[0] == ND_NA || is_zero(ip + 8, 16)) && !may_be6(g, p, m + 8))
		return FILTER_SPOOFED_IP;
	return FILTER_PASS;
}

/* ---- IP */

static enum filter_cause ipv4_pass(const struct policy *p, bool from_server, const struct frame *f)
{
	const uint8_t *ip = f->data + f->l3, *udp = f->data + f->l4;

	if (!p->address_count)
		return FILTER_PASS;
	if (!f->l3)
		return FILTER_SPOOFED_IP;
	if (!from_server)
		return is_own(p, address_of(ip + 12, false)) ? FILTER_SPOOFED_IP : FILTER_PASS;
	if (is_own(p, address_of(ip + 12, false)))
		return FILTER_PASS;
	/* Who asks for an address has none. */
	if (is_zero(ip + 12, 4) && f->proto == NET_IP_UDP && f->l4 && get_be16(udp) == 68 && get_be16(udp + 2) == 67)
		return FILTER_PASS;
	return FILTER_SPOOFED_IP;
}

static bool may_be_nobody(const struct frame *f)
{
	if (f->proto != RULE_ICMP6 || !f->l4 || f->cut)
		return false;
	switch (f->data[f->l4]) {
	case ND_RS: case ND_NS: case 131: case 132: case 143:
		return true;
	default:
		return false;
	}
}

static enum filter_cause ipv6_pass(struct guard *g, const struct policy *p, bool from_server, const struct frame *f)
{
	const uint8_t *ip = f->data + f->l3;

	if (!f->l3)
		return p->address_count ? FILTER_SPOOFED_IP : FILTER_PASS;
	if (f->proto == RULE_ICMP6 && f->l4) {
		enum filter_cause cause = nd_pass(g, p, from_server, f);

		if (cause != FILTER_PASS)
			return cause;
	}
	if (!from_server)
		return is_own(p, address_of(ip + 8, true)) ? FILTER_SPOOFED_IP : FILTER_PASS;
	if (!p->address_count)
		return FILTER_PASS;
	if (is_zero(ip + 8, 16))
		return may_be_nobody(f) ? FILTER_PASS : FILTER_SPOOFED_IP;
	/* Neighbour discovery behind more headers than are walked would not be looked at. */
	if (!f->l4 && !f->fragment && (f->proto == 0 || f->proto == 43 || f->proto == 60 || f->proto == RULE_ICMP6))
		return FILTER_SPOOFED_IP;
	return may_be6(g, p, ip + 8) ? FILTER_PASS : FILTER_SPOOFED_IP;
}

/* IP that hides: in an 802.2 SNAP header, or behind a third tag. */
static bool hides(const struct frame *f)
{
	const uint8_t *llc = f->data + f->body;

	if (f->type == NET_ETH_VLAN || f->type == NET_ETH_QINQ)
		return true;
	return f->type < ETH_TYPE_LOWEST && f->len >= f->body + 2u && llc[0] == 0xaa && llc[1] == 0xaa;
}

enum filter_cause guard_pass(struct guard *g, const struct policy *policy, enum filter_direction direction, const struct frame *f,
	uint64_t now_ns)
{
	bool from_server = direction == FILTER_FROM_SERVER;
	enum filter_cause cause = FILTER_PASS;

	if (guard_is_reserved(frame_dst(f)))
		return FILTER_RESERVED;
	if (mac_eq(frame_src(f), g->mac) != from_server || frame_src(f)[0] & 1)
		return FILTER_SPOOFED_MAC;
	if (f->type == NET_ETH_IPV4)
		cause = ipv4_pass(policy, from_server, f);
	else if (f->type == NET_ETH_IPV6)
		cause = ipv6_pass(g, policy, from_server, f);
	else if (f->type == ETH_TYPE_ARP || f->type == ETH_TYPE_RARP)
		cause = arp_pass(g, policy, from_server, f);
	else if (policy->address_count && hides(f))
		cause = FILTER_SPOOFED_IP;
	if (cause != FILTER_PASS)
		return cause;
	if (frame_is_multicast(f) && !rate_pass(&g->storm[direction], guard_frames(f), now_ns))
		return FILTER_STORM;
	return FILTER_PASS;
}
