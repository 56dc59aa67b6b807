/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One rule keeps two gateways from serving at once: until_ns is never before the end of any lease that the holder could have, and
 * nobody else gets one before it. All else here is preference.
 */
#include "lib/l2/election.h"
#include <string.h>

#define MS 1000000ull

static bool same(const struct candidate *a, const struct candidate *b)
{
	return !strcmp(a->gateway, b->gateway);
}

static bool is_holder(const struct election *e, const struct candidate *c)
{
	return !strcmp(e->holder, c->gateway);
}

static bool works(const struct candidate *c, uint64_t now)
{
	return c->beat_ns && now < c->beat_ns + ELECTION_QUIET_MS * MS;
}

static bool has_lan(const struct candidate *c)
{
	return c->beat.flags & WIRE_BEAT_LAN;
}

uint32_t election_lease_ms(const struct candidate *c)
{
	uint64_t ms = 4ull * c->beat.rtt_us / 1000 + 200;

	return ms < ELECTION_LEASE_MS ? ELECTION_LEASE_MS : ms > ELECTION_LEASE_MAX_MS ? ELECTION_LEASE_MAX_MS : (uint32_t)ms;
}

/* ---- preference */

/* Well known for a while, and better by so much that it is worth a change. */
static bool is_quicker(const struct candidate *a, const struct candidate *than, uint64_t now)
{
	return a->beat.rtt_us && a->beat.rtt_us + 2000ull < than->beat.rtt_us * 3ull / 4 && now - a->good_ns > ELECTION_HOLD_MS * MS;
}

/* Of two that work, among which nobody serves. */
static bool is_better(const struct candidate *a, const struct candidate *b)
{
	uint32_t ra = a->beat.rtt_us ? a->beat.rtt_us : UINT32_MAX, rb = b->beat.rtt_us ? b->beat.rtt_us : UINT32_MAX;

	if (has_lan(a) != has_lan(b))
		return has_lan(a);
	if (a->beat.priority != b->beat.priority)
		return a->beat.priority > b->beat.priority;
	return ra < rb;
}

static struct candidate *best_of(const struct election *e, const char *gateway, const char *but, uint64_t now)
{
	struct candidate *best = NULL;

	for (struct candidate *c = e->first; c; c = c->next)
		if (works(c, now) && (!gateway || !strcmp(c->gateway, gateway)) && (!but || strcmp(c->gateway, but)) &&
		    (!best || is_better(c, best)))
			best = c;
	return best;
}

/* Is there somebody for whom the holder, which works, has to go? */
static bool must_leave(const struct election *e, const struct candidate *mine, uint64_t now)
{
	for (const struct candidate *c = e->first; c; c = c->next) {
		if (!works(c, now) || is_holder(e, c))
			continue;
		if (has_lan(c) && !has_lan(mine))
			return true;
		if (has_lan(c) == has_lan(mine) && c->beat.priority > mine->beat.priority && now - c->good_ns > ELECTION_HOLD_MS * MS)
			return true;
	}
	return false;
}

/* ---- grants */

/* Clocks run as fast as each other within a hundredth. */
static uint64_t surely_over(uint64_t lease_ms)
{
	return lease_ms * MS * 101 / 100;
}

static void answer(struct election *e, struct candidate *c)
{
	struct wire_grant grant = { .stamp_ns = c->beat.stamp_ns };

	if (is_holder(e, c) && e->holder[0] && !e->leaving) {
		/* the gateway counts from when it sent the beat, which is earlier */
		uint64_t until = c->beat_ns + surely_over(election_lease_ms(c));

		grant.lease_ms = election_lease_ms(c);
		grant.state = c == e->active ? WIRE_ACTIVE : WIRE_OTHER_PATH;
		e->until_ns = until > e->until_ns ? until : e->until_ns;
		if (grant.stamp_ns > e->granted_stamp_ns)
			e->granted_stamp_ns = grant.stamp_ns;
	}
	e->ops->grant(e->ctx, c, &grant);
}

static void set_active(struct election *e, struct candidate *c, uint64_t now)
{
	struct candidate *before = e->active;

	if (c == before)
		return;
	e->active = c;
	if (c && strcmp(e->holder, e->last)) {
		e->takeovers += e->last[0] != 0;
		memcpy(e->last, e->holder, sizeof e->last);
	}
	e->elections += c != NULL;
	if (before && before->beat_ns)
		answer(e, before);
	if (c)
		answer(e, c);
	e->ops->changed(e->ctx, c);
}

static void lend(struct election *e, struct candidate *c, uint64_t now)
{
	memcpy(e->holder, c->gateway, sizeof e->holder);
	e->granted_stamp_ns = 0;
	e->leaving = false;
	set_active(e, c, now);
}

static void set_free(struct election *e, uint64_t now)
{
	e->holder[0] = 0;
	e->leaving = false;
	e->until_ns = 0;
	set_active(e, NULL, now);
}

