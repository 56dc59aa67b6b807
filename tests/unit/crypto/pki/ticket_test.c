/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/pki/ticket.h"
#include "crypto/pki/policy.h"
#include "tests/unit/crypto/pki/pki_rig.h"
#include "lib/base64.h"

static const struct pki_id gw1 = { PKI_LCG, "gw1" }, gw2 = { PKI_LCG, "gw2" };
static const struct pki_id web = { PKI_HV, "dc-web01" }, db = { PKI_HV, "dc-db01" };

static void allow(struct pki_rig *r, const struct pki_id *caller, const struct pki_id *callee)
{
	CU_ASSERT_FATAL(!policy_allow(r->ca, caller, callee, r->now, NULL));
}

static struct ticket blank(const struct pki_id *caller, const struct pki_id *callee)
{
	return (struct ticket){ .caller = *caller, .callee = *callee, .nic = "net0", .relay = "csc1" };
}

static struct ticket make(struct pki_rig *r, char text[TICKET_TEXT])
{
	struct ticket t = blank(&gw1, &web);

	if (policy_check(r->ca, &gw1, &web, NULL))
		allow(r, &gw1, &web);
	CU_ASSERT_FATAL(!policy_ticket(r->ca, &gw1, &t, TICKET_LIFE_S, r->now, text, NULL));
	return t;
}

