/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fair queues with managed delay (FQ-CoDel, RFC 8290; CoDel, RFC 8289) of byte messages: flows by hash, deficit round robin,
 * new flows first, CoDel in each. Memory: at most max bytes and QUEUE_FLOWS flows; when full the longest flow loses its oldest
 * messages. Time is given by the caller. One thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"

enum { QUEUE_FLOWS = 256 };

struct fair_queue;

struct fair_queue_counters { uint64_t full, late; };	/* messages lost, by cause */

int fair_queue_create(size_t max, struct fair_queue **q) must_check;
void fair_queue_free(struct fair_queue *q);
/* Copies. False: lost itself (longer than half of max, no memory). Others may be lost instead of it; counters tell. */
bool fair_queue_put(struct fair_queue *q, uint32_t hash, const void *data, size_t len, uint64_t now_ns);
/* The message whose turn it is; it stays there until fair_queue_drop, or a put that needs its room. NULL: empty. */
const uint8_t *fair_queue_get(struct fair_queue *q, uint64_t now_ns, size_t *len);
/* What fair_queue_get gave last, with nothing called in between, is done with. */
void fair_queue_drop(struct fair_queue *q);
size_t fair_queue_bytes(const struct fair_queue *q);
const struct fair_queue_counters *fair_queue_counters(const struct fair_queue *q);
