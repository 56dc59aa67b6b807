/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two connected stream sockets made one: the kernel moves the bytes (splice(2)), we never see them. A reader that takes nothing
 * stops the writer on the other side; an end of one direction is passed on and the other one goes on; when both have ended, or
 * either socket fails, it is over. On the loop's thread. The process ignores SIGPIPE.
 */
#pragma once
#include <stdint.h>
#include "csc/pipes.h"
#include "lib/loop.h"

struct splice;

/* Once, never inside splice_create: 0 both ended, else -errno of the socket that failed. The owner frees it, here or later. */
typedef void splice_fn(void *ctx, int code);

/* a and b are the splice's from now on, also after a failure. */
int splice_create(struct loop *loop, struct pipes *pipes, int a, int b, splice_fn *fn, void *ctx, struct splice **splice,
	struct err *err) must_check;
void splice_free(struct splice *splice);	/* closes both; NULL is fine */
/* Bytes that went on so far. */
void splice_moved(const struct splice *splice, uint64_t *a_to_b, uint64_t *b_to_a);
