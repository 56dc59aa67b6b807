/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "lcg/gateway_priv.h"
#include "lib/l2/loopguard.h"
#include "lib/version.h"

/* What one message holds, with room for what is no NIC. */
enum { ROOM = 40000 };

static void put(json_t *o, const char *name, uint64_t v)
{
	json_object_set_new(o, name, json_integer((json_int_t)v));
}

/* ---- what is no NIC */

static json_t *gateway_json(struct gateway *g)
{
	const struct parts *p = &g->parts;
	unsigned active = 0;

	for (unsigned i = 0; i < p->nics; i++)
		active += nic_is_active(p->nic[i]);
	return json_pack("{s:s s:s s:I s:I s:I s:I s:I s:I s:b s:b s:I}", "name", trust_name(p->trust), "version", HULL_VERSION,
		"uptime_ms",
		(json_int_t)((loop_now_ns() - g->started_ns) / 1000000), "priority", (json_int_t)p->config->priority, "nics",
		(json_int_t)p->nics, "active", (json_int_t)active, "reloads", (json_int_t)g->reloads, "reload_failures",
		(json_int_t)g->reload_failures, "lma", p->config->lma != NULL, "lma_away", trust_lma_is_away(p->trust),
		"certificate_until", (json_int_t)trust_until(p->trust));
}

static json_t *lan_json(const struct lan *lan)
{
	const struct lan_config *c = lan_config(lan);

	return json_pack("{s:s s:s s:s s:s s:b s:I}", "name", c->name, "kind", lan_kind_names[c->kind], "device", c->device,
		"bridge", c->bridge,
		"works", lan_works(lan), "mtu", (json_int_t)lan_mtu(lan));
}

static const char *mode(const struct segment_config *c)
{
	return c->trunk ? "trunk" : c->vid == FRAME_NO_VID ? "untagged" : "vlan";
}

static uint64_t all_drops(const struct segment_counters *c)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < SEGMENT_DROPS; i++)
		n += c->drop[i];
	return n;
}

static json_t *segment_json(const struct seat *s)
{
	const struct segment_config *c = segment_config(s->segment);
	const struct segment_counters *n = segment_counters(s->segment);

	return json_pack("{s:s s:s s:s s:I s:b s:b s:b s:I s:I s:I s:I s:I}", "name", c->name, "lan", lan_config(s->at->lan)->name,
		"mode", mode(c),
		"vlan", (json_int_t)(c->vid == FRAME_NO_VID ? 0 : c->vid), "works", lan_works(s->at->lan), "mirror", s->mirror != NULL, "shut",
		segment_is_shut(s->segment, loop_now_ns()), "ports", (json_int_t)segment_ports(s->segment), "from_lan",
		(json_int_t)n->from_lan, "to_lan", (json_int_t)n->to_lan, "between_servers", (json_int_t)n->between_servers, "drops",
		(json_int_t)all_drops(n));
}

/* ---- counters */

static json_t *gateway_numbers(struct gateway *g)
{
	const struct introductions_counters *p = introductions_counters(g->introductions);
	struct trust_counters t;

	trust_counters(g->parts.trust, &t);
	return json_pack("{s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I}", "reloads", (json_int_t)g->reloads, "reload_failures",
		(json_int_t)g->reload_failures, "lma_asked", (json_int_t)t.asked, "lma_refused", (json_int_t)t.refused, "lma_away",
		(json_int_t)t.away, "tickets", (json_int_t)t.tickets, "renewals", (json_int_t)t.renewals, "renewal_failures",
		(json_int_t)t.renewal_failures, "revocation_lists", (json_int_t)t.lists, "revocation_list_failures",
		(json_int_t)t.list_failures, "pairs_seen", (json_int_t)p->seen, "pairs_introduced", (json_int_t)p->introduced,
		"introductions_failed", (json_int_t)p->failed, "pairs_full", (json_int_t)p->full);
}

