/* SPDX-License-Identifier: Apache-2.0 */
/* Key slots of a volume that is there, backups of its header, and the mark of an unfinished import. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "crypto/luks/luks_priv.h"
#include "lib/bits.h"
#include "lib/folder.h"
#include "lib/scope.h"

static int refuse_rotating(struct luks_session *s, struct err *err)
{
	if (crypt_reencrypt_status(s->cd, NULL) == CRYPT_REENCRYPT_NONE)
		return 0;
	return err_set(err, -EBUSY, "%s: its key is being rotated: finish that first (hull volume rotate)", luks_place_header(s->at));
}

int luks_add_key(const struct luks_place *at, const struct secret *key, const struct secret *fresh, const struct luks_cost *cost,
	int *slot, struct err *err)
{
	auto_session struct luks_session s = { .lock_fd = -1 };
	struct luks_json j, *two = NULL;
	struct secret volume_key;
	size_t len = 64;
	int used, rc = luks_session_open(&s, at, true, err);

	if (!rc && luks_session_is2(&s)) {
		two = &j;
		rc = luks_session_json(&s, &j, err);
	}
	if (!rc)
		rc = refuse_rotating(&s, err);
	if (rc)
		return rc;
	if (secret_create(&volume_key, len))
		return err_set(err, -ENOMEM, "%s: no memory for its key", at->volume);
	rc = luks_session_unlock(&s, two, two ? luks_json_slots_of(two, two->segment[0].digest) : ~0u, key, volume_key.data, &len, &used,
		err);
	if (!rc)
		rc = luks_session_cost(&s, cost, err);
	if (!rc) {
		rc = crypt_keyslot_add_by_volume_key(s.cd, CRYPT_ANY_SLOT, (const char *)volume_key.data, len, (const char *)fresh->data,
			fresh->len);
		if (rc >= 0)
			*slot = rc;
		rc = rc < 0 ? luks_session_fail(&s, rc, err, "the key slot cannot be written") : 0;
	}
	secret_destroy(&volume_key);
	return rc;
}

int luks_remove_key(const struct luks_place *at, int slot, struct err *err)
{
	auto_session struct luks_session s = { .lock_fd = -1 };
	int rc = luks_session_open(&s, at, true, err);

	if (!rc)
		rc = refuse_rotating(&s, err);
	if (rc)
		return rc;
	switch (crypt_keyslot_status(s.cd, slot)) {
	case CRYPT_SLOT_ACTIVE_LAST:
		return err_set(err, -EBUSY, "%s: key slot %d is the last one: without it nobody could open the volume again", at->volume, slot);
	case CRYPT_SLOT_ACTIVE:
	case CRYPT_SLOT_UNBOUND:
		break;
	default:
		return err_set(err, -ENOENT, "%s: has no key slot %d", at->volume, slot);
	}
	rc = crypt_keyslot_destroy(s.cd, slot);
	return rc < 0 ? luks_session_fail(&s, rc, err, "the key slot cannot be erased") : 0;
}

/* What is in the file is whole and of one moment: who adds a key or begins a rotation meanwhile moves the sequence number on. */
static int check_moment(const struct luks_session *s, const char *file, struct err *err)
{
	struct luks_probe now;
	int fd = luks_open_file(luks_place_header(s->at), O_RDONLY, NULL, err), rc;

	if (fd < 0)
		return fd;
	rc = luks_probe_fd(fd, luks_place_header(s->at), &now, err);
	close(fd);
	if (!rc && (now.seqid[0] != s->probe.seqid[0] || now.seqid[1] != s->probe.seqid[1]))
		rc = err_set(err, -EBUSY, "%s: its header was changed while it was saved; try again", s->at->volume);
	if (rc)
		return rc;
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	rc = fd < 0 || fsync(fd) ? err_set(err, -errno, "%s: %s", file, strerror(errno)) : 0;
	if (fd >= 0)
		close(fd);
	return rc;
}

int luks_backup_header(const struct luks_place *at, const char *path, struct err *err)
{
	auto_session struct luks_session s = { .lock_fd = -1 };
	auto_free char *fresh = NULL;
	struct stat st;
	int rc = luks_session_open(&s, at, false, err);

	if (!rc)
		rc = refuse_rotating(&s, err);
	if (rc)
		return rc;
	if (!lstat(path, &st))
		return err_set(err, -EEXIST, "%s: is there already", path);
	if (asprintf(&fresh, "%s.%d.new", path, (int)getpid()) < 0) {
		fresh = NULL;
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	}
	unlink(fresh);
	rc = crypt_header_backup(s.cd, NULL, fresh);
	rc = rc < 0 ? luks_session_fail(&s, rc, err, "the backup cannot be written") : check_moment(&s, fresh, err);
	if (!rc && renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE))
		rc = err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (rc) {
		unlink(fresh);
		return rc;
	}
	rc = folder_sync(path);
	return rc ? err_set(err, rc, "%s: is written, but its folder cannot be synced: %s", path, strerror(-rc)) : 0;
}

