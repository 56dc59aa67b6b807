/* SPDX-License-Identifier: Apache-2.0 */
/* hull-lma's verb "ticket": policy, batches, and what is written down. */
#include "crypto/pki/policy.h"
#include "tests/unit/lma/lma_rig.h"

static const struct pki_id gw1 = { PKI_LCG, "gw1" }, web = { PKI_HV, "dc-web01" }, db = { PKI_HV, "dc-db01" };

static json_t *request(const char *callee, int count)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:i}", "do", "ticket", "callee", callee, "nic", "net0", "relay", "csc1", "count", count);
}

static void allow(struct rig *r, const struct pki_id *callee)
{
	CU_ASSERT_FATAL(!policy_allow(r->pki.ca, &gw1, callee, time(NULL), NULL));
}

static void hands_out_tickets(void)
{
	struct identity id = { 0 };
	struct service_counters count;
	struct ticket t = { 0 };
	struct err err = { .text = "" };
	const char *text;
	json_t *ok;
	struct rig r;

	setup(&r);
	enrol(&r, PKI_LCG, "gw1", &id);
	check_eq(call(&r, &id, request("dc-web01", 1), &err), -EPERM);
	check_str(err.text, "lcg/gw1 may not call hv/dc-web01; `hull pki allow` allows it");
	allow(&r, &web);
	check_eq(ask(&r, &id, request("dc-web01", 16), &ok, &err), 0);
	check_eq(json_array_size(json_object_get(ok, "tickets")), 16);
	text = json_string_value(json_array_get(json_object_get(ok, "tickets"), 15));
	check_eq(text ? ticket_verify(text, strlen(text), ca_cert(r.pki.ca), time(NULL), &t, &err) : 1, 0);
	check_str(t.caller.name, "gw1");
	check_str(t.callee.name, "dc-web01");
	check_str(t.relay, "csc1");
	json_decref(ok);
	CU_ASSERT_FATAL(!policy_deny(r.pki.ca, &gw1, &web, NULL));
	check_eq(call(&r, &id, request("dc-web01", 1), &err), -EPERM);
	identity_drop(&id);
	count = drop(&r);
	check(count.tickets == 16 && count.ticket_refused == 2);
}

static int ask_for(struct rig *r, const struct identity *id, const char *field, json_t *value, struct err *err)
{
	json_t *o = request("dc-web01", 1);

	json_object_set_new(o, field, value);
	return call(r, id, o, err);
}

static void refuses_fields(void)
{
	struct identity id = { 0 };
	struct err err;
	struct rig r;

	setup(&r);
	enrol(&r, PKI_LCG, "gw1", &id);
	allow(&r, &web);
	check_eq(ask_for(&r, &id, "count", json_integer(17), &err), -EINVAL);
	check_str(err.text, "ticket: \"count\" is not 1 to 16");
	check_eq(ask_for(&r, &id, "count", json_integer(0), &err), -EINVAL);
	check_eq(ask_for(&r, &id, "count", json_string("1"), &err), -EINVAL);
	check_eq(ask_for(&r, &id, "callee", json_null(), &err), -EINVAL);
	check_str(err.text, "ticket: needs \"callee\" and \"nic\"");
	check_eq(ask_for(&r, &id, "callee", json_string("a/b"), &err), -EINVAL);
	check_eq(ask_for(&r, &id, "nic", json_string("01234567890123456789012345678901"), &err), -EINVAL);
	check_str(err.text, "ticket: \"nic\" has more than 31 characters");
	check_eq(ask_for(&r, &id, "relay", json_string("csc 1"), &err), -EINVAL);
	check_eq(ask_for(&r, &id, "caller", json_string("root/x"), &err), -EINVAL);
	check_str(err.text, "ticket: \"caller\" is not ROLE/NAME");
	check_eq(ask_for(&r, &id, "caller", json_string("lcg/gw2"), &err), -EPERM);
	identity_drop(&id);
	enrol(&r, PKI_HV, "dc-web01", &id);
	check_eq(call(&r, &id, request("dc-web01", 1), &err), -EPERM);
	check_str(err.text, "ticket: is not for hv");
	identity_drop(&id);
	check_eq(drop(&r).ticket_refused, 9);
}

