/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/block/map.h"
#include <errno.h>
#include "tests/unit/hv/block/fault.h"
#include "tests/unit/suite.h"

#define K 1024u
#define PIECES 64

struct io {
	struct block_req req;
	struct iovec iov[PIECES];
	int result;
	unsigned calls;
};

static void done(struct block_req *req, int r)
{
	struct io *io = req->ctx;

	io->result = r;
	io->calls++;
}

/* data in pieces of `piece` bytes (the last takes the rest) */
static void submit(struct block *b, struct io *io, enum block_op op, uint64_t off, void *data, size_t len, size_t piece)
{
	bool fua = io->req.fua;
	unsigned n = 0;

	*io = (struct io){ .req = { .op = op, .off = off, .len = len, .done = done, .ctx = io, .fua = fua }, .result = 1 };
	if (op == BLOCK_READ || op == BLOCK_WRITE) {
		for (size_t at = 0; at < len; at += io->iov[n - 1].iov_len) {
			size_t left = len - at;

			io->iov[n++] = (struct iovec){ (uint8_t *)data + at, left < piece || n + 1 == PIECES ? left : piece };
		}
		io->req.iov = io->iov;
		io->req.iov_count = n;
	}
	block_submit(b, &io->req);
}

static int run(struct block *b, enum block_op op, uint64_t off, void *data, size_t len, size_t piece)
{
	struct io io = { 0 };

	submit(b, &io, op, off, data, len, piece);
	block_drain(b);
	check_eq(io.calls, 1);
	return io.result;
}

/* Two volumes: the disk is [4K, 12K) of one, all 16K of the second, then [0, 4K) of the first. */
struct bench { struct fault *f[2]; struct block *b; };

static void open_bench(struct bench *t)
{
	struct err err = { 0 };

	t->f[0] = fault_create(16 * K);
	t->f[1] = fault_create(16 * K);
	check_eq(block_map_create((struct block_slice[]){ { &t->f[0]->b, 4 * K, 8 * K }, { &t->f[1]->b, 0, 0 },
							  { &t->f[0]->b, 0, 4 * K } }, 3, &t->b, &err), 0);
}

static uint8_t *where(struct bench *t, uint64_t off)
{
	if (off < 8 * K)
		return t->f[0]->data + 4 * K + off;
	return off < 24 * K ? t->f[1]->data + off - 8 * K : t->f[0]->data + off - 24 * K;
}

static void fill(uint8_t *data, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 251 + seed);
}

static void slices_follow_each_other(void)
{
	struct bench t;
	struct block *b;

	open_bench(&t);
	b = t.b;
	check_eq(b->size, 28 * K);
	check_eq(b->logical, 512);
	check_eq(b->physical, 4096);
	check(b->can_discard && !b->readonly);
	block_free(b);	/* frees the first volume once, though it stands in two slices */
}

static void scatter_lists_are_cut_at_the_edges(void)
{
	static uint8_t data[28 * K], back[28 * K];
	const size_t pieces[] = { 28 * K, 4096, 3000, 513, 1111 };
	struct bench t;
	bool same = true;

	open_bench(&t);
	for (unsigned i = 0; i < array_len(pieces); i++) {
		fill(data, sizeof data, i);
		check_eq(run(t.b, BLOCK_WRITE, 0, data, sizeof data, pieces[i]), 0);
		for (unsigned at = 0; at < sizeof data; at++)
			same &= *where(&t, at) == data[at];
		check(same);
		memset(back, 0, sizeof back);
		check_eq(run(t.b, BLOCK_READ, 0, back, sizeof back, pieces[(i + 1) % array_len(pieces)]), 0);
		check(!memcmp(data, back, sizeof data));
	}
	/* around each edge, with elements that no sector begins with */
	for (uint64_t off = 7 * K; off < 26 * K; off += 512) {
		fill(data, 2 * K, (unsigned)off);
		check_eq(run(t.b, BLOCK_WRITE, off, data, 2 * K, 100), 0);
		memset(back, 0, 2 * K);
		check_eq(run(t.b, BLOCK_READ, off, back, 2 * K, 77), 0);
		check(!memcmp(data, back, 2 * K));
	}
	block_free(t.b);
}

