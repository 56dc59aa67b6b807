/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/mman.h>
#include "hv/block/crypt_priv.h"
#include "lib/loop.h"
#include "tests/unit/hv/block/crypt_rig.h"
#include "tests/unit/suite.h"

enum { MB = 1 << 20, HEADER = 65536 };

struct pair { struct fault *f; struct block *b; struct luks_layout layout; };

static struct pair make(uint64_t size, uint32_t sector, uint64_t data_off)
{
	struct pair p = { .f = fault_create(size), .layout = crypt_layout(sector, 64, data_off) };
	struct err err = { 0 };

	if (block_crypt_create(&p.f->b, &p.layout, &p.b, &err)) {
		suite_note("%s", err.text);
		abort();
	}
	return p;
}

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
		struct pair p = make(MB, sectors[i], HEADER);
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
	struct pair p = make(MB, 4096, 0);
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
	struct pair p = make(MB, 4096, 0);

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
	struct pair p = make(MB, 4096, HEADER);

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
	struct pair p = make(MB, 4096, 0);
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
	struct pair p = make(MB, 4096, 0);

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
	struct pair p = make(MB, 4096, 0);
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
	struct pair p = make(MB, 4096, 0);
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
	struct pair p = make(2 * LARGE, 4096, 0);
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
	struct pair p = make(N * LEN, 4096, 0);
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
	struct pair p = make(MB, 4096, 0);
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
	struct pair p = make(16 * MB, 4096, 0);
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

/* ---- rotation */

static void tell(void *ctx)
{
	*(unsigned *)ctx += 1;
}

static void a_frozen_zone_holds_its_own_requests_only(void)
{
	static uint8_t data[65536];
	struct pair p = make(MB, 4096, 0);
	struct luks_segment fresh = crypt_segment(4096, 64);
	struct crypt_call in_flight, inside, across, outside;
	unsigned told = 0;

	check_eq(block_crypt_rotate_begin(p.b, &fresh, NULL), 0);
	check_eq(block_crypt_rotate_begin(p.b, &fresh, NULL), -EBUSY);
	p.f->hold = true;
	block_submit(p.b, &crypt_call_init(&in_flight, BLOCK_READ, 4096, data, 4096)->req);
	check_eq(block_crypt_freeze(p.b, 0, 16384, tell, &told), 0);
	check_eq(told, 0);
	check_eq(block_crypt_thaw(p.b, 16384), -EINVAL);
	block_submit(p.b, &crypt_call_init(&inside, BLOCK_WRITE, 8192, data, 512)->req);
	block_submit(p.b, &crypt_call_init(&across, BLOCK_WRITE, 12288, data, 8192)->req);
	block_submit(p.b, &crypt_call_init(&outside, BLOCK_WRITE, 16384, data, 4096)->req);
	check_eq(p.f->held_count, 2);
	fault_release(p.f, 1);
	check_eq(outside.ends, 1);
	fault_release(p.f, 0);
	check_eq(in_flight.ends, 1);
	check_eq(told, 1);
	p.f->hold = false;
	check_eq(inside.ends + across.ends, 0);
	check_eq(block_crypt_thaw(p.b, 16384), 0);
	check_eq(inside.ends + across.ends, 2);
	check_eq(told, 1);
	block_free(p.b);
}

static void what_the_zone_held_goes_before_what_came_later(void)
{
	enum { LARGE = CRYPT_PIECES * CRYPT_PIECE };
	static uint8_t data[LARGE];
	struct pair p = make(2 * LARGE, 4096, 0);
	struct luks_segment fresh = crypt_segment(4096, 64);
	struct crypt_call parked, big, later;
	unsigned told = 0;

	check_eq(block_crypt_rotate_begin(p.b, &fresh, NULL), 0);
	check_eq(block_crypt_freeze(p.b, 0, 4096, tell, &told), 0);
	p.f->hold = true;
	block_submit(p.b, &crypt_call_init(&parked, BLOCK_READ, 0, data, 512)->req);
	block_submit(p.b, &crypt_call_init(&big, BLOCK_READ, CRYPT_PIECE, data, LARGE)->req);
	block_submit(p.b, &crypt_call_init(&later, BLOCK_READ, LARGE + CRYPT_PIECE, data, 512)->req);
	check_eq(p.f->held_count, CRYPT_PIECES);
	check_eq(block_crypt_thaw(p.b, 4096), 0);
	fault_release(p.f, 0);
	check_eq(p.f->held[CRYPT_PIECES - 1]->off, 0);
	block_drain(p.b);
	check_eq(parked.ends + big.ends + later.ends, 3);
	block_free(p.b);
}

