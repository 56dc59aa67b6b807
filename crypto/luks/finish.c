/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last step of a rotation that was cut short. libcryptsetup erases the old key's slots one by one and only then says in the
 * header that the re-encryption has ended; cut between, it can neither go on (it wants the old key) nor open the volume.
 * All data are under the new key by then, so all that is left is to take the traces of the rotation out of the JSON area. Both
 * copies are written in the order of LUKS2 On-Disk Format Specification 1.1, 2.3, after libcryptsetup has accepted the new header.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>
#include "crypto/luks/luks_priv.h"
#include "lib/bits.h"
#include "lib/scope.h"

enum { BINARY = 4096, SEQID_AT = 16, CHECKSUM_NAME_AT = 72, SALT_AT = 104, SALT = 64, OFFSET_AT = 256,
	CHECKSUM_AT = 448, CHECKSUM = 64,
	AREAS = 256 << 20 };	/* more than both copies and key slots at their largest: 4 + 4 + 128 MiB */

/* ---- the JSON without the rotation */

static void remove_text(json_t *list, const char *text)
{
	for (size_t i = json_array_size(list); i--;) {
		const char *s = json_string_value(json_array_get(list, i));

		if (s && !strcmp(s, text))
			json_array_remove(list, i);
	}
}

/* Remove an entry of `from`, and its number from each digest's list. */
static void drop_entry(json_t *root, const char *from, const char *list, const char *id)
{
	const char *digest_id;
	json_t *digest;

	json_object_foreach(json_object_get(root, "digests"), digest_id, digest)
		remove_text(json_object_get(digest, list), id);
	json_object_del(json_object_get(root, from), id);
}

static bool is_backup(const json_t *segment)
{
	json_t *flag;
	size_t i;

	json_array_foreach(json_object_get(segment, "flags"), i, flag)
		if (json_is_string(flag) && !strncmp(json_string_value(flag), "backup-", 7))
			return true;
	return false;
}

static bool has_type(const json_t *entry, const char *type)
{
	const char *s = json_string_value(json_object_get(entry, "type"));

	return s && !strcmp(s, type);
}

static bool is_idle(const json_t *digest)
{
	return !json_array_size(json_object_get(digest, "segments")) && !json_array_size(json_object_get(digest, "keyslots"));
}

static void clean(json_t *root)
{
	const char *id;
	json_t *entry;
	void *next;

	json_object_foreach_safe(json_object_get(root, "segments"), next, id, entry) {
		if (is_backup(entry)) {
			char name[16];

			snprintf(name, sizeof name, "%s", id);
			drop_entry(root, "segments", "segments", name);
		}
	}
	json_object_foreach_safe(json_object_get(root, "keyslots"), next, id, entry) {
		if (has_type(entry, "reencrypt")) {
			char name[16];

			snprintf(name, sizeof name, "%s", id);
			drop_entry(root, "keyslots", "keyslots", name);
		}
	}
	json_object_foreach_safe(json_object_get(root, "tokens"), next, id, entry)
		if (has_type(entry, "hull-rotation"))
			json_object_del(json_object_get(root, "tokens"), id);
	json_object_foreach_safe(json_object_get(root, "digests"), next, id, entry)
		if (is_idle(entry))
			json_object_del(json_object_get(root, "digests"), id);
	json_object_del(json_object_get(root, "config"), "requirements");
}

/* ---- the two copies */

static bool seal(uint8_t *copy, size_t size, uint64_t offset)
{
	char name[32];
	const EVP_MD *md;
	uint8_t sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	memcpy(copy, offset ? "SKUL" : "LUKS", 4);
	put_be64(copy + OFFSET_AT, offset);
	secret_random(copy + SALT_AT, SALT);
	memset(copy + CHECKSUM_AT, 0, CHECKSUM);
	memcpy(name, copy + CHECKSUM_NAME_AT, sizeof name);
	name[sizeof name - 1] = 0;
	md = EVP_get_digestbyname(name);
	if (!md || EVP_MD_get_size(md) > CHECKSUM || !EVP_Digest(copy, size, sum, &len, md, NULL))
		return false;
	memcpy(copy + CHECKSUM_AT, sum, len);
	return true;
}

