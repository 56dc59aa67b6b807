/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many bytes a lane may have under way: twice what the path holds (delivery rate × smallest round trip, as BBR has it),
 * measured from what the other end says that it consumed. So queues build in front of the lane, where flows are told apart, and
 * not in sockets. No clock of its own; one thread.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/err.h"

/* The receiver tells after so many bytes at the latest, or after so long when it is fewer. */
enum { WINDOW_TELL = 65536, WINDOW_TELL_NS = 2000000 };
enum { WINDOW_MIN = 32768, WINDOW_FIRST = 262144, WINDOW_MAX = 64 << 20 };

struct window {
	uint64_t sent, consumed;	/* bytes since the connection began */
	uint64_t size;
	uint64_t rate[2], rate_until_ns;	/* largest of this and of the last period, bytes per second */
	uint64_t rtt_ns;		/* smallest; 0: not known */
	uint64_t rtt_until_ns, probe_until_ns;
	uint64_t mark, mark_ns;		/* one byte position and when it was sent; mark 0: none */
	uint64_t from, from_ns;		/* where the rate's measurement began; from_ns 0: it did not */
	bool limited;			/* the window shut since it began */
	uint64_t shut;			/* how often it shut */
};

void window_init(struct window *w);
/* May another message go? One that is longer than the room that is left goes too. */
static inline bool window_is_open(const struct window *w) { return w->sent - w->consumed < w->size; }
void window_sent(struct window *w, uint64_t len, uint64_t now_ns);
/* Does the next window_sent look at the time? Asking a clock for each small frame is a cost of its own. */
static inline bool window_wants_time(const struct window *w) { return !w->mark || w->sent == w->consumed; }
/* The other end's CONSUMED. -EPROTO: it runs backwards, or beyond what was sent. */
int window_consumed(struct window *w, uint64_t total, uint64_t now_ns, struct err *err) must_check;
