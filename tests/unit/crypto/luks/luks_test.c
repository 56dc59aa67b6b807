/* SPDX-License-Identifier: Apache-2.0 */
/* LUKS volumes in regular files: made, opened, damaged, rotated. Other programs: tests/system/luks-peers.sh. */
#include "crypto/luks/luks.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto/luks/luks_priv.h"
#include "tests/unit/suite.h"

enum { MIB = 1 << 20 };

static uint8_t right_bytes[32] = "the right key, of 32 bytes.....", wrong_bytes[32] = "another key, of 32 bytes.......";
static const struct secret right = { right_bytes, 32 }, wrong = { wrong_bytes, 32 };

/* A fresh volume of 8 MiB of plaintext. */
static struct luks_place make(const char *name, uint32_t version, uint32_t sector)
{
	const struct luks_format how = { .version = version, .sector = sector, .size = 8 * MIB, .cost = luks_cost_key };
	struct luks_place at = { .volume = strdup(suite_tmp(name)) };
	struct err err = { .text = "" };

	unlink(at.volume);
	check_eq(luks_format(&at, &how, &right, &err), 0);
	check_str(err.text, "");
	return at;
}

static void drop(struct luks_place *at)
{
	unlink(at->volume);
	free((char *)at->volume);
}

/* The message is the volume's path and then this. */
static void check_says(const struct err *err, const struct luks_place *at, const char *rest)
{
	size_t len = strlen(at->volume);
	bool begins = !strncmp(err->text, at->volume, len);

	check(begins);
	check_str(err->text + (begins ? len : 0), rest);
}

static void spoil(const char *path, off_t off, size_t len)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t bytes[512];

	memset(bytes, 0xa5, sizeof bytes);
	check(fd >= 0);
	for (; len; len -= sizeof bytes, off += (off_t)sizeof bytes)
		check_eq(pwrite(fd, bytes, sizeof bytes, off), sizeof bytes);
	close(fd);
}

static void open_one(uint32_t version, uint32_t sector)
{
	struct luks_place at = make("luks-open", version, sector);
	struct err err = { .text = "" };
	struct luks_layout l;
	int slot = -1;

	check_eq(luks_open(&at, &right, &l, &slot, &err), 0);
	check_eq(slot, 0);
	check_eq(l.version, version);
	check_eq(l.data_off, 16 * MIB);
	check_eq(l.data_len, 0);
	check_eq(l.segment_count, 1);
	check_eq(l.segment[0].off, 0);
	check_eq(l.segment[0].tweak, 0);
	check_eq(l.segment[0].sector, sector);
	check_eq(l.segment[0].key_len, 64);
	check_eq(luks_open(&at, &wrong, &l, NULL, &err), -EPERM);
	check_says(&err, &at, ": the key opens none of its 1 key slots: it is not the right one");
	for (size_t i = 0; i < sizeof l; i++)
		check(!((uint8_t *)&l)[i]);
	drop(&at);
}

static void test_open(void)
{
	open_one(2, 4096);
	open_one(2, 512);
	open_one(1, 512);
}

static void test_slots(void)
{
	struct luks_place at = make("luks-slots", 2, 4096);
	struct err err = { .text = "" };
	struct luks_layout l;
	int slot = -1, opened = -1;

	check_eq(luks_remove_key(&at, 0, &err), -EBUSY);
	check_says(&err, &at, ": key slot 0 is the last one: without it nobody could open the volume again");
	check_eq(luks_remove_key(&at, 7, &err), -ENOENT);
	check_says(&err, &at, ": has no key slot 7");
	check_eq(luks_add_key(&at, &wrong, &wrong, &luks_cost_key, &slot, &err), -EPERM);
	check_eq(luks_add_key(&at, &right, &wrong, &luks_cost_key, &slot, &err), 0);
	check_eq(slot, 1);
	check_eq(luks_open(&at, &wrong, &l, &opened, &err), 0);
	check_eq(opened, 1);
	check_eq(luks_remove_key(&at, 0, &err), 0);
	check_eq(luks_open(&at, &right, &l, &opened, &err), -EPERM);
	check_eq(luks_open(&at, &wrong, &l, &opened, &err), 0);
	drop(&at);
}

