/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket of a running program, as `hull` asks it (hull-ctl/1). Blocks, a minute at most for each answer. */
#pragma once
#include <jansson.h>
#include "lib/err.h"

/* program: whom to expect there, for the message. */
int control_dial(const char *path, const char *program, int *fd, struct err *err) must_check;
/* request is stolen; ok is the caller's reference. lib/ctl.h's codes. */
int control_ask(int fd, json_t *request, json_t **ok, struct err *err) must_check;
