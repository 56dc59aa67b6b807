/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A path: one way between a caller (gateway) and a server's NIC, through one relay or direct: one to PATH_LANES connections
 * ("lanes"), each an own lib/link. A flow stays on the lane its hash chooses, so frames of a flow keep their order, and one lost
 * packet of the internet holds up one lane. Both ends use this file; who may send when is server.h's and gateway.h's.
 *
 * Queue management: a lane has at most a window of FRAME bytes under way that the peer's program has not consumed (CONSUMED),
 * and the window follows the measured rate and the smallest round trip, so that queues build here and not in sockets and
 * relays. Here flows are queued fairly (lib/l2/queue.h): a ping passes a download.
 *
 * All calls on the loop's thread, or under its guard.
 */
#pragma once
#include <jansson.h>
#include "lib/l2/frame.h"
#include "lib/l2/wire.h"
#include "lib/link/link.h"
#include "lib/loop.h"

enum { PATH_LANES = 8 };

struct path;
struct lane;

struct path_ops {
	/* All lanes have said hello, once. */
	void (*open)(void *ctx);
	/*
	 * A frame, parsed; it lives until the call returns, its headroom is writable. Frames that frame_parse refuses were
	 * dropped and counted.
	 */
	void (*frame)(void *ctx, struct frame *f);
	void (*beat)(void *ctx, const struct wire_beat *beat);		/* server end; answer with path_send_grant */
	void (*grant)(void *ctx, const struct wire_grant *grant);	/* caller */
	void (*release)(void *ctx, uint64_t stamp_ns);			/* server end */
	void (*peers)(void *ctx, const json_t *peers);			/* server end; lives until the call returns */
	/* A lane ended, so the path does, once. Nothing is called after it; the owner frees the path. */
	void (*closed)(void *ctx, const struct err *why);
};

struct path_counters {
	struct { uint64_t frames, bytes; } in, out;
	/* late: CoDel; control: small messages that a peer which reads nothing did not get */
	uint64_t drop_queue_full, drop_queue_late, drop_bad_frame, drop_closed, drop_control;
	uint64_t rtt_ns, rtt_min_ns;	/* of BEAT and GRANT; smoothed; 0: not known yet */
	uint64_t queued_bytes, window_bytes, windows_shut;
	struct link_counters link;	/* sum of all lanes */
};
/* Sums; of round trips the smallest that is known. */
void path_counters_add(struct path_counters *sum, const struct path_counters *c);

struct path_config {
	bool caller;
	unsigned lanes;			/* 1 to PATH_LANES */
	size_t queue_max;		/* bytes queued at most, of all lanes; 0: 4 MiB */
};

/* ops are copied; unset ones do nothing. -EINVAL: lanes. */
int path_create(struct loop *loop, const struct path_config *config, const struct path_ops *ops, void *ctx, struct path **path,
	struct err *err) must_check;
/*
 * Caller: a connected socket (TLS handshake not done, or plain when tls is NULL) becomes lane i. hello: ours. check is asked
 * with the peer's HELLO and the lane's link (certificate); anything but 0 ends the path with that error, as does a lane whose
 * HELLO is not that of the others.
 */
typedef int path_check_fn(void *ctx, struct link *link, const json_t *hello, struct err *err);
int path_add_lane(struct path *path, unsigned i, int fd, SSL_CTX *tls, const json_t *hello, path_check_fn *check,
	struct err *err) must_check;
/*
 * Server end: a lane that came in and has said HELLO, from which its owner knows where it belongs; it is answered with hello. The
 * lane is the path's from now on, also after a failure. -EEXIST: there is a lane i.
 */
int path_adopt_lane(struct path *path, unsigned i, struct lane *lane, const json_t *hello, struct err *err) must_check;
void path_free(struct path *path);	/* NULL is fine; no callback after it */
/* There is a fresh list of what was revoked: ends when it has the peer's certificate. */
void path_check_revoked(struct path *path, const SSL_CTX *by);
/* ops.closed with why, from the loop. False: there is no lane that could end. */
bool path_fail(struct path *path, const struct err *why);

/*
 * Never blocks; drops and counts when the queue is full. f->data and its headroom are read and written before it returns, not
 * kept.
 */
void path_send(struct path *path, struct frame *f);
/* The stamp, which has to rise, and the round trip are filled in here. */
void path_send_beat(struct path *path, uint64_t now_ns, uint64_t flags, uint32_t priority);
void path_send_grant(struct path *path, const struct wire_grant *grant);
void path_send_release(struct path *path, uint64_t stamp_ns);
int path_send_peers(struct path *path, const json_t *peers) must_check;
bool path_is_open(const struct path *path);
uint64_t path_rtt_ns(const struct path *path);		/* 0: not known */
uint64_t path_heard_ns(const struct path *path);	/* when the last BEAT or GRANT came, or the path was made */
const char *path_peer(const struct path *path);		/* the first lane's link_peer; "" */
void path_counters(const struct path *path, struct path_counters *counters);
