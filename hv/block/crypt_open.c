/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "hv/block/crypt_priv.h"

typedef unsigned long long ull;

/* Segments stand one after the other from 0; *end is where the last one says it ends, 0 when it does not say. */
static int check_segments(const struct luks_layout *l, uint64_t *end, struct err *err)
{
	const struct luks_segment *s = l->segment;

	if (s[0].off)
		return err_set(err, -EINVAL, "volume's first segment begins at %llu, not at 0", (ull)s[0].off);
	if (l->segment_count == 2 && s[1].off != s[0].len)
		return err_set(err, -EINVAL, "volume's segments leave a gap: the first ends at %llu, the second begins at %llu",
			(ull)s[0].len, (ull)s[1].off);
	s += l->segment_count - 1;
	if (s->len && __builtin_add_overflow(s->off, s->len, end))
		return err_set(err, -EINVAL, "volume's last segment is beyond any size");
	return 0;
}

/* The data's length: what layout, segments and lower agree on, in whole sectors. */
static int measure(struct crypt *c, const struct luks_layout *l, struct err *err)
{
	const struct block *lower = c->b.lower;
	uint64_t grain = c->unit > lower->logical ? c->unit : lower->logical, end = 0, room, size;
	int r = check_segments(l, &end, err);

	if (r)
		return r;
	if (l->data_off & (lower->logical - 1) || l->data_off & 511)
		return err_set(err, -EINVAL, "volume's data begin at %llu, which is not a multiple of its %u-byte sectors",
			(ull)l->data_off, lower->logical);
	if (l->data_off >= lower->size)
		return err_set(err, -EINVAL, "volume's data begin at %llu, but it has %llu bytes", (ull)l->data_off, (ull)lower->size);
	c->data_off = l->data_off;
	room = lower->size - l->data_off;
	size = l->data_len ? l->data_len : end ? end : room;
	if (size > room)
		return err_set(err, -EINVAL, "volume's header speaks of %llu bytes of data, there is room for %llu; the volume was cut",
			(ull)size, (ull)room);
	if (end && end < size)
		return err_set(err, -EINVAL, "volume's segments end at %llu, before its %llu bytes of data", (ull)end, (ull)size);
	c->b.size = size & ~(grain - 1);
	if (!c->b.size)
		return err_set(err, -EINVAL, "volume has no room for a sector of data");
	c->boundary = l->segment_count == 2 ? l->segment[1].off : c->b.size;
	if (c->boundary > c->b.size || c->boundary & (c->unit - 1))
		return err_set(err, -EINVAL, "volume's second segment begins at %llu, which cannot be in %llu bytes of data",
			(ull)c->boundary, (ull)c->b.size);
	return 0;
}

static int open_keys(struct crypt *c, const struct luks_layout *l, struct err *err)
{
	int r;

	if (l->segment_count != 1 && l->segment_count != 2)
		return err_set(err, -EINVAL, "volume has %u segments; 1 or 2 can be used", l->segment_count);
	for (unsigned i = 0; i < l->segment_count; i++) {
		r = crypt_key_set(&c->key[i], &l->segment[i], err);
		if (r)
			return r;
		if (l->segment[i].sector > c->unit)
			c->unit = l->segment[i].sector;
	}
	return 0;
}

/* Address space; memory follows as buffers are used. Huge pages would bring all of it at once. */
static int map_pool(struct crypt *c, struct err *err)
{
	size_t len = CRYPT_PIECES * CRYPT_PIECE;
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return err_set(err, -ENOMEM, "out of memory for encryption buffers");
	c->pool = p;
	if (madvise(p, len, MADV_DONTDUMP) || madvise(p, len, MADV_DONTFORK))
		return err_set(err, -errno, "encryption buffers: %s", strerror(errno));
	/* A kernel without huge pages refuses, and is right. */
	(void)madvise(p, len, MADV_NOHUGEPAGE);
	for (unsigned i = CRYPT_PIECES; i-- > 0;) {
		c->pieces[i].crypt = c;
		c->pieces[i].buf = p + (size_t)i * CRYPT_PIECE;
		c->pieces[i].next = c->free_pieces;
		c->free_pieces = &c->pieces[i];
	}
	return 0;
}

int block_crypt_create(struct block *lower, const struct luks_layout *layout, struct block **b, struct err *err)
{
	struct crypt *c = calloc(1, sizeof *c);
	int r;

	if (!c) {
		block_free(lower);
		return err_set(err, -ENOMEM, "out of memory");
	}
	c->b = (struct block){ .ops = &crypt_ops, .logical = lower->logical, .readonly = lower->readonly,
		.can_discard = lower->can_discard, .lower = lower };
	r = open_keys(c, layout, err);
	if (!r)
		r = measure(c, layout, err);
	if (!r)
		r = map_pool(c, err);
	if (r) {
		crypt_destroy(c);
		return r;
	}
	c->b.physical = c->unit > lower->physical ? c->unit : lower->physical;
	*b = &c->b;
	return 0;
}
