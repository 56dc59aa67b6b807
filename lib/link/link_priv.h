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
};
static inline size_t queue_len(const struct queue *q) { return q->tail - q->head; }
static inline const uint8_t *queue_data(const struct queue *q) { return q->data + q->head; }
/* Room for n bytes behind the tail, NULL when it would pass max (errno EAGAIN) or memory (ENOMEM). The caller moves the tail. */
uint8_t *queue_reserve(struct queue *q, size_t n);
void queue_drop(struct queue *q, size_t n);	/* from the head; an empty queue gives its memory back */
void queue_free(struct queue *q);

enum { LINK_CHUNK = 16384 };	/* what a TLS record holds */

/*
 * Bytes moved, 0 the peer's end (read), -EAGAIN with link.want_in/out saying what to wait for, or -errno with link.why set.
 */
struct link_io {
	int (*handshake)(struct link *link);
	ssize_t (*read)(struct link *link, void *data, size_t len);
	ssize_t (*write)(struct link *link, const void *data, size_t len);
	bool (*pending)(const struct link *link);	/* bytes are there that the socket doesn't show */
	int (*end)(struct link *link);
	void (*key_update)(struct link *link);
};
extern const struct link_io link_io_plain, link_io_tls;

struct link {
	struct loop *loop;
	struct loop_watch *watch;
	struct loop_timer *timer;	/* handshake, then idle */
	struct loop_timer *soon;	/* bytes are pending that no event will announce */
	struct loop_task *gather;	/* config.gather: sends what did not fill a record */
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
	int fd;
	unsigned busy;			/* callbacks we are inside of */
	bool freed;			/* link_free was called in one */
	bool broken;			/* why says how; soon closes it */
	bool paused, corked, hungry;	/* hungry: the writer waits for room */
	bool gathering;			/* the queue waits for gather, not for the socket */
	bool offered;			/* link_take_fd may have the socket */
	bool ending, ended;		/* link_end was called; it is done */
	bool peer_ended;
	bool want_in, want_out;		/* the handshake's or a TLS write's wishes */
	char peer[64];
	struct link_counters counters;
};

/* link.why, and the code back. */
int link_fail(struct link *link, int code, const char *fmt, ...) printf_like(3, 4);
int link_tls_open(struct link *link, struct err *err) must_check;
