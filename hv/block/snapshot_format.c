/* SPDX-License-Identifier: Apache-2.0 */
/* The store's structures, each in a block of its own whose last 32 bytes are the SHA-256 of the others (docs/snapshot.md). */
#include <errno.h>
#include <openssl/sha.h>
#include <string.h>
#include "hv/block/snapshot_priv.h"
#include "lib/buf.h"

enum { VERSION = 1, SUM_OFF = SNAP_BLOCK - SHA256_DIGEST_LENGTH, ENTRY_ZERO = 1 };

static const uint8_t header_magic[8] = "HULLSNAP", status_magic[8] = "HULLSNST", group_magic[8] = "HULLSNGR";

uint64_t snap_sum(const void *data, size_t len)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	struct rbuf b = rbuf_of(digest, sizeof digest);

	SHA256(data, len, digest);
	return rbuf_le64(&b);
}

void snap_seal(uint8_t block[SNAP_BLOCK])
{
	SHA256(block, SUM_OFF, block + SUM_OFF);
}

static bool sealed(const uint8_t block[SNAP_BLOCK])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	SHA256(block, SUM_OFF, digest);
	return !memcmp(digest, block + SUM_OFF, sizeof digest);
}

/* A fresh block up to the magic and whose it is. */
static struct wbuf start(uint8_t block[SNAP_BLOCK], const uint8_t magic[8], const struct snap_header *h)
{
	struct wbuf b = wbuf_of(block, SUM_OFF);

	memset(block, 0, SNAP_BLOCK);
	wbuf_put(&b, magic, 8);
	wbuf_put(&b, h->id, SNAP_ID);
	return b;
}

static bool is_ours(struct rbuf *b, const uint8_t magic[8], const struct snap_header *h)
{
	const uint8_t *m = rbuf_take(b, 8), *id = rbuf_take(b, SNAP_ID);

	return m && id && !memcmp(m, magic, 8) && !memcmp(id, h->id, SNAP_ID);
}

void snap_encode_header(const struct snap_header *h, uint8_t block[SNAP_BLOCK])
{
	struct wbuf b = start(block, header_magic, h);

	wbuf_le32(&b, VERSION);
	wbuf_le32(&b, SNAP_CLUSTER);
	wbuf_le64(&b, h->size);
	wbuf_le64(&b, h->created_s);
	wbuf_put(&b, h->uuid, SNAP_UUID);
	wbuf_le32(&b, h->probe_count);
	wbuf_le32(&b, 0);
	for (unsigned i = 0; i < h->probe_count; i++) {
		wbuf_le64(&b, h->probe[i].off);
		wbuf_le64(&b, h->probe[i].sum);
	}
	snap_seal(block);
}

static bool probes_fit(const struct snap_header *h)
{
	for (unsigned i = 0; i < h->probe_count; i++) {
		uint64_t off = h->probe[i].off;

		/* inside one cluster, and whole */
		if (off % SNAP_BLOCK || off > h->size || h->size - off < SNAP_BLOCK)
			return false;
	}
	return true;
}

int snap_decode_header(const uint8_t block[SNAP_BLOCK], struct snap_header *h, struct err *err)
{
	struct rbuf b = rbuf_of(block, SUM_OFF);
	uint32_t version, cluster;

	*h = (struct snap_header){ .size = 0 };
	if (memcmp(rbuf_take(&b, 8), header_magic, 8))
		return err_set(err, -EINVAL, "this is no snapshot store");
	rbuf_copy(&b, h->id, SNAP_ID);
	version = rbuf_le32(&b);
	if (version != VERSION)
		return err_set(err, -ENOTSUP, "the store's format is version %u, this program knows version %d", version, VERSION);
	if (!sealed(block))
		return err_set(err, -EINVAL, "the store's header is damaged: its checksum is wrong");
	cluster = rbuf_le32(&b);
	h->size = rbuf_le64(&b);
	h->created_s = rbuf_le64(&b);
	rbuf_copy(&b, h->uuid, SNAP_UUID);
	h->probe_count = rbuf_le32(&b);
	rbuf_skip(&b, 4);
	if (cluster != SNAP_CLUSTER || !h->size || h->size % 512 || h->size > SNAP_SIZE_LARGEST || h->probe_count > SNAP_PROBES)
		return err_set(err, -EINVAL, "the store's header makes no sense");
	for (unsigned i = 0; i < h->probe_count; i++) {
		h->probe[i].off = rbuf_le64(&b);
		h->probe[i].sum = rbuf_le64(&b);
	}
	return probes_fit(h) ? 0 : err_set(err, -EINVAL, "the store's header makes no sense: a probe lies outside the volume");
}

void snap_encode_status(const struct snap_header *h, const struct snap_status *st, uint8_t block[SNAP_BLOCK])
{
	struct wbuf b = start(block, status_magic, h);

	wbuf_le64(&b, st->seq);
	wbuf_le32(&b, (uint32_t)st->state);
	wbuf_le32(&b, (uint32_t)-st->reason);
	wbuf_le64(&b, st->groups);
	wbuf_le64(&b, st->rolled);
	snap_seal(block);
}

bool snap_decode_status(const struct snap_header *h, const uint8_t block[SNAP_BLOCK], struct snap_status *st)
{
	struct rbuf b = rbuf_of(block, SUM_OFF);
	uint32_t state, reason;

	if (!is_ours(&b, status_magic, h) || !sealed(block))
		return false;
	st->seq = rbuf_le64(&b);
	state = rbuf_le32(&b);
	reason = rbuf_le32(&b);
	st->groups = rbuf_le64(&b);
	st->rolled = rbuf_le64(&b);
	if (!state || state >= SNAP_STATES || reason > 4095 || st->rolled > st->groups || st->groups > snap_clusters(h))
		return false;
	st->state = (enum snap_state)state;
	st->reason = -(int)reason;
	return true;
}

void snap_encode_group(const struct snap_header *h, const struct snap_group *g, uint8_t block[SNAP_BLOCK])
{
	struct wbuf b = start(block, group_magic, h);

	wbuf_le64(&b, g->seq);
	wbuf_le32(&b, g->count);
	wbuf_le32(&b, 0);
	for (unsigned i = 0; i < g->count; i++) {
		wbuf_le64(&b, g->entry[i].cluster);
		wbuf_le64(&b, g->entry[i].sum);
		wbuf_le32(&b, g->entry[i].zero ? ENTRY_ZERO : 0);
		wbuf_le32(&b, 0);
	}
	snap_seal(block);
}

bool snap_decode_group(const struct snap_header *h, uint64_t seq, const uint8_t block[SNAP_BLOCK], struct snap_group *g)
{
	struct rbuf b = rbuf_of(block, SUM_OFF);

	if (!is_ours(&b, group_magic, h) || !sealed(block))
		return false;
	g->seq = rbuf_le64(&b);
	g->count = rbuf_le32(&b);
	rbuf_skip(&b, 4);
	if (g->seq != seq || !g->count || g->count > SNAP_BATCH)
		return false;
	for (unsigned i = 0; i < g->count; i++) {
		uint32_t flags;

		g->entry[i].cluster = rbuf_le64(&b);
		g->entry[i].sum = rbuf_le64(&b);
		flags = rbuf_le32(&b);
		rbuf_skip(&b, 4);
		g->entry[i].zero = flags & ENTRY_ZERO;
		if (flags & ~ENTRY_ZERO || g->entry[i].cluster >= snap_clusters(h))
			return false;
	}
	return !b.failed;
}
