/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "hv/console_priv.h"
#include "lib/scope.h"

#define LOG_BUFFER 4096
#define LOG_FILES_MAX 99

struct console_log {
	int dir, fd;		/* the folder stays open: rotation needs no path after the sandbox is shut */
	char name[256];
	uint64_t bytes, size;	/* limit; bytes in the file now */
	unsigned files;
	uint64_t errors;
	size_t used;
	uint8_t buf[LOG_BUFFER];
};

/* path, path.1, path.2 …; room for the longest suffix is kept free by console_log_open */
static void name_of(const struct console_log *l, unsigned i, char *name, size_t size)
{
	if (i)
		snprintf(name, size, "%s.%u", l->name, i);
	else
		snprintf(name, size, "%s", l->name);
}

/* O_NONBLOCK: a FIFO put in its place must not stop us in open. */
static int open_file(struct console_log *l, int flags)
{
	return openat(l->dir, l->name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600);
}

/* Renames are atomic: at no moment is a name half there. */
static int shift(struct console_log *l)
{
	char from[sizeof l->name + 16], to[sizeof from];

	for (unsigned i = l->files - 1; i > 0; i--) {
		name_of(l, i - 1, from, sizeof from);
		name_of(l, i, to, sizeof to);
		if (renameat(l->dir, from, l->dir, to) && errno != ENOENT)
			return -errno;
	}
	return 0;
}

static void rotate(struct console_log *l)
{
	int fd = shift(l) ? -1 : open_file(l, O_TRUNC);

	if (fd >= 0) {
		close(l->fd);
		l->fd = fd;
	} else {
		/* the size limit holds even when the old text cannot be kept */
		l->errors++;
		if (ftruncate(l->fd, 0))
			l->errors++;
	}
	l->size = 0;
}

static void put(struct console_log *l, const uint8_t *buf, size_t n)
{
	while (n) {
		ssize_t done = write(l->fd, buf, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			l->errors++;
			return;
		}
		l->size += (uint64_t)done;
		buf += done;
		n -= (size_t)done;
	}
}

void console_log_flush(struct console_log *l)
{
	if (!l->used)
		return;
	if (l->size && l->size + l->used > l->bytes)
		rotate(l);
	put(l, l->buf, l->used);
	l->used = 0;
}

void console_log_write(struct console_log *l, const uint8_t *buf, size_t n)
{
	while (n) {
		size_t part = sizeof l->buf - l->used < n ? sizeof l->buf - l->used : n;

		memcpy(l->buf + l->used, buf, part);
		l->used += part;
		buf += part;
		n -= part;
		if (l->used == sizeof l->buf)
			console_log_flush(l);
	}
}

uint64_t console_log_errors(const struct console_log *l)
{
	return l->errors;
}

static int open_folder(struct console_log *l, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char folder[4096];

	if (!*name || strlen(name) > 240 || strlen(path) >= sizeof folder)
		return -EINVAL;
	snprintf(l->name, sizeof l->name, "%s", name);
	snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	l->dir = open(folder, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return l->dir < 0 ? -errno : 0;
}

int console_log_open(const char *path, uint64_t bytes, unsigned files, struct console_log **log, struct err *err)
{
	struct console_log *l;
	struct stat st;
	int rc;

	if (bytes < LOG_BUFFER || !files || files > LOG_FILES_MAX)
		return err_set(err, -EINVAL, "console log %s: size must be at least %d bytes, files 1 to %d", path,
			       LOG_BUFFER, LOG_FILES_MAX);
	l = calloc(1, sizeof *l);
	if (!l)
		return err_set(err, -ENOMEM, "out of memory");
	*l = (struct console_log){ .dir = -1, .fd = -1, .bytes = bytes, .files = files };
	rc = open_folder(l, path);
	if (!rc && ((l->fd = open_file(l, 0)) < 0 || fstat(l->fd, &st)))
		rc = -errno;
	if (!rc && !S_ISREG(st.st_mode))
		rc = -EINVAL;
	if (rc) {
		console_log_close(l);
		return err_set(err, rc, "cannot open console log %s: %s", path, strerror(-rc));
	}
	l->size = (uint64_t)st.st_size;
	*log = l;
	return 0;
}

void console_log_close(struct console_log *l)
{
	if (!l)
		return;
	if (l->fd >= 0) {
		console_log_flush(l);
		close(l->fd);
	}
	if (l->dir >= 0)
		close(l->dir);
	free(l);
}
