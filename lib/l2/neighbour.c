/* SPDX-License-Identifier: Apache-2.0 */
/* Shaped like lib/l2/fdb.c: one array, chains by keyed hash, and a list by when they were seen. */
#include "lib/l2/neighbour.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "lib/bits.h"
#include "lib/l2/checksum.h"
#include "lib/l2/offload.h"

enum { NONE = -1, SIZE_LEAST = 16, SIZE_MOST = 1 << 20, ETH_TYPE_ARP = 0x0806, ETH_TYPE_RARP = 0x8035, ARP_LEN = 28 };
enum { IP_ICMP6 = 58, ND_RS = 133, ND_RA = 134, ND_NS = 135, ND_NA = 136, OPTION_SOURCE = 1, OPTION_TARGET = 2, ND_LEN = 32 };
enum { NA_ROUTER = 0x80, NA_SOLICITED = 0x40, NA_OVERRIDE = 0x20 };
#define NS_PER_S 1000000000ull

struct neighbour {
	struct address ip;
	uint64_t seen_ns;
	int chain, before, after;
	uint16_t vid;
	uint8_t mac[FRAME_MAC];
	bool pinned, router;
};

struct neighbours {
	struct neighbour *all;
	int *heads;
	unsigned size;
	int free, oldest, newest;
	uint64_t age_ns, secret[2];
	struct neighbours_counters counters;
};

int neighbours_create(unsigned size, uint32_t age_s, struct neighbours **table)
{
	struct neighbours *t;
	unsigned n = SIZE_LEAST;

	if (size < SIZE_LEAST || size > SIZE_MOST || !age_s)
		return -EINVAL;
	while (n < size)
		n *= 2;
	t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	t->all = calloc(n, sizeof *t->all);
	t->heads = malloc(n * sizeof *t->heads);
	if (!t->all || !t->heads || getrandom(t->secret, sizeof t->secret, 0) != sizeof t->secret) {
		neighbours_free(t);
		return -ENOMEM;
	}
	t->size = n;
	t->age_ns = age_s * NS_PER_S;
	t->oldest = t->newest = NONE;
	for (unsigned i = 0; i < n; i++) {
		t->heads[i] = NONE;
		t->all[i].chain = i + 1 < n ? (int)i + 1 : NONE;
	}
	*table = t;
	return 0;
}

void neighbours_free(struct neighbours *table)
{
	if (!table)
		return;
	free(table->all);
	free(table->heads);
	free(table);
}

const struct neighbours_counters *neighbours_counters(const struct neighbours *table)
{
	return &table->counters;
}

/* ---- table */

static int *head_of(const struct neighbours *t, uint16_t vid, struct address ip)
{
	unsigned __int128 p = (unsigned __int128)(ip.word[0] ^ t->secret[0] ^ vid) * (ip.word[1] ^ t->secret[1]);

	p = (unsigned __int128)((uint64_t)p ^ (uint64_t)(p >> 64)) * (t->secret[0] | 1);
	return &t->heads[((uint64_t)p ^ (uint64_t)(p >> 64)) & (t->size - 1)];
}

static int look_up(const struct neighbours *t, uint16_t vid, struct address ip)
{
	int i = *head_of(t, vid, ip);

	while (i != NONE && (t->all[i].vid != vid || !address_eq(t->all[i].ip, ip)))
		i = t->all[i].chain;
	return i;
}

static void list_remove(struct neighbours *t, int i)
{
	struct neighbour *n = &t->all[i];

	*(n->before == NONE ? &t->oldest : &t->all[n->before].after) = n->after;
	*(n->after == NONE ? &t->newest : &t->all[n->after].before) = n->before;
}

static void list_append(struct neighbours *t, int i)
{
	struct neighbour *n = &t->all[i];

	n->before = t->newest;
	n->after = NONE;
	*(t->newest == NONE ? &t->oldest : &t->all[t->newest].after) = i;
	t->newest = i;
}

