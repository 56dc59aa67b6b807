/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hull-l2/1, the messages between a gateway and a server's NIC, and between two servers of a segment (docs/wire.md has every
 * byte). All integers little-endian. A message is a header of 4 bytes (24 bits of length, 8 bits of type) and its body. The one
 * who dialled is the caller (gateway, or a server that calls another); the other, which parked or listens, is the server end.
 *
 *   HELLO      JSON object, at most WIRE_HELLO_MAX, the first message of each side on each connection; the caller's comes first
 *   FRAME      virtio_net_hdr_v1 (12 bytes) and the Ethernet frame, at most WIRE_FRAME_MAX
 *   CONSUMED   u64: bytes of FRAME messages (headers included) taken from this connection since it began
 *   BEAT       caller → server end on lane 0, each WIRE_BEAT_MS: u64 stamp (the caller's clock, ns, rising), u64 flags
 *              (WIRE_BEAT_LAN: its LAN side works), u32 priority, u32 round trip as measured, smoothed and
 *              four mean deviations, in µs (0: not known yet)
 *   GRANT      server end → caller, answers each BEAT, and once more when the answer changes: u64 the beat's stamp, u32 lease in
 *              ms, u8 state (wire_grant_state), u8[3] zero
 *   RELEASE    caller → server end on lane 0: gives up its lease at once (an orderly stop, or it was told to): u64 stamp, as of a
 *              BEAT; a lease that answers a younger BEAT is not meant
 *   PEERS      gateway → server end on lane 0: JSON object, at most WIRE_PEERS_MAX: other servers of the segment and tickets
 *
 * A message of another type, or one that is longer than its type allows, ends the connection. Pure functions; any thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"
#include "lib/l2/frame.h"

#define WIRE_ALPN "hull-l2/1"

enum wire_type { WIRE_HELLO = 1, WIRE_FRAME, WIRE_CONSUMED, WIRE_BEAT, WIRE_GRANT, WIRE_RELEASE, WIRE_PEERS, WIRE_TYPES };
enum { WIRE_HEADER = 4, WIRE_VNET = 12, WIRE_HELLO_MAX = 8192, WIRE_PEERS_MAX = 65536, WIRE_FRAME_MAX = WIRE_VNET + FRAME_MAX,
	WIRE_MESSAGE_MAX = WIRE_HEADER + WIRE_FRAME_MAX, WIRE_BEAT_MS = 100 };
enum { WIRE_BEAT_LAN = 1 };
/* No; yes, and by this path; your lease runs, but send by another path of yours. */
enum wire_grant_state { WIRE_STANDBY, WIRE_ACTIVE, WIRE_OTHER_PATH, WIRE_GRANT_STATES };

struct wire_beat { uint64_t stamp_ns, flags; uint32_t priority, rtt_us; };
/* moves: how often, of 256, flows came to the gateway's way that had gone to another server directly. */
struct wire_grant { uint64_t stamp_ns; uint32_t lease_ms; enum wire_grant_state state; uint8_t moves; };

struct wire_message {
	enum wire_type type;
	const uint8_t *body;	/* inside the bytes that were given */
	size_t len;
	union { uint64_t consumed, release_ns; struct wire_beat beat; struct wire_grant grant; };
};

/*
 * Take one message off the front of len bytes. *used: bytes it takes; 0 when more are needed. -EPROTO: the peer breaks the
 * rules, which is said as soon as the header shows it; the text says which.
 */
int wire_parse(const uint8_t *data, size_t len, size_t *used, struct wire_message *m, struct err *err) must_check;
/*
 * Write header and virtio-net header into the FRAME_HEADROOM bytes before f->data; returns where the message starts.
 */
uint8_t *wire_put_frame(struct frame *f, size_t *len);
/* Bytes written into buf (WIRE_SMALL). */
enum { WIRE_SMALL = 32 };
size_t wire_put_consumed(uint8_t buf[WIRE_SMALL], uint64_t consumed);
size_t wire_put_beat(uint8_t buf[WIRE_SMALL], const struct wire_beat *beat);
size_t wire_put_grant(uint8_t buf[WIRE_SMALL], const struct wire_grant *grant);
size_t wire_put_release(uint8_t buf[WIRE_SMALL], uint64_t stamp_ns);
/* The header alone, for a body that follows (HELLO, PEERS). */
void wire_put_header(uint8_t buf[WIRE_HEADER], enum wire_type type, size_t len);
const char *wire_type_name(enum wire_type type);	/* "HELLO", …; "?" */
