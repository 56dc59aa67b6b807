/* SPDX-License-Identifier: Apache-2.0 */
/* What a new or renamed file takes to be there after a crash. Any thread. */
#pragma once
#include "lib/err.h"

/* fsync of the folder that path stands in; -errno. */
int folder_sync(const char *path) must_check;