static void a_request_inside_a_slice_keeps_its_list(void)
{
	static uint8_t data[4 * K];
	struct bench t;

	open_bench(&t);
	t.f[1]->hold = true;
	struct io io = { 0 };
	submit(t.b, &io, BLOCK_WRITE, 9 * K, data, sizeof data, 1000);
	check_eq(t.f[1]->held_count, 1);
	check(t.f[1]->held[0]->iov == io.iov);
	check_eq(t.f[1]->last_off, K);
	check_eq(t.f[1]->last_len, 4 * K);
	check_eq(io.calls, 0);
	fault_release(t.f[1], 0);
	check_eq(io.calls, 1);
	block_free(t.b);
}

static void discard_zeroes_and_fua_reach_every_part(void)
{
	static uint8_t data[28 * K];
	struct bench t;
	bool zero = true;
	struct io io = { .req.fua = true };

	open_bench(&t);
	fill(data, sizeof data, 1);
	submit(t.b, &io, BLOCK_WRITE, 0, data, sizeof data, sizeof data);
	check_eq(io.result, 0);
	check_eq(t.f[0]->fua + t.f[1]->fua, 3);
	check_eq(run(t.b, BLOCK_DISCARD, 4 * K, NULL, 6 * K, 0), 0);
	check_eq(run(t.b, BLOCK_WRITE_ZEROES, 20 * K, NULL, 8 * K, 0), 0);
	check_eq(t.f[0]->count[BLOCK_DISCARD], 1);
	check_eq(t.f[1]->count[BLOCK_DISCARD], 1);
	for (unsigned at = 0; at < sizeof data; at++)
		zero &= *where(&t, at) == ((at >= 4 * K && at < 10 * K) || at >= 20 * K ? 0 : data[at]);
	check(zero);
	/* a volume that can't discard keeps its data; the other one does */
	t.f[0]->b.can_discard = false;
	check_eq(run(t.b, BLOCK_DISCARD, 4 * K, NULL, 6 * K, 0), 0);
	check_eq(t.f[0]->count[BLOCK_DISCARD], 1);
	check_eq(t.f[1]->count[BLOCK_DISCARD], 2);
	block_free(t.b);
}

static void flush_goes_to_each_volume_and_one_error_is_enough(void)
{
	struct bench t;
	struct io io = { 0 };

	open_bench(&t);
	check_eq(run(t.b, BLOCK_FLUSH, 0, NULL, 0, 0), 0);
	check_eq(t.f[0]->count[BLOCK_FLUSH], 1);
	check_eq(t.f[1]->count[BLOCK_FLUSH], 1);
	t.f[0]->fail_with = -EIO;
	t.f[1]->hold = true;
	submit(t.b, &io, BLOCK_FLUSH, 0, NULL, 0, 0);
	check_eq(io.calls, 0);	/* the failure waits for the other one */
	fault_release(t.f[1], 0);
	check_eq(io.calls, 1);
	check_eq(io.result, -EIO);
	check_eq(t.f[1]->count[BLOCK_FLUSH], 2);
	block_free(t.b);
}

static void the_first_error_of_the_parts_is_the_request_s(void)
{
	static uint8_t data[28 * K];
	struct bench t;
	struct io io = { 0 };

	open_bench(&t);
	t.f[0]->hold = t.f[1]->hold = true;
	submit(t.b, &io, BLOCK_WRITE, 0, data, sizeof data, sizeof data);
	check_eq(t.f[0]->held_count, 2);
	check_eq(t.f[1]->held_count, 1);
	t.f[1]->fail_with = -ENOSPC;
	t.f[1]->write_part = 512;
	fault_release(t.f[1], 0);
	t.f[0]->fail_with = -EIO;
	fault_release(t.f[0], 1);
	check_eq(io.calls, 0);
	t.f[0]->fail_with = 0;
	fault_release(t.f[0], 0);
	check_eq(io.calls, 1);
	check_eq(io.result, -ENOSPC);
	t.f[0]->hold = t.f[1]->hold = false;
	t.f[1]->fail_with = 0;
	check_eq(run(t.b, BLOCK_READ, 0, data, sizeof data, sizeof data), 0);
	block_free(t.b);
}

