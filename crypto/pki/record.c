/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/pki/ca_priv.h"
#include "lib/scope.h"

static const char cert_prefix[] = "pki/cert/", token_prefix[] = "pki/token/";

void ca_record_name(char name[CA_RECORD_NAME], bool token, const char *serial)
{
	snprintf(name, CA_RECORD_NAME, "%s%s", token ? token_prefix : cert_prefix, serial);
}

/* Of a record that was read: every field is looked at again. */
static int decode(const json_t *o, struct ca_record *r, struct err *err)
{
	const char *role, *name, *hash = "";
	json_int_t from, until, revoked = 0;
	size_t n;

	if (json_unpack((json_t *)o, "{s:s, s:s, s:I, s:I, s?:I, s?:s}", "role", &role, "name", &name, "from", &from, "until", &until,
			"revoked", &revoked, "hash", &hash))
		return err_set(err, -EINVAL, "has other fields than it should");
	if (pki_role_parse(role, &r->e.id.role, err) || pki_name_check(name, err))
		return -EINVAL;
	if (r->e.token && (base64_decode(hash, strlen(hash), r->hash, sizeof r->hash, &n) || n != sizeof r->hash))
		return err_set(err, -EINVAL, "\"hash\" is not one");
	strcpy(r->e.id.name, name);
	r->e.from = (time_t)from;
	r->e.until = (time_t)until;
	r->e.revoked = (time_t)revoked;
	return 0;
}

int ca_record_get(struct keystore *ks, bool token, const char *serial, struct ca_record *r, struct err *err)
{
	struct secret value = { 0 };
	char name[CA_RECORD_NAME];
	json_t *o;
	int rc;

	*r = (struct ca_record){ .e.token = token };
	snprintf(r->e.serial, sizeof r->e.serial, "%s", serial);
	ca_record_name(name, token, serial);
	rc = keystore_record_get(ks, name, &value, err);
	if (rc)
		return rc;
	o = json_loadb((char *)value.data, value.len, JSON_REJECT_DUPLICATES, NULL);
	rc = o ? decode(o, r, err) : err_set(err, -EINVAL, "is not JSON");
	if (rc)
		err_prefix(err, "record %s", name);
	json_decref(o);
	secret_destroy(&value);
	return rc;
}

int ca_record_set(struct keystore *ks, const struct ca_record *r, struct err *err)
{
	json_t *o = json_pack("{s:s, s:s, s:I, s:I}", "role", pki_role_name(r->e.id.role), "name", r->e.id.name,
		"from", (json_int_t)r->e.from, "until", (json_int_t)r->e.until);
	char hash[BASE64_TEXT(sizeof r->hash)], name[CA_RECORD_NAME];
	auto_free char *text = NULL;

	if (o && r->e.token) {
		base64_encode(r->hash, sizeof r->hash, hash);
		json_object_set_new(o, "hash", json_string(hash));
	}
	if (o && r->e.revoked)
		json_object_set_new(o, "revoked", json_integer(r->e.revoked));
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!text)
		return err_set(err, -ENOMEM, "record: out of memory");
	ca_record_name(name, r->e.token, r->e.serial);
	return keystore_record_set(ks, name, text, strlen(text), err);
}

int ca_record_remove(struct keystore *ks, const struct ca_record *r, struct err *err)
{
	char name[CA_RECORD_NAME];

	ca_record_name(name, r->e.token, r->e.serial);
	return keystore_record_remove(ks, name, err);
}

struct names { struct { bool token; char serial[PKI_SERIAL_TEXT]; } *list; size_t count, room; };

static int collect(void *ctx, const struct keystore_entry *e)
{
	struct names *n = ctx;
	bool token = e->record && !strncmp(e->record, token_prefix, strlen(token_prefix));
	void *list;

	if (!token && (!e->record || strncmp(e->record, cert_prefix, strlen(cert_prefix))))
		return 0;
	if (n->count == n->room) {
		list = reallocarray(n->list, n->room * 2 + 16, sizeof *n->list);
		if (!list)
			return -ENOMEM;
		n->list = list;
		n->room = n->room * 2 + 16;
	}
	n->list[n->count].token = token;
	snprintf(n->list[n->count++].serial, PKI_SERIAL_TEXT, "%s", e->record + strlen(token ? token_prefix : cert_prefix));
	return 0;
}

int ca_record_list(struct keystore *ks, struct ca_record **list, size_t *count, struct err *err)
{
	struct names n = { 0 };
	int rc = keystore_walk(ks, collect, &n);

	*count = 0;
	*list = rc ? NULL : calloc(n.count + 1, sizeof **list);
	if (!*list)
		rc = err_set(err, -ENOMEM, "records: out of memory");
	for (size_t i = 0; !rc && i < n.count; i++) {
		rc = ca_record_get(ks, n.list[i].token, n.list[i].serial, &(*list)[i], err);
		*count = i + 1;
	}
	free(n.list);
	if (rc) {
		free(*list);
		*list = NULL;
		*count = 0;
	}
	return rc;
}
