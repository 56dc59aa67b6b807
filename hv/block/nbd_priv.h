/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the NBD layer. nbd.c keeps connections, order and time; nbd_cut.c cuts requests into commands and hands them to
 * libnbd; nbd_link.c loads libnbd and makes connections, on a thread of its own when it is done again.
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

/* ---- the layer's state, under the device lock */

#define NBD_COMMANDS 64		/* under way */
#define NBD_BOUNCE (128u << 10)	/* a command's own buffer */

/* What the layer keeps in a request it holds. */
enum { OPEN, RESULT, CURSOR, CAME };	/* commands under way, and one while it waits; first error; bytes cut off; when it came */

enum nbd_command_state { FREE, READY, SENT, OVER };

struct nbd_command {
	struct nbd_command *next;		/* in free, todo or over */
	struct nbd *nbd;
	struct block_req *whole;
	enum nbd_command_state state;
	enum block_op op;
	bool fua;
	uint64_t off, len;
	uint8_t *data;			/* of reads and writes */
	const struct iovec *iov;	/* reads through the buffer: where its bytes go */
	uint64_t skip;			/* of the first element */
	uint64_t answered;		/* flushes: nbd.answered when it was sent */
	bool in_doubt;			/* flushes: what they are about may have gone with a connection */
	int result;
};

struct nbd_queue { struct nbd_command *head, **end; };

struct nbd {
	struct block b;
	const struct nbd_api *api;
	char *uri;
	unsigned timeout_ms;
	struct loop *loop;
	struct nbd_link link;
	struct nbd_dial *dial;		/* an attempt is under way; neither link nor dial: pausing */
	struct loop_watch *watch;	/* of the link, or of the dial */
	uint32_t watched;		/* events */
	struct loop_timer *timer;
	uint64_t alarm_ns;		/* what the timer is armed to; 0: not */
	uint64_t retry_ns, pause_ms;
	uint64_t heard_ns;		/* the last answer */
	uint64_t answered, flushed;	/* changes: how many were answered, how many of them a flush covers */
	bool doubt;			/* unflushed changes went with a connection */
	bool pumping, lost;
	struct block_req *waiting, **waiting_end;
	struct nbd_command *free;
	struct nbd_queue todo, over;
	uint8_t *bounce;
	struct nbd_command command[NBD_COMMANDS];
};

static inline uint64_t nbd_least(uint64_t a, uint64_t b) { return a < b ? a : b; }

void nbd_queue_push(struct nbd_queue *q, struct nbd_command *c);
struct nbd_command *nbd_queue_pop(struct nbd_queue *q);		/* NULL: empty */

/* A free command for that request, which must be there. */
struct nbd_command *nbd_cut_take(struct nbd *n, struct block_req *whole, enum block_op op);
/* The next command of the request that waits first goes to todo; the request waits no longer when it was the last one. */
void nbd_cut_next(struct nbd *n, struct block_req *whole);
/* True when the request needs no command for what is left of it. */
bool nbd_cut_over(const struct nbd *n, const struct block_req *whole);
/* The request that waits first waits no longer. */
struct block_req *nbd_cut_pop(struct nbd *n);
/* Between the command's buffer and the request's memory. */
void nbd_cut_copy(const struct nbd_command *c, bool out);
/* To libnbd: -1 when it refuses; over is called from inside libnbd, perhaps at once. */
int64_t nbd_cut_send(struct nbd *n, struct nbd_command *c, int (*over)(void *ctx, int *error));
