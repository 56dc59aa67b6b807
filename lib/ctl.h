/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hull-ctl/1 messages (docs/wire.md): a length of 4 big-endian bytes, then that many bytes of one JSON object, at most CTL_MAX.
 *   request  {"id": N, "do": "verb", …}
 *   answer   {"id": N, "ok": {…}}  or  {"id": N, "error": {"code": "EPERM", "text": "…"}}
 *   event    {"event": "name", …}
 * Nesting deeper than 16, duplicate keys and trailing bytes are refused.
 */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include "lib/err.h"

enum { CTL_MAX = 65536, CTL_HEADER = 4 };

/* Take one message off the front of len bytes. *used: bytes it took, 0 when more are needed. -EINVAL: the peer breaks the rules. */
int ctl_parse(const void *data, size_t len, size_t *used, json_t **msg, struct err *err) must_check;
/* The whole message with its length, malloc'd. -EMSGSIZE. Wiped by ctl_text_free: messages may carry keys. */
int ctl_text(const json_t *msg, char **text, size_t *len) must_check;
void ctl_text_free(char *text, size_t len);
/* "EPERM" ↔ EPERM, for the codes that messages use; unknown names are EIO. */
const char *ctl_code_name(int code);
int ctl_code_value(const char *name);

/* Blocking, over a connected stream socket (hv's control socket): send, then read the answer to it. -errno of "error" with its text. */
int ctl_call(int fd, json_t *request, json_t **ok, struct err *err) must_check;
