/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every disk's chain, composed from the environment and the placement: meter → limit (when it has a rate) → map (when it is more
 * than one whole volume) → its volumes' handles.
 */
#pragma once
#include "hv/placement.h"
#include "hv/volume.h"
#include "lib/env/env.h"

struct machine;

struct disk {
	const struct env_disk *env;
	struct block *chain;		/* what the device model is given */
	struct block *meter, *limit;	/* in it; limit: NULL without a rate */
};

struct disks {
	struct placement placement;
	struct volume *volume;		/* as in placement.volume */
	unsigned volumes;
	struct disk *disk;		/* as in placement.disk */
	unsigned disks;
	struct agent *agent;		/* NULL: no volume needed it; wires_create takes it over */
};

/*
 * Judges the whole placement, then opens the volumes, then builds the chains. Needs machine.options, env, loop and clock. The
 * agent that keys come from lives no longer than this call. disks_free after either.
 */
int disks_create(struct machine *m, struct err *err) must_check;
/* After the devices. */
void disks_free(struct machine *m);
/* NULL: no such disk (a CD drive has no chain). */
struct block *disks_find(const struct machine *m, const char *name);
/* By its name in the placement; a volume that only disk.NAME names has the disk's. NULL: no such volume. */
struct volume *disks_volume(struct machine *m, const char *name);
