/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volume key rotation by LUKS2's own re-encryption, in user space. libcryptsetup rewrites a zone, makes it durable, commits the new
 * boundary to both copies of the header, and only then calls progress: there the zone thaws and the next one freezes.
 * (lib/luks2/luks2_reencrypt.c of cryptsetup 2.6.1: crypt_reencrypt_run, reencrypt_step.)
 */
#include <errno.h>
#include <string.h>
#include "crypto/luks/luks_priv.h"
#include "lib/bits.h"
#include "lib/scope.h"

enum { MIB = 1 << 20, KEY_BYTES = 64, ALSO_MAX = 8 };

struct run {
	struct luks_session s;
	const struct luks_rotation *how;
	const struct luks_rotate_ops *ops;
	void *ctx;
	struct luks_segment fresh;
	uint64_t zone;
	bool begun, frozen, stopped;
};

/* A slot of the digest that the key opens. */
static int slot_for(struct luks_session *s, const struct luks_json *j, int digest, const struct secret *key, int *slot,
	struct err *err)
{
	struct secret volume_key;
	size_t len = KEY_BYTES;
	int rc;

	if (secret_create(&volume_key, len))
		return err_set(err, -ENOMEM, "%s: no memory for its key", s->at->volume);
	rc = luks_session_unlock(s, j, luks_json_slots_of(j, digest), key, volume_key.data, &len, slot, err);
	secret_destroy(&volume_key);
	return rc;
}

/* ---- slots of the new key */

/* Add `key` to the new volume key at the cost of slot `like`. */
static int add_fresh(struct run *r, const struct secret *volume_key, const struct secret *key, int like, bool first, int *slot,
	struct err *err)
{
	struct crypt_pbkdf_type kdf = { 0 };
	struct luks_cost cost = { 0 };
	int rc;

	if (!crypt_keyslot_get_pbkdf(r->s.cd, like, &kdf) && kdf.type && !strcmp(kdf.type, CRYPT_KDF_ARGON2ID))
		cost = (struct luks_cost){ kdf.max_memory_kb, kdf.iterations, kdf.parallel_threads };
	rc = luks_session_cost(&r->s, &cost, err);
	if (rc)
		return rc;
	rc = crypt_keyslot_add_by_key(r->s.cd, CRYPT_ANY_SLOT, (const char *)volume_key->data, volume_key->len, (const char *)key->data,
		key->len, first ? CRYPT_VOLUME_KEY_NO_SEGMENT : CRYPT_VOLUME_KEY_DIGEST_REUSE);
	if (rc < 0)
		return luks_session_fail(&r->s, rc, err, "a key slot for the new volume key cannot be written");
	*slot = rc;
	return 0;
}

/* What a beginning that was cut short has left: slots that were not there before, under a key that encrypts nothing. */
static int drop_leftovers(struct run *r, struct luks_json *j, struct err *err)
{
	int rc;

	if (j->rotate_token < 0)
		return 0;
	for (int i = 0; i < LUKS_SLOTS; i++) {
		bool unused = j->slot_digest[i] < 0 || !(j->digests_used & BIT(j->slot_digest[i]));

		if (!(j->slots & BIT(i)) || j->rotate_before & BIT(i) || !unused)
			continue;
		rc = crypt_keyslot_destroy(r->s.cd, i);
		if (rc < 0)
			return luks_session_fail(&r->s, rc, err, "a left-over key slot cannot be dropped");
	}
	rc = crypt_token_json_set(r->s.cd, j->rotate_token, NULL);
	if (rc < 0)
		return luks_session_fail(&r->s, rc, err, "the header cannot be written");
	return luks_session_json(&r->s, j, err);
}

static int note_slots(struct run *r, const struct luks_json *j, struct err *err)
{
	char text[400], *at = text;
	int rc;

	at += sprintf(at, "{\"type\":\"hull-rotation\",\"keyslots\":[],\"before\":[");
	for (int i = 0, n = 0; i < LUKS_SLOTS; i++)
		if (j->slots & BIT(i))
			at += sprintf(at, "%s\"%d\"", n++ ? "," : "", i);
	strcpy(at, "]}");
	rc = crypt_token_json_set(r->s.cd, CRYPT_ANY_TOKEN, text);
	return rc < 0 ? luks_session_fail(&r->s, rc, err, "the header cannot be written") : 0;
}

