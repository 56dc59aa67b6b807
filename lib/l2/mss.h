/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clamp of TCP's maximum segment size, and what a sender is told whose packet is too long: both keep connections from hanging
 * where the ends' MTUs differ. Pure functions; any thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/l2/frame.h"

enum { MSS_HEADERS4 = 40, MSS_HEADERS6 = 60 };

/*
 * In a segment with SYN an MSS option of more than v4 or v6 (0: leave it) becomes that, and the checksum follows (RFC 1624), be it
 * complete or still to be completed. True: changed.
 */
bool mss_clamp(struct frame *f, unsigned v4, unsigned v6);

/* Is a packet of it longer than mtu, when its segments are cut as its header says? Frames without IP: their body. */
bool mss_exceeds(const struct frame *f, unsigned mtu);

enum { MSS_REPLY_MAX = 1302 };	/* the smallest MTU of IPv6 and two VLAN tags */
/*
 * The answer to f in its sender's name for "too long, mtu is": ICMP fragmentation needed (RFC 1191), ICMPv6 packet too big (RFC
 * 4443), as if it came from where f goes. Its length; 0: nothing may be said (no IP, may be cut by routers, a group address, itself
 * an error).
 */
size_t mss_reply(const struct frame *f, unsigned mtu, uint8_t buf[MSS_REPLY_MAX]);
