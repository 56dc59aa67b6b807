/* SPDX-License-Identifier: Apache-2.0 */
/* The service on a loop of its own thread, and clients of it. */
#pragma once
#include <jansson.h>
#include <pthread.h>
#include "crypto/lmaclient.h"
#include "lma/service.h"
#include "tests/unit/crypto/pki/pki_rig.h"

struct rig {
	struct pki_rig pki;
	struct loop *loop;
	struct keystore *ks;
	struct service *service;
	pthread_t thread;
	char audit[512];
};

static inline void *run(void *ctx)
{
	struct rig *r = ctx;

	return (void *)(intptr_t)loop_run(r->loop);
}

static inline void setup_life(struct rig *r, uint32_t life_s)
{
	struct service_config c = { .listen = "127.0.0.1:0", .name = "lma", .cert_life_s = life_s, .handshake_s = 5,
		.idle_s = 5, .refuse_ms = 10,
		.connections = 16 };
	struct err err = { .text = "" };

	rig_setup(&r->pki);
	r->pki.now = time(NULL);
	ca_free(r->pki.ca);
	keystore_close(r->pki.ks);
	unlink(r->pki.path);
	r->pki.ks = rig_open_store(r->pki.path, true);
	CU_ASSERT_FATAL(!ca_create(r->pki.ks, r->pki.now, NULL) && !ca_open(r->pki.ks, &r->pki.ca, NULL));
	snprintf(r->audit, sizeof r->audit, "%s.audit", r->pki.path);
	c.store = r->pki.path;
	c.audit = r->audit;
	r->ks = rig_open_store(r->pki.path, false);
	CU_ASSERT_FATAL(!loop_create(&r->loop, NULL));
	if (service_create(r->loop, r->ks, &c, &r->service, &err))
		suite_note("%s", err.text);
	CU_ASSERT_FATAL(r->service != NULL);
	CU_ASSERT_FATAL(!pthread_create(&r->thread, NULL, run, r));
}

static inline void setup(struct rig *r)
{
	setup_life(r, CA_LIFE_S);
}

/* Counters are read when the loop has stopped. */
static inline struct service_counters drop(struct rig *r)
{
	struct service_counters count;

	loop_stop(r->loop);
	pthread_join(r->thread, NULL);
	count = *service_counters(r->service);
	service_free(r->service);
	loop_free(r->loop);
	keystore_close(r->ks);
	unlink(r->audit);
	rig_drop(&r->pki);
	return count;
}

static inline const char *where(const struct rig *r)
{
	return service_address(r->service);
}

/* What is answered; the caller's reference. */
static inline int ask(struct rig *r, const struct identity *id, json_t *request, json_t **ok, struct err *err)
{
	struct lmaclient *client;
	int rc = lmaclient_open(where(r), id, NULL, &client, err);

	*ok = NULL;

	if (rc) {
		json_decref(request);
		return rc;
	}
	rc = lmaclient_call(client, request, ok, err);
	lmaclient_close(client);
	return rc;
}

static inline int call(struct rig *r, const struct identity *id, json_t *request, struct err *err)
{
	json_t *ok;
	int rc = ask(r, id, request, &ok, err);

	json_decref(ok);
	return rc;
}

static inline void enrol(struct rig *r, enum pki_role role, const char *name, struct identity *id)
{
	struct err err = { .text = "" };
	struct token token;
	int rc;

	rig_token(&r->pki, role, name, 60, &token);
	rc = identity_enrol(where(r), &token, id, &err);
	if (rc)
		suite_note("%s", err.text);
	CU_ASSERT_FATAL(!rc);
}
