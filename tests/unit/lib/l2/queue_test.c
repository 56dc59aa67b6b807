/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/queue.h"
#include <stdlib.h>
#include "tests/unit/suite.h"

#define MS 1000000ull

static uint8_t data[70000];

static bool put(struct fair_queue *q, uint32_t flow, uint8_t tag, size_t len, uint64_t now)
{
	data[0] = tag;
	return fair_queue_put(q, flow, data, len, now);
}

/* The tag of the next message, which is taken out; -1: none. */
static int next(struct fair_queue *q, uint64_t now)
{
	size_t len;
	const uint8_t *m = fair_queue_get(q, now, &len);
	int tag = m ? m[0] : -1;

	if (m)
		fair_queue_drop(q);
	return tag;
}

static void test_order(void)
{
	struct fair_queue *q;
	size_t len = 0;

	check_or_return(!fair_queue_create(1 << 20, &q));
	check_eq(next(q, 0), -1);
	for (unsigned i = 0; i < 5; i++)
		check(put(q, 1, (uint8_t)i, 100, 0));
	check(fair_queue_get(q, 0, &len) && len == 100);
	for (unsigned i = 0; i < 5; i++)
		check_eq(next(q, 0), i);
	check_eq(fair_queue_bytes(q), 0);
	fair_queue_free(q);
}

/* A small flow passes a big one. */
static void test_sparse_passes(void)
{
	struct fair_queue *q;

	check_or_return(!fair_queue_create(2 << 20, &q));
	for (unsigned i = 0; i < 20; i++)
		check(put(q, 1, 1, 65000, 0));
	check_eq(next(q, 0), 1);
	put(q, 2, 2, 98, 0);
	check_eq(next(q, 0), 2);
	check_eq(next(q, 0), 1);
	fair_queue_free(q);
}

static void test_fair(void)
{
	struct fair_queue *q;
	unsigned bytes[3] = { 0 };

	check_or_return(!fair_queue_create(16 << 20, &q));
	for (unsigned i = 0; i < 100; i++)
		put(q, 1, 1, 65000, 0);
	for (unsigned i = 0; i < 4000; i++)
		put(q, 2, 2, 1500, 0);
	for (unsigned i = 0; i < 1500; i++) {
		int tag = next(q, 0);

		check_or_return(tag > 0);
		bytes[tag] += tag == 1 ? 65000 : 1500;
	}
	check(bytes[1] > bytes[2] / 10 * 8 && bytes[1] < bytes[2] / 10 * 12);
	fair_queue_free(q);
}

static void test_bounded(void)
{
	struct fair_queue *q;

	check_or_return(!fair_queue_create(100000, &q));
	check(!put(q, 1, 1, 60000, 0));
	for (unsigned i = 0; i < 1000; i++)
		check(put(q, i % 3 ? 1 : i, (uint8_t)i, 1500, 0));
	check(fair_queue_bytes(q) <= 100000);
	check(fair_queue_counters(q)->full > 900);
	/* the flow that fills it lost, not the others */
	check(put(q, 999, 77, 60, 0));
	check_eq(fair_queue_counters(q)->late, 0);
	fair_queue_free(q);
}

/* What has waited too long for a whole interval is lost, ever faster; a queue that is short is left alone. */
static void test_codel(void)
{
	struct fair_queue *q;
	uint64_t now = 0, sojourn_late = 0;

	check_or_return(!fair_queue_create(8 << 20, &q));
	for (; now < 3000 * MS; now += MS) {
		put(q, 1, 1, 1500, now);
		put(q, 1, 1, 1500, now);
		(void)next(q, now);	/* half of what comes in goes out */
	}
	check(fair_queue_counters(q)->late > 20);
	sojourn_late = fair_queue_counters(q)->late;
	while (next(q, now) >= 0)
		;
	for (; now < 6000 * MS; now += MS) {
		put(q, 1, 1, 1500, now);
		(void)next(q, now);
	}
	check(fair_queue_counters(q)->late <= sojourn_late + 60);
	fair_queue_free(q);
}

static void test_many(void)
{
	struct fair_queue *q;
	uint32_t seed = 1;
	uint64_t now = 1;

	check_or_return(!fair_queue_create(300000, &q));
	for (unsigned i = 0; i < 50000; i++) {
		seed = seed * 1664525 + 1013904223;
		now += seed >> 12;
		if (seed >> 31)
			put(q, seed >> 8, 1, 1 + (seed >> 16) % ((seed & 15) ? 1500 : 66000), now);
		else
			(void)next(q, now);
		if (fair_queue_bytes(q) > 300000)
			check(false);
	}
	while (next(q, now) >= 0)
		;
	check_eq(fair_queue_bytes(q), 0);
	fair_queue_free(q);
}

static const struct test tests[] = {
	{ "order in a flow", test_order },
	{ "a sparse flow passes", test_sparse_passes },
	{ "fair in bytes", test_fair },
	{ "bounded; the longest flow loses", test_bounded },
	{ "late messages", test_codel },
	{ "any order of calls", test_many },
	{ NULL },
};
const struct suite suite_lib_l2_queue = { tests };
