/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stock of tickets for one caller and one NIC, so that a connection that breaks is made again at once, also in the minutes in
 * which the management application is away. Tickets are good for one connection and two minutes: the stock is filled up before
 * they expire. On the loop's thread.
 */
#pragma once
#include "lcg/trust.h"

struct tickets;

enum { TICKETS_MARGIN_S = 40, TICKETS_PAUSE_MAX_S = 30 };

struct tickets_counters { uint64_t taken, missing, expired, refused; };

/*
 * caller NULL: this gateway. want: how many are kept, 1 to TRUST_TICKETS. fresh: called when some have come; NULL: nobody cares.
 * trust outlives the stock.
 */
int tickets_create(struct trust *trust, const char *caller, const char *callee, const char *nic, unsigned want, loop_fn *fresh,
	void *ctx, struct tickets **tickets) must_check;
void tickets_free(struct tickets *t);	/* NULL is fine */
/* The same stock, asked for elsewhere from now on. */
void tickets_set_trust(struct tickets *t, struct trust *trust);
/* malloc'd, the oldest that is good; NULL: none at hand. More are asked for. */
char *tickets_take(struct tickets *t, time_t now);
unsigned tickets_ready(struct tickets *t, time_t now);	/* how many are good */
/* Each second: what expires is replaced. */
void tickets_tick(struct tickets *t, time_t now);
unsigned tickets_count(const struct tickets *t);
const char *tickets_trouble(const struct tickets *t);	/* why the last question failed; "" */
const struct tickets_counters *tickets_counters(const struct tickets *t);
