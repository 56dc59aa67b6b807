/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Introductions: two servers of a segment that talk by way of this gateway are told of each other, with tickets, so that their frames need not
 * cross the internet twice (lib/l2/server.h, PEERS). Told are those that do talk; while they find no direct way they are told again, with growing
 * pauses. On the loop's thread.
 */
#pragma once
#include "lcg/nic.h"

struct peers;

enum { PEERS_PAIRS = 4096, PEERS_FIRST_S = 30, PEERS_LAST_S = 600 };

struct peers_counters { uint64_t seen, introduced, failed, full; };

int peers_create(struct trust *trust, struct peers **peers) must_check;
void peers_free(struct peers *peers);		/* NULL is fine */
void peers_set_trust(struct peers *peers, struct trust *trust);
/* A frame went from one to the other here. Cheap. */
void peers_note(struct peers *peers, struct nic *from, struct nic *to);
/* A NIC is about to go. */
void peers_forget(struct peers *peers, const struct nic *nic);
void peers_tick(struct peers *peers, uint64_t now_ns);	/* each second */
const struct peers_counters *peers_counters(const struct peers *peers);
