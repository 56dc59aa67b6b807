/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/nic.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/tls.h"
#include "lcg/drops.h"
#include "lib/log.h"
#include "lib/scope.h"

/* ANNOUNCEMENTS: of an active NIC, the first at once, then with doubling pauses. */
enum { ANNOUNCEMENTS = 4, ANNOUNCE_MS = 100, LANES = 2 };

struct nic {
	struct loop *loop;
	struct nic_config config;
	char *gateway, *segment, *relay[LCG_RELAYS], *direct;
	uint32_t priority;
	struct filter *filter;
	struct segment_port *port;
	struct l2_gateway *link;
	struct tickets *tickets;
	struct loop_timer *announce;
	unsigned announced;
	bool active;
	struct { uint64_t at_ns, in, out, in_rate, out_rate; } rate;
	struct drops_told told;
};

/* ---- what the link calls */

static int authorise(void *ctx, struct link *link, const json_t *hello, struct err *err)
{
	const struct nic *n = ctx;
	struct pki_id id;
	X509 *cert;
	int rc;

	if (!link_ssl(link))
		return err_set(err, -EACCES, "the connection is not encrypted");
	rc = tls_peer(link_ssl(link), time(NULL), &id, &cert, err);
	if (!rc && (id.role != PKI_HV || strcmp(id.name, n->config.server)))
		rc = err_set(err, -EPERM, "the other side is %s/%s, not hv/%s", pki_role_name(id.role), id.name, n->config.server);
	return rc;
}

static char *ticket(void *ctx)
{
	struct nic *n = ctx;

	return tickets_take(n->tickets, time(NULL));
}

static unsigned ready(void *ctx)
{
	struct nic *n = ctx;

	return tickets_ready(n->tickets, time(NULL));
}

static void on_tickets(void *ctx)
{
	struct nic *n = ctx;

	l2_gateway_tickets(n->link);
}

static void on_frame(void *ctx, struct frame *f)
{
	struct nic *n = ctx;

	if (n->port)
		segment_from_port(n->port, f, loop_now_ns());
}

static void on_announce(void *ctx)
{
	struct nic *n = ctx;

	if (!n->active || !n->port)
		return;
	segment_port_announce(n->port, loop_now_ns());
	if (++n->announced < ANNOUNCEMENTS)
		loop_timer_arm(n->announce, loop_now_ns() + (ANNOUNCE_MS * 1000000ull << n->announced));
}

static void on_active(void *ctx, bool active)
{
	struct nic *n = ctx;

	n->active = active;
	if (n->port) {
		segment_port_set_nic_mtu(n->port, l2_gateway_mtu(n->link));
		segment_port_set_active(n->port, active, loop_now_ns());
	}
	n->announced = 1;	/* the first with set_active */
	if (active)
		loop_timer_arm(n->announce, loop_now_ns() + ANNOUNCE_MS * 1000000ull);
	else
		loop_timer_disarm(n->announce);
}

static void on_moved(void *ctx)
{
	filter_resume(((struct nic *)ctx)->filter);
}

static void send_frame(void *ctx, struct frame *f)
{
	struct nic *n = ctx;

	l2_gateway_send(n->link, f);
}

/* ---- its life */

static int keep(char **to, const char *text)
{
	*to = text ? strdup(text) : NULL;
	return text && !*to ? -ENOMEM : 0;
}

static int keep_texts(struct nic *n, const struct nic_config *config, const struct nic_link *link)
{
	int rc = keep(&n->gateway, link->gateway);

	rc = rc ? rc : keep(&n->segment, link->segment);
	rc = rc ? rc : keep(&n->direct, config->direct);
	for (unsigned i = 0; !rc && i < LCG_RELAYS; i++)
		rc = keep(&n->relay[i], config->relay[i]);
	n->config = *config;
	n->config.policy = NULL;
	n->config.direct = n->direct;
	for (unsigned i = 0; i < LCG_RELAYS; i++)
		n->config.relay[i] = n->relay[i];
	n->priority = link->priority;
	return rc;
}

static unsigned ways(const struct nic *n)
{
	unsigned count = n->direct ? 1 : 0;

	for (unsigned i = 0; i < LCG_RELAYS; i++)
		count += !!n->relay[i];
	return count;
}

