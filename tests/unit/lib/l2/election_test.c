/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The election and the leases on a simulated net: gateways with several paths each, whose messages take any time but stay in
 * order on their path; cuts, silences, dead LANs, stops. At no moment two gateways serve.
 */
#include "lib/l2/election.h"
#include <stdlib.h>
#include "tests/unit/suite.h"

#define MS 1000000ull
enum { GATEWAYS = 3, WAYS = 3, PATHS = GATEWAYS * WAYS, MESSAGES = 64 };

enum kind { BEAT, GRANT, RELEASE };
struct message { enum kind kind; uint64_t at_ns; struct wire_beat beat; struct wire_grant grant; uint64_t stamp; };
struct pipe { struct message m[MESSAGES]; unsigned head, tail; uint64_t last_ns; };

struct sim_path {
	struct sim *sim;
	unsigned gateway;
	bool up, silent;		/* silent: nothing arrives any more, and nobody is told */
	struct pipe to_server, to_gateway;
	struct candidate candidate;
	uint64_t next_beat_ns, last_stamp;
};

struct sim_gateway { struct lease lease; bool lan, alive; uint32_t priority; unsigned instance; };

struct sim {
	uint64_t now, seed;
	unsigned max_delay_ms;
	struct election election;
	struct sim_gateway gateways[GATEWAYS];
	struct sim_path paths[PATHS];
	unsigned served, changes;
	bool any;
};

static uint32_t chance(struct sim *s, uint32_t n)
{
	s->seed = s->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(s->seed >> 33) % n;
}

static void push(struct sim_path *p, struct pipe *pipe, struct message m)
{
	struct sim *s = p->sim;

	if (!p->up || pipe->tail - pipe->head == MESSAGES)
		return;
	m.at_ns = s->now + chance(s, s->max_delay_ms + 1) * MS + chance(s, 1000000);
	if (m.at_ns < pipe->last_ns)
		m.at_ns = pipe->last_ns;
	pipe->last_ns = m.at_ns;
	pipe->m[pipe->tail++ % MESSAGES] = m;
}

static void on_grant(void *ctx, struct candidate *c, const struct wire_grant *grant)
{
	struct sim_path *p = c->path;

	push(p, &p->to_gateway, (struct message){ .kind = GRANT, .grant = *grant });
}

static void on_changed(void *ctx, struct candidate *active)
{
	struct sim *s = ctx;

	s->any = active;
	s->changes++;
}

static const struct election_ops ops = { on_grant, on_changed };

static void connect_path(struct sim *s, struct sim_path *p)
{
	*p = (struct sim_path){ .sim = s, .gateway = p->gateway, .up = true, .next_beat_ns = s->now, .candidate.path = p };
	snprintf(p->candidate.gateway, sizeof p->candidate.gateway, "gw%u %u", p->gateway, s->gateways[p->gateway].instance);
	election_add(&s->election, &p->candidate);
}

static void cut(struct sim *s, struct sim_path *p)
{
	if (!p->up)
		return;
	p->up = p->silent = false;
	p->to_server.head = p->to_server.tail;
	p->to_gateway.head = p->to_gateway.tail;
	lease_forget(&s->gateways[p->gateway].lease, p);
	election_remove(&s->election, &p->candidate, s->now);
}

static void setup(struct sim *s, uint64_t seed, unsigned max_delay_ms)
{
	*s = (struct sim){ .now = 1000 * MS, .seed = seed, .max_delay_ms = max_delay_ms };
	election_init(&s->election, &ops, s, s->now);
	for (unsigned g = 0; g < GATEWAYS; g++)
		s->gateways[g] = (struct sim_gateway){ .alive = true, .lan = true };
	for (unsigned i = 0; i < PATHS; i++)
		s->paths[i] = (struct sim_path){ .sim = s, .gateway = i / WAYS };
}

