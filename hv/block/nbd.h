/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lowest layer whose volume is served by an NBD server (libnbd). The library is loaded when the first such volume is opened:
 * servers without one do not pay for it. A lost connection is made again with growing pauses while requests wait; after
 * timeout they end with -EIO.
 */
#pragma once
#include "hv/block/block.h"
#include "lib/loop.h"

/* uri: nbd://HOST[:PORT][/EXPORT], nbds://…, nbd+unix:///EXPORT?socket=PATH. loop may be NULL (then only drain delivers). */
int block_nbd_open(const char *uri, bool readonly, struct loop *loop, struct block **b, struct err *err) must_check;