static void remove_entry(struct neighbours *t, int i)
{
	struct neighbour *n = &t->all[i];
	int *link = head_of(t, n->vid, n->ip);

	while (*link != i)
		link = &t->all[*link].chain;
	*link = n->chain;
	if (!n->pinned)
		list_remove(t, i);
	n->chain = t->free;
	t->free = i;
}

/* Unlisted; NONE when all are pinned. */
static int add(struct neighbours *t, uint16_t vid, struct address ip)
{
	int i = t->free, *head;

	if (i == NONE && t->oldest != NONE) {
		remove_entry(t, t->oldest);
		t->counters.evicted++;
		i = t->free;
	}
	if (i == NONE)
		return NONE;
	t->free = t->all[i].chain;
	head = head_of(t, vid, ip);
	t->all[i] = (struct neighbour){ .ip = ip, .vid = vid, .chain = *head };
	*head = i;
	return i;
}

int neighbours_pin(struct neighbours *t, uint16_t vid, struct address ip, const uint8_t mac[FRAME_MAC])
{
	int i = look_up(t, vid, ip);

	if (mac[0] & 1)
		return -EINVAL;
	if (i != NONE && t->all[i].pinned)
		return memcmp(t->all[i].mac, mac, FRAME_MAC) ? -EEXIST : 0;
	if (i != NONE)
		list_remove(t, i);
	else
		i = add(t, vid, ip);
	if (i == NONE)
		return -ENOSPC;
	t->all[i].pinned = true;
	memcpy(t->all[i].mac, mac, FRAME_MAC);
	return 0;
}

void neighbours_unpin(struct neighbours *t, uint16_t vid, struct address ip)
{
	int i = look_up(t, vid, ip);

	if (i != NONE && t->all[i].pinned)
		remove_entry(t, i);
}

static struct neighbour *find(struct neighbours *t, uint16_t vid, struct address ip, uint64_t now_ns)
{
	int i = look_up(t, vid, ip);
	struct neighbour *n;

	if (i == NONE)
		return NULL;
	n = &t->all[i];
	if (n->pinned || now_ns < n->seen_ns || now_ns - n->seen_ns <= t->age_ns)
		return n;
	remove_entry(t, i);
	return NULL;
}

const uint8_t *neighbours_find(struct neighbours *t, uint16_t vid, struct address ip, uint64_t now_ns)
{
	struct neighbour *n = find(t, vid, ip, now_ns);

	return n ? n->mac : NULL;
}

void neighbours_forget(struct neighbours *t, const uint8_t mac[FRAME_MAC])
{
	for (int i = t->oldest, next; i != NONE; i = next) {
		next = t->all[i].after;
		if (!memcmp(t->all[i].mac, mac, FRAME_MAC))
			remove_entry(t, i);
	}
}

/* ---- messages */

struct message {
	enum { NOTHING, REQUEST, REPLY } kind;
	bool probe;			/* asks whether anybody has the address that it wants itself */
	bool claims;			/* its sender says that it has: */
	struct address ip;		/* claimed */
	struct address target;		/* asked for */
	const uint8_t *mac;		/* with the claim */
	bool router;
};

static const uint8_t *option(const uint8_t *p, const uint8_t *end, uint8_t kind)
{
	for (; p + 8 <= end && p[1] && p + p[1] * 8 <= end; p += p[1] * 8)
		if (p[0] == kind && p[1] == 1)
			return p + 2;
	return NULL;
}

static bool zero(const uint8_t *p, unsigned n)
{
	uint8_t any = 0;

	for (unsigned i = 0; i < n; i++)
		any |= p[i];
	return !any;
}

static void read_arp(const struct frame *f, struct message *m)
{
	const uint8_t *arp = f->data + f->body;
	uint16_t op;

	if (f->len < f->body + (size_t)ARP_LEN || get_be16(arp) != 1 || get_be16(arp + 2) != NET_ETH_IPV4 || arp[4] != FRAME_MAC ||
	    arp[5] != 4)
		return;
	op = get_be16(arp + 6);
	if (op != 1 && op != 2)
		return;
	m->kind = op == 1 ? REQUEST : REPLY;
	m->probe = zero(arp + 14, 4) || !memcmp(arp + 14, arp + 24, 4);
	m->mac = arp + 8;
	m->ip = address_of(arp + 14, false);
	m->target = address_of(arp + 24, false);
	m->claims = !zero(arp + 14, 4) && arp[14] < 224;
}

