/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/mman.h>
#include "hv/block/crypt_priv.h"
#include "lib/loop.h"
#include "tests/unit/hv/block/crypt_rig.h"
#include "tests/unit/suite.h"

enum { MB = 1 << 20, HEADER = 65536 };

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(seed >> 24);
	}
}

/* ---- data */

static void what_is_written_is_read_and_lies_encrypted_at_its_place(void)
{
	static uint8_t in[MB / 2], out[MB / 2], want[MB / 2];
	static const uint32_t sectors[] = { 512, 1024, 2048, 4096 };

	for (unsigned i = 0; i < array_len(sectors); i++) {
		struct crypt_pair p = crypt_pair(MB, sectors[i], HEADER);
		struct xts *x;

		fill(in, sizeof in, i);
		check_eq(p.b->size, MB - HEADER);
		check_eq(p.b->logical, 512);
		check_eq(p.b->physical, 4096);
		check_eq(crypt_call_now(p.b, BLOCK_WRITE, 8192, in, sizeof in), 0);
		check_eq(crypt_call_now(p.b, BLOCK_READ, 8192, out, sizeof out), 0);
		check(!memcmp(in, out, sizeof in));
		/* the other way, by the rule in the facts: the tweak counts 512 bytes whatever the sector */
		check_eq(xts_create(p.layout.segment[0].key, 64, sectors[i], &x, NULL), 0);
		xts_encrypt(x, 16, want, in, sizeof in);
		check(!memcmp(p.f->data + HEADER + 8192, want, sizeof want));
		xts_free(x);
		block_free(p.b);
	}
}

static void any_part_of_a_sector_goes_through_any_scatter_list(void)
{
	static uint8_t model[65536], out[65536], want[65536];
	struct crypt_pair p = crypt_pair(MB, 4096, 0);
	struct xts *x;
	unsigned seed = 7;

	check_eq(crypt_call_now(p.b, BLOCK_WRITE_ZEROES, 0, NULL, sizeof model), 0);
	for (unsigned n = 0; n < 3000; n++) {
		struct crypt_call c;
		uint64_t off, len, left;
		bool write = n & 1;
		uint8_t *at;

		seed = seed * 1664525 + 1013904223;
		off = (seed >> 9) % 128 * 512;
		len = ((seed >> 17) % 24 + 1) * 512;
		if (off + len > sizeof model)
			len = sizeof model - off;
		at = write ? model + off : out + off;
		if (write)
			fill(at, len, seed);
		crypt_call_init(&c, write ? BLOCK_WRITE : BLOCK_READ, off, at, len);
		left = len;
		for (c.req.iov_count = 0; c.req.iov_count < 7 && left; c.req.iov_count++) {
			uint64_t some;

			seed = seed * 1664525 + 1013904223;
			some = (seed >> 8) % (left + 1);
			c.iov[c.req.iov_count] = (struct iovec){ at, some };
			at += some;
			left -= some;
		}
		if (left)
			c.iov[c.req.iov_count++] = (struct iovec){ at, left };
		block_submit(p.b, &c.req);
		check_eq(c.ends, 1);
		check_eq(c.result, 0);
		if (!write && memcmp(out + off, model + off, len)) {
			suite_note("round %u: %llu+%llu differs", n, (unsigned long long)off, (unsigned long long)len);
			check(false);
			break;
		}
	}
	/* and it is what whole sectors would be */
	check_eq(xts_create(p.layout.segment[0].key, 64, 4096, &x, NULL), 0);
	xts_encrypt(x, 0, want, model, sizeof model);
	check(!memcmp(p.f->data, want, sizeof want));
	xts_free(x);
	block_free(p.b);
}

static void tweaks_go_on_where_a_segment_says(void)
{
	static uint8_t in[8192], want[8192];
	struct fault *f = fault_create(MB);
	struct luks_layout l = crypt_layout(4096, 32, 0);
	struct block *b;
	struct xts *x;

	l.segment[0].tweak = 1000;
	fill(in, sizeof in, 1);
	check_eq(block_crypt_create(&f->b, &l, &b, NULL), 0);
	check_eq(crypt_call_now(b, BLOCK_WRITE, 4096, in, sizeof in), 0);
	check_eq(xts_create(l.segment[0].key, 32, 4096, &x, NULL), 0);
	xts_encrypt(x, 1008, want, in, sizeof in);
	check(!memcmp(f->data + 4096, want, sizeof want));
	xts_free(x);
	block_free(b);
}

