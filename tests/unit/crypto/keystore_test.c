/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/keystore.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/scope.h"
#include "tests/unit/suite.h"

static struct err err;

/* A way to unlock that costs little. */
static struct keystore_unlock way(enum keystore_way kind, const char *text)
{
	struct keystore_unlock u = { .way = kind, .cost = { .memory_kib = 64, .iterations = 1, .lanes = 1 } };

	check_eq(secret_copy(&u.secret, text, strlen(text)), 0);
	return u;
}

static void destroy(struct keystore_unlock *u) { secret_destroy(&u->secret); }
#define WAY cleanup(destroy) struct keystore_unlock
#define KEY "0123456789abcdef0123456789abcdef"

static void free_store(struct keystore **ks) { keystore_close(*ks); }
#define STORE cleanup(free_store) struct keystore

static const char *fresh_path(void)
{
	static unsigned n;
	char name[32];

	snprintf(name, sizeof name, "store%u", n++);
	return suite_tmp(name);
}

static int open_with(const char *path, enum keystore_way kind, const char *text, struct keystore **ks)
{
	WAY u = way(kind, text);

	return keystore_open(path, &u, ks, &err);
}

static struct keystore *make(const char *path)
{
	WAY u = way(KEYSTORE_FILE, KEY);
	struct keystore *ks = NULL;

	err.text[0] = 0;
	check_eq(keystore_create(path, &u, &ks, &err), 0);
	check_str(err.text, "");
	return ks;
}