static void check_copies(const struct luks_place *at, bool primary_bad, bool secondary_bad)
{
	struct err err = { .text = "" };
	struct luks_info info;

	check_eq(luks_info(at, &info, &err), 0);
	check_eq(info.primary_bad, primary_bad);
	check_eq(info.secondary_bad, secondary_bad);
}

static void test_damage(void)
{
	struct luks_place at = make("luks-damage", 2, 4096);
	struct err err = { .text = "" };
	struct luks_layout l;
	int slot = -1;

	check_copies(&at, false, false);
	spoil(at.volume, 0x4000 + 4096, 512);
	check_copies(&at, false, true);
	check_eq(luks_open(&at, &right, &l, NULL, &err), 0);
	/* A change makes the bad copy whole. */
	check_eq(luks_add_key(&at, &right, &wrong, &luks_cost_key, &slot, &err), 0);
	check_copies(&at, false, false);
	spoil(at.volume, 0, 4096);
	check_copies(&at, true, false);
	check_eq(luks_open(&at, &right, &l, NULL, &err), 0);
	check_eq(luks_remove_key(&at, slot, &err), 0);
	check_copies(&at, false, false);
	spoil(at.volume, 4096, 512);
	spoil(at.volume, 0x4000 + 4096, 512);
	check_eq(luks_open(&at, &right, &l, NULL, &err), -EINVAL);
	check_says(&err, &at, ": the LUKS header is damaged and so is its second copy: "
		"bring back a backup with `hull volume restore-header`");
	drop(&at);
}

static void test_backup(void)
{
	struct luks_place at = make("luks-backup", 2, 4096), other = make("luks-other", 2, 4096);
	char *saved = strdup(suite_tmp("luks-saved"));
	struct err err = { .text = "" };
	struct luks_layout l;

	unlink(saved);
	check_eq(luks_backup_header(&at, saved, &err), 0);
	check_eq(luks_backup_header(&at, saved, &err), -EEXIST);
	check_eq(luks_restore_header(&other, saved, &err), -EINVAL);
	check_eq(luks_restore_header(&at, at.volume, &err), 0);
	spoil(at.volume, 0, 64 * 1024);
	check_eq(luks_open(&at, &right, &l, NULL, &err), -EINVAL);
	check_says(&err, &at, ": is no LUKS volume: no header at its beginning");
	check_eq(luks_restore_header(&at, saved, &err), 0);
	check_eq(luks_open(&at, &right, &l, NULL, &err), 0);
	spoil(saved, 4096, 512);
	check_eq(luks_restore_header(&at, saved, &err), -EINVAL);
	unlink(saved);
	free(saved);
	drop(&at);
	drop(&other);
}

/* Cut short anywhere, a restoration can be run again; until then no key opens what is there by half. */
static void test_restore_cut(void)
{
	static const size_t cuts[] = { 4096, 16384, 20480, 32768, 40960, 300 * 1024 };
	struct luks_place at = make("luks-restore-cut", 2, 4096);
	char *saved = strdup(suite_tmp("luks-restore-saved"));
	struct err err = { .text = "" };
	struct luks_layout want, got;
	uint8_t *bytes = malloc(MIB);
	int fd, from;

	unlink(saved);
	check_eq(luks_backup_header(&at, saved, &err), 0);
	check_eq(luks_open(&at, &right, &want, NULL, &err), 0);
	from = open(saved, O_RDONLY | O_CLOEXEC);
	check_eq(pread(from, bytes, MIB, 0), MIB);
	close(from);
	for (size_t i = 0; i < array_len(cuts); i++) {
		spoil(at.volume, 0, 512 * 1024);
		fd = open(at.volume, O_RDWR | O_CLOEXEC);
		check_eq(pwrite(fd, bytes, cuts[i], 0), cuts[i]);
		close(fd);
		if (!luks_open(&at, &right, &got, NULL, &err))
			check(!memcmp(&got, &want, sizeof got));
		check_eq(luks_restore_header(&at, saved, &err), 0);
		check_eq(luks_open(&at, &right, &got, NULL, &err), 0);
		check(!memcmp(&got, &want, sizeof got));
	}
	free(bytes);
	unlink(saved);
	free(saved);
	drop(&at);
}

