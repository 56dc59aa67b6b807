/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel pipes that splice(2) moves bytes through, lent only while bytes are in them: thousands of idle connections need none.
 * The first few are large; when many connections hold bytes that nobody takes, theirs are small, so that all of them together
 * pin little of the kernel's memory. One thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "lib/err.h"

struct pipes;
struct pipe { int in, out; size_t size; };	/* written to, read from; bytes it holds when its pages are full */

enum { PIPES_LARGE = 256 << 10, PIPES_LARGE_MAX = 128, PIPES_KEPT = 32 };

int pipes_create(struct pipes **pipes, struct err *err) must_check;
void pipes_free(struct pipes *pipes);	/* all were given back; NULL is fine */
int pipes_take(struct pipes *pipes, struct pipe *p) must_check;	/* -EMFILE, … */
void pipes_give(struct pipes *pipes, struct pipe *p, bool empty);	/* one that holds bytes is closed */
unsigned pipes_taken(const struct pipes *pipes);
