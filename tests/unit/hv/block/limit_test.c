/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/block/limit.h"
#include <errno.h>
#include "tests/unit/hv/block/fault.h"
#include "tests/unit/hv/fake_clock.h"
#include "tests/unit/suite.h"

#define MS 1000000ull
#define N 64

struct io { struct block_req req; struct iovec iov; unsigned order; };
struct bench { struct fake_clock clock; struct fault *f; struct block *b; struct io io[N]; unsigned count; };

static uint8_t data[1 << 20];
static unsigned ended;

static void done(struct block_req *req, int r)
{
	((struct io *)req->ctx)->order = ++ended;
}

static void open_bench(struct bench *t, uint64_t bytes, uint64_t ops)
{
	*t = (struct bench){ 0 };
	fake_clock_init(&t->clock);
	t->f = fault_create(sizeof data);
	check_eq(block_limit_create(&t->f->b, &(struct block_rate){ bytes, ops }, &t->clock.clock, &t->b), 0);
	ended = 0;
}

static struct io *submit(struct bench *t, enum block_op op, uint64_t len)
{
	struct io *io = &t->io[t->count++];

	io->iov = (struct iovec){ data, len };
	io->req = (struct block_req){ .op = op, .len = len, .done = done, .ctx = io };
	if (op == BLOCK_READ || op == BLOCK_WRITE) {
		io->req.iov = &io->iov;
		io->req.iov_count = 1;
	}
	block_submit(t->b, &io->req);
	return io;
}

static void operations_are_limited_after_a_burst(void)
{
	struct bench t;

	open_bench(&t, 0, 100);		/* burst: 10 */
	for (unsigned i = 0; i < 30; i++)
		submit(&t, BLOCK_READ, 512);
	check_eq(ended, 10);
	fake_clock_advance(&t.clock, 10 * MS - 1);
	check_eq(ended, 10);
	fake_clock_advance(&t.clock, 1);
	check_eq(ended, 11);
	fake_clock_advance(&t.clock, 100 * MS);
	check_eq(ended, 21);
	fake_clock_advance(&t.clock, 1000 * MS);
	check_eq(ended, 30);
	for (unsigned i = 0; i < 30; i++)
		check_eq(t.io[i].order, i + 1);
	for (unsigned i = 0; i < 12; i++)	/* the burst has come back */
		submit(&t, BLOCK_READ, 512);
	check_eq(ended, 40);
	block_free(t.b);
	check_eq(t.clock.count, 0);
}

static void bytes_are_limited_and_a_large_request_still_passes(void)
{
	struct bench t;

	open_bench(&t, 1 << 20, 0);
	submit(&t, BLOCK_WRITE, 1 << 20);	/* ten bursts */
	check_eq(ended, 1);
	submit(&t, BLOCK_WRITE, 512);
	fake_clock_advance(&t.clock, 900 * MS);
	check_eq(ended, 1);
	fake_clock_advance(&t.clock, 1 * MS);
	check_eq(ended, 2);
	submit(&t, BLOCK_READ, 1 << 20);	/* waits until the whole burst is there */
	fake_clock_advance(&t.clock, 98 * MS);
	check_eq(ended, 2);
	fake_clock_advance(&t.clock, 3 * MS);
	check_eq(ended, 3);
	block_free(t.b);
}

static void a_slow_limit_passes_one_at_a_time(void)
{
	struct bench t;

	open_bench(&t, 0, 1);
	submit(&t, BLOCK_READ, 512);
	submit(&t, BLOCK_READ, 512);
	check_eq(ended, 1);
	fake_clock_advance(&t.clock, 999 * MS);
	check_eq(ended, 1);
	fake_clock_advance(&t.clock, 1 * MS);
	check_eq(ended, 2);
	block_free(t.b);
}

static void both_limits_hold(void)
{
	struct bench t;

	open_bench(&t, 10 << 20, 20);
	for (unsigned i = 0; i < 6; i++)
		submit(&t, BLOCK_READ, 512);
	check_eq(ended, 2);		/* operations */
	fake_clock_advance(&t.clock, 1000 * MS);
	check_eq(ended, 6);
	submit(&t, BLOCK_READ, 1 << 20);
	submit(&t, BLOCK_READ, 1 << 20);
	check_eq(ended, 7);		/* bytes */
	fake_clock_advance(&t.clock, 99 * MS);
	check_eq(ended, 7);
	fake_clock_advance(&t.clock, 1 * MS);
	check_eq(ended, 8);
	block_free(t.b);
}

static void flushes_wait_only_behind_what_came_before(void)
{
	struct bench t;
	struct io *flush;

	open_bench(&t, 0, 10);
	submit(&t, BLOCK_WRITE, 512);
	submit(&t, BLOCK_FLUSH, 0);
	submit(&t, BLOCK_FLUSH, 0);
	check_eq(ended, 3);
	submit(&t, BLOCK_WRITE, 512);
	flush = submit(&t, BLOCK_FLUSH, 0);
	submit(&t, BLOCK_WRITE, 512);
	check_eq(ended, 3);
	fake_clock_advance(&t.clock, 100 * MS);
	check_eq(ended, 5);
	check_eq(flush->order, 5);
	block_free(t.b);
}

static void discards_cost_no_bytes(void)
{
	struct bench t;

	open_bench(&t, 1024, 0);
	for (unsigned i = 0; i < 10; i++)
		submit(&t, BLOCK_DISCARD, 1 << 20);
	check_eq(ended, 10);
	block_free(t.b);
}

