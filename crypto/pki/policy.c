/* SPDX-License-Identifier: Apache-2.0 */
/* One record for each gateway: pki/allow/lcg/NAME is a JSON object, {"hv/SERVER": since when, …}. */
#include "crypto/pki/policy.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/pki/ca_priv.h"
#include "lib/scope.h"

static const char prefix[] = "pki/allow/";

enum { RECORD_NAME = sizeof prefix + 8 + PKI_NAME_MAX, ID_TEXT = 8 + PKI_NAME_MAX };

static void free_json(json_t **o) { json_decref(*o); }

static void id_text(const struct pki_id *id, char text[ID_TEXT])
{
	snprintf(text, ID_TEXT, "%s/%s", pki_role_name(id->role), id->name);
}

static int id_parse(const char *text, struct pki_id *id, struct err *err)
{
	char uri[ID_TEXT + 8];
	int len = snprintf(uri, sizeof uri, "hull://%s", text);

	if (len < (int)sizeof uri && !pki_id_parse(uri, (size_t)len, id, NULL))
		return 0;
	return err_set(err, -EINVAL, "\"%.80s\" is not ROLE/NAME", text);
}

static int check_roles(const struct pki_id *caller, const struct pki_id *callee, struct err *err)
{
	if (caller->role == PKI_LCG && callee->role == PKI_HV)
		return 0;
	return err_set(err, -EINVAL, "policy: lcg/NAME may call hv/NAME, not %s/%s %s/%s", pki_role_name(caller->role), caller->name,
		pki_role_name(callee->role), callee->name);
}

/* ---- records */

/* A gateway that has none gets an empty object. */
static int load(struct ca *ca, const struct pki_id *caller, json_t **o, struct err *err)
{
	char name[RECORD_NAME], who[ID_TEXT];
	struct secret value = { 0 };
	int rc;

	id_text(caller, who);
	snprintf(name, sizeof name, "%s%s", prefix, who);
	rc = keystore_record_get(ca->ks, name, &value, err);
	if (rc && rc != -ENOENT)
		return rc;
	*o = rc ? json_object() : json_loadb((char *)value.data, value.len, JSON_REJECT_DUPLICATES, NULL);
	secret_destroy(&value);
	if (!json_is_object(*o)) {
		json_decref(*o);
		*o = NULL;
		return err_set(err, rc ? -ENOMEM : -EINVAL, "record %s: %s", name, rc ? "out of memory" : "is not a JSON object");
	}
	return 0;
}

/* Inside a transaction. */
static int store(struct ca *ca, const struct pki_id *caller, const json_t *o, struct err *err)
{
	char name[RECORD_NAME], who[ID_TEXT];
	auto_free char *text = NULL;

	id_text(caller, who);
	snprintf(name, sizeof name, "%s%s", prefix, who);
	if (!json_object_size(o))
		return keystore_record_remove(ca->ks, name, err);
	text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	return text ? keystore_record_set(ca->ks, name, text, strlen(text), err) : err_set(err, -ENOMEM, "policy: out of memory");
}

static int change(struct ca *ca, const struct pki_id *caller, const struct pki_id *callee, bool allow, time_t now, struct err *err)
{
	cleanup(free_json) json_t *o = NULL;
	char from[ID_TEXT], to[ID_TEXT];
	int rc = load(ca, caller, &o, err);

	id_text(caller, from);
	id_text(callee, to);
	if (rc)
		return rc;
	if (allow == !!json_object_get(o, to))
		return allow ? err_set(err, -EEXIST, "policy: %s may call %s already", from, to) :
			err_set(err, -ENOENT, "policy: %s may not call %s anyway", from, to);
	if (allow ? json_object_set_new(o, to, json_integer(now)) : json_object_del(o, to))
		return err_set(err, -ENOMEM, "policy: out of memory");
	return store(ca, caller, o, err);
}

static int transact(struct ca *ca, const struct pki_id *caller, const struct pki_id *callee, bool allow, time_t now,
	struct err *err)
{
	int rc = check_roles(caller, callee, err);

