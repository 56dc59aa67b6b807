/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/keystore.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "crypto/keysource.h"
#include "crypto/keystore_priv.h"
#include "lib/scope.h"

static void free_store(struct keystore **ks) { keystore_close(*ks); }
static void free_content(struct content **c) { content_free(*c); }

int keystore_unlock_parse(const char *text, bool confirm, struct keystore_unlock *unlock, struct err *err)
{
	*unlock = (struct keystore_unlock){ 0 };
	if (!strcmp(text, "tpm")) {
		unlock->way = KEYSTORE_TPM;
		return 0;
	}
	if (!strncmp(text, "keyfile:", 8)) {
		unlock->way = KEYSTORE_FILE;
		return secret_read_file(text + 8, STORE_KEYFILE_MAX, &unlock->secret, err);
	}
	if (strcmp(text, "ask") && strncmp(text, "file:", 5) && strncmp(text, "fd:", 3))
		return err_set(err, -EINVAL, "\"%.20s\" is no way to unlock a key store: ask, file:PATH, fd:N, keyfile:PATH or tpm", text);
	unlock->way = KEYSTORE_PASSPHRASE;
	return keysource_passphrase(text, confirm ? "New passphrase of the key store" : "Passphrase of the key store", confirm,
		&unlock->secret, err);
}

static int out_of_memory(struct err *err, const char *path)
{
	return err_set(err, -ENOMEM, "%s: out of memory", path);
}

void keystore_close(struct keystore *ks)
{
	if (!ks)
		return;
	keystore_abort(ks);
	content_free(ks->now);
	free(ks->path);
	free(ks);
}

static int store_alloc(const char *path, struct keystore **ks)
{
	cleanup(free_store) struct keystore *k = calloc(1, sizeof *k);

	if (!k)
		return -ENOMEM;
	k->lock = -1;
	k->patience_ms = STORE_PATIENCE_MS;
	k->path = strdup(path);
	if (!k->path)
		return -ENOMEM;
	*ks = take_ptr(k);
	return 0;
}

/* Write what is there now. Sets the checksum by which a later refresh knows the file. */
static int store_write(struct keystore *ks, bool fresh, struct err *err)
{
	auto_free uint8_t *data = NULL;
	size_t len;
	int rc;

	ks->now->generation++;
	ks->now->written_s = (uint64_t)time(NULL);
	rc = file_write(ks->path, ks->now, &data, &len, err);
	if (!rc)
		rc = io_replace(ks->path, data, len, fresh, err);
	if (!rc || rc == -ESTALE)
		memcpy(ks->sum, data + len - STORE_SUM, STORE_SUM);
	return rc;
}

static int content_fresh(const struct keystore_unlock *unlock, struct content **out, struct err *err)
{
	cleanup(free_content) struct content *c = NULL;
	int rc = content_create(&c);

	if (!rc)
		rc = secret_create(&c->root, STORE_KEY);
	if (rc)
		return secret_refused(err, rc);
	secret_random(c->root.data, c->root.len);
	secret_random(c->id, sizeof c->id);
	rc = slot_fill(&c->slots[0], c->id, unlock, &c->root, err);
	if (!rc)
		*out = take_ptr(c);
	return rc;
}

int keystore_create(const char *path, const struct keystore_unlock *unlock, struct keystore **ks, struct err *err)
{
	cleanup(free_store) struct keystore *k = NULL;
	struct stat st;
	int rc;

	*ks = NULL;
	/* Before Argon2 takes its second; io_replace looks again. */
	if (!lstat(path, &st))
		return err_set(err, -EEXIST, "%s: is there already", path);
	if (store_alloc(path, &k))
		return out_of_memory(err, path);
	rc = content_fresh(unlock, &k->now, err);
	if (rc) {
		err_prefix(err, "%s", path);
		return rc;
	}
	rc = io_lock(path, k->patience_ms, &k->lock, err);
	if (!rc)
		rc = store_write(k, true, err);
	if (rc)
		return rc;
	close(take_fd(k->lock));
	*ks = take_ptr(k);
	return 0;
}

/* Parse a file, by a way to unlock, or by the root key that we have. */
static int load(const char *path, const uint8_t *data, size_t len, const struct keystore_unlock *unlock, const struct secret *root,
	struct content **out, struct err *err)
{
	cleanup(free_content) struct content *c = NULL;
	struct file_parts parts;
	int rc = content_create(&c);

	if (rc)
		return out_of_memory(err, path);
	rc = file_parse_header(path, data, len, c, &parts, err);
	if (!rc && root) {
		rc = secret_copy(&c->root, root->data, root->len);
		if (rc)
			return secret_refused(err, rc);
	} else if (!rc) {
		rc = slots_open(path, c, unlock, err);
	}
	if (rc)
		return rc;
	rc = file_parse_body(path, data, &parts, c, err);
	if (rc == -EPERM && root)
		return err_set(err, rc, "%s: its root key was rotated by another program; open it again", path);
	/* The slot's wrap fits and the body's does not: parts of two files. */
	if (rc == -EPERM)
		return err_set(err, -EINVAL, "%s: the key store is damaged: its body does not belong to its header", path);
	if (!rc)
		*out = take_ptr(c);
	return rc;
}