static void test_format_refuses(void)
{
	struct luks_format how = { .version = 2, .sector = 4096, .cost = luks_cost_key };
	struct luks_place at = make("luks-refuse", 2, 4096), folder = { .volume = "/dev" }, device = { .volume = "/dev/null" };
	struct err err = { .text = "" };

	check_eq(luks_format(&at, &how, &right, &err), -EEXIST);
	check_says(&err, &at, ": holds a LUKS volume; format with --force if it may be lost");
	check_eq(truncate(at.volume, 0), 0);
	check_eq(luks_format(&at, &how, &right, &err), -ENOSPC);
	check_eq(truncate(at.volume, 20 * MIB + 512), 0);
	check_eq(luks_format(&at, &how, &right, &err), -EINVAL);
	check_says(&err, &at, ": its 20972032 bytes are no multiple of 4096: choose --sector 512");
	how.sector = 768;
	check_eq(luks_format(&at, &how, &right, &err), -EINVAL);
	check_eq(luks_format(&folder, &how, &right, &err), -EISDIR);
	check_eq(luks_format(&device, &how, &right, &err), -EINVAL);
	check_says(&err, &device, ": is neither a file nor a block device");
	drop(&at);
}

static void test_truncated(void)
{
	struct luks_place at = make("luks-short", 2, 4096);
	struct err err = { .text = "" };
	struct luks_layout l;

	check_eq(truncate(at.volume, 16 * MIB), 0);
	check_eq(luks_open(&at, &right, &l, NULL, &err), -EINVAL);
	check_says(&err, &at, ": is cut off: its header speaks of 16781312 bytes, and it has 16777216");
	check_eq(truncate(at.volume, 20000), 0);
	check_eq(luks_open(&at, &right, &l, NULL, &err), -EINVAL);
	drop(&at);
}

/* ---- rotation */

struct steps { struct luks_segment fresh; uint64_t boundary, total, off, len; unsigned begun, frozen, thawed, stop_after; };

static int on_begin(void *ctx, const struct luks_segment *fresh, uint64_t boundary, uint64_t total)
{
	struct steps *s = ctx;

	s->begun++;
	s->fresh = *fresh;
	s->boundary = boundary;
	s->total = total;
	return 0;
}

static int on_freeze(void *ctx, uint64_t off, uint64_t len)
{
	struct steps *s = ctx;

	check_eq(off, s->boundary);
	check(len && len <= MIB && off + len <= s->total);
	s->off = off;
	s->len = len;
	return s->frozen++ == s->stop_after;
}

static void on_thaw(void *ctx, uint64_t boundary, uint64_t total)
{
	struct steps *s = ctx;

	check(boundary > s->off && boundary <= s->off + s->len);
	s->boundary = boundary;
	s->thawed++;
}

static const struct luks_rotate_ops steps_ops = { on_begin, on_freeze, on_thaw };

static void check_middle(const struct luks_place *at, const struct steps *s, const struct luks_layout *before)
{
	struct luks_layout middle;
	struct luks_info info;
	struct err err = { .text = "" };

	check_eq(luks_open(at, &wrong, &middle, NULL, &err), 0);
	check_eq(middle.segment_count, 2);
	check_eq(middle.segment[0].len, s->boundary);
	check_eq(middle.segment[1].off, s->boundary);
	check_eq(middle.segment[1].tweak, s->boundary / 512);
	check(!memcmp(middle.segment[0].key, s->fresh.key, 64));
	check(!memcmp(middle.segment[1].key, before->segment[0].key, 64));
	check_eq(luks_info(at, &info, &err), 0);
	check(info.rotating);
	check_eq(info.rotated, s->boundary);
	check_eq(luks_remove_key(at, 0, &err), -EBUSY);
}

