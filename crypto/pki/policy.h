/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may call whom: which servers a gateway serves, as records of the key store beside the authority's (docs/pki.md), and the
 * tickets that follow from them. One thread per store.
 */
#pragma once
#include "crypto/pki/ca.h"
#include "crypto/pki/ticket.h"

/*
 * caller (lcg) may have tickets for callee (hv), from the next one on, or no more. Each is one transaction. -EEXIST: it may
 * already; -ENOENT: it may not; -EINVAL: other roles.
 */
int policy_allow(struct ca *ca, const struct pki_id *caller, const struct pki_id *callee, time_t now, struct err *err) must_check;
int policy_deny(struct ca *ca, const struct pki_id *caller, const struct pki_id *callee, struct err *err) must_check;
/* -EPERM: it may not. */
int policy_check(struct ca *ca, const struct pki_id *caller, const struct pki_id *callee, struct err *err) must_check;

struct policy_entry { struct pki_id caller, callee; time_t since; };
/* In order of callers, then callees. A nonzero return ends the walk. */
int policy_walk(struct ca *ca, int (*fn)(void *ctx, const struct policy_entry *e), void *ctx, struct err *err) must_check;

/*
 * Signs t, whose caller, callee, nic and relay are set, when asker may have it: a gateway for itself, or for two servers that it
 * serves both. -EPERM.
 */
int policy_ticket(struct ca *ca, const struct pki_id *asker, struct ticket *t, uint32_t life_s, time_t now,
	char text[TICKET_TEXT], struct err *err) must_check;
