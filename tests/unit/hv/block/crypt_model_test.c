/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/hv/block/crypt_model.h"
#include "tests/unit/suite.h"

enum { RUNS = 48, OPS = 2500 };

static struct rbuf random_bytes(uint8_t *bytes, size_t len, unsigned run)
{
	uint64_t seed = 0x2545f4914f6cdd1dull * (run + 1);

	for (size_t i = 0; i < len; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		bytes[i] = (uint8_t)(seed >> 32);
	}
	bytes[0] = (uint8_t)run;
	return rbuf_of(bytes, len);
}

static void finish(struct model *m, unsigned run)
{
	const char *error = model_finish(m);

	if (error)
		suite_note("run %u: %s", run, error);
	check(!error);
	free(m);
}

static void any_sequence_does_what_plain_memory_does(void)
{
	static uint8_t bytes[OPS * 5];
	uint64_t ops = 0;

	for (unsigned run = 0; run < RUNS; run++) {
		struct rbuf in = random_bytes(bytes, sizeof bytes, run);
		struct model *m = model_create(&in);

		while (rbuf_left(&in) > 8 && !m->error[0])
			model_step(m, &in);
		ops += m->ops;
		finish(m, run);
	}
	check(ops > 100000);
}

static void two_volumes_do_not_know_each_other(void)
{
	static uint8_t bytes[2][OPS * 5];
	struct rbuf in[2] = { random_bytes(bytes[0], sizeof bytes[0], 100), random_bytes(bytes[1], sizeof bytes[1], 101) };
	struct model *m[2] = { model_create(&in[0]), model_create(&in[1]) };

	while (rbuf_left(&in[0]) > 8 && rbuf_left(&in[1]) > 8) {
		model_step(m[0], &in[0]);
		model_step(m[1], &in[1]);
	}
	finish(m[0], 100);
	finish(m[1], 101);
}

static const struct test tests[] = {
	{ "any sequence does what plain memory does", any_sequence_does_what_plain_memory_does },
	{ "two volumes do not know each other", two_volumes_do_not_know_each_other },
	{ NULL, NULL },
};
const struct suite suite_hv_block_crypt_model = { tests };
