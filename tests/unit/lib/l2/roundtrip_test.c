/* SPDX-License-Identifier: Apache-2.0 */
/* The round trip that leases follow: pauses end, lost segments are outlived. */
#include "lib/l2/roundtrip.h"
#include "lib/l2/election.h"
#include "tests/unit/suite.h"

#define MS 1000000ull
enum { MINUTES = 30, IN_FLIGHT = 64 };

/* A gateway that beats over one TCP connection, in simulated time. */
struct wan {
	uint64_t seed, now, last[2], until;	/* last: arrivals stay in order */
	unsigned one_way_ms, loss_percent, lapses, lease_max_ms;
	struct roundtrip rtt;
	struct { uint64_t sent, at; uint32_t told_us; } m[IN_FLIGHT];
	unsigned head, tail;
};

static bool lost(struct wan *w)
{
	w->seed = w->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (w->seed >> 33) % 100 < w->loss_percent;
}

/* When what is sent at a time arrives: a lost segment goes again once a later one was acknowledged, then after a time-out. */
static uint64_t arrival(struct wan *w, unsigned direction, uint64_t sent)
{
	uint64_t rtt = 2 * w->one_way_ms * MS, timeout = rtt + 200 * MS, at = sent + w->one_way_ms * MS;

	if (lost(w)) {
		do
			at += 100 * MS;
		while (lost(w));
		at += rtt + rtt / 4;
		for (; lost(w); timeout *= 2)
			at += timeout;
	}
	if (at < w->last[direction])
		at = w->last[direction];
	return w->last[direction] = at;
}

static uint32_t lease_ms(uint32_t told_us)
{
	return election_lease_ms(&(struct candidate){ .beat.rtt_us = told_us });
}

static void beat(struct wan *w, uint64_t now)
{
	uint64_t there = arrival(w, 0, now);

	w->m[w->tail % IN_FLIGHT].sent = now;
	w->m[w->tail % IN_FLIGHT].told_us = roundtrip_told_us(&w->rtt);
	w->m[w->tail++ % IN_FLIGHT].at = arrival(w, 1, there);
}

static void hear(struct wan *w, uint64_t now)
{
	while (w->head != w->tail && w->m[w->head % IN_FLIGHT].at <= now) {
		unsigned i = w->head++ % IN_FLIGHT, ms = lease_ms(w->m[i].told_us);
		uint64_t until = w->m[i].sent + ms * MS;

		if (w->until && w->m[i].at >= w->until)
			w->lapses++;
		w->until = until > w->until ? until : w->until;
		w->lease_max_ms = ms > w->lease_max_ms ? ms : w->lease_max_ms;
		roundtrip_take(&w->rtt, w->m[i].at - w->m[i].sent, w->m[i].at);
	}
}

static void run(struct wan *w, unsigned one_way_ms, unsigned loss_percent)
{
	*w = (struct wan){ .seed = 7, .one_way_ms = one_way_ms, .loss_percent = loss_percent };
	for (uint64_t now = 100 * MS; now < MINUTES * 60000 * MS; now += 100 * MS) {
		hear(w, now);
		beat(w, now);
	}
}

/* Segments lost twice in a row on a short path, thrice on a long one, are outlived: a hundred and more are lost each minute. */
static void test_loss(void)
{
	struct wan w;

	run(&w, 10, 5);
	check(w.lapses <= 6);
	check(w.lease_max_ms <= 800);
	run(&w, 50, 5);
	check(w.lapses <= 9);
	run(&w, 100, 5);
	check_eq(w.lapses, 0);
	run(&w, 100, 0);
	check_eq(w.lapses, 0);
}

/* Calm: the shortest leases. A pause: 800 ms at once after it. A path that became long: what it needs, before the old leases end. */
static void test_pause(void)
{
	struct roundtrip r = { 0 };
	uint64_t now = 1000 * MS;

	check_eq(roundtrip_told_us(&r), 0);
	for (unsigned i = 0; i < 100; i++)
		roundtrip_take(&r, 20 * MS, now += 100 * MS);
	check_eq(roundtrip_told_us(&r), 20000);
	check_eq(lease_ms(roundtrip_told_us(&r)), ELECTION_LEASE_MS);
	now += 5000 * MS;
	for (unsigned i = 0; i < 50; i++)
		roundtrip_take(&r, (5000 - i * 100) * MS, now);
	check_eq(lease_ms(roundtrip_told_us(&r)), 800);
	for (unsigned i = 0; i < 620; i++)
		roundtrip_take(&r, 20 * MS, now += 100 * MS);
	check_eq(lease_ms(roundtrip_told_us(&r)), ELECTION_LEASE_MS);
	for (unsigned i = 0; i < 30; i++)
		roundtrip_take(&r, 400 * MS, now += 100 * MS);
	check_eq(lease_ms(roundtrip_told_us(&r)), 1800);
}

static void test_bounds(void)
{
	struct roundtrip r = { 0 };

	roundtrip_take(&r, 0, 1);
	check_eq(roundtrip_told_us(&r), 0);
	check_eq(r.min_ns, 1);
	r = (struct roundtrip){ 0 };
	roundtrip_take(&r, UINT64_MAX / 16, 1);
	check_eq(roundtrip_told_us(&r), UINT32_MAX);
	check_eq(lease_ms(UINT32_MAX), ELECTION_LEASE_MAX_MS);
}

static const struct test tests[] = {
	{ "lost segments", test_loss },
	{ "pauses, and paths that become long", test_pause },
	{ "bounds", test_bounds },
	{ NULL },
};
const struct suite suite_lib_l2_roundtrip = { tests };
