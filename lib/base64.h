/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 as RFC 4648 section 4 has it: with padding, without line breaks, one text for each row of bytes. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"

/* Characters of len bytes, with the NUL. */
#define BASE64_TEXT(len) (((len) + 2) / 3 * 4 + 1)

/* text has room for BASE64_TEXT(len). */
void base64_encode(const void *data, size_t len, char *text);
/* All len characters of text. -EINVAL: not base64, or not the one text for these bytes; -EMSGSIZE: more than max bytes. */
int base64_decode(const char *text, size_t len, void *data, size_t max, size_t *out) must_check;
