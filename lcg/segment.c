/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/segment.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "lcg/lan.h"
#include "lcg/segment_priv.h"
#include "lib/bits.h"
#include "lib/l2/fdb.h"
#include "lib/log.h"
#include "lib/scope.h"

enum { FDB_SIZE = 4096, NEIGHBOURS = 4096, LAN_PORT = 0 };

static const char *const drop_names[] = {
	[SEGMENT_FRAME_SHORT] = "short", [SEGMENT_FRAME_LONG] = "long", [SEGMENT_FRAME_OFFLOAD] = "bad-offload",
		[SEGMENT_FRAME_IP] = "bad-ip",
	[SEGMENT_RESERVED] = "reserved", [SEGMENT_LOOP] = "loop", [SEGMENT_VLAN] = "vlan", [SEGMENT_SOURCE] = "source",
	[SEGMENT_SHUT] = "shut", [SEGMENT_STORM] = "lan-storm",
};
_Static_assert(array_len(drop_names) == SEGMENT_DROPS, "a name for each drop");

const char *segment_drop_name(enum segment_drop drop)
{
	return (unsigned)drop < SEGMENT_DROPS ? drop_names[drop] : "unknown";
}

/* ---- what goes nowhere */

static void drop(struct segment *s, enum segment_drop why)
{
	s->counters.drop[why]++;
}

static bool parse(struct segment *s, struct frame *f)
{
	static const enum segment_drop why[FRAME_CAUSES] = { [FRAME_SHORT] = SEGMENT_FRAME_SHORT, [FRAME_LONG] = SEGMENT_FRAME_LONG,
		[FRAME_BAD_OFFLOAD] = SEGMENT_FRAME_OFFLOAD, [FRAME_BAD_IP] = SEGMENT_FRAME_IP };
	enum frame_cause cause = frame_parse(f);

	if (cause == FRAME_OK)
		return true;
	drop(s, why[cause]);
	log_limited(LOG_WARN, "segment %s: a frame was dropped: %s", s->config.name, frame_cause_name(cause));
	return false;
}

static bool is_reserved(const uint8_t *mac)
{
	static const uint8_t bridges[5] = { 0x01, 0x80, 0xc2, 0x00, 0x00 };

	return !memcmp(mac, bridges, sizeof bridges) && mac[5] < 0x10;
}

/* A MAC that stands on both sides: a loop in the LAN, or the server that moved away and was left switched on. */
static void drop_loop(struct segment *s, const struct segment_port *port, uint64_t now_ns)
{
	drop(s, SEGMENT_LOOP);
	loopguard_own_mac(&s->guard, now_ns);
	log_limited(LOG_WARN, "segment %s: %s's MAC came from the LAN: is there a loop, or is the old machine still switched on?",
		s->config.name,
		port->name);
}

/* ---- which port */

static struct segment_port *find(struct segment *s, const uint8_t *mac, uint64_t now_ns)
{
	int i = fdb_find(s->fdb, 0, mac, now_ns);

	return i > LAN_PORT && i <= (int)LCG_NICS ? s->port[i - 1] : NULL;
}

static void mirror(struct segment *s, const struct frame *f, bool *seen)
{
	if (*seen || !s->ops.mirror)
		return;
	*seen = true;
	s->counters.mirrored++;
	s->ops.mirror(s->ctx, f);
}

/* ---- out of the ports */

void segment_send_lan(struct segment *s, const struct frame *f, uint32_t tci)
{
	uint32_t priority = tci == VLAN_NO_TCI ? 0 : tci & ~(uint32_t)VLAN_VID_MASK;

	s->ops.to_lan(s->ctx, f, s->config.vid == FRAME_NO_VID ? VLAN_NO_TCI : s->config.vid | priority);
}

void segment_send_made(struct segment *s, struct frame *f)
{
	if (f->len && frame_parse(f) == FRAME_OK)
		segment_send_lan(s, f, VLAN_NO_TCI);
}

