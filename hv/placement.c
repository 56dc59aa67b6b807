/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/placement.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hv/block/nbd.h"
#include "lib/duration.h"
#include "lib/scope.h"

#define SECTOR 512
#define PARTS 256	/* of a disk */

/* "PREFIX.NAME.MEMBER", or "PREFIX.NAME" where member is "". */
static const char *get(struct config *config, const char *prefix, const char *name, const char *member)
{
	char key[128];
	int n = snprintf(key, sizeof key, "%s.%s%s%s", prefix, name, *member ? "." : "", member);

	return n < (int)sizeof key ? config_get(config, key) : NULL;
}

/* ---- volumes */

static bool is_name(const char *s)
{
	size_t len = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	return len && len < PLACEMENT_NAME && !s[len];
}

static bool is_fd(const char *s)
{
	size_t len = strspn(s, "0123456789");

	return len && len < 7 && !s[len] && atoi(s) > 2;
}

/* The value is not repeated: somebody may have written the key itself. */
static int check_key(const struct placement *p, const struct placement_volume *v, struct err *err)
{
	const char *key = v->key;

	if ((!strncmp(key, "file:", 5) && key[5]) || (!strncmp(key, "store:", 6) && key[6]) ||
	    (!strncmp(key, "fd:", 3) && is_fd(key + 3)))
		return 0;
	if (strcmp(key, "lma"))
		return err_set(err, -EINVAL, "volume.%s.key is no key source: file:PATH, fd:N (3 or more), store:PATH, lma or none", v->name);
	if (!p->lma || !p->lma_token)
		return err_set(err, -EINVAL, "volume.%s.key = lma needs `lma = HOST:PORT` and `lma.token = file:PATH` or fd:N", v->name);
	return 0;
}

static int read_key(struct placement *p, struct placement_volume *v, struct err *err)
{
	int r;

	if (v->key && !strcmp(v->key, "none")) {
		v->key = NULL;
		v->any_content = true;
	}
	if (!v->key)
		return v->header ? err_set(err, -EINVAL, "volume.%s.header is of an encrypted volume: give volume.%s.key, too", v->name,
					   v->name) : 0;
	r = check_key(p, v, err);
	if (r)
		return r;
	if (block_nbd_is_uri(v->path) && !v->header)
		return err_set(err, -EINVAL, "volume.%s: the header of an encrypted volume on an NBD server must be a file here: "
			       "give volume.%s.header = PATH", v->name, v->name);
	p->keyed = true;
	return 0;
}

/* The volume `name` at `path`, new or known; its index. */
static int add_volume(struct placement *p, struct config *config, const char *name, const char *path, unsigned *index,
	struct err *err)
{
	struct placement_volume *v;

	for (*index = 0; *index < p->volumes; ++*index)
		if (!strcmp(p->volume[*index].name, name))
			return 0;
	v = reallocarray(p->volume, p->volumes + 1, sizeof *v);
	if (!v)
		return err_set(err, -ENOMEM, "out of memory");
	p->volume = v;
	v += p->volumes++;
	*v = (struct placement_volume){ .path = path, .key = get(config, "volume", name, "key"),
					.header = get(config, "volume", name, "header"),
					.snapshot = get(config, "volume", name, "snapshot") };
	snprintf(v->name, sizeof v->name, "%s", name);
	return read_key(p, v, err);
}

/* ---- parts */

/* A number of bytes at *s, then past it: digits and K, M, G or T. */
static bool take_bytes(const char **s, uint64_t *n)
{
	static const char units[] = "KMGT";
	const char *p = *s, *unit;
	bool fits = true;

	for (*n = 0; *p >= '0' && *p <= '9'; p++)
		fits = fits && !__builtin_mul_overflow(*n, 10u, n) && !__builtin_add_overflow(*n, (uint64_t)(*p - '0'), n);
	if (p == *s)
		return false;
	unit = *p ? strchr(units, *p) : NULL;
	if (unit) {
		fits = fits && !__builtin_mul_overflow(*n, 1ull << 10 * (unit - units + 1), n);
		p++;
	}
	*s = p;
	return fits;
}

static bool parse_slice(const char *s, struct placement_part *part)
{
	uint64_t end;

	if (!take_bytes(&s, &part->off) || *s++ != '+' || !take_bytes(&s, &part->len) || *s)
		return false;
	return !__builtin_add_overflow(part->off, part->len, &end);
}

