/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include "crypto/secret.h"
#include "lib/scope.h"

/* Room for len bytes in s, of which `used` are kept. */
static int grow(struct secret *s, size_t used, size_t len)
{
	struct secret more;
	int r = secret_create(&more, len);

	if (r)
		return r;
	if (used)
		memcpy(more.data, s->data, used);
	secret_destroy(s);
	*s = more;
	return 0;
}

/* One byte past max is asked for, to tell the end from a cut. */
static int read_all(int fd, const char *name, size_t max, struct secret *s, struct err *err)
{
	size_t used = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (used == room) {
			int r;

			room = room ? room * 2 : 1024;
			if (room > max)
				room = max + 1;
			r = grow(s, used, room);
			if (r) {
				r = secret_refused(err, r);
				return err ? err_prefix(err, "%s", name) : r;
			}
		}
		n = read(fd, s->data + used, room - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "%s: cannot read: %s", name, strerror(errno));
		if (!n)
			break;
		used += (size_t)n;
		if (used > max)
			return err_set(err, -EFBIG, "%s: longer than %zu bytes, so it is not a key that can be used here", name, max);
	}
	s->len = used;
	return 0;
}

int secret_read_fd(int fd, const char *name, size_t max, struct secret *s, struct err *err)
{
	int r;

	*s = (struct secret){ 0 };
	r = read_all(fd, name, max, s, err);
	if (r)
		secret_destroy(s);
	return r;
}

int secret_read_file(const char *path, size_t max, struct secret *s, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	*s = (struct secret){ 0 };
	if (fd < 0)
		return err_set(err, -errno, "%s: cannot open: %s", path, strerror(errno));
	return secret_read_fd(fd, path, max, s, err);
}
