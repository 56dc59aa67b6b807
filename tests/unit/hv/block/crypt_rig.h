/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the encryption layer share: layouts with random keys, and requests whose end is counted. */
#pragma once
#include <stdio.h>
#include "crypto/secret.h"
#include "hv/block/crypt.h"
#include "tests/unit/hv/block/fault.h"

struct crypt_call {
	struct block_req req;
	struct iovec iov[8];
	unsigned ends;
	int result;
};

static inline void crypt_call_done(struct block_req *req, int result)
{
	struct crypt_call *c = container_of(req, struct crypt_call, req);

	c->ends++;
	c->result = result;
}

/* Data in one piece of memory; more iovecs may be set before the call is submitted. */
static inline struct crypt_call *crypt_call_init(struct crypt_call *c, enum block_op op, uint64_t off, void *data, uint64_t len)
{
	*c = (struct crypt_call){ .result = 1 };
	c->iov[0] = (struct iovec){ data, len };
	c->req = (struct block_req){ .op = op, .off = off, .len = len, .iov = c->iov, .iov_count = 1, .done = crypt_call_done };
	if (op != BLOCK_READ && op != BLOCK_WRITE) {
		c->req.iov = NULL;
		c->req.iov_count = 0;
	}
	return c;
}

/* A request that ends before submit returns: its result, 1 when it has not ended, 2 when more than once. */
static inline int crypt_call_now(struct block *b, enum block_op op, uint64_t off, void *data, uint64_t len)
{
	struct crypt_call c;

	block_submit(b, &crypt_call_init(&c, op, off, data, len)->req);
	return c.ends > 1 ? 2 : c.result;
}

static inline struct luks_segment crypt_segment(uint32_t sector, unsigned key_len)
{
	struct luks_segment s = { .sector = sector, .key_len = key_len };

	secret_random(s.key, key_len);
	return s;
}

static inline struct luks_layout crypt_layout(uint32_t sector, unsigned key_len, uint64_t data_off)
{
	return (struct luks_layout){ .version = 2, .data_off = data_off, .segment_count = 1,
		.segment = { crypt_segment(sector, key_len) } };
}

/* The layer on a fault twin. */
struct crypt_pair { struct fault *f; struct block *b; struct luks_layout layout; };

static inline struct crypt_pair crypt_pair(uint64_t size, uint32_t sector, uint64_t data_off)
{
	struct crypt_pair p = { .f = fault_create(size), .layout = crypt_layout(sector, 64, data_off) };
	struct err err = { 0 };

	if (block_crypt_create(&p.f->b, &p.layout, &p.b, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	return p;
}