static void read_nd(const struct frame *f, struct message *m)
{
	const uint8_t *ip = f->data + f->l3, *p = f->data + f->l4, *end = f->data + f->end;

	if (f->proto != IP_ICMP6 || !f->l4 || f->cut || ip[7] != 255 || p[1])
		return;
	if (p[0] == ND_NA && end - p >= 24) {
		m->kind = REPLY;
		m->ip = address_of(p + 8, true);
		m->mac = option(p + 24, end, OPTION_TARGET);
		m->router = p[4] & NA_ROUTER;
		m->claims = m->mac && p[8] != 0xff;
	} else if (p[0] == ND_NS && end - p >= 24) {
		m->kind = REQUEST;
		m->target = address_of(p + 8, true);
		m->probe = zero(ip + 8, 16);
		m->ip = address_of(ip + 8, true);
		m->mac = option(p + 24, end, OPTION_SOURCE);
		m->claims = m->mac && !m->probe && ip[8] != 0xff;
	}
}

/* No tag, or one of a VLAN: behind others are networks that neither the table nor an answer has a name for. */
static bool is_plain(const struct frame *f)
{
	return f->vid == FRAME_NO_VID ? f->body == 14 : f->body == 18 && get_be16(f->data + 12) == NET_ETH_VLAN;
}

static struct message read_message(const struct frame *f)
{
	struct message m = { .kind = NOTHING };

	if (!is_plain(f))
		return m;
	if (f->type == ETH_TYPE_ARP)
		read_arp(f, &m);
	else if (f->type == NET_ETH_IPV6 && f->l3)
		read_nd(f, &m);
	/* Who speaks for another station is a proxy or a liar: neither is learnt. */
	if (m.claims && (m.mac[0] & 1 || memcmp(m.mac, frame_src(f), FRAME_MAC)))
		m.claims = false;
	return m;
}

bool neighbours_learn(struct neighbours *t, const struct frame *f, uint64_t now_ns)
{
	struct message m = read_message(f);
	struct neighbour *n;
	int i;

	if (!m.claims)
		return true;
	i = look_up(t, f->vid, m.ip);
	if (i == NONE) {
		i = add(t, f->vid, m.ip);
		if (i == NONE)
			return true;
		memcpy(t->all[i].mac, m.mac, FRAME_MAC);
		list_append(t, i);
		t->counters.learned++;
	}
	n = &t->all[i];
	if (memcmp(n->mac, m.mac, FRAME_MAC)) {
		if (n->pinned) {
			t->counters.refused++;
			return false;
		}
		memcpy(n->mac, m.mac, FRAME_MAC);
		t->counters.moved++;
	}
	if (f->type == NET_ETH_IPV6 && m.kind == REPLY)
		n->router = m.router;
	n->seen_ns = now_ns;
	if (!n->pinned) {
		list_remove(t, i);
		list_append(t, i);
	}
	return true;
}

/* ---- frames */

static size_t put_ethernet(uint8_t *buf, const uint8_t *dst, const uint8_t *src, uint16_t vid, uint16_t type)
{
	size_t at = 12;

	memcpy(buf, dst, FRAME_MAC);
	memcpy(buf + FRAME_MAC, src, FRAME_MAC);
	if (vid != FRAME_NO_VID) {
		put_be16(buf + at, NET_ETH_VLAN);
		put_be16(buf + at + 2, vid);
		at += 4;
	}
	put_be16(buf + at, type);
	return at + 2;
}

