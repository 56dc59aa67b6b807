/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection while it is TLS: handshake, one request, its answer, the end of TLS from both sides. Then only the socket is
 * left, and goes to the parking or to a pair.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "crypto/tls.h"
#include "csc/csc_priv.h"
#include "lib/ctl.h"
#include "lib/link/relay.h"
#include "lib/log.h"

#define NS 1000000000ull
enum { TRIM_S = 1 };

static void unlink_conn(struct conn *conn)
{
	struct csc *csc = conn->csc;

	*conn->link_ = conn->next;
	if (conn->next)
		conn->next->link_ = conn->link_;
	else
		csc->end = conn->link_;
	csc->conn_count--;
}

void csc_conn_free(struct conn *conn)
{
	struct csc *csc = conn->csc;
	struct err err;

	unlink_conn(conn);
	if (conn->state == CONN_WAITING)
		call_unwait(conn);
	link_free(conn->link);
	loop_timer_free(conn->late);
	if (conn->parked.fd >= 0) {
		csc->count.given_back++;
		if (parking_add(csc->parking, &conn->parked, &err))
			log_limited(LOG_WARN, "%s", err.text);
		else
			call_serve(csc);
	}
	free(conn);
	if (!csc->trimming) {
		csc->trimming = true;
		loop_timer_arm(csc->trim, loop_now_ns() + TRIM_S * NS);
	}
}

void csc_conn_arm(struct conn *conn, uint32_t seconds)
{
	loop_timer_arm(conn->late, loop_now_ns() + seconds * NS);
}

static void on_late(void *ctx)
{
	struct conn *conn = ctx;

	if (conn->state == CONN_WAITING) {
		call_give_up(conn);
		return;
	}
	conn->csc->count.late++;
	log_limited(LOG_INFO, "%s: too late", link_peer(conn->link));
	csc_conn_free(conn);
}

/* ---- answers */

void csc_conn_leave(struct conn *conn, enum conn_state state, int code, const char *text)
{
	json_t *answer = code ? ctl_error(conn->request, code, text) : ctl_ok(conn->request, NULL);
	char *message;
	size_t len;
	int rc = answer ? ctl_text(answer, &message, &len) : -ENOMEM;

	json_decref(answer);
	if (!rc) {
		rc = link_write(conn->link, message, len);
		ctl_text_free(message, len);
	}
	if (rc) {
		log_limited(LOG_WARN, "%s: cannot be answered: %s", link_peer(conn->link), strerror(-rc));
		csc_conn_free(conn);
		return;
	}
	conn->state = state;
	conn->since_ns = loop_now_ns();
	csc_conn_arm(conn, conn->csc->config.handshake_s);
	link_end(conn->link);
}

static void refuse(struct conn *conn, int code, const char *text)
{
	log_limited(LOG_INFO, "%s (%s/%s): %s", link_peer(conn->link), pki_role_name(conn->id.role), conn->id.name, text);
	csc_conn_leave(conn, CONN_REFUSED, code, text);
}

/* ---- requests */

static void park(struct conn *conn, const json_t *request)
{
	const char *server = json_string_value(json_object_get(request, "server"));
	const char *nic = json_string_value(json_object_get(request, "nic"));
	struct csc *csc = conn->csc;

	if (!server || !nic || pki_name_check(nic, NULL) || strlen(nic) >= sizeof conn->nic) {
		csc->count.bad_message++;
		refuse(conn, -EINVAL, "park: needs \"server\" and \"nic\"");
	} else if (conn->id.role != PKI_HV || strcmp(server, conn->id.name)) {
		csc->count.park_denied++;
		refuse(conn, -EPERM, "park: a server parks under its own name only");
	} else if (parking_count(csc->parking) >= csc->config.parked) {
		csc->count.park_full++;
		refuse(conn, -ENOSPC, "park: this relay is full");
	} else {
		strcpy(conn->server, server);
		strcpy(conn->nic, nic);
		csc_conn_leave(conn, CONN_PARKS, 0, NULL);
	}
}

static void serve(struct conn *conn, const json_t *request)
{
	struct err err = { .text = "" };
	const char *verb;

	if (ctl_request(request, &conn->request, &verb, &err)) {
		conn->csc->count.bad_message++;
		log_limited(LOG_WARN, "%s: %s", link_peer(conn->link), err.text);
		csc_conn_free(conn);
	} else if (!strcmp(verb, "park")) {
		park(conn, request);
	} else if (!strcmp(verb, "call")) {
		call_begin(conn, request);
	} else {
		conn->csc->count.unknown_verb++;
		refuse(conn, -ENOSYS, "no verb of that name");
	}
}

