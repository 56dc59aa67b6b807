/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the configuration that is there to another one. A plan has all parts of the new one: those of the old that stay as they
 * are, and fresh ones. Making it may fail; carrying it out can't.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lcg/gateway_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

/* ---- is it there already? */

static struct attachment *old_lan(const struct gateway *g, const struct lan_config *config)
{
	for (unsigned i = 0; i < g->parts.lans; i++)
		if (lan_is_same(g->parts.lan[i]->lan, config))
			return g->parts.lan[i];
	return NULL;
}

static struct seat *old_seat(const struct gateway *g, const struct segment_config *config)
{
	for (unsigned i = 0; i < g->parts.seats; i++)
		if (!strcmp(segment_config(g->parts.seat[i]->segment)->name, config->name))
			return g->parts.seat[i];
	return NULL;
}

static struct mirror *old_mirror(const struct gateway *g, const struct segment_config *config)
{
	for (unsigned i = 0; i < g->parts.seats; i++)
		if (mirror_is_same(g->parts.mirror[i], config->mirror, config->mirror_to))
			return g->parts.mirror[i];
	return NULL;
}

static struct nic *old_nic(const struct gateway *g, const struct nic_config *config, const struct nic_link *link)
{
	for (unsigned i = 0; i < g->parts.nics; i++)
		if (nic_is_same(g->parts.nic[i], config, link))
			return g->parts.nic[i];
	return NULL;
}

/* Is part one of the n parts of a list? */
static bool has(void *const *list, unsigned n, const void *part)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i] == part)
			return true;
	return false;
}

/* ---- freeing */

static void free_attachment(struct attachment *a)
{
	lan_free(a->lan);
	free(a);
}

static void free_seat(struct seat *s)
{
	segment_free(s->segment);
	free(s);
}

/* What stands in parts and not in but. NICs before the segments that they are plugged into. */
static void drop_but(struct gateway *g, struct parts *parts, const struct parts *but)
{
	for (unsigned i = 0; i < parts->nics; i++) {
		if (has((void *const *)but->nic, but->nics, parts->nic[i]))
			continue;
		introductions_forget(g->introductions, parts->nic[i]);
		nic_free(parts->nic[i]);
	}
	for (unsigned i = 0; i < parts->seats; i++) {
		if (!has((void *const *)but->mirror, but->seats, parts->mirror[i]))
			mirror_free(parts->mirror[i]);
		if (!has((void *const *)but->seat, but->seats, parts->seat[i]))
			free_seat(parts->seat[i]);
	}
	for (unsigned i = 0; i < parts->lans; i++)
		if (!has((void *const *)but->lan, but->lans, parts->lan[i]))
			free_attachment(parts->lan[i]);
	lcg_config_free(parts->config);
}

void parts_drop(struct gateway *g, struct parts *parts)
{
	static const struct parts none;

	drop_but(g, parts, &none);
}

/* ---- deciding */

static int plan_trust(struct gateway *g, struct parts *p, struct err *err)
{
	struct trust_config config = { .dir = p->config->identity, .lma = p->config->lma };
	bool same = false;
	int rc = g->parts.trust ? trust_is_same(g->parts.trust, &config, &same, err) : 0;

	if (rc)
		return rc;
	p->trust = g->parts.trust;
	if (!same)
		rc = trust_create(g->loop, &config, gateway_on_renewed, g, &p->trust, err);
	if (!rc && p->config->name && strcmp(p->config->name, trust_name(p->trust)))
		return err_set(err, -EINVAL, "name = %s, but the certificate in %s is of lcg/%s", p->config->name, p->config->identity,
			trust_name(p->trust));
	return rc;
}

static int plan_control(struct gateway *g, struct parts *p, struct err *err)
{
	const char *new = p->config->control, *old = g->parts.config ? g->parts.config->control : NULL;

	if (!new)
		return 0;
	if (old && !strcmp(new, old)) {
		p->control = g->parts.control;
		return 0;
	}
	return control_create(g->loop, new, gateway_verbs, g, &p->control, err);
}

static int plan_lan(struct gateway *g, struct parts *p, const struct lan_config *config, struct err *err)
{
	struct attachment *a = old_lan(g, config);
	int rc;

	if (a) {
		rc = lan_check(config, g->devs, err);
	} else {
		a = calloc(1, sizeof *a);
		if (!a)
			return err_set(err, -ENOMEM, "out of memory");
		a->gateway = g;
		rc = lan_create(g->loop, config, g->devs, &a->lan, err);
		if (rc)
			free(a);
	}
	if (!rc)
		p->lan[p->lans++] = a;
	return rc;
}

static int plan_mirror(struct gateway *g, struct parts *p, const struct segment_config *config, struct mirror **mirror,
	struct err *err)
{
	*mirror = NULL;
	if (config->mirror == MIRROR_NONE)
		return 0;
	for (unsigned i = 0; i < p->seats; i++)
		if (mirror_is_same(p->mirror[i], config->mirror, config->mirror_to))
			return err_set(err, -EEXIST, "segment.%s.mirror: segment.%s has this one", config->name, p->config->segment[i].name);
	*mirror = old_mirror(g, config);
	if (!*mirror && mirror_create(config->mirror, config->mirror_to, mirror, err))
		return err_prefix(err, "segment.%s", config->name);
	return 0;
}

