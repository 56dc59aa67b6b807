/* SPDX-License-Identifier: Apache-2.0 */
/* The twin itself: a test that trusts it must know that it loses, tears and keeps. */
#include "tests/unit/hv/block/crypt_rig.h"
#include "tests/unit/hv/block/powercut.h"
#include "tests/unit/suite.h"

enum { SIZE = 65536 };

static void what_was_flushed_stays_and_the_rest_is_torn(void)
{
	static uint8_t old[SIZE], fresh[SIZE], out[SIZE];
	unsigned lost = 0, arrived = 0;

	memset(old, 1, sizeof old);
	memset(fresh, 2, sizeof fresh);
	for (unsigned seed = 0; seed < 50; seed++) {
		struct powercut *p = powercut_create(SIZE, seed);

		check_eq(crypt_call_now(&p->b, BLOCK_WRITE, 0, old, SIZE), 0);
		check_eq(crypt_call_now(&p->b, BLOCK_FLUSH, 0, NULL, 0), 0);
		check_eq(crypt_call_now(&p->b, BLOCK_WRITE, 4096, fresh, SIZE - 4096), 0);
		powercut_cut(p);
		check_eq(crypt_call_now(&p->b, BLOCK_READ, 0, out, SIZE), -EIO);
		powercut_on(p);
		check_eq(crypt_call_now(&p->b, BLOCK_READ, 0, out, SIZE), 0);
		for (unsigned o = 0; o < SIZE; o += 512) {
			check(!memcmp(out + o, old, 512) || (o >= 4096 && !memcmp(out + o, fresh, 512)));
			*(out[o] == 1 ? &lost : &arrived) += 1;
		}
		powercut_destroy(p);
	}
	check(lost > 1000);
	check(arrived > 1000);
}

static void fua_lasts_by_itself(void)
{
	static uint8_t one[512], two[512], out[512];

	memset(one, 1, sizeof one);
	memset(two, 2, sizeof two);
	for (unsigned seed = 0; seed < 50; seed++) {
		struct powercut *p = powercut_create(SIZE, seed);
		struct crypt_call c;

		check_eq(crypt_call_now(&p->b, BLOCK_WRITE, 512, one, 512), 0);
		crypt_call_init(&c, BLOCK_WRITE, 512, two, 512);
		c.req.fua = true;
		block_submit(&p->b, &c.req);
		check_eq(c.result, 0);
		powercut_cut(p);
		powercut_on(p);
		check_eq(crypt_call_now(&p->b, BLOCK_READ, 512, out, 512), 0);
		check(!memcmp(out, two, 512));
		powercut_destroy(p);
	}
}

static void power_goes_with_the_request_that_was_named(void)
{
	static uint8_t data[1024];
	struct powercut *p = powercut_create(SIZE, 1);

	p->cut_after = 2;
	check_eq(crypt_call_now(&p->b, BLOCK_WRITE, 0, data, 512), 0);
	check_eq(crypt_call_now(&p->b, BLOCK_READ, 0, data, 512), 0);
	check_eq(crypt_call_now(&p->b, BLOCK_WRITE, 0, data, 1024), -EIO);
	check_eq(crypt_call_now(&p->b, BLOCK_FLUSH, 0, NULL, 0), -EIO);
	check_eq(p->cuts, 1);
	powercut_destroy(p);
}

static const struct test tests[] = {
	{ "what was flushed stays, and the rest is torn", what_was_flushed_stays_and_the_rest_is_torn },
	{ "FUA lasts by itself", fua_lasts_by_itself },
	{ "power goes with the request that was named", power_goes_with_the_request_that_was_named },
	{ NULL, NULL },
};
const struct suite suite_hv_block_powercut = { tests };
