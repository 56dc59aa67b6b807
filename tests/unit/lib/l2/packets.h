/* SPDX-License-Identifier: Apache-2.0 */
/* Frames for tests of lib/l2, made from words; parsed already. Header only. */
#pragma once
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/l2/checksum.h"
#include "lib/l2/frame.h"
#include "tests/unit/suite.h"

enum { PK_FIN = 1, PK_SYN = 2, PK_RST = 4, PK_ACK = 16 };
enum { PK_TCP = 6, PK_UDP = 17, PK_ICMP = 1, PK_ICMP6 = 58 };

static const uint8_t pk_server[FRAME_MAC] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 }, pk_peer[FRAME_MAC] = { 0x02, 0, 0, 0, 0, 0x99 };

struct pk {
	const char *src, *dst;		/* the family follows */
	uint8_t proto;
	uint16_t sport, dport;		/* ICMP: type << 8 | code; identifier */
	uint8_t flags;
	uint32_t seq, ack;
	size_t payload;
	uint16_t vid;			/* 0: untagged */
	uint8_t hops;			/* 0: 64 */
	uint16_t piece;			/* IPv4's fragment field */
	bool df;
	const uint8_t *options;		/* TCP's */
	size_t options_len;
	const void *data;		/* of the payload */
	const uint8_t *eth_dst, *eth_src;
	bool from_server;		/* MACs: from server to peer, else back */
};

struct pk_frame { struct frame f; uint8_t room[FRAME_HEADROOM]; uint8_t bytes[FRAME_MAX]; };

static inline size_t pk_transport(const struct pk *p, uint8_t *l4)
{
	size_t header = p->proto == PK_TCP ? 20 + p->options_len : 8;

	memset(l4, 0, header);
	put_be16(l4, p->sport);
	if (p->proto == PK_TCP) {
		put_be16(l4 + 2, p->dport);
		put_be32(l4 + 4, p->seq);
		put_be32(l4 + 8, p->ack);
		l4[12] = (uint8_t)(header / 4 << 4);
		l4[13] = p->flags;
		put_be16(l4 + 14, 0xffff);
		if (p->options_len)
			memcpy(l4 + 20, p->options, p->options_len);
	} else if (p->proto == PK_UDP) {
		put_be16(l4 + 2, p->dport);
		put_be16(l4 + 4, (uint16_t)(8 + p->payload));
	} else {
		put_be16(l4 + 4, p->dport);
	}
	if (p->data)
		memcpy(l4 + header, p->data, p->payload);
	else
		memset(l4 + header, 0x5a, p->payload);
	return header + p->payload;
}

/* f must not be moved afterwards. */
static inline struct frame *pk_make(struct pk_frame *f, const struct pk *p)
{
	bool v6 = strchr(p->src, ':');
	uint8_t *b = f->bytes, *ip, *l4;
	size_t at = 12, n;
	int csum = p->proto == PK_TCP ? 16 : p->proto == PK_UDP ? 6 : 2;

	memcpy(b, p->eth_dst ? p->eth_dst : p->from_server ? pk_peer : pk_server, 6);
	memcpy(b + 6, p->eth_src ? p->eth_src : p->from_server ? pk_server : pk_peer, 6);
	if (p->vid) {
		put_be16(b + at, 0x8100);
		put_be16(b + at + 2, p->vid);
		at += 4;
	}
	put_be16(b + at, v6 ? 0x86dd : 0x0800);
	ip = b + at + 2;
	l4 = ip + (v6 ? 40 : 20);
	memset(ip, 0, v6 ? 40 : 20);
	n = pk_transport(p, l4);
	if (v6) {
		ip[0] = 0x60;
		put_be16(ip + 4, (uint16_t)n);
		ip[6] = p->proto;
		ip[7] = p->hops ? p->hops : 64;
		check_eq(inet_pton(AF_INET6, p->src, ip + 8) + inet_pton(AF_INET6, p->dst, ip + 24), 2);
	} else {
		ip[0] = 0x45;
		put_be16(ip + 2, (uint16_t)(20 + n));
		put_be16(ip + 4, 0x4242);
		put_be16(ip + 6, (uint16_t)(p->piece | (p->df ? 0x4000 : 0)));
		ip[8] = p->hops ? p->hops : 64;
		ip[9] = p->proto;
		check_eq(inet_pton(AF_INET, p->src, ip + 12) + inet_pton(AF_INET, p->dst, ip + 16), 2);
		net_sum_store(ip + 10, (uint16_t)~net_sum_fold(net_sum(0, ip, 20)));
	}
	if (p->proto == PK_TCP || p->proto == PK_UDP || p->proto == PK_ICMP || p->proto == PK_ICMP6) {
		uint64_t sum = p->proto == PK_ICMP ? 0 : net_sum_be16(net_sum_pseudo(ip, v6, p->proto), (uint16_t)n);

		put_be16(l4 + csum, 0);
		net_sum_store(l4 + csum, (uint16_t)~net_sum_fold(net_sum(sum, l4, n)));
	}
	f->f = (struct frame){ .data = b, .len = (size_t)(l4 - b) + n };
	check_eq(frame_parse(&f->f), FRAME_OK);
	return &f->f;
}