static json_t *lan_numbers(const struct attachment *a)
{
	const struct lan_counters *c = lan_counters(a->lan);

	return json_pack("{s:s s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I}", "name", lan_config(a->lan)->name, "in_frames",
		(json_int_t)c->in.frames, "in_bytes", (json_int_t)c->in.bytes, "out_frames", (json_int_t)c->out.frames, "out_bytes",
		(json_int_t)c->out.bytes, "drop_full", (json_int_t)c->drop_full, "drop_down", (json_int_t)c->drop_down, "drop_refused",
		(json_int_t)c->drop_refused, "drop_short", (json_int_t)c->drop_short, "drop_kernel", (json_int_t)c->drop_kernel, "drop_vid",
		(json_int_t)a->drop_vid, "coalesced_here", (json_int_t)c->coalesced, "segmented_here", (json_int_t)c->software, "carrier_changes",
		(json_int_t)c->carrier_changes);
}

static void put_mirror(json_t *o, struct mirror *m)
{
	struct mirror_counters c;

	if (!m)
		return;
	mirror_counters(m, &c);
	put(o, "mirror_frames", c.frames);
	put(o, "mirror_drops", c.drops);
}

static json_t *segment_numbers(const struct seat *s)
{
	const struct segment_counters *c = segment_counters(s->segment);
	struct loopguard_counters guard;
	json_t *o = json_pack("{s:s s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I}", "name", segment_config(s->segment)->name, "from_lan",
		(json_int_t)c->from_lan, "to_lan", (json_int_t)c->to_lan, "from_servers", (json_int_t)c->from_servers, "between_servers",
		(json_int_t)c->between_servers, "foreign", (json_int_t)c->foreign, "announcements", (json_int_t)c->announcements, "answers",
		(json_int_t)c->answers, "too_big", (json_int_t)c->too_big, "mirrored", (json_int_t)c->mirrored, "ports",
		(json_int_t)segment_ports(s->segment));
	char name[32];

	if (!o)
		return NULL;
	for (unsigned i = 0; i < SEGMENT_DROPS; i++) {
		snprintf(name, sizeof name, "drop_%s", segment_drop_name(i));
		put(o, name, c->drop[i]);
	}
	segment_guard_counters(s->segment, &guard);
	put(o, "loop_probes", guard.probes);
	put(o, "loops", guard.loops);
	put_mirror(o, s->mirror);
	return o;
}

static json_t *nic_numbers(const struct nic *n)
{
	json_t *o = nic_counters(n);

	if (o) {
		json_object_set_new(o, "server", json_string(nic_server(n)));
		json_object_set_new(o, "nic", json_string(nic_name(n)));
	}
	return o;
}

/* ---- pages */

static bool append(json_t *list, json_t *item, size_t *used)
{
	size_t size = item ? json_dumpb(item, NULL, 0, JSON_COMPACT) : 0;

	if (*used && *used + size > ROOM) {
		json_decref(item);
		return false;
	}
	*used += size;
	return !json_array_append_new(list, item);
}

static void add_common(struct gateway *g, json_t *o, bool numbers, size_t *used)
{
	json_t *lans = json_array(), *segments = json_array();

	json_object_set_new(o, "gateway", numbers ? gateway_numbers(g) : gateway_json(g));
	for (unsigned i = 0; i < g->parts.lans; i++)
		append(lans, numbers ? lan_numbers(g->parts.lan[i]) : lan_json(g->parts.lan[i]->lan), used);
	for (unsigned i = 0; i < g->parts.seats; i++)
		append(segments, numbers ? segment_numbers(g->parts.seat[i]) : segment_json(g->parts.seat[i]), used);
	json_object_set_new(o, "lans", lans);
	json_object_set_new(o, "segments", segments);
}

static json_t *page(struct gateway *g, unsigned from, bool numbers)
{
	json_t *o = json_object(), *nics = json_array();
	size_t used = 0;

	if (!from)
		add_common(g, o, numbers, &used);
	for (unsigned i = from; i < g->parts.nics; i++) {
		if (append(nics, numbers ? nic_numbers(g->parts.nic[i]) : nic_status(g->parts.nic[i]), &used))
			continue;
		put(o, "next", i);
		break;
	}
	json_object_set_new(o, "nics", nics);
	return o;
}

json_t *gateway_status(struct gateway *g, unsigned from) { return page(g, from, false); }
json_t *gateway_counters(struct gateway *g, unsigned from) { return page(g, from, true); }
