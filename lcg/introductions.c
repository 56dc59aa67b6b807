/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/introductions.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/log.h"

#define SECOND_NS 1000000000ull

/* SLOTS: a power of two. LIST: as many as a PEERS message may hold. */
enum { SLOTS = INTRODUCTIONS_PAIRS * 2, LIST = 64, LANES = 2 };

/* Of two servers the one whose name comes first calls. */
struct pair {
	struct introductions *all;
	struct pair *chain;
	struct nic *caller, *callee;
	bool talked, asking, told;
	uint64_t next_ns;
	uint32_t pause_s;
	unsigned tickets;
	const struct trust_ticket *ticket;	/* while they are being sent */
};

struct introductions {
	struct trust *trust;
	unsigned count;
	struct pair *head[SLOTS];
	struct introductions_counters counters;
};

static unsigned hash(const struct nic *a, const struct nic *b)
{
	uint64_t v = ((uint64_t)(uintptr_t)a >> 4) * 0x9e3779b97f4a7c15 ^ ((uint64_t)(uintptr_t)b >> 4) * 0xe7037ed1a0b428db;

	return (unsigned)(v >> 40) & (SLOTS - 1);
}

static bool calls(const struct nic *a, const struct nic *b)
{
	int order = strcmp(nic_server(a), nic_server(b));

	return order ? order < 0 : strcmp(nic_name(a), nic_name(b)) < 0;
}

void introductions_note(struct introductions *p, struct nic *from, struct nic *to)
{
	struct nic *caller = calls(from, to) ? from : to, *callee = caller == from ? to : from;
	unsigned slot = hash(caller, callee);
	struct pair *pair;

	for (pair = p->head[slot]; pair && (pair->caller != caller || pair->callee != callee); pair = pair->chain)
		;
	if (!pair) {
		pair = p->count < INTRODUCTIONS_PAIRS ? calloc(1, sizeof *pair) : NULL;
		if (!pair) {
			p->counters.full++;
			return;
		}
		*pair = (struct pair){ .all = p, .chain = p->head[slot], .caller = caller, .callee = callee, .pause_s = INTRODUCTIONS_FIRST_S };
		p->head[slot] = pair;
		p->count++;
		p->counters.seen++;
	}
	pair->talked = true;
}

/* ---- messages */

static json_t *texts(const char *const *list, unsigned n)
{
	json_t *a = json_array();

	for (unsigned i = 0; i < n; i++)
		if (list[i])
			json_array_append_new(a, json_string(list[i]));
	return a;
}

static json_t *describe(const struct nic *n, const struct pair *with_tickets)
{
	const struct nic_config *c = nic_config(n);
	json_t *tickets = json_array(), *o;
	char mac[FRAME_MAC_TEXT];

	frame_mac_text(nic_mac(n), mac);
	for (unsigned i = 0; with_tickets && i < with_tickets->tickets; i++)
		json_array_append_new(tickets, json_string(with_tickets->ticket[i].text));
	o = json_pack("{s:s s:s s:o s:[s] s:o}", "server", nic_server(n), "nic", nic_name(n), "relay", texts(c->relay, LCG_RELAYS),
		"macs", mac,
		"tickets", tickets);
	if (o && c->direct)
		json_object_set_new(o, "direct", json_string(c->direct));
	return o;
}

/* A PEERS message takes the place of the one before, so it has all that this NIC was told of. */
static int tell(struct introductions *p, struct nic *n, const struct pair *fresh)
{
	json_t *list = json_array(), *o;
	int rc;

	for (unsigned i = 0; i < SLOTS && json_array_size(list) < LIST; i++)
		for (const struct pair *pair = p->head[i]; pair && json_array_size(list) < LIST; pair = pair->chain)
			if ((pair->told || pair == fresh) && (pair->caller == n || pair->callee == n))
				json_array_append_new(list, describe(pair->caller == n ? pair->callee : pair->caller,
					pair == fresh && pair->caller == n ? fresh : NULL));
	o = json_pack("{s:o s:i}", "peers", list, "mtu", nic_port(n) ? (int)segment_port_mtu(nic_port(n)) : 0);
	rc = o ? l2_gateway_send_peers(nic_l2(n), o) : -ENOMEM;
	json_decref(o);
	return rc;
}

