/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "hv/block/file.h"
#include "hv/block/snapshot_priv.h"
#include "lib/scope.h"

enum { NOTE_GROUPS = 64 };	/* how often progress is made durable */

struct roll_back {
	struct snap_store *s;
	struct block *volume;
	uint8_t *data;
	uint64_t done, total;		/* bytes, of both passes */
	void (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
};

/* The entry's clusters, in r->data, as they were. */
static int read_cluster(struct roll_back *r, const struct snap_entry *e, uint64_t *data, struct err *err)
{
	int rc;

	if (e->zero) {
		memset(r->data, 0, SNAP_CLUSTER);
		return 0;
	}
	rc = snap_run(r->s->file, BLOCK_READ, *data, r->data, SNAP_CLUSTER, false);
	if (rc)
		return err_set(err, rc, "the store cannot be read at byte %" PRIu64 ": %s", *data, strerror(-rc));
	if (snap_sum(r->data, SNAP_CLUSTER) != e->sum)
		return err_set(err, -EINVAL, "the store is damaged: cluster %" PRIu64 " has a wrong checksum", e->cluster);
	*data += SNAP_CLUSTER;
	return 0;
}

static void step_done(struct roll_back *r, const struct snap_group *g)
{
	r->done += (uint64_t)g->count * SNAP_CLUSTER;
	if (r->progress)
		r->progress(r->ctx, r->done, r->total);
}

static int verify_group(void *ctx, const struct snap_group *g, uint64_t data, struct err *err)
{
	struct roll_back *r = ctx;

	for (unsigned i = 0; i < g->count; i++) {
		int rc = read_cluster(r, &g->entry[i], &data, err);

		if (rc)
			return rc;
	}
	step_done(r, g);
	return 0;
}

static int flush_volume(struct roll_back *r, struct err *err)
{
	int rc = snap_run(r->volume, BLOCK_FLUSH, 0, NULL, 0, false);

	return rc ? err_set(err, rc, "the volume cannot be flushed: %s", strerror(-rc)) : 0;
}

static int note_rolled(struct roll_back *r, uint64_t rolled, struct err *err)
{
	int rc = flush_volume(r, err);

	r->s->st.rolled = rolled;
	return rc ? rc : snap_store_write_status(r->s, err);
}

static int bring_home(void *ctx, const struct snap_group *g, uint64_t data, struct err *err)
{
	struct roll_back *r = ctx;
	int rc = 0;

	for (unsigned i = 0; i < g->count && g->seq >= r->s->st.rolled && !rc; i++) {
		uint64_t off = g->entry[i].cluster * SNAP_CLUSTER;
		size_t len = snap_cluster_len(&r->s->h, g->entry[i].cluster);

		rc = read_cluster(r, &g->entry[i], &data, err);
		if (rc)
			return rc;
		rc = snap_run(r->volume, BLOCK_WRITE, off, r->data, len, false);
		if (rc)
			return err_set(err, rc, "the volume cannot be written at byte %" PRIu64 ": %s", off, strerror(-rc));
	}
	step_done(r, g);
	return (g->seq + 1) % NOTE_GROUPS || g->seq < r->s->st.rolled ? 0 : note_rolled(r, g->seq + 1, err);
}

int snap_roll_back_on(struct block *volume, struct snap_store *s, void (*progress)(void *ctx, uint64_t done, uint64_t total),
	void *ctx, struct err *err)
{
	struct roll_back r = { .s = s, .volume = volume, .total = 2 * s->kept_count * SNAP_CLUSTER, .progress = progress, .ctx = ctx };
	int rc = snap_store_check_volume(s, volume, err);

	if (!rc && s->st.state == SNAP_BROKEN)
		rc = err_set(err, -ESTALE, "the snapshot is broken (%s): clusters were overwritten that it has not; only drop it",
			strerror(-s->st.reason));
	if (!rc && s->st.state == SNAP_DROPPED)
		rc = err_set(err, -ESTALE, "the snapshot was dropped: nothing of it is left");
	if (rc)
		return rc;
	r.data = aligned_alloc(SNAP_BLOCK, SNAP_CLUSTER);
	if (!r.data)
		return err_set(err, -ENOMEM, "out of memory");
	rc = snap_store_walk(s, verify_group, &r, err);
	if (!rc && s->st.state == SNAP_KEEPING) {
		s->st.state = SNAP_ROLLING_BACK;
		s->st.groups = s->groups;
		rc = snap_store_write_status(s, err);
	}
	rc = rc ? rc : snap_store_walk(s, bring_home, &r, err);
	rc = rc ? rc : flush_volume(&r, err);
	free(r.data);
	return rc;
}

static int open_store(const char *path, bool readonly, struct snap_store **s, struct err *err)
{
	struct block *file;
	int r = block_file_open(path, readonly, NULL, &file, err);

	r = r ? r : snap_store_open(file, path, s, err);
	return r ? err_prefix(err, "snapshot %s", path) : 0;
}

int block_snapshot_roll_back(const char *volume_path, const char *store_path,
	void (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx, struct err *err)
{
	struct snap_store *s = NULL;
	struct block *volume;
	int r = block_file_open(volume_path, false, NULL, &volume, err);

	if (r)
		return r;
	r = open_store(store_path, false, &s, err);
	if (!r) {
		r = snap_roll_back_on(volume, s, progress, ctx, err);
		if (r)
			err_prefix(err, "snapshot %s of %s", store_path, volume_path);
	}
	snap_store_free(s);
	block_free(volume);
	if (r)
		return r;
	r = snap_store_delete(store_path);
	return r ? err_set(err, r, "%s is rolled back, but snapshot %s cannot be deleted: %s", volume_path, store_path, strerror(-r)) : 0;
}

int block_snapshot_read_info(const char *store_path, struct block_snapshot_info *info, struct err *err)
{
	struct snap_store *s = NULL;
	int r = open_store(store_path, true, &s, err);

	if (r)
		return r;
	*info = (struct block_snapshot_info){ .created_s = s->h.created_s, .cluster = SNAP_CLUSTER, .clusters = snap_clusters(&s->h),
		.kept = s->kept_count, .used = s->end, .broken = s->st.state == SNAP_BROKEN ? s->st.reason : 0, .store = store_path };
	snap_store_free(s);
	return 0;
}