static int plan_seat(struct gateway *g, struct parts *p, const struct segment_config *config, struct err *err)
{
	struct seat *s = old_seat(g, config);
	struct mirror *mirror;
	int rc = plan_mirror(g, p, config, &mirror, err);

	if (rc)
		return rc;
	if (!s) {
		s = calloc(1, sizeof *s);
		rc = s ? segment_create(config, &gateway_segment_ops, s, &s->segment, err) : err_set(err, -ENOMEM, "out of memory");
		if (rc) {
			free(s);
			if (mirror != old_mirror(g, config))
				mirror_free(mirror);
			return rc;
		}
		s->gateway = g;
		s->at = p->lan[config->lan];
	}
	p->mirror[p->seats] = mirror;
	p->seat[p->seats++] = s;
	return 0;
}

static int plan_nic(struct gateway *g, struct parts *p, struct nic_config *config, struct err *err)
{
	const struct nic_link link = { .gateway = trust_name(p->trust), .segment = p->config->segment[config->segment].name,
		.priority = p->config->priority };
	struct nic *n = old_nic(g, config, &link);
	int rc = 0;

	if (!n) {
		rc = nic_create(g->loop, config, &link, p->trust, &n, err);
		if (!rc && (rc = nic_plug(n, p->seat[config->segment]->segment, err)))
			nic_free(n);
	}
	if (!rc)
		p->nic[p->nics++] = n;
	return rc;
}

static int make(struct gateway *g, struct parts *p, struct err *err)
{
	struct lcg_config *c = p->config;
	int rc = plan_trust(g, p, err);

	rc = rc ? rc : plan_control(g, p, err);
	for (unsigned i = 0; !rc && i < c->lans; i++)
		rc = plan_lan(g, p, c->lan + i, err);
	for (unsigned i = 0; !rc && i < c->segments; i++)
		rc = plan_seat(g, p, c->segment + i, err);
	for (unsigned i = 0; !rc && i < c->nics; i++)
		rc = plan_nic(g, p, c->nic + i, err);
	return rc;
}

/* ---- carrying out */

static void spread_identity(struct gateway *g, struct parts *p)
{
	if (p->trust == g->parts.trust)
		return;
	for (unsigned i = 0; i < g->parts.nics; i++)
		nic_set_trust(g->parts.nic[i], p->trust);
	introductions_set_trust(g->introductions, p->trust);
}

static void set_lans(struct gateway *g, struct parts *p)
{
	for (unsigned i = 0; i < p->lans; i++) {
		struct attachment *a = p->lan[i];

		a->trunk = a->untagged = NULL;
		memset(a->by_vid, 0, sizeof a->by_vid);
	}
	for (unsigned i = 0; i < p->seats; i++) {
		const struct segment_config *c = p->config->segment + i;
		struct attachment *a = p->lan[c->lan];
		struct seat *s = p->seat[i];

		s->at = a;
		s->mirror = p->mirror[i];
		segment_set(s->segment, c, s->mirror ? &gateway_segment_ops_mirrored : &gateway_segment_ops, s);
		*(c->trunk ? &a->trunk : c->vid == FRAME_NO_VID ? &a->untagged : &a->by_vid[c->vid]) = s->segment;
	}
}

static void start_lans(struct gateway *g, struct parts *p, const struct parts *old)
{
	for (unsigned i = 0; i < p->lans; i++) {
		if (has((void *const *)old->lan, old->lans, p->lan[i]))
			lan_rename(p->lan[i]->lan, p->config->lan + i);
		else
			lan_start(p->lan[i]->lan, gateway_on_lan_frame, gateway_on_lan_works, p->lan[i]);
	}
}

static void set_policies(struct parts *p)
{
	for (unsigned i = 0; i < p->nics; i++)
		if (p->config->nic[i].policy)
			nic_set_policy(p->nic[i], take_ptr(p->config->nic[i].policy));
}

/* The request to read all again may have come over it. */
static void free_control(void *control)
{
	control_free(control);
}

static void drop_control(struct gateway *g, struct control *old)
{
	if (old && old != g->parts.control && loop_post(g->loop, free_control, old))
		log_warn("control socket: out of memory: the old one stays until the end");
}

static void carry_out(struct gateway *g, struct parts *p, struct parts *old)
{
	spread_identity(g, p);
	set_lans(g, p);
	set_policies(p);
	*old = g->parts;
	g->parts = *p;
	start_lans(g, &g->parts, old);
	gateway_spread(g);
	drop_but(g, old, &g->parts);
	drop_control(g, old->control);
	if (old->trust != g->parts.trust)
		trust_free(old->trust, false);
	g->loaded = time(NULL);
}

int plan_carry_out(struct gateway *g, struct lcg_config *config, struct err *err)
{
	/* both before anything is decided: carrying out asks for no memory */
	auto_free struct parts *p = calloc(1, sizeof *p), *old = malloc(sizeof *old);
	int rc;

	if (!p || !old) {
		lcg_config_free(config);
		return err_set(err, -ENOMEM, "out of memory");
	}
	p->config = config;
	rc = make(g, p, err);
	if (rc) {
		drop_but(g, p, &g->parts);
		if (p->control != g->parts.control)
			control_free(p->control);
		if (p->trust != g->parts.trust)
			trust_free(p->trust, false);
	} else {
		carry_out(g, p, old);
	}
	return rc;
}
