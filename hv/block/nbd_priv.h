/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the NBD layer. nbd.c cuts requests into commands and keeps time; nbd_link.c loads libnbd and makes connections, on a
 * thread of its own when it is done again.
 */
#pragma once
#include <libnbd.h>
#include "hv/block/nbd.h"

/* What is used of libnbd, which is not linked: it brings GnuTLS and libxml2 into every process. */
#define NBD_FUNCTIONS(F) \
	F(create) F(close) F(get_error) F(get_errno) F(set_uri_allow_transports) F(aio_connect_uri) F(poll) F(aio_is_ready) \
	F(aio_is_dead) F(aio_is_closed) F(aio_get_fd) F(aio_get_direction) F(aio_disconnect) F(aio_pread) F(aio_pwrite) F(aio_flush) \
	F(aio_trim) F(aio_zero) F(get_size) F(get_block_size) F(is_read_only) F(can_flush) F(can_fua) F(can_trim) F(can_zero) \
	F(can_multi_conn)

struct nbd_api {
#define F(name) __typeof__(&nbd_##name) name;
	NBD_FUNCTIONS(F)
#undef F
};

/* What the server of one connection can do. */
struct nbd_facts {
	uint64_t size;
	uint32_t min, preferred, max;	/* block sizes; max: of a read's or write's data */
	bool readonly, flush, fua, trim, zero, multi_conn;
};

struct nbd_link { struct nbd_handle *h; struct nbd_facts facts; };

/* Loads libnbd once. -ENOENT with a message that names the package. Start-up only. */
int nbd_link_load(const struct nbd_api **api, struct err *err) must_check;
/* Connects on this thread. -ETIMEDOUT after timeout_ms; resolving names may take longer. */
int nbd_link_open(const char *uri, unsigned timeout_ms, struct nbd_link *link, struct err *err) must_check;
void nbd_link_close(struct nbd_link *link, bool politely);	/* nothing in flight is touched after it; closed already is fine */

/* An attempt on a thread of its own. */
struct nbd_dial;
int nbd_dial_start(const char *uri, unsigned timeout_ms, struct nbd_dial **dial) must_check;
int nbd_dial_fd(const struct nbd_dial *dial);	/* readable when the attempt is over */
/* Once it is over: the link, or why there is none. Frees dial. */
int nbd_dial_take(struct nbd_dial *dial, struct nbd_link *link, struct err *err) must_check;
/* Nobody wants the link any more. Waits a moment for the thread, which ends by itself where that is not enough. NULL is fine. */
void nbd_dial_abandon(struct nbd_dial *dial);