static void draining_a_frozen_disk_cancels_what_waits(void)
{
	static uint8_t data[8192];
	struct pair p = make(MB, 4096, 0);
	struct luks_segment fresh = crypt_segment(4096, 64);
	struct crypt_call c;
	unsigned told = 0;

	check_eq(block_crypt_rotate_begin(p.b, &fresh, NULL), 0);
	check_eq(block_crypt_freeze(p.b, 0, 4096, tell, &told), 0);
	check_eq(told, 1);
	block_submit(p.b, &crypt_call_init(&c, BLOCK_WRITE, 0, data, sizeof data)->req);
	check_eq(c.ends, 0);
	block_drain(p.b);
	check_eq(c.ends, 1);
	check_eq(c.result, -ECANCELED);
	check_eq(p.f->submits, 0);
	block_submit(p.b, &crypt_call_init(&c, BLOCK_WRITE, 0, data, sizeof data)->req);
	block_free(p.b);
	check_eq(c.result, -ECANCELED);
}

static void rotation_calls_that_do_not_fit_change_nothing(void)
{
	struct pair p = make(MB, 4096, 0);
	struct luks_segment fresh = crypt_segment(4096, 64), off = fresh;
	struct err err = { 0 };
	uint64_t boundary;
	unsigned told = 0;

	check(!block_crypt_rotating(p.b, &boundary));
	check_eq(boundary, MB);
	check_eq(block_crypt_rotate_end(p.b), -EINVAL);
	check_eq(block_crypt_thaw(p.b, 0), -EINVAL);
	off.off = 512;
	check_eq(block_crypt_rotate_begin(p.b, &off, &err), -EINVAL);
	check_str(err.text, "the new key's segment begins at 512, not at 0");
	memset(off.key, 0, sizeof off.key);
	off.off = 0;
	check_eq(block_crypt_rotate_begin(p.b, &off, &err), -EINVAL);
	check_eq(block_crypt_rotate_begin(p.b, &fresh, &err), 0);
	check_eq(block_crypt_rotate_end(p.b), -EINVAL);
	check_eq(block_crypt_freeze(p.b, MB, 4096, tell, &told), -EINVAL);
	check_eq(block_crypt_freeze(p.b, 0, 0, tell, &told), -EINVAL);
	check_eq(block_crypt_freeze(p.b, 8192, UINT64_MAX, tell, &told), 0);
	check_eq(block_crypt_freeze(p.b, 0, 4096, tell, &told), -EBUSY);
	check_eq(block_crypt_thaw(p.b, 16384), -EINVAL);	/* a gap below the zone */
	check_eq(block_crypt_thaw(p.b, 0), 0);
	check_eq(block_crypt_freeze(p.b, 0, 8192, tell, &told), 0);
	check_eq(block_crypt_thaw(p.b, 12288), -EINVAL);
	check_eq(block_crypt_thaw(p.b, 512), -EINVAL);
	check_eq(block_crypt_thaw(p.b, 4096), 0);
	check(block_crypt_rotating(p.b, &boundary));
	check_eq(boundary, 4096);
	check_eq(told, 2);
	block_free(p.b);
}

/* ---- layouts */

static void refuse(const struct luks_layout *l, const char *why)
{
	struct fault *f = fault_create(MB);
	struct err err = { 0 };
	struct block *b;

	check_eq(block_crypt_create(&f->b, l, &b, &err), -EINVAL);
	check_str(err.text, why);
}

