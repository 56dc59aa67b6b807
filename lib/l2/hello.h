/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON that the ends of a path say to each other: HELLO of both sides, PEERS (docs/wire.md, hull-l2/1). Strings point into
 * the object they were parsed from. Inside lib/l2, and for who decides whom to let in. Any thread.
 */
#pragma once
#include <jansson.h>
#include "lib/l2/frame.h"
#include "lib/l2/path.h"
#include "lib/l2/server.h"

enum { HELLO_VERSION = 1, HELLO_NAME_MAX = 63, HELLO_ADDRESS_MAX = 300, HELLO_PEERS = 64, HELLO_TICKETS = 32, HELLO_MTU_MIN = 576,
	HELLO_MTU_MAX = 65535 };

/* The caller's. */
struct hello {
	bool gateway;			/* role "lcg"; else "hv": another server */
	const char *name;		/* of its certificate */
	const char *instance;		/* this process of it, chosen by chance */
	const char *way;		/* by which it comes: "direct" or the relay; one path each */
	const char *server, *nic, *segment;	/* whom it calls */
	const char *from_nic;		/* role hv: its own */
	const char *ticket;		/* NULL: none */
	unsigned lane, lanes;
	json_int_t attempt;		/* of one instance and way: the latest counts */
};
json_t *hello_make(const struct hello *h);	/* NULL: out of memory */
/* -EPROTO, -EPROTONOSUPPORT: another version. */
int hello_parse(const json_t *json, struct hello *h, struct err *err) must_check;

/* The server end's answer. mtu: the largest IP packet that the NIC takes; 0, or what no HELLO can say: not known. */
json_t *hello_answer(const char *server, const char *nic, const char *segment, const uint8_t mac[FRAME_MAC], unsigned mtu);
json_t *hello_refuse(int code, const char *text);
/* 0: it is the NIC that was called. A refusal is its code and text. -EPROTO. */
int hello_check(const json_t *json, const char *server, const char *nic, const char *segment, unsigned *mtu,
	struct err *err) must_check;

struct hello_peer {
	const char *server, *nic, *direct, *relay[L2_RELAYS], *tickets[HELLO_TICKETS];	/* direct may be NULL */
	uint8_t macs[L2_MACS][FRAME_MAC];
	unsigned mac_count, relay_count, ticket_count;
};
/* All of it is looked at before anything is done with it. count: at most HELLO_PEERS. mtu: the gateway's LAN's; 0: not said. */
int hello_parse_peers(const json_t *json, struct hello_peer peers[HELLO_PEERS], unsigned *count, unsigned *mtu,
	struct err *err) must_check;
