/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server's frames have to pass, in both directions, one after the other: the guard (reserved addresses, spoofed source
 * MACs and IPs, storms of broadcasts), the firewall, the size, the rate, and the clamp of TCP's maximum segment. One filter is
 * one NIC of one server, at its gateway, or at the other end of a link between two servers. Its policy comes from the placement
 * and may be replaced at any time: what is connected stays connected as long as the new rules allow the connection's first
 * packet (docs/firewall.md).
 * No clock of its own; one thread.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/config.h"
#include "lib/err.h"
#include "lib/l2/frame.h"

struct filter;
struct policy;

enum filter_direction { FILTER_FROM_SERVER, FILTER_TO_SERVER };

/* PASS, or why not. A counter each; names in filter_cause_name. */
enum filter_cause {
	FILTER_PASS,
	FILTER_SPOOFED_MAC,	/* from the server with a source that is not its own, or to it with its own */
	FILTER_SPOOFED_IP,	/* ARP, ND or IP source outside nic.X.address, when that is set */
	FILTER_STORM,		/* broadcasts and multicasts above the limit */
	FILTER_RATE,		/* bytes above rate and burst */
	FILTER_FIREWALL,	/* no rule allows it */
	FILTER_FLOOD,		/* firewall: connection table full */
	FILTER_RESERVED,	/* 01:80:c2:00:00:0X: bridges' own (STP, LACP, pause) */
	FILTER_FRAGMENT,	/* firewall: a piece whose packet's first one was not let pass, or came later, or that overlaps it */
	FILTER_TOO_BIG,		/* longer than the MTU it has to pass; filter_reply makes what the sender is told */
	FILTER_CAUSES
};
const char *filter_cause_name(enum filter_cause cause);	/* "spoofed-mac", … */

/*
 * What the placement says of NIC nic: keys nic.NIC.allow.N, .address, .rate, .storm, .mss (docs/placement.md). Errors name
 * key and word.
 */
int policy_read(struct config *placement, const char *nic, struct policy **policy, struct err *err) must_check;
void policy_free(struct policy *policy);

/* Takes the policy, on failure too. */
int filter_create(const uint8_t mac[FRAME_MAC], struct policy *policy, struct filter **filter, struct err *err) must_check;
/*
 * The largest IP packets that the LAN and the NIC take; 0: no limit known. Longer ones don't pass, and `nic.NIC.mss = auto` clamps
 * TCP to the smaller of both.
 */
void filter_set_mtu(struct filter *filter, unsigned lan, unsigned nic);
/*
 * This end became the active one and has seen none of the server's connections begin: for FILTER_RESUME_S from the next frame on,
 * TCP segments from the middle of connections are taken for one that the rules allow when they allow it to begin in either
 * direction.
 */
enum { FILTER_RESUME_S = 120 };
void filter_resume(struct filter *filter);
void filter_free(struct filter *filter);
/* Takes the policy; the one that was there is freed. Connections that the new one would not have let begin end. */
void filter_set_policy(struct filter *filter, struct policy *policy);
/* The frame is parsed; its bytes may be changed (the clamp). */
enum filter_cause filter_pass(struct filter *filter, enum filter_direction direction, struct frame *f,
	uint64_t now_ns) must_check;
/*
 * After FILTER_TOO_BIG: the ICMP message for its sender, to be sent back in the other direction. Its length; 0: nothing is said (no
 * IP, not to be told, told too often).
 */
enum { FILTER_REPLY_MAX = 1302 };
size_t filter_reply(struct filter *filter, enum filter_direction direction, const struct frame *f, uint8_t buf[FILTER_REPLY_MAX],
	uint64_t now_ns);
/* cause[FILTER_PASS]: what passed; the others: what was dropped */
struct filter_counters { uint64_t cause[FILTER_CAUSES]; uint64_t clamped, replies, connections, connections_max, evicted; };
void filter_counters(const struct filter *filter, struct filter_counters *counters);
/* All of it in the placement's words, one key a line, for people. malloc'd; NULL: out of memory. */
char *policy_text(const struct policy *policy);