int keystore_open(const char *path, const struct keystore_unlock *unlock, struct keystore **ks, struct err *err)
{
	cleanup(free_store) struct keystore *k = NULL;
	auto_free char *real = realpath(path, NULL);
	auto_free uint8_t *data = NULL;
	size_t len;
	int rc;

	*ks = NULL;
	if (!real)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	rc = io_read(real, &data, &len, err);
	if (rc)
		return rc;
	if (store_alloc(real, &k))
		return out_of_memory(err, path);
	rc = load(real, data, len, unlock, NULL, &k->now, err);
	if (rc)
		return rc;
	memcpy(k->sum, data + len - STORE_SUM, STORE_SUM);
	*ks = take_ptr(k);
	return 0;
}

int keystore_refresh(struct keystore *ks, struct err *err)
{
	auto_free uint8_t *data = NULL;
	struct content *c;
	size_t len;
	int rc = io_read(ks->path, &data, &len, err);

	bug_on(ks->before);
	if (rc)
		return rc;
	if (len > STORE_SUM && !memcmp(data + len - STORE_SUM, ks->sum, STORE_SUM))
		return 0;
	rc = load(ks->path, data, len, NULL, &ks->now->root, &c, err);
	if (rc)
		return rc;
	content_free(ks->now);
	ks->now = c;
	memcpy(ks->sum, data + len - STORE_SUM, STORE_SUM);
	return 0;
}

void keystore_set_patience(struct keystore *ks, unsigned ms)
{
	ks->patience_ms = ms;
}

int keystore_begin(struct keystore *ks, struct err *err)
{
	auto_close int lock = -1;
	int rc;

	bug_on(ks->before);
	rc = io_lock(ks->path, ks->patience_ms, &lock, err);
	if (!rc)
		rc = keystore_refresh(ks, err);
	if (rc)
		return rc;
	rc = content_copy(ks->now, &ks->before);
	if (rc) {
		ks->before = NULL;
		return secret_refused(err, rc);
	}
	ks->lock = take_fd(lock);
	return 0;
}

int keystore_commit(struct keystore *ks, struct err *err)
{
	int rc;

	bug_on(!ks->before);
	rc = store_write(ks, false, err);
	if (rc && rc != -ESTALE) {
		keystore_abort(ks);
		return rc;
	}
	content_free(take_ptr(ks->before));
	close(take_fd(ks->lock));
	return rc ? -EIO : 0;
}

void keystore_abort(struct keystore *ks)
{
	if (ks->before) {
		content_free(ks->now);
		ks->now = take_ptr(ks->before);
	}
	if (ks->lock >= 0)
		close(take_fd(ks->lock));
}

int keystore_slot_add(struct keystore *ks, const struct keystore_unlock *unlock, struct err *err)
{
	struct slot fresh, kept;
	const char *wrong;
	int rc;

	bug_on(!ks->before);
	for (unsigned i = 0; i < KEYSTORE_SLOTS; i++) {
		if (ks->now->slots[i].used)
			continue;
		rc = slot_fill(&fresh, ks->now->id, unlock, &ks->now->root, err);
		if (rc) {
			err_prefix(err, "%s", ks->path);
			return rc;
		}
		kept = ks->now->slots[i];
		ks->now->slots[i] = fresh;
		wrong = slots_check(ks->now);
		if (!wrong)
			return 0;
		ks->now->slots[i] = kept;
		return err_set(err, -EINVAL, "%s: %s", ks->path, wrong);
	}
	return err_set(err, -ENOSPC, "%s: all %d slots are used; remove one", ks->path, KEYSTORE_SLOTS);
}

int keystore_slot_remove(struct keystore *ks, unsigned slot, struct err *err)
{
	unsigned used = 0;

	bug_on(!ks->before);
	for (unsigned i = 0; i < KEYSTORE_SLOTS; i++)
		used += ks->now->slots[i].used;
	if (slot >= KEYSTORE_SLOTS || !ks->now->slots[slot].used)
		return err_set(err, -ENOENT, "%s: has no slot %u", ks->path, slot);
	if (used == 1)
		return err_set(err, -EBUSY, "%s: slot %u is the last way to unlock it; add another first", ks->path, slot);
	memset(&ks->now->slots[slot], 0, sizeof ks->now->slots[slot]);
	return 0;
}

int keystore_rotate_root(struct keystore *ks, const struct keystore_unlock *unlock, unsigned *dropped, struct err *err)
{
	cleanup(free_content) struct content *c = NULL;	/* a copy: nothing is changed by half */
	cleanup(secret_destroy) struct secret root = { 0 };
	int rc = content_copy(ks->now, &c);

	bug_on(!ks->before);
	*dropped = 0;
	if (!rc)
		rc = secret_create(&root, STORE_KEY);
	if (rc)
		return secret_refused(err, rc);
	secret_random(root.data, root.len);
	for (unsigned i = 0; i < KEYSTORE_SLOTS; i++)
		*dropped += c->slots[i].used;
	--*dropped;
	memset(c->slots, 0, sizeof c->slots);
	rc = slot_fill(&c->slots[0], c->id, unlock, &root, err);
	if (!rc)
		rc = tree_rewrap(c, &root, err);
	if (rc) {
		err_prefix(err, "%s", ks->path);
		return rc;
	}
	secret_destroy(&c->root);
	c->root = root;
	root = (struct secret){ 0 };
	content_free(ks->now);
	ks->now = take_ptr(c);
	return 0;
}

unsigned keystore_slots(const struct keystore *ks, struct keystore_slot *slots, unsigned max)
{
	unsigned n = max < KEYSTORE_SLOTS ? max : KEYSTORE_SLOTS;

	for (unsigned i = 0; i < n; i++) {
		const struct slot *s = &ks->now->slots[i];

		slots[i] = (struct keystore_slot){ .used = s->used, .way = s->way, .created_s = s->created_s };
	}
	return n;
}
