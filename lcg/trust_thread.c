/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that talks with the management application: one question after the other, and each minute a look at certificate
 * and list.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "crypto/identity_folder.h"
#include "lcg/trust_priv.h"
#include "lib/log.h"

#define SECOND_NS 1000000000ull

enum { LOOK_S = 60, AWAY_MAX_S = 30 };

/* ---- there and away */

static void count(struct trust_shared *s, uint64_t *counter)
{
	pthread_mutex_lock(&s->lock);
	++*counter;
	pthread_mutex_unlock(&s->lock);
}

static bool set_away(struct trust_shared *s, bool away)
{
	bool was;

	pthread_mutex_lock(&s->lock);
	was = s->away;
	s->away = away;
	s->counters.away += away && !was;
	pthread_mutex_unlock(&s->lock);
	return was != away;
}

static void is_there(struct trust_shared *s)
{
	s->tries = 0;
	if (set_away(s, false))
		log_info("the management application at %s answers again", s->lma);
}

static void is_away(struct trust_shared *s, const struct err *why)
{
	uint64_t pause = s->tries < 5 ? 1u << s->tries : AWAY_MAX_S;

	s->tries++;
	s->try_ns = loop_now_ns() + pause * SECOND_NS;
	s->away_why = *why;
	if (set_away(s, true))
		log_warn("the management application is away, the gateway goes on with what it has: %s", why->text);
}

/* ---- tickets */

static int connect_client(struct trust_shared *s, struct err *err)
{
	int rc;

	if (s->client && lmaclient_alive(s->client))
		return 0;
	lmaclient_close(s->client);
	s->client = NULL;
	if (loop_now_ns() < s->try_ns) {
		*err = s->away_why;
		return err->code;
	}
	rc = lmaclient_open(s->lma, &s->id, NULL, &s->client, err);
	if (rc)
		is_away(s, err);
	else
		is_there(s);
	return rc;
}

static json_t *question(const struct trust_job *job)
{
	json_t *q = json_pack("{s:s, s:s, s:s, s:i}", "do", "ticket", "callee", job->callee, "nic", job->nic, "count", (int)job->want);

	if (q && *job->caller && json_object_set_new(q, "caller", json_string(job->caller))) {
		json_decref(q);
		return NULL;
	}
	return q;
}

/* A connection that was silent for a minute may have been ended, which shows when it is used. */
static int call(struct trust_shared *s, const struct trust_job *job, json_t **ok, struct err *err)
{
	bool fresh = !s->client || !lmaclient_alive(s->client);
	int rc = connect_client(s, err);

	if (rc)
		return rc;
	rc = lmaclient_call(s->client, question(job), ok, err);
	if (!rc || lmaclient_alive(s->client) || fresh)
		return rc;
	rc = connect_client(s, err);
	return rc ? rc : lmaclient_call(s->client, question(job), ok, err);
}

/* Only what is a ticket of our authority, for whom it was asked, is taken. */
static int take(struct trust_shared *s, struct trust_job *job, const json_t *ok, struct err *err)
{
	const json_t *list = json_object_get(ok, "tickets"), *item;
	struct ticket t;
	size_t i;

	json_array_foreach(list, i, item) {
		const char *text = json_string_value(item);
		struct trust_ticket *into = job->ticket + job->count;
		int rc;

		if (!text || job->count == job->want || strlen(text) >= sizeof into->text)
			return err_set(err, -EPROTO, "answer: tickets that nobody asked for");
		rc = ticket_verify(text, strlen(text), s->id.ca, time(NULL), &t, err);
		if (rc)
			return rc;
		if (strcmp(t.callee.name, job->callee) || strcmp(t.nic, job->nic))
			return err_set(err, -EPROTO, "answer: a ticket for another server");
		strcpy(into->text, text);
		into->until = t.until;
		job->count++;
	}
	return job->count ? 0 : err_set(err, -EPROTO, "answer: holds no ticket");
}

static void ask(struct trust_shared *s, struct trust_job *job)
{
	json_t *ok = NULL;
	int rc = call(s, job, &ok, &job->why);

	if (!rc)
		rc = take(s, job, ok, &job->why);
	json_decref(ok);
	if (rc)
		job->count = 0;
	job->why.code = rc;
	pthread_mutex_lock(&s->lock);
	s->counters.tickets += job->count;
	s->counters.refused += rc && !s->away;
	pthread_mutex_unlock(&s->lock);
}

/* ---- certificate and list */

static bool fetch_list(struct trust_shared *s)
{
	struct err err;

	if (!identity_crl_due(&s->id, time(NULL)))
		return false;
	if (identity_fetch_crl(s->lma, &s->id, &err)) {
		count(s, &s->counters.list_failures);
		log_limited(LOG_WARN, "revocation list: %s", err.text);
		return false;
	}
	count(s, &s->counters.lists);
	return true;
}

static bool renew(struct trust_shared *s)
{
	struct err err;

	if (!identity_due(&s->id, time(NULL)))
		return false;
	if (identity_renew(s->lma, &s->id, &err)) {
		count(s, &s->counters.renewal_failures);
		log_limited(LOG_WARN, "certificate: cannot be renewed: %s", err.text);
		return false;
	}
	count(s, &s->counters.renewals);
	log_info("certificate: renewed");
	return true;
}

/* The list first: it may be what says that the application's new certificate is good. */
static void look(struct trust_shared *s)
{
	bool news = fetch_list(s);
	struct err err;

	news |= renew(s);
	if (!news)
		return;
	if (identity_save(s->dir, &s->id, &err))
		log_warn("identity: %s: what was renewed is lost when the gateway ends", err.text);
	/* the next question shows the new certificate */
	lmaclient_close(s->client);
	s->client = NULL;
	pthread_mutex_lock(&s->lock);
	identity_drop(&s->fresh);
	s->fresh = trust_share(&s->id);
	pthread_mutex_unlock(&s->lock);
}

/* ---- the thread */

static void tell(struct trust_shared *s)
{
	const uint64_t one = 1;

	if (write(s->event_fd, &one, sizeof one) < 0)
		log_limited(LOG_ERROR, "identity: eventfd: %m");
}

/* Holds the lock on entry and exit. */
static void wait_until(struct trust_shared *s, uint64_t ns)
{
	struct timespec until = { .tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS) };

	pthread_cond_timedwait(&s->wake, &s->lock, &until);
}

static void work(struct trust_shared *s, struct trust_job *job)
{
	s->busy = job;
	pthread_mutex_unlock(&s->lock);
	ask(s, job);
	pthread_mutex_lock(&s->lock);
	s->busy = NULL;
	trust_queue_put(&s->done, job);
	tell(s);
}

void *trust_thread(void *shared)
{
	struct trust_shared *s = shared;
	uint64_t look_ns = 0;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		struct trust_job *job;

		if (loop_now_ns() >= look_ns) {
			pthread_mutex_unlock(&s->lock);
			look(s);
			look_ns = loop_now_ns() + LOOK_S * SECOND_NS;
			pthread_mutex_lock(&s->lock);
			tell(s);
		} else if ((job = trust_queue_take(&s->todo))) {
			work(s, job);
		} else {
			wait_until(s, look_ns);
		}
	}
	pthread_mutex_unlock(&s->lock);
	lmaclient_close(s->client);
	pthread_mutex_lock(&s->lock);
	s->over = true;
	pthread_cond_signal(&s->idle);
	pthread_mutex_unlock(&s->lock);
	trust_unref(s);
	return NULL;
}
