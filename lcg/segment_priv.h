/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a segment: segment.c is the switch, segment_neighbour.c what it knows about addresses. */
#pragma once
#include "lcg/segment.h"
#include "lib/l2/fdb.h"
#include "lib/l2/loopguard.h"
#include "lib/l2/neighbour.h"

/* Addresses of a NIC that are announced when it moves. */
enum { SEGMENT_ADDRESSES = 16 };

struct segment_port {
	struct segment *segment;
	char name[PKI_NAME_MAX + LCG_NAME + 2];		/* "dc-web01 net0", for people */
	unsigned index;				/* its port number in the forwarding table is one more: the LAN has 0 */
	uint8_t mac[FRAME_MAC];
	struct filter *filter;
	segment_send_fn *send;
	void *ctx;
	bool active;
	uint32_t mtu;				/* of the NIC; 0: not known */
	struct { struct address ip; uint16_t vid; bool v6; } address[SEGMENT_ADDRESSES];
	unsigned addresses;
};

struct segment {
	struct segment_config config;
	struct segment_ops ops;
	void *ctx;
	struct fdb *fdb;
	struct neighbours *neighbours;
	struct segment_port *port[LCG_NICS];
	unsigned highest, active;		/* ports stand below highest; how many are active */
	uint32_t mtu;
	struct loopguard guard;
	struct segment_counters counters;
};

/* A frame of this segment, untagged when the segment is, with its tag on the LAN's side. */
void segment_send_lan(struct segment *segment, const struct frame *f, uint32_t tci);

/* A frame of len bytes at f->data that was made here: parsed and sent to the LAN. */
void segment_send_made(struct segment *segment, struct frame *f);

/*
 * A multicast frame of the LAN, parsed, also while nothing is active here: who has which address, for the day this gateway
 * takes over.
 */
void segment_neighbour_hear(struct segment *segment, const struct frame *f, uint64_t now_ns);
/* True: it was a question that has been answered, and goes no further. */
bool segment_neighbour_from_lan(struct segment *segment, struct frame *f, uint64_t now_ns);
bool segment_neighbour_from_port(struct segment_port *port, struct frame *f, uint64_t now_ns);
