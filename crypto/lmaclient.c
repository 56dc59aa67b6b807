/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/lmaclient.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "crypto/tls.h"
#include "lib/ctl.h"
#include "lib/link/link.h"
#include "lib/link/socket.h"

enum { BUSY_STEP_MS = 100 };

struct lmaclient {
	struct loop *loop;
	struct loop_timer *timer;
	struct link *link;	/* NULL: over */
	SSL_CTX *tls;
	X509 *ca;
	json_t *answer;
	json_int_t id;
	int rc;			/* of what is waited for; 1: still waiting */
	struct err *err;
	struct err why;		/* why the link is over */
	const char *lma;	/* in lmaclient_open only */
};

/* ---- what happens on the link while we wait */

static void settle(struct lmaclient *c, int rc)
{
	if (c->rc <= 0)
		return;
	c->rc = rc;
	loop_stop(c->loop);
}

static void on_ready(void *ctx)
{
	struct lmaclient *c = ctx;
	struct pki_id id;
	X509 *cert;
	int rc = tls_peer(link_ssl(c->link), time(NULL), &id, &cert, c->err);

	if (!rc && id.role != PKI_LMA)
		rc = err_set(c->err, -EKEYREJECTED, "the other side is %s/%s, not a management application", pki_role_name(id.role), id.name);
	if (!rc)
		c->ca = tls_peer_ca(link_ssl(c->link));
	settle(c, rc);
}

static size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
	struct lmaclient *c = ctx;
	size_t used;
	json_t *msg;
	int rc = ctl_parse(data, len, &used, &msg, c->err);

	if (rc) {
		settle(c, rc);
		return len;
	}
	if (!used)
		return 0;
	if (c->rc > 0 && !c->answer && !json_object_get(msg, "event")) {
		c->answer = msg;
		settle(c, 0);
	} else {
		json_decref(msg);
	}
	return used;
}

static void on_closed(void *ctx, const struct err *why)
{
	struct lmaclient *c = ctx;

	if (why->code)
		c->why = *why;
	else
		(void)err_set(&c->why, -EPIPE, "the other side closed the connection");
	link_free(c->link);
	c->link = NULL;
	if (c->rc > 0)
		settle(c, err_set(c->err, c->why.code, "%s", c->why.text));
}

static void on_end(void *ctx)
{
	struct lmaclient *c = ctx;

	link_end(c->link);
}

static void on_time(void *ctx)
{
	struct lmaclient *c = ctx;

	settle(c, err_set(c->err, -ETIMEDOUT, "no answer in %d s", LMACLIENT_WAIT_S));
}

static const struct link_ops ops = { .ready = on_ready, .read = on_read, .end = on_end, .closed = on_closed };

static int wait_for(struct lmaclient *c)
{
	int rc;

	loop_timer_arm(c->timer, loop_now_ns() + LMACLIENT_WAIT_S * 1000000000ull);
	rc = loop_run(c->loop);
	loop_timer_disarm(c->timer);
	if (!rc)
		rc = c->rc;
	if (rc && c->link) {
		c->why.code = rc;
		snprintf(c->why.text, sizeof c->why.text, "the connection was given up before");
		link_free(c->link);
		c->link = NULL;
	}
	c->err = NULL;
	c->rc = 0;
	return rc;
}

/* ---- calls */

static int try_address(struct lmaclient *c, const struct addrinfo *to, struct err *err)
{
	struct link_config config = { .tls = c->tls, .alpn = "hull-ctl/1", .handshake_s = LMACLIENT_WAIT_S, .secret = true };
	int fd, rc = socket_connect(to, &fd, err);

	if (!rc)
		rc = link_create(c->loop, fd, &config, &ops, c, &c->link, err);
	if (rc)
		return rc;
	c->rc = 1;
	c->err = err;
	return wait_for(c);
}

static int connect_any(struct lmaclient *c, struct err *err)
{
	struct addrinfo *list;
	int rc = socket_resolve(c->lma, false, &list, err);

	if (rc)
		return rc;
	for (struct addrinfo *a = list; a; a = a->ai_next) {
		rc = try_address(c, a, err);
		if (!rc || rc == -EPROTO)
			break;
	}
	freeaddrinfo(list);
	return rc ? err_prefix(err, "%.80s", c->lma) : 0;
}

int lmaclient_open(const char *lma, const struct identity *id, const uint8_t *pin, struct lmaclient **out, struct err *err)
{
	struct tls_config tls = { .alpn = "hull-ctl/1", .ca = id->ca, .pin = pin, .crl = id->crl, .cert = id->cert, .key = id->key };
	struct lmaclient *c = calloc(1, sizeof *c);
	int rc;

	*out = NULL;
	if (!c)
		return err_set(err, -ENOMEM, "%.80s: out of memory", lma);
	c->lma = lma;
	rc = loop_create(&c->loop, err);
	if (!rc && loop_timer_create(c->loop, on_time, c, &c->timer))
		rc = err_set(err, -ENOMEM, "%.80s: out of memory", lma);
	if (!rc)
		rc = tls_create(&tls, &c->tls, err);
	if (!rc)
		rc = connect_any(c, err);
	c->lma = NULL;
	if (rc)
		lmaclient_close(c);
	else
		*out = c;
	return rc;
}

static int send_request(struct lmaclient *c, json_t *request, struct err *err)
{
	char *text;
	size_t len;
	int rc = json_object_set_new(request, "id", json_integer(++c->id)) ? -ENOMEM : ctl_text(request, &text, &len);

	if (rc)
		return err_set(err, rc, "request: %s", strerror(-rc));
	rc = link_write(c->link, text, len);
	ctl_text_free(text, len);
	return rc ? err_set(err, rc, "request: %s", strerror(-rc)) : 0;
}

static int call_once(struct lmaclient *c, json_t *request, json_t **ok, struct err *err)
{
	int rc;

	c->rc = 1;
	c->err = err;
	rc = c->link ? send_request(c, request, err) : err_set(err, c->why.code, "%s", c->why.text);
	if (rc) {
		c->rc = 0;
		return rc;
	}
	rc = wait_for(c);
	if (!rc)
		rc = ctl_answer(c->answer, c->id, ok, err);
	json_decref(c->answer);
	c->answer = NULL;
	return rc;
}

int lmaclient_call(struct lmaclient *c, json_t *request, json_t **ok, struct err *err)
{
	uint64_t end = loop_now_ns() + LMACLIENT_BUSY_S * 1000000000ull;
	int rc;

	*ok = NULL;
	if (!request)
		return err_set(err, -ENOMEM, "request: out of memory");
	for (;;) {
		rc = call_once(c, request, ok, err);
		if (rc != -EAGAIN || loop_now_ns() >= end)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = BUSY_STEP_MS * 1000000 }, NULL);
	}
	json_decref(request);
	return rc;
}

X509 *lmaclient_ca(const struct lmaclient *c)
{
	return c->ca;
}

bool lmaclient_alive(const struct lmaclient *c)
{
	return c->link;
}

void lmaclient_close(struct lmaclient *c)
{
	if (!c)
		return;
	link_free(c->link);
	loop_timer_free(c->timer);
	loop_free(c->loop);
	SSL_CTX_free(c->tls);
	X509_free(c->ca);
	json_decref(c->answer);
	free(c);
}
