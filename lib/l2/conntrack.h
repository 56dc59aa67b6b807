/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of connections of one server. Bounded: what has not shown that both ends want it makes room first, established
 * TCP only when it was silent for long, so that no flood of openings ends what runs. All memory is reserved at creation and
 * touched as far as it was ever used. Time is given by the caller. One thread.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/err.h"
#include "lib/l2/rule.h"

/* In the order in which they make room. */
enum conn_class { CONN_NEW, CONN_CLOSING, CONN_LOOSE, CONN_ESTABLISHED, CONN_CLASSES };

struct conn_key {
	struct address server, peer;
	uint16_t server_port, peer_port;	/* TCP, UDP; echo: the identifier is the server's port */
	uint16_t vid;
	uint8_t proto, v6;
};

struct conn {
	struct conn_key key;
	uint32_t seen_ms;
	int32_t chain, before, after;	/* conntrack.c's */
	uint16_t generation;		/* of the rules that allowed it last */
	uint16_t check;			/* low half of what acknowledges the SYN-ACK */
	uint8_t class;
	uint8_t first;			/* enum filter_direction of the first packet */
	uint8_t flags;			/* firewall.c's */
};

struct conntrack;

struct conntrack_counters { uint64_t now, most, evicted, expired; };

/* size: entries, 16 to 2^20 */
int conntrack_create(unsigned size, struct conntrack **table) must_check;
void conntrack_free(struct conntrack *table);
/* NULL: none, or it has expired. Lives until the next call of add or remove. */
struct conn *conntrack_find(struct conntrack *table, const struct conn_key *key, uint64_t now_ns);
/* A fresh one of class CONN_NEW; key must not be there. NULL: full, and all are established and in use. */
struct conn *conntrack_add(struct conntrack *table, const struct conn_key *key, uint64_t now_ns);
/* It was seen just now, and is of this class. */
void conntrack_touch(struct conntrack *table, struct conn *conn, enum conn_class class, uint64_t now_ns);
void conntrack_remove(struct conntrack *table, struct conn *conn);
void conntrack_clear(struct conntrack *table);
const struct conntrack_counters *conntrack_counters(const struct conntrack *table);
