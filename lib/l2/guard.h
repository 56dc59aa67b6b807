/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard of one NIC: who it says it is in Ethernet, ARP, neighbour discovery and IP headers, and how many frames to everybody
 * it sends. Time is given by the caller. One thread.
 */
#pragma once
#include "lib/l2/filter.h"
#include "lib/l2/rate.h"
#include "lib/l2/rule.h"

enum { GUARD_ROUTERS = 8 };

struct guard {
	uint8_t mac[FRAME_MAC];
	struct rate storm[2];		/* by enum filter_direction */
	/* Link-local addresses whose owners announced themselves as routers on the LAN: a server can't be one of them. */
	struct address router[GUARD_ROUTERS];
	unsigned router_next;
};

/* 01:80:c2:00:00:00 to :0f stay on one wire (IEEE 802.1Q table 8-1). */
bool guard_is_reserved(const uint8_t mac[FRAME_MAC]);
/* Frames it makes on a plain wire. */
uint64_t guard_frames(const struct frame *f);
void guard_set_policy(struct guard *guard, const struct policy *policy);
/* FILTER_PASS, FILTER_RESERVED, FILTER_SPOOFED_MAC, FILTER_SPOOFED_IP or FILTER_STORM. */
enum filter_cause guard_pass(struct guard *guard, const struct policy *policy, enum filter_direction direction,
	const struct frame *f, uint64_t now_ns);
