/* SPDX-License-Identifier: Apache-2.0 */
/* hull volume roll-back: a volume that nobody uses becomes what it was when its snapshot was made. */
#include "hv/block/snapshot.h"
#include "lib/scope.h"
#include "tools/hull/volume.h"

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
	volume_progress_show(ctx, done, total);
}

int volume_roll_back(const struct command *c, int argc, char **argv)
{
	/* both passes: what is verified counts as much as what is written */
	struct volume_progress progress = { .what = "verify and roll back" };
	struct err err = { .text = "" };
	struct volume_options o;

	if (!volume_options_parse(c, argc, argv, 2, &o))
		return HULL_TROUBLE;
	if (block_snapshot_roll_back(o.argument[0], o.argument[1], on_progress, &progress, &err))
		return volume_fail(&err);
	volume_progress_end(&progress, progress.total);
	printf("%s is as it was when the snapshot was made\n", o.argument[0]);
	return HULL_OK;
}