/* Cuts @OFFSET+LENGTH off the word. A path may hold an '@' of its own. */
static int cut_slice(char *word, struct placement_part *part, struct err *err)
{
	char *at = strrchr(word, '@');

	if (!at)
		return 0;
	if (!parse_slice(at + 1, part)) {
		*part = (struct placement_part){ 0 };
		if (strchr(word, '/'))
			return 0;
		return err_set(err, -EINVAL, "\"%s\" is no part: VOLUME or VOLUME@OFFSET+LENGTH, bytes with K, M, G or T", word);
	}
	if (!part->len || (part->off | part->len) % SECTOR)
		return err_set(err, -EINVAL, "\"%s\": offset and length are multiples of %d bytes, the length is not 0", word, SECTOR);
	*at = 0;
	return 0;
}

/* A volume that only this disk's key names is written down as volume.DISK, so that it lives as long as the others do. */
static int keep_path(struct config *config, const char *disk, const char *path, const char **kept, struct err *err)
{
	char key[128];
	int r;

	snprintf(key, sizeof key, "volume.%s", disk);
	r = config_set(config, key, path, err);
	*kept = r ? NULL : config_get(config, key);
	return r;
}

static int find_volume(struct placement *p, struct config *config, struct placement_disk *d, const char *word, bool *path_seen,
	struct placement_part *part, struct err *err)
{
	const char *path = is_name(word) ? get(config, "volume", word, "") : NULL;
	int r;

	if (path)
		return add_volume(p, config, word, path, &part->volume, err);
	if (!*word)
		return err_set(err, -EINVAL, "a part without a volume");
	if (*path_seen)
		return err_set(err, -EINVAL, "\"%s\" is the second path: name volumes by volume.NAME = PATH (so too where a path holds blanks)",
			       word);
	if (get(config, "volume", d->name, ""))
		return err_set(err, -EINVAL, "\"%s\" is a path, and so is volume.%s: write disk.%s = %s", word, d->name, d->name, d->name);
	if (!is_name(d->name))
		return err_set(err, -EINVAL, "\"%s\": name the volume by volume.NAME = PATH", word);
	*path_seen = true;
	r = keep_path(config, d->name, word, &path, err);
	return r ? r : add_volume(p, config, d->name, path, &part->volume, err);
}

static int add_part(struct placement *p, struct config *config, struct placement_disk *d, char *word, bool *path_seen,
	struct err *err)
{
	struct placement_part part = { 0 }, *parts;
	int r = cut_slice(word, &part, err);

	r = r ? r : find_volume(p, config, d, word, path_seen, &part, err);
	if (r)
		return r;
	if (d->parts == PARTS)
		return err_set(err, -E2BIG, "more than %d parts", PARTS);
	parts = reallocarray(d->part, d->parts + 1, sizeof *parts);
	if (!parts)
		return err_set(err, -ENOMEM, "out of memory");
	d->part = parts;
	d->part[d->parts++] = part;
	return 0;
}

/* ---- disks */

int placement_init(struct placement *p, struct config *config, struct err *err)
{
	const char *wait = config_get(config, "wait");

	*p = (struct placement){ .lma = config_get(config, "lma"), .lma_token = config_get(config, "lma.token"),
				 .store_unlock = config_get(config, "store.unlock"), .wait_s = 10 };
	return wait ? duration_parse("wait", wait, 0, 3600, &p->wait_s, err) : 0;
}

static int read_parts(struct placement *p, struct config *config, struct placement_disk *d, const char *value, struct err *err)
{
	auto_free char *words = strdup(value);
	bool path_seen = false;
	char *at = NULL;
	int r = words ? 0 : err_set(err, -ENOMEM, "out of memory");

	for (char *word = words ? strtok_r(words, " \t", &at) : NULL; word && !r; word = strtok_r(NULL, " \t", &at))
		r = add_part(p, config, d, word, &path_seen, err);
	return r ? err_prefix(err, "disk %s", d->name) : 0;
}

int placement_add(struct placement *p, struct config *config, const char *name, struct err *err)
{
	const char *value = get(config, "disk", name, ""), *rate = get(config, "disk", name, "rate");
	struct placement_disk *d;
	int r;

	if (!value)
		return err_set(err, -ENOENT, "disk %s has no volume: give --disk %s=PATH or `disk.%s = PATH` in the placement", name, name,
			       name);
	d = reallocarray(p->disk, p->disks + 1, sizeof *d);
	if (!d)
		return err_set(err, -ENOMEM, "out of memory");
	p->disk = d;
	d += p->disks++;
	*d = (struct placement_disk){ .name = name };
	r = read_parts(p, config, d, value, err);
	if (!r && rate && block_rate_parse(rate, &d->rate, err))
		r = err_prefix(err, "disk.%s.rate", name);
	return r;
}

void placement_free(struct placement *p)
{
	for (unsigned i = 0; i < p->disks; i++)
		free(p->disk[i].part);
	free(p->disk);
	free(p->volume);
	*p = (struct placement){ 0 };
}
