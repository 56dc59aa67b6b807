/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An Ethernet frame on its way, as a view: the virtio-net header that says how to segment it (virtio 1.1 §5.1.6), its bytes,
 * and where its headers are. Up to 64 KiB travel as one frame. Nothing here owns memory; pure functions; any thread.
 */
#pragma once
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"

enum {
	FRAME_MAX = 65536 + 22,		/* Ethernet header and two VLAN tags before 64 KiB */
	FRAME_MIN = 14,
	FRAME_HEADROOM = 16,		/* writable bytes in front of data: the message header of lib/l2/wire.h goes there */
	FRAME_MAC = 6,
	FRAME_NO_VID = 0xffff,
};

struct frame {
	/*
	 * Little-endian; num_buffers unused. frame_parse checks it against the bytes, clears what has no meaning, and refuses
	 * checksums to be completed that would be stored into Ethernet or IP headers, or ports.
	 */
	struct virtio_net_hdr_v1 hdr;
	uint8_t *data;			/* destination MAC first; FRAME_HEADROOM writable bytes stand before it */
	size_t len;
	/* filled by frame_parse */
	uint16_t vid;			/* of the outer 802.1Q tag; FRAME_NO_VID: untagged (priority tags, VID 0, too) */
	uint16_t type;			/* EtherType behind up to two tags; below 0x600: an 802.3 length */
	uint16_t body;			/* offset of what is behind the EtherType */
	/* offsets; 0: there is none. l4 and payload: TCP, UDP, ICMP and ICMPv6 of a first fragment or a whole packet */
	uint16_t l3, l4, payload;
	uint8_t proto;			/* of IP, behind IPv6 extension headers; 0: not IP */
	bool fragment;			/* a later fragment: has no l4 */
	uint16_t cut;			/* of a fragment, the first too: offset of IPv4's header or IPv6's fragment header; else 0 */
	uint32_t end;			/* of the IP packet: Ethernet padding is behind it */
	uint32_t hash;			/* of the flow; both directions have the same */
};

/* Why a frame is no frame; names in frame_cause_name. */
enum frame_cause { FRAME_OK, FRAME_SHORT, FRAME_LONG, FRAME_BAD_OFFLOAD, FRAME_BAD_IP, FRAME_CAUSES };

/*
 * Fill what stands below data and len. A cause other than FRAME_OK: drop it. IP that is merely cut or odd is no such cause:
 * the frame passes without l3 or l4. FRAME_BAD_IP: the header wants a packet segmented that is none.
 */
enum frame_cause frame_parse(struct frame *f) must_check;
const char *frame_cause_name(enum frame_cause cause);	/* "short", … */

static inline const uint8_t *frame_dst(const struct frame *f) { return f->data; }
static inline const uint8_t *frame_src(const struct frame *f) { return f->data + FRAME_MAC; }
static inline bool frame_is_multicast(const struct frame *f) { return f->data[0] & 1; }	/* broadcast too */

/* "52:54:00:12:34:56" in both directions. */
enum { FRAME_MAC_TEXT = 18 };
void frame_mac_text(const uint8_t mac[FRAME_MAC], char text[FRAME_MAC_TEXT]);
int frame_mac_parse(const char *text, uint8_t mac[FRAME_MAC]) must_check;	/* -EINVAL */
