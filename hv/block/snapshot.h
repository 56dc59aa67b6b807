/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot layer, below encryption: before a cluster of the volume is first overwritten its old content is copied to a
 * store and made durable there. The volume itself always holds the present. Dropping a snapshot deletes the store;
 * rolling back copies the old clusters home. A crash at any point loses neither the present nor the past.
 * The store holds ciphertext when the volume does. docs/snapshot.md gives its format byte by byte.
 */
#pragma once
#include "hv/block/block.h"

/*
 * Open (or, with create, begin) the snapshot of lower that is kept in store, itself an open block layer or file that can grow.
 * Takes lower over when it succeeds. -EINVAL: foreign, damaged or of another volume; -EEXIST: create finds one.
 */
int block_snapshot_open(struct block *lower, const char *store_path, bool create, struct block **b, struct err *err) must_check;
struct block_snapshot_info { uint64_t created_s, cluster, clusters, kept; };	/* Unix time; bytes; counts */
void block_snapshot_info(const struct block *b, struct block_snapshot_info *info);
/* Stop keeping and delete the store; the layer then only passes requests on. */
int block_snapshot_drop(struct block *b, struct err *err) must_check;
/* Offline: bring the volume back to the point of the snapshot, then delete the store. Resumable. progress may be NULL. */
int block_snapshot_roll_back(const char *volume_path, const char *store_path,
	void (*progress)(void *ctx, uint64_t done, uint64_t total), void *ctx, struct err *err) must_check;
