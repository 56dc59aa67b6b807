/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/hull/control.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "lib/ctl.h"

int control_dial(const char *path, const char *program, int *fd, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const struct timeval patience = { .tv_sec = 60 };

	if (strlen(path) >= sizeof addr.sun_path)
		return err_set(err, -ENAMETOOLONG, "%s: the path of a socket has at most %zu characters", path, sizeof addr.sun_path - 1);
	strcpy(addr.sun_path, path);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	/* A program that stands still is no reason to wait for ever. */
	setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (!connect(*fd, (struct sockaddr *)&addr, sizeof addr))
		return 0;
	if (errno == ECONNREFUSED)
		return err_set(err, -ECONNREFUSED, "%s: no %s listens here", path, program);
	return err_set(err, -errno, "%s: %s", path, strerror(errno));
}

int control_ask(int fd, json_t *request, json_t **ok, struct err *err)
{
	int rc = ctl_call(fd, request, ok, err);

	json_decref(request);
	return rc;
}