static size_t put_arp(uint8_t *buf, size_t at, uint16_t op, const uint8_t *sha, const uint8_t *spa, const uint8_t *tha,
	const uint8_t *tpa)
{
	uint8_t *arp = buf + at;

	memset(arp, 0, NET_ETH_MIN);
	put_be16(arp, 1);
	put_be16(arp + 2, NET_ETH_IPV4);
	arp[4] = FRAME_MAC;
	arp[5] = 4;
	put_be16(arp + 6, op);
	memcpy(arp + 8, sha, FRAME_MAC);
	memcpy(arp + 14, spa, 4);
	memcpy(arp + 18, tha, FRAME_MAC);
	memcpy(arp + 24, tpa, 4);
	return at + ARP_LEN < NET_ETH_MIN ? NET_ETH_MIN : at + ARP_LEN;
}

static size_t put_na(uint8_t *buf, size_t at, const uint8_t *mac, const uint8_t *from, const uint8_t *to, uint8_t flags)
{
	uint8_t *ip = buf + at, *na = ip + 40;

	memset(ip, 0, 40 + ND_LEN);
	ip[0] = 0x60;
	put_be16(ip + 4, ND_LEN);
	ip[6] = IP_ICMP6;
	ip[7] = 255;
	memcpy(ip + 8, from, 16);
	memcpy(ip + 24, to, 16);
	na[0] = ND_NA;
	na[4] = flags;
	memcpy(na + 8, from, 16);
	na[24] = OPTION_TARGET;
	na[25] = 1;
	memcpy(na + 26, mac, FRAME_MAC);
	net_sum_store(na + 2, (uint16_t)~net_sum_fold(net_sum(net_sum_be16(net_sum_pseudo(ip, 1, IP_ICMP6), ND_LEN), na, ND_LEN)));
	return at + 40 + ND_LEN;
}

static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 }, all_nodes_mac[FRAME_MAC] = { 0x33, 0x33, 0, 0, 0, 1 };
static const uint8_t everybody[FRAME_MAC] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, nobody[FRAME_MAC];

size_t neighbours_answer(struct neighbours *t, const struct frame *f, uint8_t buf[NEIGHBOUR_FRAME], uint64_t now_ns)
{
	struct message m = read_message(f);
	const uint8_t *asker = frame_src(f), *ip;
	struct neighbour *n;
	size_t at;

	if (m.kind != REQUEST || m.probe || !frame_is_multicast(f))
		return 0;
	n = find(t, f->vid, m.target, now_ns);
	/* The owner hears of its own address: a duplicate, which is its own business. */
	if (!n || !memcmp(n->mac, asker, FRAME_MAC))
		return 0;
	t->counters.answered++;
	at = put_ethernet(buf, asker, n->mac, f->vid, f->type);
	if (f->type == ETH_TYPE_ARP)
		return put_arp(buf, at, 2, n->mac, f->data + f->body + 24, f->data + f->body + 8, f->data + f->body + 14);
	ip = f->data + f->l3;
	return put_na(buf, at, n->mac, f->data + f->l4 + 8, ip + 8,
		(uint8_t)(NA_SOLICITED | NA_OVERRIDE | (n->router ? NA_ROUTER : 0)));
}

size_t neighbour_announce_arp(uint8_t buf[NEIGHBOUR_FRAME], uint16_t vid, const uint8_t mac[FRAME_MAC], struct address ip)
{
	const uint8_t *ip4 = (const uint8_t *)&ip + 12;

	return put_arp(buf, put_ethernet(buf, everybody, mac, vid, ETH_TYPE_ARP), 1, mac, ip4, nobody, ip4);
}

size_t neighbour_announce_na(uint8_t buf[NEIGHBOUR_FRAME], uint16_t vid, const uint8_t mac[FRAME_MAC], struct address ip)
{
	size_t at = put_ethernet(buf, all_nodes_mac, mac, vid, NET_ETH_IPV6);

	return put_na(buf, at, mac, (const uint8_t *)&ip, all_nodes, NA_OVERRIDE);
}

size_t neighbour_announce_rarp(uint8_t buf[NEIGHBOUR_FRAME], uint16_t vid, const uint8_t mac[FRAME_MAC])
{
	static const uint8_t no_ip[4];

	return put_arp(buf, put_ethernet(buf, everybody, mac, vid, ETH_TYPE_RARP), 3, mac, no_ip, mac, no_ip);
}
