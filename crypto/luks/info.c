/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include "crypto/luks/luks_priv.h"
#include "lib/bits.h"
#include "lib/scope.h"

static void take_slots(struct luks_session *s, const struct luks_json *j, struct luks_info *info)
{
	for (int i = 0; i < LUKS_SLOTS; i++) {
		crypt_keyslot_info state = crypt_keyslot_status(s->cd, i);
		struct crypt_pbkdf_type kdf = { 0 };

		info->slot[i].used = state == CRYPT_SLOT_ACTIVE || state == CRYPT_SLOT_ACTIVE_LAST || state == CRYPT_SLOT_UNBOUND;
		if (j && !(j->slots & BIT(i)))
			info->slot[i].used = false;
		if (!info->slot[i].used || crypt_keyslot_get_pbkdf(s->cd, i, &kdf) < 0 || !kdf.type)
			continue;
		snprintf(info->slot[i].kdf, sizeof info->slot[i].kdf, "%s", kdf.type);
		info->slot[i].memory_kib = kdf.max_memory_kb;
		info->slot[i].iterations = kdf.iterations;
		info->slot[i].threads = kdf.parallel_threads;
		info->slot[i].fresh = j && j->backup_final >= 0 && j->slot_digest[i] == j->backup_final;
	}
}

static void take_two(const struct luks_json *j, struct luks_info *info)
{
	const struct luks_json_segment *first = &j->segment[0];

	info->sector = first->sector;
	info->data_off = first->off;
	snprintf(info->cipher, sizeof info->cipher, "%s", first->cipher);
	for (unsigned i = 0; i < j->segment_count; i++)
		info->data_len = j->segment[i].len ? info->data_len + j->segment[i].len : 0;
	info->rotating = j->backup_final >= 0;
	if (info->rotating && first->digest == j->backup_final)
		info->rotated = first->len ? first->len : info->data_len;
	info->importing = j->importing;
	info->imported = j->imported;
	info->import_size = j->import_size;
}

int luks_info(const struct luks_place *at, struct luks_info *info, struct err *err)
{
	auto_session struct luks_session s = { .lock_fd = -1 };
	struct luks_json j;
	int rc = luks_session_open(&s, at, false, err);
	bool two;

	memset(info, 0, sizeof *info);
	if (rc)
		return rc;
	two = luks_session_is2(&s);
	info->version = two ? 2 : 1;
	info->primary_bad = !s.probe.primary_ok;
	info->secondary_bad = two && !s.probe.secondary_ok;
	snprintf(info->uuid, sizeof info->uuid, "%s", crypt_get_uuid(s.cd) ? crypt_get_uuid(s.cd) : "");
	snprintf(info->label, sizeof info->label, "%s", s.probe.label);
	info->key_bits = (uint32_t)crypt_get_volume_key_size(s.cd) * 8;
	if (!two) {
		snprintf(info->cipher, sizeof info->cipher, "%.20s-%.20s", crypt_get_cipher(s.cd), crypt_get_cipher_mode(s.cd));
		info->sector = 512;
		info->data_off = crypt_get_data_offset(s.cd) * 512;
		take_slots(&s, NULL, info);
		return 0;
	}
	rc = luks_session_json(&s, &j, err);
	if (rc)
		return rc;
	take_two(&j, info);
	take_slots(&s, &j, info);
	return 0;
}
