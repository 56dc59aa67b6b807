/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated path: a rate, a round trip, an end that tells after 64 KiB or 2 ms. */
#include "lib/l2/window.h"
#include <errno.h>
#include "tests/unit/suite.h"

#define US 1000ull
#define MS 1000000ull
enum { RING = 65536 };

struct sim { struct window w; uint64_t now, rate, rtt, at_end, told, told_ns, line_free; struct { uint64_t at, bytes; } ring[RING];
	unsigned head, tail; struct { uint64_t at, total; } acks[RING]; unsigned ahead, atail; };

static void setup(struct sim *s, uint64_t rate, uint64_t rtt)
{
	memset(s, 0, sizeof *s);
	s->now = s->told_ns = 1000 * MS;
	s->rate = rate;
	s->rtt = rtt;
	window_init(&s->w);
}

static void send(struct sim *s, uint64_t len)
{
	uint64_t begin = s->line_free > s->now ? s->line_free : s->now;

	s->line_free = begin + len * 1000000000 / s->rate;
	s->ring[s->tail % RING].at = s->line_free + s->rtt / 2;
	s->ring[s->tail++ % RING].bytes = len;
	window_sent(&s->w, len, s->now);
}

static void step(struct sim *s)
{
	s->now += 20 * US;
	while (s->head != s->tail && s->ring[s->head % RING].at <= s->now)
		s->at_end += s->ring[s->head++ % RING].bytes;
	if (s->at_end - s->told >= WINDOW_TELL || (s->at_end != s->told && s->now - s->told_ns >= WINDOW_TELL_NS)) {
		s->told = s->at_end;
		s->told_ns = s->now;
		s->acks[s->atail % RING].at = s->now + s->rtt / 2;
		s->acks[s->atail++ % RING].total = s->told;
	}
	while (s->ahead != s->atail && s->acks[s->ahead % RING].at <= s->now)
		check(!window_consumed(&s->w, s->acks[s->ahead++ % RING].total, s->now, NULL));
}

/* A source that is never idle, for ms: bytes per second that got through. */
static uint64_t fill(struct sim *s, unsigned ms, uint64_t len)
{
	uint64_t from = s->at_end, end = s->now + ms * MS;

	while (s->now < end) {
		while (window_is_open(&s->w))
			send(s, len);
		step(s);
	}
	return (s->at_end - from) * 1000 / ms;
}

static void test_rates(void)
{
	static const struct { uint64_t rate, rtt; } paths[] = {
		{ 1000000000, 100 * US }, { 1000000000, 20 * MS }, { 125000000, 40 * MS }, { 12500000, 20 * MS }, { 1250000, 20 * MS },
		{ 125000000, 200 * MS },
	};
	static struct sim s;

	for (unsigned i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		uint64_t got, held;

		setup(&s, paths[i].rate, paths[i].rtt);
		fill(&s, 6000, 16000);
		got = fill(&s, 1000, 16000);
		/* nearly all of it, unless the largest window holds less */
		if (got < paths[i].rate / 100 * 90)
			suite_note("path %u: %llu of %llu", i, (unsigned long long)got, (unsigned long long)paths[i].rate);
		check(got >= paths[i].rate / 100 * 90);
		/* and no more under way than that takes */
		held = paths[i].rate / 1000000 * (paths[i].rtt / 1000);
		check(s.w.size <= held * 3 + WINDOW_FIRST);
	}
}

/* Ten minutes of it: the smallest round trip is looked for again without our own queue. */
static void test_long(void)
{
	static struct sim s;

	setup(&s, 125000000, 20 * MS);
	fill(&s, 60000, 65000);
	check(s.w.size <= 3 * 2500000 + WINDOW_FIRST);
	check(s.w.rtt_ns < 30 * MS);
}

static void test_slower(void)
{
	static struct sim s;
	uint64_t got;

	setup(&s, 125000000, 20 * MS);
	fill(&s, 3000, 16000);
	s.rate = 2500000;
	fill(&s, 6000, 16000);
	got = fill(&s, 1000, 16000);
	check(got > 2200000);
	check(s.w.size < 600000);
}

static void test_bad(void)
{
	struct window w;
	struct err err;

	window_init(&w);
	window_sent(&w, 1000, 1);
	check(!window_consumed(&w, 600, 2, &err));
	check_eq(window_consumed(&w, 599, 3, &err), -EPROTO);
	check_str(err.text, "CONSUMED ran backwards");
	check_eq(window_consumed(&w, 1001, 3, &err), -EPROTO);
	check_str(err.text, "CONSUMED is more than was sent");
	check(!window_consumed(&w, 600, 3, &err));
}

static const struct test tests[] = {
	{ "fills fast, slow, near and far paths", test_rates },
	{ "stays small for long", test_long },
	{ "a path that gets slower", test_slower },
	{ "what cannot be", test_bad },
	{ NULL },
};
const struct suite suite_lib_l2_window = { tests };
