/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/window.h"
#include <errno.h>

#define MS 1000000ull
#define NS 1000000000ull
#define RATE_PERIOD (1000 * MS)
#define RATE_SAMPLE (2 * MS)
#define RTT_LIFE (10 * NS)

void window_init(struct window *w)
{
	*w = (struct window){ .size = WINDOW_FIRST };
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* What is under way at that rate in that time; rates and times are bounded by whom they are measured: no overflow below 2^64. */
static uint64_t product(uint64_t rate, uint64_t ns)
{
	return (uint64_t)((unsigned __int128)rate * ns / NS);
}

/*
 * Above twice the product: one tell more, because so much may be consumed that was not told yet. The floor is what a slow path
 * needs for 5 ms, and what a fast one needs for its ends to work while the other does.
 */
static void resize(struct window *w, uint64_t now)
{
	uint64_t rate = larger(w->rate[0], w->rate[1]), held, floor;

	if (!rate || !w->rtt_ns)
		return;
	held = product(rate, w->rtt_ns);
	floor = larger(WINDOW_MIN, smaller(product(rate, 5 * MS), WINDOW_FIRST));
	/* Now and then as little as shows the round trip without our own queue. */
	w->size = now < w->probe_until_ns ? held * 3 / 4 : held * 2 + WINDOW_TELL;
	w->size = smaller(larger(w->size, floor), WINDOW_MAX);
}

void window_sent(struct window *w, uint64_t len, uint64_t now)
{
	if (w->sent == w->consumed) {	/* nothing was under way: waiting for work is no rate */
		w->from_ns = now;
		w->from = w->consumed;
	}
	w->sent += len;
	if (!w->mark) {
		w->mark = w->sent;
		w->mark_ns = now;
	}
	if (!window_is_open(w)) {
		w->shut++;
		w->limited = true;
	}
}

static void take_rtt(struct window *w, uint64_t now)
{
	uint64_t rtt = now - w->mark_ns;

	w->mark = 0;
	if (!rtt)
		rtt = 1;
	if (w->rtt_ns && rtt > w->rtt_ns && now < w->rtt_until_ns)
		return;
	if (w->rtt_ns && rtt > w->rtt_ns && now >= w->rtt_until_ns && !w->probe_until_ns) {
		w->probe_until_ns = now + larger(20 * MS, 3 * w->rtt_ns);
		return;
	}
	if (w->probe_until_ns && now < w->probe_until_ns && rtt > w->rtt_ns)
		return;
	w->rtt_ns = rtt;
	w->rtt_until_ns = now + RTT_LIFE;
	w->probe_until_ns = 0;
}

static void take_rate(struct window *w, uint64_t now)
{
	uint64_t took = now - w->from_ns, known = larger(w->rate[0], w->rate[1]), rate;

	if (!w->from_ns || took < larger(RATE_SAMPLE, smaller(w->rtt_ns, RATE_PERIOD)))
		return;
	rate = (uint64_t)((unsigned __int128)(w->consumed - w->from) * NS / took);
	w->from_ns = now;
	w->from = w->consumed;
	/* what its sources did not fill says nothing unless it is more than what is known */
	if (!w->limited && (!known || rate <= known))
		return;
	w->limited = false;
	if (now >= w->rate_until_ns) {
		w->rate[1] = now >= w->rate_until_ns + RATE_PERIOD ? 0 : w->rate[0];
		w->rate[0] = 0;
		w->rate_until_ns = now + larger(RATE_PERIOD, smaller(10 * w->rtt_ns, 10 * RATE_PERIOD));
	}
	w->rate[0] = larger(w->rate[0], rate);
}

int window_consumed(struct window *w, uint64_t total, uint64_t now, struct err *err)
{
	if (total < w->consumed)
		return err_set(err, -EPROTO, "CONSUMED ran backwards");
	if (total > w->sent)
		return err_set(err, -EPROTO, "CONSUMED is more than was sent");
	w->consumed = total;
	if (w->mark && total >= w->mark)
		take_rtt(w, now);
	take_rate(w, now);
	resize(w, now);
	return 0;
}
