/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "lcg/gateway_priv.h"
#include "lib/l2/loopguard.h"
#include "lib/version.h"

/* What one message holds, with room for what is said of the gateway itself. */
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

static void lan_drops(const struct attachment *a, struct drops *d)
{
	const struct lan_counters *c = lan_counters(a->lan);

	drops_add(d, "full", c->drop_full, false);
	drops_add(d, "down", c->drop_down, false);
	drops_add(d, "refused", c->drop_refused, true);
	drops_add(d, "short", c->drop_short, false);
	drops_add(d, "kernel", c->drop_kernel, false);
	drops_add(d, "vid", a->drop_vid, false);
}

static json_t *lan_json(const struct attachment *a)
{
	const struct lan_config *c = lan_config(a->lan);
	struct drops drops = { 0 };

	lan_drops(a, &drops);
	return json_pack("{s:s s:s s:s s:s s:b s:I s:I s:o*}", "name", c->name, "kind", lan_kind_names[c->kind], "device", c->device,
		"bridge", c->bridge, "works", lan_works(a->lan), "mtu", (json_int_t)lan_mtu(a->lan), "drops", (json_int_t)drops_sum(&drops),
		"drop_causes", drops_json(&drops));
}

static const char *mode(const struct segment_config *c)
{
	return c->trunk ? "trunk" : c->vid == FRAME_NO_VID ? "untagged" : "vlan";
}

static void segment_drops(const struct segment *s, struct drops *d)
{
	static const bool said[SEGMENT_DROPS] = { [SEGMENT_FRAME_LONG] = true, [SEGMENT_FRAME_OFFLOAD] = true, [SEGMENT_FRAME_IP] = true,
		[SEGMENT_LOOP] = true, [SEGMENT_VLAN] = true, [SEGMENT_STORM] = true };

	for (unsigned i = 0; i < SEGMENT_DROPS; i++)
		drops_add(d, segment_drop_name(i), segment_counters(s)->drop[i], said[i]);
}

static json_t *segment_json(const struct seat *s)
{
	const struct segment_config *c = segment_config(s->segment);
	const struct segment_counters *n = segment_counters(s->segment);
	struct drops drops = { 0 };

	segment_drops(s->segment, &drops);
	return json_pack("{s:s s:s s:s s:I s:b s:b s:b s:I s:I s:I s:I s:I s:o*}", "name", c->name, "lan", lan_config(s->at->lan)->name,
		"mode", mode(c),
		"vlan", (json_int_t)(c->vid == FRAME_NO_VID ? 0 : c->vid), "works", lan_works(s->at->lan), "mirror", s->mirror != NULL, "shut",
		segment_is_shut(s->segment, loop_now_ns()), "ports", (json_int_t)segment_ports(s->segment), "from_lan",
		(json_int_t)n->from_lan, "to_lan", (json_int_t)n->to_lan, "between_servers", (json_int_t)n->between_servers, "drops",
		(json_int_t)drops_sum(&drops), "drop_causes", drops_json(&drops));
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
	json_t *o = json_pack("{s:s s:I s:I s:I s:I s:I s:I s:I}", "name", lan_config(a->lan)->name, "in_frames", (json_int_t)c->in.frames,
		"in_bytes", (json_int_t)c->in.bytes, "out_frames", (json_int_t)c->out.frames, "out_bytes", (json_int_t)c->out.bytes,
		"coalesced_here", (json_int_t)c->coalesced, "segmented_here", (json_int_t)c->software, "carrier_changes",
		(json_int_t)c->carrier_changes);
	struct drops drops = { 0 };

	lan_drops(a, &drops);
	if (o)
		drops_put(&drops, o);
	return o;
}

static void put_mirror(json_t *o, struct mirror *m)
{
	struct mirror_counters c;

	if (!m)
		return;
	mirror_counters(m, &c);
	put(o, "mirror_frames", c.frames);
	put(o, "mirror_drop_device", c.drop_device);
	put(o, "mirror_drop_busy", c.drop_busy);
	put(o, "mirror_drop_disk", c.drop_disk);
}

static json_t *segment_numbers(const struct seat *s)
{
	const struct segment_counters *c = segment_counters(s->segment);
	struct loopguard_counters guard;
	struct drops drops = { 0 };
	json_t *o = json_pack("{s:s s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I}", "name", segment_config(s->segment)->name, "from_lan",
		(json_int_t)c->from_lan, "to_lan", (json_int_t)c->to_lan, "from_servers", (json_int_t)c->from_servers, "between_servers",
		(json_int_t)c->between_servers, "foreign", (json_int_t)c->foreign, "announcements", (json_int_t)c->announcements, "answers",
		(json_int_t)c->answers, "too_big", (json_int_t)c->too_big, "mirrored", (json_int_t)c->mirrored, "ports",
		(json_int_t)segment_ports(s->segment));

	if (!o)
		return NULL;
	segment_drops(s->segment, &drops);
	drops_put(&drops, o);
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

/* ---- the log */

void gateway_tell_drops(struct gateway *g, uint64_t now_ns)
{
	char who[LCG_NAME + 16];

	for (unsigned i = 0; i < g->parts.lans; i++) {
		struct attachment *a = g->parts.lan[i];
		struct drops drops = { 0 };

		lan_drops(a, &drops);
		snprintf(who, sizeof who, "lan.%s", lan_config(a->lan)->name);
		drops_tell(&a->told, &drops, who, now_ns);
	}
	for (unsigned i = 0; i < g->parts.seats; i++) {
		struct seat *s = g->parts.seat[i];
		struct drops drops = { 0 };

		segment_drops(s->segment, &drops);
		snprintf(who, sizeof who, "segment %s", segment_config(s->segment)->name);
		drops_tell(&s->told, &drops, who, now_ns);
	}
}

/* ---- pages */

/* LANs, segments and NICs, one after the other. */
static json_t *item(struct gateway *g, unsigned i, bool numbers, const char **list)
{
	const struct parts *p = &g->parts;

	*list = "lans";
	if (i < p->lans)
		return numbers ? lan_numbers(p->lan[i]) : lan_json(p->lan[i]);
	i -= p->lans;
	*list = "segments";
	if (i < p->seats)
		return numbers ? segment_numbers(p->seat[i]) : segment_json(p->seat[i]);
	i -= p->seats;
	*list = "nics";
	return numbers ? nic_numbers(p->nic[i]) : nic_status(p->nic[i]);
}

static json_t *page(struct gateway *g, unsigned from, bool numbers)
{
	json_t *o = json_pack("{s:[] s:[] s:[]}", "lans", "segments", "nics"), *one;
	unsigned all = g->parts.lans + g->parts.seats + g->parts.nics;
	const char *list;
	size_t used = 0;

	if (o && !from)
		json_object_set_new(o, "gateway", numbers ? gateway_numbers(g) : gateway_json(g));
	for (unsigned i = from; o && i < all; i++) {
		one = item(g, i, numbers, &list);
		used += one ? json_dumpb(one, NULL, 0, JSON_COMPACT) : 0;
		if (i > from && used > ROOM) {
			json_decref(one);
			put(o, "next", i);
			break;
		}
		json_array_append_new(json_object_get(o, list), one);
	}
	return o;
}

json_t *gateway_status(struct gateway *g, unsigned from) { return page(g, from, false); }
json_t *gateway_counters(struct gateway *g, unsigned from) { return page(g, from, true); }
