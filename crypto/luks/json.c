/* SPDX-License-Identifier: Apache-2.0 */
/* LUKS2's JSON area (LUKS2 On-Disk Format Specification 1.1, 3): segments, digests, key slots and Hull's own tokens. */
#include <errno.h>
#include <string.h>
#include "crypto/luks/luks_priv.h"
#include "lib/bits.h"
#include "lib/scope.h"

enum { SEGMENTS = 32, DIGESTS = 32, TOKENS = 32 };

#define bad(...) err_set(err, -EINVAL, "LUKS2 header: " __VA_ARGS__)

/* 64-bit numbers stand as strings; false when it is none. */
static bool number(const json_t *object, const char *key, uint64_t *value)
{
	const char *s = json_string_value(json_object_get(object, key));
	char *end;

	if (!s || *s < '0' || *s > '9')
		return false;
	errno = 0;
	*value = strtoull(s, &end, 10);
	return !errno && !*end;
}

/* "12" → 12; -1 when it is no number below max. */
static int index_of(const char *s, int max)
{
	int n = 0;

	if (!s || !*s || strlen(s) > 3)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		n = n * 10 + (*s - '0');
	}
	return n < max ? n : -1;
}

static uint32_t bits_of(const json_t *list)
{
	uint32_t bits = 0;
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item) {
		int n = index_of(json_string_value(item), 32);

		if (n >= 0)
			bits |= BIT(n);
	}
	return bits;
}

static bool has_flag(const json_t *segment, const char *flag)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(segment, "flags"), i, item)
		if (json_is_string(item) && !strncmp(json_string_value(item), flag, strlen(flag)))
			return true;
	return false;
}

static int digest_of_segment(const json_t *root, int segment)
{
	const char *id;
	json_t *digest;

	json_object_foreach(json_object_get(root, "digests"), id, digest)
		if (bits_of(json_object_get(digest, "segments")) & BIT(segment))
			return index_of(id, DIGESTS);
	return -1;
}

static int parse_segment(const json_t *root, int id, const json_t *from, struct luks_json_segment *s, struct err *err)
{
	const char *size = json_string_value(json_object_get(from, "size"));
	const char *type = json_string_value(json_object_get(from, "type"));
	const char *cipher = json_string_value(json_object_get(from, "encryption"));
	json_int_t sector = json_integer_value(json_object_get(from, "sector_size"));

	*s = (struct luks_json_segment){ .digest = digest_of_segment(root, id) };
	if (!number(from, "offset", &s->off) || !size || (strcmp(size, "dynamic") && !number(from, "size", &s->len)))
		return bad("segment %d has no place", id);
	s->crypt = type && !strcmp(type, "crypt");
	if (!s->crypt)
		return 0;
	if (!cipher || !number(from, "iv_tweak", &s->tweak) || sector < 512 || sector > 4096)
		return bad("segment %d does not say how it is encrypted", id);
	snprintf(s->cipher, sizeof s->cipher, "%s", cipher);
	s->sector = (uint32_t)sector;
	s->integrity = json_object_get(from, "integrity");
	return 0;
}

static int parse_segments(const json_t *root, struct luks_json *j, struct err *err)
{
	const json_t *segments = json_object_get(root, "segments");
	char id[8];

	j->backup_previous = j->backup_final = -1;
	for (int i = 0; i < SEGMENTS; i++) {
		json_t *from;
		int rc;

		snprintf(id, sizeof id, "%d", i);
		from = json_object_get(segments, id);
		if (!from)
			continue;
		if (has_flag(from, "backup-final"))
			j->backup_final = digest_of_segment(root, i);
		if (has_flag(from, "backup-previous"))
			j->backup_previous = digest_of_segment(root, i);
		if (has_flag(from, "backup-"))
			continue;
		if (j->segment_count == array_len(j->segment))
			return bad("more than %zu segments", array_len(j->segment));
		rc = parse_segment(root, i, from, &j->segment[j->segment_count++], err);
		if (rc)
			return rc;
	}
	return j->segment_count ? 0 : bad("no segment");
}

