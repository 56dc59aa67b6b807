/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Introductions: two servers of a segment that talk by way of this gateway are told of each other, with tickets, so that their
 * frames need not cross the internet twice (lib/l2/server.h, PEERS). Told are those that do talk; while they find no direct way
 * they are told again, with growing pauses. On the loop's thread.
 */
#pragma once
#include "lcg/nic.h"

struct introductions;

enum { INTRODUCTIONS_PAIRS = 4096, INTRODUCTIONS_FIRST_S = 30, INTRODUCTIONS_LAST_S = 600 };

struct introductions_counters { uint64_t seen, introduced, failed, full; };

int introductions_create(struct trust *trust, struct introductions **out) must_check;
void introductions_free(struct introductions *intro);		/* NULL is fine */
void introductions_set_trust(struct introductions *intro, struct trust *trust);
/* A frame went from one to the other here. Cheap. */
void introductions_note(struct introductions *intro, struct nic *from, struct nic *to);
/* A NIC is about to go. */
void introductions_forget(struct introductions *intro, const struct nic *nic);
void introductions_tick(struct introductions *intro, uint64_t now_ns);	/* each second */
const struct introductions_counters *introductions_counters(const struct introductions *intro);
