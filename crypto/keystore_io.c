/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's file. A writer holds PATH.lock, which is never removed or replaced, so the lock outlives the rename; it writes
 * PATH.new and renames it. Readers need no lock: a rename shows them the old file or the new one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include "crypto/keystore_priv.h"
#include "lib/folder.h"
#include "lib/scope.h"

enum { LOCK_STEP_MS = 10 };

int io_read(const char *path, uint8_t **data, size_t *len, struct err *err)
{
	/* Not blocking: a FIFO in its place must not hold us up. */
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	auto_free uint8_t *bytes = NULL;
	struct stat st;
	size_t size, got = 0;

	if (fd < 0 || fstat(fd, &st))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s: is not a regular file", path);
	if (st.st_size > STORE_MAX)
		return err_set(err, -EINVAL, "%s: has %lld bytes, a key store at most %d", path, (long long)st.st_size, STORE_MAX);
	size = (size_t)st.st_size;
	bytes = malloc(size + 1);
	if (!bytes)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	while (got < size) {
		ssize_t n = read(fd, bytes + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "%s: %s", path, strerror(errno));
		if (!n)
			break;
		got += (size_t)n;
	}
	*data = take_ptr(bytes);
	*len = got;
	return 0;
}

/* New files belong to whom the store belongs: one that root has changed must still open for its service. */
static int keep_owner(int fd, const char *path)
{
	struct stat old, new;

	if (stat(path, &old))
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &new))
		return -errno;
	if (old.st_uid == new.st_uid && old.st_gid == new.st_gid)
		return 0;
	return fchown(fd, old.st_uid, old.st_gid) ? -errno : 0;
}

int io_lock(const char *path, unsigned wait_ms, int *fd, struct err *err)
{
	auto_free char *name = NULL;
	auto_close int lock = -1;

	if (asprintf(&name, "%s.lock", path) < 0) {
		name = NULL;
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	}
	lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (lock < 0)
		return err_set(err, -errno, "%s: %s", name, strerror(errno));
	if (keep_owner(lock, path))
		return err_set(err, -errno, "%s: cannot be given to the store's owner: %s", name, strerror(errno));
	for (unsigned waited = 0; flock(lock, LOCK_EX | LOCK_NB); waited += LOCK_STEP_MS) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return err_set(err, -errno, "%s: cannot be locked: %s", name, strerror(errno));
		if (waited >= wait_ms)
			return err_set(err, -EBUSY, "%s: another program is changing this key store; try again", path);
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_STEP_MS * 1000000 }, NULL);
	}
	*fd = take_fd(lock);
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int rename_fresh(const char *from, const char *to)
{
	if (!renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE))
		return 0;
	/* Not every file system knows this; two programs of ours are kept apart by the lock. */
	if (errno == EINVAL || errno == ENOSYS)
		return access(to, F_OK) ? rename(from, to) : (errno = EEXIST, -1);
	return -1;
}

int io_replace(const char *path, const void *data, size_t len, bool fresh, struct err *err)
{
	auto_free char *tmp = NULL;
	auto_close int fd = -1;
	int rc;

	if (asprintf(&tmp, "%s.new", path) < 0) {
		tmp = NULL;
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	}
	if (unlink(tmp) && errno != ENOENT)	/* of a writer that was killed */
		return err_set(err, -errno, "%s: %s", tmp, strerror(errno));
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", tmp, strerror(errno));
	rc = write_all(fd, data, len);
	if (!rc && fchmod(fd, 0600))
		rc = -errno;
	if (!rc)
		rc = keep_owner(fd, path);
	if (!rc && fsync(fd))
		rc = -errno;
	if (!rc && (fresh ? rename_fresh(tmp, path) : rename(tmp, path)))
		rc = -errno;
	if (rc) {
		unlink(tmp);
		return err_set(err, rc, "%s: is not changed: %s", path, strerror(-rc));
	}
	rc = folder_sync(path);
	return rc ? err_set(err, -ESTALE, "%s: is changed, but its folder cannot be synced: %s", path, strerror(-rc)) : 0;
}
