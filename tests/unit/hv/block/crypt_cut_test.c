/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts under the encryption layer. A sector's content is told by the number of the write that made it; after a cut
 * each 512 bytes must be one of the writes since the last flush, or what was there at the flush, whole.
 */
#include "tests/unit/hv/block/crypt_rig.h"
#include "tests/unit/hv/block/powercut.h"
#include "tests/unit/suite.h"

enum { SIZE = 65536, UNITS = SIZE / 512, OPS = 24, RUNS = 4000, HEADER = 4096 };

struct world {
	struct powercut *p;
	struct block *b;
	struct luks_layout layout;
	uint32_t flushed[UNITS];	/* number of the write that lasts */
	uint32_t since[UNITS][OPS + 1];
	unsigned since_count[UNITS];
	uint32_t writes;
};

/* Write 0 is the zeroes at the beginning and all write-zeroes. */
static void content(uint32_t write, unsigned unit, uint8_t *out)
{
	uint64_t s = (uint64_t)write << 32 | unit | 1;

	memset(out, 0, 512);
	for (unsigned i = 0; write && i < 512; i += 8) {
		s = s * 6364136223846793005ull + 1442695040888963407ull;
		memcpy(out + i, &s, 8);
	}
}

static void reopen(struct world *w)
{
	struct err err = { 0 };

	if (block_crypt_create(&w->p->b, &w->layout, &w->b, &err)) {
		suite_note("%s", err.text);
		abort();
	}
}

static void wrote(struct world *w, uint32_t write, unsigned unit, unsigned count, bool lasts)
{
	for (; count--; unit++) {
		if (lasts) {
			w->flushed[unit] = write;
			w->since_count[unit] = 0;
		} else {
			w->since[unit][w->since_count[unit]++] = write;
		}
	}
}

static void flush(struct world *w)
{
	if (crypt_call_now(w->b, BLOCK_FLUSH, 0, NULL, 0))
		return;
	for (unsigned u = 0; u < UNITS; u++) {
		if (w->since_count[u])
			w->flushed[u] = w->since[u][w->since_count[u] - 1];
		w->since_count[u] = 0;
	}
}

static void write_some(struct world *w)
{
	static uint8_t data[SIZE];
	unsigned unit = (unsigned)(powercut_random(w->p) % UNITS), count = (unsigned)(powercut_random(w->p) % 20 + 1);
	bool zeroes = powercut_random(w->p) % 8 == 0, fua = !zeroes && powercut_random(w->p) % 4 == 0;
	uint32_t write = zeroes ? 0 : ++w->writes;
	struct crypt_call c;

	if (count > UNITS - unit)
		count = UNITS - unit;
	for (unsigned i = 0; i < count; i++)
		content(write, unit + i, data + (size_t)i * 512);
	crypt_call_init(&c, zeroes ? BLOCK_WRITE_ZEROES : BLOCK_WRITE, unit * 512ull, data, count * 512ull);
	c.req.fua = fua;
	if (c.req.iov && count > 1) {	/* cut where no sector ends */
		c.iov[1] = (struct iovec){ data + 700, count * 512ull - 700 };
		c.iov[0].iov_len = 700;
		c.req.iov_count = 2;
	}
	block_submit(w->b, &c.req);
	check_eq(c.ends, 1);
	check(!c.result || w->p->off);
	wrote(w, write, unit, count, fua && !c.result);
}

static bool one_of(const struct world *w, unsigned unit, const uint8_t *found)
{
	uint8_t want[512];

	content(w->flushed[unit], unit, want);
	if (!memcmp(want, found, 512))
		return true;
	for (unsigned i = 0; i < w->since_count[unit]; i++) {
		content(w->since[unit][i], unit, want);
		if (!memcmp(want, found, 512))
			return true;
	}
	return false;
}

static void run(unsigned seed, unsigned *damaged)
{
	static uint8_t found[SIZE];
	static struct world w;

	w = (struct world){ .p = powercut_create(HEADER + SIZE, seed), .layout = crypt_layout(512u << seed % 4, 64, HEADER) };
	reopen(&w);
	check_eq(crypt_call_now(w.b, BLOCK_WRITE_ZEROES, 0, NULL, SIZE), 0);
	check_eq(crypt_call_now(w.b, BLOCK_FLUSH, 0, NULL, 0), 0);
	if (seed & 1)
		w.p->cut_after = powercut_random(w.p) % OPS;
	for (unsigned i = 0; i < OPS && !w.p->off; i++) {
		if (powercut_random(w.p) % 6)
			write_some(&w);
		else
			flush(&w);
	}
	block_free(w.b);
	powercut_cut(w.p);
	powercut_on(w.p);
	reopen(&w);
	check_eq(crypt_call_now(w.b, BLOCK_READ, 0, found, SIZE), 0);
	for (unsigned u = 0; u < UNITS; u++)
		*damaged += !one_of(&w, u, found + (size_t)u * 512);
	block_free(w.b);
	powercut_destroy(w.p);
}

static void what_was_flushed_outlives_power_and_neighbours_are_never_damaged(void)
{
	unsigned damaged = 0;

	for (unsigned seed = 0; seed < RUNS; seed++)
		run(seed, &damaged);
	check_eq(damaged, 0);
}

static const struct test tests[] = {
	{ "what was flushed outlives power, and neighbours are never damaged",
		what_was_flushed_outlives_power_and_neighbours_are_never_damaged },
	{ NULL, NULL },
};
const struct suite suite_hv_block_crypt_cut = { tests };
