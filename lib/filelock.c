/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/filelock.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

static int refuse(int error, const char *path, struct err *err)
{
	if (error == EWOULDBLOCK || error == EACCES)
		return err_set(err, -EBUSY, "%s: disk is in use by another process (locked); stop it first", path);
	return err_set(err, -error, "%s: cannot lock: %s", path, strerror(error));
}

int filelock_take(int fd, const char *path, bool shared, struct err *err)
{
	struct flock whole = { .l_type = shared ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	int error;

	if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB))
		return refuse(errno, path, err);
	if (fcntl(fd, F_OFD_SETLK, &whole)) {
		error = errno;
		flock(fd, LOCK_UN);	/* both or none */
		return refuse(error, path, err);
	}
	return 0;
}
