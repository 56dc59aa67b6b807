/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One NIC of one server, as its gateway serves it: the link (lib/l2/gateway.h), the filter, the port of the segment's switch,
 * and the tickets for connections to come. On the loop's thread.
 */
#pragma once
#include "lcg/config.h"
#include "lcg/segment.h"
#include "lcg/tickets.h"
#include "lcg/trust.h"
#include "lib/l2/gateway.h"

struct nic;

/* What a reload must not change without a new link. */
struct nic_link { const char *gateway, *segment; uint32_t priority; };

/* Takes the policy out of config, on failure too. trust NULL: tests, plain. It has no port yet. */
int nic_create(struct loop *loop, struct nic_config *config, const struct nic_link *link, struct trust *trust, struct nic **nic,
	struct err *err) must_check;
void nic_free(struct nic *nic);		/* its port goes, its lease is released; NULL is fine */
/* The same server, reached the same way, with the same MAC in a segment of the same name: only the policy may differ. */
bool nic_is_same(const struct nic *nic, const struct nic_config *config, const struct nic_link *link);
void nic_set_policy(struct nic *nic, struct policy *policy);	/* takes it */
/* Into a segment's switch, out of the one before. -ENOMEM, -E2BIG: nothing has changed. */
int nic_plug(struct nic *nic, struct segment *segment, struct err *err) must_check;
void nic_set_lan(struct nic *nic, bool works);
void nic_set_trust(struct nic *nic, struct trust *trust);	/* another identity: other tickets, too */
void nic_renew(struct nic *nic, struct trust *trust);	/* the same identity, with fresh contexts */
void nic_tick(struct nic *nic, uint64_t now_ns);	/* each second: tickets, rates */

const char *nic_server(const struct nic *nic);
const char *nic_name(const struct nic *nic);
const char *nic_segment(const struct nic *nic);
const uint8_t *nic_mac(const struct nic *nic);
const struct nic_config *nic_config(const struct nic *nic);	/* without a policy */
struct segment_port *nic_port(const struct nic *nic);
bool nic_is_active(const struct nic *nic);
struct l2_gateway *nic_l2(const struct nic *nic);
/* For people and --json. The caller's reference; NULL: out of memory. */
json_t *nic_status(const struct nic *nic);
/* Totals by name, flat. */
json_t *nic_counters(const struct nic *nic);
