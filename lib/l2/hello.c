/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/hello.h"
#include <errno.h>
#include <string.h>
#include "lib/ctl.h"

/* 0 and NULL when it is not there, or null. */
static int text(const json_t *o, const char *key, size_t max, const char **out, struct err *err)
{
	const json_t *v = json_object_get(o, key);

	*out = NULL;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v) || !json_string_length(v) || json_string_length(v) > max)
		return err_set(err, -EPROTO, "\"%s\" is no text of 1 to %zu bytes", key, max);
	*out = json_string_value(v);
	return 0;
}

static int need(const json_t *o, const char *key, size_t max, const char **out, struct err *err)
{
	int rc = text(o, key, max, out, err);

	return !rc && !*out ? err_set(err, -EPROTO, "\"%s\" is missing", key) : rc;
}

static int number(const json_t *o, const char *key, json_int_t min, json_int_t max, json_int_t *out, struct err *err)
{
	const json_t *v = json_object_get(o, key);

	*out = json_integer_value(v);
	if (!json_is_integer(v) || *out < min || *out > max)
		return err_set(err, -EPROTO, "\"%s\" is no number from %lld to %lld", key, (long long)min, (long long)max);
	return 0;
}

static int check_version(const json_t *o, struct err *err)
{
	json_int_t version;
	int rc = number(o, "version", 0, INT32_MAX, &version, err);

	if (!rc && version != HELLO_VERSION)
		return err_set(err, -EPROTONOSUPPORT, "version %lld of hull-l2: this is %d", (long long)version, HELLO_VERSION);
	return rc;
}

json_t *hello_make(const struct hello *h)
{
	return json_pack("{s:i s:s s:s s:s s:s s:I s:i s:i s:s s:s s:s s:s* s:s*}", "version", HELLO_VERSION, "role",
			 h->gateway ? "lcg" : "hv", "name", h->name, "instance", h->instance, "way", h->way, "attempt", h->attempt,
			 "lane", (int)h->lane, "lanes", (int)h->lanes, "server", h->server, "nic", h->nic, "segment", h->segment,
			 "from_nic", h->from_nic, "ticket", h->ticket);
}

static int parse_numbers(const json_t *o, struct hello *h, struct err *err)
{
	json_int_t lane = 0, lanes = 0;
	int rc = number(o, "lanes", 1, PATH_LANES, &lanes, err);

	if (!rc)
		rc = number(o, "lane", 0, lanes - 1, &lane, err);
	if (!rc)
		rc = number(o, "attempt", 0, INT64_MAX, &h->attempt, err);
	h->lane = (unsigned)lane;
	h->lanes = (unsigned)lanes;
	return rc;
}

int hello_parse(const json_t *o, struct hello *h, struct err *err)
{
	const char *role;
	int rc = check_version(o, err);

	*h = (struct hello){ 0 };
	if (rc || (rc = need(o, "role", 8, &role, err)) || (rc = need(o, "name", HELLO_NAME_MAX, &h->name, err)) ||
	    (rc = need(o, "instance", 32, &h->instance, err)) || (rc = need(o, "way", HELLO_ADDRESS_MAX, &h->way, err)) ||
	    (rc = need(o, "server", HELLO_NAME_MAX, &h->server, err)) || (rc = need(o, "nic", HELLO_NAME_MAX, &h->nic, err)) ||
	    (rc = need(o, "segment", HELLO_NAME_MAX, &h->segment, err)) || (rc = text(o, "ticket", 4096, &h->ticket, err)) ||
	    (rc = text(o, "from_nic", HELLO_NAME_MAX, &h->from_nic, err)) || (rc = parse_numbers(o, h, err)))
		return rc;
	h->gateway = !strcmp(role, "lcg");
	if (!h->gateway && strcmp(role, "hv"))
		return err_set(err, -EPROTO, "role is neither lcg nor hv");
	if (!h->gateway && !h->from_nic)
		return err_set(err, -EPROTO, "\"from_nic\" is missing");
	return 0;
}

json_t *hello_answer(const char *server, const char *nic, const char *segment, const uint8_t mac[FRAME_MAC], unsigned mtu)
{
	char name[FRAME_MAC_TEXT];

	if (mtu < HELLO_MTU_MIN || mtu > HELLO_MTU_MAX)
		mtu = 0;
	frame_mac_text(mac, name);
	return json_pack("{s:i s:s s:s s:s s:s s:i}", "version", HELLO_VERSION, "server", server, "nic", nic, "segment", segment,
			 "mac", name, "mtu", (int)mtu);
}

json_t *hello_refuse(int code, const char *why)
{
	return json_pack("{s:i s:{s:s s:s}}", "version", HELLO_VERSION, "error", "code", ctl_code_name(code), "text", why);
}

