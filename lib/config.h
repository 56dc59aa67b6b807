/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files: lines of `key = value`, `#` starts a comment, keys are dotted words ([a-z0-9._-]), values run to
 * the end of the line with surrounding blanks removed. A key may stand once. Files of more than 1 MiB are refused.
 * Used for a placement (docs/placement.md) and for the programs' own settings.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "lib/err.h"

struct config;

/* Errors name file, line and what is wrong. */
int config_read(const char *path, struct config **config, struct err *err) must_check;
int config_parse(const char *name, const char *text, size_t len, struct config **config, struct err *err) must_check;
int config_create(struct config **config) must_check;	/* empty */
void config_free(struct config *config);
/* Set or replace (command-line options over the file). */
int config_set(struct config *config, const char *key, const char *value, struct err *err) must_check;
/* The value, owned by config, or NULL. Marks the key as known. */
const char *config_get(struct config *config, const char *key);
/* The first key that nobody asked for (a typing error), with its line (0: command line); NULL when there is none. */
const char *config_unknown(const struct config *config, unsigned *line);
/* i-th key in file order, or NULL past the end. */
const char *config_key(const struct config *config, size_t i);
