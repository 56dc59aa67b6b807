/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the snapshot layer. snapshot_format.c knows the store's bytes (docs/snapshot.md), snapshot_store.c the file they
 * stand in, snapshot.c what happens to requests, snapshot_roll_back.c the way home.
 */
#pragma once
#include "hv/block/snapshot.h"

enum {
	SNAP_CLUSTER = 65536,
	SNAP_BLOCK = 4096,		/* every structure of the store fills one */
	SNAP_STATUS_OFF = SNAP_BLOCK,	/* two copies, written in turn */
	SNAP_GROUPS_OFF = 4 * SNAP_BLOCK,
	SNAP_BATCH = 32,		/* clusters of a group at most */
	SNAP_PROBES = 16,
	SNAP_ID = 16, SNAP_UUID = 40,
};

#define SNAP_SIZE_LARGEST (1ull << 48)	/* bytes of a volume; its map then has 512 MiB */

/* Where the past's content is compared, to tell the snapshot's own volume from others. */
struct snap_probe {
	uint64_t off, sum;		/* of SNAP_BLOCK bytes */
	uint64_t at;			/* where the store has them, 0: the volume does; 1: they are zeroes */
};

struct snap_header {
	uint64_t size, created_s;	/* of the volume */
	uint8_t id[SNAP_ID];		/* random: no guest can make blocks that pass for the store's */
	char uuid[SNAP_UUID + 1];	/* of a LUKS volume, else empty */
	unsigned probe_count;
	struct snap_probe probe[SNAP_PROBES];
};

enum snap_state { SNAP_KEEPING = 1, SNAP_BROKEN, SNAP_ROLLING_BACK, SNAP_DROPPED, SNAP_STATES };

struct snap_status {
	uint64_t seq;			/* the higher of the two copies counts */
	enum snap_state state;
	int reason;			/* broken: -errno */
	uint64_t groups;		/* at least so many are there */
	uint64_t rolled;		/* groups that are home again */
};

struct snap_entry { uint64_t cluster, sum; bool zero; };	/* zero: all zeroes, no data in the store */
struct snap_group { uint64_t seq; unsigned count; struct snap_entry entry[SNAP_BATCH]; };

/* The first bytes of SHA-256. */
uint64_t snap_sum(const void *data, size_t len);
void snap_encode_header(const struct snap_header *h, uint8_t block[SNAP_BLOCK]);
void snap_encode_status(const struct snap_header *h, const struct snap_status *st, uint8_t block[SNAP_BLOCK]);
void snap_encode_group(const struct snap_header *h, const struct snap_group *g, uint8_t block[SNAP_BLOCK]);
int snap_decode_header(const uint8_t block[SNAP_BLOCK], struct snap_header *h, struct err *err) must_check;
/* False: not one of this store's, or damaged. */
bool snap_decode_status(const struct snap_header *h, const uint8_t block[SNAP_BLOCK], struct snap_status *st) must_check;
bool snap_decode_group(const struct snap_header *h, uint64_t seq, const uint8_t block[SNAP_BLOCK], struct snap_group *g) must_check;
/* Make block pass its checksum (tests of what lies behind it). */
void snap_seal(uint8_t block[SNAP_BLOCK]);

static inline uint64_t snap_clusters(const struct snap_header *h)
{
	return h->size / SNAP_CLUSTER + !!(h->size % SNAP_CLUSTER);
}

/* Clusters of the volume are whole but the last. */
static inline size_t snap_cluster_len(const struct snap_header *h, uint64_t cluster)
{
	uint64_t left = h->size - cluster * SNAP_CLUSTER;

	return left < SNAP_CLUSTER ? (size_t)left : SNAP_CLUSTER;
}

static inline uint64_t snap_group_len(const struct snap_group *g)
{
	uint64_t len = SNAP_BLOCK;

	for (unsigned i = 0; i < g->count; i++)
		len += g->entry[i].zero ? 0 : SNAP_CLUSTER;
	return len;
}

/* ---- the store */

struct snap_store {
	struct block *file;
	char *path;			/* NULL: nothing to delete */
	struct snap_header h;
	struct snap_status st;
	uint8_t *kept;			/* a bit a cluster */
	uint64_t kept_count, groups, end;	/* end: where the next group goes */
};

/* Both take file over, and path's bytes are copied. Create writes and flushes; volume has nothing in flight and is flushed. */
int snap_store_create(struct block *file, const char *path, struct block *volume, struct snap_store **s,
	struct err *err) must_check;
/* Finds every group; what was being written when the power went is not one, and is overwritten by the next. */
int snap_store_open(struct block *file, const char *path, struct snap_store **s, struct err *err) must_check;
int snap_store_check_volume(struct snap_store *s, struct block *volume, struct err *err) must_check;
int snap_store_create_file(const char *path, uint64_t volume_size, struct err *err) must_check;
/* The status as it is to be next, in block, and where it goes; s->st is what was encoded. */
uint64_t snap_store_next_status(struct snap_store *s, uint8_t block[SNAP_BLOCK]);
int snap_store_write_status(struct snap_store *s, struct err *err) must_check;
/* Each group from the first; data: the offset of its first cluster. A nonzero return ends the walk and is returned. */
typedef int snap_group_fn(void *ctx, const struct snap_group *g, uint64_t data, struct err *err);
int snap_store_walk(struct snap_store *s, snap_group_fn *fn, void *ctx, struct err *err) must_check;
int snap_store_delete(const char *path) must_check;	/* durably */
/* Is the file what a drop left there (block_snapshot_drop) and nothing more? Reads a few blocks. */
bool snap_store_is_mark(const char *path);
void snap_store_free(struct snap_store *s);	/* NULL is fine */

static inline bool snap_is_kept(const struct snap_store *s, uint64_t cluster)
{
	return s->kept[cluster / 8] >> (cluster % 8) & 1;
}

/* One request, waited for. */
int snap_run(struct block *b, enum block_op op, uint64_t off, void *data, size_t len, bool fua) must_check;

/* block_snapshot_open on an open block layer instead of a file (path NULL: nothing to delete); takes file over. */
int snap_open_on(struct block *b, struct block *file, const char *path, bool create, struct err *err) must_check;
/* The way home on open layers, which stay the caller's. */
int snap_roll_back_on(struct block *volume, struct snap_store *s, void (*progress)(void *ctx, uint64_t done, uint64_t total),
	void *ctx, struct err *err) must_check;
