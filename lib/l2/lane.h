/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: one connection of a path. It takes the stream apart into messages, holds to the order that the protocol asks for
 * (HELLO first, once), and to what may be under way (window.h); what may not go yet waits in fair queues (queue.h).
 * Inside lib/l2 only. On the loop's thread, or under its guard.
 */
#pragma once
#include <jansson.h>
#include "lib/l2/path.h"
#include "lib/l2/queue.h"
#include "lib/l2/window.h"

struct lane;

/* All are set. Any call, lane_free too, is fine in each. */
struct lane_ops {
	void (*hello)(void *ctx, const json_t *hello);
	/* Behind HELLO; not FRAME and CONSUMED. It lives until the call returns. */
	void (*message)(void *ctx, const struct wire_message *m);
	void (*frame)(void *ctx, struct frame *f);	/* parsed */
	/* Once, nothing after it; the owner frees the lane. */
	void (*closed)(void *ctx, const struct err *why);
};

struct lane_counters { struct { uint64_t frames, bytes; } in, out; uint64_t drop_bad_frame, drop_closed, drop_control; };

/*
 * fd is the lane's from now on, also after a failure. HELLO has to come within LANE_HELLO_S. resume: a TLS client's name for
 * the other side (struct link_config).
 */
enum { LANE_HELLO_S = 10 };
int lane_create(struct loop *loop, int fd, SSL_CTX *tls, bool server, const char *resume, const struct lane_ops *ops, void *ctx,
	struct lane **lane, struct err *err) must_check;
void lane_free(struct lane *lane);	/* NULL is fine */
/* What comes from now on is another's. ops live as long as the lane. */
void lane_set_owner(struct lane *lane, const struct lane_ops *ops, void *ctx);
/* Bytes that may wait here; before the first frame. */
void lane_set_queue(struct lane *lane, size_t max);

/* Before the connection is there, too: it is sent then. */
int lane_send_json(struct lane *lane, enum wire_type type, const json_t *body, struct err *err) must_check;
/* Small messages. False: the peer reads nothing, so it is lost, and counted. */
bool lane_send_control(struct lane *lane, const uint8_t *message, size_t len);
void lane_send_frame(struct lane *lane, struct frame *f);
/* The last words are out, then the connection ends; owners use it after a refusal and hear no more than closed. */
void lane_end(struct lane *lane);
/* Ends it: ops.closed with why, from the loop. */
void lane_fail(struct lane *lane, const struct err *why);

struct link *lane_link(const struct lane *lane);
const struct window *lane_window(const struct lane *lane);
size_t lane_queued(const struct lane *lane);
void lane_add_counters(const struct lane *lane, struct path_counters *sum);