static void give_up(struct sim *s, unsigned g)
{
	for (unsigned i = 0; i < PATHS; i++)
		if (s->paths[i].gateway == g)
			push(&s->paths[i], &s->paths[i].to_server,
			     (struct message){ .kind = RELEASE, .stamp = s->gateways[g].lease.released_ns });
}

static void take_server(struct sim *s, struct sim_path *p, const struct message *m)
{
	if (m->kind == BEAT)
		election_beat(&s->election, &p->candidate, &m->beat, s->now);
	else
		election_release(&s->election, &p->candidate, m->stamp, s->now);
}

static void take_gateway(struct sim *s, struct sim_path *p, const struct message *m)
{
	struct sim_gateway *g = &s->gateways[p->gateway];

	if (g->alive && lease_grant(&g->lease, p, &m->grant, s->now))
		give_up(s, p->gateway);
}

static void beat(struct sim *s, struct sim_path *p)
{
	struct sim_gateway *g = &s->gateways[p->gateway];
	struct message m = { .kind = BEAT, .beat = { s->now > p->last_stamp ? s->now : p->last_stamp + 1,
		g->lan ? WIRE_BEAT_LAN : 0, g->priority, chance(s, 20000) } };

	p->last_stamp = m.beat.stamp_ns;
	if (g->alive)
		push(p, &p->to_server, m);
	p->next_beat_ns = s->now + WIRE_BEAT_MS * MS;
}

static void move_path(struct sim *s, struct sim_path *p)
{
	if (!p->up)
		return;
	if (s->now >= p->next_beat_ns)
		beat(s, p);
	while (p->up && !p->silent && p->to_server.head != p->to_server.tail &&
	       p->to_server.m[p->to_server.head % MESSAGES].at_ns <= s->now)
		take_server(s, p, &p->to_server.m[p->to_server.head++ % MESSAGES]);
	while (p->up && !p->silent && p->to_gateway.head != p->to_gateway.tail &&
	       p->to_gateway.m[p->to_gateway.head % MESSAGES].at_ns <= s->now)
		take_gateway(s, p, &p->to_gateway.m[p->to_gateway.head++ % MESSAGES]);
}

static unsigned serving(const struct sim *s)
{
	unsigned n = 0;

	for (unsigned g = 0; g < GATEWAYS; g++)
		n += s->gateways[g].alive && lease_runs(&s->gateways[g].lease, s->now);
	return n;
}

/* A millisecond. False: two serve. */
static bool step(struct sim *s)
{
	unsigned n;

	s->now += MS;
	for (unsigned i = 0; i < PATHS; i++)
		move_path(s, &s->paths[i]);
	(void)election_tick(&s->election, s->now);
	n = serving(s);
	s->served += n == 1;
	return n <= 1;
}

static void disturb(struct sim *s)
{
	struct sim_path *p = &s->paths[chance(s, PATHS)];
	struct sim_gateway *g = &s->gateways[p->gateway];

	switch (chance(s, 9)) {
	case 0:
		cut(s, p);
		break;
	case 1:
		p->silent = p->up;
		break;
	case 2:
		p->silent = false;
		break;
	case 3:
		g->lan = !g->lan;
		break;
	case 4:
		g->priority = chance(s, 3);
		break;
	case 5:		/* a stop: it releases, and all its paths end */
		if (lease_release(&g->lease, s->now))
			give_up(s, p->gateway);
		break;
	case 6:		/* dies, and comes back as another one */
		for (unsigned i = 0; i < PATHS; i++)
			if (s->paths[i].gateway == p->gateway)
				cut(s, &s->paths[i]);
		g->lease = (struct lease){ 0 };
		g->instance++;
		break;
	default:
		if (!p->up && g->alive)
			connect_path(s, p);
	}
}

