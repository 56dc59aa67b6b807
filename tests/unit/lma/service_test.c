/* SPDX-License-Identifier: Apache-2.0 */
/* The service on a loop of its own thread, asked over TLS by the clients that programs use. */
#include "lma/service.h"
#include <jansson.h>
#include <pthread.h>
#include "crypto/keyclient.h"
#include "crypto/lmaclient.h"
#include "lib/ctl.h"
#include "lib/link/socket.h"
#include "tests/unit/lma/lma_rig.h"

static void add_volume(struct rig *r, const char *server, const char *volume, struct secret *key)
{
	struct keystore *ks = r->pki.ks;

	CU_ASSERT_FATAL(!keystore_begin(ks, NULL));
	(void)!keystore_server_add(ks, server, NULL);
	CU_ASSERT_FATAL(!keystore_volume_add(ks, server, volume, NULL));
	CU_ASSERT_FATAL(!keystore_commit(ks, NULL));
	CU_ASSERT_FATAL(!keystore_volume_key(ks, server, volume, key, NULL));
}

static void write_token(const struct token *token, const char *path)
{
	char text[TOKEN_TEXT];
	FILE *f = fopen(path, "w");

	CU_ASSERT_FATAL(f != NULL);
	token_text(token, text);
	fprintf(f, "%s\n", text);
	fclose(f);
}

static void hands_out_keys(void)
{
	struct secret want = { 0 }, got = { 0 };
	char path[512], source[600];
	struct service_counters count;
	struct keysource from;
	struct token token;
	struct err err;
	struct rig r;

	setup(&r);
	add_volume(&r, "dc-web01", "sda", &want);
	rig_token(&r.pki, PKI_HV, "dc-web01", 60, &token);
	snprintf(path, sizeof path, "%s", suite_tmp("token"));
	snprintf(source, sizeof source, "file:%s", path);
	write_token(&token, path);
	from = (struct keysource){ .source = "lma", .server = "dc-web01", .name = "sda", .lma = where(&r), .lma_token = source };
	for (int i = 0; i < 2; i++) {	/* the token is gone after the first */
		check_eq(keyclient_fetch(&from, &got, &err), 0);
		check(got.len == want.len && secret_equal(got.data, want.data, want.len));
		secret_destroy(&got);
	}
	from.name = "sdb";
	check_eq(keyclient_fetch(&from, &got, &err), -ENOENT);
	check_str(err.text, "key: the store has none for volume sdb of server dc-web01");
	from.server = "dc-db01";
	check_eq(keyclient_fetch(&from, &got, &err), -EPERM);
	check_str(err.text, "key: hv/dc-web01 gets the keys of its own server only");
	keyclient_close();
	from.server = "dc-web01";
	check_eq(keyclient_fetch(&from, &got, &err), -EPERM);	/* enrols again: the token is used */
	keyclient_close();
	secret_destroy(&want);
	count = drop(&r);
	check(count.keys == 2 && count.key_refused == 2 && count.enrolled == 1 && count.enrol_refused == 1);
}

static void needs_certificates(void)
{
	struct identity id = { 0 };
	struct service_counters count;
	struct err err;
	struct rig r;

	setup(&r);
	id.ca = ca_cert(r.pki.ca);
	check_eq(call(&r, &id, json_pack("{s:s}", "do", "ping"), &err), -EACCES);
	check_str(err.text, "ping: needs a certificate; `hull pki token` makes the token for one");
	check_eq(call(&r, &id, json_pack("{s:s, s:s}", "do", "key", "volume", "sda"), &err), -EACCES);
	check_eq(call(&r, &id, json_pack("{s:s}", "do", "shutdown"), &err), -ENOSYS);
	check_eq(call(&r, &id, json_pack("{s:s}", "do", "enrol"), &err), -EINVAL);
	check_str(err.text, "enrol: needs \"token\" and \"csr\"");
	count = drop(&r);
	check(count.denied == 2 && count.unknown_verb == 1 && count.enrol_refused == 1);
}

static void tells_roles_apart(void)
{
	struct identity id = { 0 };
	struct err err;
	struct rig r;

	setup(&r);
	enrol(&r, PKI_LCG, "lan-1", &id);
	check_eq(call(&r, &id, json_pack("{s:s}", "do", "ping"), &err), 0);
	check_eq(call(&r, &id, json_pack("{s:s, s:s}", "do", "key", "volume", "sda"), &err), -EPERM);
	check_str(err.text, "key: is not for lcg");
	check_eq(call(&r, &id, json_pack("{s:s}", "do", "renew"), &err), -EINVAL);
	check_str(err.text, "renew: needs \"csr\"");
	identity_drop(&id);
	check_eq(drop(&r).denied, 1);
}