static void zeroes_cost_their_bytes(void)
{
	struct bench t;

	open_bench(&t, 1 << 20, 0);
	for (unsigned i = 0; i < 3; i++)
		submit(&t, BLOCK_WRITE_ZEROES, 1 << 20);
	check_eq(ended, 1);
	fake_clock_advance(&t.clock, 1000 * MS);
	check_eq(ended, 2);
	fake_clock_advance(&t.clock, 1000 * MS);
	check_eq(ended, 3);
	block_free(t.b);
}

static void draining_lets_go_and_charges(void)
{
	struct bench t;

	open_bench(&t, 0, 10);
	for (unsigned i = 0; i < 11; i++)
		submit(&t, BLOCK_READ, 512);
	check_eq(ended, 1);
	t.f->hold = true;
	block_drain(t.b);
	check_eq(ended, 11);
	t.f->hold = false;
	submit(&t, BLOCK_READ, 512);
	fake_clock_advance(&t.clock, 999 * MS);
	check_eq(ended, 11);
	fake_clock_advance(&t.clock, 101 * MS);
	check_eq(ended, 12);
	block_free(t.b);
}

static void a_new_rate_judges_anew(void)
{
	struct bench t;

	open_bench(&t, 0, 1);
	for (unsigned i = 0; i < 20; i++)
		submit(&t, BLOCK_READ, 512);
	check_eq(ended, 1);
	block_limit_set(t.b, &(struct block_rate){ .ops = 100 });
	check_eq(ended, 11);
	fake_clock_advance(&t.clock, 20 * MS);
	check_eq(ended, 13);
	block_limit_set(t.b, &(struct block_rate){ 0 });
	check_eq(ended, 20);
	block_free(t.b);
	check_eq(t.clock.count, 0);
}

static void rates_that_are_absurd_do_not_overflow(void)
{
	struct bench t;

	open_bench(&t, 1, UINT64_MAX);
	submit(&t, BLOCK_READ, 1 << 20);
	submit(&t, BLOCK_READ, 1 << 20);
	check_eq(ended, 1);
	fake_clock_advance(&t.clock, 1ull << 40);
	check_eq(ended, 1);
	block_free(t.b);
	check_eq(ended, 2);
}

static void rates_in_words(void)
{
	static const struct { const char *text; uint64_t bytes, ops; int r; const char *message; } t[] = {
		{ "200M/s 5000/s", 200 << 20, 5000, 0, NULL },
		{ "5000/s", 0, 5000, 0, NULL },
		{ " 1G/s\t", 1 << 30, 0, 0, NULL },
		{ "16K/s", 16384, 0, 0, NULL },
		{ "17179869183G/s", 17179869183ull << 30, 0, 0, NULL },
		{ "", 0, 0, -EINVAL, "\"\" is no rate: 200M/s (bytes, with K, M or G) or 5000/s (operations)" },
		{ "200M", 0, 0, -EINVAL, "\"200M\" is no rate: 200M/s (bytes, with K, M or G) or 5000/s (operations)" },
		{ "200T/s", 0, 0, -EINVAL, "\"200T/s\" is no rate: 200M/s (bytes, with K, M or G) or 5000/s (operations)" },
		{ "M/s", 0, 0, -EINVAL, "\"M/s\" is no rate: 200M/s (bytes, with K, M or G) or 5000/s (operations)" },
		{ "-1/s", 0, 0, -EINVAL, "\"-1/s\" is no rate: 200M/s (bytes, with K, M or G) or 5000/s (operations)" },
		{ "5/s/s", 0, 0, -EINVAL, "\"5/s/s\" is no rate: 200M/s (bytes, with K, M or G) or 5000/s (operations)" },
		{ "5 /s", 0, 0, -EINVAL, "\"5\" is no rate: 200M/s (bytes, with K, M or G) or 5000/s (operations)" },
		{ "0/s", 0, 0, -EINVAL, "\"0/s\" would stop the disk: a rate is at least 1" },
		{ "5/s 6/s", 0, 0, -EINVAL, "\"6/s\" is the second limit on operations" },
		{ "5M/s 6K/s", 0, 0, -EINVAL, "\"6K/s\" is the second limit on bytes" },
		{ "18446744073709551616/s", 0, 0, -ERANGE, "\"18446744073709551616/s\" is too large a rate" },
		{ "17179869184G/s", 0, 0, -ERANGE, "\"17179869184G/s\" is too large a rate" },
	};

	for (unsigned i = 0; i < array_len(t); i++) {
		struct block_rate rate;
		struct err err = { 0 };

		check_eq(block_rate_parse(t[i].text, &rate, &err), t[i].r);
		if (t[i].r) {
			check_str(err.text, t[i].message);
			continue;
		}
		check_eq(rate.bytes, t[i].bytes);
		check_eq(rate.ops, t[i].ops);
	}
}

static const struct test tests[] = {
	{ "operations are limited after a burst", operations_are_limited_after_a_burst },
	{ "bytes are limited and a large request still passes", bytes_are_limited_and_a_large_request_still_passes },
	{ "a slow limit passes one at a time", a_slow_limit_passes_one_at_a_time },
	{ "both limits hold", both_limits_hold },
	{ "flushes wait only behind what came before", flushes_wait_only_behind_what_came_before },
	{ "discards cost no bytes", discards_cost_no_bytes },
	{ "zeroes cost their bytes", zeroes_cost_their_bytes },
	{ "draining lets go and charges", draining_lets_go_and_charges },
	{ "a new rate judges anew", a_new_rate_judges_anew },
	{ "rates that are absurd do not overflow", rates_that_are_absurd_do_not_overflow },
	{ "rates in words", rates_in_words },
	{ NULL, NULL },
};
const struct suite suite_hv_block_limit = { tests };
