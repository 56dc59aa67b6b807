/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: handshake, then requests, one after the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "crypto/tls.h"
#include "lib/ctl.h"
#include "lib/log.h"
#include "lma/service_priv.h"

void conn_free(struct conn *conn)
{
	struct service *s = conn->service;

	*conn->link_ = conn->next;
	if (conn->next)
		conn->next->link_ = conn->link_;
	else
		s->end = conn->link_;
	s->conn_count--;
	link_free(conn->link);
	loop_timer_free(conn->delay);
	json_decref(conn->held);
	free(conn);
}

static void on_ready(void *ctx)
{
	struct conn *conn = ctx;
	struct err err;
	int rc = tls_peer(link_ssl(conn->link), time(NULL), &conn->id, &conn->cert, &err);

	if (!rc || rc == -EACCES)
		return;
	conn->service->count.peer_refused++;
	log_limited(LOG_WARN, "%s: %s", link_peer(conn->link), err.text);
	conn_free(conn);
}

/* False: the connection is gone. */
static bool say(struct conn *conn, json_t *answer)
{
	char *text;
	size_t len;
	int rc = answer ? ctl_text(answer, &text, &len) : -ENOMEM;

	json_decref(answer);
	if (!rc) {
		rc = link_write(conn->link, text, len);
		ctl_text_free(text, len);
	}
	if (!rc)
		return true;
	if (rc == -EAGAIN)
		conn->service->count.unread++;
	else
		log_limited(LOG_WARN, "%s: cannot be answered: %s", link_peer(conn->link), strerror(-rc));
	conn_free(conn);
	return false;
}

static void on_delay(void *ctx)
{
	struct conn *conn = ctx;
	json_t *answer = conn->held;

	conn->held = NULL;
	conn->deaf = true;
	link_pause(conn->link, false);
	if (say(conn, answer))
		link_end(conn->link);
}

/* Who guesses tokens waits for each answer, and connects anew for each guess. */
static bool hold(struct conn *conn, json_t *answer)
{
	struct service *s = conn->service;

	if (!answer || loop_timer_create(s->loop, on_delay, conn, &conn->delay)) {
		json_decref(answer);
		conn_free(conn);
		return false;
	}
	conn->held = answer;
	link_pause(conn->link, true);
	loop_timer_arm(conn->delay, loop_now_ns() + s->config.refuse_ms * 1000000ull);
	return true;
}

static bool serve(struct conn *conn, const json_t *request)
{
	struct reply reply = { 0 };
	struct err err = { .text = "" };
	const char *verb;
	json_t *answer;
	json_int_t id;
	int rc = ctl_request(request, &id, &verb, &err);

	conn->service->count.requests++;
	if (rc) {
		conn->service->count.bad_message++;
		log_limited(LOG_WARN, "%s: %s", link_peer(conn->link), err.text);
		conn_free(conn);
		return false;
	}
	rc = verb_run(conn, verb, request, &reply, &err);
	answer = rc ? ctl_error(id, rc, err.text) : ctl_ok(id, reply.ok);
	return reply.delay ? hold(conn, answer) : say(conn, answer);
}

static size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
	struct conn *conn = ctx;
	struct err err;
	json_t *msg;
	size_t used;

	if (conn->deaf)
		return len;
	if (ctl_parse(data, len, &used, &msg, &err)) {
		conn->service->count.bad_message++;
		log_limited(LOG_WARN, "%s: %s", link_peer(conn->link), err.text);
		conn_free(conn);
		return len;
	}
	if (used) {
		(void)serve(conn, msg);
		json_decref(msg);
	}
	return used;
}

static void on_end(void *ctx)
{
	struct conn *conn = ctx;

	link_end(conn->link);
}

static void on_closed(void *ctx, const struct err *why)
{
	struct conn *conn = ctx;
	struct service_counters *count = &conn->service->count;
	bool open = link_ssl(conn->link) && SSL_is_init_finished(link_ssl(conn->link));

	if (why->code == -ETIMEDOUT && open)
		count->idle++;
	else if (why->code == -ETIMEDOUT)
		count->handshake_late++;
	else if (why->code && !open)
		count->handshake_failed++;
	else if (why->code)
		count->broken++;
	if (why->code)
		log_limited(LOG_INFO, "%s: %s", link_peer(conn->link), why->text);
	conn_free(conn);
}

static const struct link_ops ops = { .ready = on_ready, .read = on_read, .end = on_end, .closed = on_closed };

int conn_create(struct service *s, int fd, struct err *err)
{
	struct link_config config = { .tls = s->tls, .server = true, .alpn = "hull-ctl/1", .handshake_s = s->config.handshake_s,
		.idle_s = s->config.idle_s, .secret = true };
	struct conn *conn = calloc(1, sizeof *conn);
	int rc;

	if (!conn) {
		close(fd);
		return err_set(err, -ENOMEM, "connection: out of memory");
	}
	conn->service = s;
	rc = link_create(s->loop, fd, &config, &ops, conn, &conn->link, err);
	if (rc) {
		free(conn);
		return rc;
	}
	conn->link_ = s->end;
	*s->end = conn;
	s->end = &conn->next;
	s->conn_count++;
	return 0;
}