static void renews_and_revokes(void)
{
	struct identity id = { 0 };
	struct service_counters count;
	char before[PKI_SERIAL_TEXT], after[PKI_SERIAL_TEXT];
	struct err err;
	unsigned n;
	struct rig r;

	setup(&r);
	enrol(&r, PKI_HV, "dc-web01", &id);
	cert_serial(id.cert, before);
	check_eq(identity_renew(where(&r), &id, &err), 0);
	cert_serial(id.cert, after);
	check(strcmp(before, after));
	check_eq(identity_fetch_crl(where(&r), &id, &err), 0);
	check_eq(cert_verify(id.cert, id.ca, id.crl, time(NULL), &err), 0);
	check_eq(ca_revoke(r.pki.ca, "dc-web01", time(NULL), &n, &err), 0);
	check_eq(n, 2);
	check_eq(identity_renew(where(&r), &id, &err), -EPROTO);
	check(strstr(err.text, "certificate revoked") != NULL);
	check_eq(call(&r, &id, json_pack("{s:s}", "do", "ping"), &err), -EPROTO);
	identity_drop(&id);
	count = drop(&r);
	check(count.renewed == 1 && count.handshake_failed == 2);
}

/* Revoking the application's own certificate gives it a fresh one. */
static void survives_its_own_revocation(void)
{
	struct identity id = { 0 };
	struct err err;
	unsigned n;
	struct rig r;

	setup(&r);
	enrol(&r, PKI_HV, "dc-web01", &id);
	check_eq(ca_revoke(r.pki.ca, "lma", time(NULL), &n, &err), 0);
	check_eq(n, 1);
	check_eq(identity_fetch_crl(where(&r), &id, &err), 0);
	check_eq(call(&r, &id, json_pack("{s:s}", "do", "ping"), &err), 0);
	identity_drop(&id);
	(void)drop(&r);
}

/* More than a message holds. */
static void hands_out_a_long_list(void)
{
	enum { MANY = 3000 };
	struct identity id = { 0 };
	char serial[PKI_SERIAL_TEXT];
	struct keystore *ks;
	struct err err = { .text = "" };
	struct rig r;

	setup(&r);
	enrol(&r, PKI_HV, "dc-web01", &id);
	ks = r.pki.ks;
	CU_ASSERT_FATAL(!keystore_begin(ks, NULL));
	for (unsigned i = 0; i < MANY; i++) {
		char name[64], text[200];

		snprintf(serial, sizeof serial, "4000000000000000000000000000%04x", i);
		snprintf(name, sizeof name, "pki/cert/%s", serial);
		snprintf(text, sizeof text, "{\"role\":\"hv\",\"name\":\"gone\",\"from\":%lld,\"until\":%lld,\"revoked\":%lld}",
			(long long)r.pki.now, (long long)r.pki.now + 3600, (long long)r.pki.now);
		CU_ASSERT_FATAL(!keystore_record_set(ks, name, text, strlen(text), NULL));
	}
	CU_ASSERT_FATAL(!keystore_commit(ks, NULL));
	check_eq(identity_fetch_crl(where(&r), &id, &err), 0);
	check_str(err.text, "");
	check_eq(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(id.crl)), MANY);
	check(!identity_crl_due(&id, time(NULL)));
	check(identity_crl_due(&id, time(NULL) + 2 * 86400));
	check_eq(call(&r, &id, json_pack("{s:s, s:i}", "do", "crl", "from", -1), &err), -EINVAL);
	check_eq(call(&r, &id, json_pack("{s:s, s:i}", "do", "crl", "from", 1 << 30), &err), -EINVAL);
	check_eq(call(&r, &id, json_pack("{s:s, s:s}", "do", "crl", "from", "x"), &err), -EINVAL);
	identity_drop(&id);
	(void)drop(&r);
}

/* An application whose certificate is on the list that a client knows. */
static void is_refused_when_it_is_on_the_list(void)
{
	struct identity id = { 0 };
	struct keystore *ks;
	struct ca *ca;
	struct err err;
	char command[1200], copy[512];
	unsigned n;
	struct rig r;

	setup(&r);
	enrol(&r, PKI_HV, "dc-web01", &id);
	/* revoked in a copy of the store, so that the service does not make itself another one */
	snprintf(copy, sizeof copy, "%s.copy", r.pki.path);
	snprintf(command, sizeof command, "cp '%s' '%s'", r.pki.path, copy);
	check_eq(system(command), 0);
	ks = rig_open_store(copy, false);
	CU_ASSERT_FATAL(!ca_open(ks, &ca, NULL));
	check_eq(ca_revoke(ca, "lma", time(NULL), &n, &err), 0);
	check_eq(ca_crl(ca, time(NULL), &id.crl, &err), 0);
	check_eq(call(&r, &id, json_pack("{s:s}", "do", "ping"), &err), -EPROTO);
	check(strstr(err.text, "certificate is refused: certificate revoked") != NULL);
	ca_free(ca);
	keystore_close(ks);
	unlink(copy);
	snprintf(command, sizeof command, "%s.lock", copy);
	unlink(command);
	identity_drop(&id);
	(void)drop(&r);
}