static void zeroes_are_written_encrypted(void)
{
	static uint8_t out[MB / 4], zero[MB / 4];
	struct crypt_pair p = crypt_pair(MB, 4096, 0);

	check_eq(crypt_call_now(p.b, BLOCK_WRITE_ZEROES, 512, NULL, MB / 4), 0);
	check_eq(p.f->count[BLOCK_WRITE_ZEROES], 0);
	check(memcmp(p.f->data + 512, zero, 4096));
	check(!memcmp(p.f->data, zero, 512));
	check_eq(crypt_call_now(p.b, BLOCK_READ, 512, out, MB / 4), 0);
	check(!memcmp(out, zero, sizeof out));
	block_free(p.b);
}

static void discards_pass_for_whole_crypto_sectors(void)
{
	struct crypt_pair p = crypt_pair(MB, 4096, HEADER);

	check_eq(crypt_call_now(p.b, BLOCK_DISCARD, 512, NULL, 3584), 0);
	check_eq(crypt_call_now(p.b, BLOCK_DISCARD, 4608, NULL, 4096), 0);
	check_eq(p.f->submits, 0);
	check_eq(crypt_call_now(p.b, BLOCK_DISCARD, 3584, NULL, 512 + 8192 + 512), 0);
	check_eq(p.f->count[BLOCK_DISCARD], 1);
	check_eq(p.f->last_off, HEADER + 4096);
	check_eq(p.f->last_len, 8192);
	p.f->fail_with = -EIO;
	check_eq(crypt_call_now(p.b, BLOCK_DISCARD, 0, NULL, 8192), -EIO);
	block_free(p.b);
}

static void fua_reaches_every_piece_and_flush_passes(void)
{
	static uint8_t data[MB / 2];
	struct crypt_pair p = crypt_pair(MB, 4096, 0);
	struct crypt_call c;

	crypt_call_init(&c, BLOCK_WRITE, 0, data, sizeof data);
	c.req.fua = true;
	block_submit(p.b, &c.req);
	check_eq(c.result, 0);
	check(p.f->count[BLOCK_WRITE] > 1);
	check_eq(p.f->fua, p.f->count[BLOCK_WRITE]);
	check_eq(crypt_call_now(p.b, BLOCK_FLUSH, 0, NULL, 0), 0);
	check_eq(p.f->count[BLOCK_FLUSH], 1);
	p.f->fail_with = -EROFS;
	check_eq(crypt_call_now(p.b, BLOCK_FLUSH, 0, NULL, 0), -EROFS);
	block_free(p.b);
}

static void less_than_a_crypto_sector_is_neither_read_nor_padded(void)
{
	static uint8_t data[512];
	struct crypt_pair p = crypt_pair(MB, 4096, 0);

	check_eq(crypt_call_now(p.b, BLOCK_WRITE, 1536, data, 512), 0);
	check_eq(p.f->submits, 1);
	check_eq(p.f->last_off, 1536);
	check_eq(p.f->last_len, 512);
	block_free(p.b);
}

/* ---- pieces */

static void an_error_of_any_piece_ends_the_request_once(void)
{
	static uint8_t data[MB / 2];
	struct crypt_pair p = crypt_pair(MB, 4096, 0);
	unsigned pieces;

	check_eq(crypt_call_now(p.b, BLOCK_WRITE, 0, data, sizeof data), 0);
	pieces = p.f->submits;
	p.f->fail_with = -ENOSPC;
	p.f->write_part = 1024;
	for (unsigned i = 0; i < pieces; i++) {
		p.f->fail_after = i;
		check_eq(crypt_call_now(p.b, BLOCK_WRITE, 0, data, sizeof data), -ENOSPC);
		p.f->fail_after = i;
		check_eq(crypt_call_now(p.b, BLOCK_READ, 0, data, sizeof data), -ENOSPC);
		p.f->fail_after = i;
		check_eq(crypt_call_now(p.b, BLOCK_WRITE_ZEROES, 0, NULL, sizeof data), -ENOSPC);
	}
	block_free(p.b);
}

