/* SPDX-License-Identifier: Apache-2.0 */
/* Between secret.c and secret_harden.c. */
#pragma once
#include "crypto/secret.h"

/* Whether p lies in secret memory; then *len is the length of the allocation that begins there. */
bool secret_owns(const void *p, size_t *len);
