/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hull-ctl/1 messages (docs/wire.md): a length of 4 big-endian bytes, then that many bytes of one JSON object, at most CTL_MAX.
 *   request  {"id": N, "do": "verb", …}
 *   answer   {"id": N, "ok": {…}}  or  {"id": N, "error": {"code": "EPERM", "text": "…"}}
 *   event    {"event": "name", …}
 * Nesting deeper than 16, duplicate keys and trailing bytes are refused. Any thread.
 */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include "lib/err.h"

enum { CTL_MAX = 65536, CTL_HEADER = 4, CTL_DEPTH = 16 };

/*
 * For a process whose messages carry keys: from now on jansson's memory is wiped as it is freed. Again is fine; not while another
 * thread uses jansson.
 */
void ctl_harden(void);

/*
 * Take one message off the front of len bytes. *used: bytes it took; 0 (and *msg NULL) when more are needed. -EINVAL: the peer
 * breaks the rules, end the connection. The message says where and what, and never repeats the peer's bytes. The caller's
 * reference.
 */
int ctl_parse(const void *data, size_t len, size_t *used, json_t **msg, struct err *err) must_check;
/* The whole message with its length, malloc'd. -EMSGSIZE. Wiped by ctl_text_free: messages may carry keys. */
int ctl_text(const json_t *msg, char **text, size_t *len) must_check;
void ctl_text_free(char *text, size_t len);
/* "EPERM" ↔ EPERM, for the codes that messages use; unknown names are EIO. A code may be negative. */
const char *ctl_code_name(int code);
int ctl_code_value(const char *name);

/* id and verb of a request; the verb lives as long as msg. -EINVAL: not a request. */
int ctl_request(const json_t *msg, json_int_t *id, const char **verb, struct err *err) must_check;
/* Answers; ok is stolen, NULL means {}. NULL when out of memory. */
json_t *ctl_ok(json_int_t id, json_t *ok);
json_t *ctl_error(json_int_t id, int code, const char *text);
/*
 * What an answer to request id says: 0 with *ok (the caller's reference), or -errno of "error" with its text; -EPROTO: no such
 * answer.
 */
int ctl_answer(const json_t *msg, json_int_t id, json_t **ok, struct err *err) must_check;

/*
 * Blocking, over a connected stream socket (hv's control socket): send, then read the answer to it; events before it are
 * dropped. The request's id is set here. -errno of "error" with its text; -EPIPE: the peer closed; -ETIMEDOUT: the socket's
 * SO_RCVTIMEO or SO_SNDTIMEO ran out. A NULL request is -ENOMEM, so that it can be made in place.
 */
int ctl_call(int fd, json_t *request, json_t **ok, struct err *err) must_check;
