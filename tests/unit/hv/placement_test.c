/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/placement.h"
#include <errno.h>
#include "lib/scope.h"
#include "tests/unit/suite.h"

#define GIB (1ull << 30)

/* Disks sda and sdb of a placement with that text. */
static int read_text(const char *text, struct placement *p, struct config **config, struct err *err)
{
	int r;

	*p = (struct placement){ 0 };
	*err = (struct err){ 0 };
	CU_ASSERT_FATAL(!config_parse("t", text, strlen(text), config, err));
	r = placement_init(p, *config, err);
	r = r ? r : placement_add(p, *config, "sda", err);
	if (!r && config_get(*config, "disk.sdb"))
		r = placement_add(p, *config, "sdb", err);
	return r;
}

static void a_path_is_short_for_a_volume(void)
{
	struct config *config;
	struct placement p;
	struct err err;

	check_eq(read_text("disk.sda = /dev/a@b\nvolume.sda.key = file:/k\nvolume.sda.header = /h\nvolume.sda.snapshot = s\n", &p, &config,
			   &err), 0);
	check_eq(p.volumes, 1);
	check_eq(p.disks, 1);
	check(p.keyed);
	check_str(p.volume[0].name, "sda");
	check_str(p.volume[0].path, "/dev/a@b");
	check_str(p.volume[0].key, "file:/k");
	check_str(p.volume[0].header, "/h");
	check_str(p.volume[0].snapshot, "s");
	check_eq(p.disk[0].parts, 1);
	check_eq(p.disk[0].part[0].off + p.disk[0].part[0].len, 0);
	check(!config_unknown(config, NULL));
	placement_free(&p);
	config_free(config);
}

static void volumes_are_shared_by_slices(void)
{
	struct config *config;
	struct placement p;
	struct err err;

	check_eq(read_text("disk.sda = a b@512+3G\tnbd://h/x@1M+1T\ndisk.sdb = b@3221225984+1K\ndisk.sda.rate = 1M/s\n"
			   "volume.a = /with blanks/a\nvolume.b = /b\nvolume.b.key = none\nstore.unlock = tpm\n", &p, &config, &err), 0);
	check_eq(p.volumes, 3);
	check_str(p.volume[0].path, "/with blanks/a");
	check_str(p.volume[2].name, "sda");
	check_str(p.volume[2].path, "nbd://h/x");
	check(!p.keyed && p.volume[1].any_content && !p.volume[1].key && !p.volume[0].any_content);
	check_eq(p.disk[0].parts, 3);
	check_eq(p.disk[0].part[1].volume, 1);
	check_eq(p.disk[0].part[1].off, 512);
	check_eq(p.disk[0].part[1].len, 3 * GIB);
	check_eq(p.disk[0].part[2].len, 1024 * GIB);
	check_eq(p.disk[0].rate.bytes, 1 << 20);
	check_eq(p.disk[1].part[0].volume, 1);
	check_eq(p.disk[1].part[0].off, 3 * GIB + 512);
	check_str(p.store_unlock, "tpm");
	check(!config_unknown(config, NULL));
	placement_free(&p);
	config_free(config);
}

