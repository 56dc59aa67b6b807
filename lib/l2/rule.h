/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One rule of the firewall: which connections may begin, by their first packet. Rules only allow; their order has no meaning.
 * Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d. Pure functions; any thread.
 */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"
#include "lib/l2/filter.h"

enum { RULE_ADDRESSES = 64, RULE_PORTS = 64, RULE_ICMP = 1, RULE_ICMP6 = 58, RULE_TEXT = 16384 };

struct address { uint64_t word[2]; };	/* as on the wire, so in no machine's order */
struct prefix { struct address address, mask; bool v6; uint8_t len; };
struct prefix_list { struct prefix *prefix; unsigned count; };
struct port_range { uint16_t first, last; };

struct rule {
	enum filter_direction direction;
	bool v4, v6;
	uint8_t proto;			/* IPPROTO_TCP, _UDP, _ICMP (both kinds), 0: any */
	struct prefix_list from, to;	/* none: any */
	struct port_range *ports;	/* of the destination; none: any */
	unsigned port_count;
};

/* What rules look at. */
struct rule_packet {
	enum filter_direction direction;
	bool v6;
	uint8_t proto;
	struct address from, to;
	uint16_t port;
};

/* `in|out [ip|ip6] tcp|udp|icmp|any [from CIDR[,CIDR]] [to CIDR[,CIDR]] [port P[-Q][,P…]]`. -EINVAL: names the word. */
int rule_parse(const char *text, struct rule *rule, struct err *err) must_check;
void rule_free(struct rule *rule);	/* what it points at */
bool rule_allows(const struct rule *rule, const struct rule_packet *p);
/* In the words that rule_parse reads. */
void rule_text(const struct rule *rule, char text[RULE_TEXT]);

/* ip: 4 or 16 bytes. */
struct address address_of(const uint8_t *ip, bool v6);
/* An address without a prefix length. -EINVAL, no text. */
int address_parse(const char *text, struct address *address, bool *v6) must_check;
static inline bool address_eq(struct address a, struct address b) { return a.word[0] == b.word[0] && a.word[1] == b.word[1]; }
