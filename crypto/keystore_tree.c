/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store holds: an ascending array of entries. Each stays wrapped, bound to its kind and names, so that entries cannot be
 * swapped; a server's key is unwrapped for as long as one of its volumes' keys is wrapped or unwrapped.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include "crypto/keystore_priv.h"
#include "lib/buf.h"
#include "lib/scope.h"

static const char *const purposes[] = {
	[ENTRY_SERVER] = "hull key store 1: server key",
	[ENTRY_VOLUME] = "hull key store 1: volume key",
	[ENTRY_RECORD] = "hull key store 1: record",
};

int content_create(struct content **c)
{
	*c = calloc(1, sizeof **c);
	return *c ? 0 : -ENOMEM;
}

void entry_clear(struct entry *e)
{
	free(e->server);
	free(e->name);
	free(e->data);
	memset(e, 0, sizeof *e);
}

void content_free(struct content *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++)
		entry_clear(&c->entries[i]);
	free(c->entries);
	secret_destroy(&c->root);
	free(c);
}

static bool name_char(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '.' || ch == '_' || ch == '-';
}

bool name_valid(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!name_char(name[i]))
			return false;
	return len >= 1 && len <= STORE_NAME;
}

/* Words with one slash between two of them. */
bool record_name_valid(const char *name, size_t len)
{
	bool word = false;

	for (size_t i = 0; i < len; i++) {
		if (name[i] == '/' ? !word : !name_char(name[i]))
			return false;
		word = name[i] != '/';
	}
	return word && len <= STORE_RECORD_NAME;
}

int entry_compare(const struct entry *a, const struct entry *b)
{
	int order = (a->kind == ENTRY_RECORD) - (b->kind == ENTRY_RECORD);

	order = order ?: strcmp(a->server, b->server);
	return order ?: strcmp(a->name, b->name);
}

