/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's requests: a table, and what each does. hv/mgmt/README.md lists their members. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include "hv/block/limit.h"
#include "hv/block/meter.h"
#include "hv/block/snapshot.h"
#include "hv/machine.h"
#include "hv/stats.h"
#include "lib/scope.h"

/* ---- members of requests */

static int get_text(const json_t *request, const char *key, const char **text, struct err *err)
{
	*text = json_string_value(json_object_get(request, key));
	return *text && **text ? 0 : err_set(err, -EINVAL, "\"%s\" is missing, or no text", key);
}

static int get_volume(struct machine *m, const json_t *request, struct volume **v, struct err *err)
{
	const char *name;
	int r = get_text(request, "volume", &name, err);

	if (r)
		return r;
	*v = disks_volume(m, name);
	return *v ? 0 : err_set(err, -ENOENT, "no volume \"%.60s\"; `hull server volumes` lists them", name);
}

static int give(json_t *value, json_t **ok, struct err *err)
{
	*ok = value;
	return value ? 0 : err_set(err, -ENOMEM, "out of memory");
}

/* ---- looking */

static json_t *meter_json(const struct block_meter_op *op)
{
	return json_pack("{sI sI sI sI sI sI}", "ops", (json_int_t)op->ops, "bytes", (json_int_t)op->bytes, "errors",
		(json_int_t)op->errors, "p50_us", (json_int_t)(block_meter_quantile(op, 0.5) / 1000), "p99_us",
		(json_int_t)(block_meter_quantile(op, 0.99) / 1000), "max_us", (json_int_t)(op->max_ns / 1000));
}

static json_t *disk_json(const struct disk *d)
{
	static const char *const names[BLOCK_OPS] = { [BLOCK_READ] = "read", [BLOCK_WRITE] = "write", [BLOCK_FLUSH] = "flush",
		[BLOCK_DISCARD] = "discard", [BLOCK_WRITE_ZEROES] = "zero" };
	const struct block_meter *meter = block_meter_read(d->meter);
	json_t *o = json_pack("{ss sI sI sb}", "name", d->env->name, "size", (json_int_t)d->chain->size, "in_flight",
		(json_int_t)meter->in_flight, "limited", d->limit != NULL);

	for (unsigned i = 0; i < BLOCK_OPS && o; i++)
		if (json_object_set_new(o, names[i], meter_json(&meter->op[i]))) {
			json_decref(o);
			o = NULL;
		}
	return o;
}

static int do_status(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	struct machine *m = ctx;
	json_t *disks = json_array();

	for (unsigned i = 0; i < m->disks.disks && disks; i++)
		if (json_array_append_new(disks, disk_json(&m->disks.disk[i]))) {
			json_decref(disks);
			disks = NULL;
		}
	return give(json_pack("{ss sI sI sI so so}", "hostname", m->env->hostname, "pid", (json_int_t)getpid(), "uptime_ms",
		(json_int_t)((loop_now_ns() - m->start_ns) / 1000000), "resets", (json_int_t)m->life.resets, "exits", stats_exits(m),
		"disks", disks), ok, err);
}

static json_t *snapshot_json(const struct block *b)
{
	struct block_snapshot_info i;

	if (!block_snapshot_info(b, &i))
		return json_null();
	return json_pack("{ss sI sI sI sI sI ss}", "store", i.store, "created", (json_int_t)i.created_s, "cluster",
		(json_int_t)i.cluster, "clusters", (json_int_t)i.clusters, "kept", (json_int_t)i.kept, "used", (json_int_t)i.used,
		"broken", i.broken ? strerror(-i.broken) : "");
}

static json_t *volume_json(struct machine *m, const struct volume *v)
{
	return json_pack("{ss ss sI sb so so}", "name", v->name, "path", v->path, "size", (json_int_t)v->handle.size, "encrypted",
		v->crypt != NULL, "rotation", mgmt_rotation_json(mgmt_rotation(m, v)), "snapshot", snapshot_json(v->snapshot));
}

static int do_volumes(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	struct machine *m = ctx;
	json_t *volumes = json_array();

	for (unsigned i = 0; i < m->disks.volumes && volumes; i++)
		if (json_array_append_new(volumes, volume_json(m, &m->disks.volume[i]))) {
			json_decref(volumes);
			volumes = NULL;
		}
	return give(json_pack("{so}", "volumes", volumes), ok, err);
}