static int make_link(struct nic *n, struct trust *trust, struct err *err)
{
	static const struct l2_gateway_ops ops = { .frame = on_frame, .active = on_active, .moved = on_moved };
	struct l2_gateway_config c = { .gateway = n->gateway, .server = n->config.server, .nic = n->config.nic, .segment = n->segment,
		.direct = n->direct, .lanes = n->config.lanes, .priority = n->priority };
	unsigned lanes = n->config.lanes ? n->config.lanes : LANES;

	for (unsigned i = 0; i < LCG_RELAYS; i++)
		c.relay[i] = n->relay[i];
	if (trust) {
		if (tickets_create(trust, NULL, n->config.server, n->config.nic, lanes * ways(n), on_tickets, n, &n->tickets))
			return err_set(err, -ENOMEM, "out of memory");
		c.tls = trust_tls(trust);
		c.tls_relay = trust_tls_relay(trust);
		c.authorise = authorise;
		c.ticket = ticket;
		c.tickets = ready;
	}
	return l2_gateway_create(n->loop, &c, &ops, n, &n->link, err);
}

int nic_create(struct loop *loop, struct nic_config *config, const struct nic_link *link, struct trust *trust, struct nic **nic,
	struct err *err)
{
	struct policy *policy = take_ptr(config->policy);
	struct nic *n = calloc(1, sizeof *n);
	int rc;

	*nic = NULL;
	if (!n) {
		policy_free(policy);
		return err_set(err, -ENOMEM, "out of memory");
	}
	n->loop = loop;
	rc = filter_create(config->mac, policy, &n->filter, err);
	if (!rc && (keep_texts(n, config, link) || loop_timer_create(loop, on_announce, n, &n->announce)))
		rc = err_set(err, -ENOMEM, "out of memory");
	if (!rc)
		rc = make_link(n, trust, err);
	if (rc) {
		rc = err_prefix(err, "server %s, NIC %s", config->server, config->nic);
		nic_free(n);
	} else {
		*nic = n;
	}
	return rc;
}

