/* SPDX-License-Identifier: Apache-2.0 */
#include "lma/service.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "crypto/tls.h"
#include "lib/link/socket.h"
#include "lib/log.h"
#include "lib/scope.h"
#include "lma/service_priv.h"

#define NS 1000000000ull
enum { ACCEPTS_A_ROUND = 16, RETRY_MS = 100, CHECK_S = 3600, BUSY_S = 5 };

/* ---- the store and what follows from it */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
		a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int set_trust(struct service *s, struct err *err)
{
	X509_CRL *crl;
	char *text = NULL;
	int rc = ca_crl(s->ca, time(NULL), &crl, err);

	if (rc)
		return rc;
	rc = cert_crl_text(crl, &text) ? err_set(err, -ENOMEM, "revocation list: out of memory") :
		tls_set_trust(s->tls, ca_cert(s->ca), crl, err);
	X509_CRL_free(crl);
	if (rc) {
		free(text);
		return rc;
	}
	free(s->crl);
	s->crl = text;
	s->crl_len = strlen(text);
	s->crl_edition++;
	return 0;
}

static int make_identity(struct service *s, struct err *err)
{
	struct pki_id id = { .role = PKI_LMA };
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int rc = cert_key_create(&key, err);

	snprintf(id.name, sizeof id.name, "%s", s->config.name);
	if (!rc)
		rc = ca_issue(s->ca, &id, key, CA_LIFE_S, time(NULL), &cert, err);
	if (!rc)
		rc = tls_set_identity(s->tls, cert, key, ca_cert(s->ca), err);
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}

int service_fresh(struct service *s, struct err *err)
{
	struct pki_id id;
	struct stat st;
	int rc;

	if (stat(s->config.store, &st))
		return err_set(err, -errno, "%s: %s", s->config.store, strerror(errno));
	if (same_file(&st, &s->seen))
		return 0;
	rc = keystore_refresh(s->ks, err);
	if (!rc)
		rc = set_trust(s, err);
	if (!rc && ca_check(s->ca, SSL_CTX_get0_certificate(s->tls), time(NULL), &id, NULL))
		rc = make_identity(s, err);	/* somebody revoked ours */
	if (!rc)
		s->seen = st;	/* as it was before it was read: a later change shows */
	return rc;
}

/* Every hour: a third of our certificate's life is many of these. */
static void on_renew(void *ctx)
{
	struct service *s = ctx;
	struct err err;
	X509 *cert = SSL_CTX_get0_certificate(s->tls);
	unsigned forgotten;
	int rc = ca_prune(s->ca, time(NULL), &forgotten, &err);

	if (!rc && cert_until(cert) - time(NULL) < CA_LIFE_S / 3)
		rc = make_identity(s, &err);
	if (!rc)
		rc = set_trust(s, &err);
	if (rc && rc != -EBUSY)
		log_error("%s", err.text);
	loop_timer_arm(s->renew, loop_now_ns() + (rc == -EBUSY ? BUSY_S : CHECK_S) * NS);
}

int service_reload(struct service *s, struct err *err)
{
	int rc = audit_reopen(s->audit, err);

	s->seen = (struct stat){ 0 };
	return rc ? rc : service_fresh(s, err);
}

/* ---- connections */

/* The oldest that has shown no certificate makes room: whoever fills all places can't keep them from those who have one. */
static bool make_room(struct service *s)
{
	for (struct conn *c = s->conns; c; c = c->next) {
		if (c->cert)
			continue;
		s->count.evicted++;
		conn_free(c);
		return true;
	}
	s->count.refused_full++;
	log_limited(LOG_WARN, "all %u connections are taken", s->config.connections);
	return false;
}

static void on_accept(void *ctx, int fd, uint32_t events);

static void on_retry(void *ctx)
{
	struct service *s = ctx;

	if (loop_watch_set(s->watch, EPOLLIN))
		loop_timer_arm(s->retry, loop_now_ns() + RETRY_MS * 1000000ull);
}

