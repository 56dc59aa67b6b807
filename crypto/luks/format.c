/* SPDX-License-Identifier: Apache-2.0 */
/* Making a LUKS volume, and its key slots. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "crypto/luks/luks_priv.h"
#include "lib/bits.h"
#include "lib/filelock.h"
#include "lib/scope.h"

enum { HEADER_BYTES = 16 << 20, LOOK = 1 << 20 };

/* A header without key slots is what a format leaves that was cut short. */
static bool is_cut_short(const struct luks_place *at)
{
	struct luks_info info;

	if (luks_info(at, &info, NULL))
		return false;
	for (unsigned i = 0; i < array_len(info.slot); i++)
		if (info.slot[i].used)
			return false;
	return true;
}

/* What stands at the beginning, in words; NULL when it is zeroes. */
static const char *what_is_there(int fd)
{
	auto_free uint8_t *data = calloc(1, LOOK);
	ssize_t n = data ? pread(fd, data, LOOK, 0) : 0;

	if (n <= 0)
		return NULL;
	if (n > 6 && !memcmp(data, "LUKS\xba\xbe", 6))
		return "a LUKS volume";
	if (n > 0x43a && data[0x438] == 0x53 && data[0x439] == 0xef)
		return "an ext file system";
	if (n > 512 && data[510] == 0x55 && data[511] == 0xaa)
		return "a partition table";
	for (ssize_t i = 0; i < n; i++)
		if (data[i])
			return "data";
	return NULL;
}

static int check_empty(const struct luks_place *at, int fd, const char *path, bool force, struct err *err)
{
	const char *what = force ? NULL : what_is_there(fd);

	if (!what || is_cut_short(at))
		return 0;
	return err_set(err, -EEXIST, "%s: holds %s; format with --force if it may be lost", path, what);
}

/* New files for nobody else; gone again when the format fails before it wrote anything. */
static int open_or_make(const char *path, bool *made, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	*made = fd >= 0;
	if (fd >= 0 || errno == EEXIST)
		return fd >= 0 ? fd : luks_open_file(path, O_RDWR, NULL, err);
	return err_set(err, -errno, "%s: cannot be made: %s", path, strerror(errno));
}

static int grow(int fd, const char *path, uint64_t size, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size >= size)
		return 0;
	return ftruncate(fd, (off_t)size) ? err_set(err, -errno, "%s: cannot grow to %llu bytes: %s", path, (unsigned long long)size,
		strerror(errno)) : 0;
}

static uint64_t data_offset(const struct luks_place *at)
{
	return luks_place_header(at) == at->volume ? HEADER_BYTES : 0;
}

/* The header's room is claimed first: a full medium is met before anything is written. */
static int claim(int fd, const char *path, struct err *err)
{
	struct stat st;
	int rc;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return 0;
	rc = -posix_fallocate(fd, 0, HEADER_BYTES);
	if (!rc || rc == -EOPNOTSUPP || rc == -EINVAL)
		return 0;
	return err_set(err, rc, "%s: no room for a header of 16 MiB: %s", path, strerror(-rc));
}

static int check_shape(const struct luks_place *at, const struct luks_format *how, uint64_t size, struct err *err)
{
	if (how->version != 1 && how->version != 2)
		return err_set(err, -EINVAL, "%s: LUKS has versions 1 and 2", at->volume);
	if (!bits_is_pow2(how->sector) || how->sector < 512 || how->sector > 4096 || (how->version == 1 && how->sector != 512))
		return err_set(err, -EINVAL, "%s: sectors have 512, 1024, 2048 or 4096 bytes%s", at->volume,
			how->version == 1 ? "; LUKS1: 512" : "");
	if (how->size & (how->sector - 1))
		return err_set(err, -EINVAL, "%s: a size of %llu is no multiple of its sectors", at->volume, (unsigned long long)how->size);
	if (size <= data_offset(at))
		return err_set(err, -ENOSPC, "%s: has %llu bytes; the header takes the first %llu: give a --size", at->volume,
			(unsigned long long)size, (unsigned long long)data_offset(at));
	if ((size - data_offset(at)) & (how->sector - 1))
		return err_set(err, -EINVAL, "%s: its %llu bytes are no multiple of %u: choose --sector 512", at->volume,
			(unsigned long long)size, how->sector);
	return 0;
}