static void test_never_two(void)
{
	for (unsigned run = 0; run < 24; run++) {
		struct sim s;
		bool ok = true;

		setup(&s, run * 77 + 5, run % 4 == 0 ? 0 : run % 4 == 1 ? 20 : run % 4 == 2 ? 200 : 900);
		for (unsigned i = 0; ok && i < 60000; i++) {
			if (!chance(&s, 150))
				disturb(&s);
			ok = step(&s);
		}
		check(ok);
		check(run % 4 == 3 || s.served > 6000);	/* and it is of use, too, where beats are in time */
	}
}

static void run_for(struct sim *s, unsigned ms)
{
	for (unsigned i = 0; i < ms; i++)
		check(step(s));
}

/* Milliseconds until gateway g serves; 5000: it did not. */
static unsigned until(struct sim *s, unsigned g)
{
	for (unsigned i = 0; i < 5000; i++) {
		if (lease_runs(&s->gateways[g].lease, s->now))
			return i;
		check(step(s));
	}
	return 5000;
}

static void two(struct sim *s)
{
	setup(s, 42, 5);
	connect_path(s, &s->paths[0]);
	connect_path(s, &s->paths[1]);
	check(until(s, 0) < 2200);
	connect_path(s, &s->paths[WAYS]);
	connect_path(s, &s->paths[WAYS + 1]);
	run_for(s, 1000);
	check(lease_runs(&s->gateways[0].lease, s->now));
}

static void test_first_waits(void)
{
	struct sim s;

	setup(&s, 1, 0);
	connect_path(&s, &s.paths[0]);
	run_for(&s, ELECTION_LEASE_MAX_MS);
	check(!s.any);
	check(until(&s, 0) <= 130);
	check_eq(s.election.takeovers, 0);
}

/* The server's end begins anew while the gateway, on a long path, does not hear that its connections are gone. */
static void test_server_restarts(void)
{
	struct wire_beat beat;
	struct sim s;

	setup(&s, 3, 5);
	connect_path(&s, &s.paths[0]);
	check(until(&s, 0) < 2200);
	beat = (struct wire_beat){ s.now, WIRE_BEAT_LAN, 0, 400000 };
	election_beat(&s.election, &s.paths[0].candidate, &beat, s.now);
	s.paths[0].next_beat_ns = UINT64_MAX;
	run_for(&s, 10);
	election_init(&s.election, &ops, &s, s.now);
	s.any = false;
	connect_path(&s, &s.paths[WAYS]);
	check(until(&s, 1) > 1000);	/* and never two: step looks */
}

static void test_silent_cut(void)
{
	struct sim s;
	unsigned ms;

	two(&s);
	s.paths[0].silent = s.paths[1].silent = true;
	ms = until(&s, 1);
	check(ms > 300 && ms <= 620);
	check_eq(s.election.takeovers, 1);
}

static void test_kill(void)
{
	struct sim s;

	two(&s);
	s.gateways[0].alive = false;
	cut(&s, &s.paths[0]);
	cut(&s, &s.paths[1]);
	check(!s.any);
	check(until(&s, 1) <= 700);
}

/* Paths of one gateway wait for nothing. */
static void test_other_path(void)
{
	struct sim s;

	two(&s);
	check(s.election.active == &s.paths[0].candidate || s.election.active == &s.paths[1].candidate);
	((struct sim_path *)s.election.active->path)->silent = true;
	run_for(&s, 600);
	check(lease_runs(&s.gateways[0].lease, s.now));
	check(!((struct sim_path *)s.election.active->path)->silent);
	check_eq(s.election.takeovers, 0);
}

static void test_lan_down(void)
{
	struct sim s;

	two(&s);
	s.gateways[0].lan = false;
	check(until(&s, 1) <= 130);
	check(!lease_runs(&s.gateways[0].lease, s.now));
	/* both down: who serves stays */
	s.gateways[1].lan = false;
	run_for(&s, 3000);
	check(lease_runs(&s.gateways[1].lease, s.now));
	s.gateways[0].lan = true;
	check(until(&s, 0) <= 130);
}