/* Raw bytes, written as hex with blanks between. */
static inline struct frame *pk_hex(struct pk_frame *f, const char *hex)
{
	size_t n = 0;
	char *end;

	for (;; hex = end) {
		unsigned long v = strtoul(hex, &end, 16);

		if (end == hex)
			break;
		f->bytes[n++] = (uint8_t)v;
	}
	f->f = (struct frame){ .data = f->bytes, .len = n };
	check_eq(frame_parse(&f->f), FRAME_OK);
	return &f->f;
}

/* op 1: who has target, 2: sender has it */
static inline struct frame *pk_arp(struct pk_frame *f, uint16_t op, const uint8_t *src, const uint8_t *dst, const uint8_t *sha,
	const char *spa, const char *tpa)
{
	uint8_t *b = f->bytes, *arp = b + 14;

	memset(b, 0, 60);
	memcpy(b, dst, 6);
	memcpy(b + 6, src, 6);
	put_be16(b + 12, 0x0806);
	memcpy(arp, "\x00\x01\x08\x00\x06\x04", 6);
	put_be16(arp + 6, op);
	memcpy(arp + 8, sha, 6);
	check_eq(inet_pton(AF_INET, spa, arp + 14) + inet_pton(AF_INET, tpa, arp + 24), 2);
	f->f = (struct frame){ .data = b, .len = 60 };
	check_eq(frame_parse(&f->f), FRAME_OK);
	return &f->f;
}

/* Neighbour discovery: type 133 to 137; target and an option (mac NULL: none) */
static inline struct frame *pk_nd(struct pk_frame *f, bool from_server, uint8_t type, const char *src, const char *dst,
	const char *target, uint8_t option, const uint8_t *mac)
{
	static const uint8_t all[6] = { 0x33, 0x33, 0, 0, 0, 1 };
	uint8_t body[40] = { 0 };
	size_t head = type == 133 ? 0 : type == 134 ? 8 : type == 137 ? 32 : 16;

	if (target)
		check_eq(inet_pton(AF_INET6, target, body), 1);
	if (mac) {
		body[head] = option;
		body[head + 1] = 1;
		memcpy(body + head + 2, mac, 6);
	}
	return pk_make(f, &(struct pk){ .src = src, .dst = dst, .proto = PK_ICMP6, .sport = (uint16_t)(type << 8), .hops = 255,
		.payload = head + (mac ? 8 : 0), .data = body, .from_server = from_server, .eth_dst = type == 136 ? NULL : all });
}

/* Is every checksum of this TCP, UDP, ICMP frame right? */
static inline bool pk_sums_right(const struct frame *f)
{
	const uint8_t *ip = f->data + f->l3;
	bool v6 = f->type == 0x86dd;
	uint64_t sum = f->proto == PK_ICMP ? 0 : net_sum_be16(net_sum_pseudo(ip, v6, f->proto), (uint16_t)(f->end - f->l4));

	if (!v6 && net_sum_fold(net_sum(0, ip, 20)) != 0xffff)
		return false;
	return net_sum_fold(net_sum(sum, f->data + f->l4, f->end - f->l4)) == 0xffff;
}
