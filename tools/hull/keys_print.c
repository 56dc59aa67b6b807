/* SPDX-License-Identifier: Apache-2.0 */
/* hull keys list, hull keys slot list: for people and as JSON. */
#include <stdio.h>
#include <time.h>
#include "lib/scope.h"
#include "tools/hull/keys.h"

static void free_store(struct keystore **ks) { keystore_close(*ks); }
static void free_json(json_t **j) { json_decref(*j); }
#define STORE cleanup(free_store) struct keystore

struct stamp { char text[32]; };

/* ISO 8601, UTC; a time that no calendar has is "?". */
static struct stamp stamp(uint64_t s)
{
	time_t t = (time_t)s;
	struct tm tm;
	struct stamp out = { "?" };

	if (s <= INT64_MAX && gmtime_r(&t, &tm) && !strftime(out.text, sizeof out.text, "%Y-%m-%dT%H:%M:%SZ", &tm))
		out = (struct stamp){ "?" };
	return out;
}

static int print_entry(void *ctx, const struct keystore_entry *e)
{
	printf("%-8s %s%s%s  made %s, changed %s\n", e->record ? "record" : e->volume ? "volume" : "server", e->record ?: e->server,
		e->volume ? "/" : "", e->volume ?: "", stamp(e->created_s).text, stamp(e->changed_s).text);
	return 0;
}

/* Volumes come behind their server: ctx is the whole object. */
static int add_entry(void *ctx, const struct keystore_entry *e)
{
	json_t *all = ctx, *list = json_object_get(all, e->record ? "records" : "servers"), *j;

	if (e->volume)
		list = json_object_get(json_array_get(list, json_array_size(list) - 1), "volumes");
	j = json_pack("{s:s, s:s, s:s}", "name", e->record ?: e->volume ?: e->server, "created", stamp(e->created_s).text,
		"changed", stamp(e->changed_s).text);
	if (!e->record && !e->volume && j && json_object_set_new(j, "volumes", json_array()))
		return -1;
	return json_array_append_new(list, j);
}

static int print_json(const json_t *j)
{
	if (!j || json_dumpf(j, stdout, JSON_INDENT(2)))
		return command_fail("out of memory");
	putchar('\n');
	return HULL_OK;
}

int keys_run_list(const struct command *c, int argc, char **argv)
{
	cleanup(free_json) json_t *all = NULL;
	struct keys_call call;
	STORE *ks = NULL;

	if (!keys_call_parse(c, argc, argv, KEYS_UNLOCK | KEYS_JSON, 1, &call))
		return HULL_TROUBLE;
	ks = keys_open(&call);
	if (!ks)
		return HULL_TROUBLE;
	if (!call.json) {
		keystore_walk(ks, print_entry, NULL);
		return HULL_OK;
	}
	all = json_pack("{s:[], s:[]}", "servers", "records");
	if (!all || keystore_walk(ks, add_entry, all))
		return command_fail("out of memory");
	return print_json(all);
}

int keys_run_slots(const struct command *c, int argc, char **argv)
{
	static const char *const ways[KEYSTORE_WAYS] = { "passphrase", "keyfile", "tpm" };
	cleanup(free_json) json_t *all = json_array();
	struct keystore_slot slots[KEYSTORE_SLOTS];
	struct keys_call call;
	STORE *ks = NULL;
	unsigned n;

	if (!keys_call_parse(c, argc, argv, KEYS_UNLOCK | KEYS_JSON, 1, &call))
		return HULL_TROUBLE;
	ks = keys_open(&call);
	if (!ks)
		return HULL_TROUBLE;
	n = keystore_slots(ks, slots, KEYSTORE_SLOTS);
	for (unsigned i = 0; i < n; i++) {
		if (!slots[i].used)
			continue;
		if (!call.json)
			printf("%2u  %-10s  made %s\n", i, ways[slots[i].way], stamp(slots[i].created_s).text);
		else if (json_array_append_new(all, json_pack("{s:i, s:s, s:s}", "slot", (int)i, "way", ways[slots[i].way], "created",
			 stamp(slots[i].created_s).text)))
			return command_fail("out of memory");
	}
	return call.json ? print_json(all) : HULL_OK;
}
