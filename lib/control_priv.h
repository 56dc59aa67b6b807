/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the control socket: control.c listens, control_conn.c is one connection. Tests bring their own descriptors. */
#pragma once
#include <stdbool.h>
#include <sys/un.h>
#include "lib/control.h"
#include "lib/ctl.h"
#include "lib/rest.h"

struct control_conn {
	struct control *c;
	uint64_t id;			/* 0: the place is free */
	int fd;
	struct loop_watch *watch;
	bool broken;			/* to be closed at the end of this round */
	size_t in_len, out_len, out_size;
	char *out;			/* what the peer has not taken yet */
	uint8_t in[CTL_HEADER + CTL_MAX];
};

struct control {
	struct loop *loop;		/* NULL in tests that read by control_conn_read */
	const struct control_verb *verbs;
	void *ctx;
	uint64_t last_id, refused;
	struct sockaddr_un addr;
	int fd;
	struct loop_watch *watch;
	struct rest *rest;
	struct control_conn *conn[CONTROL_CONNS];
};

/* Takes fd over, also when it fails. */
int control_conn_add(struct control *c, int fd) must_check;
/* Read what is there, carry out what is complete. The connection may be gone afterwards. */
void control_conn_read(struct control_conn *conn);
void control_conn_send(struct control_conn *conn, json_t *msg);	/* steals msg; NULL breaks the connection: out of memory */
void control_conn_free(struct control_conn *conn);
