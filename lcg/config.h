/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a gateway shall do: its configuration file (docs/gateway.md), and of each server's environment and placement what the
 * gateway needs. Reading opens no device and no connection; what it returns is complete and checked. Read only afterwards.
 */
#pragma once
#include <net/if.h>
#include <stdbool.h>
#include "crypto/pki/cert.h"
#include "lib/config.h"
#include "lib/l2/filter.h"

enum { LCG_NAME = 32, LCG_LANS = 64, LCG_SEGMENTS = 256, LCG_NICS = 1024, LCG_RELAYS = 4, LCG_LANES = 8, LCG_PRIORITY = 100,
	LCG_PRIORITY_MAX = 1000000, LCG_VID_MAX = 4094 };

enum lan_kind { LAN_TAP, LAN_PACKET, LAN_MACVTAP, LAN_KINDS };
extern const char *const lan_kind_names[LAN_KINDS];

struct lan_config {
	char name[LCG_NAME];
	enum lan_kind kind;
	char device[IFNAMSIZ];
	char bridge[IFNAMSIZ];		/* tap: becomes a member of it; "": none */
	char uplink[IFNAMSIZ];		/* whose carrier says whether the LAN works; "": the device's, a bridge's other members' */
};

enum mirror_kind { MIRROR_NONE, MIRROR_PCAP, MIRROR_TAP };

struct segment_config {
	char name[LCG_NAME];
	unsigned lan;			/* index in lcg_config.lan */
	uint16_t vid;			/* its frames' 802.1Q tag on the LAN; FRAME_NO_VID: untagged */
	bool trunk;			/* every frame of the LAN, tags untouched */
	bool suppress;			/* ARP and ND questions are answered here */
	enum mirror_kind mirror;
	const char *mirror_to;		/* path or device */
};

struct nic_config {
	char server[PKI_NAME_MAX + 1];	/* name in its certificate */
	char nic[LCG_NAME];
	unsigned segment;		/* index in lcg_config.segment */
	uint8_t mac[FRAME_MAC];
	const char *relay[LCG_RELAYS];	/* HOST:PORT; NULL: none */
	const char *direct;		/* HOST:PORT, NULL: none */
	unsigned lanes;			/* 0: not said */
	struct policy *policy;		/* who takes it sets it to NULL */
};

struct lcg_config {
	const char *name;		/* NULL: what the certificate says */
	const char *identity, *lma, *control;	/* lma, control: NULL when not given */
	uint32_t priority;
	unsigned lans, segments, nics;
	struct lan_config lan[LCG_LANS];
	struct segment_config segment[LCG_SEGMENTS];
	struct nic_config nic[LCG_NICS];
	/* the texts that the pointers above stand in */
	struct config *file;
	unsigned placements;
	struct config *placement[LCG_NICS];
	char *words[LCG_NICS];		/* of relay lists */
};

/* Errors name the file, the key and the word. */
int lcg_config_read(const char *path, struct lcg_config **config, struct err *err) must_check;
void lcg_config_free(struct lcg_config *config);	/* NULL is fine */

/* Inside: NICs of one server, added behind those that are there. */
int lcg_config_add_server(struct lcg_config *config, const char *name, const char *environment, const char *placement,
	struct err *err) must_check;
