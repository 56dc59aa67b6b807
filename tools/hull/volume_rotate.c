/* SPDX-License-Identifier: Apache-2.0 */
/* hull volume rotate: a volume that nobody uses gets a fresh volume key. */
#include <errno.h>
#include "lib/scope.h"
#include "tools/hull/volume.h"

enum { ZONE = 64 << 20 };

static int on_freeze(void *ctx, uint64_t off, uint64_t len)
{
	return volume_interrupted() ? -EINTR : 0;
}

static int on_begin(void *ctx, const struct luks_segment *fresh, uint64_t boundary, uint64_t total)
{
	volume_progress_show(ctx, boundary, total);
	return 0;
}

static void on_thaw(void *ctx, uint64_t boundary, uint64_t total)
{
	volume_progress_show(ctx, boundary, total);
}

static int read_also(const struct volume_options *o, struct secret *also, struct err *err)
{
	for (unsigned i = 0; i < o->also_count; i++) {
		int rc = volume_key_read(o, o->also[i], false, &also[i], err);

		if (rc)
			return rc;
	}
	return 0;
}

int volume_rotate(const struct command *c, int argc, char **argv)
{
	static const struct luks_rotate_ops ops = { on_begin, on_freeze, on_thaw };
	struct volume_progress progress = { .what = "rotate" };
	struct secret key = { 0 }, also[VOLUME_ALSO] = { 0 };
	struct err err = { .text = "" };
	struct luks_rotation how;
	struct volume_options o;
	struct luks_place at;
	int rc;

	if (!volume_options_parse(c, argc, argv, 1, &o))
		return HULL_TROUBLE;
	secret_harden();
	at = volume_place(&o, o.argument[0]);
	rc = volume_key_read(&o, o.key, false, &key, &err);
	if (!rc)
		rc = read_also(&o, also, &err);
	how = (struct luks_rotation){ .key = &key, .also = also, .also_count = o.also_count, .drop_others = o.drop_others, .zone = ZONE };
	volume_catch_signals();
	if (!rc)
		rc = luks_rotate(&at, &how, &ops, &progress, &err);
	if (!rc)
		volume_progress_end(&progress, progress.total);
	secret_destroy(&key);
	for (unsigned i = 0; i < o.also_count; i++)
		secret_destroy(&also[i]);
	return rc ? volume_fail(&err) : HULL_OK;
}