/* Which slots follow: `like` gets the slot of each key, -1 where a key opens none. */
static int find_slots(struct run *r, const struct luks_json *j, int *like, struct err *err)
{
	uint32_t slots = luks_json_slots_of(j, j->segment[0].digest), left = slots;
	struct secret volume_key;
	char names[128] = "";
	int rc = 0;

	if (secret_create(&volume_key, KEY_BYTES))
		return err_set(err, -ENOMEM, "%s: no memory for its key", r->s.at->volume);
	for (unsigned i = 0; i <= r->how->also_count && !rc; i++) {
		size_t len = volume_key.len;

		rc = luks_session_unlock(&r->s, j, slots, i ? &r->how->also[i - 1] : r->how->key, volume_key.data, &len, &like[i], err);
		if (!rc)
			left &= ~BIT(like[i]);
	}
	secret_destroy(&volume_key);
	if (rc)
		return rc;
	for (int i = 0; i < LUKS_SLOTS; i++)
		if (left & BIT(i))
			snprintf(names + strlen(names), sizeof names - strlen(names), "%s%d", *names ? ", " : "", i);
	if (left && !r->how->drop_others)
		return err_set(err, -EBUSY, "%s: key slots of other keys (%s) cannot follow to a new volume key: "
			"give those keys too (--also), or have the slots dropped (--drop-others)", luks_place_header(r->s.at), names);
	return 0;
}

static int make_slots(struct run *r, const struct luks_json *j, const int *like, int *slot, struct err *err)
{
	struct secret volume_key;
	int rc = 0, other;

	if (secret_create(&volume_key, KEY_BYTES))
		return err_set(err, -ENOMEM, "%s: no memory for its key", r->s.at->volume);
	secret_random(volume_key.data, volume_key.len);
	rc = note_slots(r, j, err);
	if (!rc)
		rc = add_fresh(r, &volume_key, r->how->key, like[0], true, slot, err);
	for (unsigned i = 1; i <= r->how->also_count && !rc; i++)
		rc = add_fresh(r, &volume_key, &r->how->also[i - 1], like[i], false, &other, err);
	secret_destroy(&volume_key);
	return rc;
}

/* ---- the run */

static int init(struct run *r, int old, int fresh, uint32_t sector, bool resume, struct err *err)
{
	struct crypt_params_luks2 luks2 = { .sector_size = sector };
	struct crypt_params_reencrypt params = {
		.mode = CRYPT_REENCRYPT_REENCRYPT,
		.direction = CRYPT_REENCRYPT_FORWARD,
		.resilience = "checksum",
		.hash = "sha256",
		.max_hotzone_size = r->zone / 512,
		.luks2 = &luks2,
		.flags = resume ? CRYPT_REENCRYPT_RESUME_ONLY : 0,
	};
	int rc = crypt_reencrypt_init_by_passphrase(r->s.cd, NULL, (const char *)r->how->key->data, r->how->key->len, old, fresh,
		"aes", "xts-plain64", &params);

	if (rc >= 0)
		return 0;
	if (rc == -EBUSY)
		return err_set(err, -EBUSY, "%s: is claimed by another program (mounted, mapped, or served)", r->s.at->volume);
	return luks_session_fail(&r->s, rc, err, "the rotation cannot begin");
}

static int begin(struct run *r, int *old, int *fresh, struct luks_json *j, struct err *err)
{
	int like[1 + ALSO_MAX];
	int rc = drop_leftovers(r, j, err);

	if (rc)
		return rc;
	if (r->how->also_count > ALSO_MAX)
		return err_set(err, -EINVAL, "%s: at most %d other keys can follow", r->s.at->volume, ALSO_MAX);
	if (j->segment_count != 1 || !j->segment[0].crypt || strcmp(j->segment[0].cipher, "aes-xts-plain64") || j->segment[0].integrity)
		return err_set(err, -ENOTSUP, "%s: is not encrypted with aes-xts-plain64: rotate it with `cryptsetup reencrypt`",
			luks_place_header(r->s.at));
	rc = find_slots(r, j, like, err);
	if (!rc)
		rc = make_slots(r, j, like, fresh, err);
	if (rc)
		return rc;
	*old = like[0];
	return init(r, *old, *fresh, j->segment[0].sector, false, err);
}