static uint64_t work(const json_t *kdf)
{
	const char *type = json_string_value(json_object_get(kdf, "type"));
	uint64_t memory = (uint64_t)json_integer_value(json_object_get(kdf, "memory"));
	uint64_t time = (uint64_t)json_integer_value(json_object_get(kdf, "time"));

	if (type && !strcmp(type, "pbkdf2"))
		return (uint64_t)json_integer_value(json_object_get(kdf, "iterations"));
	return (memory & UINT32_MAX) * (time & UINT32_MAX);
}

static void note_digest(struct luks_json *j, const json_t *digest, int d)
{
	json_int_t rounds = json_integer_value(json_object_get(digest, "iterations"));
	const char *value = json_string_value(json_object_get(digest, "digest"));

	if (rounds < 0 || rounds > UINT32_MAX)
		rounds = UINT32_MAX;
	if ((uint32_t)rounds > j->digest_rounds)
		j->digest_rounds = (uint32_t)rounds;
	if (bits_of(json_object_get(digest, "segments")))
		j->digests_used |= BIT(d);
	if (value && d == j->segment[0].digest)
		snprintf(j->key_mark, sizeof j->key_mark, "%s", value);
}

static void parse_slots(const json_t *root, struct luks_json *j)
{
	const char *id;
	json_t *slot, *digest;

	for (unsigned i = 0; i < LUKS_SLOTS; i++)
		j->slot_digest[i] = -1;
	json_object_foreach(json_object_get(root, "keyslots"), id, slot) {
		int n = index_of(id, LUKS_SLOTS);
		const char *type = json_string_value(json_object_get(slot, "type"));
		json_t *priority = json_object_get(slot, "priority");

		if (n < 0 || !type || strcmp(type, "luks2"))
			continue;
		j->slots |= BIT(n);
		j->slot_work[n] = work(json_object_get(slot, "kdf"));
		j->ignored[n] = json_is_integer(priority) && !json_integer_value(priority);
	}
	json_object_foreach(json_object_get(root, "digests"), id, digest) {
		int d = index_of(id, DIGESTS);
		uint32_t slots = bits_of(json_object_get(digest, "keyslots"));

		if (d < 0)
			continue;
		note_digest(j, digest, d);
		for (int i = 0; i < LUKS_SLOTS; i++)
			if (slots & BIT(i))
				j->slot_digest[i] = d;
	}
}

static void parse_tokens(const json_t *root, struct luks_json *j)
{
	const char *id;
	json_t *token;

	j->import_token = j->rotate_token = -1;
	json_object_foreach(json_object_get(root, "tokens"), id, token) {
		const char *type = json_string_value(json_object_get(token, "type"));
		int n = index_of(id, TOKENS);

		if (n < 0 || !type)
			continue;
		if (!strcmp(type, "hull-import") && number(token, "position", &j->imported) &&
		    number(token, "size", &j->import_size)) {
			j->importing = true;
			j->import_token = n;
		}
		if (!strcmp(type, "hull-rotation")) {
			j->rotate_token = n;
			j->rotate_before = bits_of(json_object_get(token, "before"));
		}
	}
}

/* Features without which the volume must not be touched (3.6). */
static void parse_requirements(const json_t *root, struct luks_json *j)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(json_object_get(root, "config"), "requirements"), "mandatory"), i, item) {
		const char *name = json_string_value(item);

		if (!name || !strncmp(name, "online-reencrypt", strlen("online-reencrypt")) || *j->requirement)
			continue;
		snprintf(j->requirement, sizeof j->requirement, "%s", *name ? name : "?");
		for (char *c = j->requirement; *c; c++)
			if ((unsigned char)*c < ' ' || (unsigned char)*c >= 127)
				*c = '?';
	}
}

int luks_json_parse(const char *text, size_t len, struct luks_json *j, struct err *err)
{
	json_error_t why;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	int rc;

	*j = (struct luks_json){ 0 };
	if (!root)
		return bad("%s", why.text);
	rc = parse_segments(root, j, err);
	parse_slots(root, j);
	parse_tokens(root, j);
	parse_requirements(root, j);
	json_decref(root);
	return rc;
}

uint32_t luks_json_slots_of(const struct luks_json *j, int digest)
{
	uint32_t slots = 0;

	for (int i = 0; i < LUKS_SLOTS; i++)
		if (j->slots & BIT(i) && digest >= 0 && j->slot_digest[i] == digest)
			slots |= BIT(i);
	return slots;
}