void nic_free(struct nic *n)
{
	if (!n)
		return;
	segment_remove_port(n->port);
	n->port = NULL;
	l2_gateway_free(n->link);
	loop_timer_free(n->announce);
	tickets_free(n->tickets);
	filter_free(n->filter);
	for (unsigned i = 0; i < LCG_RELAYS; i++)
		free(n->relay[i]);
	free(n->direct);
	free(n->segment);
	free(n->gateway);
	free(n);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

bool nic_is_same(const struct nic *n, const struct nic_config *config, const struct nic_link *link)
{
	for (unsigned i = 0; i < LCG_RELAYS; i++)
		if (!same_text(n->relay[i], config->relay[i]))
			return false;
	return same_text(n->config.server, config->server) && same_text(n->config.nic, config->nic) &&
		same_text(n->direct, config->direct) && same_text(n->segment, link->segment) &&
		same_text(n->gateway, link->gateway) && n->priority == link->priority && n->config.lanes == config->lanes &&
		!memcmp(n->config.mac, config->mac, FRAME_MAC);
}

int nic_plug(struct nic *n, struct segment *segment, struct err *err)
{
	char name[PKI_NAME_MAX + LCG_NAME + 2];
	struct segment_port *port;
	int rc;

	snprintf(name, sizeof name, "%s %s", n->config.server, n->config.nic);
	rc = segment_add_port(segment, name, n->config.mac, n->filter, send_frame, n, &port, err);
	if (rc)
		return rc;
	segment_remove_port(n->port);
	n->port = port;
	segment_port_set_nic_mtu(port, l2_gateway_mtu(n->link));
	segment_port_set_active(port, n->active, loop_now_ns());
	return 0;
}

void nic_set_policy(struct nic *n, struct policy *policy) { filter_set_policy(n->filter, policy); }
void nic_set_lan(struct nic *n, bool works) { l2_gateway_set_lan(n->link, works); }

void nic_set_trust(struct nic *n, struct trust *trust)
{
	tickets_set_trust(n->tickets, trust);
	l2_gateway_set_tls(n->link, trust_tls(trust), trust_tls_relay(trust));
}

void nic_renew(struct nic *n, struct trust *trust)
{
	l2_gateway_set_tls(n->link, trust_tls(trust), trust_tls_relay(trust));
}

/* ---- for people */

const char *nic_server(const struct nic *n) { return n->config.server; }
const char *nic_name(const struct nic *n) { return n->config.nic; }
const char *nic_segment(const struct nic *n) { return n->segment; }
const uint8_t *nic_mac(const struct nic *n) { return n->config.mac; }
const struct nic_config *nic_config(const struct nic *n) { return &n->config; }
struct segment_port *nic_port(const struct nic *n) { return n->port; }
bool nic_is_active(const struct nic *n) { return n->active; }
struct l2_gateway *nic_l2(const struct nic *n) { return n->link; }

static int put(json_t *o, const char *name, uint64_t v)
{
	return json_object_set_new(o, name, json_integer((json_int_t)v));
}

/* In the log where they happen: what the filter refuses, and frames that are none. */
static void collect(const struct filter_counters *f, const struct l2_gateway_counters *l, struct drops *d)
{
	for (unsigned i = FILTER_PASS + 1; i < FILTER_CAUSES; i++)
		drops_add(d, filter_cause_name(i), f->cause[i], true);
	drops_add(d, "passive", l->drop_passive, false);
	drops_add(d, "closed", l->drop_closed, false);
	drops_add(d, "queue_full", l->paths.drop_queue_full, false);
	drops_add(d, "queue_late", l->paths.drop_queue_late, false);
	drops_add(d, "bad_frame", l->paths.drop_bad_frame, true);
	drops_add(d, "path_closed", l->paths.drop_closed, false);
	drops_add(d, "control", l->paths.drop_control, false);
}

void nic_tick(struct nic *n, uint64_t now_ns)
{
	char who[PKI_NAME_MAX + LCG_NAME + 16];
	struct l2_gateway_counters c;
	struct filter_counters f;
	struct drops drops = { 0 };
	uint64_t ns = now_ns - n->rate.at_ns;

	if (n->tickets)
		tickets_tick(n->tickets, time(NULL));
	l2_gateway_counters(n->link, &c);
	if (n->rate.at_ns && ns) {
		n->rate.in_rate = (uint64_t)((double)(c.paths.in.bytes - n->rate.in) * 1e9 / (double)ns);
		n->rate.out_rate = (uint64_t)((double)(c.paths.out.bytes - n->rate.out) * 1e9 / (double)ns);
	}
	n->rate.at_ns = now_ns;
	n->rate.in = c.paths.in.bytes;
	n->rate.out = c.paths.out.bytes;
	filter_counters(n->filter, &f);
	collect(&f, &c, &drops);
	snprintf(who, sizeof who, "server %s, NIC %s", n->config.server, n->config.nic);
	drops_tell(&n->told, &drops, who, now_ns);
}

json_t *nic_counters(const struct nic *n)
{
	struct l2_gateway_counters l;
	struct filter_counters f;
	struct drops drops = { 0 };
	json_t *o = json_object();

	if (!o)
		return NULL;
	l2_gateway_counters(n->link, &l);
	filter_counters(n->filter, &f);
	put(o, "from_server_frames", l.paths.in.frames);
	put(o, "from_server_bytes", l.paths.in.bytes);
	put(o, "to_server_frames", l.paths.out.frames);
	put(o, "to_server_bytes", l.paths.out.bytes);
	put(o, "filter_passed", f.cause[FILTER_PASS]);
	put(o, "mss_clamped", f.clamped);
	put(o, "too_big_answers", f.replies);
	put(o, "connections", f.connections);
	put(o, "connections_max", f.connections_max);
	put(o, "connections_evicted", f.evicted);
	collect(&f, &l, &drops);
	drops_put(&drops, o);
	put(o, "takeovers", l.takeovers);
	put(o, "leases_lost", l.leases_lost);
	put(o, "connects", l.connects);
	put(o, "connect_failures", l.connect_failures);
	if (n->tickets) {
		put(o, "tickets_taken", tickets_counters(n->tickets)->taken);
		put(o, "tickets_missing", tickets_counters(n->tickets)->missing);
		put(o, "tickets_expired", tickets_counters(n->tickets)->expired);
		put(o, "tickets_refused", tickets_counters(n->tickets)->refused);
	}
	return o;
}

json_t *nic_status(const struct nic *n)
{
	struct l2_gateway_counters l;
	struct filter_counters f;
	struct drops drops = { 0 };
	char mac[FRAME_MAC_TEXT];

	frame_mac_text(n->config.mac, mac);
	l2_gateway_counters(n->link, &l);
	filter_counters(n->filter, &f);
	collect(&f, &l, &drops);
	/* the sum is without what another gateway serves: that is no loss */
	return json_pack("{s:s s:s s:s s:s s:b s:I s:I s:I s:o* s:I s:s s:I s:o*}", "server", n->config.server,
		"nic", n->config.nic, "segment",
		n->segment, "mac", mac, "active", n->active, "from_server_rate", (json_int_t)n->rate.in_rate, "to_server_rate",
		(json_int_t)n->rate.out_rate, "drops", (json_int_t)(drops_sum(&drops) - l.drop_passive),
		"drop_causes", drops_json(&drops), "tickets",
		(json_int_t)(n->tickets ? tickets_count(n->tickets) : 0), "tickets_trouble", n->tickets ? tickets_trouble(n->tickets) : "",
		"connections", (json_int_t)f.connections, "link", l2_gateway_status(n->link));
}
