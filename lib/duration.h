/* SPDX-License-Identifier: Apache-2.0 */
/* Durations as people write them: a number and s, m, h or d; seconds without. */
#pragma once
#include <stdint.h>
#include "lib/err.h"

/* -EINVAL: is none, or is not min to max seconds; the message begins with what it is. */
int duration_parse(const char *what, const char *text, uint32_t min, uint32_t max, uint32_t *seconds, struct err *err) must_check;
