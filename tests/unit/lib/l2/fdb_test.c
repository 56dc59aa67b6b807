/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/fdb.h"
#include <errno.h>
#include "lib/bits.h"
#include "tests/unit/suite.h"

#define S 1000000000ull

static const uint8_t *mac(uint32_t n)
{
	static uint8_t m[FRAME_MAC];

	m[0] = 0x02;
	m[1] = 0;
	put_be32(m + 2, n);
	return m;
}

static int count_one(void *ctx, uint16_t vid, const uint8_t *m, int port, uint64_t seen_ns, bool pinned)
{
	unsigned *n = ctx;

	n[pinned]++;
	n[2] |= m[0] != 0x02 || m[1] || vid > 5;
	return 0;
}

static void a_station_is_found_where_it_was_seen(void)
{
	struct fdb *fdb;

	check_or_return(!fdb_create(64, FDB_AGE_S, &fdb));
	check_eq(fdb_find(fdb, 1, mac(1), 0), FDB_NO_PORT);
	check(fdb_learn(fdb, 1, mac(1), 7, S));
	check_eq(fdb_find(fdb, 1, mac(1), S), 7);
	check_eq(fdb_find(fdb, 2, mac(1), S), FDB_NO_PORT);
	check_eq(fdb_find(fdb, FRAME_NO_VID, mac(1), S), FDB_NO_PORT);
	check(fdb_learn(fdb, 1, mac(1), 8, S));
	check_eq(fdb_find(fdb, 1, mac(1), S), 8);
	check_eq(fdb_counters(fdb)->learned, 1);
	check_eq(fdb_counters(fdb)->moved, 1);
	fdb_forget_port(fdb, 7);
	check_eq(fdb_find(fdb, 1, mac(1), S), 8);
	fdb_forget_port(fdb, 8);
	check_eq(fdb_find(fdb, 1, mac(1), S), FDB_NO_PORT);
	check(!fdb_learn(fdb, 1, (const uint8_t *)"\x01\x00\x5e\x00\x00\x01", 7, S));
	check(!fdb_learn(fdb, 1, mac(1), -1, S));
	check_eq(fdb_counters(fdb)->refused, 2);
	fdb_free(fdb);
}

static void entries_age_unless_seen_again(void)
{
	struct fdb *fdb;

	check_or_return(!fdb_create(64, 10, &fdb));
	check(fdb_learn(fdb, 1, mac(1), 1, S));
	check(fdb_learn(fdb, 1, mac(2), 2, S));
	check(fdb_learn(fdb, 1, mac(2), 2, 8 * S));
	check_eq(fdb_find(fdb, 1, mac(1), 11 * S), 1);
	check_eq(fdb_find(fdb, 1, mac(1), 12 * S), FDB_NO_PORT);
	check_eq(fdb_find(fdb, 1, mac(2), 12 * S), 2);
	check_eq(fdb_counters(fdb)->aged, 1);
	check_eq(fdb_find(fdb, 1, mac(2), 0), 2);	/* a clock that is behind */
	fdb_free(fdb);
}

static void a_pinned_mac_stays(void)
{
	unsigned n[3] = { 0 };
	struct fdb *fdb;

	check_or_return(!fdb_create(16, 10, &fdb));
	check(fdb_learn(fdb, 1, mac(1), 5, S));
	check_eq(fdb_pin(fdb, 1, mac(1), 3), 0);
	check_eq(fdb_pin(fdb, 1, mac(1), 3), 0);
	check_eq(-fdb_pin(fdb, 1, mac(1), 4), EEXIST);
	check_eq(-fdb_pin(fdb, 1, mac(1), -1), EINVAL);
	check_eq(-fdb_pin(fdb, 1, (const uint8_t *)"\xff\xff\xff\xff\xff\xff", 4), EINVAL);
	check(!fdb_learn(fdb, 1, mac(1), 5, S));
	check(fdb_learn(fdb, 1, mac(1), 3, 2 * S));
	fdb_forget_port(fdb, 3);
	for (unsigned i = 0; i < 1000; i++)
		check(fdb_learn(fdb, 1, mac(100 + i), 1, 3 * S));
	check_eq(fdb_find(fdb, 1, mac(1), 1000 * S), 3);
	check_eq(fdb_walk(fdb, count_one, n), 0);
	check_eq(n[0], 15);
	check_eq(n[1], 1);
	check_eq(n[2], 0);
	check_eq(fdb_counters(fdb)->evicted, 985);
	fdb_unpin(fdb, 1, mac(1));
	check_eq(fdb_find(fdb, 1, mac(1), 3 * S), FDB_NO_PORT);
	for (unsigned i = 0; i < 16; i++)
		check_eq(fdb_pin(fdb, 1, mac(5000 + i), 2), 0);
	check_eq(-fdb_pin(fdb, 1, mac(6000), 2), ENOSPC);
	check(fdb_learn(fdb, 1, mac(7000), 2, S));	/* not known, so flooded, but not refused */
	check_eq(fdb_find(fdb, 1, mac(7000), S), FDB_NO_PORT);
	fdb_free(fdb);
	fdb_free(NULL);
}

