/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of what passes a segment, for an intrusion detection system: into a pcap file, or out of a TAP device that it listens
 * on. Never holds up what it copies. On the loop's thread.
 */
#pragma once
#include "lcg/config.h"
#include "lib/l2/frame.h"

struct mirror;

/* device: the TAP device did not take it; busy, disk: as pcap_counters */
struct mirror_counters { uint64_t frames, drop_device, drop_busy, drop_disk; };

/* kind is not MIRROR_NONE. A TAP device that is not there is made, for as long as the gateway runs. */
int mirror_create(enum mirror_kind kind, const char *to, struct mirror **mirror, struct err *err) must_check;
void mirror_free(struct mirror *mirror);	/* NULL is fine */
bool mirror_is_same(const struct mirror *mirror, enum mirror_kind kind, const char *to);
void mirror_frame(struct mirror *mirror, const struct frame *f);
void mirror_counters(struct mirror *mirror, struct mirror_counters *counters);
