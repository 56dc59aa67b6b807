/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of a run, as JSON. */
#pragma once
#include <jansson.h>
#include "lib/err.h"

struct machine;

/* Write atomically: a new file is renamed over path. docs/man/hull-hv.1 lists the members. */
int stats_write(const struct machine *m, const char *path, struct err *err) must_check;
/* Exits by kind, of all vCPUs; NULL when out of memory. */
json_t *stats_exits(const struct machine *m);