/* The slots of both keys that the key opens. *done: nothing is left to rewrite. */
static int resume(struct run *r, int *old, int *fresh, struct luks_json *j, bool *done, struct err *err)
{
	struct crypt_params_reencrypt params = { 0 };
	struct secret volume_key;
	size_t len = KEY_BYTES;
	int rc = luks_session_recover(&r->s, j, r->how->key, err);

	if (rc)
		return rc;
	*done = crypt_reencrypt_status(r->s.cd, &params) == CRYPT_REENCRYPT_NONE;
	/* Zones are announced in ascending order; Hull's own rotations all go so. */
	if (!*done && params.direction != CRYPT_REENCRYPT_FORWARD)
		return err_set(err, -ENOTSUP, "%s: its rotation was begun by another program and goes from the end to the beginning: "
			"finish it with `cryptsetup reencrypt --resume-only`", r->s.at->volume);
	if (*done)
		return 0;
	if (j->segment_count > 2 || j->backup_final < 0 || (j->segment_count == 2 && j->segment[0].digest != j->backup_final))
		return err_set(err, -ENOTSUP, "%s: is being re-encrypted in a way that is no rotation: "
			"finish it with `cryptsetup reencrypt --resume-only`", luks_place_header(r->s.at));
	if (secret_create(&volume_key, len))
		return err_set(err, -ENOMEM, "%s: no memory for its key", r->s.at->volume);
	rc = luks_session_unlock(&r->s, j, luks_json_slots_of(j, j->backup_final), r->how->key, volume_key.data, &len, fresh, err);
	len = KEY_BYTES;
	if (!rc)
		rc = luks_session_unlock(&r->s, j, luks_json_slots_of(j, j->backup_previous), r->how->key, volume_key.data, &len, old, err);
	secret_destroy(&volume_key);
	return rc ? rc : init(r, *old, *fresh, j->segment[0].sector, true, err);
}

static int fetch_fresh(struct run *r, int slot, uint32_t sector, struct err *err)
{
	size_t len = sizeof r->fresh.key;
	int rc = crypt_volume_key_get(r->s.cd, slot, (char *)r->fresh.key, &len, (const char *)r->how->key->data, r->how->key->len);

	if (rc < 0)
		return luks_session_fail(&r->s, rc, err, "the new key's slot cannot be opened");
	r->fresh.key_len = (uint32_t)len;
	r->fresh.sector = sector;
	return 0;
}

/* How far the header says that the new key reaches: the position that progress is called with is one step old. */
static int find_boundary(struct run *r, uint64_t size, uint64_t *boundary)
{
	const struct luks_json_segment *first;
	struct luks_json j;
	int rc = luks_session_json(&r->s, &j, NULL);

	if (rc)
		return rc;
	first = &j.segment[0];
	*boundary = first->digest != j.backup_final ? 0 : first->len && first->len < size ? first->len : size;
	return 0;
}

static int on_progress(uint64_t size, uint64_t stale, void *ctx)
{
	struct run *r = ctx;
	uint64_t boundary, zone;

	if (find_boundary(r, size, &boundary)) {
		r->stopped = true;
		return 1;
	}
	zone = size - boundary < r->zone ? size - boundary : r->zone;
	if (!r->begun) {
		r->begun = true;
		r->stopped = r->ops->begin && r->ops->begin(r->ctx, &r->fresh, boundary, size);
	}
	if (r->frozen && r->ops->thaw)
		r->ops->thaw(r->ctx, boundary, size);
	r->frozen = false;
	if (!r->stopped && zone) {
		r->stopped = r->ops->freeze && r->ops->freeze(r->ctx, boundary, zone);
		r->frozen = !r->stopped;
	}
	return r->stopped;
}

/* Nothing is lost when only the note stays: the next rotation drops it. */
static void drop_note(struct run *r)
{
	struct luks_json j;

	if (!luks_session_json(&r->s, &j, NULL) && j.rotate_token >= 0 && crypt_token_json_set(r->s.cd, j.rotate_token, NULL) < 0)
		return;
}

/* Nothing is left to rewrite; who asked still learns the key that everything is under. */
static int say_done(struct run *r, const struct luks_json *j, struct err *err)
{
	uint64_t total = r->s.volume_size - j->segment[0].off;
	int slot, rc = slot_for(&r->s, j, j->segment[0].digest, r->how->key, &slot, err);

	if (!rc)
		rc = fetch_fresh(r, slot, j->segment[0].sector, err);
	if (!rc && r->ops->begin && r->ops->begin(r->ctx, &r->fresh, total, total))
		rc = err_set(err, -EINTR, "%s: the rotation was stopped at its end", r->s.at->volume);
	return rc;
}

static int run(struct run *r, struct err *err)
{
	int old = -1, fresh = -1, rc;
	struct luks_json j;
	uint32_t sector;
	bool done = false;

	rc = luks_session_json(&r->s, &j, err);
	if (rc)
		return rc;
	if (crypt_reencrypt_status(r->s.cd, NULL) != CRYPT_REENCRYPT_NONE)
		rc = resume(r, &old, &fresh, &j, &done, err);
	else if (r->how->resume)
		done = true;
	else
		rc = begin(r, &old, &fresh, &j, err);
	if (rc || done)
		return rc ? rc : say_done(r, &j, err);
	sector = j.segment[0].sector;
	rc = fetch_fresh(r, fresh, sector, err);
	if (rc)
		return rc;
	rc = crypt_reencrypt_run(r->s.cd, on_progress, r);
	if (rc < 0)
		return luks_session_fail(&r->s, rc, err, "the rotation stopped; it can be gone on with");
	if (r->stopped)
		return err_set(err, -EINTR, "%s: the rotation was stopped; run it again to go on", r->s.at->volume);
	drop_note(r);
	return 0;
}

