/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out that what a gateway sends to a LAN port comes back to it, without BPDUs: it sends small probes with a random mark to a
 * group of its own (EtherType 0x88b5, local experiments), and no switch swallows them. One that returns shuts the port for a while;
 * then it is opened, probed, and shut for longer when it still loops. Frames from the LAN with a MAC that only we send with are
 * told to it too: they are dropped by the caller anyway, and ask for a probe now, but prove nothing, because anybody can forge
 * them. Time is given by the caller. One thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"
#include "lib/l2/frame.h"
#include "lib/l2/rate.h"

enum { LOOPGUARD_FRAME = 64, LOOPGUARD_PROBE_S = 5, LOOPGUARD_SHUT_S = 10, LOOPGUARD_SHUT_MAX_S = 300 };

struct loopguard_counters { uint64_t probes, loops, own_mac, foreign, drop_shut, drop_storm; };

/* One port of a LAN. The caller sets it up with loopguard_init and touches nothing in it. */
struct loopguard {
	uint8_t mac[FRAME_MAC], mark[16], sent_mark[2][16];
	struct rate storm;
	uint64_t probe_ns, shut_until_ns, opened_ns;
	uint32_t shut_s;
	struct loopguard_counters counters;
};

/* PASS; PROBE: a probe, ours or another gateway's, goes nowhere; SHUT: the port loops, nothing passes; STORM. */
enum loopguard_verdict { LOOPGUARD_PASS, LOOPGUARD_PROBE, LOOPGUARD_SHUT, LOOPGUARD_STORM };

/* mac: what probes are sent from; storm: frames to everybody a second that the LAN may send us, 0: no limit */
void loopguard_init(struct loopguard *guard, const uint8_t mac[FRAME_MAC], struct rate_limit storm);
/* A probe, when one is due: to be sent out untagged, or on each VLAN. Its length, or 0. -EIO: no randomness. */
int loopguard_probe(struct loopguard *guard, uint8_t buf[LOOPGUARD_FRAME], uint64_t now_ns) must_check;
/* When loopguard_probe has something to do again. */
uint64_t loopguard_due(const struct loopguard *guard);
/* Each frame from the LAN, parsed. */
enum loopguard_verdict loopguard_input(struct loopguard *guard, const struct frame *f, uint64_t now_ns);
/* Each frame to the LAN. False: shut, drop it. */
bool loopguard_output(struct loopguard *guard, uint64_t now_ns);
/* A frame with a source that only we send with came from the LAN. */
void loopguard_own_mac(struct loopguard *guard, uint64_t now_ns);
bool loopguard_is_shut(const struct loopguard *guard, uint64_t now_ns);
