/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "crypto/xts.h"
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

static const struct test tests[] = {
	{ "what is written is read, and lies encrypted at its place", what_is_written_is_read_and_lies_encrypted_at_its_place },
	{ "any part of a sector goes through any scatter list", any_part_of_a_sector_goes_through_any_scatter_list },
	{ NULL, NULL },
};
const struct suite suite_hv_block_crypt = { tests };
