/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server's frames have to pass, in both directions, one after the other: the guard (spoofed source MACs and IPs,
 * storms of
 * broadcasts), the rate, the firewall, and the clamp of TCP's maximum segment. One filter is one NIC of one server, at its
 * gateway,
 * or at the other end of a link between two servers. Its policy comes from the placement and may be replaced at any time:
 * what is
 * connected stays connected as long as the new rules allow the connection's first packet.
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
	FILTER_CAUSES
};
const char *filter_cause_name(enum filter_cause cause);	/* "spoofed-mac", … */

/*
 * What the placement says of NIC nic: keys nic.NIC.allow.N, .address, .rate, .storm, .mss (docs/placement.md). Errors name
 * key and word.
 */
int policy_read(struct config *placement, const char *nic, struct policy **policy, struct err *err) must_check;
void policy_free(struct policy *policy);

/* Takes the policy. */
int filter_create(const uint8_t mac[FRAME_MAC], struct policy *policy, struct filter **filter, struct err *err) must_check;
void filter_free(struct filter *filter);
/* Takes the policy; the one that was there is freed. Connections that the new one would not have let begin end. */
void filter_set_policy(struct filter *filter, struct policy *policy);
/* The frame is parsed; its bytes may be changed (the clamp). */
enum filter_cause filter_pass(struct filter *filter, enum filter_direction direction, struct frame *f,
	uint64_t now_ns) must_check;
/* cause[FILTER_PASS]: what passed */
struct filter_counters { uint64_t cause[FILTER_CAUSES]; uint64_t clamped, connections, connections_max; };
void filter_counters(const struct filter *filter, struct filter_counters *counters);
/* The rules, compiled, one a line, for people. malloc'd. */
char *policy_text(const struct policy *policy);
