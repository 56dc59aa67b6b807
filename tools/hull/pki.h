/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands `hull pki …` share. */
#pragma once
#include "crypto/identity.h"
#include "crypto/pki/ca.h"
#include "tools/hull/hull.h"

/* Options, as bits: each command names those it takes. */
enum {
	PKI_O_UNLOCK = 1, PKI_O_ROLE = 2, PKI_O_NAME = 4, PKI_O_TTL = 8, PKI_O_LIFE = 16, PKI_O_OUTPUT = 32, PKI_O_CSR = 64,
		PKI_O_LMA = 128,
	PKI_O_TOKEN = 256, PKI_O_DIR = 512, PKI_O_JSON = 1024, PKI_O_IF_DUE = 2048,
};

struct pki_call {
	char **argv;		/* words from [1] */
	const char *unlock, *role, *name, *ttl, *life, *output, *csr, *lma, *token, *dir;
	bool json, if_due;
};

/* False after a message: an unknown option, one of `needed` missing, or not `count` words. */
bool pki_call_parse(const struct command *c, int argc, char **argv, unsigned allowed, unsigned needed, int count,
	struct pki_call *call);

int pki_run_enrol(const struct command *c, int argc, char **argv);
int pki_run_renew(const struct command *c, int argc, char **argv);
int pki_run_list(const struct command *c, int argc, char **argv);
/* The store of argv[1] and its authority; false after a message. */
bool pki_open(const struct pki_call *call, struct keystore **ks, struct ca **ca);
