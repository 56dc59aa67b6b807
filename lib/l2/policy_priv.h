/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy is made of, for the files that enforce it. */
#pragma once
#include "lib/l2/filter.h"
#include "lib/l2/rate.h"
#include "lib/l2/rule.h"

enum { POLICY_RULES = 256, POLICY_ADDRESSES = 32, POLICY_STORM = 10000, MSS_OFF = 0, MSS_AUTO = 1, MSS_MIN = 536, MSS_MAX = 65495 };

struct policy {
	struct rule *rules;
	unsigned *numbers;		/* N of allow.N */
	unsigned rule_count;
	bool limited[2];		/* by enum filter_direction: rules say what may begin; else all may */
	struct { struct address ip; bool v6; } address[POLICY_ADDRESSES];
	unsigned address_count;
	struct rate_limit rate, storm;
	unsigned mss;			/* MSS_OFF, MSS_AUTO, or the number */
	char nic[64];
};

/* May a connection begin with this packet? */
bool policy_allows(const struct policy *policy, const struct rule_packet *p);
