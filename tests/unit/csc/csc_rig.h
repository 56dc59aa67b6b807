/* SPDX-License-Identifier: Apache-2.0 */
/* A relay and its clients on one loop, with an authority of their own. */
#pragma once
#include <errno.h>
#include "crypto/pki/ticket.h"
#include "crypto/tls.h"
#include "csc/csc.h"
#include "lib/link/relay.h"
#include "tests/unit/crypto/pki/pki_rig.h"
#include "tests/unit/csc/loop_rig.h"

struct csc_rig {
	struct pki_rig pki;
	struct loop *loop;
	struct csc *csc;
	struct identity id;	/* the relay's */
};

/* One who asks the relay for something. */
struct asker { struct csc_rig *rig; SSL_CTX *tls; struct relay_client *client; bool done; int fd; struct err why; };

static inline void csc_rig_time(struct pki_rig *r)
{
	rig_setup(r);
	ca_free(r->ca);
	keystore_close(r->ks);
	unlink(r->path);
	r->now = time(NULL);
	r->ks = rig_open_store(r->path, true);
	CU_ASSERT_FATAL(!ca_create(r->ks, r->now, NULL) && !ca_open(r->ks, &r->ca, NULL));
}

static inline struct identity csc_rig_identity(struct pki_rig *r, enum pki_role role, const char *name)
{
	struct identity id = { .ca = ca_cert(r->ca), .key = rig_key() };

	X509_up_ref(id.ca);
	id.cert = rig_cert(r, role, name, id.key);
	return id;
}

static inline struct csc_config csc_rig_config(void)
{
	return (struct csc_config){ .listen = "127.0.0.1:0", .handshake_s = 5, .wait_s = 1, .dead_s = 60, .grace_ms = 1000,
		.connections = 64, .parked = 100, .per_server = 16, .relayed = 50, .tickets = 1000 };
}

static inline void csc_rig_setup(struct csc_rig *r, const struct csc_config *config)
{
	struct err err = { .text = "" };

	*r = (struct csc_rig){ 0 };
	signal(SIGPIPE, SIG_IGN);
	csc_rig_time(&r->pki);
	r->id = csc_rig_identity(&r->pki, PKI_CSC, "csc1");
	CU_ASSERT_FATAL(!loop_create(&r->loop, NULL));
	if (csc_create(r->loop, config, &r->id, &r->csc, &err))
		suite_note("%s", err.text);
	CU_ASSERT_FATAL(r->csc != NULL);
}

static inline struct csc_counters csc_rig_drop(struct csc_rig *r)
{
	struct csc_counters count = *csc_counters(r->csc);

	csc_free(r->csc);
	loop_free(r->loop);
	identity_drop(&r->id);
	rig_drop(&r->pki);
	return count;
}

static inline void asker_done(void *ctx, int fd, const struct err *why)
{
	struct asker *a = ctx;

	a->done = true;
	a->client = NULL;
	a->fd = fd;
	a->why = *why;
}

static inline bool asker_is_done(void *ctx) { return ((struct asker *)ctx)->done; }

static inline SSL_CTX *asker_tls(struct pki_rig *pki, enum pki_role role, const char *name, X509 *trust)
{
	struct identity id = csc_rig_identity(pki, role, name);
	struct tls_config c = { .alpn = RELAY_ALPN, .ca = trust, .cert = id.cert, .key = id.key };
	SSL_CTX *tls;

	CU_ASSERT_FATAL(!tls_create(&c, &tls, NULL));
	identity_drop(&id);
	return tls;
}

static inline struct asker asker_of(struct csc_rig *r, enum pki_role role, const char *name)
{
	return (struct asker){ .rig = r, .tls = asker_tls(&r->pki, role, name, ca_cert(r->pki.ca)), .fd = -1 };
}

static inline void asker_drop(struct asker *a)
{
	relay_cancel(a->client);
	if (a->fd >= 0)
		close(a->fd);
	SSL_CTX_free(a->tls);
	*a = (struct asker){ .fd = -1 };
}

static inline void asker_park(struct asker *a, const char *server, const char *nic)
{
	a->done = false;
	CU_ASSERT_FATAL(!relay_park(a->rig->loop, csc_address(a->rig->csc), a->tls, server, nic, asker_done, a, &a->client, &a->why));
}

static inline void asker_call(struct asker *a, const char *ticket)
{
	a->done = false;
	CU_ASSERT_FATAL(!relay_call(a->rig->loop, csc_address(a->rig->csc), a->tls, ticket, asker_done, a, &a->client, &a->why));
}

/* Waits; the code. */
static inline int asker_wait(struct asker *a)
{
	CU_ASSERT_FATAL(loop_until(a->rig->loop, asker_is_done, a));
	return a->why.code;
}

/* A ticket of this authority: caller → callee net0, for relay. */
static inline void csc_rig_ticket_of(struct pki_rig *pki, enum pki_role role, const char *caller, const char *callee, const char *relay,
	time_t now, char text[TICKET_TEXT])
{
	struct ticket t = { .caller.role = role, .callee.role = PKI_HV, .nic = "net0" };
	struct secret der = { 0 };
	const uint8_t *p;
	EVP_PKEY *key;

	strcpy(t.caller.name, caller);
	strcpy(t.callee.name, callee);
	strcpy(t.relay, relay);
	CU_ASSERT_FATAL(!keystore_record_get(pki->ks, "pki/ca.key", &der, NULL));
	p = der.data;
	key = d2i_AutoPrivateKey(NULL, &p, (long)der.len);
	secret_destroy(&der);
	CU_ASSERT_FATAL(key && !ticket_sign(&t, key, TICKET_LIFE_S, now, text, NULL));
	EVP_PKEY_free(key);
}

static inline void csc_rig_ticket(struct pki_rig *pki, const char *caller, const char *callee, const char *relay, time_t now,
	char text[TICKET_TEXT])
{
	csc_rig_ticket_of(pki, PKI_LCG, caller, callee, relay, now, text);
}
