/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has which IP: a table learnt from ARP (RFC 826) and neighbour discovery (RFC 4861) that goes by, per VLAN, bounded and aged.
 * It answers requests in the owner's name, so that they need not be sent to everybody, and makes the announcements of a takeover.
 * Addresses of servers are pinned: what goes by can't change them. Time is given by the caller. One thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"
#include "lib/l2/frame.h"
#include "lib/l2/rule.h"

enum { NEIGHBOUR_AGE_S = 120, NEIGHBOUR_FRAME = 94 };

struct neighbours;

struct neighbours_counters { uint64_t learned, moved, evicted, refused, answered; };

/* size: addresses, 16 to 2^20; age_s: how long one that did not show itself is answered for */
int neighbours_create(unsigned size, uint32_t age_s, struct neighbours **table) must_check;
void neighbours_free(struct neighbours *table);
/* -EEXIST: pinned to another MAC; -ENOSPC: all are pinned; -EINVAL: a group address. */
int neighbours_pin(struct neighbours *table, uint16_t vid, struct address ip, const uint8_t mac[FRAME_MAC]) must_check;
void neighbours_unpin(struct neighbours *table, uint16_t vid, struct address ip);
/* Learn from a parsed frame, if it tells; guards have passed it. False: it claims an address that is pinned to another MAC. */
bool neighbours_learn(struct neighbours *table, const struct frame *f, uint64_t now_ns);
/*
 * If f asks everybody for an address that is known, the owner's answer is written into buf, to be sent back where f came from,
 * and f goes no further. Its length; 0: let f pass (no request, not known, or one that looks for a duplicate).
 */
size_t neighbours_answer(struct neighbours *table, const struct frame *f, uint8_t buf[NEIGHBOUR_FRAME], uint64_t now_ns);
/* The MAC that has ip, or NULL. Lives until the next call. */
const uint8_t *neighbours_find(struct neighbours *table, uint16_t vid, struct address ip, uint64_t now_ns);
void neighbours_forget(struct neighbours *table, const uint8_t mac[FRAME_MAC]);	/* all of it that is not pinned */
const struct neighbours_counters *neighbours_counters(const struct neighbours *table);

/*
 * Announcements of mac, for switches and hosts to notice that it is here now; vid: FRAME_NO_VID for none. The length written.
 * ARP: a gratuitous request (RFC 5227 §3); NA: unsolicited, to all nodes, overriding; RARP: names no IP, for switches only.
 */
size_t neighbour_announce_arp(uint8_t buf[NEIGHBOUR_FRAME], uint16_t vid, const uint8_t mac[FRAME_MAC], struct address ip);
size_t neighbour_announce_na(uint8_t buf[NEIGHBOUR_FRAME], uint16_t vid, const uint8_t mac[FRAME_MAC], struct address ip);
size_t neighbour_announce_rarp(uint8_t buf[NEIGHBOUR_FRAME], uint16_t vid, const uint8_t mac[FRAME_MAC]);
