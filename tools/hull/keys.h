/* SPDX-License-Identifier: Apache-2.0 */
/* Between keys.c (the table, slots), keys_tree.c (servers, volumes, export) and keys_print.c. */
#pragma once
#include "crypto/keystore.h"
#include "tools/hull/hull.h"

/* What the command line says; argv[1…count] is cut down to the plain arguments. */
struct keys_call {
	const char *unlock, *fresh, *output;	/* --unlock, --new, --output; NULL: not given */
	bool json, yes;
	char **argv;
};

enum { KEYS_UNLOCK = 1, KEYS_NEW = 2, KEYS_OUTPUT = 4, KEYS_JSON = 8, KEYS_YES = 16 };

/* Options of `allowed`, and exactly `count` plain arguments. False after a message. */
bool keys_call_parse(const struct command *c, int argc, char **argv, unsigned allowed, int count,
	struct keys_call *call) must_check;
/* Open the store that argv[1] names. NULL after a message. */
struct keystore *keys_open(const struct keys_call *call);
/* "[y/N]" on the terminal. */
bool keys_confirm(const char *question);

int keys_run_list(const struct command *c, int argc, char **argv);
int keys_run_slots(const struct command *c, int argc, char **argv);
int keys_run_server_add(const struct command *c, int argc, char **argv);
int keys_run_server_remove(const struct command *c, int argc, char **argv);
int keys_run_volume_add(const struct command *c, int argc, char **argv);
int keys_run_volume_remove(const struct command *c, int argc, char **argv);
int keys_run_export(const struct command *c, int argc, char **argv);
