/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/trust.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "crypto/identity_folder.h"
#include "crypto/tls.h"
#include "lcg/trust_priv.h"
#include "lib/l2/wire.h"
#include "lib/link/relay.h"
#include "lib/log.h"

struct trust {
	struct trust_shared *shared;
	struct identity id;
	struct pki_id self;
	SSL_CTX *tls, *tls_relay;
	struct loop_watch *watch;
	loop_fn *renewed;
	void *ctx;
	bool threaded;
	pthread_t thread;
};

/* ---- shared with the thread */

void trust_queue_put(struct trust_queue *q, struct trust_job *job)
{
	job->next = NULL;
	*(q->last ? q->last : &q->first) = job;
	q->last = &job->next;
	q->count++;
}

struct trust_job *trust_queue_take(struct trust_queue *q)
{
	struct trust_job *job = q->first;

	if (!job)
		return NULL;
	q->first = job->next;
	if (!q->first)
		q->last = NULL;
	q->count--;
	return job;
}

struct identity trust_share(const struct identity *id)
{
	if (id->ca)
		X509_up_ref(id->ca);
	if (id->cert)
		X509_up_ref(id->cert);
	if (id->key)
		EVP_PKEY_up_ref(id->key);
	if (id->crl)
		X509_CRL_up_ref(id->crl);
	return *id;
}

void trust_unref(struct trust_shared *s)
{
	struct trust_job *job;
	bool last;

	pthread_mutex_lock(&s->lock);
	last = !--s->users;
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	while ((job = trust_queue_take(&s->todo)) || (job = trust_queue_take(&s->done)))
		free(job);
	identity_drop(&s->fresh);
	identity_drop(&s->id);
	if (s->event_fd >= 0)
		close(s->event_fd);
	pthread_cond_destroy(&s->wake);
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
	free(s->dir);
	free(s->lma);
	free(s);
}

static int share(const struct trust_config *config, struct trust_shared **out)
{
	struct trust_shared *s = calloc(1, sizeof *s);
	pthread_condattr_t clock;

	*out = s;
	if (!s)
		return -ENOMEM;
	s->users = 1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &clock);
	pthread_cond_init(&s->idle, &clock);
	pthread_condattr_destroy(&clock);
	s->dir = strdup(config->dir);
	s->lma = config->lma ? strdup(config->lma) : NULL;
	s->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return s->event_fd < 0 ? -errno : s->dir && !s->lma == !config->lma ? 0 : -ENOMEM;
}

/* ---- contexts */

static int make_contexts(const struct identity *id, SSL_CTX **tls, SSL_CTX **tls_relay, struct err *err)
{
	struct tls_config c = { .alpn = WIRE_ALPN, .ca = id->ca, .crl = id->crl, .cert = id->cert, .key = id->key };
	int rc = tls_create(&c, tls, err);

	if (rc)
		return rc;
	c.alpn = RELAY_ALPN;
	rc = tls_create(&c, tls_relay, err);
	if (rc) {
		SSL_CTX_free(*tls);
		*tls = NULL;
	}
	return rc;
}

static void take_identity(struct trust *t, struct identity *id)
{
	SSL_CTX *tls = NULL, *tls_relay = NULL;
	struct err err;

	if (make_contexts(id, &tls, &tls_relay, &err)) {
		log_error("identity: %s: the old one goes on being used", err.text);
		identity_drop(id);
		return;
	}
	SSL_CTX_free(t->tls);
	SSL_CTX_free(t->tls_relay);
	t->tls = tls;
	t->tls_relay = tls_relay;
	identity_drop(&t->id);
	t->id = *id;
	t->renewed(t->ctx);
}

/* ---- what the thread has done */

static void on_event(void *ctx, int fd, uint32_t events)
{
	struct trust *t = ctx;
	struct trust_shared *s = t->shared;
	struct identity fresh;
	struct trust_job *job;
	uint64_t n;

	if (read(fd, &n, sizeof n) < 0 && errno != EAGAIN)
		log_limited(LOG_ERROR, "identity: eventfd: %m");
	pthread_mutex_lock(&s->lock);
	fresh = s->fresh;
	s->fresh = (struct identity){ 0 };
	pthread_mutex_unlock(&s->lock);
	if (fresh.cert)
		take_identity(t, &fresh);
	for (;;) {
		pthread_mutex_lock(&s->lock);
		job = trust_queue_take(&s->done);
		pthread_mutex_unlock(&s->lock);
		if (!job)
			return;
		if (job->ctx)
			job->fn((void *)job->ctx, job->ticket, job->count, &job->why);
		free(job);
	}
}

/* ---- questions */

