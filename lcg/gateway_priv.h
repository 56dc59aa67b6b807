/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the gateway: gateway.c is its life, plan.c a change of all of it, status.c what can be said about it, verbs.c who may
 * ask.
 */
#pragma once
#include "lcg/config.h"
#include "lcg/drops.h"
#include "lcg/gateway.h"
#include "lcg/lan.h"
#include "lcg/mirror.h"
#include "lcg/nic.h"
#include "lcg/introductions.h"
#include "lcg/segment.h"
#include "lcg/trust.h"
#include "lib/control.h"

enum { GATEWAY_VIDS = LCG_VID_MAX + 1 };

/* A LAN and which segment its frames are of. */
struct attachment {
	struct gateway *gateway;
	struct lan *lan;
	struct segment *trunk, *untagged, *by_vid[GATEWAY_VIDS];
	uint64_t drop_vid;		/* frames with a tag that no segment has */
	struct drops_told told;
};

/* A segment and what it is connected to. */
struct seat {
	struct gateway *gateway;
	struct segment *segment;
	struct attachment *at;
	struct mirror *mirror;
	struct drops_told told;
};

/* All that a configuration is made of. */
struct parts {
	struct lcg_config *config;
	struct trust *trust;
	struct control *control;
	struct attachment *lan[LCG_LANS];	/* as many and in the order as in config */
	struct seat *seat[LCG_SEGMENTS];
	struct nic *nic[LCG_NICS];
	unsigned lans, seats, nics;
	struct mirror *mirror[LCG_SEGMENTS];	/* of seats; in a plan: what they will have */
};

struct gateway {
	struct loop *loop;
	char *path;
	struct netdevs *devs;
	struct loop_timer *tick;
	struct introductions *introductions;
	struct parts parts;
	uint64_t started_ns, reloads, reload_failures;
	time_t loaded;
};

extern const struct control_verb gateway_verbs[];

/* The first configuration, too: the gateway is empty then. Nothing has changed after a failure. */
int plan_carry_out(struct gateway *gateway, struct lcg_config *config, struct err *err) must_check;
void parts_drop(struct gateway *gateway, struct parts *parts);		/* all of it; the trust is left */

/* What the parts call. */
void gateway_on_lan_frame(void *attachment, struct frame *f);
void gateway_on_lan_works(void *attachment, bool works);
void gateway_on_renewed(void *gateway);
extern const struct segment_ops gateway_segment_ops, gateway_segment_ops_mirrored;
/* Each second. */
void gateway_tell_drops(struct gateway *gateway, uint64_t now_ns);
/* MTUs and carriers to where they are needed. */
void gateway_spread(struct gateway *gateway);
