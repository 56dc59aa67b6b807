/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/checksum.h"
#include <stdlib.h>
#include "lib/bits.h"
#include "tests/unit/suite.h"

/* RFC 1071 word by word. */
static uint16_t naive(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++) {
		sum += (uint32_t)p[i] << (i & 1 ? 0 : 8);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

static uint16_t fast(const uint8_t *p, size_t len)
{
	uint8_t out[2];

	net_sum_store(out, net_sum_fold(net_sum(0, p, len)));
	return get_be16(out);
}

static void equals_the_naive_sum_at_every_length_and_alignment(void)
{
	uint8_t buf[320];

	srandom(1);
	for (size_t i = 0; i < sizeof buf; i++)
		buf[i] = (uint8_t)random();
	for (size_t at = 0; at < 16; at++)
		for (size_t len = 0; len + at <= sizeof buf; len++)
			if (fast(buf + at, len) != naive(buf + at, len)) {
				check_eq(fast(buf + at, len), naive(buf + at, len));
				return;
			}
	check(true);
}

static void carries_are_not_lost_in_long_runs_of_ones(void)
{
	static uint8_t buf[65536];

	memset(buf, 0xff, sizeof buf);
	check_eq(fast(buf, sizeof buf), 0xffff);
	check_eq(fast(buf, sizeof buf - 1), naive(buf, sizeof buf - 1));
	buf[40001] = 0xfe;
	check_eq(fast(buf, sizeof buf), naive(buf, sizeof buf));
}

static void the_example_of_rfc_1071_gives_ddf2(void)
{
	const uint8_t d[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	check_eq(fast(d, sizeof d), 0xddf2);
}

static void pieces_add_up_to_the_whole(void)
{
	uint8_t d[64];

	for (unsigned i = 0; i < sizeof d; i++)
		d[i] = (uint8_t)(i * 37);
	check_eq(net_sum_fold(net_sum(net_sum(net_sum(0, d, 10), d + 10, 22), d + 32, 31)), net_sum_fold(net_sum(0, d, 63)));
}

static const struct test tests[] = {
	{ "equals the naive sum at every length and alignment", equals_the_naive_sum_at_every_length_and_alignment },
	{ "carries are not lost in long runs of ones", carries_are_not_lost_in_long_runs_of_ones },
	{ "the example of RFC 1071 gives ddf2", the_example_of_rfc_1071_gives_ddf2 },
	{ "pieces add up to the whole", pieces_add_up_to_the_whole },
	{ NULL, NULL },
};
const struct suite suite_lib_l2_checksum = { tests };