/* The holder's own paths: the one in use stays, unless it is quiet or another one is much quicker. */
static void choose_path(struct election *e, uint64_t now)
{
	struct candidate *best = best_of(e, e->holder, NULL, now), *active = e->active;

	if (!best)
		return;
	if (!active || !works(active, now)) {
		set_active(e, best, now);
		return;
	}
	for (struct candidate *c = e->first; c; c = c->next)
		if (works(c, now) && is_holder(e, c) && is_quicker(c, active, now))
			active = c;
	set_active(e, active, now);
}

static void decide(struct election *e, uint64_t now)
{
	struct candidate *mine, *best;
	bool leaving = e->leaving;

	if (now >= e->until_ns && (e->holder[0] || e->active))
		set_free(e, now);
	if (now < e->until_ns && !e->holder[0])
		return;		/* an earlier process's leases */
	mine = best_of(e, e->holder, NULL, now);
	if (!e->holder[0]) {
		best = best_of(e, NULL, NULL, now);
		if (best)
			lend(e, best, now);
		return;
	}
	/* a holder that is quiet is not told to go: it does not hear, and may be back before its lease ends */
	e->leaving = mine && must_leave(e, mine, now);
	if (e->leaving && !leaving && e->active && e->active->beat_ns)
		answer(e, e->active);
	else if (!e->leaving)
		choose_path(e, now);
}

/* ---- what happens */

void election_init(struct election *e, const struct election_ops *ops, void *ctx, uint64_t now)
{
	*e = (struct election){ .ops = ops, .ctx = ctx, .until_ns = now + surely_over(ELECTION_LEASE_MAX_MS) };
}

void election_add(struct election *e, struct candidate *c)
{
	c->next = e->first;
	c->beat_ns = c->good_ns = 0;
	e->first = c;
}

void election_remove(struct election *e, struct candidate *c, uint64_t now)
{
	struct candidate **at = &e->first;

	while (*at && *at != c)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = c->next;
	c->beat_ns = 0;
	if (e->active == c)
		set_active(e, best_of(e, e->holder, NULL, now), now);
	decide(e, now);
}

void election_beat(struct election *e, struct candidate *c, const struct wire_beat *beat, uint64_t now)
{
	struct candidate *active;
	bool leaving;

	if (!works(c, now))
		c->good_ns = now;
	c->beat = *beat;
	c->beat_ns = now;
	active = e->active;
	leaving = e->leaving;
	decide(e, now);
	/* what changed was said to whom it concerns */
	if (active == e->active && leaving == e->leaving)
		answer(e, c);
	else if (c != e->active && c != active)
		answer(e, c);
}

void election_release(struct election *e, struct candidate *c, uint64_t stamp, uint64_t now)
{
	if (!is_holder(e, c) || e->granted_stamp_ns > stamp)
		return;
	for (struct candidate *o = e->first; o; o = o->next)
		if (same(o, c))
			o->beat_ns = 0;		/* to be elected again it has to ask again */
	set_free(e, now);
	decide(e, now);
}

uint64_t election_tick(struct election *e, uint64_t now)
{
	uint64_t quiet;

	decide(e, now);
	if (!e->until_ns)
		return 0;
	quiet = e->active && works(e->active, now) ? e->active->beat_ns + ELECTION_QUIET_MS * MS : 0;
	return quiet && quiet < e->until_ns ? quiet : e->until_ns;
}

bool election_serves(const struct election *e, const struct candidate *c, uint64_t now)
{
	return now < e->until_ns && e->active && (c == e->active || is_holder(e, c));
}

/* ---- a gateway's lease */

bool lease_release(struct lease *l, uint64_t now)
{
	bool ran = l->until_ns > now;

	l->until_ns = 0;
	l->path = NULL;
	l->released_ns = now;
	return ran;
}

bool lease_grant(struct lease *l, void *path, const struct wire_grant *g, uint64_t now)
{
	uint64_t until = g->stamp_ns + g->lease_ms * MS;

	if (g->stamp_ns <= l->released_ns)
		return false;
	if (g->state == WIRE_STANDBY) {
		/* on another path it may be older than what made us active */
		if (l->path && (path == l->path || g->stamp_ns > l->stamp_ns) && l->until_ns)
			return lease_release(l, now);
		return false;
	}
	if (g->lease_ms > ELECTION_LEASE_MAX_MS || until <= now || (g->state == WIRE_OTHER_PATH && !lease_runs(l, now)))
		return false;
	if (g->state == WIRE_ACTIVE)
		l->path = path;
	l->until_ns = until > l->until_ns ? until : l->until_ns;
	l->stamp_ns = g->stamp_ns > l->stamp_ns ? g->stamp_ns : l->stamp_ns;
	return false;
}

void lease_forget(struct lease *l, const void *path)
{
	if (l->path == path)
		l->path = NULL;
}
