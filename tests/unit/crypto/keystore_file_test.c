/* SPDX-License-Identifier: Apache-2.0 */
/* The file format against damage and against people. */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include "lib/buf.h"
#include "lib/scope.h"
#include "tests/unit/crypto/keystore_forge.h"
#include "tests/unit/suite.h"

#define KEY "0123456789abcdef0123456789abcdef"

static struct err err;

static void destroy(struct keystore_unlock *u) { secret_destroy(&u->secret); }
static void free_store(struct keystore **ks) { keystore_close(*ks); }
#define WAY cleanup(destroy) struct keystore_unlock
#define STORE cleanup(free_store) struct keystore

static struct keystore_unlock keyfile(void)
{
	struct keystore_unlock u = { .way = KEYSTORE_FILE };

	check_eq(secret_copy(&u.secret, KEY, strlen(KEY)), 0);
	return u;
}

/* A store with two slots (one a passphrase), a server, two volumes and a record; its file's bytes, malloc'd. */
static struct keystore *make(const char *path, uint8_t **file, size_t *len)
{
	WAY u = keyfile(), phrase = { .way = KEYSTORE_PASSPHRASE, .cost = { .memory_kib = 8, .iterations = 1, .lanes = 1 } };
	struct keystore *ks = NULL;

	err.text[0] = 0;
	check_eq(secret_copy(&phrase.secret, "x", 1), 0);
	check_eq(keystore_create(path, &u, &ks, &err), 0);
	check_eq(keystore_begin(ks, &err), 0);
	check_eq(keystore_slot_add(ks, &phrase, &err), 0);
	check_eq(keystore_server_add(ks, "s", &err), 0);
	check_eq(keystore_volume_add(ks, "s", "a", &err), 0);
	check_eq(keystore_volume_add(ks, "s", "b", &err), 0);
	check_eq(keystore_record_set(ks, "r", "abc", 3, &err), 0);
	check_eq(keystore_commit(ks, &err), 0);
	check_str(err.text, "");
	check_eq(io_read(path, file, len, &err), 0);
	return ks;
}

/* A fresh file each time: ext4 writes one that was truncated to the medium when it is closed. */
static void put_file(const char *path, const uint8_t *data, size_t len)
{
	auto_fclose FILE *f = NULL;

	unlink(path);
	f = fopen(path, "we");
	check(f && fwrite(data, 1, len, f) == len);
}

static int open_bytes(const char *path, const uint8_t *data, size_t len)
{
	WAY u = keyfile();
	struct keystore *ks;
	int rc;

	put_file(path, data, len);
	err.text[0] = 0;
	rc = keystore_open(path, &u, &ks, &err);
	check(!rc == (ks != NULL) && !rc == !err.text[0]);
	keystore_close(ks);
	return rc;
}

