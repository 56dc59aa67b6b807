/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialling: a name becomes a connected socket without blocking the loop, and what fails is tried again after a pause that grows,
 * with chance in it, so that a thousand peers of a relay that starts again do not come at once. On the loop's thread.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/err.h"
#include "lib/loop.h"

/* ---- pauses: 0, then from min_ms doubling to max_ms, each times 0.5…1.5 */
struct backoff { uint32_t min_ms, max_ms, next_ms; };
void backoff_reset(struct backoff *b);			/* it worked */
uint64_t backoff_next_ns(struct backoff *b);		/* how long to wait before the next try */

/* ---- connecting: every address of HOST:PORT in turn, 300 ms apart or when one failed (RFC 8305), the first that connects wins */
struct dial;
/* Once, never inside dial_start. fd: connected, non-blocking, the callee's; or -1: why. The dial is gone then. */
typedef void dial_fn(void *ctx, int fd, const struct err *why);
/*
 * Numeric addresses need no thread; names are looked up on a short-lived one (-EBUSY: 32 are, of the whole
 * process). timeout_ms: for the whole; 0: 10,000.
 */
int dial_start(struct loop *loop, const char *address, uint32_t timeout_ms, dial_fn *fn, void *ctx,
	struct dial **dial, struct err *err) must_check;
void dial_cancel(struct dial *dial);	/* NULL is fine */

/* HOST:PORT, [V6]:PORT. A listening socket, non-blocking; *port: the one it got for PORT 0. -EINVAL, what bind says. */
int dial_listen(const char *address, int *fd, uint16_t *port, struct err *err) must_check;
