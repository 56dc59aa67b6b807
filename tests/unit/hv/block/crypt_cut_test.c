/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts under the encryption layer. A sector's content is told by the number of the write that made it; after a cut
 * each 512 bytes must be one of the writes since the last flush, or what was there at the flush, whole.
 */
#include "tests/unit/hv/block/crypt_rig.h"
#include "tests/unit/hv/block/powercut.h"
#include "tests/unit/suite.h"

enum { SIZE = 65536, UNITS = SIZE / 512, OPS = 32, RUNS = 4000, HEADER = 4096, IN_FLIGHT = 6 };

struct write {
	struct crypt_call c;
	struct world *w;
	bool busy;
	uint32_t number;
	unsigned unit, count;
	uint8_t data[20 * 512];
};

struct world {
	struct write in_flight[IN_FLIGHT];
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

static void all_last(struct world *w)
{
	for (unsigned u = 0; u < UNITS; u++) {
		if (w->since_count[u])
			w->flushed[u] = w->since[u][w->since_count[u] - 1];
		w->since_count[u] = 0;
	}
}

static void flush(struct world *w)
{
	bool hold = w->p->hold;

	w->p->hold = false;
	if (!crypt_call_now(w->b, BLOCK_FLUSH, 0, NULL, 0))
		all_last(w);
	w->p->hold = hold;
}

/* Writes in flight are on places of their own, so that the order in which they end does not matter. */
static struct write *place(struct world *w, unsigned unit, unsigned count)
{
	struct write *found = NULL;

	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		struct write *f = &w->in_flight[i];

		if (f->busy && unit < f->unit + f->count && f->unit < unit + count)
			return NULL;
		if (!f->busy)
			found = f;
	}
	return found;
}

static void write_done(struct block_req *req, int result)
{
	struct write *f = container_of(req, struct write, c.req);

	check_eq(f->c.ends++, 0);
	check(!result || f->w->p->off);
	f->busy = false;
	if (req->fua && !result)
		wrote(f->w, f->number, f->unit, f->count, true);
}

static void write_some(struct world *w)
{
	unsigned unit = (unsigned)(powercut_random(w->p) % UNITS), count = (unsigned)(powercut_random(w->p) % 20 + 1);
	bool zeroes = powercut_random(w->p) % 8 == 0;
	struct write *f;

	if (count > UNITS - unit)
		count = UNITS - unit;
	f = place(w, unit, count);
	if (!f)
		return;
	f->w = w;
	f->busy = true;
	f->unit = unit;
	f->count = count;
	f->number = zeroes ? 0 : ++w->writes;
	for (unsigned i = 0; i < count; i++)
		content(f->number, unit + i, f->data + (size_t)i * 512);
	crypt_call_init(&f->c, zeroes ? BLOCK_WRITE_ZEROES : BLOCK_WRITE, unit * 512ull, f->data, count * 512ull);
	f->c.req.done = write_done;
	f->c.req.fua = !zeroes && powercut_random(w->p) % 4 == 0;
	if (f->c.req.iov && count > 1) {	/* cut where no sector ends */
		f->c.iov[1] = (struct iovec){ f->data + 700, count * 512ull - 700 };
		f->c.iov[0].iov_len = 700;
		f->c.req.iov_count = 2;
	}
	wrote(w, f->number, unit, count, false);
	block_submit(w->b, &f->c.req);
}

/* One step of a server's life. */
static void live(struct world *w)
{
	struct powercut *p = w->p;

	switch (powercut_random(p) % 8) {
	case 0:
		block_drain(w->b);
		flush(w);
		break;
	case 1:
	case 2:
		if (p->held_count)
			powercut_release(p, (unsigned)(powercut_random(p) % p->held_count));
		break;
	default:
		write_some(w);
	}
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
	w.p->hold = seed & 2;
	for (unsigned i = 0; i < OPS && !w.p->off; i++)
		live(&w);
	powercut_cut(w.p);
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		check(!w.in_flight[i].busy);
	block_free(w.b);
	w.p->hold = false;
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
