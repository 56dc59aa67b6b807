/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/folder.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "lib/scope.h"

int folder_sync(const char *path)
{
	auto_free char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;
	auto_close int fd = -1;

	if (!folder)
		return -ENOMEM;
	if (slash)
		slash[slash == folder] = 0;
	fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? -errno : 0;
}
