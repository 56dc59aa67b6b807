/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway: LANs, segments, servers' NICs as a configuration file says, changed as a whole when it is read again: first
 * everything new is made and checked, which may fail and changes nothing; then it is taken into use, which cannot fail. On the
 * loop's thread.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "lib/loop.h"

struct gateway;

int gateway_create(struct loop *loop, const char *path, struct gateway **gateway, struct err *err) must_check;
/* Leases are released. False: as trust_free. NULL is fine. */
bool gateway_free(struct gateway *gateway);
/* Servers that are the same keep links, connections and addresses. */
int gateway_reload(struct gateway *gateway, struct err *err) must_check;

/*
 * For people and --json: {"gateway": {…}, "lans": […], "segments": […], "nics": […], "next": N}. LANs, segments and NICs are
 * numbered one after the other: those from number `from` on, as many as one message holds; "next" is there when more follow;
 * "gateway" with the first. The caller's reference; NULL: out of memory.
 */
json_t *gateway_status(struct gateway *gateway, unsigned from);
/* The same shape: counters of everything, by name. */
json_t *gateway_counters(struct gateway *gateway, unsigned from);
