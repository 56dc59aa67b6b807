/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LUKS headers and key slots, by libcryptsetup, in user space: no device mapper is needed. All calls block (Argon2id takes
 * its time) and are for one thread. The data path is hv's own (hv/block/crypt.h). Every call takes the volume's lock
 * (lib/filelock.h) while it writes, unless locked says that the caller has it.
 */
#pragma once
#include <stdio.h>
#include "crypto/luks/layout.h"
#include "crypto/secret.h"

struct luks_place {
	const char *volume;	/* file or block device */
	const char *header;	/* detached header, NULL: in the volume */
	bool locked;		/* the volume's lock is held by whom we work for */
};

struct luks_cost { uint32_t memory_kib, iterations, threads; };	/* Argon2id; 0: measured for about 2 s */
extern const struct luks_cost luks_cost_key;	/* enough for keys of 256 random bits: small and quick */

struct luks_format {
	uint32_t sector;	/* 4096 by default; 512 … 4096 */
	uint32_t version;	/* 2 by default; 1 for programs that know no other */
	uint64_t size;		/* make the volume this many plaintext bytes (regular files grow); 0: what is there */
	struct luks_cost cost;
	bool force;		/* also over something that is not empty */
};

/* Written last to first: a volume whose format was cut short is never taken for a good one. */
int luks_format(const struct luks_place *at, const struct luks_format *how, const struct secret *key, struct err *err) must_check;
/* -EPERM: no key slot opens; -EINVAL: no LUKS or damaged beyond its second copy; recovers a rotation that was cut short. */
int luks_open(const struct luks_place *at, const struct secret *key, struct luks_layout *layout, struct err *err) must_check;
int luks_add_key(const struct luks_place *at, const struct secret *key, const struct secret *fresh, const struct luks_cost *cost,
	int *slot, struct err *err) must_check;
/* Refuses the last slot with -EBUSY. */
int luks_remove_key(const struct luks_place *at, int slot, struct err *err) must_check;
int luks_backup_header(const struct luks_place *at, const char *path, struct err *err) must_check;
int luks_restore_header(const struct luks_place *at, const char *path, struct err *err) must_check;

/* What is known without a key. */
struct luks_info {
	uint32_t version, sector;
	char uuid[LUKS_UUID_MAX], cipher[48], label[48];
	uint64_t data_off, data_len;
	uint32_t key_bits;
	bool rotating, primary_bad, secondary_bad;
	struct { bool used; char kdf[16]; uint32_t memory_kib, iterations, threads; } slot[32];
};
int luks_info(const struct luks_place *at, struct luks_info *info, struct err *err) must_check;

/*
 * Rotate the volume key in place, or go on with a rotation that was cut short. Steps of at most zone bytes; before each, freeze is
 * called with the zone to be rewritten, after it thaw with the boundary (bytes under the new key, on the medium). freeze returns 0, or
 * nonzero to stop there (luks_rotate then returns -EINTR, resumable). begin is called once with the new key's segment.
 */
struct luks_rotate_ops {
	int (*begin)(void *ctx, const struct luks_segment *fresh, uint64_t boundary, uint64_t total);
	int (*freeze)(void *ctx, uint64_t off, uint64_t len);
	void (*thaw)(void *ctx, uint64_t boundary, uint64_t total);
};
int luks_rotate(const struct luks_place *at, const struct secret *key, uint64_t zone, const struct luks_rotate_ops *ops, void *ctx,
	struct err *err) must_check;
