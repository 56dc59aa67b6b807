/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks' half of a placement (docs/placement.md): which volumes make up which disk, how they are opened, how fast they may be.
 * Only words are judged here; hv/disks.c opens what they name.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hv/block/limit.h"
#include "lib/config.h"

enum { PLACEMENT_NAME = 32 };	/* bytes of a volume's name, its NUL included */

struct placement_volume {
	char name[PLACEMENT_NAME];
	const char *path;		/* a path, or a URI of an NBD server */
	const char *key;		/* crypto/keysource.h; NULL: plain */
	const char *header, *snapshot;	/* paths or NULL */
	bool any_content;		/* plain also when it begins as LUKS does */
};
struct placement_part { unsigned volume; uint64_t off, len; };	/* len 0: to the end */
struct placement_disk {
	const char *name;
	struct placement_part *part;
	unsigned parts;
	struct block_rate rate;
};
struct placement {
	struct placement_volume *volume;	/* those that disks use, each once */
	unsigned volumes;
	struct placement_disk *disk;
	unsigned disks;
	const char *lma, *lma_token, *store_unlock;	/* or NULL */
	uint32_t wait_s;		/* for a volume that is in use */
	bool keyed;			/* some volume has a key */
};

/* Begins with no disk, and with what is said of all volumes. Strings in p are the config's, which stays. */
int placement_init(struct placement *p, struct config *config, struct err *err) must_check;
/*
 * What the config says of the disk `name` (a string that stays) and of its volumes. Errors name key and word, and never
 * what stands for a key source: it might be a key.
 */
int placement_add(struct placement *p, struct config *config, const char *name, struct err *err) must_check;
void placement_free(struct placement *p);
