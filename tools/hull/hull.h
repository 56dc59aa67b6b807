/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one entry a command, found by its words. Exit status: 0 fine, 1 different (diff), 2 trouble. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "lib/env/env.h"

enum { HULL_OK = 0, HULL_DIFFERENT = 1, HULL_TROUBLE = 2 };

struct command {
	const char *words;	/* "env check" */
	const char *arguments;	/* "FILE…" */
	const char *summary;	/* one line; NULL: for other programs, not listed */
	const char *help;	/* more lines, NULL: none */
	int (*run)(const struct command *self, int argc, char **argv);	/* argv[0] is the last word */
};

extern const struct command env_commands[], volume_commands[], keys_commands[], pki_commands[],
	server_commands[], gateway_commands[], join_commands[], relay_commands[];	/* end with NULL words */

/* Print how a command is called on standard error; returns HULL_TROUBLE. */
int command_usage(const struct command *c);
/* Print a message on standard error with the program's name; returns HULL_TROUBLE. */
int command_fail(const char *fmt, ...) printf_like(1, 2);

/*
 * Cut --json (when json is not NULL) out of the arguments and refuse other options; "--" ends them.
 * Returns how many arguments are left in argv[1…], or -1 after a message.
 */
int command_arguments(const struct command *c, int argc, char **argv, bool *json) must_check;

/* Load a .dtb, or compile and load a .dts (by its ending). */
int file_load(const char *path, struct env **env, struct err *err) must_check;
/* Replace path with data as a whole: it has the old or the new content, never a part. */
int file_replace(const char *path, const void *data, size_t len, struct err *err) must_check;

/* The environment as JSON, with every default filled in; NULL when out of memory. The caller's reference. */
json_t *env_to_json(const struct env *env);
void env_print(const struct env *env);