/* Where e stands or would stand. */
static size_t position(const struct content *c, const struct entry *e, bool *there)
{
	size_t low = 0, high = c->count;

	*there = false;
	while (low < high) {
		size_t mid = (low + high) / 2;
		int order = entry_compare(&c->entries[mid], e);

		if (!order) {
			*there = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct entry *entry_find(const struct content *c, enum entry_kind kind, const char *server, const char *name)
{
	struct entry e = { .kind = kind, .server = (char *)server, .name = (char *)name };
	bool there;
	size_t at = position(c, &e, &there);

	return there ? &c->entries[at] : NULL;
}

int entry_insert(struct content *c, const struct entry *e)
{
	bool there;
	size_t at = position(c, e, &there);

	if (there)
		return -EEXIST;
	if (c->count == c->room) {
		size_t room = c->room * 2 + 16;
		struct entry *entries = reallocarray(c->entries, room, sizeof *entries);

		if (!entries)
			return -ENOMEM;
		c->entries = entries;
		c->room = room;
	}
	memmove(&c->entries[at + 1], &c->entries[at], (c->count - at) * sizeof *c->entries);
	c->entries[at] = *e;
	c->count++;
	return 0;
}

static void entry_delete(struct content *c, size_t at, size_t n)
{
	for (size_t i = at; i < at + n; i++)
		entry_clear(&c->entries[i]);
	memmove(&c->entries[at], &c->entries[at + n], (c->count - at - n) * sizeof *c->entries);
	c->count -= n;
}

static int entry_copy(const struct entry *from, struct entry *to)
{
	*to = *from;
	to->server = strdup(from->server);
	to->name = strdup(from->name);
	to->data = malloc(from->len);
	if (!to->server || !to->name || !to->data) {
		entry_clear(to);
		return -ENOMEM;
	}
	memcpy(to->data, from->data, from->len);
	return 0;
}

int content_copy(const struct content *from, struct content **to)
{
	struct content *c;
	int rc = content_create(&c);

	if (rc)
		return rc;
	*c = *from;
	c->root = (struct secret){ 0 };
	c->count = c->room = 0;
	c->entries = calloc(from->count + 1, sizeof *c->entries);
	rc = c->entries ? secret_copy(&c->root, from->root.data, from->root.len) : -ENOMEM;
	if (!rc)
		c->room = from->count + 1;
	for (size_t i = 0; !rc && i < from->count; i++) {
		rc = entry_copy(&from->entries[i], &c->entries[i]);
		c->count += !rc;
	}
	if (rc) {
		content_free(c);
		return rc;
	}
	*to = c;
	return 0;
}

/* What an entry's wrap is bound to: kind and names, each with its length. */
static size_t bind(const struct entry *e, uint8_t aad[3 + STORE_NAME + STORE_RECORD_NAME])
{
	struct wbuf b = wbuf_of(aad, 3 + STORE_NAME + STORE_RECORD_NAME);
	size_t server = strlen(e->server), name = strlen(e->name);

	wbuf_u8(&b, (uint8_t)e->kind);
	wbuf_u8(&b, (uint8_t)server);
	wbuf_put(&b, e->server, server);
	wbuf_u8(&b, (uint8_t)name);
	wbuf_put(&b, e->name, name);
	bug_on(b.failed);
	return b.pos;
}

static int wrap(struct entry *e, const struct secret *by, const void *data, size_t len)
{
	uint8_t aad[3 + STORE_NAME + STORE_RECORD_NAME];
	uint8_t *wrapped = malloc(len + AEAD_WRAP);
	int rc = wrapped ? aead_wrap(by->data, purposes[e->kind], aad, bind(e, aad), data, len, wrapped) : -ENOMEM;

	if (rc) {
		free(wrapped);
		return rc;
	}
	free(e->data);
	e->data = wrapped;
	e->len = (uint32_t)(len + AEAD_WRAP);
	e->changed_s = (uint64_t)time(NULL);
	return 0;
}

static int unwrap(const struct entry *e, const struct secret *by, struct secret *out, struct err *err)
{
	uint8_t aad[3 + STORE_NAME + STORE_RECORD_NAME];
	int rc = secret_create(out, e->len - AEAD_WRAP);

	if (!rc)
		rc = aead_unwrap(by->data, purposes[e->kind], aad, bind(e, aad), e->data, e->len, out->data);
	if (!rc)
		return 0;
	secret_destroy(out);
	if (rc == -EBADMSG)
		return err_set(err, -EINVAL, "%s%s%s: does not open; the key store was changed by somebody who had its root key", e->server,
			*e->server && *e->name ? "/" : "", e->name);
	return err_set(err, rc, "%s%s%s: %s", e->server, *e->server && *e->name ? "/" : "", e->name, strerror(-rc));
}

int tree_rewrap(struct content *c, const struct secret *root, struct err *err)
{
	for (size_t i = 0; i < c->count; i++) {
		struct entry *e = &c->entries[i];
		uint64_t changed_s = e->changed_s;
		cleanup(secret_destroy) struct secret value = { 0 };
		int rc;

		if (e->kind == ENTRY_VOLUME)
			continue;
		rc = unwrap(e, &c->root, &value, err);
		if (rc)
			return rc;
		rc = wrap(e, root, value.data, value.len);
		if (rc)
			return err_set(err, rc, "%s%s: %s", e->server, e->name, strerror(-rc));
		e->changed_s = changed_s;	/* the content is the same */
	}
	return 0;
}

/* ---- the exported functions */

static int find_server(struct keystore *ks, const char *server, struct entry **e, struct err *err)
{
	*e = entry_find(ks->now, ENTRY_SERVER, server, "");
	return *e ? 0 : err_set(err, -ENOENT, "%s: has no server %s", ks->path, server);
}

/* A new entry with data under its names; by: the key that wraps it. */
static int add(struct keystore *ks, enum entry_kind kind, const char *server, const char *name, const struct secret *by,
	const void *data, size_t len, struct err *err)
{
	struct entry e = { .kind = kind, .server = strdup(server), .name = strdup(name), .created_s = (uint64_t)time(NULL) };
	int rc = e.server && e.name ? wrap(&e, by, data, len) : -ENOMEM;

	if (!rc)
		rc = entry_insert(ks->now, &e);
	if (!rc)
		return 0;
	entry_clear(&e);
	return err_set(err, rc, "%s: %s%s%s: %s", ks->path, server, *server && *name ? "/" : "", name,
		rc == -EEXIST ? "is there already" : strerror(-rc));
}

static int check_name(const char *what, const char *name, struct err *err)
{
	if (name_valid(name, strlen(name)))
		return 0;
	return err_set(err, -EINVAL, "\"%.80s\" is no name of a %s: 1 to %d letters, digits, '.', '_' and '-'", name, what, STORE_NAME);
}

int keystore_server_add(struct keystore *ks, const char *server, struct err *err)
{
	cleanup(secret_destroy) struct secret key = { 0 };
	int rc = check_name("server", server, err);

	bug_on(!ks->before);
	if (rc)
		return rc;
	rc = secret_create(&key, STORE_KEY);
	if (rc)
		return secret_refused(err, rc);
	secret_random(key.data, key.len);
	return add(ks, ENTRY_SERVER, server, "", &ks->now->root, key.data, key.len, err);
}

int keystore_server_remove(struct keystore *ks, const char *server, struct err *err)
{
	struct entry *e;
	const struct entry *v;
	size_t at, n = 1;
	int rc = find_server(ks, server, &e, err);

	bug_on(!ks->before);
	if (rc)
		return rc;
	at = (size_t)(e - ks->now->entries);
	for (v = e + 1; at + n < ks->now->count && v->kind == ENTRY_VOLUME && !strcmp(v->server, server); v++)
		n++;
	entry_delete(ks->now, at, n);
	return 0;
}

int keystore_volume_add(struct keystore *ks, const char *server, const char *volume, struct err *err)
{
	cleanup(secret_destroy) struct secret by = { 0 }, key = { 0 };
	struct entry *e;
	int rc = check_name("volume", volume, err);

	bug_on(!ks->before);
	if (!rc)
		rc = find_server(ks, server, &e, err);
	if (!rc)
		rc = unwrap(e, &ks->now->root, &by, err);
	if (rc)
		return rc;
	rc = secret_create(&key, STORE_KEY);
	if (rc)
		return secret_refused(err, rc);
	secret_random(key.data, key.len);
	return add(ks, ENTRY_VOLUME, server, volume, &by, key.data, key.len, err);
}

static int find_volume(struct keystore *ks, const char *server, const char *volume, struct entry **e, struct err *err)
{
	int rc = find_server(ks, server, e, err);

	if (rc)
		return rc;
	/* The empty name is the server itself. */
	*e = *volume ? entry_find(ks->now, ENTRY_VOLUME, server, volume) : NULL;
	return *e ? 0 : err_set(err, -ENOENT, "%s: server %s has no volume %s", ks->path, server, volume);
}

int keystore_volume_remove(struct keystore *ks, const char *server, const char *volume, struct err *err)
{
	struct entry *e;
	int rc = find_volume(ks, server, volume, &e, err);

	bug_on(!ks->before);
	if (rc)
		return rc;
	entry_delete(ks->now, (size_t)(e - ks->now->entries), 1);
	return 0;
}

int keystore_volume_key(struct keystore *ks, const char *server, const char *volume, struct secret *key, struct err *err)
{
	cleanup(secret_destroy) struct secret by = { 0 };
	struct entry *e, *owner;
	int rc = find_volume(ks, server, volume, &e, err);

	if (!rc)
		rc = find_server(ks, server, &owner, err);
	if (!rc)
		rc = unwrap(owner, &ks->now->root, &by, err);
	if (!rc)
		rc = unwrap(e, &by, key, err);
	return rc;
}

static int check_record(const char *name, struct err *err)
{
	if (record_name_valid(name, strlen(name)))
		return 0;
	return err_set(err, -EINVAL, "\"%.80s\" is no name of a record: 1 to %d letters, digits, '.', '_', '-' and single slashes inside",
		name, STORE_RECORD_NAME);
}

int keystore_record_set(struct keystore *ks, const char *name, const void *data, size_t len, struct err *err)
{
	struct entry *e;
	int rc = check_record(name, err);

	bug_on(!ks->before);
	if (rc)
		return rc;
	if (len > STORE_RECORD)
		return err_set(err, -EFBIG, "%s: record %s has %zu bytes, the most is %d", ks->path, name, len, STORE_RECORD);
	e = entry_find(ks->now, ENTRY_RECORD, "", name);
	if (!e)
		return add(ks, ENTRY_RECORD, "", name, &ks->now->root, data, len, err);
	rc = wrap(e, &ks->now->root, data, len);
	return rc ? err_set(err, rc, "%s: record %s: %s", ks->path, name, strerror(-rc)) : 0;
}

static int find_record(struct keystore *ks, const char *name, struct entry **e, struct err *err)
{
	*e = entry_find(ks->now, ENTRY_RECORD, "", name);
	return *e ? 0 : err_set(err, -ENOENT, "%s: has no record %s", ks->path, name);
}

int keystore_record_get(struct keystore *ks, const char *name, struct secret *value, struct err *err)
{
	struct entry *e;
	int rc = find_record(ks, name, &e, err);

	return rc ? rc : unwrap(e, &ks->now->root, value, err);
}

int keystore_record_remove(struct keystore *ks, const char *name, struct err *err)
{
	struct entry *e;
	int rc = find_record(ks, name, &e, err);

	bug_on(!ks->before);
	if (rc)
		return rc;
	entry_delete(ks->now, (size_t)(e - ks->now->entries), 1);
	return 0;
}

int keystore_verify(struct keystore *ks, struct err *err)
{
	cleanup(secret_destroy) struct secret server = { 0 };

	for (size_t i = 0; i < ks->now->count; i++) {
		const struct entry *e = &ks->now->entries[i];
		cleanup(secret_destroy) struct secret value = { 0 };
		/* Volumes follow their server. */
		int rc = unwrap(e, e->kind == ENTRY_VOLUME ? &server : &ks->now->root, &value, err);

		if (rc)
			return err_prefix(err, "%s", ks->path);
		if (e->kind != ENTRY_SERVER)
			continue;
		secret_destroy(&server);
		server = value;
		value = (struct secret){ 0 };
	}
	return 0;
}

int keystore_walk(struct keystore *ks, int (*fn)(void *ctx, const struct keystore_entry *e), void *ctx)
{
	for (size_t i = 0; i < ks->now->count; i++) {
		const struct entry *e = &ks->now->entries[i];
		int rc = fn(ctx, &(struct keystore_entry){
			.server = e->kind == ENTRY_RECORD ? NULL : e->server,
			.volume = e->kind == ENTRY_VOLUME ? e->name : NULL,
			.record = e->kind == ENTRY_RECORD ? e->name : NULL,
			.created_s = e->created_s, .changed_s = e->changed_s,
		});

		if (rc)
			return rc;
	}
	return 0;
}
