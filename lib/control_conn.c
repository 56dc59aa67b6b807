/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/control_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

/* ---- out */

static void watch_for(struct control_conn *conn)
{
	if (conn->watch && loop_watch_set(conn->watch, EPOLLIN | (conn->out_len ? EPOLLOUT : 0u)))
		conn->broken = true;
}

static void flush_out(struct control_conn *conn)
{
	while (conn->out_len && !conn->broken) {
		ssize_t n = send(conn->fd, conn->out, conn->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			conn->broken = errno != EAGAIN;
			return;
		}
		conn->out_len -= (size_t)n;
		memmove(conn->out, conn->out + n, conn->out_len);
	}
}

static int grow(struct control_conn *conn, size_t need)
{
	size_t size = conn->out_size ? conn->out_size : 4096;
	char *p;

	if (need > CONTROL_OUT) {
		log_limited(LOG_WARN, "control socket: a peer that does not read was dropped");
		return -ENOBUFS;
	}
	while (size < need)
		size *= 2;
	p = size == conn->out_size ? conn->out : realloc(conn->out, size);
	if (!p)
		return -ENOMEM;
	conn->out = p;
	conn->out_size = size;
	return 0;
}

void control_conn_send(struct control_conn *conn, json_t *msg)
{
	char *text = NULL;
	size_t len = 0;

	if (!msg || ctl_text(msg, &text, &len) || grow(conn, conn->out_len + len)) {
		conn->broken = true;
	} else if (!conn->broken) {
		memcpy(conn->out + conn->out_len, text, len);
		conn->out_len += len;
		flush_out(conn);
		watch_for(conn);
	}
	if (text)
		ctl_text_free(text, len);
	json_decref(msg);
}

/* ---- in */

static int carry_out(struct control_conn *conn, const char *name, const json_t *request, json_t **ok, struct err *err)
{
	struct control *c = conn->c;

	for (const struct control_verb *v = c->verbs; v->name; v++)
		if (!strcmp(v->name, name))
			return v->run(c->ctx, conn->id, request, ok, err);
	return err_set(err, -ENOSYS, "\"%.40s\": no such request here", name);
}

/* A number to answer to is all that a request must have; whatever else is wrong with it is said. */
static void on_request(struct control_conn *conn, const json_t *request)
{
	struct err err = { 0 };
	json_t *ok = NULL;
	const char *name;
	json_int_t id;
	int r;

	if (ctl_request(request, &id, &name, &err)) {
		log_limited(LOG_WARN, "control socket: %s", err.text);
		conn->broken = true;
		return;
	}
	r = carry_out(conn, name, request, &ok, &err);
	if (r) {
		json_decref(ok);
		control_conn_send(conn, ctl_error(id, r, err.text[0] ? err.text : strerror(-r)));
	} else {
		control_conn_send(conn, ctl_ok(id, ok));
	}
}

static void parse(struct control_conn *conn)
{
	size_t pos = 0;

	while (!conn->broken) {
		struct err err = { 0 };
		json_t *msg = NULL;
		size_t used;

		if (ctl_parse(conn->in + pos, conn->in_len - pos, &used, &msg, &err)) {
			log_limited(LOG_WARN, "control socket: %s", err.text);
			conn->broken = true;
			return;
		}
		if (!used)
			break;
		pos += used;
		on_request(conn, msg);
		json_decref(msg);
	}
	conn->in_len -= pos;
	memmove(conn->in, conn->in + pos, conn->in_len);
}

/* One read a round: a peer that writes without end has its turn like others. */
void control_conn_read(struct control_conn *conn)
{
	ssize_t n = recv(conn->fd, conn->in + conn->in_len, sizeof conn->in - conn->in_len, MSG_DONTWAIT);

	if (n > 0) {
		conn->in_len += (size_t)n;
		parse(conn);
	} else if (!n || (errno != EAGAIN && errno != EINTR)) {
		conn->broken = true;
	}
	if (conn->broken)
		control_conn_free(conn);
}

/* ---- its life */

static void on_ready(void *ctx, int fd, uint32_t events)
{
	struct control_conn *conn = ctx;

	if (events & EPOLLOUT) {
		flush_out(conn);
		watch_for(conn);
	}
	if (!conn->broken && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		control_conn_read(conn);
	else if (conn->broken)
		control_conn_free(conn);
}

int control_conn_add(struct control *c, int fd)
{
	struct control_conn *conn = NULL;
	int r = 0;

	for (unsigned i = 0; i < CONTROL_CONNS && !conn; i++) {
		if (c->conn[i])
			continue;
		conn = c->conn[i] = calloc(1, sizeof *conn);
		if (!conn)
			break;
	}
	if (!conn) {
		close(fd);
		return -ENOBUFS;
	}
	conn->c = c;
	conn->id = ++c->last_id;
	conn->fd = fd;
	if (c->loop)
		r = loop_watch_add(c->loop, fd, EPOLLIN, on_ready, conn, &conn->watch);
	if (r)
		control_conn_free(conn);
	return r;
}

void control_conn_free(struct control_conn *conn)
{
	struct control *c = conn->c;

	for (unsigned i = 0; i < CONTROL_CONNS; i++)
		if (c->conn[i] == conn)
			c->conn[i] = NULL;
	loop_watch_remove(conn->watch);
	close(conn->fd);
	free(conn->out);
	free(conn);
}