int luks_rotate(const struct luks_place *at, const struct luks_rotation *how, const struct luks_rotate_ops *ops, void *ctx,
	struct err *err)
{
	struct run *r = secret_alloc(sizeof *r);
	int rc;

	if (!r)
		return err_set(err, -ENOMEM, "%s: no memory for its key", at->volume);
	r->how = how;
	r->ops = ops;
	r->ctx = ctx;
	r->zone = how->zone < MIB ? MIB : how->zone & ~(uint64_t)(MIB - 1);
	rc = luks_session_open(&r->s, at, true, err);
	if (!rc && !luks_session_is2(&r->s))
		rc = err_set(err, -ENOTSUP, "%s: is LUKS1, whose volume key cannot be rotated: format a LUKS2 volume and import this one",
			luks_place_header(at));
	if (!rc)
		rc = run(r, err);
	luks_session_close(&r->s);
	secret_free(r);
	return rc;
}

/* ---- after a cut */

/* With --keep-key `cryptsetup reencrypt` has old and new under one key, and one digest: whoever erases the old one erases all. */
static bool is_rotation(const struct luks_json *j)
{
	return j->backup_previous >= 0 && j->backup_final >= 0 && j->backup_previous != j->backup_final;
}

static bool is_complete(const struct luks_json *j)
{
	return is_rotation(j) && j->segment_count == 1 && j->segment[0].digest == j->backup_final && !j->segment[0].len;
}

enum work { NOTHING, RECOVER, FINISH };

static int find_work(struct luks_session *s, const struct luks_json *j, enum work *work, struct err *err)
{
	const char *path = luks_place_header(s->at);
	crypt_reencrypt_info state = crypt_reencrypt_status(s->cd, NULL);

	*work = NOTHING;
	if (state == CRYPT_REENCRYPT_NONE)
		return 0;
	if (state != CRYPT_REENCRYPT_CLEAN && state != CRYPT_REENCRYPT_CRASH)
		return err_set(err, -EINVAL, "%s: says that it is being re-encrypted, but not how: bring back a backup of the header", path);
	if (!is_rotation(j) && (state == CRYPT_REENCRYPT_CRASH || j->backup_previous == j->backup_final))
		return err_set(err, -ENOTSUP, "%s: is being re-encrypted in a way that is no rotation: "
			"finish it with `cryptsetup reencrypt --resume-only`", path);
	*work = state == CRYPT_REENCRYPT_CRASH ? RECOVER : is_complete(j) ? FINISH : NOTHING;
	return 0;
}

/* Open for writing, under the lock, and read again: what was read before may have changed until the lock was ours. */
static int reopen(struct luks_session *s, struct luks_json *j, struct err *err)
{
	const struct luks_place *at = s->at;
	int rc;

	luks_session_close(s);
	rc = luks_session_open(s, at, true, err);
	return rc ? rc : luks_session_json(s, j, err);
}

static int recover_zone(struct luks_session *s, struct luks_json *j, const struct secret *key, struct err *err)
{
	struct crypt_params_reencrypt params = { .flags = CRYPT_REENCRYPT_RECOVERY };
	int old, fresh, rc = slot_for(s, j, j->backup_previous, key, &old, err);

	if (!rc)
		rc = slot_for(s, j, j->backup_final, key, &fresh, err);
	if (rc)
		return rc;
	rc = crypt_reencrypt_init_by_passphrase(s->cd, NULL, (const char *)key->data, key->len, old, fresh, NULL, NULL, &params);
	if (rc < 0)
		return luks_session_fail(s, rc, err, "the rotation that was cut short cannot be recovered");
	return luks_session_json(s, j, err);
}

int luks_session_recover(struct luks_session *s, struct luks_json *j, const struct secret *key, struct err *err)
{
	enum work work;
	int rc = find_work(s, j, &work, err);

	if (rc || work == NOTHING)
		return rc;
	rc = reopen(s, j, err);
	if (!rc)
		rc = find_work(s, j, &work, err);
	if (!rc && work == RECOVER) {
		rc = recover_zone(s, j, key, err);
		if (!rc)
			rc = find_work(s, j, &work, err);
	}
	if (!rc && work == FINISH) {
		rc = luks_session_finish(s, j, err);
		if (!rc)
			rc = reopen(s, j, err);
	}
	return rc;
}
