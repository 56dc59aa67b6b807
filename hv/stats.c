/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/stats.h"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "hv/block/meter.h"
#include "hv/machine.h"
#include "lib/scope.h"

json_t *stats_exits(const struct machine *m)
{
	static const char *const names[VCPU_EXITS] = {
		[VCPU_EXIT_PORT] = "port", [VCPU_EXIT_MMIO] = "mmio", [VCPU_EXIT_SIGNAL] = "signal", [VCPU_EXIT_OTHER] = "other",
	};
	json_t *o = json_object();

	for (unsigned e = 0; e < VCPU_EXITS; e++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < env_cpu_count(m->env); i++)
			sum += atomic_load(&m->vcpu[i]->exits[e]);
		json_object_set_new(o, names[e], json_integer((json_int_t)sum));
	}
	return o;
}

/* Accesses by the name of what answered them. */
static json_t *devices(const struct machine *m)
{
	const struct bus *const buses[] = { &m->ports, &m->mmio };
	json_t *o = json_object();

	for (unsigned b = 0; b < 2; b++) {
		for (unsigned i = 0; i < buses[b]->count; i++) {
			const struct bus_range *r = buses[b]->range[i];
			json_int_t before = json_integer_value(json_object_get(o, r->name));

			if (r->hits)
				json_object_set_new(o, r->name, json_integer(before + (json_int_t)r->hits));
		}
	}
	return o;
}

static json_t *wires(const struct machine *m)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < m->slots.count; i++) {
		const struct net_port *p = m->slots.slot[i].wire;

		if (p)
			json_object_set_new(o, m->slots.slot[i].env->name,
					    json_pack("{sIsIsIsI}", "tx_frames", (json_int_t)p->tx.frames, "tx_drops",
						      (json_int_t)p->tx.drops, "rx_frames", (json_int_t)p->rx.frames, "rx_drops",
						      (json_int_t)p->rx.drops));
	}
	return o;
}

static double microseconds(uint64_t ns)
{
	return (double)ns / 1000;
}

static json_t *disk(const struct block_meter *m)
{
	static const char *const names[BLOCK_OPS] = {
		[BLOCK_READ] = "read", [BLOCK_WRITE] = "write", [BLOCK_FLUSH] = "flush", [BLOCK_DISCARD] = "discard",
		[BLOCK_WRITE_ZEROES] = "write_zeroes",
	};
	json_t *o = json_pack("{sI}", "most_in_flight", (json_int_t)m->most_in_flight);

	for (unsigned i = 0; i < BLOCK_OPS; i++) {
		const struct block_meter_op *op = &m->op[i];

		json_object_set_new(o, names[i], json_pack("{sIsIsIsfsfsfsfsf}", "ops", (json_int_t)op->ops, "bytes",
			(json_int_t)op->bytes, "errors", (json_int_t)op->errors,
			"mean_us", op->ops ? microseconds(op->total_ns) / (double)op->ops : 0.0,
			"p50_us", microseconds(block_meter_quantile(op, 0.5)), "p99_us", microseconds(block_meter_quantile(op, 0.99)),
			"p999_us", microseconds(block_meter_quantile(op, 0.999)), "max_us", microseconds(op->max_ns)));
	}
	return o;
}

static json_t *disks(const struct machine *m)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < m->disks.disks; i++)
		json_object_set_new(o, m->disks.disk[i].env->name, disk(block_meter_read(m->disks.disk[i].meter)));
	return o;
}

static int dump(const json_t *o, const char *path)
{
	auto_fclose FILE *f = fopen(path, "we");

	return !f || json_dumpf(o, f, JSON_INDENT(2)) || fputc('\n', f) == EOF || fflush(f);
}

int stats_write(const struct machine *m, const char *path, struct err *err)
{
	uint64_t now = loop_now_ns(), ran = atomic_load(&m->vcpu[0]->first_run_ns), first = ran ? ran : now;
	json_t *o = json_object();
	char tmp[4096];
	int r;

	json_object_set_new(o, "hostname", json_string(m->env->hostname));
	json_object_set_new(o, "start_us", json_integer((json_int_t)((first - m->start_ns) / 1000)));
	json_object_set_new(o, "run_us", json_integer((json_int_t)((now - first) / 1000)));
	json_object_set_new(o, "resets", json_integer((json_int_t)m->life.resets));
	json_object_set_new(o, "exits", stats_exits(m));
	json_object_set_new(o, "accesses", devices(m));
	json_object_set_new(o, "unclaimed", json_integer((json_int_t)(m->ports.unclaimed + m->mmio.unclaimed)));
	json_object_set_new(o, "disks", disks(m));
	json_object_set_new(o, "nics", wires(m));
	r = snprintf(tmp, sizeof tmp, "%s.new", path) >= (int)sizeof tmp ? -ENAMETOOLONG : 0;
	if (!r && (dump(o, tmp) || rename(tmp, path))) {
		r = errno ? -errno : -EIO;
		unlink(tmp);
	}
	json_decref(o);
	return r ? err_set(err, r, "counters: %s: %s", path, strerror(-r)) : 0;
}