/* To whoever sent what was too long, in the name of whom it was for. */
static void reply(struct segment *s, struct segment_port *port, enum filter_direction direction, const struct frame *f,
	uint64_t now_ns)
{
	uint8_t buf[LAN_HEADROOM + FILTER_REPLY_MAX];
	struct frame r = { .data = buf + LAN_HEADROOM };
	struct segment_port *to = port;

	r.len = filter_reply(port->filter, direction, f, r.data, now_ns);
	if (!r.len || frame_parse(&r) != FRAME_OK)
		return;
	s->counters.too_big++;
	if (direction == FILTER_TO_SERVER)
		to = find(s, frame_dst(&r), now_ns);
	if (to)
		to->send(to->ctx, &r);
	else
		segment_send_lan(s, &r, VLAN_NO_TCI);
}

static bool pass(struct segment_port *port, enum filter_direction direction, struct frame *f, uint64_t now_ns)
{
	enum filter_cause cause = filter_pass(port->filter, direction, f, now_ns);

	if (cause == FILTER_PASS)
		return true;
	if (cause == FILTER_TOO_BIG)
		reply(port->segment, port, direction, f, now_ns);
	return false;
}

/* True: it went there. */
static bool deliver(struct segment_port *port, struct frame *f, uint64_t now_ns, bool *mirrored)
{
	if (!pass(port, FILTER_TO_SERVER, f, now_ns))
		return false;
	mirror(port->segment, f, mirrored);
	port->send(port->ctx, f);
	return true;
}

static bool flood(struct segment *s, const struct segment_port *but, struct frame *f, uint64_t now_ns, bool *mirrored)
{
	bool any = false;

	for (unsigned i = 0; i < s->highest; i++)
		if (s->port[i] && s->port[i]->active && s->port[i] != but)
			any |= deliver(s->port[i], f, now_ns, mirrored);
	return any;
}

/* ---- into the ports */

static bool guard(struct segment *s, const struct frame *f, uint64_t now_ns)
{
	switch (loopguard_input(&s->guard, f, now_ns)) {
	case LOOPGUARD_PASS:
		return true;
	case LOOPGUARD_SHUT:
		drop(s, SEGMENT_SHUT);
		return false;
	case LOOPGUARD_STORM:
		drop(s, SEGMENT_STORM);
		log_limited(LOG_WARN, "segment %s: more than %d broadcasts and multicasts a second from the LAN", s->config.name,
			SEGMENT_STORM_S);
		return false;
	case LOOPGUARD_PROBE:
		return false;
	}
	return false;
}

/* Half a one, too. */
static bool is_tag(const struct frame *f)
{
	uint16_t type = get_be16(f->data + 2 * FRAME_MAC);

	return type == VLAN_TPID || type == VLAN_TPID_SERVICE;
}

/* A tag of priority alone says no VLAN: it is taken off. False: a tag that has no place here. */
static bool untag(struct segment *s, struct frame *f, uint32_t *tci)
{
	*tci = vlan_tci(f);
	if (s->config.trunk)
		return true;
	if (*tci == VLAN_NO_TCI)
		return !is_tag(f);
	if (*tci & VLAN_VID_MASK)
		return false;
	vlan_pop(f);
	/* of two tags the second would be one of a VLAN */
	return !is_tag(f) && frame_parse(f) == FRAME_OK;
}