/* Over a link that was there before. */
static void revokes_at_once(void)
{
	struct secret key = { 0 };
	struct identity id = { 0 };
	struct lmaclient *client;
	json_t *ok;
	struct err err;
	unsigned n;
	struct rig r;

	setup(&r);
	add_volume(&r, "dc-web01", "sda", &key);
	secret_destroy(&key);
	enrol(&r, PKI_HV, "dc-web01", &id);
	CU_ASSERT_FATAL(!lmaclient_open(where(&r), &id, NULL, &client, &err));
	check_eq(lmaclient_call(client, json_pack("{s:s, s:s}", "do", "key", "volume", "sda"), &ok, &err), 0);
	json_decref(ok);
	check_eq(ca_revoke(r.pki.ca, "dc-web01", time(NULL), &n, &err), 0);
	check_eq(lmaclient_call(client, json_pack("{s:s, s:s}", "do", "key", "volume", "sda"), &ok, &err), -EKEYREVOKED);
	check(!ok);
	lmaclient_close(client);
	identity_drop(&id);
	(void)drop(&r);
}

static void refuses_strange_certificates(void)
{
	struct identity id = { 0 };
	struct pki_rig other;
	struct service_counters count;
	struct token token;
	struct err err;
	struct rig r;

	setup(&r);
	rig_setup(&other);
	other.now = time(NULL);
	/* a certificate of another authority, shown to this one */
	id.ca = ca_cert(r.pki.ca);
	id.key = rig_key();
	id.cert = rig_cert(&other, PKI_HV, "dc-web01", id.key);
	check_eq(call(&r, &id, json_pack("{s:s}", "do", "ping"), &err), -EPROTO);
	X509_free(id.cert);
	/* one that has expired, one that is not valid yet */
	r.pki.now = time(NULL) - 2 * CA_LIFE_S;
	ca_free(r.pki.ca);
	CU_ASSERT_FATAL(!ca_open(r.pki.ks, &r.pki.ca, NULL));
	r.pki.now = time(NULL) + CA_LIFE_S;
	id.ca = ca_cert(r.pki.ca);
	id.cert = rig_cert(&r.pki, PKI_HV, "dc-web01", id.key);
	check_eq(call(&r, &id, json_pack("{s:s}", "do", "ping"), &err), -EPROTO);
	X509_free(id.cert);
	/* we trust another authority than the service's */
	id.cert = NULL;
	id.ca = ca_cert(other.ca);
	check_eq(call(&r, &id, json_pack("{s:s}", "do", "ping"), &err), -EPROTO);
	check(strstr(err.text, "certificate is refused: ") != NULL);
	/* and a token that pins another */
	r.pki.now = time(NULL);
	rig_token(&r.pki, PKI_HV, "dc-web01", 60, &token);
	token.pin[0] ^= 1;
	id = (struct identity){ .key = id.key };
	EVP_PKEY_free(id.key);
	id.key = NULL;
	check_eq(identity_enrol(where(&r), &token, &id, &err), -EPROTO);
	check(strstr(err.text, "certificate is refused: certificate not trusted") != NULL);
	check(!id.cert);
	rig_drop(&other);
	count = drop(&r);
	check_eq(count.enrolled + count.enrol_refused, 0);	/* the token's secret never left */
	check_eq(count.handshake_failed, 4);
}

static void knows_when_to_renew(void)
{
	struct identity id = { 0 };
	struct rig r;

	setup(&r);
	enrol(&r, PKI_HV, "dc-web01", &id);
	check(identity_due(&id, time(NULL)) == false);
	check(identity_due(&id, time(NULL) + CA_LIFE_S * 2 / 3) == true);
	check(identity_due(&id, time(NULL) + CA_LIFE_S / 2) == false);
	identity_drop(&id);
	(void)drop(&r);
}

static void writes_the_log(void)
{
	struct secret key = { 0 };
	struct identity id = { 0 };
	struct err err;
	struct rig r;
	char line[512];
	unsigned lines = 0, fine = 0;
	FILE *f;

	setup(&r);
	add_volume(&r, "dc-web01", "sda", &key);
	secret_destroy(&key);
	enrol(&r, PKI_HV, "dc-web01", &id);
	check_eq(call(&r, &id, json_pack("{s:s, s:s}", "do", "key", "volume", "sda"), &err), 0);
	check_eq(call(&r, &id, json_pack("{s:s, s:s}", "do", "key", "volume", "a\"b\nc"), &err), -EINVAL);
	f = fopen(r.audit, "r");
	CU_ASSERT_FATAL(f != NULL);
	while (fgets(line, sizeof line, f)) {
		json_t *o = json_loads(line, 0, NULL);
		const char *verb = json_string_value(json_object_get(o, "verb")), *who = json_string_value(json_object_get(o, "who"));

		lines++;
		check(o && who && !strcmp(who, "hv/dc-web01"));
		fine += verb && !strcmp(verb, "key") && !strcmp(json_string_value(json_object_get(o, "result")), "ok") &&
			!strcmp(json_string_value(json_object_get(o, "volume")), "sda");
		json_decref(o);
	}
	fclose(f);
	check_eq(lines, 3);
	check_eq(fine, 1);
	identity_drop(&id);
	(void)drop(&r);
}

