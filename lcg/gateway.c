/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/gateway.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "lcg/gateway_priv.h"
#include "lib/bits.h"
#include "lib/log.h"

#define SECOND_NS 1000000000ull

/* ---- frames */

void gateway_on_lan_frame(void *ctx, struct frame *f)
{
	struct attachment *a = ctx;
	struct segment *s = a->trunk;
	uint64_t now = loop_now_ns();
	uint32_t tci;

	if (s) {
		segment_from_lan(s, f, now);
		return;
	}
	tci = vlan_tci(f);
	if (tci != VLAN_NO_TCI && tci & VLAN_VID_MASK) {
		s = (tci & VLAN_VID_MASK) < GATEWAY_VIDS ? a->by_vid[tci & VLAN_VID_MASK] : NULL;
		if (s)
			vlan_pop(f);
	} else if (f->len < FRAME_MIN || get_be16(f->data + 2 * FRAME_MAC) != VLAN_TPID_SERVICE) {
		s = a->untagged;
	}
	if (s)
		segment_from_lan(s, f, now);
	else
		a->drop_vid++;
}

static void to_lan(void *ctx, const struct frame *f, uint32_t tci)
{
	const struct seat *seat = ctx;

	lan_send(seat->at->lan, f, tci);
}

static void to_mirror(void *ctx, const struct frame *f)
{
	mirror_frame(((const struct seat *)ctx)->mirror, f);
}

static void on_between(void *ctx, void *from, void *to)
{
	introductions_note(((const struct seat *)ctx)->gateway->introductions, from, to);
}

const struct segment_ops gateway_segment_ops = { .to_lan = to_lan, .between = on_between };
const struct segment_ops gateway_segment_ops_mirrored = { .to_lan = to_lan, .mirror = to_mirror, .between = on_between };

/* ---- what changes around it */

static const struct seat *seat_of(const struct gateway *g, const struct nic *n)
{
	for (unsigned i = 0; i < g->parts.seats; i++)
		if (!strcmp(segment_config(g->parts.seat[i]->segment)->name, nic_segment(n)))
			return g->parts.seat[i];
	return NULL;
}

void gateway_spread(struct gateway *g)
{
	for (unsigned i = 0; i < g->parts.seats; i++)
		segment_set_mtu(g->parts.seat[i]->segment, lan_mtu(g->parts.seat[i]->at->lan));
	for (unsigned i = 0; i < g->parts.nics; i++)
		nic_set_lan(g->parts.nic[i], lan_works(seat_of(g, g->parts.nic[i])->at->lan));
}

void gateway_on_lan_works(void *ctx, bool works)
{
	gateway_spread(((struct attachment *)ctx)->gateway);
}

static void on_netdevs(void *ctx)
{
	struct gateway *g = ctx;

	for (unsigned i = 0; i < g->parts.lans; i++)
		lan_update(g->parts.lan[i]->lan);
	gateway_spread(g);
}

void gateway_on_renewed(void *ctx)
{
	struct gateway *g = ctx;

	for (unsigned i = 0; i < g->parts.nics; i++)
		nic_renew(g->parts.nic[i], g->parts.trust);
}

static void on_tick(void *ctx)
{
	struct gateway *g = ctx;
	uint64_t now = loop_now_ns();

	for (unsigned i = 0; i < g->parts.nics; i++)
		nic_tick(g->parts.nic[i], now);
	for (unsigned i = 0; i < g->parts.seats; i++)
		segment_tick(g->parts.seat[i]->segment, now);
	introductions_tick(g->introductions, now);
	gateway_tell_drops(g, now);
	loop_timer_arm(g->tick, now + SECOND_NS);
}

/* ---- its life */

int gateway_reload(struct gateway *g, struct err *err)
{
	struct lcg_config *config;
	int rc = lcg_config_read(g->path, &config, err);

	if (!rc)
		rc = plan_carry_out(g, config, err);
	g->reloads += !rc;
	g->reload_failures += !!rc;
	return rc;
}

static int start(struct gateway *g, struct lcg_config *config, struct err *err)
{
	int rc = netdevs_create(g->loop, on_netdevs, g, &g->devs, err);

	if (!rc && (introductions_create(NULL, &g->introductions) || loop_timer_create(g->loop, on_tick, g, &g->tick)))
		rc = err_set(err, -ENOMEM, "out of memory");
	if (rc) {
		lcg_config_free(config);
		return rc;
	}
	rc = plan_carry_out(g, config, err);
	if (!rc)
		loop_timer_arm(g->tick, loop_now_ns());
	return rc;
}

int gateway_create(struct loop *loop, const char *path, struct gateway **gateway, struct err *err)
{
	struct gateway *g = calloc(1, sizeof *g);
	struct lcg_config *config;
	int rc;

	*gateway = NULL;
	if (!g || !(g->path = strdup(path))) {
		free(g);
		return err_set(err, -ENOMEM, "out of memory");
	}
	g->loop = loop;
	g->started_ns = loop_now_ns();
	rc = lcg_config_read(path, &config, err);
	if (!rc)
		rc = start(g, config, err);
	if (rc)
		gateway_free(g);
	else
		*gateway = g;
	return rc;
}

bool gateway_free(struct gateway *g)
{
	bool over;

	if (!g)
		return true;
	loop_timer_free(g->tick);
	control_free(g->parts.control);
	parts_drop(g, &g->parts);
	introductions_free(g->introductions);
	over = trust_free(g->parts.trust, true);
	netdevs_free(g->devs);
	free(g->path);
	free(g);
	return over;
}
