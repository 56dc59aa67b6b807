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
	bool importing;		/* luks_open: also a volume that an import has not finished */
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

/*
 * The key slot comes last: a volume whose format was cut short has none, so it opens with no key, and may be formatted again
 * without force. -EEXIST: not empty; -EBUSY: in use.
 */
int luks_format(const struct luks_place *at, const struct luks_format *how, const struct secret *key, struct err *err) must_check;
/*
 * -EPERM: no key slot opens; -EINVAL: no LUKS, damaged beyond its second copy, or cut off; -ENOTSUP: LUKS, but not as hv can
 * serve it (other ciphers, integrity, a re-encryption that is no rotation); -EINPROGRESS: an import is unfinished. Recovers a
 * rotation that was cut short, which writes. Slots that ask for more than 4 GiB or minutes of work are not tried. slot may be NULL.
 */
int luks_open(const struct luks_place *at, const struct secret *key, struct luks_layout *layout, int *slot, struct err *err)
	must_check;
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
	uint64_t data_off, data_len;	/* data_len 0: to the end of the volume */
	uint32_t key_bits;
	bool rotating, primary_bad, secondary_bad;	/* LUKS1 has no second copy */
	uint64_t rotated;		/* bytes under the new key */
	bool importing;
	uint64_t imported, import_size;
	struct { bool used; bool fresh; char kdf[16]; uint32_t memory_kib, iterations, threads; } slot[32];	/* fresh: of the new key */
};
int luks_info(const struct luks_place *at, struct luks_info *info, struct err *err) must_check;

/* /dev/mapper/NAME by the kernel's dm-crypt. -ENOTSUP: no device mapper here. */
int luks_map(const struct luks_place *at, const struct secret *key, const char *name, bool readonly, struct err *err) must_check;
int luks_unmap(const char *name, struct err *err) must_check;

/* How far an import of size bytes has come, kept in the header (LUKS2: -ENOTSUP otherwise); at == size ends it. */
int luks_import_mark(const struct luks_place *at, uint64_t position, uint64_t size, struct err *err) must_check;

/*
 * Rotate the volume key in place, or go on with a rotation that was cut short. Steps of at most zone bytes (whole MiB); before
 * each, freeze is called with the zone to be rewritten, after it thaw with the boundary (bytes under the new key, on the medium);
 * a step may be shorter than its zone. freeze returns 0, or nonzero to stop there (luks_rotate then returns -EINTR, resumable).
 * begin is called once with the new key's segment; with boundary == total when only a rotation's end was missing. When luks_rotate
 * fails after a freeze without its thaw, what the zone holds is in doubt until luks_open recovers it: requests there must fail.
 *
 * The slots of `key` and `also` get slots of the new key at the same cost; slots of other keys cannot follow:
 * -EBUSY, unless drop_others.
 */
struct luks_rotate_ops {
	int (*begin)(void *ctx, const struct luks_segment *fresh, uint64_t boundary, uint64_t total);
	int (*freeze)(void *ctx, uint64_t off, uint64_t len);
	void (*thaw)(void *ctx, uint64_t boundary, uint64_t total);
};
struct luks_rotation {
	const struct secret *key;
	const struct secret *also;	/* also_count keys of other slots to carry over */
	unsigned also_count;
	bool drop_others;
	bool resume;		/* one was begun: never begin another, also if that one has ended since */
	uint64_t zone;
};
int luks_rotate(const struct luks_place *at, const struct luks_rotation *how, const struct luks_rotate_ops *ops, void *ctx,
	struct err *err) must_check;