static void test_rotate(void)
{
	struct luks_place at = make("luks-rotate", 2, 4096);
	struct luks_rotation how = { .key = &right, .also = &wrong, .zone = MIB };
	struct steps s = { .stop_after = 3 };
	struct err err = { .text = "" };
	struct luks_layout before, after;
	struct luks_info info;
	int slot;

	check_eq(luks_open(&at, &right, &before, NULL, &err), 0);
	check_eq(luks_add_key(&at, &right, &wrong, &luks_cost_key, &slot, &err), 0);
	check_eq(luks_rotate(&at, &how, &steps_ops, &s, &err), -EBUSY);
	check_says(&err, &at, ": key slots of other keys (1) cannot follow to a new volume key: give those keys too (--also), "
		"or have the slots dropped (--drop-others)");
	check_eq(s.begun, 0);
	how.also_count = 1;
	check_eq(luks_rotate(&at, &how, &steps_ops, &s, &err), -EINTR);
	check_eq(s.begun, 1);
	check_eq(s.thawed, 3);
	check_eq(s.total, 8 * MIB);
	check_middle(&at, &s, &before);
	s = (struct steps){ .stop_after = 100 };
	how.also_count = 0;
	check_eq(luks_rotate(&at, &how, &steps_ops, &s, &err), 0);
	check_eq(s.boundary, 8 * MIB);
	check_eq(luks_open(&at, &right, &after, NULL, &err), 0);
	check_eq(after.segment_count, 1);
	check(!memcmp(after.segment[0].key, s.fresh.key, 64));
	check_eq(luks_open(&at, &wrong, &after, NULL, &err), 0);
	check_eq(luks_info(&at, &info, &err), 0);
	check(!info.rotating);
	drop(&at);
}

/* A header from before a rotation would leave nobody a key to what the volume holds. */
static void test_restore_old(void)
{
	struct luks_place at = make("luks-restore-old", 2, 4096);
	char *saved = strdup(suite_tmp("luks-restore-before"));
	struct luks_rotation how = { .key = &right, .zone = MIB };
	struct steps s = { .stop_after = 2 };
	struct err err = { .text = "" };
	struct luks_layout l;

	unlink(saved);
	check_eq(luks_backup_header(&at, saved, &err), 0);
	check_eq(luks_rotate(&at, &how, &steps_ops, &s, &err), -EINTR);
	check_eq(luks_restore_header(&at, saved, &err), -EBUSY);
	check_says(&err, &at, ": its key is being rotated: finish that first (hull volume rotate)");
	s = (struct steps){ .stop_after = 100 };
	check_eq(luks_rotate(&at, &how, &steps_ops, &s, &err), 0);
	check_eq(luks_restore_header(&at, saved, &err), -EINVAL);
	check(strstr(err.text, "is from before the volume's key was rotated") != NULL);
	check_eq(luks_open(&at, &right, &l, NULL, &err), 0);
	unlink(saved);
	free(saved);
	drop(&at);
}

/* ---- the end of a rotation, cut short: everything is under the new key, and the header does not say yet that it is over */

enum { HEADER = 16 * MIB };

static uint8_t *header_read(const struct luks_place *at)
{
	int fd = open(luks_place_header(at), O_RDONLY | O_CLOEXEC);
	uint8_t *bytes = malloc(HEADER);

	CU_ASSERT_FATAL(bytes && pread(fd, bytes, HEADER, 0) == HEADER);
	close(fd);
	return bytes;
}

static void header_write(const struct luks_place *at, const uint8_t *bytes, size_t len)
{
	int fd = open(luks_place_header(at), O_RDWR | O_CLOEXEC);

	check_eq(pwrite(fd, bytes, len, 0), len);
	close(fd);
}

