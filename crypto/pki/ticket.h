/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tickets: the management application's word that one program may call another, once and soon. The relay checks the ticket
 * before it connects the two, the called one checks it again after the handshake, against the certificate of who called.
 * A text: base64url(payload) "." base64url(signature); payload is a JSON object (docs/pki.md), the signature is the authority's
 * (ECDSA P-256, SHA-256) over "hull-ticket/1" NUL payload. Any thread; a spent list belongs to one.
 */
#pragma once
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <time.h>
#include "crypto/pki/cert.h"
#include "lib/err.h"

enum { TICKET_TEXT = 1024, TICKET_NONCE = 16, TICKET_LIFE_S = 120, TICKET_LIFE_MAX_S = 600, TICKET_SKEW_S = 60 };

struct ticket {
	struct pki_id caller, callee;
	char nic[32], relay[PKI_NAME_MAX + 1];	/* relay: "" for any and for direct */
	time_t from, until;
	uint8_t nonce[TICKET_NONCE];
};

/* nonce, from and until are set. key: the authority's. */
int ticket_sign(struct ticket *t, EVP_PKEY *key, uint32_t life_s, time_t now, char text[TICKET_TEXT],
	struct err *err) must_check;
/*
 * Signed by ca, and now within its time, give or take TICKET_SKEW_S. -EBADMSG: it is no ticket; -EKEYREJECTED: not that
 * authority's;
 * -EKEYEXPIRED: over, or not yet. The message never repeats the text.
 */
int ticket_verify(const char *text, size_t len, X509 *ca, time_t now, struct ticket *t, struct err *err) must_check;

/*
 * Nonces that were used, until their tickets have expired. At most max; then the tickets that end first are forgotten only
 * when over, else -ENOSPC.
 */
struct ticket_spent;
int ticket_spent_create(unsigned max, struct ticket_spent **spent) must_check;
void ticket_spent_free(struct ticket_spent *spent);
/* -EEXIST: it was used. */
int ticket_spend(struct ticket_spent *spent, const struct ticket *t, time_t now, struct err *err) must_check;
