/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the folder of an identity fresh: fetches the revocation list from hull-lma now and then, and renews the certificate when
 * two thirds of its life are over. Asking blocks, so each round is a short-lived thread of its own, which knows nothing of the
 * loop but an eventfd. On the loop's thread.
 */
#pragma once
#include <stdint.h>
#include "lib/loop.h"

struct refresh;

/* After each round: 0, the folder is to be read again; else why it failed. */
typedef void refresh_fn(void *ctx, const struct err *why);

/* Every every_s seconds, sooner after a failure; the first round begins at once. dir and lma stay the caller's. */
int refresh_create(struct loop *loop, const char *dir, const char *lma, uint32_t every_s, refresh_fn *fn, void *ctx,
	struct refresh **refresh, struct err *err) must_check;
void refresh_free(struct refresh *refresh);	/* a round that runs ends by itself; NULL is fine */