/* ---- the link */

static void on_ready(void *ctx)
{
	struct conn *conn = ctx;
	struct err err;
	X509 *cert;
	int rc = tls_peer(link_ssl(conn->link), time(NULL), &conn->id, &cert, &err);

	if (!rc && conn->id.role != PKI_HV && conn->id.role != PKI_LCG)
		rc = err_set(&err, -EPERM, "%s/%s is no server or gateway", pki_role_name(conn->id.role), conn->id.name);
	if (rc) {
		conn->csc->count.peer_refused++;
		log_limited(LOG_WARN, "%s: %s", link_peer(conn->link), err.text);
		csc_conn_free(conn);
		return;
	}
	conn->known = true;
	cert_serial(cert, conn->serial);
	conn->since_ns = loop_now_ns();
	csc_conn_arm(conn, conn->csc->config.handshake_s);
}

static size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
	struct conn *conn = ctx;
	struct err err = { .text = "" };
	json_t *msg = NULL;
	size_t used = 0;
	int rc;

	if (conn->state == CONN_REFUSED)
		return len;
	rc = ctl_parse(data, len, &used, &msg, &err);
	if (!rc && !used)
		return 0;
	/* what follows a request is for the other end, and comes when TLS has ended */
	if (rc || used != len || conn->state != CONN_NEW) {
		conn->csc->count.bad_message++;
		log_limited(LOG_WARN, "%s: %s", link_peer(conn->link), rc ? err.text : "says more than one request");
		csc_conn_free(conn);
	} else {
		serve(conn, msg);
	}
	json_decref(msg);
	return len;
}

static void on_end(void *ctx)
{
	struct conn *conn = ctx;

	if (conn->state == CONN_NEW || conn->state == CONN_WAITING) {	/* it has changed its mind */
		conn->csc->count.broken++;
		csc_conn_free(conn);
	}
}

static void become_socket(struct conn *conn)
{
	struct parked d = { .since = time(NULL), .fd = link_take_fd(conn->link) };
	struct csc *csc = conn->csc;
	struct err err;

	if (conn->state == CONN_CALLS) {
		relayed_create(conn, d.fd);
		csc_conn_free(conn);
		return;
	}
	strcpy(d.server, conn->server);
	strcpy(d.nic, conn->nic);
	strcpy(d.serial, conn->serial);
	csc_conn_free(conn);
	if (parking_add(csc->parking, &d, &err)) {
		csc->count.park_full++;
		log_limited(LOG_WARN, "%s", err.text);
		return;
	}
	csc->count.parked++;
	call_serve(csc);
}

static void on_closed(void *ctx, const struct err *why)
{
	struct conn *conn = ctx;
	struct csc_counters *count = &conn->csc->count;

	if (!why->code && (conn->state == CONN_PARKS || conn->state == CONN_CALLS)) {
		become_socket(conn);
		return;
	}
	if (conn->known)
		count->broken += !!why->code;
	else if (why->code == -ETIMEDOUT)
		count->handshake_late++;
	else
		count->handshake_failed++;
	if (why->code)
		log_limited(LOG_INFO, "%s: %s", link_peer(conn->link), why->text);
	csc_conn_free(conn);
}

static const struct link_ops ops = { .ready = on_ready, .read = on_read, .end = on_end, .closed = on_closed };

int csc_conn_create(struct csc *csc, int fd, struct err *err)
{
	struct link_config config = { .tls = csc->tls, .server = true, .alpn = RELAY_ALPN, .handshake_s = csc->config.handshake_s,
		.dead_s = csc->config.dead_s };
	struct conn *conn = calloc(1, sizeof *conn);
	int rc;

	if (!conn) {
		close(fd);
		return err_set(err, -ENOMEM, "connection: out of memory");
	}
	*conn = (struct conn){ .csc = csc, .since_ns = loop_now_ns(), .parked.fd = -1 };
	rc = loop_timer_create(csc->loop, on_late, conn, &conn->late);
	if (rc) {
		close(fd);
		(void)err_set(err, rc, "connection: out of memory");
	} else {
		rc = link_create(csc->loop, fd, &config, &ops, conn, &conn->link, err);
	}
	if (rc) {
		loop_timer_free(conn->late);
		free(conn);
		return rc;
	}
	conn->link_ = csc->end;
	*csc->end = conn;
	csc->end = &conn->next;
	csc->conn_count++;
	return 0;
}
