/* SPDX-License-Identifier: Apache-2.0 */
/* The service's inside: its parts, its connections, its verbs. */
#pragma once
#include <jansson.h>
#include <sys/stat.h>
#include "crypto/pki/ca.h"
#include "lib/link/link.h"
#include "lma/audit.h"
#include "lma/service.h"

struct service {
	struct loop *loop;
	struct keystore *ks;
	struct ca *ca;
	SSL_CTX *tls;
	struct service_config config;
	struct audit *audit;
	char *crl;			/* the revocation list as of then, PEM */
	size_t crl_len;
	unsigned crl_edition;		/* which one it is, for those who get it in pieces */
	struct stat seen;		/* the store's file when it was last read */
	struct loop_watch *watch;	/* of the listening socket; NULL while there are no descriptors */
	struct loop_timer *renew;	/* our own certificate and list; old records are forgotten then */
	struct loop_timer *retry;	/* listening again */
	int fd;
	char address[300];
	struct conn *conns, **end;	/* oldest first */
	unsigned conn_count;
	struct service_counters count;
};

struct conn {
	struct service *service;
	struct conn *next, **link_;	/* in service.conns */
	struct link *link;
	struct loop_timer *delay;	/* of an answer that is held back */
	json_t *held;
	bool deaf;			/* it got its last answer */
	X509 *cert;			/* the peer's, the link's reference; NULL: none */
	struct pki_id id;		/* the peer, with cert */
};

/* fd is the connection's from now on. */
int conn_create(struct service *service, int fd, struct err *err) must_check;
void conn_free(struct conn *conn);
/* The store may have changed under us: read it again before it is asked. */
int service_fresh(struct service *service, struct err *err) must_check;

/* What an answer is made from. */
struct reply {
	json_t *ok;
	bool delay;			/* hold it back, then end the connection */
};
/* Finds and does the verb. err->text is for the peer. */
int verb_run(struct conn *conn, const char *verb, const json_t *request, struct reply *reply, struct err *err) must_check;