static int dial(struct rig *r)
{
	struct addrinfo *list;
	int fd;

	CU_ASSERT_FATAL(!socket_resolve(where(r), false, &list, NULL));
	CU_ASSERT_FATAL(!socket_connect(list, &fd, NULL));
	freeaddrinfo(list);
	return fd;
}

/* More silent connections than there are places: who comes in earnest gets one. */
static void makes_room(void)
{
	struct identity id = { 0 }, other = { 0 };
	struct service_counters count;
	struct lmaclient *kept;
	struct err err;
	struct rig r;
	int fd[40];

	setup(&r);
	enrol(&r, PKI_HV, "dc-web01", &id);
	CU_ASSERT_FATAL(!lmaclient_open(where(&r), &id, NULL, &kept, &err));
	for (int i = 0; i < 40; i++)
		fd[i] = dial(&r);
	enrol(&r, PKI_HV, "dc-web02", &other);
	check_eq(call(&r, &other, json_pack("{s:s}", "do", "ping"), &err), 0);
	lmaclient_close(kept);
	for (int i = 0; i < 40; i++)
		close(fd[i]);
	identity_drop(&id);
	identity_drop(&other);
	count = drop(&r);
	check(count.evicted >= 24);
	check_eq(count.refused_full, 0);
}

/* All places taken by peers with certificates: no more, and they go on. */
static void refuses_when_full(void)
{
	struct lmaclient *client[16] = { NULL }, *more;
	struct identity id = { 0 };
	struct err err;
	struct rig r;
	json_t *ok;

	setup(&r);
	enrol(&r, PKI_HV, "dc-web01", &id);
	for (int i = 0; i < 16; i++) {
		CU_ASSERT_FATAL(!lmaclient_open(where(&r), &id, NULL, &client[i], &err));
		/* the service knows its certificate only when it has read the end of the handshake */
		check_eq(lmaclient_call(client[i], json_pack("{s:s}", "do", "ping"), &ok, &err), 0);
		json_decref(ok);
	}
	check(lmaclient_open(where(&r), &id, NULL, &more, &err) < 0);
	check_eq(lmaclient_call(client[0], json_pack("{s:s}", "do", "ping"), &ok, &err), 0);
	json_decref(ok);
	for (int i = 0; i < 16; i++)
		lmaclient_close(client[i]);
	identity_drop(&id);
	check_eq(drop(&r).refused_full, 1);
}

/* Guesses sent ahead on one connection are not heard: one guess a connection, and each waits. */
static void hears_one_guess(void)
{
	struct identity id = { 0 };
	struct service_counters count;
	struct lmaclient *client;
	struct err err;
	struct rig r;
	json_t *ok;

	setup(&r);
	id.ca = ca_cert(r.pki.ca);
	CU_ASSERT_FATAL(!lmaclient_open(where(&r), &id, NULL, &client, &err));
	check_eq(lmaclient_call(client, json_pack("{s:s, s:s, s:s}", "do", "enrol", "token", "x", "csr", "x"), &ok, &err), -EINVAL);
	check(lmaclient_call(client, json_pack("{s:s, s:s, s:s}", "do", "enrol", "token", "x", "csr", "x"), &ok, &err) != -EINVAL);
	lmaclient_close(client);
	count = drop(&r);
	check_eq(count.enrol_refused, 1);
}

static const struct test tests[] = {
	{ "hands out a list of any length", hands_out_a_long_list },
	{ "is refused when it is on the list", is_refused_when_it_is_on_the_list },
	{ "hands out keys", hands_out_keys },
	{ "needs certificates", needs_certificates },
	{ "tells roles apart", tells_roles_apart },
	{ "renews and revokes", renews_and_revokes },
	{ "survives its own revocation", survives_its_own_revocation },
	{ "revokes at once", revokes_at_once },
	{ "refuses strange certificates", refuses_strange_certificates },
	{ "knows when to renew", knows_when_to_renew },
	{ "writes the log", writes_the_log },
	{ "makes room", makes_room },
	{ "refuses when full", refuses_when_full },
	{ "hears one guess", hears_one_guess },
	{ NULL },
};
const struct suite suite_lma_service = { tests };
