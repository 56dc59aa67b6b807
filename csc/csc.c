/* SPDX-License-Identifier: Apache-2.0 */
#include "csc/csc.h"
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "crypto/tls.h"
#include "csc/csc_priv.h"
#include "lib/link/relay.h"
#include "lib/link/socket.h"
#include "lib/log.h"
#include "lib/scope.h"

#define MS 1000000ull
enum { ACCEPTS_A_ROUND = 16, RETRY_MS = 50 };

/* ---- who we are, and who is no more */

static bool is_revoked(X509_CRL *crl, const char *serial)
{
	BIGNUM *n = NULL;
	ASN1_INTEGER *number = crl && BN_hex2bn(&n, serial) ? BN_to_ASN1_INTEGER(n, NULL) : NULL;
	X509_REVOKED *entry;
	bool found = number && X509_CRL_get0_by_serial(crl, &entry, number) == 1;

	ASN1_INTEGER_free(number);
	BN_free(n);
	return found;
}

static bool parked_is_revoked(void *ctx, const struct parked *parked)
{
	struct csc *csc = ctx;

	return is_revoked(csc->crl, parked->serial);
}

static bool conn_is_revoked(const struct csc *csc, const struct conn *conn)
{
	return conn->known && (is_revoked(csc->crl, conn->serial) || (conn->parked.fd >= 0 && is_revoked(csc->crl, conn->parked.serial)));
}

/* Freeing one may let another go on, or end it: begun anew then. */
static void drop_revoked_conns(struct csc *csc)
{
	struct conn *conn = csc->conns;

	while (conn) {
		if (!conn_is_revoked(csc, conn)) {
			conn = conn->next;
			continue;
		}
		log_info("%s/%s: ended, a certificate was revoked", pki_role_name(conn->id.role), conn->id.name);
		csc->count.revoked++;
		csc_conn_free(conn);
		conn = csc->conns;
	}
}

/* The parked ones behind the connections: what those give back is among them. */
static void drop_revoked(struct csc *csc)
{
	drop_revoked_conns(csc);
	csc->count.revoked += parking_sweep(csc->parking, parked_is_revoked, csc);
	for (struct relayed *r = csc->relayed, *next; r; r = next) {
		next = r->next;
		if (!is_revoked(csc->crl, r->serial) && !is_revoked(csc->crl, r->parked.serial))
			continue;
		log_info("%s/%s to hv/%s: ended, a certificate was revoked", pki_role_name(r->caller.role), r->caller.name, r->parked.server);
		csc->count.revoked++;
		relayed_free(r);
	}
}

static int check_identity(const struct csc *csc, const struct identity *id, struct pki_id *who, struct err *err)
{
	int rc = cert_verify(id->cert, id->ca, id->crl, time(NULL), err);

	if (!rc)
		rc = cert_id(id->cert, who, err);
	if (!rc && who->role != PKI_CSC)
		rc = err_set(err, -EINVAL, "identity: is %s/%s, a relay has role csc", pki_role_name(who->role), who->name);
	if (!rc && csc->id.name[0] && strcmp(csc->id.name, who->name))
		rc = err_set(err, -EINVAL, "identity: is csc/%s, was csc/%s before; start anew for that", who->name, csc->id.name);
	return rc;
}

int csc_set_identity(struct csc *csc, const struct identity *id, struct err *err)
{
	struct pki_id who;
	int rc = check_identity(csc, id, &who, err);

	if (!rc)
		rc = tls_set_identity(csc->tls, id->cert, id->key, id->ca, err);
	if (!rc)
		rc = tls_set_trust(csc->tls, id->ca, id->crl, err);
	if (rc)
		return rc;
	csc->id = who;
	X509_free(csc->ca);
	X509_CRL_free(csc->crl);
	csc->ca = id->ca;
	csc->crl = id->crl;
	X509_up_ref(csc->ca);
	if (csc->crl)
		X509_CRL_up_ref(csc->crl);
	drop_revoked(csc);
	return 0;
}

/* ---- connections */

static void rest(struct csc *csc)
{
	if (!loop_watch_set(csc->watch, 0))
		loop_timer_arm(csc->retry, loop_now_ns() + RETRY_MS * MS);
}

static void on_retry(void *ctx)
{
	struct csc *csc = ctx;

	if (loop_watch_set(csc->watch, EPOLLIN))
		loop_timer_arm(csc->retry, loop_now_ns() + RETRY_MS * MS);
}

/*
 * The oldest that keeps us waiting makes room: for a certificate, for its request, or for the end of TLS; one server must not be
 * able to keep all others out. Until then new ones wait in the kernel's queue: a thousand
 * servers that come at once, after a relay was started again, must not push each other out.
 */