static void introduce(struct pair *pair)
{
	/* who is called must know of it first */
	int rc = tell(pair->all, pair->callee, pair);

	rc = rc ? rc : tell(pair->all, pair->caller, pair);
	pair->told |= !rc;
	pair->tickets = 0;
	pair->all->counters.introduced += !rc;
	pair->all->counters.failed += !!rc;
	if (!rc)
		log_debug("%s %s and %s %s were introduced", nic_server(pair->caller), nic_name(pair->caller), nic_server(pair->callee),
			nic_name(pair->callee));
}

static void on_tickets(void *ctx, const struct trust_ticket *tickets, unsigned count, const struct err *why)
{
	struct pair *pair = ctx;

	pair->asking = false;
	if (!count) {
		pair->all->counters.failed++;
		log_limited(LOG_INFO, "servers are not introduced, their frames go on by way of the gateway: %s", why->text);
		return;
	}
	pair->ticket = tickets;
	pair->tickets = count;
	introduce(pair);
}

/* ---- once a second */

static unsigned connections(const struct nic *n)
{
	const struct nic_config *c = nic_config(n);
	unsigned ways = c->direct ? 1 : 0;

	for (unsigned i = 0; i < LCG_RELAYS; i++)
		ways += !!c->relay[i];
	return ways * (c->lanes ? c->lanes : LANES);
}

static void look_at(struct pair *pair, uint64_t now_ns)
{
	bool talked = pair->talked;

	pair->talked = false;
	if (!talked || pair->asking || now_ns < pair->next_ns || !nic_is_active(pair->caller) || !nic_is_active(pair->callee))
		return;
	/* after a quiet time it is a new beginning */
	if (pair->next_ns && now_ns > pair->next_ns + INTRODUCTIONS_LAST_S * SECOND_NS)
		pair->pause_s = INTRODUCTIONS_FIRST_S;
	pair->next_ns = now_ns + pair->pause_s * SECOND_NS;
	pair->pause_s = pair->pause_s * 2 < INTRODUCTIONS_LAST_S ? pair->pause_s * 2 : INTRODUCTIONS_LAST_S;
	pair->asking = !trust_ask(pair->all->trust, nic_server(pair->caller), nic_server(pair->callee), nic_name(pair->callee),
		connections(pair->callee), on_tickets, pair);
}

void introductions_tick(struct introductions *p, uint64_t now_ns)
{
	for (unsigned i = 0; p->count && i < SLOTS; i++)
		for (struct pair *pair = p->head[i]; pair; pair = pair->chain)
			look_at(pair, now_ns);
}

/* ---- its life */

int introductions_create(struct trust *trust, struct introductions **out)
{
	*out = calloc(1, sizeof **out);
	if (!*out)
		return -ENOMEM;
	(*out)->trust = trust;
	return 0;
}

static void forget(struct introductions *p, const struct nic *nic)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		for (struct pair **at = &p->head[i], *pair; (pair = *at);) {
			if (nic && pair->caller != nic && pair->callee != nic) {
				at = &pair->chain;
				continue;
			}
			*at = pair->chain;
			trust_forget(p->trust, pair);
			free(pair);
			p->count--;
		}
	}
}

void introductions_forget(struct introductions *p, const struct nic *nic) { forget(p, nic); }

void introductions_set_trust(struct introductions *p, struct trust *trust)
{
	for (unsigned i = 0; i < SLOTS; i++)
		for (struct pair *pair = p->head[i]; pair; pair = pair->chain) {
			trust_forget(p->trust, pair);
			pair->asking = false;
		}
	p->trust = trust;
}

void introductions_free(struct introductions *p)
{
	if (!p)
		return;
	forget(p, NULL);
	free(p);
}

const struct introductions_counters *introductions_counters(const struct introductions *p) { return &p->counters; }