int trust_ask(struct trust *t, const char *caller, const char *callee, const char *nic, unsigned count, trust_fn *fn, void *ctx)
{
	struct trust_shared *s = t->shared;
	struct trust_job *job;

	if (!s->lma)
		return -ENOTCONN;
	job = calloc(1, sizeof *job);
	if (!job)
		return -ENOMEM;
	job->fn = fn;
	job->ctx = ctx;
	job->want = count < TRUST_TICKETS ? count : TRUST_TICKETS;
	if (caller)
		snprintf(job->caller, sizeof job->caller, "hv/%s", caller);
	snprintf(job->callee, sizeof job->callee, "%s", callee);
	snprintf(job->nic, sizeof job->nic, "%s", nic);
	pthread_mutex_lock(&s->lock);
	if (s->todo.count >= TRUST_JOBS) {
		pthread_mutex_unlock(&s->lock);
		free(job);
		return -EAGAIN;
	}
	s->counters.asked++;
	trust_queue_put(&s->todo, job);
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static void forget_in(struct trust_queue *q, const void *ctx)
{
	for (struct trust_job *job = q->first; job; job = job->next)
		if (job->ctx == ctx)
			job->ctx = NULL;
}

void trust_forget(struct trust *t, const void *ctx)
{
	struct trust_shared *s = t->shared;

	pthread_mutex_lock(&s->lock);
	forget_in(&s->todo, ctx);
	forget_in(&s->done, ctx);
	if (s->busy && s->busy->ctx == ctx)
		s->busy->ctx = NULL;
	pthread_mutex_unlock(&s->lock);
}

/* ---- its life */

static int start_thread(struct trust *t, struct err *err)
{
	struct trust_shared *s = t->shared;
	int rc;

	s->users++;
	rc = -pthread_create(&t->thread, NULL, trust_thread, s);
	if (rc) {
		s->users--;
		return err_set(err, rc, "identity: no thread: %s", strerror(-rc));
	}
	t->threaded = true;
	return 0;
}

static int load(struct trust *t, const char *dir, struct err *err)
{
	int rc = identity_load(dir, &t->id, err);

	if (!rc && cert_id(t->id.cert, &t->self, err))
		rc = err_prefix(err, "%s/identity.pem", dir);
	if (!rc && t->self.role != PKI_LCG)
		rc = err_set(err, -EINVAL, "%s/identity.pem: is of %s/%s; a gateway needs one of role lcg (hull pki token --role lcg)", dir,
			pki_role_name(t->self.role), t->self.name);
	if (!rc && cert_verify(t->id.cert, t->id.ca, NULL, time(NULL), err))
		rc = err_prefix(err, "%s/identity.pem", dir);
	return rc ? err_prefix(err, "identity") : make_contexts(&t->id, &t->tls, &t->tls_relay, err);
}

int trust_is_same(const struct trust *t, const struct trust_config *config, bool *same, struct err *err)
{
	struct identity id = { 0 };
	int rc;

	*same = !strcmp(t->shared->dir, config->dir) && !t->shared->lma == !config->lma &&
		(!config->lma || !strcmp(t->shared->lma, config->lma));
	rc = identity_load(config->dir, &id, err);
	if (rc)
		return err_prefix(err, "identity");
	*same = *same && !X509_cmp(id.cert, t->id.cert) && !X509_cmp(id.ca, t->id.ca);
	identity_drop(&id);
	return 0;
}

int trust_create(struct loop *loop, const struct trust_config *config, loop_fn *renewed, void *ctx, struct trust **trust,
	struct err *err)
{
	struct trust *t = calloc(1, sizeof *t);
	int rc = t ? share(config, &t->shared) : -ENOMEM;

	*trust = NULL;
	if (rc) {
		rc = err_set(err, rc, "identity: %s", strerror(-rc));
	} else {
		t->renewed = renewed;
		t->ctx = ctx;
		rc = load(t, config->dir, err);
	}
	if (!rc) {
		t->shared->id = trust_share(&t->id);
		rc = loop_watch_add(loop, t->shared->event_fd, EPOLLIN, on_event, t, &t->watch);
		if (rc)
			(void)err_set(err, rc, "identity: %s", strerror(-rc));
	}
	if (!rc && config->lma)
		rc = start_thread(t, err);
	if (rc)
		trust_free(t, true);
	else
		*trust = t;
	return rc;
}

static bool stop_thread(struct trust *t, bool wait)
{
	struct trust_shared *s = t->shared;
	struct timespec until;
	int rc = 0;
	bool over;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	while (wait && !s->over && !rc)
		rc = pthread_cond_timedwait(&s->idle, &s->lock, &until);
	over = s->over;
	pthread_mutex_unlock(&s->lock);
	/* what OpenSSL keeps for a thread goes with it: it must not be going while the process ends */
	if (over)
		pthread_join(t->thread, NULL);
	else
		pthread_detach(t->thread);
	return over;
}

bool trust_free(struct trust *t, bool wait)
{
	bool over = true;

	if (!t)
		return true;
	loop_watch_remove(t->watch);
	if (t->threaded)
		over = stop_thread(t, wait);
	if (t->shared)
		trust_unref(t->shared);
	SSL_CTX_free(t->tls);
	SSL_CTX_free(t->tls_relay);
	identity_drop(&t->id);
	free(t);
	return over;
}

const char *trust_name(const struct trust *t) { return t->self.name; }
time_t trust_until(const struct trust *t) { return cert_until(t->id.cert); }
SSL_CTX *trust_tls(const struct trust *t) { return t->tls; }
SSL_CTX *trust_tls_relay(const struct trust *t) { return t->tls_relay; }

void trust_counters(const struct trust *t, struct trust_counters *counters)
{
	pthread_mutex_lock(&t->shared->lock);
	*counters = t->shared->counters;
	pthread_mutex_unlock(&t->shared->lock);
}

bool trust_lma_is_away(const struct trust *t)
{
	bool away;

	pthread_mutex_lock(&t->shared->lock);
	away = t->shared->away;
	pthread_mutex_unlock(&t->shared->lock);
	return away;
}