static void the_first_error_counts_and_the_end_waits_for_all_pieces(void)
{
	static uint8_t data[MB / 4];
	struct crypt_pair p = crypt_pair(MB, 4096, 0);
	struct crypt_call c;

	p.f->hold = true;
	block_submit(p.b, &crypt_call_init(&c, BLOCK_READ, 0, data, sizeof data)->req);
	check_eq(p.f->held_count, 4);
	fault_release(p.f, 2);
	p.f->fail_with = -EIO;
	fault_release(p.f, 1);
	p.f->fail_with = -ENOSPC;
	fault_release(p.f, 1);
	p.f->fail_with = 0;
	check_eq(c.ends, 0);
	fault_release(p.f, 0);
	check_eq(c.ends, 1);
	check_eq(c.result, -EIO);
	block_free(p.b);
}

/* More than there are buffers: everybody comes to an end, small requests soon, though a large one came before them. */
static void buffers_run_out_and_come_back(void)
{
	enum { LARGE = 16 * MB, SMALL = 6 };
	static struct crypt_call big, small[SMALL];
	struct crypt_pair p = crypt_pair(2 * LARGE, 4096, 0);
	uint8_t *data = calloc(1, LARGE), *out = calloc(1, LARGE), page[4096] = { 1 };
	unsigned released = 0, order = 0;

	fill(data, LARGE, 3);
	p.f->hold = true;
	block_submit(p.b, &crypt_call_init(&big, BLOCK_WRITE, 0, data, LARGE)->req);
	for (unsigned i = 0; i < SMALL; i++)
		block_submit(p.b, &crypt_call_init(&small[i], BLOCK_WRITE, LARGE + i * 4096, page, sizeof page)->req);
	for (; p.f->held_count; released++) {
		check(p.f->held_count <= CRYPT_PIECES);
		fault_release(p.f, 0);
		for (; order < SMALL && small[order].ends; order++)
			check(released <= CRYPT_PIECES + CRYPT_TURN + SMALL);
	}
	check_eq(order, SMALL);
	check_eq(released, LARGE / CRYPT_PIECE + SMALL);
	check_eq(big.ends, 1);
	check_eq(big.result, 0);
	for (unsigned i = 0; i < SMALL; i++)
		check_eq(small[i].result, 0);
	p.f->hold = false;
	check_eq(crypt_call_now(p.b, BLOCK_READ, 0, out, LARGE), 0);
	check(!memcmp(data, out, LARGE));
	block_free(p.b);
	free(data);
	free(out);
}

/* A request that is served whole before the next one begins, as long as it is not very large. */
static void requests_that_wait_are_served_in_order(void)
{
	enum { LEN = 8 * CRYPT_PIECE, N = 24 };
	static struct crypt_call calls[N];
	struct crypt_pair p = crypt_pair(N * LEN, 4096, 0);
	uint8_t *data = calloc(1, LEN);

	p.f->hold = true;
	for (unsigned i = 0; i < N; i++)
		block_submit(p.b, &crypt_call_init(&calls[i], BLOCK_READ, (uint64_t)i * LEN, data, LEN)->req);
	for (uint64_t off = 0; p.f->held_count; off += CRYPT_PIECE) {
		check_eq(p.f->held[0]->off, off);
		fault_release(p.f, 0);
	}
	for (unsigned i = 0; i < N; i++)
		check_eq(calls[i].ends, 1);
	block_free(p.b);
	free(data);
}

struct again { struct crypt_call c; struct block *b; unsigned left; };

static void again(struct block_req *req, int result)
{
	struct again *a = container_of(req, struct again, c.req);

	check_eq(result, 0);
	if (a->left--)
		block_submit(a->b, req);
}