struct ending { struct steps steps; const struct luks_place *at; uint8_t *header; };

static int ending_freeze(void *ctx, uint64_t off, uint64_t len)
{
	struct ending *e = ctx;

	return on_freeze(&e->steps, off, len);
}

static int ending_begin(void *ctx, const struct luks_segment *fresh, uint64_t boundary, uint64_t total)
{
	struct ending *e = ctx;

	return on_begin(&e->steps, fresh, boundary, total);
}

/* What a kill between the last step and the old slots' end leaves. */
static void ending_thaw(void *ctx, uint64_t boundary, uint64_t total)
{
	struct ending *e = ctx;

	on_thaw(&e->steps, boundary, total);
	if (boundary == total)
		e->header = header_read(e->at);
}

static void check_finished(const struct luks_place *at, const struct luks_segment *fresh)
{
	auto_session struct luks_session s = { .lock_fd = -1 };
	struct err err = { .text = "" };
	struct luks_layout l;
	struct luks_json j;
	struct luks_info info;

	check_eq(luks_open(at, &wrong, &l, NULL, &err), 0);
	check_eq(luks_open(at, &right, &l, NULL, &err), 0);
	check_str(err.text, "");
	check_eq(l.segment_count, 1);
	check(!memcmp(l.segment[0].key, fresh->key, 64));
	/* the next to write brings a second copy that was left behind up to the first */
	check_eq(luks_session_open(&s, at, true, &err), 0);
	check_eq(luks_info(at, &info, &err), 0);
	check(!info.rotating && !info.primary_bad && !info.secondary_bad);
	check_eq(crypt_reencrypt_status(s.cd, NULL), CRYPT_REENCRYPT_NONE);
	check_eq(luks_session_json(&s, &j, &err), 0);
	check_eq(__builtin_popcount(j.slots), 2);
	check(j.backup_final == -1 && j.backup_previous == -1 && j.rotate_token == -1);
}

/* erase: how many of the two old slots are gone already. */
static void finish_one(bool detached, unsigned erase)
{
	const struct luks_format format = { .version = 2, .sector = 4096, .size = 8 * MIB, .cost = luks_cost_key };
	static const struct luks_rotate_ops ops = { ending_begin, ending_freeze, ending_thaw };
	struct luks_rotation how = { .key = &right, .also = &wrong, .also_count = 1, .zone = MIB };
	struct luks_place at = { .volume = strdup(suite_tmp("luks-finish")),
		.header = detached ? strdup(suite_tmp("luks-finish-h")) : NULL };
	struct ending e = { .steps = { .stop_after = 100 }, .at = &at };
	struct err err = { .text = "" };
	uint8_t *after;
	int slot;

	unlink(at.volume);
	unlink(luks_place_header(&at));
	check_eq(luks_format(&at, &format, &right, &err), 0);
	check_eq(luks_add_key(&at, &right, &wrong, &luks_cost_key, &slot, &err), 0);
	check_eq(luks_rotate(&at, &how, &ops, &e, &err), 0);
	CU_ASSERT_FATAL(e.header != NULL);
	header_write(&at, e.header, HEADER);
	for (unsigned i = 0; i < erase; i++) {
		auto_session struct luks_session s = { .lock_fd = -1 };

		check_eq(luks_session_open(&s, &at, true, &err), 0);
		check_eq(crypt_keyslot_destroy(s.cd, (int)i), 0);
	}
	free(e.header);
	e.header = header_read(&at);
	check_finished(&at, &e.steps.fresh);
	/* and cut short itself, while it writes the first copy and between the two */
	after = header_read(&at);
	for (size_t cut = 512; cut <= 16384; cut = cut < 4096 ? 4096 : cut + 4096) {
		header_write(&at, e.header, HEADER);
		header_write(&at, after, cut);
		check_finished(&at, &e.steps.fresh);
	}
	free(after);
	free(e.header);
	unlink(luks_place_header(&at));
	free((char *)at.header);
	drop(&at);
}