static void a_changed_bit_is_refused_everywhere(void)
{
	const char *path = suite_tmp("flip"), *copy = suite_tmp("flip2");
	auto_free uint8_t *file = NULL;
	size_t len;
	STORE *ks = make(path, &file, &len);

	check_eq(open_bytes(copy, file, len), 0);
	for (size_t bit = 0; bit < len * 8; bit++) {
		bool version = bit / 8 >= 8 && bit / 8 < 12 && bit != 64;
		int rc;

		file[bit / 8] ^= (uint8_t)(1 << bit % 8);
		rc = open_bytes(copy, file, len);
		if (rc != (version ? -ENOTSUP : -EINVAL))
			suite_note("bit %zu: %d %s", bit, rc, err.text);
		check_eq(rc, version ? -ENOTSUP : -EINVAL);
		file[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* By somebody who knows how to compute a checksum: then the wraps refuse. */
static void a_changed_bit_under_a_right_checksum_is_refused(void)
{
	const char *path = suite_tmp("resum"), *copy = suite_tmp("resum2");
	auto_free uint8_t *file = NULL;
	size_t len;
	STORE *ks = make(path, &file, &len);

	for (size_t bit = 0; bit < (len - STORE_SUM) * 8; bit++) {
		bool version = bit / 8 >= 8 && bit / 8 < 12 && bit != 64;
		int rc;

		file[bit / 8] ^= (uint8_t)(1 << bit % 8);
		forge_sum(file, len);
		rc = open_bytes(copy, file, len);
		check(version ? rc == -ENOTSUP : rc == -EINVAL || rc == -EPERM);
		file[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	forge_sum(file, len);
	check_eq(open_bytes(copy, file, len), 0);
}

static void a_cut_or_longer_file_is_refused(void)
{
	const char *path = suite_tmp("cut"), *copy = suite_tmp("cut2");
	auto_free uint8_t *file = NULL;
	auto_free uint8_t *more = NULL;
	size_t len;
	STORE *ks = make(path, &file, &len);

	for (size_t n = 0; n < len; n++)
		check_eq(open_bytes(copy, file, n), -EINVAL);
	more = calloc(1, len + 1);
	memcpy(more, file, len);
	check_eq(open_bytes(copy, more, len + 1), -EINVAL);
	for (size_t n = STORE_SUM + 12; n <= len; n++) {	/* a shorter one loses its version to the checksum */
		memcpy(more, file, n);
		forge_sum(more, n);
		check_eq(open_bytes(copy, more, n), n == len ? 0 : -EINVAL);
	}
}

static void check_message(const char *path, const uint8_t *file, size_t len, int code, const char *text)
{
	char expected[640];

	check_eq(open_bytes(path, file, len), code);
	snprintf(expected, sizeof expected, "%s: %s", path, text);
	check_str(err.text, expected);
}

static void damage_is_named(void)
{
	const char *path = suite_tmp("named"), *copy = suite_tmp("named2");
	auto_free uint8_t *file = NULL;
	size_t len;
	STORE *ks = make(path, &file, &len);

	check_message(copy, file, 0, -EINVAL, "is no key store");
	check_message(copy, (const uint8_t *)"LUKS\xba\xbe......", 12, -EINVAL, "is no key store");
	check_message(copy, file, 10, -EINVAL, "the key store is damaged: it is cut short");
	check_message(copy, file, len - 1, -EINVAL, "the key store is damaged: it is cut short, or its lengths are wrong");
	file[len - 1] ^= 1;
	check_message(copy, file, len, -EINVAL, "the key store is damaged: bytes were changed, its checksum does not fit");
	file[8] = 7;
	check_message(copy, file, len, -ENOTSUP, "is a key store of version 7; this program knows version 1: use a newer Hull");
	file[8] = 0;
	check_message(copy, file, len, -EINVAL, "the key store is damaged: its version is 0");
	file[8] = 1;
	file[60] = 1;
	forge_sum(file, len);
	check_message(copy, file, len, -EINVAL, "the key store is damaged: its header is wrong");
}

/* Offsets in the passphrase's slot, the second one. */
enum { SLOT = STORE_HEADER + STORE_SLOT };

static void check_slot(const char *copy, const uint8_t *file, size_t len, size_t at, uint32_t value, unsigned size,
	const char *text)
{
	auto_free uint8_t *changed = malloc(len);

	memcpy(changed, file, len);
	put_le(changed + at, size, value);
	forge_sum(changed, len);
	check_message(copy, changed, len, -EINVAL, text);
}

static void hostile_slots_are_refused_before_they_cost(void)
{
	const char *path = suite_tmp("slots"), *copy = suite_tmp("slots2");
	auto_free uint8_t *file = NULL;
	size_t len;
	STORE *ks = make(path, &file, &len);
	uint8_t *s;

	check_slot(copy, file, len, SLOT, 0, 2, "the key store is damaged: a slot's number is out of range or there twice");
	check_slot(copy, file, len, SLOT, 16, 2, "the key store is damaged: a slot's number is out of range or there twice");
	check_slot(copy, file, len, SLOT + 2, 3, 2, "the key store is damaged: a slot is of no known kind");
	check_slot(copy, file, len, SLOT + 4, 143, 4, "the key store is damaged: a slot's length is wrong");
	check_slot(copy, file, len, SLOT + 28, 1025, 4, "the key store is damaged: a slot's length is wrong");
	check_slot(copy, file, len, SLOT + 2, KEYSTORE_TPM, 2, "the key store is damaged: a slot's length is wrong");
	check_slot(copy, file, len, SLOT + 2, KEYSTORE_FILE, 2, "the key store is damaged: a slot without a passphrase names a cost");
	check_slot(copy, file, len, SLOT + 16, 7, 4, "the key store is damaged: Argon2 memory is not 8 KiB a lane to 4 GiB");
	check_slot(copy, file, len, SLOT + 16, (4 << 20) + 1, 4, "the key store is damaged: Argon2 memory is not 8 KiB a lane to 4 GiB");
	check_slot(copy, file, len, SLOT + 20, 0, 4, "the key store is damaged: Argon2 iterations are not 1 to 1048576");
	check_slot(copy, file, len, SLOT + 20, ~0u, 4, "the key store is damaged: Argon2 iterations are not 1 to 1048576");
	check_slot(copy, file, len, SLOT + 24, 0, 4, "the key store is damaged: Argon2 lanes are not 1 to 16");
	check_slot(copy, file, len, SLOT + 24, 17, 4, "the key store is damaged: Argon2 lanes are not 1 to 16");
	s = file + SLOT;
	put_le32(s + 16, 4 << 20);
	put_le32(s + 20, 9);
	forge_sum(file, len);
	check_message(copy, file, len, -EINVAL, "the key store is damaged: its passphrases together cost more than 32 GiB of Argon2");
}

/* A limit of address space stands for a machine without the memory. */
static void a_passphrase_beyond_this_machine_is_refused(void)
{
	struct content c = { .slots[0] = { .used = true, .way = KEYSTORE_PASSPHRASE, .cost = { 4 << 20, 1, 1 } } };
	struct keystore_unlock u = { .way = KEYSTORE_PASSPHRASE };
	struct rlimit kept, small;

	check_eq(secret_copy(&u.secret, "x", 1), 0);
	getrlimit(RLIMIT_AS, &kept);
	small = kept;
	small.rlim_cur = 1 << 20;
	setrlimit(RLIMIT_AS, &small);
	check_eq(slots_open("store", &c, &u, &err), -ENOMEM);
	setrlimit(RLIMIT_AS, &kept);
	check(strstr(err.text, "MiB") != NULL);
	secret_destroy(&u.secret);
}

/* ---- bodies of somebody who has the root key */

static void put_entry(struct wbuf *b, uint8_t kind, const char *server, const char *name, uint32_t len)
{
	wbuf_u8(b, kind);
	wbuf_u8(b, (uint8_t)strlen(server));
	wbuf_u8(b, (uint8_t)strlen(name));
	wbuf_u8(b, 0);
	wbuf_le32(b, len);
	wbuf_zero(b, 16);
	wbuf_put(b, server, strlen(server));
	wbuf_put(b, name, strlen(name));
	wbuf_zero(b, len);
}

struct forged { uint8_t *header; size_t header_len; uint8_t root[STORE_KEY]; };

static void check_body(const struct forged *f, const struct wbuf *body, const char *text)
{
	auto_free uint8_t *file = NULL;
	struct content *c;
	size_t len;

	check(!body->failed);
	err.text[0] = 0;
	file = forge_file(f->header, f->header_len, body->data, body->pos, f->root, &len);
	check_eq(forge_parse(file, len, f->root, &c, &err), text ? -EINVAL : 0);
	check_str(err.text, text ?: "");
	content_free(c);
}

static void hostile_bodies_are_refused(void)
{
	static const struct {
		struct { uint8_t kind; const char *server, *name; uint32_t len; } e[3];
		const char *text;
	} cases[] = {
		{ { { 1, "s", "", 80 }, { 2, "s", "v", 80 }, { 3, "", "a/b", 48 } }, NULL },
		{ { { 0, "s", "", 80 } }, "store: the key store is damaged: an entry is of no known kind" },
		{ { { 4, "s", "", 80 } }, "store: the key store is damaged: an entry is of no known kind" },
		{ { { 1, "", "", 80 } }, "store: the key store is damaged: an entry's name is wrong" },
		{ { { 1, "s", "v", 80 } }, "store: the key store is damaged: an entry's name is wrong" },
		{ { { 1, "s/", "", 80 } }, "store: the key store is damaged: an entry's name is wrong" },
		{ { { 3, "s", "r", 80 } }, "store: the key store is damaged: an entry's name is wrong" },
		{ { { 3, "", "r//r", 80 } }, "store: the key store is damaged: an entry's name is wrong" },
		{ { { 1, "s", "", 79 } }, "store: the key store is damaged: an entry's length is wrong" },
		{ { { 3, "", "r", 47 } }, "store: the key store is damaged: an entry's length is wrong" },
		{ { { 2, "s", "v", 80 } }, "store: the key store is damaged: a volume belongs to no server" },
		{ { { 1, "s", "", 80 }, { 2, "t", "v", 80 } }, "store: the key store is damaged: a volume belongs to no server" },
		{ { { 1, "s", "", 80 }, { 1, "s", "", 80 } }, "store: the key store is damaged: its entries are out of order" },
		{ { { 1, "t", "", 80 }, { 1, "s", "", 80 } }, "store: the key store is damaged: its entries are out of order" },
		{ { { 3, "", "r", 48 }, { 1, "s", "", 80 } }, "store: the key store is damaged: its entries are out of order" },
	};
	auto_free uint8_t *file = NULL;
	uint8_t plain[1024];
	size_t len;
	STORE *ks = make(suite_tmp("bodies"), &file, &len);
	struct forged f = { .header = file, .header_len = STORE_HEADER + 2 * STORE_SLOT, .root = { 1, 2, 3 } };
	struct wbuf b;

	for (size_t i = 0; i < array_len(cases); i++) {
		uint32_t n = 0;

		b = wbuf_of(plain, sizeof plain);
		wbuf_le32(&b, 0);
		for (; n < 3 && (cases[i].e[n].server || cases[i].e[n].kind); n++)
			put_entry(&b, cases[i].e[n].kind, cases[i].e[n].server, cases[i].e[n].name, cases[i].e[n].len);
		put_le32(plain, n);
		check_body(&f, &b, cases[i].text);
	}
	put_le32(plain, 1);
	check_body(&f, &b, "store: the key store is damaged: there is something behind its entries");
	put_le32(plain, ~0u);
	b.pos = 4;
	check_body(&f, &b, "store: the key store is damaged: an entry is cut short");
	b.pos = 3;
	check_body(&f, &b, "store: the key store is damaged: it is cut short");
}

/* Entries are bound to their names: with the root key's wrap of the body in order, moved keys still don't open. */
static void swapped_entries_do_not_open(void)
{
	auto_free uint8_t *file = NULL;
	size_t len;
	STORE *ks = make(suite_tmp("swap"), &file, &len);
	struct entry *a = entry_find(ks->now, ENTRY_VOLUME, "s", "a"), *b = entry_find(ks->now, ENTRY_VOLUME, "s", "b");
	cleanup(secret_destroy) struct secret key = { 0 };
	uint8_t *data;

	check_or_return(a && b);
	data = a->data;
	a->data = b->data;
	b->data = data;
	check_eq(keystore_volume_key(ks, "s", "a", &key, &err), -EINVAL);
	check_str(err.text, "s/a: does not open; the key store was changed by somebody who had its root key");
	check(!key.data);
	check_eq(keystore_verify(ks, &err), -EINVAL);
}

static void two_files_do_not_mix(void)
{
	const char *copy = suite_tmp("mixed");
	auto_free uint8_t *old = NULL, *new = NULL;
	const char *path = suite_tmp("mix");
	size_t len, len2;
	STORE *ks = make(path, &old, &len);

	check_eq(keystore_begin(ks, &err), 0);
	check_eq(keystore_commit(ks, &err), 0);
	check_eq(io_read(path, &new, &len2, &err), 0);
	check_eq(len, len2);
	memcpy(old, new, STORE_HEADER + 2 * STORE_SLOT);
	forge_sum(old, len);
	check_message(copy, old, len, -EINVAL, "the key store is damaged: its body does not belong to its header");
}

static const struct test tests[] = {
	{ "a changed bit is refused everywhere", a_changed_bit_is_refused_everywhere },
	{ "a changed bit under a right checksum is refused", a_changed_bit_under_a_right_checksum_is_refused },
	{ "a cut or longer file is refused", a_cut_or_longer_file_is_refused },
	{ "damage is named", damage_is_named },
	{ "hostile slots are refused before they cost", hostile_slots_are_refused_before_they_cost },
	{ "a passphrase beyond this machine is refused", a_passphrase_beyond_this_machine_is_refused },
	{ "hostile bodies are refused", hostile_bodies_are_refused },
	{ "swapped entries do not open", swapped_entries_do_not_open },
	{ "two files do not mix", two_files_do_not_mix },
	{ NULL, NULL },
};
const struct suite suite_crypto_keystore_file = { tests };
