/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lowest layer whose volume is served by an NBD server (libnbd). The library is loaded when the first such volume is opened:
 * servers without one do not pay for it.
 *
 * A lost connection is made again with growing pauses, on a thread of its own, because resolving a name blocks; requests wait
 * and what was under way is sent again. A request ends with -EIO when the server has answered nothing for the time-out
 * (BLOCK_NBD_TIMEOUT_MS), or did not answer it within ten of them; a server that is silent that long is disconnected. So
 * draining takes a bounded time, whatever the server does.
 *
 * After a lost connection the first flush fails with -EIO if writes were answered, but not yet flushed, on that connection, and
 * the server does not promise (NBD_FLAG_CAN_MULTI_CONN) that a flush on one connection covers the others: nobody could say
 * where they are.
 *
 * Up to 64 commands are under way. Scattered requests go through buffers of the layer's own, 128 KiB a command; long elements go
 * straight.
 */
#pragma once
#include "hv/block/block.h"
#include "lib/loop.h"

enum { BLOCK_NBD_TIMEOUT_MS = 30000 };

/* uri: nbd://HOST[:PORT][/EXPORT], nbds://…, nbd+unix:///EXPORT?socket=PATH. loop may be NULL (then only drain delivers). */
int block_nbd_open(const char *uri, bool readonly, struct loop *loop, struct block **b, struct err *err) must_check;
/* The same with another time-out; it also bounds connecting. */
int block_nbd_open_timeout(const char *uri, bool readonly, unsigned timeout_ms, struct loop *loop, struct block **b,
	struct err *err) must_check;
/* Whether text begins as a URI of NBD does. */
bool block_nbd_is_uri(const char *text);
