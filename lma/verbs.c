/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer may ask, and who may. Each verb reads its own fields; unknown fields are not looked at. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "crypto/pki/policy.h"
#include "lib/base64.h"
#include "lib/bits.h"
#include "lib/ctl.h"
#include "lib/log.h"
#include "lib/scope.h"
#include "lib/version.h"
#include "lma/service_priv.h"

enum { ANYBODY = BIT(PKI_ROLES) - 1 };

struct verb {
	const char *name;
	unsigned roles;		/* bits; whose certificate is needed */
	bool stranger;		/* no certificate is needed */
	int (*run)(struct conn *conn, const json_t *request, struct reply *reply, struct err *err);
};

enum { CRL_PIECE = 32768 };	/* of a message's 64 KiB: as JSON it is longer */
enum { TICKETS_MAX = 16 };	/* of one request */

static const char *text_of(const json_t *request, const char *field)
{
	return json_string_value(json_object_get(request, field));
}

static struct audit_act act_of(struct conn *conn, const char *verb, int rc)
{
	return (struct audit_act){ .peer = link_peer(conn->link), .who = conn->cert ? &conn->id : NULL, .verb = verb,
		.result = rc ? ctl_code_name(rc) : "ok" };
}

/* A log that can't be written stops what it should have told of. */
static int audit(struct conn *conn, const struct audit_act *act, int rc, struct err *err)
{
	struct err why;

	if (!audit_write(conn->service->audit, act, &why))
		return rc;
	log_limited(LOG_ERROR, "%s", why.text);
	conn->service->count.audit_failed++;
	return rc ? rc : err_set(err, -EIO, "refused: the audit log cannot be written");
}

