/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "lib/folder.h"
#include "lib/scope.h"
#include "tools/hull/hull.h"

int file_load(const char *path, struct env **env, struct err *err)
{
	auto_free void *blob = NULL;
	size_t len = strlen(path);
	int rc;

	*env = NULL;
	if (len < 4 || strcmp(path + len - 4, ".dts"))
		return env_load(path, env, err);
	rc = env_compile(path, &blob, &len, err);
	return rc ? rc : env_parse(path, blob, len, env, err);
}

static int write_all(int fd, const char *data, size_t len)
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
	return fsync(fd) ? -errno : 0;
}

int file_replace(const char *path, const void *data, size_t len, struct err *err)
{
	auto_free char *tmp = NULL;
	auto_close int fd = -1;
	mode_t mask = umask(0);
	int rc;

	umask(mask);
	if (asprintf(&tmp, "%s.XXXXXX", path) < 0) {
		tmp = NULL;
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	}
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	rc = write_all(fd, data, len);
	if (!rc && (fchmod(fd, 0666 & ~mask) || rename(tmp, path)))
		rc = -errno;
	if (rc) {
		unlink(tmp);
		return err_set(err, rc, "%s: %s", path, strerror(-rc));
	}
	rc = folder_sync(path);
	return rc ? err_set(err, rc, "%s: is written but its folder cannot be synced: %s", path, strerror(-rc)) : 0;
}
