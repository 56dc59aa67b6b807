/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch of one segment. Its ports are the LAN and each server's NIC; a NIC's port forwards only while this gateway is the
 * active one for it.
 *
 * Known are the servers' MACs, which are pinned to their ports as long as those are active; everybody else is behind the LAN.
 * So a frame from the LAN goes to the server that it names or to nobody here, one for a group to all active NICs; a frame from
 * a server goes to the other server that it names or to the LAN, one for a group to the LAN and to all other NICs. Nothing goes
 * back where it came from.
 *
 * Each reason to drop a frame is a counter. Time is given by the caller. One thread.
 */
#pragma once
#include "lcg/config.h"
#include "lcg/vlan.h"
#include "lib/l2/filter.h"
#include "lib/l2/frame.h"
#include "lib/l2/loopguard.h"

struct segment;
struct segment_port;

enum segment_drop {
	SEGMENT_FRAME_SHORT,	/* no whole frame, or its virtio-net header is a lie (frame_cause, by name) */
	SEGMENT_FRAME_LONG,
	SEGMENT_FRAME_OFFLOAD,
	SEGMENT_FRAME_IP,
	SEGMENT_RESERVED,	/* 01:80:c2:00:00:0X from the LAN: bridges' own */
	SEGMENT_LOOP,		/* a server's own frame came back from the LAN, or its MAC stands there twice */
	SEGMENT_VLAN,		/* a tag in a frame of a segment without tags: a server's, or a second one from the LAN */
	SEGMENT_SOURCE,		/* source is a group, or another server's */
	SEGMENT_SHUT,		/* the LAN sends back what it is sent: nothing passes for a while */
	SEGMENT_STORM,		/* the LAN's broadcasts and multicasts above SEGMENT_STORM_S a second */
	SEGMENT_DROPS
};
const char *segment_drop_name(enum segment_drop drop);

enum { SEGMENT_STORM_S = 20000 };

struct segment_counters {
	uint64_t from_lan, to_lan, from_servers, to_servers, between_servers;	/* frames that were forwarded */
	uint64_t foreign;	/* frames of the LAN for nobody here */
	uint64_t drop[SEGMENT_DROPS];
	uint64_t announcements, answers, too_big, mirrored;
};

struct segment_ops {
	void (*to_lan)(void *ctx, const struct frame *f, uint32_t tci);		/* tci: VLAN_NO_TCI or a tag to put on */
	void (*mirror)(void *ctx, const struct frame *f);			/* NULL: there is none */
	/* A frame went from one server to another by way of this gateway: they may want to meet. NULL: nobody cares. */
	void (*between)(void *ctx, void *from_port_ctx, void *to_port_ctx);
};

/* name and LAN side as config says; ops are copied. */
int segment_create(const struct segment_config *config, const struct segment_ops *ops, void *ctx, struct segment **segment,
	struct err *err) must_check;
void segment_free(struct segment *segment);	/* its ports are gone by then; NULL is fine */
/* What may change while it runs: whether questions are answered here, the mirror. */
void segment_set(struct segment *segment, const struct segment_config *config, const struct segment_ops *ops, void *ctx);
/* The LAN's MTU, for the filters; 0: not known. */
void segment_set_mtu(struct segment *segment, uint32_t mtu);
/* That of a server's NIC. */
void segment_port_set_nic_mtu(struct segment_port *port, uint32_t mtu);
uint32_t segment_port_mtu(const struct segment_port *port);	/* of its segment; 0: not known */

/* A server's NIC: where its frames go. filter stays the caller's and outlives the port. */
typedef void segment_send_fn(void *ctx, struct frame *f);
int segment_add_port(struct segment *segment, const char *name, const uint8_t mac[FRAME_MAC], struct filter *filter,
	segment_send_fn *send, void *ctx, struct segment_port **port, struct err *err) must_check;
void segment_remove_port(struct segment_port *port);	/* NULL is fine */
/* Active: its MAC is pinned and announced to the LAN. Passive: nothing goes either way. */
void segment_port_set_active(struct segment_port *port, bool active, uint64_t now_ns);
/* Announce again, as long as the port is active: what a switch lost is said more than once. */
void segment_port_announce(struct segment_port *port, uint64_t now_ns);

/* Takes a frame as the LAN has it, when it is one of this segment: its tag is off. Parsed by nobody yet. */
void segment_from_lan(struct segment *segment, struct frame *f, uint64_t now_ns);
/* Parsed. */
void segment_from_port(struct segment_port *port, struct frame *f, uint64_t now_ns);

/* Each second: loop probes. */
void segment_tick(struct segment *segment, uint64_t now_ns);

bool segment_is_shut(const struct segment *segment, uint64_t now_ns);
void segment_guard_counters(const struct segment *segment, struct loopguard_counters *counters);
const struct segment_counters *segment_counters(const struct segment *segment);
const struct segment_config *segment_config(const struct segment *segment);
unsigned segment_ports(const struct segment *segment);
