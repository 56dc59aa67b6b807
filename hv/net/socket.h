/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port over a stream socket: each frame is a 32-bit big-endian length and the frame, as QEMU's socket and stream network
 * back ends speak it. No offloads on this wire: checksums are completed and large frames segmented before they are sent.
 * The carrier follows the connection. A lost connection is made again once a second, or awaited again.
 */
#pragma once
#include "hv/net/port.h"
#include "lib/loop.h"

/*
 * address: "unix:PATH", "tcp:HOST:PORT" or "tcp:[V6]:PORT". listen: wait for the peer, one at a time; else dial (a peer that
 * is not there yet is no error). Names are resolved here once. loop outlives the port, and runs its callbacks under the
 * device lock. -EINVAL for an address that is none; what bind and listen say.
 */
int net_socket_open(const char *address, bool listen, struct loop *loop, struct net_port **port, struct err *err) must_check;