/* Without descriptors or memory the socket stays readable: look the other way for a moment. */
static void rest(struct service *s, int code)
{
	s->count.accept_failed++;
	log_limited(LOG_WARN, "cannot accept: %s", strerror(code));
	if (!loop_watch_set(s->watch, 0))
		loop_timer_arm(s->retry, loop_now_ns() + RETRY_MS * 1000000ull);
}

static void on_accept(void *ctx, int listener, uint32_t events)
{
	struct service *s = ctx;
	struct err err;

	if (service_fresh(s, &err))
		log_limited(LOG_ERROR, "%s", err.text);
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				rest(s, errno);
			if (errno != EINTR && errno != ECONNABORTED)
				return;
			continue;
		}
		s->count.accepted++;
		if (s->conn_count >= s->config.connections && !make_room(s)) {
			close(fd);
			continue;
		}
		if (conn_create(s, fd, &err))
			log_limited(LOG_WARN, "%s", err.text);
	}
}

/* ---- making */

static int start_tls(struct service *s, struct err *err)
{
	struct tls_config tls = { .server = true, .alpn = "hull-ctl/1", .ca = ca_cert(s->ca), .peer_optional = true, .lean = true };
	int rc = tls_create(&tls, &s->tls, err);

	if (!rc)
		rc = make_identity(s, err);
	return rc ? rc : service_fresh(s, err);
}

static int start_listening(struct service *s, struct err *err)
{
	int rc = socket_listen(s->config.listen, &s->fd, s->address, err);

	if (rc)
		return rc;
	rc = loop_timer_create(s->loop, on_retry, s, &s->retry);
	if (!rc)
		rc = loop_timer_create(s->loop, on_renew, s, &s->renew);
	if (!rc)
		rc = loop_watch_add(s->loop, s->fd, EPOLLIN, on_accept, s, &s->watch);
	if (rc)
		return err_set(err, rc, "service: cannot be started: %s", strerror(-rc));
	loop_timer_arm(s->renew, 1);
	return 0;
}

int service_create(struct loop *loop, struct keystore *ks, const struct service_config *config, struct service **out,
	struct err *err)
{
	struct service *s = calloc(1, sizeof *s);
	int rc;

	*out = NULL;
	if (!s)
		return err_set(err, -ENOMEM, "service: out of memory");
	*s = (struct service){ .loop = loop, .ks = ks, .config = *config, .fd = -1 };
	s->end = &s->conns;
	rc = pki_name_check(config->name, err);
	if (!rc)
		rc = ca_open(ks, &s->ca, err);
	if (!rc)
		rc = audit_open(config->audit, &s->audit, err);
	if (!rc)
		rc = start_tls(s, err);
	if (!rc)
		rc = start_listening(s, err);
	if (rc) {
		service_free(s);
		return rc;
	}
	/* From here on nobody waits for another program: who asks is told to ask again. */
	keystore_set_patience(ks, 0);
	*out = s;
	return rc;
}

void service_free(struct service *s)
{
	if (!s)
		return;
	while (s->conns)
		conn_free(s->conns);
	loop_watch_remove(s->watch);
	loop_timer_free(s->retry);
	loop_timer_free(s->renew);
	if (s->fd >= 0)
		close(s->fd);
	SSL_CTX_free(s->tls);
	audit_close(s->audit);
	ca_free(s->ca);
	free(s->crl);
	free(s);
}

const char *service_address(const struct service *s)
{
	return s->address;
}

unsigned service_connections(const struct service *s)
{
	return s->conn_count;
}

const struct service_counters *service_counters(const struct service *s)
{
	return &s->count;
}

void service_log_counters(const struct service *s)
{
	const struct { const char *name, *what; uint64_t n; } all[] = {
#define X(name, what) { #name, what, s->count.name },
		SERVICE_COUNTERS(X)
#undef X
	};

	for (size_t i = 0; i < array_len(all); i++)
		if (all[i].n)
			log_info("%s: %llu (%s)", all[i].name, (unsigned long long)all[i].n, all[i].what);
}
