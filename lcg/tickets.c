/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/tickets.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/log.h"

/* EXPIRES_S: not handed out any more, since the way to the other end takes its time. */
enum { EXPIRES_S = 10 };

struct tickets {
	struct trust *trust;
	char caller[PKI_NAME_MAX + 1], callee[PKI_NAME_MAX + 1], nic[32];
	unsigned want, count;
	bool asking;
	time_t ask_at;
	loop_fn *fresh;
	void *ctx;
	unsigned failures;
	struct err why;
	struct tickets_counters counters;
	struct trust_ticket ticket[2 * TRUST_TICKETS];	/* the oldest first */
};

static void remove_first(struct tickets *t)
{
	memmove(t->ticket, t->ticket + 1, --t->count * sizeof *t->ticket);
}

static void drop_expired(struct tickets *t, time_t now)
{
	while (t->count && t->ticket[0].until <= now + EXPIRES_S) {
		remove_first(t);
		t->counters.expired++;
	}
}

static void on_answer(void *ctx, const struct trust_ticket *fresh, unsigned count, const struct err *why)
{
	struct tickets *t = ctx;

	t->asking = false;
	t->why = *why;
	if (!count) {
		unsigned pause = t->failures < 5 ? 1u << t->failures : TICKETS_PAUSE_MAX_S;

		t->failures++;
		t->counters.refused++;
		t->ask_at = time(NULL) + pause;
		if (why->code == -EPERM)
			log_limited(LOG_WARN, "no ticket for %s %s: %s", t->callee, t->nic, why->text);
		return;
	}
	t->failures = 0;
	/* one that comes late makes room for one that does not */
	for (unsigned i = 0; i < count; i++) {
		if (t->count == sizeof t->ticket / sizeof t->ticket[0])
			remove_first(t);
		t->ticket[t->count++] = fresh[i];
	}
	if (t->fresh)
		t->fresh(t->ctx);
}

static void fill_up(struct tickets *t, time_t now)
{
	unsigned good = 0;

	/* the clock was set back */
	if (t->ask_at > now + TICKETS_PAUSE_MAX_S)
		t->ask_at = 0;
	for (unsigned i = 0; i < t->count; i++)
		good += t->ticket[i].until > now + TICKETS_MARGIN_S;
	if (t->asking || good >= t->want || now < t->ask_at)
		return;
	if (trust_ask(t->trust, *t->caller ? t->caller : NULL, t->callee, t->nic, t->want - good, on_answer, t))
		t->ask_at = now + 1;
	else
		t->asking = true;
}

char *tickets_take(struct tickets *t, time_t now)
{
	char *text = NULL;

	drop_expired(t, now);
	if (t->count) {
		text = strdup(t->ticket[0].text);
		remove_first(t);
		t->counters.taken++;
	} else {
		t->counters.missing++;
	}
	fill_up(t, now);
	return text;
}

unsigned tickets_ready(struct tickets *t, time_t now)
{
	drop_expired(t, now);
	fill_up(t, now);
	return t->count;
}

void tickets_tick(struct tickets *t, time_t now)
{
	drop_expired(t, now);
	fill_up(t, now);
}

int tickets_create(struct trust *trust, const char *caller, const char *callee, const char *nic, unsigned want, loop_fn *fresh,
	void *ctx, struct tickets **tickets)
{
	struct tickets *t = calloc(1, sizeof *t);

	*tickets = t;
	if (!t)
		return -ENOMEM;
	t->trust = trust;
	t->fresh = fresh;
	t->ctx = ctx;
	t->want = want < TRUST_TICKETS ? want : TRUST_TICKETS;
	snprintf(t->caller, sizeof t->caller, "%s", caller ? caller : "");
	snprintf(t->callee, sizeof t->callee, "%s", callee);
	snprintf(t->nic, sizeof t->nic, "%s", nic);
	fill_up(t, time(NULL));
	return 0;
}

void tickets_set_trust(struct tickets *t, struct trust *trust)
{
	trust_forget(t->trust, t);
	t->trust = trust;
	t->asking = false;
	t->ask_at = 0;
	t->failures = 0;
	/* another authority's would be refused */
	t->count = 0;
	fill_up(t, time(NULL));
}

void tickets_free(struct tickets *t)
{
	if (!t)
		return;
	trust_forget(t->trust, t);
	free(t);
}

unsigned tickets_count(const struct tickets *t) { return t->count; }
const char *tickets_trouble(const struct tickets *t) { return t->why.code ? t->why.text : ""; }
const struct tickets_counters *tickets_counters(const struct tickets *t) { return &t->counters; }
