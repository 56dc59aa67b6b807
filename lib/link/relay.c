/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialling → TLS → asked → leaving. The relay's answer ends its side of the TLS, and ours ends with it; what both ends leave
 * behind is the socket (link_take_fd).
 */
#include "lib/link/relay.h"
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include "lib/ctl.h"
#include "lib/link/dial.h"
#include "lib/link/link.h"
#include "lib/scope.h"

#define MS 1000000ull
enum { CONNECT_MS = 10000, HANDSHAKE_S = 10, ANSWER_MS = 15000, DEAD_S = 60, REQUEST_ID = 1 };

struct relay_client {
	struct loop *loop;
	relay_fn *fn;
	void *ctx;
	SSL_CTX *tls;
	struct dial *dial;
	struct link *link;
	struct loop_timer *late;	/* of the answer, and of the relay's end */
	char *request;			/* with its length */
	size_t request_len;
	bool answered;			/* well */
};

static void destroy(struct relay_client *c)
{
	dial_cancel(c->dial);
	link_free(c->link);
	loop_timer_free(c->late);
	SSL_CTX_free(c->tls);
	ctl_text_free(c->request, c->request_len);
	free(c);
}

void relay_cancel(struct relay_client *c)
{
	if (c)
		destroy(c);
}

/* The client is gone before its owner hears, who may ask anew at once. */
static void finish(struct relay_client *c, int fd, const struct err *why)
{
	relay_fn *fn = c->fn;
	void *ctx = c->ctx;
	struct err copy = *why;

	destroy(c);
	fn(ctx, fd, &copy);
}

static void fail(struct relay_client *c, const struct err *why)
{
	finish(c, -1, why);
}

/* ---- the other side is a relay: hull://csc/NAME is its one name (the handshake has verified who signed that) */

static bool is_relay(SSL *ssl)
{
	static const char want[] = "hull://csc/";
	X509 *cert = SSL_get0_peer_certificate(ssl);
	GENERAL_NAMES *names = cert ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;
	const GENERAL_NAME *name = sk_GENERAL_NAME_num(names) == 1 ? sk_GENERAL_NAME_value(names, 0) : NULL;
	const ASN1_STRING *uri = name && name->type == GEN_URI ? name->d.uniformResourceIdentifier : NULL;
	bool ok = uri && ASN1_STRING_length(uri) > (int)strlen(want) &&
		!memcmp(ASN1_STRING_get0_data(uri), want, strlen(want));

	GENERAL_NAMES_free(names);
	return ok;
}

/* ---- the link */

static void on_ready(void *ctx)
{
	struct relay_client *c = ctx;
	struct err err;
	int rc;

	if (!is_relay(link_ssl(c->link))) {
		(void)err_set(&err, -EKEYREJECTED, "relay %s: its certificate is no relay's", link_peer(c->link));
		fail(c, &err);
		return;
	}
	loop_timer_arm(c->late, loop_now_ns() + ANSWER_MS * MS);
	rc = link_write(c->link, c->request, c->request_len);
	if (rc) {
		(void)err_set(&err, rc, "relay %s: cannot be asked: %s", link_peer(c->link), strerror(-rc));
		fail(c, &err);
	}
}

static size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
	struct relay_client *c = ctx;
	struct err err = { .text = "" };
	json_t *msg = NULL, *ok = NULL;
	size_t used;
	int rc = ctl_parse(data, len, &used, &msg, &err);

	if (!rc && !used)
		return 0;
	if (rc || c->answered || used != len)
		rc = err_set(&err, -EPROTO, "relay %s: says something that is no answer", link_peer(c->link));
	else
		rc = ctl_answer(msg, REQUEST_ID, &ok, &err);
	json_decref(msg);
	json_decref(ok);
	if (rc) {
		fail(c, &err);
		return len;
	}
	c->answered = true;
	link_end(c->link);
	return len;
}

static void on_end(void *ctx)
{
	struct relay_client *c = ctx;
	struct err err;

	if (c->answered)
		return;
	(void)err_set(&err, -ECONNRESET, "relay %s: ended without an answer", link_peer(c->link));
	fail(c, &err);
}

static void on_closed(void *ctx, const struct err *why)
{
	struct relay_client *c = ctx;
	struct err err = *why;

	if (why->code) {
		err_prefix(&err, "relay %s", link_peer(c->link));
		fail(c, &err);
		return;
	}
	finish(c, link_take_fd(c->link), &(struct err){ .text = "" });
}

static const struct link_ops ops = { .ready = on_ready, .read = on_read, .end = on_end, .closed = on_closed };

/* ---- connecting */

static void on_dialled(void *ctx, int fd, const struct err *why)
{
	struct relay_client *c = ctx;
	struct link_config config = { .tls = c->tls, .alpn = RELAY_ALPN, .handshake_s = HANDSHAKE_S, .dead_s = DEAD_S };
	struct err err;

	c->dial = NULL;
	if (fd < 0) {
		err = *why;
		err_prefix(&err, "relay");
		fail(c, &err);
	} else if (link_create(c->loop, fd, &config, &ops, c, &c->link, &err)) {
		fail(c, &err);
	}
}

static void on_late(void *ctx)
{
	struct relay_client *c = ctx;
	struct err err;

	(void)err_set(&err, -ETIMEDOUT, "relay %s: no answer in %d s", link_peer(c->link), ANSWER_MS / 1000);
	fail(c, &err);
}

/* request: stolen; NULL is out of memory. */
static int start(struct loop *loop, const char *relay, SSL_CTX *tls, json_t *request, relay_fn *fn, void *ctx,
	struct relay_client **out, struct err *err)
{
	struct relay_client *c = calloc(1, sizeof *c);
	int rc = c && request ? 0 : err_set(err, -ENOMEM, "relay %s: out of memory", relay);

	*out = NULL;
	if (!rc) {
		*c = (struct relay_client){ .loop = loop, .fn = fn, .ctx = ctx, .tls = tls };
		SSL_CTX_up_ref(tls);
		rc = ctl_text(request, &c->request, &c->request_len);
		if (!rc)
			rc = loop_timer_create(loop, on_late, c, &c->late);
		if (rc)
			(void)err_set(err, rc, "relay %s: cannot be asked: %s", relay, strerror(-rc));
	}
	json_decref(request);
	if (!rc)
		rc = dial_start(loop, relay, CONNECT_MS, on_dialled, c, &c->dial, err);
	if (rc && c)
		destroy(c);
	else if (!rc)
		*out = c;
	return rc;
}

int relay_park(struct loop *loop, const char *relay, SSL_CTX *tls, const char *server, const char *nic, relay_fn *fn, void *ctx,
	struct relay_client **client, struct err *err)
{
	return start(loop, relay, tls, json_pack("{s:i, s:s, s:s, s:s}", "id", REQUEST_ID, "do", "park", "server", server, "nic", nic),
		fn, ctx, client, err);
}

int relay_call(struct loop *loop, const char *relay, SSL_CTX *tls, const char *ticket, relay_fn *fn, void *ctx,
	struct relay_client **client, struct err *err)
{
	return start(loop, relay, tls, json_pack("{s:i, s:s, s:s}", "id", REQUEST_ID, "do", "call", "ticket", ticket), fn, ctx,
		client, err);
}
