/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: a Unix stream socket on which this machine's root and the user that runs the program ask for things, in
 * hull-ctl/1 messages (lib/ctl.h). Requests of a connection are answered in order; events come between answers. A peer that breaks
 * the rules, or does not read until CONTROL_OUT bytes wait for it, is dropped. All on the loop's thread, under its guard.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "lib/loop.h"

enum { CONTROL_CONNS = 8, CONTROL_OUT = 1 << 20 };

struct control_verb {
	const char *name;
	/*
	 * 0 with *ok (NULL: {}), or -errno with a message. conn names the connection for control_event; it may be gone by the
	 * time of the event, its name is not used again.
	 */
	int (*run)(void *ctx, uint64_t conn, const json_t *request, json_t **ok, struct err *err);
};

struct control;

/*
 * Listens at path, with mode 0600; a socket that nobody listens on any more is replaced, -EBUSY when somebody does. verbs ends
 * with a NULL name and stays.
 */
int control_create(struct loop *loop, const char *path, const struct control_verb *verbs, void *ctx, struct control **c,
	struct err *err) must_check;
/* Steals event (NULL is fine); a connection that is gone gets nothing. */
void control_event(struct control *c, uint64_t conn, json_t *event);
void control_free(struct control *c);	/* closes, removes the socket; NULL is fine */
