/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/block/block.h"
#include <errno.h>
#include "lib/bits.h"

static bool sums_to_len(const struct block_req *req)
{
	uint64_t left = req->len;

	for (unsigned i = 0; i < req->iov_count; i++) {
		if (req->iov[i].iov_len > left)
			return false;
		left -= req->iov[i].iov_len;
	}
	return !left;
}

static int check(const struct block *b, const struct block_req *req)
{
	if ((unsigned)req->op >= BLOCK_OPS)
		return -EINVAL;
	if (req->op == BLOCK_FLUSH)
		return req->len ? -EINVAL : 0;
	if (!req->len || (req->off | req->len) & (b->logical - 1) || req->off > b->size || req->len > b->size - req->off)
		return -EINVAL;
	if ((req->op == BLOCK_READ || req->op == BLOCK_WRITE) && !sums_to_len(req))
		return -EINVAL;
	if (req->op != BLOCK_READ && b->readonly)
		return -EROFS;
	if (req->op == BLOCK_DISCARD && !b->can_discard)
		return -EINVAL;
	return 0;
}

void block_submit(struct block *b, struct block_req *req)
{
	int r = check(b, req);

	if (r)
		req->done(req, r);
	else
		b->ops->submit(b, req);
}

void block_plug(struct block *b)
{
	for (; b; b = b->lower) {
		if (b->ops->plug) {
			b->ops->plug(b);
			break;
		}
	}
}

void block_unplug(struct block *b)
{
	for (; b; b = b->lower) {
		if (b->ops->unplug) {
			b->ops->unplug(b);
			break;
		}
	}
}

void block_hurry(struct block *b)
{
	for (; b; b = b->lower)
		if (b->ops->hurry)
			b->ops->hurry(b);
}

void block_drain(struct block *b)
{
	if (b->ops->drain)
		b->ops->drain(b);
}

void block_free(struct block *b)
{
	if (!b)
		return;
	block_drain(b);
	b->ops->free(b);
}
