/* SPDX-License-Identifier: Apache-2.0 */
/* Identity and tickets against the real service, which runs on a thread of its own, as the gateway's client does. */
#include "lcg/trust.h"
#include <sys/stat.h>
#include "crypto/identity_folder.h"
#include "crypto/pki/policy.h"
#include "lcg/tickets.h"
#include "tests/unit/lma/lma_rig.h"

static const struct pki_id gw1 = { PKI_LCG, "gw1" }, web = { PKI_HV, "web" }, db = { PKI_HV, "db" };

struct side {
	struct rig lma;
	struct loop *loop;
	struct loop_timer *timer;
	struct trust *trust;
	char dir[512], *where;
	unsigned answers, count, renewed;
	struct err why;
	struct trust_ticket ticket;
	bool late;
};

static void on_renewed(void *ctx)
{
	struct side *s = ctx;

	s->renewed++;
	loop_stop(s->loop);
}

static void on_late(void *ctx)
{
	struct side *s = ctx;

	s->late = true;
	loop_stop(s->loop);
}

static void on_answer(void *ctx, const struct trust_ticket *tickets, unsigned count, const struct err *why)
{
	struct side *s = ctx;

	s->answers++;
	s->count = count;
	s->why = *why;
	if (count)
		s->ticket = tickets[0];
	loop_stop(s->loop);
}

static void wait_loop(struct side *s)
{
	loop_timer_arm(s->timer, loop_now_ns() + 20000000000ull);
	check_eq(loop_run(s->loop), 0);
	check(!s->late);
}

static void begin(struct side *s, uint32_t life_s)
{
	struct identity id = { 0 };
	struct err err = { .text = "" };

	memset(s, 0, sizeof *s);
	setup_life(&s->lma, life_s);
	s->where = strdup(where(&s->lma));
	snprintf(s->dir, sizeof s->dir, "%s", suite_tmp("gw1"));
	check(!mkdir(s->dir, 0700) || errno == EEXIST);
	enrol(&s->lma, PKI_LCG, "gw1", &id);
	CU_ASSERT_FATAL(!identity_save(s->dir, &id, &err));
	identity_drop(&id);
	CU_ASSERT_FATAL(!loop_create(&s->loop, NULL) && !loop_timer_create(s->loop, on_late, s, &s->timer));
	if (trust_create(s->loop, &(struct trust_config){ s->dir, s->where }, on_renewed, s, &s->trust, &err))
		suite_note("%s", err.text);
	CU_ASSERT_FATAL(s->trust != NULL);
}

static void finish(struct side *s, bool lma_runs)
{
	static const char *const names[] = { "ca.pem", "crl.pem", "identity.pem" };
	char path[600];

	check(trust_free(s->trust, true));
	loop_timer_free(s->timer);
	loop_free(s->loop);
	if (lma_runs)
		drop(&s->lma);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%s", s->dir, names[i]);
		unlink(path);
	}
	rmdir(s->dir);
	free(s->where);
}

static void gets_tickets(void)
{
	struct trust_counters count;
	struct ticket t = { 0 };
	struct err err;
	struct side s;

	begin(&s, CA_LIFE_S);
	check_str(trust_name(s.trust), "gw1");
	wait_loop(&s);	/* the revocation list is the first thing that is fetched */
	check_eq(s.renewed, 1);
	check_eq(trust_ask(s.trust, NULL, "web", "net0", 3, on_answer, &s), 0);
	wait_loop(&s);
	check_eq(s.count, 0);
	check_eq(s.why.code, -EPERM);
	CU_ASSERT_FATAL(!policy_allow(s.lma.pki.ca, &gw1, &web, time(NULL), NULL) &&
		!policy_allow(s.lma.pki.ca, &gw1, &db, time(NULL), NULL));
	check_eq(trust_ask(s.trust, NULL, "web", "net0", 3, on_answer, &s), 0);
	wait_loop(&s);
	check_eq(s.count, 3);
	check_eq(ticket_verify(s.ticket.text, strlen(s.ticket.text), ca_cert(s.lma.pki.ca), time(NULL), &t, &err), 0);
	check(t.caller.role == PKI_LCG && t.callee.role == PKI_HV && t.until == s.ticket.until);
	/* for one server to call the other */
	check_eq(trust_ask(s.trust, "db", "web", "net0", 1, on_answer, &s), 0);
	wait_loop(&s);
	check_eq(s.count, 1);
	check_eq(ticket_verify(s.ticket.text, strlen(s.ticket.text), ca_cert(s.lma.pki.ca), time(NULL), &t, &err), 0);
	check(t.caller.role == PKI_HV);
	check_str(t.caller.name, "db");
	trust_counters(s.trust, &count);
	check(count.asked == 3 && count.refused == 1 && count.tickets == 4 && count.lists == 1 && !count.away);
	finish(&s, true);
}

