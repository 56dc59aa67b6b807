/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log: one line of JSON for each privileged act, who, what, when, and how it ended. Append only; lines of acts that
 * hand out something are on the medium before it goes out.
 */
#pragma once
#include <stdbool.h>
#include "crypto/pki/cert.h"

struct audit;

struct audit_act {
	const char *peer;		/* address */
	const struct pki_id *who;	/* NULL: nobody yet */
	const char *verb;
	const char *serial;		/* of the certificate issued; NULL: none */
	const char *server, *volume;	/* NULL: has none; what is no name is not repeated */
	const char *caller;		/* ROLE/NAME that a ticket is for, when it is not the asker */
	const char *nic, *relay;	/* of a ticket */
	unsigned count;			/* of tickets; 0: none */
	const char *result;		/* "ok" or an error's name */
	bool sync;
};

int audit_open(const char *path, struct audit **audit, struct err *err) must_check;
int audit_reopen(struct audit *audit, struct err *err) must_check;	/* after the file was moved away */
int audit_write(struct audit *audit, const struct audit_act *act, struct err *err) must_check;
/* Acts of strangers: a few a second, with the number of those left out ("held"). */
void audit_write_stranger(struct audit *audit, const struct audit_act *act);
void audit_close(struct audit *audit);	/* NULL is fine */