static bool write_copy(int fd, const uint8_t *copy, size_t size, uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(fd, copy + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		done += (size_t)n;
	}
	return !fsync(fd);
}

/* Would libcryptsetup take it? Asked of a copy in memory. */
static bool accepted(uint8_t *copy, size_t size)
{
	auto_close int fd = memfd_create("luks", MFD_CLOEXEC);
	struct crypt_device *cd = NULL;
	char path[32];
	bool good;

	if (fd < 0 || ftruncate(fd, AREAS) || !seal(copy, size, 0) || !write_copy(fd, copy, size, 0) || !seal(copy, size, size) ||
	    !write_copy(fd, copy, size, size))
		return false;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	good = !crypt_init(&cd, path) && !crypt_load(cd, CRYPT_LUKS2, NULL) && crypt_reencrypt_status(cd, NULL) == CRYPT_REENCRYPT_NONE;
	if (cd)
		crypt_free(cd);
	return good;
}

/* One whole copy from the medium: the first that is good. */
static int read_copy(int fd, const struct luks_probe *probe, uint8_t **copy, size_t *size)
{
	uint8_t head[BINARY];

	/* libcryptsetup made both whole when the header was opened for writing. */
	if (!probe->primary_ok || pread(fd, head, sizeof head, 0) != BINARY)
		return -EIO;
	*size = (size_t)get_be64(head + 8);
	*copy = malloc(*size);
	return !*copy ? -ENOMEM : pread(fd, *copy, *size, 0) == (ssize_t)*size ? 0 : -EIO;
}

static int replace_json(uint8_t *copy, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size - BINARY)
		return -E2BIG;
	memset(copy + BINARY, 0, size - BINARY);
	memcpy(copy + BINARY, text, len);
	put_be64(copy + SEQID_AT, get_be64(copy + SEQID_AT) + 1);
	return 0;
}

static int rewrite(struct luks_session *s, const char *text)
{
	auto_close int fd = luks_open_file(luks_place_header(s->at), O_RDWR, NULL, NULL);
	auto_free uint8_t *copy = NULL;
	struct luks_probe probe;
	size_t size = 0;
	int rc = fd < 0 ? fd : luks_probe_fd(fd, luks_place_header(s->at), &probe, NULL);

	if (!rc)
		rc = read_copy(fd, &probe, &copy, &size);
	if (!rc)
		rc = replace_json(copy, size, text);
	if (rc)
		return rc;
	if (!accepted(copy, size))
		return -EINVAL;
	if (!seal(copy, size, 0) || !write_copy(fd, copy, size, 0) || !seal(copy, size, size) || !write_copy(fd, copy, size, size))
		return -EIO;
	return 0;
}

int luks_session_finish(struct luks_session *s, const struct luks_json *j, struct err *err)
{
	uint32_t old = luks_json_slots_of(j, j->backup_previous);
	const char *json;
	json_t *root;
	char *text;
	int rc;

	for (int i = 0; i < LUKS_SLOTS; i++) {
		rc = old & BIT(i) ? crypt_keyslot_destroy(s->cd, i) : 0;
		if (rc < 0)
			return luks_session_fail(s, rc, err, "an old key slot cannot be erased");
	}
	rc = crypt_dump_json(s->cd, &json, 0);
	root = rc < 0 ? NULL : json_loads(json, JSON_REJECT_DUPLICATES, NULL);
	if (root)
		clean(root);
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	rc = text ? rewrite(s, text) : -ENOMEM;
	free(text);
	return rc ? err_set(err, rc, "%s: the rotation has come to its end, but the header cannot be written: %s",
		luks_place_header(s->at), strerror(-rc)) : 0;
}
