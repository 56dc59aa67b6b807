/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "hv/console_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

static void refuse(struct listener *l, int fd)
{
	close(fd);
	l->c->stats.readers_refused++;
	log_limited(LOG_WARN, "console %s: %s has %d readers already, another one was refused", l->c->name,
		    l->addr.sun_path, CONSOLE_READERS);
}

/* Without a descriptor to spare, the waiting connection would wake us for ever: take it and drop it. */
static void refuse_without_descriptor(struct listener *l)
{
	int fd;

	if (l->spare < 0)
		return;
	close(l->spare);
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	l->c->stats.readers_refused++;
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void add_reader(struct listener *l, int fd)
{
	struct console *c = l->c;
	struct reader *r = l->readers < CONSOLE_READERS ? console_reader_create(c) : NULL;

	if (!r) {
		refuse(l, fd);
		return;
	}
	r->listener = l;
	l->readers++;
	r->in.fd = fd;
	r->out.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);	/* watched apart from in */
	if (r->out.fd < 0) {
		c->stats.readers_refused++;
		console_reader_free(r);
		return;
	}
	for (size_t i = 0; i < c->scroll_len; i++)
		r->out_buf[i] = c->scrollback[(c->scroll_head + i) % sizeof c->scrollback];
	r->out_len = c->scroll_len;
	console_reader_watch(r);
	console_reader_flush(r);
}

static void on_connect(void *ctx, int fd, uint32_t events)
{
	struct listener *l = ctx;
	int conn = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (conn >= 0)
		add_reader(l, conn);
	else if (errno == EMFILE || errno == ENFILE)
		refuse_without_descriptor(l);
}

/* Remove a socket that nobody listens on any more. */
static int remove_stale(const struct sockaddr_un *addr)
{
	auto_close int fd = -1;
	struct stat st;

	if (lstat(addr->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)addr, sizeof *addr) || errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(addr->sun_path) ? -errno : 0;
}

static int listen_on(struct listener *l)
{
	int rc = remove_stale(&l->addr);

	if (rc)
		return rc;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* the socket's own mode becomes the path's: it is never open to others, not even for a moment */
	if (l->fd < 0 || fchmod(l->fd, 0600))
		return -errno;
	if (bind(l->fd, (struct sockaddr *)&l->addr, sizeof l->addr)) {
		rc = -errno;
		l->addr.sun_path[0] = '\0';	/* not ours to remove */
		return rc;
	}
	if (listen(l->fd, CONSOLE_READERS))
		return -errno;
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return loop_watch_add(l->c->loop, l->fd, EPOLLIN, on_connect, l, &l->watch);
}

void console_listener_free(struct listener *l)
{
	loop_watch_remove(l->watch);
	if (l->fd >= 0) {
		close(l->fd);
		if (l->addr.sun_path[0])
			unlink(l->addr.sun_path);
	}
	if (l->spare >= 0)
		close(l->spare);
	free(l);
}

int console_add_socket(struct console *c, const char *path, enum console_writers writers, struct err *err)
{
	struct listener *l;
	int rc;

	if (!*path || strlen(path) >= sizeof l->addr.sun_path)
		return err_set(err, -ENAMETOOLONG, "console %s: socket path \"%s\" must have 1 to %zu characters", c->name, path,
			       sizeof l->addr.sun_path - 1);
	l = calloc(1, sizeof *l);
	if (!l)
		return err_set(err, -ENOMEM, "out of memory");
	*l = (struct listener){ .c = c, .fd = -1, .spare = -1, .writers = writers, .addr.sun_family = AF_UNIX };
	strcpy(l->addr.sun_path, path);
	rc = listen_on(l);
	if (rc) {
		console_listener_free(l);
		return err_set(err, rc, "console %s: cannot listen on %s: %s", c->name, path,
			       rc == -EEXIST ? "something that is no socket stands there" : strerror(-rc));
	}
	l->next = c->listeners;
	c->listeners = l;
	return 0;
}