static void goes_on_without_the_application(void)
{
	struct trust_counters count;
	struct side s;

	begin(&s, CA_LIFE_S);
	wait_loop(&s);
	drop(&s.lma);
	for (unsigned i = 0; i < 3; i++) {
		check_eq(trust_ask(s.trust, NULL, "web", "net0", 1, on_answer, &s), 0);
		wait_loop(&s);
		check(!s.count && s.why.code);
	}
	check(trust_lma_is_away(s.trust));
	trust_counters(s.trust, &count);
	check_eq(count.away, 1);
	/* nobody is called any more who has been forgotten */
	check_eq(trust_ask(s.trust, NULL, "web", "net0", 1, on_answer, &s), 0);
	trust_forget(s.trust, &s);
	finish(&s, false);
	check_eq(s.answers, 3);
}

static void renews(void)
{
	struct identity before = { 0 }, after = { 0 };
	struct err err;
	struct side s;
	time_t old;

	/* so short a life that two thirds of it are over: it begins five minutes early */
	begin(&s, CA_LIFE_MIN_S);
	old = trust_until(s.trust);
	CU_ASSERT_FATAL(!identity_load(s.dir, &before, &err));
	if (!identity_due(&before, time(NULL))) {
		identity_drop(&before);
		finish(&s, true);
		suite_skip("the shortest life of a certificate is not due at once");
		return;
	}
	wait_loop(&s);
	check_eq(s.renewed, 1);
	check(trust_until(s.trust) >= old);
	CU_ASSERT_FATAL(!identity_load(s.dir, &after, &err));
	check(X509_cmp(before.cert, after.cert) != 0);
	check(after.crl != NULL);
	identity_drop(&before);
	identity_drop(&after);
	finish(&s, true);
}

static void keeps_a_stock(void)
{
	struct tickets *stock;
	time_t now = time(NULL);
	char *text[4];
	struct side s;

	begin(&s, CA_LIFE_S);
	wait_loop(&s);
	CU_ASSERT_FATAL(!policy_allow(s.lma.pki.ca, &gw1, &web, time(NULL), NULL));
	CU_ASSERT_FATAL(!tickets_create(s.trust, NULL, "web", "net0", 2, &stock));
	check(!tickets_take(stock, now));
	/* questions are answered one after the other: this one comes last */
	check_eq(trust_ask(s.trust, NULL, "web", "net0", 1, on_answer, &s), 0);
	wait_loop(&s);
	check_eq(tickets_count(stock), 2);
	text[0] = tickets_take(stock, now);
	text[1] = tickets_take(stock, now);
	CU_ASSERT_FATAL(text[0] && text[1]);
	check(strcmp(text[0], text[1]) != 0);
	check_eq(trust_ask(s.trust, NULL, "web", "net0", 1, on_answer, &s), 0);
	wait_loop(&s);
	check_eq(tickets_count(stock), 1);	/* one was asked for when the first was taken; then one question was under way */
	tickets_tick(stock, now);
	check_eq(trust_ask(s.trust, NULL, "web", "net0", 1, on_answer, &s), 0);
	wait_loop(&s);
	check_eq(tickets_count(stock), 2);
	/* what is about to expire is not handed out */
	text[2] = tickets_take(stock, now + TICKET_LIFE_S);
	check(!text[2]);
	check_eq(tickets_counters(stock)->expired, 2);
	free(text[0]);
	free(text[1]);
	tickets_free(stock);
	finish(&s, true);
}

static void refuses_other_folders(void)
{
	struct trust *t;
	struct err err;

	check_eq(trust_create(NULL, &(struct trust_config){ .dir = "/nowhere" }, on_renewed, NULL, &t, &err), -ENOENT);
	check(!t && strstr(err.text, "identity: /nowhere/ca.pem: ") == err.text);
}

static const struct test tests[] = {
	{ "gets tickets", gets_tickets },
	{ "goes on without the application", goes_on_without_the_application },
	{ "renews", renews },
	{ "keeps a stock", keeps_a_stock },
	{ "refuses other folders", refuses_other_folders },
	{ NULL },
};
const struct suite suite_lcg_trust = { tests };