	if (!rc)
		rc = keystore_begin(ca->ks, err);
	return rc ? rc : ca_end(ca, change(ca, caller, callee, allow, now, err), err);
}

int policy_allow(struct ca *ca, const struct pki_id *caller, const struct pki_id *callee, time_t now, struct err *err)
{
	return transact(ca, caller, callee, true, now, err);
}

int policy_deny(struct ca *ca, const struct pki_id *caller, const struct pki_id *callee, struct err *err)
{
	return transact(ca, caller, callee, false, 0, err);
}

int policy_check(struct ca *ca, const struct pki_id *caller, const struct pki_id *callee, struct err *err)
{
	cleanup(free_json) json_t *o = NULL;
	char from[ID_TEXT], to[ID_TEXT];
	int rc = load(ca, caller, &o, err);

	if (rc)
		return rc;
	id_text(caller, from);
	id_text(callee, to);
	if (json_object_get(o, to))
		return 0;
	return err_set(err, -EPERM, "%s may not call %s; `hull pki allow` allows it", from, to);
}

/* ---- all of them */

struct names { char (*list)[ID_TEXT]; size_t count, room; };

static int collect(void *ctx, const struct keystore_entry *e)
{
	struct names *n = ctx;
	void *list;

	if (!e->record || strncmp(e->record, prefix, strlen(prefix)) || strlen(e->record + strlen(prefix)) >= ID_TEXT)
		return 0;
	if (n->count == n->room) {
		list = reallocarray(n->list, n->room * 2 + 16, sizeof *n->list);
		if (!list)
			return -ENOMEM;
		n->list = list;
		n->room = n->room * 2 + 16;
	}
	strcpy(n->list[n->count++], e->record + strlen(prefix));
	return 0;
}

static int walk_one(struct ca *ca, const char *caller, int (*fn)(void *ctx, const struct policy_entry *e), void *ctx,
	struct err *err)
{
	cleanup(free_json) json_t *o = NULL;
	struct policy_entry e;
	const char *callee;
	json_t *since;
	int rc = id_parse(caller, &e.caller, err);

	if (!rc)
		rc = load(ca, &e.caller, &o, err);
	if (rc)
		return rc;
	json_object_foreach(o, callee, since) {
		e.since = (time_t)json_integer_value(since);
		rc = id_parse(callee, &e.callee, err);
		if (!rc)
			rc = fn(ctx, &e);
		if (rc)
			return rc;
	}
	return 0;
}

int policy_walk(struct ca *ca, int (*fn)(void *ctx, const struct policy_entry *e), void *ctx, struct err *err)
{
	struct names n = { 0 };
	int rc = keystore_walk(ca->ks, collect, &n);

	if (rc)
		(void)err_set(err, rc, "policy: out of memory");
	for (size_t i = 0; !rc && i < n.count; i++)
		rc = walk_one(ca, n.list[i], fn, ctx, err);
	free(n.list);
	return rc;
}

/* ---- tickets */

static bool same(const struct pki_id *a, const struct pki_id *b)
{
	return a->role == b->role && !strcmp(a->name, b->name);
}

int policy_ticket(struct ca *ca, const struct pki_id *asker, struct ticket *t, uint32_t life_s, time_t now,
	char text[TICKET_TEXT], struct err *err)
{
	int rc;

	if (asker->role != PKI_LCG || t->callee.role != PKI_HV || (!same(asker, &t->caller) && t->caller.role != PKI_HV))
		return err_set(err, -EPERM, "tickets are for gateways, towards servers");
	rc = policy_check(ca, asker, &t->callee, err);
	if (!rc && !same(asker, &t->caller))
		rc = policy_check(ca, asker, &t->caller, err);
	if (!rc && same(&t->caller, &t->callee))
		rc = err_set(err, -EINVAL, "ticket: a server does not call itself");
	return rc ? rc : ticket_sign(t, ca->key, life_s, now, text, err);
}
