/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock that says "this file or device is in use", seen by other Hull programs, by people's tools (flock) and by other
 * hypervisors (open-file-description locks). It lives as long as the open file description.
 */
#pragma once
#include <stdbool.h>
#include "lib/err.h"

/* -EBUSY with a message that names path when somebody else has it. */
int filelock_take(int fd, const char *path, bool shared, struct err *err) must_check;
