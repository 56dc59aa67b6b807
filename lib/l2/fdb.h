/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A forwarding table: which port a MAC was last seen at, aged, bounded (the oldest makes room), per VLAN. Time is given by
 * the caller. One thread.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/err.h"
#include "lib/l2/frame.h"

enum { FDB_AGE_S = 300, FDB_NO_PORT = -1 };

struct fdb;

struct fdb_counters { uint64_t learned, moved, aged, evicted, refused; };

/* size: entries, a power of two is made of it, at most 2^20. Nothing is allocated after this. */
int fdb_create(unsigned size, uint32_t age_s, struct fdb **fdb) must_check;
void fdb_free(struct fdb *fdb);
/*
 * Never moves to another port, never ages: a migrated server's MAC. -EEXIST: it is pinned elsewhere. -ENOSPC: all entries are
 * pinned. -EINVAL: no port, or a group address.
 */
int fdb_pin(struct fdb *fdb, uint16_t vid, const uint8_t mac[FRAME_MAC], int port) must_check;
void fdb_unpin(struct fdb *fdb, uint16_t vid, const uint8_t mac[FRAME_MAC]);
/*
 * mac was seen as a source at port. False: it may not be there (it is pinned elsewhere): drop the frame. Group addresses are
 * refused too.
 */
bool fdb_learn(struct fdb *fdb, uint16_t vid, const uint8_t mac[FRAME_MAC], int port, uint64_t now_ns);
/* FDB_NO_PORT: flood. */
int fdb_find(struct fdb *fdb, uint16_t vid, const uint8_t mac[FRAME_MAC], uint64_t now_ns);
void fdb_forget_port(struct fdb *fdb, int port);	/* all it learned there; pins stay */
const struct fdb_counters *fdb_counters(const struct fdb *fdb);
/* Each entry, aged ones too, until fn returns other than 0, which is returned. fn must not change the table. */
int fdb_walk(const struct fdb *fdb, int (*fn)(void *ctx, uint16_t vid, const uint8_t *mac, int port,
	uint64_t seen_ns, bool pinned), void *ctx);