static int refusal(const json_t *error, struct err *err)
{
	const char *code, *why;
	int rc = need(error, "code", 32, &code, err);

	if (!rc)
		rc = need(error, "text", 480, &why, err);
	return rc ? rc : err_set(err, -ctl_code_value(code), "refused: %s", why);
}

static int read_mtu(const json_t *o, unsigned *mtu, struct err *err)
{
	json_int_t n = 0;
	int rc = json_object_get(o, "mtu") ? number(o, "mtu", 0, HELLO_MTU_MAX, &n, err) : 0;

	*mtu = (unsigned)n;
	return !rc && n && n < HELLO_MTU_MIN ? err_set(err, -EPROTO, "\"mtu\" is below %d", HELLO_MTU_MIN) : rc;
}

int hello_check(const json_t *o, const char *server, const char *nic, const char *segment, unsigned *mtu, struct err *err)
{
	const char *its_server, *its_nic, *its_segment;
	int rc = check_version(o, err);

	*mtu = 0;
	if (!rc && json_object_get(o, "error"))
		return refusal(json_object_get(o, "error"), err);
	if (rc || (rc = need(o, "server", HELLO_NAME_MAX, &its_server, err)) ||
	    (rc = need(o, "nic", HELLO_NAME_MAX, &its_nic, err)) || (rc = need(o, "segment", HELLO_NAME_MAX, &its_segment, err)))
		return rc;
	if (strcmp(its_server, server) || strcmp(its_nic, nic))
		return err_set(err, -EPROTO, "it is %s of %s, not %s of %s", its_nic, its_server, nic, server);
	if (strcmp(its_segment, segment))
		return err_set(err, -EPROTO, "it belongs to segment %s, not %s", its_segment, segment);
	return read_mtu(o, mtu, err);
}

/* ---- PEERS */

static int texts(const json_t *o, const char *key, size_t max, const char **out, unsigned room, unsigned *count, struct err *err)
{
	const json_t *list = json_object_get(o, key), *v;
	size_t i;

	*count = 0;
	if (list && !json_is_array(list))
		return err_set(err, -EPROTO, "\"%s\" is no list", key);
	if (json_array_size(list) > room)
		return err_set(err, -EPROTO, "\"%s\": %zu are too many, %u go", key, json_array_size(list), room);
	json_array_foreach(list, i, v) {
		if (!json_is_string(v) || !json_string_length(v) || json_string_length(v) > max)
			return err_set(err, -EPROTO, "\"%s\" holds what is no text of 1 to %zu bytes", key, max);
		out[(*count)++] = json_string_value(v);
	}
	return 0;
}

static int parse_peer(const json_t *o, struct hello_peer *p, struct err *err)
{
	const char *macs[L2_MACS];
	int rc;

	*p = (struct hello_peer){ 0 };
	if (!json_is_object(o))
		return err_set(err, -EPROTO, "is no object");
	if ((rc = need(o, "server", HELLO_NAME_MAX, &p->server, err)) || (rc = need(o, "nic", HELLO_NAME_MAX, &p->nic, err)) ||
	    (rc = text(o, "direct", HELLO_ADDRESS_MAX, &p->direct, err)) ||
	    (rc = texts(o, "relay", HELLO_ADDRESS_MAX, p->relay, L2_RELAYS, &p->relay_count, err)) ||
	    (rc = texts(o, "tickets", 4096, p->tickets, HELLO_TICKETS, &p->ticket_count, err)) ||
	    (rc = texts(o, "macs", FRAME_MAC_TEXT, macs, L2_MACS, &p->mac_count, err)))
		return rc;
	for (unsigned i = 0; i < p->mac_count; i++)
		if (frame_mac_parse(macs[i], p->macs[i]) || p->macs[i][0] & 1)
			return err_set(err, -EPROTO, "\"macs\" holds what is no MAC address of one card");
	return 0;
}

int hello_parse_peers(const json_t *json, struct hello_peer peers[HELLO_PEERS], unsigned *count, unsigned *mtu, struct err *err)
{
	const json_t *list = json_object_get(json, "peers"), *most = json_object_get(json, "mtu"), *v;
	size_t i;

	*count = 0;
	*mtu = (unsigned)json_integer_value(most);
	if (most && (!json_is_integer(most) || json_integer_value(most) < 0 || json_integer_value(most) > FRAME_MAX))
		return err_set(err, -EPROTO, "PEERS: \"mtu\" is no number up to %d", FRAME_MAX);
	if (!json_is_array(list) || json_array_size(list) > HELLO_PEERS)
		return err_set(err, -EPROTO, "PEERS: \"peers\" is no list of at most %d", HELLO_PEERS);
	json_array_foreach(list, i, v) {
		if (parse_peer(v, &peers[i], err))
			return err_prefix(err, "PEERS: number %zu", i);
		*count += 1;
	}
	return 0;
}