static void test_release(void)
{
	struct sim s;

	two(&s);
	check(lease_release(&s.gateways[0].lease, s.now));
	give_up(&s, 0);
	s.gateways[0].alive = false;
	check(until(&s, 1) <= 130);
}

/* Better priority has to be well for 10 s, in one piece. */
static void test_priority(void)
{
	struct sim s;

	two(&s);
	s.gateways[1].priority = 7;
	run_for(&s, 3000);
	s.paths[WAYS].silent = s.paths[WAYS + 1].silent = true;
	run_for(&s, 1000);
	s.paths[WAYS].silent = s.paths[WAYS + 1].silent = false;
	run_for(&s, 9000);
	check(lease_runs(&s.gateways[0].lease, s.now));
	check(until(&s, 1) <= 1700);
	check_eq(s.election.takeovers, 1);
}

static void test_stale_release(void)
{
	struct sim s;
	struct sim_path *p;

	two(&s);
	p = s.election.active->path;
	election_release(&s.election, &p->candidate, s.election.granted_stamp_ns - 1, s.now);
	check(s.any);
	check(!strcmp(s.election.holder, p->candidate.gateway));
	election_release(&s.election, &s.paths[WAYS].candidate, UINT64_MAX, s.now);	/* not the holder's */
	check(!strcmp(s.election.holder, p->candidate.gateway));
}

static void test_lease(void)
{
	struct lease l = { 0 };
	int a, b;
	struct wire_grant g = { 1000 * MS, 500, WIRE_ACTIVE, 0 };

	check(!lease_grant(&l, &a, &g, 1010 * MS));
	check(lease_runs(&l, 1499 * MS) && !lease_runs(&l, 1500 * MS));
	/* an older standby of another path is no order to go; an own one is */
	g = (struct wire_grant){ 900 * MS, 0, WIRE_STANDBY, 0 };
	check(!lease_grant(&l, &b, &g, 1020 * MS));
	check(lease_runs(&l, 1020 * MS));
	g.stamp_ns = 1000 * MS;
	check(lease_grant(&l, &a, &g, 1030 * MS));
	check(!lease_runs(&l, 1030 * MS));
	/* what was granted before it was given up */
	g = (struct wire_grant){ 1025 * MS, 500, WIRE_ACTIVE, 0 };
	check(!lease_grant(&l, &b, &g, 1040 * MS));
	check(!lease_runs(&l, 1040 * MS));
	/* too late, and longer than anybody may lend */
	g = (struct wire_grant){ 1100 * MS, 500, WIRE_ACTIVE, 0 };
	check(!lease_grant(&l, &b, &g, 1700 * MS) && !lease_runs(&l, 1700 * MS));
	g = (struct wire_grant){ 1800 * MS, 100000, WIRE_ACTIVE, 0 };
	check(!lease_grant(&l, &b, &g, 1801 * MS) && !lease_runs(&l, 1801 * MS));
	/* by another path: only while it runs */
	g = (struct wire_grant){ 1900 * MS, 500, WIRE_OTHER_PATH, 0 };
	check(!lease_grant(&l, &b, &g, 1901 * MS) && !lease_runs(&l, 1901 * MS));
}

static const struct test tests[] = {
	{ "never two serve", test_never_two },
	{ "the first lease waits for earlier ones", test_first_waits },
	{ "the server's end begins anew", test_server_restarts },
	{ "takeover after a silent cut", test_silent_cut },
	{ "takeover after a kill", test_kill },
	{ "another path of the same gateway", test_other_path },
	{ "the LAN's cable", test_lan_down },
	{ "release", test_release },
	{ "priority, without flapping", test_priority },
	{ "a release that is too old, or not the holder's", test_stale_release },
	{ "what a gateway makes of grants", test_lease },
	{ NULL },
};
const struct suite suite_lib_l2_election = { tests };