static int answer_cert(struct conn *conn, X509 *cert, struct reply *reply, struct err *err)
{
	auto_free char *pem = NULL, *ca = NULL;

	if (!cert_text(cert, &pem) && !cert_text(ca_cert(conn->service->ca), &ca))
		reply->ok = json_pack("{s:s, s:s}", "certificate", pem, "ca", ca);
	return reply->ok ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int run_enrol(struct conn *conn, const json_t *request, struct reply *reply, struct err *err)
{
	struct service *s = conn->service;
	const char *text = text_of(request, "token"), *csr = text_of(request, "csr");
	struct token *token = secret_alloc(sizeof *token);
	char serial[PKI_SERIAL_TEXT] = "";
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	struct pki_id id;
	struct audit_act act;
	int rc;

	if (!token)
		return secret_refused(err, -errno);
	rc = text && csr ? token_parse(text, strlen(text), token, err) : err_set(err, -EINVAL, "enrol: needs \"token\" and \"csr\"");
	if (!rc)
		rc = cert_request_parse(csr, strlen(csr), &key, err);
	if (!rc)
		rc = ca_enrol(s->ca, token, key, s->config.cert_life_s, time(NULL), &id, &cert, err);
	act = act_of(conn, "enrol", rc);
	if (rc == -EBUSY) {
		;	/* nothing is decided yet */
	} else if (rc) {
		s->count.enrol_refused++;
		reply->delay = true;
		audit_write_stranger(s->audit, &act);
	} else {
		s->count.enrolled++;
		cert_serial(cert, serial);
		act.who = &id;
		act.serial = serial;
		act.sync = true;
		rc = audit(conn, &act, 0, err);
	}
	if (!rc)
		rc = answer_cert(conn, cert, reply, err);
	secret_free(token);
	EVP_PKEY_free(key);
	X509_free(cert);
	return rc;
}

static int run_renew(struct conn *conn, const json_t *request, struct reply *reply, struct err *err)
{
	struct service *s = conn->service;
	const char *csr = text_of(request, "csr");
	char serial[PKI_SERIAL_TEXT] = "";
	struct audit_act act;
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int rc = csr ? cert_request_parse(csr, strlen(csr), &key, err) : err_set(err, -EINVAL, "renew: needs \"csr\"");

	if (!rc)
		rc = ca_renew(s->ca, conn->cert, key, s->config.cert_life_s, time(NULL), &cert, err);
	act = act_of(conn, "renew", rc);
	if (rc) {
		s->count.renew_refused += rc != -EBUSY;
	} else {
		s->count.renewed++;
		cert_serial(cert, serial);
		act.serial = serial;
		act.sync = true;
	}
	if (rc != -EBUSY)
		rc = audit(conn, &act, rc, err);
	if (!rc)
		rc = answer_cert(conn, cert, reply, err);
	EVP_PKEY_free(key);
	X509_free(cert);
	return rc;
}

static int find_key(struct conn *conn, const char *server, const char *volume, struct secret *key, struct err *err)
{
	struct service *s = conn->service;
	struct pki_id id;
	int rc;

	if (!volume)
		return err_set(err, -EINVAL, "key: needs \"volume\"");
	rc = pki_name_check(volume, err);
	if (rc)
		return rc;
	/* the handshake may be long ago */
	rc = ca_check(s->ca, conn->cert, time(NULL), &id, err);
	if (rc)
		return rc;
	if (strcmp(server, conn->id.name))
		return err_set(err, -EPERM, "key: %s/%s gets the keys of its own server only", pki_role_name(conn->id.role), conn->id.name);
	rc = keystore_volume_key(s->ks, server, volume, key, err);
	return rc == -ENOENT ? err_set(err, rc, "key: the store has none for volume %s of server %s", volume, server) : rc;
}

static int answer_key(const struct secret *key, struct reply *reply, struct err *err)
{
	char *text = secret_alloc(BASE64_TEXT(key->len));

	if (text) {
		base64_encode(key->data, key->len, text);
		reply->ok = json_pack("{s:s}", "key", text);
	}
	secret_free(text);
	return reply->ok ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int run_key(struct conn *conn, const json_t *request, struct reply *reply, struct err *err)
{
	struct service *s = conn->service;
	const char *server = text_of(request, "server"), *volume = text_of(request, "volume");
	struct secret key = { 0 };
	struct audit_act act;
	int rc;

	server = server ? server : conn->id.name;
	rc = find_key(conn, server, volume, &key, err);
	act = act_of(conn, "key", rc);
	act.server = server;
	act.volume = volume;
	act.sync = !rc;
	if (rc)
		s->count.key_refused++;
	rc = audit(conn, &act, rc, err);
	if (!rc)
		rc = answer_key(&key, reply, err);
	s->count.keys += !rc;
	secret_destroy(&key);
	return rc;
}

/* ---- tickets */

/* "caller": ROLE/NAME; by default the asker. */
static int read_caller(struct conn *conn, const char *text, struct pki_id *id, struct err *err)
{
	char uri[64 + PKI_NAME_MAX];
	int len;

	*id = conn->id;
	len = text ? snprintf(uri, sizeof uri, "hull://%s", text) : 0;
	if (len >= (int)sizeof uri || (len && pki_id_parse(uri, (size_t)len, id, NULL)))
		return err_set(err, -EINVAL, "ticket: \"caller\" is not ROLE/NAME");
	return 0;
}

static int read_names(const json_t *request, struct ticket *t, struct err *err)
{
	const char *callee = text_of(request, "callee"), *nic = text_of(request, "nic"), *relay = text_of(request, "relay");

	if (!callee || !nic)
		return err_set(err, -EINVAL, "ticket: needs \"callee\" and \"nic\"");
	if (pki_name_check(callee, err) || pki_name_check(nic, err) || (relay && *relay && pki_name_check(relay, err)))
		return -EINVAL;
	if (strlen(nic) >= sizeof t->nic)
		return err_set(err, -EINVAL, "ticket: \"nic\" has more than %zu characters", sizeof t->nic - 1);
	t->callee.role = PKI_HV;
	strcpy(t->callee.name, callee);
	strcpy(t->nic, nic);
	strcpy(t->relay, relay ? relay : "");
	return 0;
}

static int make_tickets(struct conn *conn, const json_t *request, struct ticket *t, unsigned *count, json_t *list, struct err *err)
{
	const json_t *n = json_object_get(request, "count");
	char text[TICKET_TEXT];
	struct pki_id id;
	int rc;

	if (n && (!json_is_integer(n) || json_integer_value(n) < 1 || json_integer_value(n) > TICKETS_MAX))
		return err_set(err, -EINVAL, "ticket: \"count\" is not 1 to %d", TICKETS_MAX);
	*count = n ? (unsigned)json_integer_value(n) : 1;
	rc = read_names(request, t, err);
	/* the handshake may be long ago */
	if (!rc)
		rc = ca_check(conn->service->ca, conn->cert, time(NULL), &id, err);
	for (unsigned i = 0; !rc && i < *count; i++) {
		rc = policy_ticket(conn->service->ca, &id, t, TICKET_LIFE_S, time(NULL), text, err);
		if (!rc && json_array_append_new(list, json_string(text)))
			rc = err_set(err, -ENOMEM, "out of memory");
	}
	return rc;
}

static int run_ticket(struct conn *conn, const json_t *request, struct reply *reply, struct err *err)
{
	struct service *s = conn->service;
	const char *caller = text_of(request, "caller");
	json_t *list = json_array();
	struct ticket t = { 0 };
	struct audit_act act;
	unsigned count = 0;
	int rc = read_caller(conn, caller, &t.caller, err);

	caller = rc ? "(not a name)" : caller;
	if (!rc)
		rc = list ? make_tickets(conn, request, &t, &count, list, err) : err_set(err, -ENOMEM, "out of memory");
	act = act_of(conn, "ticket", rc);
	act.server = text_of(request, "callee");
	act.nic = text_of(request, "nic");
	act.relay = text_of(request, "relay");
	act.caller = caller;
	act.count = count;
	act.sync = !rc;
	s->count.ticket_refused += !!rc;
	rc = audit(conn, &act, rc, err);
	if (!rc) {
		reply->ok = json_pack("{s:O, s:I}", "tickets", list, "life", (json_int_t)TICKET_LIFE_S);
		rc = reply->ok ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	s->count.tickets += rc ? 0 : count;
	json_decref(list);
	return rc;
}

static int run_crl(struct conn *conn, const json_t *request, struct reply *reply, struct err *err)
{
	const struct service *s = conn->service;
	const json_t *field = json_object_get(request, "from");
	json_int_t from = json_integer_value(field);
	size_t len;

	if (from < 0 || (size_t)from > s->crl_len || (field && !json_is_integer(field)))
		return err_set(err, -EINVAL, "crl: \"from\" is not 0 to the list's size");
	len = s->crl_len - (size_t)from < CRL_PIECE ? s->crl_len - (size_t)from : CRL_PIECE;
	reply->ok = json_pack("{s:s%, s:I, s:I}", "crl", s->crl + from, len, "size", (json_int_t)s->crl_len, "edition",
		(json_int_t)s->crl_edition);
	return reply->ok ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int run_ping(struct conn *conn, const json_t *request, struct reply *reply, struct err *err)
{
	reply->ok = json_pack("{s:s, s:s, s:I}", "name", conn->service->config.name, "version", HULL_VERSION, "time",
		(json_int_t)time(NULL));
	return reply->ok ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static const struct verb verbs[] = {
	{ "enrol", 0, true, run_enrol },
	{ "renew", BIT(PKI_LCG) | BIT(PKI_CSC) | BIT(PKI_HV), false, run_renew },
	{ "key", BIT(PKI_HV), false, run_key },
	{ "ticket", BIT(PKI_LCG), false, run_ticket },
	{ "crl", ANYBODY, false, run_crl },
	{ "ping", ANYBODY, false, run_ping },
};

static int may(struct conn *conn, const struct verb *v, struct err *err)
{
	if (v->stranger)
		return 0;
	if (!conn->cert)
		return err_set(err, -EACCES, "%s: needs a certificate; `hull pki token` makes the token for one", v->name);
	if (v->roles & BIT(conn->id.role))
		return 0;
	return err_set(err, -EPERM, "%s: is not for %s", v->name, pki_role_name(conn->id.role));
}

/* Reasons of our own are for our log. */
static bool for_the_peer(int rc)
{
	switch (-rc) {
	case EPERM: case EACCES: case EINVAL: case ENOENT: case EKEYEXPIRED: case EKEYREVOKED: case EKEYREJECTED: case ENOSYS: return true;
	default: return false;
	}
}

/* What the peer is told when it is not one of its own mistakes. */
static int ours(struct conn *conn, const struct verb *v, int rc, struct err *err)
{
	struct service *s = conn->service;

	if (rc == -EBUSY) {
		s->count.busy++;
		return err_set(err, -EAGAIN, "%s: the key store is being changed by another program; ask again", v->name);
	}
	s->count.internal++;
	log_limited(LOG_ERROR, "%s for %s: %s", v->name, link_peer(conn->link), err->text);
	return err_set(err, -EIO, "%s: failed; the management application's log says why", v->name);
}

int verb_run(struct conn *conn, const char *name, const json_t *request, struct reply *reply, struct err *err)
{
	struct service *s = conn->service;
	const struct verb *v = NULL;
	int rc;

	for (size_t i = 0; i < array_len(verbs) && !v; i++)
		v = strcmp(verbs[i].name, name) ? NULL : &verbs[i];
	if (!v) {
		s->count.unknown_verb++;
		return err_set(err, -ENOSYS, "no verb of that name");
	}
	rc = may(conn, v, err);
	if (rc) {
		s->count.denied++;
		return rc;
	}
	rc = service_fresh(s, err);
	if (rc)
		return ours(conn, v, rc, err);	/* whatever it is, it is nothing the peer did */
	rc = v->run(conn, request, reply, err);
	return rc && !for_the_peer(rc) ? ours(conn, v, rc, err) : rc;
}