static void more_requests_than_parts_wait_in_order(void)
{
	static uint8_t data[200][512];
	static struct io io[200];
	struct bench t;
	unsigned ended = 0;

	open_bench(&t);
	t.f[1]->hold = true;
	for (unsigned i = 0; i < 200; i++) {
		memset(data[i], (int)i, 512);
		submit(t.b, &io[i], BLOCK_WRITE, 8 * K, data[i], 512, 512);
	}
	check_eq(t.f[1]->held_count, 64);
	fault_release(t.f[1], 0);
	check_eq(t.f[1]->held_count, 64);
	check_eq(io[0].calls, 1);
	block_drain(t.b);
	for (unsigned i = 0; i < 200; i++)
		ended += io[i].calls == 1 && !io[i].result;
	check_eq(ended, 200);
	check_eq(t.f[1]->data[0], 199);
	t.f[1]->hold = false;
	block_free(t.b);
}

/* Each completion submits the next request: a disk that answers at once must not grow the stack. */
struct chain { struct io io; struct block *b; unsigned left; uint8_t data[1024]; };

static void next(struct block_req *req, int r)
{
	struct chain *c = req->ctx;

	if (!c->left--)
		return;
	c->io.req.off = 7 * K + 512;
	block_submit(c->b, &c->io.req);
}

static void the_stack_stays_flat(void)
{
	static struct chain c;
	struct bench t;

	open_bench(&t);
	c = (struct chain){ .b = t.b, .left = 200000 };
	c.io.iov[0] = (struct iovec){ c.data, sizeof c.data };
	c.io.req = (struct block_req){ .op = BLOCK_READ, .off = 0, .len = sizeof c.data, .iov = c.io.iov, .iov_count = 1,
				       .done = next, .ctx = &c };
	block_submit(t.b, &c.io.req);
	check_eq(c.left, UINT32_MAX);
	check_eq(t.f[0]->count[BLOCK_READ], 200001);
	check_eq(t.f[1]->count[BLOCK_READ], 200000);
	block_free(t.b);
}

static void slices_that_do_not_fit_are_refused(void)
{
	struct fault *f = fault_create(16 * K), *big = fault_create(16 * K);
	static const struct { struct block_slice s; const char *text; } bad[] = {
		{ { NULL, 16 * K, 0 }, "part 2: 16384+0 is beyond the volume's end: it has 16384 bytes" },
		{ { NULL, 8 * K, 9 * K }, "part 2: 8192+9216 is beyond the volume's end: it has 16384 bytes" },
		{ { NULL, 4 * K, UINT64_MAX }, "part 2: 4096+18446744073709551615 is beyond the volume's end: it has 16384 bytes" },
		{ { NULL, 100, 512 }, "part 2: 100+512 is not a multiple of the sectors of 4096 bytes" },
		{ { NULL, 4 * K, 512 }, "part 2: 4096+512 is not a multiple of the sectors of 4096 bytes" },
	};
	struct block *b = NULL;
	struct err err = { 0 };

	big->b.logical = 4096;
	big->b.readonly = true;
	for (unsigned i = 0; i < array_len(bad); i++) {
		struct block_slice s[2] = { { &big->b, 0, 0 }, bad[i].s };

		s[1].lower = &f->b;
		check_eq(block_map_create(s, 2, &b, &err), -EINVAL);
		check_str(err.text, bad[i].text);
	}
	check_eq(block_map_create(NULL, 0, &b, &err), -EINVAL);
	check_eq(block_map_create((struct block_slice[]){ { &big->b, 0, 0 }, { &f->b, 4 * K, 0 } }, 2, &b, &err), 0);
	check_eq(b->logical, 4096);
	check(b->readonly);
	check_eq(run(b, BLOCK_READ, 512, NULL, 512, 512), -EINVAL);
	block_free(b);
}

static const struct test tests[] = {
	{ "slices follow each other", slices_follow_each_other },
	{ "scatter lists are cut at the edges", scatter_lists_are_cut_at_the_edges },
	{ "a request inside a slice keeps its list", a_request_inside_a_slice_keeps_its_list },
	{ "discard, zeroes and FUA reach every part", discard_zeroes_and_fua_reach_every_part },
	{ "flush goes to each volume and one error is enough", flush_goes_to_each_volume_and_one_error_is_enough },
	{ "the first error of the parts is the request's", the_first_error_of_the_parts_is_the_request_s },
	{ "more requests than parts wait in order", more_requests_than_parts_wait_in_order },
	{ "the stack stays flat", the_stack_stays_flat },
	{ "slices that do not fit are refused", slices_that_do_not_fit_are_refused },
	{ NULL, NULL },
};
const struct suite suite_hv_block_map = { tests };
