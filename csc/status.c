/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to say of a relay: counters, totals, lists. */
#include <string.h>
#include "csc/csc_priv.h"
#include "lib/log.h"
#include "lib/scope.h"
#include "lib/version.h"

enum { LIST_PIECE = 100 };	/* of a message's 64 KiB */

struct named { const char *name, *what; uint64_t n; };

#define X(name, what) + 1
enum { COUNTERS = 0 CSC_COUNTERS(X) };
#undef X

static void collect(const struct csc *csc, struct named all[COUNTERS])
{
	const struct named list[] = {
#define X(name, what) { #name, what, csc->count.name },
		CSC_COUNTERS(X)
#undef X
	};

	memcpy(all, list, sizeof list);
}

const struct csc_counters *csc_counters(const struct csc *csc)
{
	return &csc->count;
}

void csc_log_counters(const struct csc *csc)
{
	struct named all[COUNTERS];

	collect(csc, all);
	log_info("parked: %u sockets of %u servers; relayed: %u; waiting: %u", parking_count(csc->parking),
		parking_servers(csc->parking), csc->relayed_count, csc->waiting_count);
	for (size_t i = 0; i < COUNTERS; i++)
		if (all[i].n)
			log_info("%s: %llu (%s)", all[i].name, (unsigned long long)all[i].n, all[i].what);
}

json_t *csc_status(const struct csc *csc)
{
	struct named all[COUNTERS];
	json_t *counters = json_object();
	uint64_t to_server = csc->count.to_server_bytes, to_caller = csc->count.to_caller_bytes;

	collect(csc, all);
	for (size_t i = 0; i < COUNTERS; i++)
		json_object_set_new(counters, all[i].name, json_integer((json_int_t)all[i].n));
	for (const struct relayed *r = csc->relayed; r; r = r->next) {
		uint64_t a, b;

		splice_moved(r->splice, &a, &b);
		to_server += a;
		to_caller += b;
	}
	return json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:o}", "name", csc->id.name, "version",
		HULL_VERSION, "listen", csc->address, "since", (json_int_t)csc->since, "connections", (int)csc->conn_count, "waiting",
		(int)csc->waiting_count, "parked", (int)parking_count(csc->parking), "servers", (int)parking_servers(csc->parking),
		"relayed", (int)csc->relayed_count, "pipes", (int)pipes_taken(csc->pipes), "to_server_bytes", (json_int_t)to_server,
		"to_caller_bytes", (json_int_t)to_caller, "counters", counters);
}

static json_t *parked_json(const struct parked *p)
{
	return json_pack("{s:s, s:s, s:I}", "server", p->server, "nic", p->nic, "since", (json_int_t)p->since);
}

static json_t *relayed_json(const struct relayed *r)
{
	uint64_t to_server, to_caller;
	char caller[8 + PKI_NAME_MAX];

	splice_moved(r->splice, &to_server, &to_caller);
	snprintf(caller, sizeof caller, "%s/%s", pki_role_name(r->caller.role), r->caller.name);
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "caller", caller, "server", r->parked.server, "nic", r->parked.nic, "since",
		(json_int_t)r->since, "to_server_bytes", (json_int_t)to_server, "to_caller_bytes", (json_int_t)to_caller);
}

static int add_parked(const struct csc *csc, unsigned from, json_t *list)
{
	struct parked some[LIST_PIECE];
	unsigned n = parking_list(csc->parking, from, some, LIST_PIECE);

	for (unsigned i = 0; i < n; i++)
		if (json_array_append_new(list, parked_json(&some[i])))
			return -1;
	return 0;
}

static int add_relayed(const struct csc *csc, unsigned from, json_t *list)
{
	unsigned at = 0;

	for (const struct relayed *r = csc->relayed; r && at < from + LIST_PIECE; r = r->next)
		if (at++ >= from && json_array_append_new(list, relayed_json(r)))
			return -1;
	return 0;
}

json_t *csc_list(const struct csc *csc, bool relayed, unsigned from)
{
	json_t *list = json_array();

	if (list && (relayed ? add_relayed(csc, from, list) : add_parked(csc, from, list))) {
		json_decref(list);
		return NULL;
	}
	return json_pack("{s:o, s:i}", relayed ? "relayed" : "parked", list, "total",
		(int)(relayed ? csc->relayed_count : parking_count(csc->parking)));
}
