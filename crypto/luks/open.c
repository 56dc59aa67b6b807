/* SPDX-License-Identifier: Apache-2.0 */
/* From a header and a key to the layout that hv's block layer works by. */
#include <errno.h>
#include <string.h>
#include "crypto/luks/luks_priv.h"
#include "lib/bits.h"
#include "lib/scope.h"

static const char cipher_name[] = "aes-xts-plain64";

static int check_segment(const struct luks_session *s, const struct luks_json_segment *from, struct err *err)
{
	const char *path = luks_place_header(s->at);

	if (!from->crypt)
		return err_set(err, -ENOTSUP, "%s: part of the volume is not encrypted (`cryptsetup reencrypt` is at work): finish that first",
			path);
	if (from->integrity)
		return err_set(err, -ENOTSUP, "%s: uses authenticated encryption, which Hull does not serve", path);
	if (strcmp(from->cipher, cipher_name))
		return err_set(err, -ENOTSUP, "%s: is encrypted with %s; Hull serves %s", path, from->cipher, cipher_name);
	return 0;
}

static int take_key(struct luks_segment *to, const uint8_t *key, size_t len, const char *path, struct err *err)
{
	if (len != 32 && len != 64)
		return err_set(err, -ENOTSUP, "%s: has a volume key of %zu bits; Hull serves 256 and 512", path, len * 8);
	to->key_len = (uint32_t)len;
	memcpy(to->key, key, len);
	return 0;
}

static int check_size(const struct luks_session *s, const struct luks_layout *l, struct err *err)
{
	uint64_t end = l->data_off + l->data_len;

	if (end < l->data_off || s->volume_size < end || s->volume_size == l->data_off)
		return err_set(err, -EINVAL, "%s: is cut off: its header speaks of %llu bytes, and it has %llu", s->at->volume,
			(unsigned long long)(end + (l->data_len ? 0 : l->segment[0].sector)), (unsigned long long)s->volume_size);
	return 0;
}

static int open_segment(struct luks_session *s, const struct luks_json *j, unsigned i, const struct secret *key,
	struct luks_layout *l, int *slot, struct err *err)
{
	const struct luks_json_segment *from = &j->segment[i];
	struct secret volume_key;
	size_t len = 64;
	int rc = check_segment(s, from, err);

	if (rc)
		return rc;
	if (secret_create(&volume_key, len))
		return err_set(err, -ENOMEM, "%s: no memory for its key", s->at->volume);
	rc = luks_session_unlock(s, j, luks_json_slots_of(j, from->digest), key, volume_key.data, &len, slot, err);
	if (!rc)
		rc = take_key(&l->segment[i], volume_key.data, len, luks_place_header(s->at), err);
	secret_destroy(&volume_key);
	l->segment[i].off = from->off - l->data_off;
	l->segment[i].len = from->len;
	l->segment[i].tweak = from->tweak;
	l->segment[i].sector = from->sector;
	return rc;
}

/* While a rotation is under way the new key's segment is the first one; anything else is not of our making. */
static int check_order(const struct luks_session *s, const struct luks_json *j, struct err *err)
{
	const char *path = luks_place_header(s->at);

	if (j->segment_count > 2)
		return err_set(err, -ENOTSUP, "%s: is in %u segments, which Hull does not serve", path, j->segment_count);
	if (j->segment_count == 2 && (j->segment[0].digest != j->backup_final || !j->segment[0].len ||
	    j->segment[0].off + j->segment[0].len != j->segment[1].off))
		return err_set(err, -ENOTSUP, "%s: is being re-encrypted in a way that is no rotation: "
			"finish it with `cryptsetup reencrypt --resume-only`", path);
	return 0;
}

static int open_two(struct luks_session *s, const struct secret *key, struct luks_layout *l, int *slot, struct err *err)
{
	struct luks_json j;
	int rc = luks_session_json(s, &j, err);

	if (rc)
		return rc;
	if (j.importing && !s->at->importing)
		return err_set(err, -EINPROGRESS, "%s: holds an unfinished import (%llu of %llu bytes): run the import again",
			s->at->volume, (unsigned long long)j.imported, (unsigned long long)j.import_size);
	rc = luks_session_recover(s, &j, key, err);
	if (!rc)
		rc = check_order(s, &j, err);
	if (rc)
		return rc;
	l->data_off = j.segment[0].off;
	l->segment_count = j.segment_count;
	l->rotating = j.rotate_token >= 0 && crypt_reencrypt_status(s->cd, NULL) != CRYPT_REENCRYPT_NONE;
	for (unsigned i = 0; i < j.segment_count; i++) {
		rc = open_segment(s, &j, i, key, l, slot, err);
		if (rc)
			return rc;
		l->data_len = j.segment[i].len ? l->data_len + j.segment[i].len : 0;
	}
	return 0;
}

static int open_one(struct luks_session *s, const struct secret *key, struct luks_layout *l, int *slot, struct err *err)
{
	const char *path = luks_place_header(s->at), *cipher = crypt_get_cipher(s->cd), *mode = crypt_get_cipher_mode(s->cd);
	struct luks_segment *to = &l->segment[0];
	struct secret volume_key;
	size_t len = 64;
	int rc;

	if (!cipher || !mode || strcmp(cipher, "aes") || strcmp(mode, "xts-plain64"))
		return err_set(err, -ENOTSUP, "%s: is encrypted with %s-%s; Hull serves %s", path, cipher ? cipher : "?", mode ? mode : "?",
			cipher_name);
	if (secret_create(&volume_key, len))
		return err_set(err, -ENOMEM, "%s: no memory for its key", path);
	rc = luks_session_unlock(s, NULL, ~0u, key, volume_key.data, &len, slot, err);
	if (!rc)
		rc = take_key(to, volume_key.data, len, path, err);
	secret_destroy(&volume_key);
	l->data_off = crypt_get_data_offset(s->cd) * 512;
	l->segment_count = 1;
	to->sector = 512;
	return rc;
}

int luks_open(const struct luks_place *at, const struct secret *key, struct luks_layout *layout, int *slot, struct err *err)
{
	auto_session struct luks_session s;
	int used = -1, rc = luks_session_open(&s, at, false, err);

	memset(layout, 0, sizeof *layout);
	if (rc)
		return rc;
	layout->version = luks_session_is2(&s) ? 2 : 1;
	snprintf(layout->uuid, sizeof layout->uuid, "%s", crypt_get_uuid(s.cd) ? crypt_get_uuid(s.cd) : "");
	rc = layout->version == 2 ? open_two(&s, key, layout, &used, err) : open_one(&s, key, layout, &used, err);
	if (!rc)
		rc = check_size(&s, layout, err);
	if (rc)
		secret_wipe(layout, sizeof *layout);
	if (slot)
		*slot = used;
	return rc;
}