void segment_from_lan(struct segment *s, struct frame *f, uint64_t now_ns)
{
	struct segment_port *from, *to = NULL;
	bool mirrored = false;
	uint32_t tci;

	if (f->len < FRAME_MIN) {
		drop(s, SEGMENT_FRAME_SHORT);
		return;
	}
	from = find(s, frame_src(f), now_ns);
	if (from) {
		drop_loop(s, from, now_ns);
		return;
	}
	/* most of what a LAN says is for nobody here: that is known before anything costs time */
	if (!frame_is_multicast(f) && !(to = find(s, frame_dst(f), now_ns))) {
		s->counters.foreign++;
		return;
	}
	if (!untag(s, f, &tci)) {
		drop(s, SEGMENT_VLAN);
		log_limited(LOG_WARN, "segment %s: a frame with a second tag, or a provider's, came from the LAN", s->config.name);
		return;
	}
	if (!parse(s, f) || !guard(s, f, now_ns))
		return;
	if (is_reserved(frame_dst(f))) {
		drop(s, SEGMENT_RESERVED);
		return;
	}
	segment_neighbour_hear(s, f, now_ns);
	if (!s->active) {
		s->counters.foreign++;
		return;
	}
	if (!fdb_learn(s->fdb, 0, frame_src(f), LAN_PORT, now_ns)) {
		drop(s, SEGMENT_SOURCE);
		return;
	}
	if (segment_neighbour_from_lan(s, f, now_ns))
		return;
	if (to ? deliver(to, f, now_ns, &mirrored) : flood(s, NULL, f, now_ns, &mirrored))
		s->counters.from_lan++;
}

void segment_from_port(struct segment_port *port, struct frame *f, uint64_t now_ns)
{
	struct segment *s = port->segment;
	struct segment_port *to;
	bool mirrored = false;
	uint32_t tci;

	if (!port->active)
		return;
	if (!untag(s, f, &tci)) {
		drop(s, SEGMENT_VLAN);
		log_limited(LOG_WARN, "segment %s: %s sent a frame with a tag into a segment without tags", s->config.name, port->name);
		return;
	}
	if (!pass(port, FILTER_FROM_SERVER, f, now_ns))
		return;
	s->counters.from_servers++;
	mirror(s, f, &mirrored);
	if (segment_neighbour_from_port(port, f, now_ns))
		return;
	to = frame_is_multicast(f) ? NULL : find(s, frame_dst(f), now_ns);
	if (to == port) {
		drop(s, SEGMENT_SOURCE);
		return;
	}
	if (to) {
		s->counters.between_servers += deliver(to, f, now_ns, &mirrored);
		if (s->ops.between)
			s->ops.between(s->ctx, port->ctx, to->ctx);
		return;
	}
	if (!loopguard_output(&s->guard, now_ns)) {
		drop(s, SEGMENT_SHUT);
		return;
	}
	/* The LAN first: a neighbour's filter may change the frame. */
	s->counters.to_lan++;
	segment_send_lan(s, f, s->config.trunk ? VLAN_NO_TCI : tci);
	if (frame_is_multicast(f))
		s->counters.between_servers += flood(s, port, f, now_ns, &mirrored);
}

/* ---- ports */

int segment_add_port(struct segment *s, const char *name, const uint8_t mac[FRAME_MAC], struct filter *filter,
	segment_send_fn *send, void *ctx, struct segment_port **port, struct err *err)
{
	struct segment_port *p = calloc(1, sizeof *p);
	unsigned i;

	*port = NULL;
	for (i = 0; i < LCG_NICS && s->port[i]; i++)
		;
	if (!p || i == LCG_NICS) {
		free(p);
		return err_set(err, p ? -E2BIG : -ENOMEM, "segment %s: no room for %s", s->config.name, name);
	}
	*p = (struct segment_port){ .segment = s, .index = i, .filter = filter, .send = send, .ctx = ctx };
	snprintf(p->name, sizeof p->name, "%s", name);
	memcpy(p->mac, mac, FRAME_MAC);
	filter_set_mtu(filter, s->mtu, 0);
	s->port[i] = p;
	s->highest = i >= s->highest ? i + 1 : s->highest;
	*port = p;
	return 0;
}

void segment_remove_port(struct segment_port *p)
{
	struct segment *s;

	if (!p)
		return;
	s = p->segment;
	segment_port_set_active(p, false, 0);
	s->port[p->index] = NULL;
	while (s->highest && !s->port[s->highest - 1])
		s->highest--;
	free(p);
}