static void words_that_are_wrong_are_named(void)
{
	static const struct { const char *text; int r; const char *message; } t[] = {
		{ "nic.a = up\n", -ENOENT, "disk sda has no volume: give --disk sda=PATH or `disk.sda = PATH` in the placement" },
		{ "disk.sda = a@\n", -EINVAL, "disk sda: \"a@\" is no part: VOLUME or VOLUME@OFFSET+LENGTH, bytes with K, M, G or T" },
		{ "disk.sda = a@0\n", -EINVAL, "disk sda: \"a@0\" is no part: VOLUME or VOLUME@OFFSET+LENGTH, bytes with K, M, G or T" },
		{ "disk.sda = a@0+1X\n", -EINVAL,
		  "disk sda: \"a@0+1X\" is no part: VOLUME or VOLUME@OFFSET+LENGTH, bytes with K, M, G or T" },
		{ "disk.sda = a@0+18446744073709551616\n", -EINVAL,
		  "disk sda: \"a@0+18446744073709551616\" is no part: VOLUME or VOLUME@OFFSET+LENGTH, bytes with K, M, G or T" },
		{ "disk.sda = a@16777215T+1T\n", -EINVAL,
		  "disk sda: \"a@16777215T+1T\" is no part: VOLUME or VOLUME@OFFSET+LENGTH, bytes with K, M, G or T" },
		{ "disk.sda = a@0+0\n", -EINVAL, "disk sda: \"a@0+0\": offset and length are multiples of 512 bytes, the length is not 0" },
		{ "disk.sda = a@100+1K\n", -EINVAL, "disk sda: \"a@100+1K\": offset and length are multiples of 512 bytes, the length is not 0" },
		{ "disk.sda = @0+1K\n", -EINVAL, "disk sda: a part without a volume" },
		{ "disk.sda = /a /b\n", -EINVAL, "disk sda: \"/b\" is the second path: name volumes by volume.NAME = PATH "
		  "(so too where a path holds blanks)" },
		{ "disk.sda = /a\nvolume.sda = /b\n", -EINVAL, "disk sda: \"/a\" is a path, and so is volume.sda: write disk.sda = sda" },
		{ "disk.sda = /a\ndisk.sda.rate = fast\n", -EINVAL,
		  "disk.sda.rate: \"fast\" is no rate: 200M/s (bytes, with K, M or G) or 5000/s (operations)" },
		{ "disk.sda = /a\nvolume.sda.key = hunter2\n", -EINVAL,
		  "disk sda: volume.sda.key is no key source: file:PATH, fd:N (3 or more), store:PATH, lma or none" },
		{ "disk.sda = /a\nvolume.sda.key = fd:0\n", -EINVAL,
		  "disk sda: volume.sda.key is no key source: file:PATH, fd:N (3 or more), store:PATH, lma or none" },
		{ "disk.sda = /a\nvolume.sda.key = file:\n", -EINVAL,
		  "disk sda: volume.sda.key is no key source: file:PATH, fd:N (3 or more), store:PATH, lma or none" },
		{ "disk.sda = /a\nvolume.sda.key = lma\nlma = h:1\n", -EINVAL,
		  "disk sda: volume.sda.key = lma needs `lma = HOST:PORT` and `lma.token = file:PATH` or fd:N" },
		{ "disk.sda = /a\nvolume.sda.header = /h\n", -EINVAL,
		  "disk sda: volume.sda.header is of an encrypted volume: give volume.sda.key, too" },
		{ "disk.sda = v\nvolume.v = nbd://h/\nvolume.v.key = file:/k\n", -EINVAL,
		  "disk sda: volume.v: the header of an encrypted volume on an NBD server must be a file here: give volume.v.header = PATH" },
	};

	for (unsigned i = 0; i < array_len(t); i++) {
		struct config *config;
		struct placement p;
		struct err err;

		check_eq(read_text(t[i].text, &p, &config, &err), t[i].r);
		check_str(err.text, t[i].message);
		placement_free(&p);
		config_free(config);
	}
}

static void typing_errors_stay_unknown(void)
{
	static const char *const t[][2] = {
		{ "disk.sda = /a\nvolume.sda.kye = file:/k\n", "volume.sda.kye" },
		{ "disk.sda = /a\nvolume.sdb = /b\n", "volume.sdb" },
		{ "disk.sda = /a\nvolume.sdb.key = file:/k\n", "volume.sdb.key" },
		{ "disk.sda = /a\ndisk.sda.rates = 1/s\n", "disk.sda.rates" },
	};

	for (unsigned i = 0; i < array_len(t); i++) {
		struct config *config;
		struct placement p;
		struct err err;

		check_eq(read_text(t[i][0], &p, &config, &err), 0);
		check_str(config_unknown(config, NULL) ?: "", t[i][1]);
		placement_free(&p);
		config_free(config);
	}
}

static const struct test tests[] = {
	{ "a path is short for a volume", a_path_is_short_for_a_volume },
	{ "volumes are shared by slices", volumes_are_shared_by_slices },
	{ "words that are wrong are named", words_that_are_wrong_are_named },
	{ "typing errors stay unknown", typing_errors_stay_unknown },
	{ NULL, NULL },
};
const struct suite suite_hv_placement = { tests };
