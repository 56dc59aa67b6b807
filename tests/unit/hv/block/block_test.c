/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "tests/unit/hv/block/fault.h"
#include "tests/unit/suite.h"

static int result;
static unsigned done_calls;

static void done(struct block_req *req, int r)
{
	result = r;
	done_calls++;
}

static int submit(struct block *b, enum block_op op, uint64_t off, uint64_t len, uint64_t iov_len)
{
	static uint8_t data[65536];
	struct iovec iov = { data, iov_len };
	struct block_req req = { .op = op, .off = off, .len = len, .iov = &iov, .iov_count = iov_len ? 1 : 0, .done = done };

	result = 1;
	done_calls = 0;
	block_submit(b, &req);
	check_eq(done_calls, 1);
	return result;
}

static void good_requests_reach_the_layer(void)
{
	struct fault *f = fault_create(1 << 20);

	check_eq(submit(&f->b, BLOCK_READ, 0, 512, 512), 0);
	check_eq(submit(&f->b, BLOCK_WRITE, (1 << 20) - 4096, 4096, 4096), 0);
	check_eq(submit(&f->b, BLOCK_FLUSH, 0, 0, 0), 0);
	check_eq(submit(&f->b, BLOCK_DISCARD, 512, 1024, 0), 0);
	check_eq(submit(&f->b, BLOCK_WRITE_ZEROES, 0, 1 << 20, 0), 0);
	check_eq(f->submits, 5);
	block_free(&f->b);
}

static void bad_requests_end_with_einval(void)
{
	struct fault *f = fault_create(1 << 20);

	check_eq(submit(&f->b, BLOCK_READ, 1, 512, 512), -EINVAL);
	check_eq(submit(&f->b, BLOCK_READ, 0, 511, 511), -EINVAL);
	check_eq(submit(&f->b, BLOCK_READ, 0, 0, 0), -EINVAL);
	check_eq(submit(&f->b, BLOCK_READ, 1 << 20, 512, 512), -EINVAL);
	check_eq(submit(&f->b, BLOCK_READ, (1 << 20) - 512, 1024, 1024), -EINVAL);
	check_eq(submit(&f->b, BLOCK_READ, UINT64_MAX - 511, 512, 512), -EINVAL);
	check_eq(submit(&f->b, BLOCK_WRITE, 0, UINT64_MAX - 511, 512), -EINVAL);
	check_eq(submit(&f->b, BLOCK_WRITE, 0, 1024, 512), -EINVAL);
	check_eq(submit(&f->b, BLOCK_WRITE, 0, 512, 1024), -EINVAL);
	check_eq(submit(&f->b, BLOCK_FLUSH, 0, 512, 0), -EINVAL);
	check_eq(submit(&f->b, BLOCK_OPS, 0, 512, 512), -EINVAL);
	f->b.can_discard = false;
	check_eq(submit(&f->b, BLOCK_DISCARD, 0, 512, 0), -EINVAL);
	check_eq(f->submits, 0);
	block_free(&f->b);
}

static void a_read_only_disk_refuses_changes(void)
{
	struct fault *f = fault_create(1 << 20);

	f->b.readonly = true;
	check_eq(submit(&f->b, BLOCK_WRITE, 0, 512, 512), -EROFS);
	check_eq(submit(&f->b, BLOCK_DISCARD, 0, 512, 0), -EROFS);
	check_eq(submit(&f->b, BLOCK_WRITE_ZEROES, 0, 512, 0), -EROFS);
	check_eq(f->submits, 0);
	check_eq(submit(&f->b, BLOCK_READ, 0, 512, 512), 0);
	check_eq(submit(&f->b, BLOCK_FLUSH, 0, 0, 0), 0);
	block_free(&f->b);
}

static void errors_come_from_the_layer_by_plan(void)
{
	struct fault *f = fault_create(1 << 20);

	f->fail_with = -EIO;
	f->fail_after = 1;
	check_eq(submit(&f->b, BLOCK_READ, 0, 512, 512), 0);
	check_eq(submit(&f->b, BLOCK_READ, 0, 512, 512), -EIO);
	block_free(&f->b);
}

static void freeing_drains_first(void)
{
	struct fault *f = fault_create(1 << 20);
	struct block_req req = { .op = BLOCK_FLUSH, .done = done };

	f->hold = true;
	done_calls = 0;
	block_submit(&f->b, &req);
	check_eq(done_calls, 0);
	block_free(&f->b);
	check_eq(done_calls, 1);
	block_free(NULL);
}

/* A layer without the slots stands above; the lowest one has them. */
static void plugs_pass_layers_that_have_none(void)
{
	static const struct block_ops none = { .name = "none" };
	struct fault *f = fault_create(1 << 20);
	struct block upper = { .ops = &none, .lower = &f->b }, alone = { .ops = &none };

	block_plug(&upper);
	block_plug(&upper);
	check_eq(f->plugs, 2);
	block_unplug(&upper);
	block_unplug(&upper);
	check_eq(f->plugs, 0);
	block_plug(&alone);
	block_unplug(&alone);
	block_plug(NULL);
	block_unplug(NULL);
	block_free(&f->b);
}

static const struct test tests[] = {
	{ "good requests reach the layer", good_requests_reach_the_layer },
	{ "bad requests end with EINVAL", bad_requests_end_with_einval },
	{ "a read-only disk refuses changes", a_read_only_disk_refuses_changes },
	{ "errors come from the layer by plan", errors_come_from_the_layer_by_plan },
	{ "freeing drains first", freeing_drains_first },
	{ "plugs pass layers that have none", plugs_pass_layers_that_have_none },
	{ NULL, NULL },
};
const struct suite suite_hv_block_block = { tests };