static bool same_secret(const struct secret *a, const struct secret *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

static void keeps_keys_and_records(void)
{
	const char *path = fresh_path();
	STORE *ks = make(path), *again = NULL;
	cleanup(secret_destroy) struct secret a = { 0 }, b = { 0 }, c = { 0 }, record = { 0 };
	struct stat st;

	check_or_return(ks);
	check_eq(keystore_begin(ks, &err), 0);
	check_eq(keystore_server_add(ks, "web01", &err), 0);
	check_eq(keystore_volume_add(ks, "web01", "root", &err), 0);
	check_eq(keystore_volume_add(ks, "web01", "data", &err), 0);
	check_eq(keystore_record_set(ks, "pki/ca.key", "hello", 5, &err), 0);
	check_eq(keystore_record_set(ks, "empty", "", 0, &err), 0);
	check_eq(keystore_commit(ks, &err), 0);
	check(!stat(path, &st));
	check_eq(st.st_mode & 07777, 0600);
	check_eq(keystore_volume_key(ks, "web01", "root", &a, &err), 0);
	check_eq(keystore_volume_key(ks, "web01", "data", &b, &err), 0);
	check_eq(a.len, 32);
	check(!same_secret(&a, &b));

	check_eq(open_with(path, KEYSTORE_FILE, KEY, &again), 0);
	check_or_return(again);
	check_eq(keystore_volume_key(again, "web01", "root", &c, &err), 0);
	check(same_secret(&a, &c));
	check_eq(keystore_record_get(again, "pki/ca.key", &record, &err), 0);
	check(record.len == 5 && !memcmp(record.data, "hello", 5));
	secret_destroy(&record);
	check_eq(keystore_record_get(again, "empty", &record, &err), 0);
	check_eq(record.len, 0);
	check_eq(keystore_verify(again, &err), 0);
}

static void faults_are_named(void)
{
	const char *path = fresh_path();
	STORE *ks = make(path);
	cleanup(secret_destroy) struct secret s = { 0 };
	auto_free char *big = calloc(1, (1 << 20) + 1);
	char expected[640];

	check_or_return(ks);
	check_eq(keystore_begin(ks, &err), 0);
	check_eq(keystore_server_add(ks, "web01", &err), 0);
	check_eq(keystore_server_add(ks, "web01", &err), -EEXIST);
	snprintf(expected, sizeof expected, "%s: web01: is there already", path);
	check_str(err.text, expected);
	check_eq(keystore_volume_add(ks, "web02", "root", &err), -ENOENT);
	snprintf(expected, sizeof expected, "%s: has no server web02", path);
	check_str(err.text, expected);
	check_eq(keystore_volume_add(ks, "web01", "root", &err), 0);
	check_eq(keystore_volume_add(ks, "web01", "root", &err), -EEXIST);
	check_eq(keystore_volume_key(ks, "web01", "swap", &s, &err), -ENOENT);
	snprintf(expected, sizeof expected, "%s: server web01 has no volume swap", path);
	check_str(err.text, expected);
	check_eq(keystore_volume_key(ks, "web01", "", &s, &err), -ENOENT);
	check_eq(keystore_volume_remove(ks, "web01", "", &err), -ENOENT);
	check_eq(keystore_server_add(ks, "", &err), -EINVAL);
	check_eq(keystore_server_add(ks, "a/b", &err), -EINVAL);
	check_str(err.text, "\"a/b\" is no name of a server: 1 to 63 letters, digits, '.', '_' and '-'");
	check_eq(keystore_volume_add(ks, "web01", "0123456789012345678901234567890123456789012345678901234567890123", &err), -EINVAL);
	check_eq(keystore_volume_add(ks, "web01", "012345678901234567890123456789012345678901234567890123456789012", &err), 0);
	for (const char *const *n = (const char *const[]){ "", "/", "a/", "/a", "a//b", "a b", "\xc3\xa9", NULL }; *n; n++)
		check_eq(keystore_record_set(ks, *n, "", 0, &err), -EINVAL);
	check_eq(keystore_record_get(ks, "none", &s, &err), -ENOENT);
	check_eq(keystore_record_remove(ks, "none", &err), -ENOENT);
	check_eq(keystore_record_set(ks, "big", big, (1 << 20) + 1, &err), -EFBIG);
	check_eq(keystore_record_set(ks, "big", big, 1 << 20, &err), 0);
	check_eq(keystore_slot_remove(ks, 0, &err), -EBUSY);
	snprintf(expected, sizeof expected, "%s: slot 0 is the last way to unlock it; add another first", path);
	check_str(err.text, expected);
	check_eq(keystore_slot_remove(ks, 1, &err), -ENOENT);
	check_eq(keystore_slot_remove(ks, 16, &err), -ENOENT);
	check_eq(keystore_commit(ks, &err), 0);
}

static void a_wrong_secret_does_not_open(void)
{
	const char *path = fresh_path();
	STORE *ks = make(path), *other = NULL;
	WAY phrase = way(KEYSTORE_PASSPHRASE, "correct horse");
	char expected[640];

	check_or_return(ks);
	check_eq(open_with(path, KEYSTORE_PASSPHRASE, "x", &other), -EPERM);
	snprintf(expected, sizeof expected, "%s: cannot be unlocked this way; it takes a key file", path);
	check_str(err.text, expected);
	check_eq(keystore_begin(ks, &err), 0);
	check_eq(keystore_slot_add(ks, &phrase, &err), 0);
	check_eq(keystore_commit(ks, &err), 0);
	check_eq(open_with(path, KEYSTORE_PASSPHRASE, "correct hors", &other), -EPERM);
	snprintf(expected, sizeof expected, "%s: the passphrase is wrong", path);
	check_str(err.text, expected);
	check_eq(open_with(path, KEYSTORE_FILE, "0123456789abcdef0123456789abcdeF", &other), -EPERM);
	snprintf(expected, sizeof expected, "%s: the key file is not the right one", path);
	check_str(err.text, expected);
	check_eq(open_with(path, KEYSTORE_FILE, "correct horse", &other), -EPERM);
	check(!other);
	check_eq(open_with(path, KEYSTORE_PASSPHRASE, "correct horse", &other), 0);
}

static void a_weak_way_is_refused(void)
{
	const char *path = fresh_path();
	WAY empty = way(KEYSTORE_PASSPHRASE, ""), shortage = way(KEYSTORE_FILE, "0123456789abcdef0123456789abcde");
	WAY costly = way(KEYSTORE_PASSPHRASE, "x");
	struct keystore *ks;
	char expected[640];

	check_eq(keystore_create(path, &empty, &ks, &err), -EINVAL);
	snprintf(expected, sizeof expected, "%s: the passphrase is empty", path);
	check_str(err.text, expected);
	check_eq(keystore_create(path, &shortage, &ks, &err), -EINVAL);
	costly.cost.memory_kib = (4 << 20) + 1;
	check_eq(keystore_create(path, &costly, &ks, &err), -EINVAL);
	costly.cost = (struct keystore_cost){ .memory_kib = 7, .iterations = 1, .lanes = 1 };
	check_eq(keystore_create(path, &costly, &ks, &err), -EINVAL);
	check(access(path, F_OK));
}

static void create_replaces_nothing(void)
{
	const char *path = fresh_path(), *link = fresh_path();
	STORE *ks = make(path);
	WAY u = way(KEYSTORE_FILE, KEY);
	struct keystore *other;

	check_eq(keystore_create(path, &u, &other, &err), -EEXIST);
	check(!other);
	check(!symlink("nowhere", link));
	check_eq(keystore_create(link, &u, &other, &err), -EEXIST);
	check_eq(keystore_create("/nonexistent/store", &u, &other, &err), -ENOENT);
	check_eq(keystore_open("/nonexistent/store", &u, &other, &err), -ENOENT);
	check_str(err.text, "/nonexistent/store: No such file or directory");
	check_eq(keystore_open("/dev/null", &u, &other, &err), -EINVAL);
	check_str(err.text, "/dev/null: is not a regular file");
}

static void slots_come_and_go(void)
{
	const char *path = fresh_path();
	STORE *ks = make(path), *other = NULL;
	struct keystore_slot slots[32];
	char text[32];

	check_or_return(ks);
	check_eq(keystore_begin(ks, &err), 0);
	for (unsigned i = 1; i < KEYSTORE_SLOTS; i++) {
		snprintf(text, sizeof text, "passphrase %u", i);
		WAY u = way(KEYSTORE_PASSPHRASE, text);
		check_eq(keystore_slot_add(ks, &u, &err), 0);
	}
	WAY more = way(KEYSTORE_PASSPHRASE, "more");
	check_eq(keystore_slot_add(ks, &more, &err), -ENOSPC);
	check_eq(keystore_slot_remove(ks, 0, &err), 0);
	check_eq(keystore_slot_remove(ks, 7, &err), 0);
	check_eq(keystore_slots(ks, slots, 32), KEYSTORE_SLOTS);
	check(!slots[0].used && !slots[7].used && slots[15].used && slots[15].way == KEYSTORE_PASSPHRASE);
	check_eq(keystore_slots(ks, slots, 3), 3);
	check_eq(keystore_commit(ks, &err), 0);
	check_eq(open_with(path, KEYSTORE_PASSPHRASE, "passphrase 15", &other), 0);
	keystore_close(take_ptr(other));
	check_eq(open_with(path, KEYSTORE_PASSPHRASE, "passphrase 7", &other), -EPERM);
	check_eq(open_with(path, KEYSTORE_FILE, KEY, &other), -EPERM);
}

static void costs_of_all_slots_are_bounded(void)
{
	STORE *ks = make(fresh_path());
	WAY u = way(KEYSTORE_PASSPHRASE, "x");

	check_or_return(ks);
	u.cost = (struct keystore_cost){ .memory_kib = 8, .iterations = 1 << 20, .lanes = 1 };
	check_eq(keystore_begin(ks, &err), 0);
	u.cost.iterations++;
	check_eq(keystore_slot_add(ks, &u, &err), -EINVAL);
	keystore_abort(ks);
}

static void the_root_key_rotates(void)
{
	const char *path = fresh_path();
	STORE *ks = make(path), *reader = NULL, *after = NULL;
	WAY phrase = way(KEYSTORE_PASSPHRASE, "phrase"), fresh = way(KEYSTORE_FILE, KEY "x");
	cleanup(secret_destroy) struct secret a = { 0 }, b = { 0 }, record = { 0 };
	unsigned dropped = 99;
	char expected[640];

	check_or_return(ks);
	check_eq(keystore_begin(ks, &err), 0);
	check_eq(keystore_slot_add(ks, &phrase, &err), 0);
	check_eq(keystore_server_add(ks, "s", &err), 0);
	check_eq(keystore_volume_add(ks, "s", "v", &err), 0);
	check_eq(keystore_record_set(ks, "r", "abc", 3, &err), 0);
	check_eq(keystore_commit(ks, &err), 0);
	check_eq(keystore_volume_key(ks, "s", "v", &a, &err), 0);
	check_eq(open_with(path, KEYSTORE_FILE, KEY, &reader), 0);

	check_eq(keystore_begin(ks, &err), 0);
	check_eq(keystore_rotate_root(ks, &fresh, &dropped, &err), 0);
	check_eq(dropped, 1);
	check_eq(keystore_commit(ks, &err), 0);
	check_eq(keystore_verify(ks, &err), 0);

	check_eq(keystore_refresh(reader, &err), -EPERM);
	snprintf(expected, sizeof expected, "%s: its root key was rotated by another program; open it again", path);
	check_str(err.text, expected);
	check_eq(open_with(path, KEYSTORE_FILE, KEY, &after), -EPERM);
	check_eq(open_with(path, KEYSTORE_PASSPHRASE, "phrase", &after), -EPERM);
	check_eq(open_with(path, KEYSTORE_FILE, KEY "x", &after), 0);
	check_or_return(after);
	check_eq(keystore_volume_key(after, "s", "v", &b, &err), 0);
	check(same_secret(&a, &b));
	check_eq(keystore_record_get(after, "r", &record, &err), 0);
	check_eq(keystore_verify(after, &err), 0);
}

static void an_abort_forgets(void)
{
	const char *path = fresh_path();
	STORE *ks = make(path);
	cleanup(secret_destroy) struct secret key = { 0 };
	unsigned dropped;
	WAY u = way(KEYSTORE_FILE, KEY "x");

	check_or_return(ks);
	keystore_abort(ks);
	check_eq(keystore_begin(ks, &err), 0);
	check_eq(keystore_server_add(ks, "s", &err), 0);
	check_eq(keystore_rotate_root(ks, &u, &dropped, &err), 0);
	keystore_abort(ks);
	check_eq(keystore_volume_key(ks, "s", "v", &key, &err), -ENOENT);
	check_eq(keystore_begin(ks, &err), 0);
	check_eq(keystore_server_add(ks, "s", &err), 0);
	check_eq(keystore_commit(ks, &err), 0);
}

static void two_handles_see_each_others_changes(void)
{
	const char *path = fresh_path(), *link = fresh_path();
	STORE *a = make(path), *b = NULL;
	cleanup(secret_destroy) struct secret key = { 0 };
	struct stat st;

	check(!symlink(path, link));
	check_eq(open_with(link, KEYSTORE_FILE, KEY, &b), 0);
	check_or_return(a && b);
	check_eq(keystore_begin(a, &err), 0);
	check_eq(keystore_server_add(a, "s", &err), 0);
	check_eq(keystore_commit(a, &err), 0);
	check_eq(keystore_begin(b, &err), 0);
	check_eq(keystore_server_add(b, "s", &err), -EEXIST);
	check_eq(keystore_volume_add(b, "s", "v", &err), 0);
	check_eq(keystore_commit(b, &err), 0);
	check_eq(keystore_volume_key(a, "s", "v", &key, &err), -ENOENT);
	check_eq(keystore_refresh(a, &err), 0);
	check_eq(keystore_volume_key(a, "s", "v", &key, &err), 0);
	check(!lstat(link, &st) && S_ISLNK(st.st_mode));	/* a link stays one */
}

static void a_locked_store_is_busy(void)
{
	const char *path = fresh_path();
	STORE *ks = make(path);
	char name[600];
	auto_close int fd = -1;

	check_or_return(ks);
	snprintf(name, sizeof name, "%s.lock", path);
	fd = open(name, O_RDWR | O_CLOEXEC);
	check(fd >= 0 && !flock(fd, LOCK_EX));
	check_eq(keystore_begin(ks, &err), -EBUSY);
	check(strstr(err.text, "another program is changing this key store; try again") != NULL);
	check(!flock(fd, LOCK_UN));
	check_eq(keystore_begin(ks, &err), 0);
}

/* A medium that is full: the limit of a file's size stands for it. */
static void a_full_medium_changes_nothing(void)
{
	const char *path = fresh_path();
	STORE *ks = make(path), *again = NULL;
	auto_free char *big = calloc(1, 100000);
	struct rlimit kept, small;
	cleanup(secret_destroy) struct secret record = { 0 };
	char name[600];

	check_or_return(ks);
	check_eq(keystore_begin(ks, &err), 0);
	check_eq(keystore_record_set(ks, "big", big, 100000, &err), 0);
	getrlimit(RLIMIT_FSIZE, &kept);
	small = kept;
	small.rlim_cur = 50000;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	check_eq(keystore_commit(ks, &err), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &kept);
	signal(SIGXFSZ, SIG_DFL);
	check(strstr(err.text, "is not changed: File too large") != NULL);
	snprintf(name, sizeof name, "%s.new", path);
	check(access(name, F_OK));
	check_eq(keystore_record_get(ks, "big", &record, &err), -ENOENT);
	check_eq(open_with(path, KEYSTORE_FILE, KEY, &again), 0);
	check_eq(keystore_begin(ks, &err), 0);
	keystore_abort(ks);
}

static int note(void *ctx, const struct keystore_entry *e)
{
	char *text = ctx;

	sprintf(text + strlen(text), "%s|%s|%s;", e->server ?: "", e->volume ?: "", e->record ?: "");
	return e->record != NULL;
}

static void walks_in_order_of_names(void)
{
	STORE *ks = make(fresh_path());
	char text[256] = "";

	check_or_return(ks);
	check_eq(keystore_begin(ks, &err), 0);
	check_eq(keystore_record_set(ks, "a/b", "", 0, &err), 0);
	check_eq(keystore_record_set(ks, "z", "", 0, &err), 0);
	check_eq(keystore_server_add(ks, "web-1", &err), 0);
	check_eq(keystore_server_add(ks, "web", &err), 0);
	check_eq(keystore_volume_add(ks, "web", "root", &err), 0);
	check_eq(keystore_volume_add(ks, "web-1", "root", &err), 0);
	check_eq(keystore_volume_add(ks, "web", "data", &err), 0);
	check_eq(keystore_walk(ks, note, text), 1);
	check_str(text, "web||;web|data|;web|root|;web-1||;web-1|root|;||a/b;");
	check_eq(keystore_server_remove(ks, "web", &err), 0);
	check_eq(keystore_record_remove(ks, "a/b", &err), 0);
	check_eq(keystore_volume_remove(ks, "web-1", "root", &err), 0);
	text[0] = 0;
	check_eq(keystore_walk(ks, note, text), 1);
	check_str(text, "web-1||;||z;");
	check_eq(keystore_server_remove(ks, "web", &err), -ENOENT);
}

static void ways_to_unlock_are_read(void)
{
	const char *path = fresh_path();
	struct keystore_unlock u;
	auto_fclose FILE *f = fopen(path, "we");
	char text[600];

	check(f && fputs("secret", f) >= 0 && !fflush(f));
	snprintf(text, sizeof text, "file:%s", path);
	check_eq(keystore_unlock_parse(text, false, &u, &err), 0);
	check(u.way == KEYSTORE_PASSPHRASE && u.secret.len == 6);
	secret_destroy(&u.secret);
	snprintf(text, sizeof text, "keyfile:%s", path);
	check_eq(keystore_unlock_parse(text, false, &u, &err), 0);
	check(u.way == KEYSTORE_FILE && u.secret.len == 6);
	secret_destroy(&u.secret);
	check_eq(keystore_unlock_parse("tpm", false, &u, &err), 0);
	check(u.way == KEYSTORE_TPM && !u.secret.data);
	check_eq(keystore_unlock_parse("banana", false, &u, &err), -EINVAL);
	check_str(err.text, "\"banana\" is no way to unlock a key store: ask, file:PATH, fd:N, keyfile:PATH or tpm");
	check_eq(keystore_unlock_parse("fd:x", false, &u, &err), -EINVAL);
	check_eq(keystore_unlock_parse("keyfile:/nonexistent", false, &u, &err), -ENOENT);
}

static const struct test tests[] = {
	{ "keeps keys and records", keeps_keys_and_records },
	{ "faults are named", faults_are_named },
	{ "a wrong secret does not open", a_wrong_secret_does_not_open },
	{ "a weak way is refused", a_weak_way_is_refused },
	{ "create replaces nothing", create_replaces_nothing },
	{ "slots come and go", slots_come_and_go },
	{ "costs of all slots are bounded", costs_of_all_slots_are_bounded },
	{ "the root key rotates", the_root_key_rotates },
	{ "an abort forgets", an_abort_forgets },
	{ "two handles see each other's changes", two_handles_see_each_others_changes },
	{ "a locked store is busy", a_locked_store_is_busy },
	{ "a full medium changes nothing", a_full_medium_changes_nothing },
	{ "walks in order of names", walks_in_order_of_names },
	{ "ways to unlock are read", ways_to_unlock_are_read },
	{ NULL, NULL },
};
const struct suite suite_crypto_keystore = { tests };