/* The backup is a header of LUKS, and of this volume if that still says which it is. */
static int check_backup(const struct luks_session *s, const char *path, struct luks_probe *probe, struct err *err)
{
	int fd = luks_open_file(path, O_RDONLY, NULL, err), rc;

	if (fd < 0)
		return fd;
	rc = luks_probe_fd(fd, path, probe, err);
	close(fd);
	if (rc)
		return rc;
	if (!probe->primary_ok)
		return err_set(err, -EINVAL, "%s: is no backup of a LUKS header, or damaged", path);
	if (*s->probe.uuid && *probe->uuid && strcmp(s->probe.uuid, probe->uuid))
		return err_set(err, -EINVAL, "%s: is the header of another volume (UUID %s; this is %s)", path, probe->uuid, s->probe.uuid);
	return 0;
}

/* The digest of the key that a header's data are under; "": not known. *rotating: under two. */
static void read_mark(const struct luks_place *at, char mark[96], bool *rotating)
{
	auto_session struct luks_session s = { .lock_fd = -1 };
	struct luks_json j;

	*mark = 0;
	*rotating = false;
	if (luks_session_open(&s, at, false, NULL) || !luks_session_is2(&s) || luks_session_json(&s, &j, NULL))
		return;
	snprintf(mark, 96, "%s", j.key_mark);
	*rotating = crypt_reencrypt_status(s.cd, NULL) != CRYPT_REENCRYPT_NONE;
}

/* A header that is good is not given up for one whose key opens nothing of what the volume holds. */
static int check_key(const struct luks_place *at, const char *path, struct err *err)
{
	const struct luks_place now = { .volume = at->volume, .header = at->header, .locked = true },
		then = { .volume = path, .locked = true };
	char mark[96], saved[96];
	bool rotating, other;

	read_mark(&now, mark, &rotating);
	if (rotating)
		return err_set(err, -EBUSY, "%s: its key is being rotated: finish that first (hull volume rotate)", luks_place_header(at));
	read_mark(&then, saved, &other);
	if (*mark && *saved && strcmp(mark, saved))
		return err_set(err, -EINVAL, "%s: is from before the volume's key was rotated: with it nobody could read the volume", path);
	return 0;
}

int luks_restore_header(const struct luks_place *at, const char *path, struct err *err)
{
	auto_session struct luks_session s = { .lock_fd = -1 };
	struct luks_probe backup;
	int rc = luks_session_begin(&s, at, true, err);

	if (!rc)
		rc = check_backup(&s, path, &backup, err);
	if (!rc)
		rc = check_key(at, path, err);
	if (rc)
		return rc;
	rc = crypt_header_restore(s.cd, backup.version == 1 ? CRYPT_LUKS1 : CRYPT_LUKS2, path);
	return rc < 0 ? luks_session_fail(&s, rc, err, "the header cannot be restored") : 0;
}

int luks_import_mark(const struct luks_place *at, uint64_t position, uint64_t size, struct err *err)
{
	auto_session struct luks_session s = { .lock_fd = -1 };
	struct luks_json j;
	char text[160];
	int rc = luks_session_open(&s, at, true, err);

	if (rc)
		return rc;
	if (!luks_session_is2(&s))
		return err_set(err, -ENOTSUP, "%s: a LUKS1 header has no place for it", at->volume);
	rc = luks_session_json(&s, &j, err);
	if (rc)
		return rc;
	if (position == size && j.import_token < 0)
		return 0;
	snprintf(text, sizeof text, "{\"type\":\"hull-import\",\"keyslots\":[],\"position\":\"%llu\",\"size\":\"%llu\"}",
		(unsigned long long)position, (unsigned long long)size);
	rc = crypt_token_json_set(s.cd, j.import_token < 0 ? CRYPT_ANY_TOKEN : j.import_token, position == size ? NULL : text);
	return rc < 0 ? luks_session_fail(&s, rc, err, "how far the import has come cannot be written") : 0;
}
