/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume: what the cloud gives, opened once, whatever disks it is part of. Its chain is file or NBD → snapshot → encryption (when
 * it has a key). Disks' chains end in `handle`, which passes requests on to the top and is freed by nobody.
 */
#pragma once
#include "crypto/secret.h"
#include "hv/block/block.h"
#include "hv/placement.h"
#include "lib/loop.h"

struct agent;

struct volume {
	const char *name, *path, *header;	/* the placement's; header: NULL when it is in the volume */
	struct block *base;			/* file or NBD */
	struct block *snapshot;			/* always there: hv/block/snapshot.h */
	struct block *crypt;			/* NULL: plain */
	struct block *top;
	struct secret key;			/* what opened it; nothing when plain */
	bool rotating;				/* it was opened in the midst of a rotation */
	struct block handle;
};

struct volume_context {
	const struct placement *placement;
	const char *server;			/* its name in key stores */
	struct loop *loop;
	struct agent *agent;			/* NULL until the first volume with a key */
	int spare_fd;				/* a copy of the descriptor that the agent's own takes the place of; -1: none */
};

/*
 * v is zeroed, and freed by volume_free also when this fails. Starts the agent when it is needed. What somebody else has (-EBUSY)
 * is waited for as long as the placement says.
 */
int volume_open(struct volume *v, const struct placement_volume *from, struct volume_context *c, struct err *err) must_check;
void volume_free(struct volume *v);	/* wipes; nothing above uses it any more */
