/* SPDX-License-Identifier: Apache-2.0 */
/* hull pki list: certificates, tokens and policy, for people and as JSON. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "crypto/pki/policy.h"
#include "lib/scope.h"
#include "tools/hull/pki.h"

static void free_store(struct keystore **ks) { keystore_close(*ks); }
static void free_ca(struct ca **ca) { ca_free(*ca); }
static void free_json(json_t **j) { json_decref(*j); }

static const char *state(const struct ca_entry *e)
{
	if (e->revoked)
		return "revoked";
	return time(NULL) >= e->until ? "expired" : e->token ? "pending" : "valid";
}

static const char *stamp(time_t t, char text[32])
{
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		strcpy(text, "?");
	return text;
}

static int print_entry(void *ctx, const struct ca_entry *e)
{
	char until[32];

	printf("%-11s %-32s %-8s %s/%s, until %s\n", e->token ? "token" : "certificate", e->serial, state(e), pki_role_name(e->id.role),
		e->id.name, stamp(e->until, until));
	return 0;
}

static int add_entry(void *ctx, const struct ca_entry *e)
{
	char from[32], until[32], revoked[32];
	json_t *all = ctx, *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", e->token ? "id" : "serial", e->serial, "role",
		pki_role_name(e->id.role), "name", e->id.name, "state", state(e), "from", stamp(e->from, from), "until", stamp(e->until, until));

	if (o && e->revoked && json_object_set_new(o, "revoked", json_string(stamp(e->revoked, revoked)))) {
		json_decref(o);
		return -1;
	}
	return json_array_append_new(json_object_get(all, e->token ? "tokens" : "certificates"), o);
}

static int print_policy(void *ctx, const struct policy_entry *e)
{
	char since[32];

	printf("%-11s %s/%s may call %s/%s, since %s\n", "policy", pki_role_name(e->caller.role), e->caller.name,
		pki_role_name(e->callee.role), e->callee.name, stamp(e->since, since));
	return 0;
}

static int add_policy(void *ctx, const struct policy_entry *e)
{
	char caller[128], callee[128], since[32];

	snprintf(caller, sizeof caller, "%s/%s", pki_role_name(e->caller.role), e->caller.name);
	snprintf(callee, sizeof callee, "%s/%s", pki_role_name(e->callee.role), e->callee.name);
	return json_array_append_new(json_object_get(ctx, "policy"), json_pack("{s:s, s:s, s:s}", "caller", caller, "callee", callee,
		"since", stamp(e->since, since)));
}

int pki_run_list(const struct command *c, int argc, char **argv)
{
	cleanup(free_store) struct keystore *ks = NULL;
	cleanup(free_ca) struct ca *ca = NULL;
	cleanup(free_json) json_t *all = NULL;
	struct pki_call call;
	struct err err = { .text = "out of memory" };

	if (!pki_call_parse(c, argc, argv, PKI_O_UNLOCK | PKI_O_JSON, 0, 1, &call) || !pki_open(&call, &ks, &ca))
		return HULL_TROUBLE;
	if (!call.json)
		return ca_walk(ca, print_entry, NULL, &err) || policy_walk(ca, print_policy, NULL, &err) ? command_fail("%s", err.text) : HULL_OK;
	all = json_pack("{s:[], s:[], s:[]}", "certificates", "tokens", "policy");
	if (!all || ca_walk(ca, add_entry, all, &err) || policy_walk(ca, add_policy, all, &err) || json_dumpf(all, stdout, JSON_INDENT(2)))
		return command_fail("%s", err.text);
	putchar('\n');
	return HULL_OK;
}
