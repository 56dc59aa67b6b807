/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the encryption layer: crypt.c cuts requests into pieces and follows them, crypt_data.c moves data between a request's
 * memory and a piece's buffer, crypt_open.c makes the layer from a layout, crypt_rotate.c holds the two keys' boundary and the
 * frozen zone. All under the device lock.
 */
#pragma once
#include <assert.h>
#include "crypto/xts.h"
#include "hv/block/crypt.h"
#include "lib/scope.h"

#define CRYPT_PIECE (64u << 10)		/* bytes of a buffer */
#define CRYPT_PIECES 64			/* in flight; further requests wait in a list */
#define CRYPT_TURN 16			/* pieces of one request before the next one has its turn */

/* Where a request stands: its priv. */
struct crypt_cursor {
	uint64_t issued;		/* bytes handed on or passed over; len when no more follow */
	uint64_t skip;			/* of iov[index] */
	uint32_t index;
	uint32_t holds;			/* pieces in flight, and one while the layer itself looks at it */
	int error;			/* the first */
	uint32_t turn;			/* pieces handed on since its turn began */
};
static_assert(sizeof(struct crypt_cursor) <= sizeof ((struct block_req *)0)->priv, "a cursor fits a request");

struct crypt_key {
	struct xts *xts;		/* NULL: not in use */
	uint64_t tweak;			/* of plaintext byte 0 (modulo 2^64) */
};

struct crypt_piece {
	struct block_req req;		/* for the layer below */
	struct crypt_piece *next;	/* free list */
	struct crypt *crypt;
	struct block_req *parent;	/* NULL: free */
	const struct crypt_key *key;
	uint64_t off, len;		/* of the plaintext */
	uint64_t skip;			/* its memory begins here in iov[index] of the parent */
	uint32_t index;
	uint32_t touched;		/* bytes of the buffer that may be in memory */
	struct iovec iov;
	uint8_t *buf;			/* off rounded down to a crypto sector is its first byte */
};

struct crypt_queue { struct block_req *head, *tail; };

enum { CRYPT_NEW, CRYPT_OLD };

struct crypt {
	struct block b;
	uint64_t data_off;
	uint32_t unit;			/* the larger crypto sector of the keys */
	struct crypt_key key[2];	/* CRYPT_NEW below the boundary, CRYPT_OLD (if any) above */
	uint64_t boundary;		/* b.size when there is one key */
	uint64_t zone_off, zone_end;	/* frozen; equal: nothing is */
	void (*zone_empty)(void *ctx);	/* NULL: has been told, or nothing is frozen */
	void *zone_ctx;
	int zone_error;			/* what requests to the zone end with; 0: they wait */
	bool pumping;
	struct crypt_queue waiting;	/* for a buffer; the first one has its turn */
	struct crypt_queue parked;	/* for the zone */
	struct crypt_piece *free_pieces;
	unsigned in_flight;
	uint8_t *pool;
	uint64_t touched, given_back_ns;
	struct crypt_piece pieces[CRYPT_PIECES];
};

extern const struct block_ops crypt_ops;

static inline struct crypt *crypt_of(const struct block *b) { return container_of(b, struct crypt, b); }
static inline struct crypt_cursor *crypt_cursor(struct block_req *req) { return (struct crypt_cursor *)req->priv; }

/* ---- crypt.c */
void crypt_pump(struct crypt *c);
void crypt_destroy(struct crypt *c);	/* keys, buffers, lower; nothing in flight */

/* ---- crypt_data.c: the piece's part of the parent's memory, or zeroes, into its buffer as ciphertext; and back */
void crypt_encrypt_piece(struct crypt_piece *p);
void crypt_decrypt_piece(const struct crypt_piece *p);

/* ---- crypt_rotate.c */
void crypt_key_wipe(struct crypt_key *key);
int crypt_key_set(struct crypt_key *key, const struct luks_segment *s, struct err *err) must_check;
bool crypt_frozen(const struct crypt *c, uint64_t off, uint64_t end);
void crypt_check_zone(struct crypt *c);	/* a piece is done: perhaps the last one there */