void segment_port_set_active(struct segment_port *p, bool active, uint64_t now_ns)
{
	struct segment *s = p->segment;

	if (p->active == active)
		return;
	if (!active) {
		fdb_unpin(s->fdb, 0, p->mac);
	} else if (fdb_pin(s->fdb, 0, p->mac, (int)p->index + 1)) {
		/* checked when the configuration was read; two servers cannot be one MAC */
		log_error("segment %s: %s: its MAC is another server's: it is not served", s->config.name, p->name);
		return;
	}
	p->active = active;
	s->active += active ? 1 : -1u;
	if (active) {
		filter_resume(p->filter);
		segment_port_announce(p, now_ns);
	}
}

unsigned segment_ports(const struct segment *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->highest; i++)
		n += !!s->port[i];
	return n;
}

/* ---- its life */

/* Probes come from an address of their own, which no server and no machine of the LAN has. */
static int start_guard(struct segment *s)
{
	uint8_t mac[FRAME_MAC];

	if (getrandom(mac, sizeof mac, 0) != sizeof mac)
		return -EIO;
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 2);
	loopguard_init(&s->guard, mac, (struct rate_limit){ SEGMENT_STORM_S, SEGMENT_STORM_S });
	return 0;
}

void segment_tick(struct segment *s, uint64_t now_ns)
{
	uint8_t buf[LAN_HEADROOM + LOOPGUARD_FRAME];
	struct frame f = { .data = buf + LAN_HEADROOM };
	int n;

	/* who forwards nothing can't be part of a loop */
	if (!s->active)
		return;
	n = loopguard_probe(&s->guard, f.data, now_ns);
	if (n < 0)
		log_limited(LOG_ERROR, "segment %s: loop probes: %s", s->config.name, strerror(-n));
	f.len = n > 0 ? (size_t)n : 0;
	segment_send_made(s, &f);
}

bool segment_is_shut(const struct segment *s, uint64_t now_ns) { return loopguard_is_shut(&s->guard, now_ns); }

int segment_create(const struct segment_config *config, const struct segment_ops *ops, void *ctx, struct segment **segment,
	struct err *err)
{
	struct segment *s = calloc(1, sizeof *s);
	int rc = s ? fdb_create(FDB_SIZE, FDB_AGE_S, &s->fdb) : -ENOMEM;

	*segment = NULL;
	if (!rc)
		rc = neighbours_create(NEIGHBOURS, NEIGHBOUR_AGE_S, &s->neighbours);
	if (!rc)
		rc = start_guard(s);
	if (rc) {
		segment_free(s);
		return err_set(err, rc, "segment.%s: %s", config->name, strerror(-rc));
	}
	segment_set(s, config, ops, ctx);
	*segment = s;
	return 0;
}

void segment_set(struct segment *s, const struct segment_config *config, const struct segment_ops *ops, void *ctx)
{
	s->config = *config;
	s->ops = *ops;
	s->ctx = ctx;
}

void segment_set_mtu(struct segment *s, uint32_t mtu)
{
	s->mtu = mtu;
	for (unsigned i = 0; i < s->highest; i++)
		if (s->port[i])
			filter_set_mtu(s->port[i]->filter, mtu, s->port[i]->mtu);
}

void segment_port_set_nic_mtu(struct segment_port *p, uint32_t mtu)
{
	p->mtu = mtu;
	filter_set_mtu(p->filter, p->segment->mtu, mtu);
}

uint32_t segment_port_mtu(const struct segment_port *port) { return port->segment->mtu; }

void segment_free(struct segment *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->highest; i++)
		bug_on(s->port[i]);
	neighbours_free(s->neighbours);
	fdb_free(s->fdb);
	free(s);
}

void segment_guard_counters(const struct segment *s, struct loopguard_counters *counters) { *counters = s->guard.counters; }
const struct segment_counters *segment_counters(const struct segment *s) { return &s->counters; }
const struct segment_config *segment_config(const struct segment *s) { return &s->config; }