static void requests_from_completions_keep_the_stack_flat(void)
{
	static uint8_t data[4096];
	struct crypt_pair p = crypt_pair(MB, 4096, 0);
	struct again a = { .b = p.b, .left = 200000 };

	crypt_call_init(&a.c, BLOCK_WRITE, 0, data, sizeof data)->req.done = again;
	block_submit(p.b, &a.c.req);
	check_eq(p.f->submits, 200001);
	block_free(p.b);
}

static unsigned resident(const struct crypt *c)
{
	static unsigned char pages[CRYPT_PIECES * CRYPT_PIECE / 4096];
	unsigned n = 0;

	check_eq(mincore(c->pool, CRYPT_PIECES * CRYPT_PIECE, pages), 0);
	for (unsigned i = 0; i < sizeof pages; i++)
		n += pages[i] & 1;
	return n;
}

static void an_idle_disk_gives_its_buffers_back(void)
{
	struct crypt_pair p = crypt_pair(16 * MB, 4096, 0);
	const struct crypt *c = container_of(p.b, struct crypt, b);
	uint64_t end = loop_now_ns() + 20000000000ull;
	uint8_t *data = calloc(1, 8 * MB), page[4096];
	struct crypt_call call;

	p.f->hold = true;
	block_submit(p.b, &crypt_call_init(&call, BLOCK_READ, 0, page, sizeof page)->req);
	fault_release(p.f, 0);
	check(resident(c) <= 1);	/* a small request needs a small part of a buffer */
	block_submit(p.b, &crypt_call_init(&call, BLOCK_WRITE, 0, data, 8 * MB)->req);
	check_eq(resident(c), CRYPT_PIECES * CRYPT_PIECE / 4096);
	block_drain(p.b);
	p.f->hold = false;
	while (resident(c) > 64 && loop_now_ns() < end)
		check_eq(crypt_call_now(p.b, BLOCK_READ, 0, page, sizeof page), 0);
	check(resident(c) <= 64);
	block_free(p.b);
	free(data);
}

/* The file layer delivers so many and then lets others have the device lock: nobody may keep it busy from inside one call. */
static void one_call_carries_out_one_round(void)
{
	enum { LEN = 16 * MB, ROUND = 8 };
	static uint8_t data[LEN];
	struct crypt_pair p = crypt_pair(LEN, 512, 0);
	struct crypt_call c;

	p.f->batch = true;
	p.f->round = ROUND;
	block_submit(p.b, &crypt_call_init(&c, BLOCK_WRITE, 0, data, LEN)->req);
	check_eq(c.ends, 0);
	check_eq(p.f->count[BLOCK_WRITE], CRYPT_PIECES + ROUND);
	block_drain(p.b);
	check_eq(c.ends, 1);
	check_eq(c.result, 0);
	block_free(p.b);
}

static const struct test tests[] = {
	{ "one call carries out one round", one_call_carries_out_one_round },
	{ "what is written is read, and lies encrypted at its place", what_is_written_is_read_and_lies_encrypted_at_its_place },
	{ "any part of a sector goes through any scatter list", any_part_of_a_sector_goes_through_any_scatter_list },
	{ "tweaks go on where a segment says", tweaks_go_on_where_a_segment_says },
	{ "zeroes are written encrypted", zeroes_are_written_encrypted },
	{ "discards pass for whole crypto sectors", discards_pass_for_whole_crypto_sectors },
	{ "FUA reaches every piece, and flush passes", fua_reaches_every_piece_and_flush_passes },
	{ "less than a crypto sector is neither read nor padded", less_than_a_crypto_sector_is_neither_read_nor_padded },
	{ "an error of any piece ends the request once", an_error_of_any_piece_ends_the_request_once },
	{ "the first error counts, and the end waits for all pieces", the_first_error_counts_and_the_end_waits_for_all_pieces },
	{ "buffers run out and come back", buffers_run_out_and_come_back },
	{ "requests that wait are served in order", requests_that_wait_are_served_in_order },
	{ "requests from completions keep the stack flat", requests_from_completions_keep_the_stack_flat },
	{ "an idle disk gives its buffers back", an_idle_disk_gives_its_buffers_back },
	{ NULL, NULL },
};
const struct suite suite_hv_block_crypt = { tests };
