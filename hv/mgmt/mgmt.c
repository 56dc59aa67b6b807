/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/mgmt/mgmt.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "hv/block/crypt.h"
#include "hv/block/meter.h"
#include "hv/block/snapshot.h"
#include "hv/machine.h"
#include "lib/log.h"

#define TELL_NS 200000000ull	/* between two events about a rotation */

struct rotation *mgmt_rotation(struct machine *m, const struct volume *v)
{
	return &m->mgmt.rotation[v - m->disks.volume];
}

static json_t *state_json(const struct rotate_state *s)
{
	uint64_t ms = s->elapsed_ns / 1000000;

	return json_pack("{ss sI sI sI sI sI sI ss}", "phase", rotate_phase_name(s->phase), "done", (json_int_t)s->done, "total",
		(json_int_t)s->total, "rate", (json_int_t)(ms ? s->fresh * 1000 / ms : 0), "elapsed_ms", (json_int_t)ms, "restarts",
		(json_int_t)s->restarts, "longest_us", (json_int_t)(s->longest_ns / 1000), "text", s->text);
}

json_t *mgmt_rotation_json(const struct rotation *r)
{
	struct rotate_state s;
	uint64_t boundary;

	if (r->rotate) {
		rotate_read(r->rotate, &s);
		return state_json(&s);
	}
	if (!r->volume->crypt || !block_crypt_rotating(r->volume->crypt, &boundary))
		return json_null();
	s = (struct rotate_state){ .phase = ROTATE_STOPPED, .done = boundary, .total = r->volume->crypt->size, .text = "" };
	return state_json(&s);
}

static void on_event(void *ctx, const struct rotate_state *s)
{
	struct rotation *r = ctx;
	uint64_t now = loop_now_ns();
	json_t *event;

	if (!r->conn || (s->phase < ROTATE_STOPPED && now - r->told_ns < TELL_NS))
		return;
	r->told_ns = now;
	event = state_json(s);
	if (!event || json_object_set_new(event, "event", json_string("rotate")) ||
	    json_object_set_new(event, "volume", json_string(r->volume->name))) {
		json_decref(event);
		return;
	}
	control_event(r->m->mgmt.control, r->conn, event);
	if (s->phase >= ROTATE_STOPPED)
		r->conn = 0;
}

/* What the guest asked of all its disks. */
static uint64_t load(void *ctx)
{
	const struct rotation *r = ctx;
	const struct disks *d = &r->m->disks;
	uint64_t sum = 0;

	for (unsigned i = 0; i < d->disks; i++) {
		const struct block_meter *meter = block_meter_read(d->disk[i].meter);

		for (unsigned op = 0; op < BLOCK_OPS; op++)
			sum += meter->op[op].ops;
	}
	return sum;
}

int mgmt_rotate(struct machine *m, struct volume *v, uint64_t conn, struct err *err)
{
	struct rotation *r = mgmt_rotation(m, v);
	struct block_snapshot_info info;
	struct rotate_config c = { .loop = m->loop, .crypt = v->crypt, .base = v->base, .name = v->name, .path = v->path,
		.header = v->header, .key = &v->key, .load = load, .event = on_event, .ctx = r };
	int rc;

	if (!v->crypt)
		return err_set(err, -ENOTSUP, "volume %s is not encrypted: there is no key to rotate", v->name);
	if (!strcmp(v->base->ops->name, "nbd"))
		return err_set(err, -ENOTSUP, "volume %s is served by NBD: its key can be rotated only where the volume is a file or device",
			v->name);
	if (block_snapshot_info(v->snapshot, &info))
		return err_set(err, -EBUSY, "volume %s has a snapshot (%s), which would not follow: drop it first", v->name, info.store);
	if (r->rotate && !rotate_ended(r->rotate)) {
		r->conn = conn ? conn : r->conn;
		return 0;
	}
	rotate_free(r->rotate);
	r->rotate = NULL;
	r->conn = conn;
	rc = rotate_start(&c, &r->rotate, err);
	return rc ? err_prefix(err, "volume %s", v->name) : 0;
}

bool mgmt_rotating(struct machine *m, const struct volume *v)
{
	const struct rotation *r = mgmt_rotation(m, v);
	uint64_t boundary;

	return (r->rotate && !rotate_ended(r->rotate)) || (v->crypt && block_crypt_rotating(v->crypt, &boundary));
}

int mgmt_rotate_stop(struct machine *m, struct volume *v, struct err *err)
{
	struct rotation *r = mgmt_rotation(m, v);

	if (!r->rotate || rotate_ended(r->rotate))
		return err_set(err, -ENOENT, "volume %s: no rotation is under way", v->name);
	rotate_stop(r->rotate);
	return 0;
}

/* What a crash or a power off cut short. */
static void go_on(struct machine *m)
{
	for (unsigned i = 0; i < m->mgmt.rotations; i++) {
		struct volume *v = &m->disks.volume[i];
		struct err err = { 0 };
		uint64_t boundary;

		if (v->crypt && (v->rotating || block_crypt_rotating(v->crypt, &boundary)) && mgmt_rotate(m, v, 0, &err))
			log_warn("the rotation of volume %s, cut short earlier, does not go on: %s", v->name, err.text);
	}
}

int mgmt_create(struct machine *m, struct err *err)
{
	const char *path = config_get(m->options->placement, "control");
	struct mgmt *g = &m->mgmt;
	int r = 0;

	g->rotation = calloc(m->disks.volumes + 1, sizeof *g->rotation);
	if (!g->rotation)
		return err_set(err, -ENOMEM, "no memory");
	for (g->rotations = 0; g->rotations < m->disks.volumes; g->rotations++)
		g->rotation[g->rotations] = (struct rotation){ .m = m, .volume = &m->disks.volume[g->rotations] };
	if (path)
		r = control_create(m->loop, path, mgmt_verbs, m, &g->control, err);
	if (!r)
		go_on(m);
	return r;
}

void mgmt_free(struct machine *m)
{
	struct mgmt *g = &m->mgmt;

	for (unsigned i = 0; i < g->rotations; i++)
		rotate_free(g->rotation[i].rotate);
	free(g->rotation);
	control_free(g->control);
	*g = (struct mgmt){ .control = NULL };
}