static void the_oldest_makes_room(void)
{
	struct fdb *fdb;

	check_or_return(!fdb_create(16, 1000, &fdb));
	for (unsigned i = 0; i < 16; i++)
		check(fdb_learn(fdb, 1, mac(i), 1, i * 2 * S));
	check(fdb_learn(fdb, 1, mac(0), 1, 40 * S));	/* now the youngest */
	check(fdb_learn(fdb, 1, mac(99), 1, 41 * S));
	check_eq(fdb_find(fdb, 1, mac(0), 41 * S), 1);
	check_eq(fdb_find(fdb, 1, mac(1), 41 * S), FDB_NO_PORT);
	check_eq(fdb_find(fdb, 1, mac(2), 41 * S), 1);
	check_eq(-fdb_create(1 << 21, 1, &fdb), EINVAL);
	check_eq(-fdb_create(16, 0, &fdb), EINVAL);
	fdb_free(fdb);
}

/* Any order of calls against a plain array. */
static void random_calls_agree_with_a_plain_table(void)
{
	struct { int port; uint64_t seen; bool pinned; } ref[40] = { 0 };
	uint64_t now = S, state = 12345;
	struct fdb *fdb;

	for (unsigned i = 0; i < 40; i++)
		ref[i].port = -1;
	check_or_return(!fdb_create(64, 20, &fdb));	/* never full */
	for (unsigned round = 0; round < 20000; round++) {
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		unsigned what = state >> 60, who = (state >> 33) % 40;
		int port = (int)(state >> 50 & 3);

		now += (state >> 40 & 3) * 2 * S;
		if (ref[who].port >= 0 && !ref[who].pinned && now - ref[who].seen > 20 * S)
			ref[who].port = -1;
		if (what < 8) {
			bool want = !ref[who].pinned || ref[who].port == port;

			check_eq(fdb_learn(fdb, 3, mac(who), port, now), want);
			if (!ref[who].pinned) {
				if (ref[who].port < 0 || now - ref[who].seen > S)
					ref[who].seen = now;
				ref[who].port = port;
			}
		} else if (what == 8) {
			int want = ref[who].pinned && ref[who].port != port ? -EEXIST : 0;

			check_eq(fdb_pin(fdb, 3, mac(who), port), want);
			if (!want) {
				ref[who].pinned = true;
				ref[who].port = port;
			}
		} else if (what == 9) {
			fdb_unpin(fdb, 3, mac(who));
			if (ref[who].pinned)
				ref[who].port = -1;
			ref[who].pinned = false;
		} else if (what == 10) {
			fdb_forget_port(fdb, port);
			for (unsigned i = 0; i < 40; i++)
				if (!ref[i].pinned && ref[i].port == port)
					ref[i].port = -1;
		}
		check_eq(fdb_find(fdb, 3, mac(who), now), ref[who].port);
	}
	fdb_free(fdb);
}

static const struct test fdb_tests[] = {
	{ "a station is found where it was seen", a_station_is_found_where_it_was_seen },
	{ "entries age unless seen again", entries_age_unless_seen_again },
	{ "a pinned MAC stays", a_pinned_mac_stays },
	{ "the oldest makes room", the_oldest_makes_room },
	{ "random calls agree with a plain table", random_calls_agree_with_a_plain_table },
	{ 0 }
};
const struct suite suite_lib_l2_fdb = { fdb_tests };
