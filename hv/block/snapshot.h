/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot layer, below encryption: before a cluster of the volume is first overwritten its old content is copied to a
 * store, a sparse file, and made durable there. The volume itself always holds the present. Dropping a snapshot deletes the
 * store; rolling back copies the old clusters home. A crash at any point loses neither the present nor the past.
 * The store holds ciphertext when the volume does. docs/snapshot.md gives its format byte by byte.
 *
 * The layer stands in every volume's chain and only passes requests on while no store is open. A store that fails (full, broken
 * medium) never stops the server: the snapshot is marked broken, durably, before the write that it could not keep goes on.
 * Only when not even the mark can be written nor the store deleted, writes fail.
 */
#pragma once
#include "hv/block/block.h"
#include "lib/loop.h"

/* Puts the layer on lower and takes it over when it succeeds. loop (NULL: only drain delivers) carries the store's completions. */
int block_snapshot_create(struct block *lower, struct loop *loop, struct block **b) must_check;
/*
 * Open (or, with create, begin) the snapshot kept in the file store_path. Beginning waits for what is in flight and flushes the
 * volume. -EINVAL: foreign, damaged or of another volume; -EEXIST: create finds a file; -ENOENT: there is none to open;
 * -EBUSY: one is open already, or the store is in use; -EINPROGRESS: a roll-back of it has begun. A broken one is opened, says so
 * in the log, and keeps nothing.
 */
int block_snapshot_open(struct block *b, const char *store_path, bool create, struct err *err) must_check;

struct block_snapshot_info {
	uint64_t created_s;		/* Unix time */
	uint64_t cluster;		/* bytes */
	uint64_t clusters, kept;	/* counts */
	uint64_t used;			/* bytes of the store */
	int broken;			/* 0, or the -errno that ended it */
	const char *store;		/* path, valid while open */
};
/* False when no store is open. */
bool block_snapshot_info(const struct block *b, struct block_snapshot_info *info);
/*
 * Stop keeping and delete the store; the layer then only passes requests on. Waits for what is in flight. -ENOENT: none is open.
 * mark: empty the store instead and leave it as a sign of the drop, for placements that still name it. Opening it succeeds with a
 * warning and without a snapshot.
 */
int block_snapshot_drop(struct block *b, bool mark, struct err *err) must_check;

/*
 * Offline: bring the volume back to the point of the snapshot, then delete the store. Everything is verified before the first
 * write. Resumable. progress (bytes) may be NULL. -EBUSY: the volume is in use; -ESTALE: the snapshot is broken; -EINVAL as above.
 */
int block_snapshot_roll_back(const char *volume_path, const char *store_path,
	void (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx, struct err *err) must_check;
/* What a store says, without its volume. */
int block_snapshot_read_info(const char *store_path, struct block_snapshot_info *info, struct err *err) must_check;