static int write_header(struct luks_session *s, const struct luks_format *how, const struct secret *key, struct err *err)
{
	struct crypt_params_luks1 one = { .hash = "sha256", .data_alignment = data_offset(s->at) / 512 };
	struct crypt_params_luks2 two = { .sector_size = how->sector, .data_alignment = data_offset(s->at) / 512 };
	struct crypt_pbkdf_type least = { .type = CRYPT_KDF_PBKDF2, .hash = "sha256", .iterations = 1000,
		.flags = CRYPT_PBKDF_NO_BENCHMARK };
	struct secret volume_key;
	int rc;

	if (luks_place_header(s->at) != s->at->volume)
		two.data_device = one.data_device = s->at->volume;
	if (secret_create(&volume_key, 64))
		return err_set(err, -ENOMEM, "%s: no memory for its key", s->at->volume);
	secret_random(volume_key.data, volume_key.len);
	/* The digest of a random volume key needs no more. */
	rc = crypt_set_pbkdf_type(s->cd, &least);
	if (rc >= 0)
		rc = crypt_format(s->cd, how->version == 1 ? CRYPT_LUKS1 : CRYPT_LUKS2, "aes", "xts-plain64", NULL, (const char *)volume_key.data,
			volume_key.len, how->version == 1 ? (void *)&one : (void *)&two);
	if (rc < 0)
		rc = luks_session_fail(s, rc, err, "the header cannot be written");
	else
		rc = luks_session_cost(s, &how->cost, err);
	if (!rc) {
		rc = crypt_keyslot_add_by_volume_key(s->cd, 0, (const char *)volume_key.data, volume_key.len, (const char *)key->data,
			key->len);
		rc = rc < 0 ? luks_session_fail(s, rc, err, "the key slot cannot be written") : 0;
	}
	secret_destroy(&volume_key);
	return rc;
}

struct format {
	const struct luks_place *at;
	int fd, header_fd;
	bool made, header_made;
};

static int prepare(struct format *f, const struct luks_format *how, struct err *err)
{
	const struct luks_place *at = f->at;
	bool detached = luks_place_header(at) != at->volume;
	uint64_t size;
	int rc, fd;

	f->fd = open_or_make(at->volume, &f->made, err);
	if (f->fd < 0)
		return f->fd;
	rc = at->locked ? 0 : filelock_take(f->fd, at->volume, false, err);
	if (!rc)
		rc = check_empty(at, f->fd, at->volume, how->force, err);
	if (!rc && how->size)
		rc = grow(f->fd, at->volume, data_offset(at) + how->size, err);
	if (rc)
		return rc;
	fd = luks_open_file(at->volume, O_RDWR, &size, err);
	if (fd < 0)
		return fd;
	close(fd);
	rc = check_shape(at, how, size, err);
	if (rc || !detached)
		return rc ? rc : claim(f->fd, at->volume, err);
	f->header_fd = open_or_make(at->header, &f->header_made, err);
	if (f->header_fd < 0)
		return f->header_fd;
	rc = check_empty(at, f->header_fd, at->header, how->force, err);
	return rc ? rc : claim(f->header_fd, at->header, err);
}

int luks_format(const struct luks_place *at, const struct luks_format *how, const struct secret *key, struct err *err)
{
	struct format f = { .at = at, .fd = -1, .header_fd = -1 };
	struct luks_place locked = *at;
	auto_session struct luks_session s = { .lock_fd = -1 };
	int rc = prepare(&f, how, err);

	locked.locked = true;
	if (!rc)
		rc = luks_session_begin(&s, &locked, true, err);
	if (!rc)
		rc = write_header(&s, how, key, err);
	if (!rc && (fsync(f.fd) || (f.header_fd >= 0 && fsync(f.header_fd))))
		rc = err_set(err, -errno, "%s: %s", at->volume, strerror(errno));
	if (rc && f.made)
		unlink(at->volume);
	if (rc && f.header_made)
		unlink(at->header);
	if (f.fd >= 0)
		close(f.fd);
	if (f.header_fd >= 0)
		close(f.header_fd);
	return rc;
}
