/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why frames were dropped, by name: for counters, for status, and for the log, where each cause has a line a minute at most. One
 * thread.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { DROP_CAUSES = 24, DROPS_LINE_S = 60 };

struct drop_cause {
	const char *name;
	uint64_t n;
	bool said;		/* it has its line in the log where it happens */
};
struct drops { unsigned count; struct drop_cause cause[DROP_CAUSES]; };

/* The names live as long as the process; the same ones in the same order each time. */
void drops_add(struct drops *drops, const char *name, uint64_t n, bool said);
uint64_t drops_sum(const struct drops *drops);
json_t *drops_json(const struct drops *drops);		/* {"storm": 3, …}, those that are 0, too; NULL: out of memory */
void drops_put(const struct drops *drops, json_t *o);	/* "drop_storm": 3, … */

/* What the log was told last; zeroes at first. */
struct drops_told { uint64_t n[DROP_CAUSES], next_ns[DROP_CAUSES]; };
void drops_tell(struct drops_told *told, const struct drops *drops, const char *who, uint64_t now_ns);