static void layouts_that_do_not_fit_are_refused(void)
{
	struct luks_layout good = crypt_layout(4096, 64, HEADER), l;

	l = good;
	l.segment_count = 0;
	refuse(&l, "volume has 0 segments; 1 or 2 can be used");
	l.segment_count = 3;
	refuse(&l, "volume has 3 segments; 1 or 2 can be used");
	l = good;
	l.segment[0].off = 4096;
	refuse(&l, "volume's first segment begins at 4096, not at 0");
	l = good;
	l.data_off = 100;
	refuse(&l, "volume's data begin at 100, which is not a multiple of its 512-byte sectors");
	l.data_off = MB;
	refuse(&l, "volume's data begin at 1048576, but it has 1048576 bytes");
	l.data_off = MB - 512;
	refuse(&l, "volume has no room for a sector of data");
	l = good;
	l.data_len = MB;
	refuse(&l, "volume's header speaks of 1048576 bytes of data, there is room for 983040; the volume was cut");
	l = good;
	l.segment[0].len = 8192;
	l.data_len = 16384;
	refuse(&l, "volume's segments end at 8192, before its 16384 bytes of data");
	l = good;
	l.segment_count = 2;
	l.segment[1] = crypt_segment(4096, 64);
	l.segment[0].len = 4096;
	l.segment[1].off = 8192;
	refuse(&l, "volume's segments leave a gap: the first ends at 4096, the second begins at 8192");
	l.segment[1].off = 4096;
	l.segment[1].len = UINT64_MAX - 4095;
	refuse(&l, "volume's last segment is beyond any size");
	l.segment[1].len = 0;
	l.segment[0].len = l.segment[1].off = 2 * MB;
	refuse(&l, "volume's second segment begins at 2097152, which cannot be in 983040 bytes of data");
	l.segment[0].len = l.segment[1].off = 512;
	refuse(&l, "volume's second segment begins at 512, which cannot be in 983040 bytes of data");
	l = good;
	l.segment[0].sector = 8192;
	refuse(&l, "encryption sectors of 8192 bytes are not supported; 512, 1024, 2048 and 4096 are");
	l = good;
	l.segment[0].key_len = 65;
	refuse(&l, "a volume key of 65 bytes is too long");
}

static void the_shorter_of_header_and_volume_counts(void)
{
	struct luks_layout l = crypt_layout(4096, 64, HEADER);
	struct fault *f = fault_create(MB + 1536);
	struct block *b;

	check_eq(block_crypt_create(&f->b, &l, &b, NULL), 0);
	check_eq(b->size, MB - HEADER);
	block_free(b);
	f = fault_create(MB);
	l.data_len = 10000 * 16;
	check_eq(block_crypt_create(&f->b, &l, &b, NULL), 0);
	check_eq(b->size, 159744);
	block_free(b);
	f = fault_create(MB);
	f->b.logical = 4096;
	f->b.readonly = true;
	f->b.can_discard = false;
	l = crypt_layout(512, 64, HEADER);
	check_eq(block_crypt_create(&f->b, &l, &b, NULL), 0);
	check_eq(b->logical, 4096);
	check(b->readonly && !b->can_discard);
	check_eq(crypt_call_now(b, BLOCK_WRITE_ZEROES, 0, NULL, 4096), -EROFS);
	block_free(b);
}

static const struct test tests[] = {
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
	{ "a frozen zone holds its own requests only", a_frozen_zone_holds_its_own_requests_only },
	{ "what the zone held goes before what came later", what_the_zone_held_goes_before_what_came_later },
	{ "draining a frozen disk cancels what waits", draining_a_frozen_disk_cancels_what_waits },
	{ "rotation calls that do not fit change nothing", rotation_calls_that_do_not_fit_change_nothing },
	{ "layouts that do not fit are refused", layouts_that_do_not_fit_are_refused },
	{ "the shorter of header and volume counts", the_shorter_of_header_and_volume_counts },
	{ NULL, NULL },
};
const struct suite suite_hv_block_crypt = { tests };
