/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of links share: waiting for a condition on a loop, frames, and a piece of net in between that can stand still. */
#pragma once
#include "lib/l2/frame.h"
#include "lib/loop.h"
#include "tests/unit/suite.h"

typedef bool rig_condition(void *ctx);
/* Run the loop until it holds; false: it did not in 20 s. Looked at each millisecond. */
bool rig_wait(struct loop *loop, rig_condition *holds, void *ctx);
void rig_run_ms(struct loop *loop, unsigned ms);

/* A frame of UDP over IPv4 with its headroom; port chooses the flow. In buf (at least FRAME_HEADROOM + len bytes). */
struct frame rig_frame(uint8_t *buf, const uint8_t to[FRAME_MAC], const uint8_t from[FRAME_MAC], uint16_t port, size_t len);

/* Listens on a port of this machine and passes on to another one. */
struct shim;
struct shim *shim_start(struct loop *loop, uint16_t to);
uint16_t shim_port(const struct shim *s);
void shim_freeze(struct shim *s, bool freeze);	/* nothing passes any more, and nobody is told */
void shim_cut(struct shim *s);			/* all connections end; new ones are taken */
void shim_free(struct shim *s);
