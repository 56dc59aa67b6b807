/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "hv/block/crypt_priv.h"

int crypt_key_set(struct crypt_key *key, const struct luks_segment *s, struct err *err)
{
	if (s->key_len > LUKS_KEY_MAX)
		return err_set(err, -EINVAL, "a volume key of %u bytes is too long", s->key_len);
	key->tweak = s->tweak - s->off / 512;
	return xts_create(s->key, s->key_len, s->sector, &key->xts, err);
}

void crypt_key_wipe(struct crypt_key *key)
{
	xts_free(key->xts);
	*key = (struct crypt_key){ 0 };
}

bool crypt_frozen(const struct crypt *c, uint64_t off, uint64_t end)
{
	return off < c->zone_end && end > c->zone_off;
}

void crypt_check_zone(struct crypt *c)
{
	void (*empty)(void *ctx) = c->zone_empty;

	if (!empty)
		return;
	for (unsigned i = 0; i < CRYPT_PIECES; i++) {
		const struct crypt_piece *p = &c->pieces[i];

		if (p->parent && crypt_frozen(c, p->off, p->off + p->len))
			return;
	}
	c->zone_empty = NULL;
	empty(c->zone_ctx);
}

int block_crypt_rotate_begin(struct block *b, const struct luks_segment *fresh, struct err *err)
{
	struct crypt *c = crypt_of(b);
	struct crypt_key key = { 0 };
	int r;

	if (c->key[CRYPT_OLD].xts)
		return err_set(err, -EBUSY, "the volume's key is being rotated already");
	if (fresh->off)
		return err_set(err, -EINVAL, "the new key's segment begins at %llu, not at 0", (unsigned long long)fresh->off);
	r = crypt_key_set(&key, fresh, err);
	if (r)
		return r;
	if (c->b.size & (fresh->sector - 1)) {
		crypt_key_wipe(&key);
		return err_set(err, -EINVAL, "%llu bytes of data are not a multiple of the new key's sectors of %u",
			(unsigned long long)c->b.size, fresh->sector);
	}
	c->key[CRYPT_OLD] = c->key[CRYPT_NEW];
	c->key[CRYPT_NEW] = key;
	/* Pieces in flight remember which of the two places their key stands in. */
	for (unsigned i = 0; i < CRYPT_PIECES; i++) {
		if (c->pieces[i].parent)
			c->pieces[i].key = &c->key[CRYPT_OLD];
	}
	c->boundary = 0;
	if (fresh->sector > c->unit)
		c->unit = fresh->sector;
	return 0;
}

int block_crypt_freeze(struct block *b, uint64_t off, uint64_t len, void (*done)(void *ctx), void *ctx)
{
	struct crypt *c = crypt_of(b);
	uint64_t mask = c->unit - 1;

	if (c->zone_off != c->zone_end)
		return -EBUSY;
	if (!len || off >= c->b.size)
		return -EINVAL;
	c->zone_off = off & ~mask;
	c->zone_end = len < c->b.size - off ? (off + len + mask) & ~mask : c->b.size;
	c->zone_empty = done;
	c->zone_ctx = ctx;
	crypt_check_zone(c);
	return 0;
}

/* Inside the zone, without a gap between it and what the new key has already. */
static bool may_move(const struct crypt *c, uint64_t boundary)
{
	return c->key[CRYPT_OLD].xts && !c->zone_empty && c->zone_off <= c->boundary && boundary > c->boundary &&
		boundary <= c->zone_end && !(boundary & (c->unit - 1));
}

/* What waits for the zone goes on, or finds that it fails. */
static void unpark(struct crypt *c)
{
	if (c->parked.head) {	/* they are older than what waits */
		c->parked.tail->next = c->waiting.head;
		if (!c->waiting.head)
			c->waiting.tail = c->parked.tail;
		c->waiting.head = c->parked.head;
		c->parked = (struct crypt_queue){ 0 };
	}
	crypt_pump(c);
}

int block_crypt_thaw(struct block *b, uint64_t boundary)
{
	struct crypt *c = crypt_of(b);

	if (c->zone_off == c->zone_end)
		return -EINVAL;
	if (boundary > c->b.size)
		boundary = c->b.size;
	if (boundary != c->boundary && !may_move(c, boundary))
		return -EINVAL;
	c->boundary = boundary;
	c->zone_off = c->zone_end = 0;
	c->zone_empty = NULL;
	c->zone_error = 0;
	unpark(c);
	return 0;
}

void block_crypt_fail_zone(struct block *b, int error)
{
	struct crypt *c = crypt_of(b);

	if (c->zone_off == c->zone_end)
		return;
	c->zone_error = error;
	unpark(c);
}

bool block_crypt_zone_frozen(const struct block *b)
{
	const struct crypt *c = crypt_of(b);

	return c->zone_off != c->zone_end;
}

int block_crypt_rotate_end(struct block *b)
{
	struct crypt *c = crypt_of(b);

	/* Nothing in flight uses the old key: its last part was in a zone that was empty when the boundary passed. */
	if (!c->key[CRYPT_OLD].xts || c->boundary != c->b.size)
		return -EINVAL;
	crypt_key_wipe(&c->key[CRYPT_OLD]);
	c->unit = xts_sector(c->key[CRYPT_NEW].xts);
	return 0;
}

bool block_crypt_rotating(const struct block *b, uint64_t *boundary)
{
	const struct crypt *c = crypt_of(b);

	*boundary = c->boundary;
	return c->key[CRYPT_OLD].xts;
}