/* For two servers of one segment, which then call each other. */
static void speaks_for_servers(void)
{
	struct identity id = { 0 };
	struct ticket t = { 0 };
	struct err err;
	const char *text;
	json_t *ok, *o;
	struct rig r;

	setup(&r);
	enrol(&r, PKI_LCG, "gw1", &id);
	allow(&r, &web);
	check_eq(ask_for(&r, &id, "caller", json_string("hv/dc-db01"), &err), -EPERM);
	check_str(err.text, "lcg/gw1 may not call hv/dc-db01; `hull pki allow` allows it");
	allow(&r, &db);
	o = request("dc-web01", 1);
	json_object_set_new(o, "caller", json_string("hv/dc-db01"));
	check_eq(ask(&r, &id, o, &ok, &err), 0);
	text = json_string_value(json_array_get(json_object_get(ok, "tickets"), 0));
	check_eq(text ? ticket_verify(text, strlen(text), ca_cert(r.pki.ca), time(NULL), &t, &err) : 1, 0);
	check(t.caller.role == PKI_HV);
	check_str(t.caller.name, "dc-db01");
	json_decref(ok);
	identity_drop(&id);
	(void)drop(&r);
}

/* A certificate that is revoked while its connection lasts gets no more tickets. */
static void looks_again(void)
{
	struct identity id = { 0 };
	struct lmaclient *client;
	struct err err;
	unsigned n;
	json_t *ok;
	struct rig r;

	setup(&r);
	enrol(&r, PKI_LCG, "gw1", &id);
	allow(&r, &web);
	CU_ASSERT_FATAL(!lmaclient_open(where(&r), &id, NULL, &client, &err));
	check_eq(lmaclient_call(client, request("dc-web01", 1), &ok, &err), 0);
	json_decref(ok);
	check_eq(ca_revoke(r.pki.ca, "gw1", time(NULL), &n, &err), 0);
	check_eq(lmaclient_call(client, request("dc-web01", 1), &ok, &err), -EKEYREVOKED);
	lmaclient_close(client);
	identity_drop(&id);
	(void)drop(&r);
}

static void writes_them_down(void)
{
	struct identity id = { 0 };
	char line[512];
	unsigned seen = 0;
	struct err err;
	struct rig r;
	FILE *f;

	setup(&r);
	enrol(&r, PKI_LCG, "gw1", &id);
	check_eq(call(&r, &id, request("dc-db01", 1), &err), -EPERM);
	check_eq(ask_for(&r, &id, "caller", json_string("\"\n"), &err), -EINVAL);
	allow(&r, &web);
	check_eq(call(&r, &id, request("dc-web01", 3), &err), 0);
	f = fopen(r.audit, "r");
	CU_ASSERT_FATAL(f != NULL);
	while (fgets(line, sizeof line, f)) {
		seen |= strstr(line, "\"verb\":\"ticket\"") && strstr(line, "\"server\":\"dc-db01\"") && strstr(line, "EPERM") ? 1 : 0;
		seen |= strstr(line, "\"verb\":\"ticket\",\"who\":\"lcg/gw1\",\"server\":\"dc-web01\",\"nic\":\"net0\",\"relay\":\"csc1\","
			"\"count\":3,\"result\":\"ok\"") ? 2 : 0;
		seen |= strstr(line, "\"caller\":\"(not a name)\"") ? 4 : 0;
	}
	fclose(f);
	check_eq(seen, 7);
	identity_drop(&id);
	(void)drop(&r);
}

static const struct test tests[] = {
	{ "hands out tickets", hands_out_tickets },
	{ "refuses fields", refuses_fields },
	{ "speaks for servers", speaks_for_servers },
	{ "looks again", looks_again },
	{ "writes them down", writes_them_down },
	{ NULL },
};
const struct suite suite_lma_ticket = { tests };
