/* SPDX-License-Identifier: Apache-2.0 */
/* The requests `net`: NICs, their wires and links; and `net-retry`. */
#include <errno.h>
#include <string.h>
#include "hv/machine.h"
#include "hv/net/l2.h"

static json_t *flow_json(uint64_t frames, uint64_t bytes, uint64_t drops)
{
	return json_pack("{sI sI sI}", "frames", (json_int_t)frames, "bytes", (json_int_t)bytes, "drops", (json_int_t)drops);
}

static void leave_out(json_t *o)
{
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(o, next, key, value)
		if (json_is_integer(value) && !json_integer_value(value))
			json_object_del(o, key);
}

/* A link may have a hundred paths: counters that are 0 are left out, and all but round trips when not asked for the one NIC. */
static void slim(json_t *o, bool all)
{
	const char *key;
	json_t *value;
	size_t i;

	json_array_foreach(o, i, value)
		slim(value, all);
	json_object_foreach(o, key, value)
		slim(value, all);
	value = json_object_get(o, "counters");
	leave_out(value);
	leave_out(json_object_get(value, "paths"));
	if (value && !all && json_object_get(o, "way")) {
		json_object_set(o, "rtt_ns", json_object_get(value, "rtt_ns"));
		json_object_del(o, "counters");
	}
}

static json_t *l2_json(const struct net_port *p, bool all)
{
	json_t *o, *link, *peers;

	if (!net_l2_is(p))
		return json_null();
	o = net_l2_status(p);
	slim(o, all);
	leave_out(json_object_get(o, "peer_filter"));
	link = json_object_get(o, "link");
	peers = json_object_get(link, "peers");
	if (peers && !all)
		json_object_set_new(link, "peers", json_integer((json_int_t)json_array_size(peers)));
	return o;
}

static json_t *nic_json(const struct slot *s, bool all)
{
	const struct net_port *p = s->wire;

	return json_pack("{ss ss ss sb so so so}", "name", s->env->name, "model", env_pci_kind_name(s->env->kind), "wire", p->ops->name,
		"carrier", p->carrier, "tx", flow_json(p->tx.frames, p->tx.bytes, p->tx.drops), "rx",
		flow_json(p->rx.frames, p->rx.bytes, p->rx.drops), "l2", l2_json(p, all));
}

int mgmt_net(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	const char *only = json_string_value(json_object_get(request, "nic"));
	json_t *nics = json_array();
	struct machine *m = ctx;

	for (unsigned i = 0; i < m->slots.count && nics; i++) {
		const struct slot *s = &m->slots.slot[i];

		if (s->wire && (!only || !strcmp(only, s->env->name)) && json_array_append_new(nics, nic_json(s, only))) {
			json_decref(nics);
			nics = NULL;
		}
	}
	if (only && nics && !json_array_size(nics)) {
		json_decref(nics);
		return err_set(err, -ENOENT, "no NIC \"%.40s\"; `hull server net` lists them", only);
	}
	*ok = json_pack("{so so}", "nics", nics, "certificate",
		m->wires.credentials ? credentials_status(m->wires.credentials) : json_null());
	return *ok ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int mgmt_net_retry(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err)
{
	struct machine *m = ctx;
	int r = m->wires.credentials ? credentials_retry(m->wires.credentials, err) :
		err_set(err, -ENOENT, "no NIC of this server ends in an L2 link");

	if (r)
		return r;
	*ok = credentials_status(m->wires.credentials);
	return *ok ? 0 : err_set(err, -ENOMEM, "out of memory");
}
