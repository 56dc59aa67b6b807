/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of a run, as JSON. */
#pragma once
#include "lib/err.h"

struct machine;

/* Write atomically: a new file is renamed over path. docs/man/hull-hv.1 lists the members. */
int stats_write(const struct machine *m, const char *path, struct err *err) must_check;
