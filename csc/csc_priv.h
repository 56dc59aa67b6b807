/* SPDX-License-Identifier: Apache-2.0 */
/* The relay's inside: connections in TLS (conn.c), calls (call.c), pairs (relayed.c); parked ones are parking.c's. */
#pragma once
#include <openssl/ssl.h>
#include "crypto/pki/ticket.h"
#include "csc/csc.h"
#include "csc/parking.h"
#include "csc/splice.h"
#include "lib/link/link.h"

struct csc {
	struct loop *loop;
	struct csc_config config;
	SSL_CTX *tls;
	X509 *ca;
	X509_CRL *crl;			/* NULL: none */
	struct pki_id id;		/* we */
	struct ticket_spent *spent;
	struct parking *parking;
	struct pipes *pipes;
	struct loop_watch *watch;	/* of the listening socket; rests while all places are taken */
	struct loop_timer *retry;	/* listening again */
	struct loop_timer *trim;	/* gives back what handshakes left */
	bool trimming;
	int fd;
	char address[300];
	time_t since;
	struct conn *conns, **end;	/* oldest first */
	unsigned conn_count;
	struct conn *waiting, **waiting_end;	/* calls for servers that are not parked; first come, first served */
	unsigned waiting_count;
	struct relayed *relayed;
	unsigned relayed_count;
	struct csc_counters count;
};

enum conn_state { CONN_NEW, CONN_WAITING, CONN_PARKS, CONN_CALLS, CONN_REFUSED };	/* the last three: leaving TLS */

struct conn {
	struct csc *csc;
	struct conn *next, **link_;	/* in csc.conns */
	struct conn *wait_next, **wait_link;	/* in csc.waiting, while CONN_WAITING */
	struct link *link;
	struct loop_timer *late;
	enum conn_state state;
	bool known;			/* the peer showed a certificate */
	struct pki_id id;
	char serial[PKI_SERIAL_TEXT];
	uint64_t since_ns;		/* when we began to wait for what it has to do next */
	json_int_t request;
	char server[PKI_NAME_MAX + 1], nic[PARKING_NIC];
	struct parked parked;		/* CONN_CALLS: whom it will be joined with; else fd is -1 */
};

/* ---- conn.c. fd is the connection's from now on. */
int csc_conn_create(struct csc *csc, int fd, struct err *err) must_check;
void csc_conn_free(struct conn *conn);	/* what it held for itself goes back */
/* The answer, and the end of our side of TLS. code 0: ok. The connection may be gone afterwards. */
void csc_conn_leave(struct conn *conn, enum conn_state state, int code, const char *text);
void csc_conn_arm(struct conn *conn, uint32_t seconds);

/* ---- call.c */
void call_begin(struct conn *conn, const json_t *request);	/* answers now or later */
void call_give_up(struct conn *conn);		/* nobody came */
void call_unwait(struct conn *conn);
void call_serve(struct csc *csc);		/* somebody parked: joins who waits */

/* ---- relayed.c */
struct relayed {
	struct csc *csc;
	struct relayed *next, **link_;
	struct splice *splice;
	struct pki_id caller;
	struct parked parked;		/* fd is the splice's */
	char serial[PKI_SERIAL_TEXT];	/* the caller's */
	time_t since;
};
/* fd: the caller's, the relayed's from now on. */
void relayed_create(struct conn *conn, int fd);
void relayed_free(struct relayed *r);
