/* SPDX-License-Identifier: Apache-2.0 */
/* A link's inside: its parts, and the two ways to move bytes. */
#pragma once
#include "lib/link/link.h"

enum link_state { LINK_CONNECTING, LINK_HANDSHAKE, LINK_OPEN, LINK_CLOSED };

/* A buffer that is there only while something is in it: bytes from head to tail. */
struct queue {
	uint8_t *data;
	size_t head, tail, room, max;
	bool secret;
	bool keep;	/* an empty one keeps its memory, until queue_free */
};
static inline size_t queue_len(const struct queue *q) { return q->tail - q->head; }
static inline const uint8_t *queue_data(const struct queue *q) { return q->data + q->head; }
/* Room for n bytes behind the tail, NULL when it would pass max (errno EAGAIN) or memory (ENOMEM). The caller moves the tail. */
uint8_t *queue_reserve(struct queue *q, size_t n);
void queue_drop(struct queue *q, size_t n);	/* from the head; an empty queue gives its memory back, but for keep */
void queue_free(struct queue *q);

enum {
	LINK_CHUNK = 16384,	/* what a TLS record holds */
	LINK_AHEAD = 131072,	/* what a link that gathers asks its socket for at once */
	LINK_BURST = 40960,	/* it sends records together from so many bytes: three full ones, which is what measured best */
	LINK_SPARE = 131072,	/* its queue's room past read_max, so that what is left of one frame is seldom moved */
};

/*
 * Bytes moved, 0 the peer's end (read), -EAGAIN with link.want_in/out saying what to wait for, or -errno with link.why set.
 */
struct link_io {
	int (*handshake)(struct link *link);
	ssize_t (*read)(struct link *link, void *data, size_t len);
	ssize_t (*write)(struct link *link, const void *data, size_t len);
	bool (*pending)(const struct link *link);	/* bytes are there that the socket doesn't show */
	int (*push)(struct link *link);			/* records that wait for others; 0: all are out */
	int (*end)(struct link *link);
	void (*key_update)(struct link *link);
	void (*rest)(struct link *link);		/* give back what an idle link does not need */
	size_t record;					/* bytes of one write at most */
};
extern const struct link_io link_io_plain, link_io_tls;

struct link {
	struct loop *loop;
	struct loop_watch *watch;
	struct loop_timer *timer;	/* handshake, then idle */
	struct loop_timer *rest;	/* config.gather: gives an idle link's buffers back */
	struct loop_task *gather;	/* config.gather: sends what did not fill a record */
	struct loop_task *soon;		/* bytes are pending that no event will announce; a failure to be told; room for the writer */
	const struct link_io *io;
	const struct link_ops *ops;
	void *ctx;
	struct link_config config;
	struct queue in, out;
	struct err why;
	SSL *ssl;
	uint64_t taken_ns;		/* when the owner last took something */
	uint64_t records;		/* sent since the last key update */
	enum link_state state;
	uint32_t events;		/* what the watch waits for */
	int fd;
	unsigned busy;			/* callbacks we are inside of */
	bool freed;			/* link_free was called in one */
	bool broken;			/* why says how; soon closes it */
	bool paused, corked, hungry;	/* hungry: the writer waits for room */
	bool gathering;			/* the queue waits for gather, not for the socket */
	struct queue wire;		/* config.gather: records that wait for others, or for the socket */
	bool more;			/* the record that is being sent may wait for others */
	bool blocked;			/* the socket took no more; its event will tell */
	bool dry;			/* config.gather: nothing more is to be had from the socket in this round */
	bool used, resting;		/* since rest last looked; rest is not armed, there are no buffers */
	bool offered;			/* link_take_fd may have the socket */
	bool ending, ended;		/* link_end was called; it is done */
	bool peer_ended;
	bool want_in, want_out;		/* the handshake's or a TLS write's wishes */
	char peer[64];
	struct link_counters counters;
};

static inline bool link_can_read(const struct link *link)
{
	return link->state == LINK_OPEN && !link->paused && !link->peer_ended;
}

/* Around what may call the owner, who may free the link there. False: it is gone. */
void link_enter(struct link *link);
bool link_leave(struct link *link);
/* These inside of it. */
void link_close(struct link *link);
void link_read_in(struct link *link);
void link_write_out(struct link *link);
int link_finish(struct link *link);	/* all that waits, and the end, if it was asked for; -EAGAIN, or -errno with link.why set */
void link_feed(struct link *link);	/* a writer that waits and has room now */
void link_on_gather(void *link);	/* at the end of a round: what did not fill a record */
void link_update(struct link *link);	/* tell the loop what to wait for */
void link_use(struct link *link);	/* its buffers stay until it idles again */
/* A failure (or 0, -EAGAIN: none) inside an owner's call shows in a callback of its own: owners may free a link in one. */
void link_fail_soon(struct link *link, int rc);
/* link.why, and the code back. */
int link_fail(struct link *link, int code, const char *fmt, ...) printf_like(3, 4);
int link_tls_open(struct link *link, struct err *err) must_check;