static void keeps_what_was_signed(void)
{
	char text[TICKET_TEXT], other[TICKET_TEXT];
	struct ticket t, back;
	struct pki_rig r;

	rig_setup(&r);
	t = make(&r, text);
	check_eq(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."), strlen(text));
	check_eq(ticket_verify(text, strlen(text), ca_cert(r.ca), r.now, &back, NULL), 0);
	check(back.caller.role == PKI_LCG && back.callee.role == PKI_HV);
	check_str(back.caller.name, "gw1");
	check_str(back.callee.name, "dc-web01");
	check_str(back.nic, "net0");
	check_str(back.relay, "csc1");
	check_eq(back.from, r.now);
	check_eq(back.until, r.now + TICKET_LIFE_S);
	check(!memcmp(back.nonce, t.nonce, sizeof t.nonce));
	(void)make(&r, other);
	check(strcmp(text, other));
	rig_drop(&r);
}

/* The longest names there are. */
static void holds_long_names(void)
{
	char text[TICKET_TEXT];
	struct ticket t = { .caller.role = PKI_LCG, .callee.role = PKI_HV }, back;
	struct pki_rig r;

	rig_setup(&r);
	memset(t.caller.name, 'a', PKI_NAME_MAX);
	memset(t.callee.name, 'b', PKI_NAME_MAX);
	memset(t.nic, 'c', sizeof t.nic - 1);
	memset(t.relay, 'd', PKI_NAME_MAX);
	allow(&r, &t.caller, &t.callee);
	check_eq(policy_ticket(r.ca, &t.caller, &t, TICKET_LIFE_MAX_S, r.now, text, NULL), 0);
	check_eq(ticket_verify(text, strlen(text), ca_cert(r.ca), r.now, &back, NULL), 0);
	check_str(back.relay, t.relay);
	rig_drop(&r);
}

static void refuses_shapes(void)
{
	struct ticket t = blank(&gw1, &web);
	char text[TICKET_TEXT];
	struct pki_rig r;
	struct err err;

	rig_setup(&r);
	allow(&r, &gw1, &web);
	check_eq(policy_ticket(r.ca, &gw1, &t, TICKET_LIFE_MAX_S + 1, r.now, text, &err), -EINVAL);
	check_str(err.text, "ticket: a life of 601 s is not 1 to 600");
	check_eq(policy_ticket(r.ca, &gw1, &t, 0, r.now, text, &err), -EINVAL);
	t.nic[0] = 0;
	check_eq(policy_ticket(r.ca, &gw1, &t, 60, r.now, text, &err), -EINVAL);
	check_str(err.text, "ticket: name: has 0 characters, 1 to 63 are allowed");
	t = blank(&gw1, &web);
	strcpy(t.relay, "a b");
	check_eq(policy_ticket(r.ca, &gw1, &t, 60, r.now, text, &err), -EINVAL);
	check_str(err.text, "ticket: name: holds other characters than A-Z a-z 0-9 . _ -");
	rig_drop(&r);
}

static void refuse(struct pki_rig *r, const char *text, size_t len, int code, const char *why)
{
	struct ticket t;
	struct err err = { .text = "" };

	check_eq(ticket_verify(text, len, ca_cert(r->ca), r->now, &t, &err), code);
	check_str(err.text, why);
	check(!t.caller.name[0] && !t.until);
}

static void refuses_texts(void)
{
	static const char none[] = "ticket: is not one", foreign[] = "ticket: is not signed by this authority";
	char text[TICKET_TEXT + 8], good[TICKET_TEXT];
	struct pki_rig r, other;
	size_t len;

	rig_setup(&r);
	rig_setup(&other);
	(void)make(&r, good);
	len = strlen(good);
	refuse(&r, "", 0, -EBADMSG, none);
	refuse(&r, ".", 1, -EKEYREJECTED, foreign);
	refuse(&r, "abc", 3, -EBADMSG, none);
	refuse(&r, good, strcspn(good, "."), -EBADMSG, none);
	memset(text, 'A', sizeof text);
	text[500] = '.';
	refuse(&r, text, TICKET_TEXT, -EBADMSG, none);
	refuse(&r, text, 600, -EKEYREJECTED, foreign);
	refuse(&other, good, len, -EKEYREJECTED, foreign);
	for (size_t i = 0; i < len; i += 7) {	/* any character changed, any end: it is none, or not signed */
		struct ticket t;
		int rc = ticket_verify(good, i, ca_cert(r.ca), r.now, &t, NULL);

		check(rc == -EBADMSG || rc == -EKEYREJECTED);
		strcpy(text, good);
		text[i] = text[i] == 'B' ? 'C' : 'B';
		rc = ticket_verify(text, len, ca_cert(r.ca), r.now, &t, NULL);
		check(rc == -EBADMSG || rc == -EKEYREJECTED);
	}
	snprintf(text, sizeof text, "%s=", good);
	refuse(&r, text, len + 1, -EBADMSG, none);
	rig_drop(&other);
	rig_drop(&r);
}

/* A payload that the authority signed and that is none: the key signs it as ticket_sign would. */
static void try_payload(EVP_PKEY *key, X509 *ca, const char *payload, int want)
{
	static const char domain[] = "hull-ticket/1";
	uint8_t sig[80];
	char text[TICKET_TEXT * 2], part[TICKET_TEXT];
	size_t len = sizeof sig;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	struct ticket t;
	struct err err = { .text = "" };

	check_eq(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
	EVP_DigestSignUpdate(ctx, domain, sizeof domain);
	EVP_DigestSignUpdate(ctx, payload, strlen(payload));
	check_eq(EVP_DigestSignFinal(ctx, sig, &len), 1);
	EVP_MD_CTX_free(ctx);
	base64_encode(payload, strlen(payload), text);
	text[strcspn(text, "=")] = 0;
	base64_encode(sig, len, part);
	part[strcspn(part, "=")] = 0;
	strcat(strcat(text, "."), part);
	for (char *p = text; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	check_eq(ticket_verify(text, strlen(text), ca, 1000, &t, &err), want);
	if (want)
		check_str(err.text, "ticket: its payload is not one that this program knows");
}

static void refuses_payloads(void)
{
	static const char nonce[] = "\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAA\"";
	static const char *const wrong[] = {
		"", "[]", "{}", "{\"caller\":1}", "x",
		"{\"caller\":\"lcg/a\",\"callee\":\"hv/b\",\"nic\":\"n\",\"relay\":\"\",\"from\":900,\"until\":1100,%s,\"more\":1}",
		"{\"caller\":\"lcg/a\",\"callee\":\"hv/b\",\"nic\":\"n\",\"relay\":\"\",\"from\":900,\"until\":1100}",
		"{\"caller\":\"lcg/a\",\"callee\":\"hv/b\",\"nic\":\"n\",\"relay\":\"\",\"from\":900,\"until\":1100,\"nonce\":\"AAAA\"}",
		"{\"caller\":\"root/a\",\"callee\":\"hv/b\",\"nic\":\"n\",\"relay\":\"\",\"from\":900,\"until\":1100,%s}",
		"{\"caller\":\"lcg\",\"callee\":\"hv/b\",\"nic\":\"n\",\"relay\":\"\",\"from\":900,\"until\":1100,%s}",
		"{\"caller\":\"lcg/a\",\"callee\":\"hv/\",\"nic\":\"n\",\"relay\":\"\",\"from\":900,\"until\":1100,%s}",
		"{\"caller\":\"lcg/a\",\"callee\":\"hv/b\",\"nic\":\"\",\"relay\":\"\",\"from\":900,\"until\":1100,%s}",
		"{\"caller\":\"lcg/a\",\"callee\":\"hv/b\",\"nic\":\"01234567890123456789012345678901\","
			"\"relay\":\"\",\"from\":900,\"until\":1100,%s}",
		"{\"caller\":\"lcg/a\",\"callee\":\"hv/b\",\"nic\":\"n\",\"relay\":\"a/b\",\"from\":900,\"until\":1100,%s}",
		"{\"caller\":\"lcg/a\",\"callee\":\"hv/b\",\"nic\":\"n\",\"relay\":\"\",\"from\":1100,\"until\":1100,%s}",
		"{\"caller\":\"lcg/a\",\"callee\":\"hv/b\",\"nic\":\"n\",\"relay\":\"\",\"from\":900,\"until\":1501,%s}",
		"{\"caller\":\"lcg/a\",\"callee\":\"hv/b\",\"nic\":\"n\",\"relay\":\"\",\"from\":-1,\"until\":1,%s}",
		"{\"caller\":\"lcg/a\",\"callee\":\"hv/b\",\"nic\":\"n\",\"nic\":\"n\",\"relay\":\"\",\"from\":900,\"until\":1100,%s}",
	};
	static const char right[] =
		"{\"caller\":\"lcg/a\",\"callee\":\"hv/b\",\"nic\":\"n\",\"relay\":\"\",\"from\":900,\"until\":1100,%s}";
	EVP_PKEY *key = rig_key();
	X509 *ca = X509_new();
	char text[512];

	CU_ASSERT_FATAL(X509_set_pubkey(ca, key) == 1);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		snprintf(text, sizeof text, wrong[i], nonce);
		try_payload(key, ca, text, -EBADMSG);
	}
	snprintf(text, sizeof text, right, nonce);
	try_payload(key, ca, text, 0);
	X509_free(ca);
	EVP_PKEY_free(key);
}

static int verify_at(struct pki_rig *r, const char *text, time_t now, struct err *err)
{
	struct ticket t;

	return ticket_verify(text, strlen(text), ca_cert(r->ca), now, &t, err);
}

static void knows_the_time(void)
{
	char text[TICKET_TEXT];
	struct pki_rig r;
	struct err err;

	rig_setup(&r);
	(void)make(&r, text);
	check_eq(verify_at(&r, text, r.now - TICKET_SKEW_S, &err), 0);
	check_eq(verify_at(&r, text, r.now - TICKET_SKEW_S - 1, &err), -EKEYEXPIRED);
	check_str(err.text, "ticket: is not valid for another 61 s; do the clocks agree?");
	check_eq(verify_at(&r, text, r.now + TICKET_LIFE_S + TICKET_SKEW_S - 1, &err), 0);
	check_eq(verify_at(&r, text, r.now + TICKET_LIFE_S + TICKET_SKEW_S, &err), -EKEYEXPIRED);
	check_str(err.text, "ticket: has expired 60 s ago");
	rig_drop(&r);
}

static struct ticket used(unsigned n, time_t until)
{
	struct ticket t = { .from = until - TICKET_LIFE_S, .until = until };

	memcpy(t.nonce, &n, sizeof n);
	return t;
}

static void spends_once(void)
{
	struct ticket_spent *s;
	struct ticket t = used(1, 1000);
	struct err err;

	CU_ASSERT_FATAL(!ticket_spent_create(100, &s));
	check_eq(ticket_spend(s, &t, 900, &err), 0);
	check_eq(ticket_spend(s, &t, 900, &err), -EEXIST);
	check_str(err.text, "ticket: was used already");
	check_eq(ticket_spend(s, &t, 1000 + TICKET_SKEW_S - 1, &err), -EEXIST);
	check_eq(ticket_spend(s, &t, 1000 + TICKET_SKEW_S, &err), -EKEYEXPIRED);
	check_str(err.text, "ticket: has expired by the clock as it was");
	/* the clock goes back: what may have been forgotten stays refused */
	check_eq(ticket_spend(s, &t, 900, &err), -EKEYEXPIRED);
	ticket_spent_free(s);
	ticket_spent_free(NULL);
}

/* Thousands that collide in the table; then it is full, and what is over makes room. */
static void forgets_what_is_over(void)
{
	struct ticket_spent *s;
	struct ticket t;
	struct err err;
	unsigned ok = 0, again = 0;

	CU_ASSERT_FATAL(!ticket_spent_create(5000, &s));
	for (unsigned i = 0; i < 5000; i++) {
		t = used(i / 3 * 3 + (i % 3) * 65536, 1000 + i % 100);
		ok += !ticket_spend(s, &t, 950, &err);
	}
	for (unsigned i = 0; i < 5000; i++) {
		t = used(i / 3 * 3 + (i % 3) * 65536, 1000 + i % 100);
		again += ticket_spend(s, &t, 950, &err) == -EEXIST;
	}
	check_eq(ok, 5000);
	check_eq(again, 5000);
	t = used(1 << 30, 1200);
	check_eq(ticket_spend(s, &t, 950, &err), -ENOSPC);
	check_str(err.text, "ticket: more than 5000 were used in the last minutes");
	check_eq(ticket_spend(s, &t, 1000 + TICKET_SKEW_S, &err), 0);
	check_eq(ticket_spend(s, &t, 1000 + TICKET_SKEW_S, &err), -EEXIST);
	t = used(99, 1099);
	check_eq(ticket_spend(s, &t, 1000 + TICKET_SKEW_S, &err), -EEXIST);
	ticket_spent_free(s);
}

static void obeys_the_policy(void)
{
	struct ticket t = blank(&gw1, &web);
	char text[TICKET_TEXT];
	struct pki_rig r;
	struct err err;

	rig_setup(&r);
	check_eq(policy_ticket(r.ca, &gw1, &t, 60, r.now, text, &err), -EPERM);
	check_str(err.text, "lcg/gw1 may not call hv/dc-web01; `hull pki allow` allows it");
	allow(&r, &gw1, &web);
	check_eq(policy_allow(r.ca, &gw1, &web, r.now, &err), -EEXIST);
	check_str(err.text, "policy: lcg/gw1 may call hv/dc-web01 already");
	check_eq(policy_ticket(r.ca, &gw1, &t, 60, r.now, text, &err), 0);
	check_eq(policy_ticket(r.ca, &gw2, &t, 60, r.now, text, &err), -EPERM);	/* in gw1's name */
	t = blank(&gw2, &web);
	check_eq(policy_ticket(r.ca, &gw2, &t, 60, r.now, text, &err), -EPERM);
	t = blank(&web, &db);
	check_eq(policy_ticket(r.ca, &web, &t, 60, r.now, text, &err), -EPERM);
	check_str(err.text, "tickets are for gateways, towards servers");
	check_eq(policy_ticket(r.ca, &gw1, &t, 60, r.now, text, &err), -EPERM);	/* not allowed both */
	allow(&r, &gw1, &db);
	check_eq(policy_ticket(r.ca, &gw1, &t, 60, r.now, text, &err), 0);
	t = blank(&db, &db);
	check_eq(policy_ticket(r.ca, &gw1, &t, 60, r.now, text, &err), -EINVAL);
	check_eq(policy_deny(r.ca, &gw1, &db, &err), 0);
	check_eq(policy_deny(r.ca, &gw1, &db, &err), -ENOENT);
	t = blank(&gw1, &db);
	check_eq(policy_ticket(r.ca, &gw1, &t, 60, r.now, text, &err), -EPERM);
	check_eq(policy_allow(r.ca, &web, &db, r.now, &err), -EINVAL);
	check_str(err.text, "policy: lcg/NAME may call hv/NAME, not hv/dc-web01 hv/dc-db01");
	rig_drop(&r);
}

static int note(void *ctx, const struct policy_entry *e)
{
	char *text = ctx;

	sprintf(text + strlen(text), "%s>%s@%lld ", e->caller.name, e->callee.name, (long long)e->since);
	return 0;
}

static void lists_the_policy(void)
{
	char text[256] = "";
	struct pki_rig r;

	rig_setup(&r);
	r.now = 7;
	allow(&r, &gw2, &web);
	allow(&r, &gw1, &web);
	allow(&r, &gw1, &db);
	check_eq(policy_walk(r.ca, note, text, NULL), 0);
	check_str(text, "gw1>dc-db01@7 gw1>dc-web01@7 gw2>dc-web01@7 ");
	check_eq(policy_deny(r.ca, &gw2, &web, NULL), 0);	/* its record goes with its last server */
	text[0] = 0;
	check_eq(policy_walk(r.ca, note, text, NULL), 0);
	check_str(text, "gw1>dc-db01@7 gw1>dc-web01@7 ");
	rig_drop(&r);
}

static const struct test tests[] = {
	{ "keeps what was signed", keeps_what_was_signed },
	{ "holds long names", holds_long_names },
	{ "refuses shapes", refuses_shapes },
	{ "refuses texts", refuses_texts },
	{ "refuses payloads", refuses_payloads },
	{ "knows the time", knows_the_time },
	{ "spends once", spends_once },
	{ "forgets what is over", forgets_what_is_over },
	{ "obeys the policy", obeys_the_policy },
	{ "lists the policy", lists_the_policy },
	{ NULL },
};
const struct suite suite_crypto_pki_ticket = { tests };
