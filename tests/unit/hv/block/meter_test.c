/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/block/meter.h"
#include <errno.h>
#include "tests/unit/hv/block/fault.h"
#include "tests/unit/hv/fake_clock.h"
#include "tests/unit/suite.h"

struct bench { struct fake_clock clock; struct fault *f; struct block *b; const struct block_meter *m; };

static unsigned ended;
static int result;

static void done(struct block_req *req, int r)
{
	ended++;
	result = r;
}

static void open_bench(struct bench *t)
{
	fake_clock_init(&t->clock);
	t->f = fault_create(1 << 20);
	check_eq(block_meter_create(&t->f->b, &t->clock.clock, &t->b), 0);
	t->m = block_meter_read(t->b);
	ended = 0;
}

static void submit(struct bench *t, struct block_req *req, enum block_op op, uint64_t len)
{
	static uint8_t data[65536];
	static struct iovec iov[4];
	static unsigned n;
	struct iovec *v = &iov[n++ % 4];

	*v = (struct iovec){ data, len };
	*req = (struct block_req){ .op = op, .len = len, .done = done };
	if (op == BLOCK_READ || op == BLOCK_WRITE) {
		req->iov = v;
		req->iov_count = 1;
	}
	block_submit(t->b, req);
}

static void takes(struct bench *t, enum block_op op, uint64_t len, uint64_t ns)
{
	struct block_req req;

	t->f->hold = true;
	submit(t, &req, op, len);
	fake_clock_advance(&t->clock, ns);
	fault_release(t->f, 0);
}

static void operations_bytes_and_errors_are_counted(void)
{
	struct bench t;

	open_bench(&t);
	takes(&t, BLOCK_READ, 4096, 1000);
	takes(&t, BLOCK_READ, 512, 3000);
	takes(&t, BLOCK_WRITE, 8192, 10);
	takes(&t, BLOCK_FLUSH, 0, 5);
	takes(&t, BLOCK_DISCARD, 65536, 5);
	t.f->fail_with = -EIO;
	takes(&t, BLOCK_READ, 4096, 2000);
	check_eq(result, -EIO);
	check_eq(t.m->op[BLOCK_READ].ops, 3);
	check_eq(t.m->op[BLOCK_READ].bytes, 4608);	/* what failed moved nothing */
	check_eq(t.m->op[BLOCK_READ].errors, 1);
	check_eq(t.m->op[BLOCK_READ].total_ns, 6000);
	check_eq(t.m->op[BLOCK_READ].max_ns, 3000);
	check_eq(t.m->op[BLOCK_WRITE].bytes, 8192);
	check_eq(t.m->op[BLOCK_FLUSH].ops, 1);
	check_eq(t.m->op[BLOCK_DISCARD].bytes, 65536);
	check_eq(t.m->op[BLOCK_WRITE_ZEROES].ops, 0);
	check_eq(t.m->in_flight, 0);
	check_eq(t.m->most_in_flight, 1);
	check_eq(ended, 6);
	block_free(t.b);
}

static void buckets_have_sharp_edges(void)
{
	static const struct { uint64_t ns; unsigned bucket; } at[] = {
		{ 0, 0 }, { 1, 0 }, { 255, 0 }, { 256, 0 }, { 511, 0 }, { 512, 1 }, { 1023, 1 }, { 1024, 2 }, { (256ull << 31) - 1, 30 },
		{ 256ull << 31, 31 }, { 256ull << 32, 31 }, { 1ull << 62, 31 },
	};
	struct bench t;

	for (unsigned i = 0; i < array_len(at); i++) {
		open_bench(&t);
		takes(&t, BLOCK_WRITE, 512, at[i].ns);
		check_eq(t.m->op[BLOCK_WRITE].bucket[at[i].bucket], 1);
		block_free(t.b);
	}
}

static void quantiles_are_upper_edges(void)
{
	struct bench t;
	const struct block_meter_op *op;

	open_bench(&t);
	op = &t.m->op[BLOCK_READ];
	check_eq(block_meter_quantile(op, 0.5), 0);
	for (unsigned i = 0; i < 90; i++)
		takes(&t, BLOCK_READ, 512, 300);
	for (unsigned i = 0; i < 9; i++)
		takes(&t, BLOCK_READ, 512, 5000);
	takes(&t, BLOCK_READ, 512, 1000000);
	check_eq(block_meter_quantile(op, 0), 512);
	check_eq(block_meter_quantile(op, 0.5), 512);
	check_eq(block_meter_quantile(op, 0.9), 512);
	check_eq(block_meter_quantile(op, 0.91), 8192);
	check_eq(block_meter_quantile(op, 0.99), 8192);
	check_eq(block_meter_quantile(op, 0.999), 1000000);	/* no more than the longest */
	check_eq(block_meter_quantile(op, 1), 1000000);
	takes(&t, BLOCK_READ, 512, 1ull << 50);
	check_eq(block_meter_quantile(op, 1), 1ull << 50);	/* the last bucket has no edge */
	block_free(t.b);
}

static void more_than_it_can_follow_wait_with_their_time_running(void)
{
	enum { N = BLOCK_METER_REQUESTS + 10 };
	static struct block_req req[N];
	struct bench t;

	open_bench(&t);
	t.f->hold = true;
	for (unsigned i = 0; i < N; i++)
		submit(&t, &req[i], BLOCK_FLUSH, 0);
	check_eq(t.f->held_count, BLOCK_METER_REQUESTS);
	check_eq(t.m->in_flight, N);
	fake_clock_advance(&t.clock, 1000);
	fault_release(t.f, 0);
	check_eq(t.f->held_count, BLOCK_METER_REQUESTS);
	fake_clock_advance(&t.clock, 1000);
	block_drain(t.b);
	check_eq(ended, N);
	check_eq(t.m->in_flight, 0);
	check_eq(t.m->most_in_flight, N);
	check_eq(t.m->op[BLOCK_FLUSH].total_ns, 1000 + 2000 * (N - 1));
	block_free(t.b);
}

static void it_looks_like_what_is_below(void)
{
	struct fake_clock clock;
	struct fault *f = fault_create(1 << 20);
	struct block *b;

	fake_clock_init(&clock);
	f->b.logical = 4096;
	f->b.readonly = true;
	f->b.can_discard = false;
	check_eq(block_meter_create(&f->b, &clock.clock, &b), 0);
	check_eq(b->size, 1 << 20);
	check_eq(b->logical, 4096);
	check(b->readonly && !b->can_discard && b->lower == &f->b);
	block_free(b);
}

static const struct test tests[] = {
	{ "operations, bytes and errors are counted", operations_bytes_and_errors_are_counted },
	{ "buckets have sharp edges", buckets_have_sharp_edges },
	{ "quantiles are upper edges", quantiles_are_upper_edges },
	{ "more than it can follow wait with their time running", more_than_it_can_follow_wait_with_their_time_running },
	{ "it looks like what is below", it_looks_like_what_is_below },
	{ NULL, NULL },
};
const struct suite suite_hv_block_meter = { tests };
