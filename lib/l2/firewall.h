/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stateful firewall of one server: rules for a connection's first packet, a table of connections for the others
 * (docs/firewall.md). While the rules limit no direction nothing is tracked. Time is given by the caller. One thread.
 */
#pragma once
#include "lib/l2/conntrack.h"
#include "lib/l2/filter.h"

struct firewall;

enum { FIREWALL_CONNECTIONS = 65536, FIREWALL_PIECES = 256 };

/* size: connections at most */
int firewall_create(unsigned size, struct firewall **firewall) must_check;
void firewall_free(struct firewall *firewall);
/* The policy is the caller's; it lives until the next one is set. Costs nothing: connections are looked at again one by one. */
void firewall_set_policy(struct firewall *firewall, const struct policy *policy);
void firewall_resume(struct firewall *firewall);	/* see filter_resume */
/* FILTER_PASS, FILTER_FIREWALL, FILTER_FLOOD or FILTER_FRAGMENT. */
enum filter_cause firewall_pass(struct firewall *firewall, enum filter_direction direction, const struct frame *f, uint64_t now_ns);
const struct conntrack_counters *firewall_counters(const struct firewall *firewall);