static bool make_room(struct csc *csc)
{
	uint64_t now = loop_now_ns();

	for (struct conn *c = csc->conns; c; c = c->next) {
		if (c->state == CONN_WAITING || now - c->since_ns < csc->config.grace_ms * MS)
			continue;
		csc->count.evicted++;
		csc_conn_free(c);
		return true;
	}
	csc->count.held_back++;
	return false;
}

static void on_accept(void *ctx, int listener, uint32_t events)
{
	struct csc *csc = ctx;
	struct err err;

	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd;

		if (csc->conn_count >= csc->config.connections && !make_room(csc)) {
			rest(csc);
			return;
		}
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			if (errno != EAGAIN) {
				csc->count.accept_failed++;
				log_limited(LOG_WARN, "cannot accept: %s", strerror(errno));
				rest(csc);
			}
			return;
		}
		csc->count.accepted++;
		if (csc_conn_create(csc, fd, &err))
			log_limited(LOG_WARN, "%s", err.text);
	}
}

static void on_lost(void *ctx, const struct parked *parked, enum parking_loss why)
{
	struct csc *csc = ctx;

	csc->count.parked_gone += why == PARKING_GONE;
	csc->count.parked_spoke += why == PARKING_SPOKE;
	csc->count.parked_evicted += why == PARKING_EVICTED;
	if (why == PARKING_SPOKE)
		log_limited(LOG_WARN, "hv/%s: speaks without having been called", parked->server);
}

/* A handshake takes tens of KiB in small pieces, and a parked server's few hundred bytes lie between them. */
static void on_trim(void *ctx)
{
	struct csc *csc = ctx;

	csc->trimming = false;
	malloc_trim(0);
}

/* ---- life */

static int start_tls(struct csc *csc, const struct identity *id, struct err *err)
{
	struct tls_config tls = { .server = true, .alpn = RELAY_ALPN, .ca = id->ca, .crl = id->crl, .cert = id->cert, .key = id->key,
		.lean = true };
	int rc = tls_create(&tls, &csc->tls, err);

	return rc ? rc : csc_set_identity(csc, id, err);
}

static int start_parts(struct csc *csc, struct err *err)
{
	int rc = parking_create(csc->loop, csc->config.parked, csc->config.per_server, on_lost, csc, &csc->parking, err);

	if (!rc)
		rc = pipes_create(&csc->pipes, err);
	if (!rc && ticket_spent_create(csc->config.tickets, &csc->spent))
		rc = err_set(err, -ENOMEM, "relay: out of memory");
	return rc;
}

static int start_listening(struct csc *csc, struct err *err)
{
	int rc = socket_listen(csc->config.listen, &csc->fd, csc->address, err);

	if (rc)
		return rc;
	rc = loop_timer_create(csc->loop, on_retry, csc, &csc->retry);
	if (!rc)
		rc = loop_timer_create(csc->loop, on_trim, csc, &csc->trim);
	if (!rc)
		rc = loop_watch_add(csc->loop, csc->fd, EPOLLIN, on_accept, csc, &csc->watch);
	return rc ? err_set(err, rc, "relay: cannot be started: %s", strerror(-rc)) : 0;
}

int csc_create(struct loop *loop, const struct csc_config *config, const struct identity *id, struct csc **out, struct err *err)
{
	struct csc *csc = calloc(1, sizeof *csc);
	int rc;

	*out = NULL;
	if (!csc)
		return err_set(err, -ENOMEM, "relay: out of memory");
	*csc = (struct csc){ .loop = loop, .config = *config, .fd = -1, .since = time(NULL) };
	csc->end = &csc->conns;
	csc->waiting_end = &csc->waiting;
	rc = start_parts(csc, err);
	if (!rc)
		rc = start_tls(csc, id, err);
	if (!rc)
		rc = start_listening(csc, err);
	if (rc)
		csc_free(csc);
	else
		*out = csc;
	return rc;
}

void csc_free(struct csc *csc)
{
	if (!csc)
		return;
	while (csc->conns)
		csc_conn_free(csc->conns);
	while (csc->relayed)
		relayed_free(csc->relayed);
	parking_free(csc->parking);
	pipes_free(csc->pipes);
	loop_watch_remove(csc->watch);
	loop_timer_free(csc->retry);
	loop_timer_free(csc->trim);
	scope_close(&csc->fd);
	SSL_CTX_free(csc->tls);
	X509_free(csc->ca);
	X509_CRL_free(csc->crl);
	ticket_spent_free(csc->spent);
	free(csc);
}

const char *csc_address(const struct csc *csc)
{
	return csc->address;
}
