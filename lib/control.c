/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/control.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/control_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

/* The socket's mode keeps others out already; this holds where a file system does not mind it. */
static bool may_ask(int fd)
{
	struct ucred who;
	socklen_t len = sizeof who;

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) && (!who.uid || who.uid == geteuid());
}

static void on_connect(void *ctx, int fd, uint32_t events)
{
	struct control *c = ctx;
	int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (conn < 0) {
		int code = errno;

		if (code != EAGAIN)
			log_limited(LOG_WARN, "control socket: cannot accept: %s", strerror(code));
		rest_after(c->rest, code);
		return;
	}
	if (!may_ask(conn)) {
		log_limited(LOG_WARN, "control socket: another user was refused");
		close(conn);
		c->refused++;
	} else if (control_conn_add(c, conn)) {
		log_limited(LOG_WARN, "control socket: %d connections already, another one was refused", CONTROL_CONNS);
		c->refused++;
	}
}

/* A server that was killed leaves its socket behind. */
static int remove_stale(const struct sockaddr_un *addr, struct err *err)
{
	auto_close int fd = -1;
	struct stat st;

	if (lstat(addr->sun_path, &st))
		return errno == ENOENT ? 0 : err_set(err, -errno, "%s", strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST, "something that is no socket stands there");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "%s", strerror(errno));
	if (!connect(fd, (const struct sockaddr *)addr, sizeof *addr) || errno != ECONNREFUSED)
		return err_set(err, -EBUSY, "another program listens there");
	return unlink(addr->sun_path) ? err_set(err, -errno, "%s", strerror(errno)) : 0;
}

static int listen_on(struct control *c, struct err *err)
{
	int r = remove_stale(&c->addr, err);

	if (r)
		return r;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* The socket's own mode becomes the path's: it is never open to others, not even for a moment. */
	if (c->fd < 0 || fchmod(c->fd, 0600))
		return err_set(err, -errno, "%s", strerror(errno));
	if (bind(c->fd, (struct sockaddr *)&c->addr, sizeof c->addr)) {
		r = err_set(err, errno == EADDRINUSE ? -EBUSY : -errno, "%s", strerror(errno));
		c->addr.sun_path[0] = 0;	/* not ours to remove */
		return r;
	}
	r = listen(c->fd, CONTROL_CONNS) ? -errno : 0;
	r = r ? r : loop_watch_add(c->loop, c->fd, EPOLLIN, on_connect, c, &c->watch);
	r = r ? r : rest_create(c->loop, c->watch, &c->rest);
	return r ? err_set(err, r, "%s", strerror(-r)) : 0;
}

int control_create(struct loop *loop, const char *path, const struct control_verb *verbs, void *ctx, struct control **out,
	struct err *err)
{
	struct control *c;
	int r;

	if (!*path || strlen(path) >= sizeof c->addr.sun_path)
		return err_set(err, -ENAMETOOLONG, "control socket: path \"%s\" must have 1 to %zu characters", path,
			sizeof c->addr.sun_path - 1);
	c = calloc(1, sizeof *c);
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	*c = (struct control){ .loop = loop, .verbs = verbs, .ctx = ctx, .fd = -1, .addr.sun_family = AF_UNIX };
	strcpy(c->addr.sun_path, path);
	r = listen_on(c, err);
	if (r) {
		if (c->fd < 0)
			c->addr.sun_path[0] = 0;
		control_free(c);
		return err_prefix(err, "control socket %s", path);
	}
	*out = c;
	return 0;
}

void control_event(struct control *c, uint64_t conn, json_t *event)
{
	for (unsigned i = 0; c && conn && i < CONTROL_CONNS; i++) {
		if (c->conn[i] && c->conn[i]->id == conn) {
			control_conn_send(c->conn[i], json_incref(event));
			/* Its watch closes it: the caller may stand inside one of its requests. */
			if (c->conn[i]->broken)
				shutdown(c->conn[i]->fd, SHUT_RDWR);
		}
	}
	json_decref(event);
}

void control_free(struct control *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < CONTROL_CONNS; i++)
		if (c->conn[i])
			control_conn_free(c->conn[i]);
	rest_free(c->rest);
	loop_watch_remove(c->watch);
	if (c->fd >= 0) {
		close(c->fd);
		if (c->addr.sun_path[0])
			unlink(c->addr.sun_path);
	}
	free(c);
}
