/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link: one byte stream over one connected socket, plain (tests, Unix sockets) or TLS 1.3, on the event loop. What is said
 * over it is the owner's business; its purpose is named by ALPN. Memory is bounded both ways: a reader that takes nothing stops
 * the peer, a writer is told when its queue is full. An idle link holds no buffer.
 *
 * All calls and callbacks are the loop's thread's. Any call, link_free too, is fine inside any callback.
 */
#pragma once
#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include "lib/loop.h"

struct link;

struct link_ops {
	/* The handshake is done: the owner looks at the peer (link_ssl). Plain links too. */
	void (*ready)(void *ctx);
	/*
	 * len bytes are there: how many of them were taken. The rest comes again with what follows it, in front; a link whose buffer is
	 * full of what nobody takes ends with -EMSGSIZE.
	 */
	size_t (*read)(void *ctx, const uint8_t *data, size_t len);
	/* After link_write gave -EAGAIN: half of the queue is free. */
	void (*writable)(void *ctx);
	/* The peer will say no more; what it said was handed out. Writing goes on. */
	void (*end)(void *ctx);
	/*
	 * The link is over, once; why->code: 0 both sides ended it, -ETIMEDOUT handshake, idle or dead peer, -ECONNRESET cut off,
	 * -EMSGSIZE, -EPROTO TLS refused (the text says who and why), … Nothing is called after it; the owner frees the link.
	 */
	void (*closed)(void *ctx, const struct err *why);
};

struct link_config {
	SSL_CTX *tls;			/* NULL: plain. The link takes a reference. */
	bool server;			/* our side of the TLS handshake */
	const char *alpn;		/* TLS: what both must have agreed on; NULL: the owner looks itself (link_alpn) */
	const char *resume;		/* TLS client: the peer's name; a session it gave to this context under it is resumed */
	uint32_t handshake_s;		/* from creation until ready, connecting included; 0: 10 */
	uint32_t idle_s;		/* since the owner last took something; 0: none */
	uint32_t dead_s;		/* a TCP peer that acknowledges nothing; 0: 30 */
	size_t read_max, write_max;	/* buffer and queue; 0: 64 KiB + 4, 256 KiB */
	uint64_t rekey_records;		/* a key update after so many records sent; 0: 2^23, below the limit of AES-GCM */
	bool secret;			/* wipe what went through the buffers */
	/*
	 * For much data on few links: writes share records until one is full or the loop's round ends (else they go out at once), reads
	 * run ahead of the record, and buffers (about 0.5 MiB) stay until the link idles for a second. Its socket cannot be taken.
	 */
	bool gather;
	uint32_t unsent_max;		/* bytes that may wait in a TCP socket to be sent; 0: 128 KiB if it gathers, else what the kernel likes */
};

struct link_counters {
	uint64_t in_bytes, out_bytes;	/* of the owner's */
	uint64_t in_reads, out_records;	/* pieces that came, TLS records or writes that went */
	uint64_t pauses, full;		/* reader stopped us; writer was told -EAGAIN */
	uint64_t key_updates;		/* ours */
};

/*
 * fd is a stream socket, connected or connecting; it is made non-blocking and is the link's from now on, also after a failure.
 * config is copied, ops are not. Unset ops do nothing; an unset read takes everything.
 */
int link_create(struct loop *loop, int fd, const struct link_config *config, const struct link_ops *ops, void *ctx,
	struct link **link, struct err *err) must_check;
void link_free(struct link *link);	/* closes at once; NULL is fine; no callback after it */

/* All of it or nothing: -EAGAIN, the queue is full (writable will come); -EPIPE, after link_end or the link's close. */
int link_write(struct link *link, const void *data, size_t len) must_check;
int link_writev(struct link *link, const struct iovec *iov, unsigned n) must_check;
/* While corked, writes gather in the queue, so that small ones share a record; uncorking sends. */
void link_cork(struct link *link, bool cork);
/* Stop and go on reading. */
void link_pause(struct link *link, bool pause);
/* No more from us: what is queued goes out, then the end of the stream. Reading goes on until the peer ends too. */
void link_end(struct link *link);
/*
 * Inside closed with code 0 (both ended; read nothing after that end): the socket, which is the caller's then, with every byte on
 * it that came after the peer's end still unread. -1: closed otherwise, or a link that gathers.
 */
int link_take_fd(struct link *link);
/* TLS: fresh keys for what we send from the next record on. Plain: nothing. */
void link_key_update(struct link *link);

/* Has the peer's certificate been revoked, by what that context knows? */
bool link_is_revoked(const struct link *link, const SSL_CTX *by);
SSL *link_ssl(const struct link *link);			/* NULL when plain */
const char *link_alpn(const struct link *link);		/* after ready; "" when there is none */
const char *link_peer(const struct link *link);		/* "192.0.2.1:443", "unix", for people */
size_t link_queued(const struct link *link);
const struct link_counters *link_counters(const struct link *link);
