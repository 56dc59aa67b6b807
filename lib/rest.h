/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listening socket that can't be accepted from (no descriptor, no memory) goes on being ready: its watch rests for a while, so
 * that the loop does not turn for nothing. On the loop's thread, or under its guard.
 */
#pragma once
#include "lib/loop.h"

struct rest;

enum { REST_MS = 50 };

/* watch is one for EPOLLIN, and outlives it. */
int rest_create(struct loop *loop, struct loop_watch *watch, struct rest **rest) must_check;
void rest_free(struct rest *rest);	/* NULL is fine */
/* After accept(2) failed with code (positive): rests, unless another try may help at once. */
void rest_after(struct rest *rest, int code);