/* ---- rotation */

static int do_rotate(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	struct machine *m = ctx;
	struct volume *v;
	int r = get_volume(m, request, &v, err);

	r = r ? r : mgmt_rotate(m, v, conn, err);
	return r ? r : give(mgmt_rotation_json(mgmt_rotation(m, v)), ok, err);
}

static int do_rotate_stop(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	struct volume *v;
	int r = get_volume(ctx, request, &v, err);

	return r ? r : mgmt_rotate_stop(ctx, v, err);
}

/* ---- snapshots */

static const char *placed_store(struct machine *m, const struct volume *v)
{
	const struct placement_volume *p = &m->disks.placement.volume[v - m->disks.volume];

	return p->snapshot;
}

static int do_snapshot_create(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	const char *store = json_string_value(json_object_get(request, "store")), *placed;
	struct machine *m = ctx;
	struct volume *v;
	int r = get_volume(m, request, &v, err);

	if (r)
		return r;
	placed = placed_store(m, v);
	store = store ? store : placed;
	if (!store)
		return err_set(err, -EINVAL, "name a store, or set volume.%s.snapshot in the placement", v->name);
	if (mgmt_rotating(m, v))
		return err_set(err, -EBUSY, "volume %s: its key is being rotated; a snapshot can be made when that is done", v->name);
	r = block_snapshot_open(v->snapshot, store, true, err);
	if (r)
		return err_prefix(err, "volume %s", v->name);
	/* A start without it would write past the snapshot, and end it. */
	return give(json_pack("{ss sb}", "store", store, "placed", placed && !strcmp(placed, store)), ok, err);
}

static int do_snapshot_drop(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	struct block_snapshot_info info;
	const char *placed = NULL;
	struct volume *v;
	int r = get_volume(ctx, request, &v, err);

	if (r)
		return r;
	/* A start with the key that is still there must not miss the store. */
	if (block_snapshot_info(v->snapshot, &info)) {
		placed = placed_store(ctx, v);
		placed = placed && !strcmp(placed, info.store) ? placed : NULL;
	}
	r = block_snapshot_drop(v->snapshot, placed, err);
	return r ? err_prefix(err, "volume %s", v->name) : give(json_pack("{sb}", "placed", placed != NULL), ok, err);
}

/* ---- disks and power */

static int do_limit(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	const char *name, *text;
	struct machine *m = ctx;
	struct block_rate rate = { 0 };
	int r = get_text(request, "disk", &name, err);

	r = r ? r : get_text(request, "rate", &text, err);
	if (!r && strcmp(text, "none"))
		r = block_rate_parse(text, &rate, err);
	if (r)
		return r;
	for (unsigned i = 0; i < m->disks.disks; i++) {
		const struct disk *d = &m->disks.disk[i];

		if (strcmp(d->env->name, name))
			continue;
		if (!d->limit)
			return err_set(err, -ENOTSUP, "disk %s has no rate in the placement; with `disk.%s.rate` it can be changed while the "
				"server runs", name, name);
		block_limit_set(d->limit, &rate);
		return 0;
	}
	return err_set(err, -ENOENT, "no disk \"%.60s\"; `hull server disks` lists them", name);
}

static int do_power(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	struct machine *m = ctx;

	/* A second press is a forced power off, which nobody shall cause by asking twice. */
	if (m->power_pressed)
		return err_set(err, -EALREADY, "the power button was pressed already; SIGTERM to process %d powers off by force", getpid());
	machine_press_power(m);
	return 0;
}

const struct control_verb mgmt_verbs[] = {
	{ "status", do_status },
	{ "volumes", do_volumes },
	{ "net", mgmt_net },
	{ "net-retry", mgmt_net_retry },
	{ "volume-rotate", do_rotate },
	{ "volume-rotate-stop", do_rotate_stop },
	{ "snapshot-create", do_snapshot_create },
	{ "snapshot-drop", do_snapshot_drop },
	{ "disk-limit", do_limit },
	{ "power-press", do_power },
	{ NULL, NULL },
};