static void test_finish(void)
{
	for (unsigned erase = 0; erase <= 2; erase++) {
		finish_one(false, erase);
		finish_one(true, erase);
	}
}

static void test_rotate_one(void)
{
	struct luks_place at = make("luks-rotate1", 1, 512);
	struct luks_rotation how = { .key = &right, .zone = MIB };
	struct err err = { .text = "" };
	struct steps s = { 0 };

	check_eq(luks_rotate(&at, &how, &steps_ops, &s, &err), -ENOTSUP);
	check_says(&err, &at, ": is LUKS1, whose volume key cannot be rotated: format a LUKS2 volume and import this one");
	drop(&at);
}

static void test_import_mark(void)
{
	struct luks_place at = make("luks-mark", 2, 4096);
	struct err err = { .text = "" };
	struct luks_layout l;
	struct luks_info info;

	check_eq(luks_import_mark(&at, 4096, 8192, &err), 0);
	check_eq(luks_open(&at, &right, &l, NULL, &err), -EINPROGRESS);
	check_says(&err, &at, ": holds an unfinished import (4096 of 8192 bytes): run the import again");
	at.importing = true;
	check_eq(luks_open(&at, &right, &l, NULL, &err), 0);
	check_eq(luks_info(&at, &info, &err), 0);
	check(info.importing);
	check_eq(info.imported, 4096);
	check_eq(luks_import_mark(&at, 8192, 8192, &err), 0);
	at.importing = false;
	check_eq(luks_open(&at, &right, &l, NULL, &err), 0);
	drop(&at);
}

static void test_json(void)
{
	static const struct { const char *text, *says; } bad[] = {
		{ "", "LUKS2 header: '[' or '{' expected near end of file" },
		{ "[]", "LUKS2 header: no segment" },
		{ "{}", "LUKS2 header: no segment" },
		{ "{\"segments\":{\"0\":{\"type\":\"crypt\"}}}", "LUKS2 header: segment 0 has no place" },
		{ "{\"segments\":{\"0\":{\"type\":\"crypt\",\"offset\":\"-1\",\"size\":\"dynamic\"}}}",
			"LUKS2 header: segment 0 has no place" },
		{ "{\"segments\":{\"0\":{\"type\":\"crypt\",\"offset\":\"99999999999999999999\",\"size\":\"dynamic\"}}}",
			"LUKS2 header: segment 0 has no place" },
		{ "{\"segments\":{\"0\":{\"type\":\"crypt\",\"offset\":\"0\",\"size\":\"dynamic\",\"iv_tweak\":\"0\",\"encryption\":\"x\","
			"\"sector_size\":1}}}", "LUKS2 header: segment 0 does not say how it is encrypted" },
		{ "{\"a\":1,\"a\":2}", "LUKS2 header: duplicate object key near '\"a\"'" },
	};
	struct luks_json j;
	struct err err;

	for (size_t i = 0; i < array_len(bad); i++) {
		check_eq(luks_json_parse(bad[i].text, strlen(bad[i].text), &j, &err), -EINVAL);
		check_str(err.text, bad[i].says);
	}
}

static const struct test luks_tests[] = {
	{ "open what was made", test_open },
	{ "key slots", test_slots },
	{ "damaged copies of the header", test_damage },
	{ "backup and restore", test_backup },
	{ "a restoration that is cut short", test_restore_cut },
	{ "a backup from before a rotation", test_restore_old },
	{ "format refuses", test_format_refuses },
	{ "a volume that is cut off", test_truncated },
	{ "rotation, stopped and gone on with", test_rotate },
	{ "a rotation's end that was cut short", test_finish },
	{ "LUKS1 is not rotated", test_rotate_one },
	{ "an unfinished import", test_import_mark },
	{ "JSON that is not LUKS2's", test_json },
	{ NULL, NULL },
};
const struct suite suite_crypto_luks_luks = { luks_tests };
