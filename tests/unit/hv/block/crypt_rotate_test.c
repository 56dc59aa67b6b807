/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "hv/block/crypt_priv.h"
#include "tests/unit/hv/block/crypt_rig.h"
#include "tests/unit/suite.h"

enum { MB = 1 << 20 };

static void tell(void *ctx)
{
	*(unsigned *)ctx += 1;
}

static void a_frozen_zone_holds_its_own_requests_only(void)
{
	static uint8_t data[65536];
	struct crypt_pair p = crypt_pair(MB, 4096, 0);
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
	struct crypt_pair p = crypt_pair(2 * LARGE, 4096, 0);
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
	struct crypt_pair p = crypt_pair(MB, 4096, 0);
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

static void a_zone_nobody_knows_fails_until_the_thaw(void)
{
	static uint8_t data[8192];
	struct crypt_pair p = crypt_pair(MB, 4096, 0);
	struct luks_segment fresh = crypt_segment(4096, 64);
	struct crypt_call c;
	unsigned told = 0;

	check_eq(block_crypt_rotate_begin(p.b, &fresh, NULL), 0);
	block_crypt_fail_zone(p.b, -EIO);	/* none is frozen */
	check_eq(crypt_call_now(p.b, BLOCK_WRITE, 0, data, sizeof data), 0);
	check_eq(block_crypt_freeze(p.b, 0, 4096, tell, &told), 0);
	check(block_crypt_zone_frozen(p.b));
	block_submit(p.b, &crypt_call_init(&c, BLOCK_WRITE, 0, data, sizeof data)->req);
	check_eq(c.ends, 0);
	block_crypt_fail_zone(p.b, -EIO);
	check_eq(c.ends, 1);
	check_eq(c.result, -EIO);
	check_eq(crypt_call_now(p.b, BLOCK_READ, 0, data, sizeof data), -EIO);
	check_eq(crypt_call_now(p.b, BLOCK_DISCARD, 0, NULL, sizeof data), -EIO);
	check_eq(crypt_call_now(p.b, BLOCK_READ, 4096, data, 4096), 0);
	block_crypt_fail_zone(p.b, 0);
	block_submit(p.b, &crypt_call_init(&c, BLOCK_READ, 0, data, sizeof data)->req);
	check_eq(c.ends, 0);
	block_crypt_fail_zone(p.b, -EIO);
	check_eq(block_crypt_thaw(p.b, 0), 0);
	check(!block_crypt_zone_frozen(p.b));
	check_eq(crypt_call_now(p.b, BLOCK_READ, 0, data, sizeof data), 0);
	block_free(p.b);
}

static void rotation_calls_that_do_not_fit_change_nothing(void)
{
	struct crypt_pair p = crypt_pair(MB, 4096, 0);
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

static const struct test tests[] = {
	{ "a frozen zone holds its own requests only", a_frozen_zone_holds_its_own_requests_only },
	{ "what the zone held goes before what came later", what_the_zone_held_goes_before_what_came_later },
	{ "draining a frozen disk cancels what waits", draining_a_frozen_disk_cancels_what_waits },
	{ "a zone nobody knows fails until the thaw", a_zone_nobody_knows_fails_until_the_thaw },
	{ "rotation calls that do not fit change nothing", rotation_calls_that_do_not_fit_change_nothing },
	{ NULL, NULL },
};
const struct suite suite_hv_block_crypt_rotate = { tests };
