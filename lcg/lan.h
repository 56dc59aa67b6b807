/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A LAN that the gateway is attached to: frames come in and go out as the kernel has them, up to 64 KiB as one. Three kinds
 * (lan_ops): a TAP device, usually a bridge's member; a packet socket on an interface; a macvtap device. Whether its cable
 * works comes from lcg/netdev.h. Nothing that a frame says ends anything: what cannot be sent is dropped and counted. On the
 * loop's thread.
 */
#pragma once
#include "lcg/config.h"
#include "lcg/netdev.h"
#include "lib/l2/frame.h"
#include "lib/loop.h"

/*
 * HEADROOM: in front of a received frame, room for the message header and for a tag that the kernel took off. BURST: what comes
 * in before others have their turn, many small frames or few big ones.
 */
enum { LAN_HEADROOM = 32, LAN_BURST = 128, LAN_BURST_BYTES = 262144 };

struct lan;

struct lan_counters {
	struct { uint64_t frames, bytes; } in, out;
	/* full: the interface's queue; down: the interface is; refused: the kernel took it for no frame; short: no frame came in */
	uint64_t drop_full, drop_down, drop_refused, drop_short, drop_kernel, software;	/* software: super-frames cut up here */
	uint64_t coalesced;	/* UDP datagrams that were handed on in super-frames (lib/l2/coalesce.h) */
	uint64_t carrier_changes;
};

struct lan_ops {
	const char *name;
	/* Opens config->device, receives from now on. Errors name the device and say what to do. */
	int (*open)(struct lan *lan, struct err *err);
	/* hdr and a gather list of one frame; 0 or -errno. */
	int (*send)(struct lan *lan, const struct virtio_net_hdr_v1 *hdr, const struct iovec *iov, unsigned n);
	void (*count)(struct lan *lan);	/* brings counters up to date; NULL: they are */
	void (*close)(struct lan *lan);
};

/* A frame came in: parsed by nobody yet, LAN_HEADROOM writable bytes in front. It lives until the call returns. UDP: maybe many. */
typedef void lan_frame_fn(void *ctx, struct frame *f);
typedef void lan_works_fn(void *ctx, bool works);

/* Opens what config says. frame and works are not called before lan_start. */
int lan_create(struct loop *loop, const struct lan_config *config, struct netdevs *devs, struct lan **lan,
	struct err *err) must_check;
void lan_free(struct lan *lan);		/* NULL is fine */
void lan_start(struct lan *lan, lan_frame_fn *frame, lan_works_fn *works, void *ctx);
/* What a configuration names is there. */
int lan_check(const struct lan_config *config, const struct netdevs *devs, struct err *err) must_check;
/* The same device: a new configuration takes it over without a frame lost. */
bool lan_is_same(const struct lan *lan, const struct lan_config *config);
/* Its new name, bridge and uplink, which were checked. */
void lan_rename(struct lan *lan, const struct lan_config *config);
/* netdevs changed: calls works when that did. An interface that came back is opened again. */
void lan_update(struct lan *lan);

/* tci: the tag to put on, VLAN_NO_TCI: none. Never blocks. The frame is not changed. */
void lan_send(struct lan *lan, const struct frame *f, uint32_t tci);
bool lan_works(const struct lan *lan);
uint32_t lan_mtu(const struct lan *lan);	/* 0: not known */
const struct lan_config *lan_config(const struct lan *lan);
const struct lan_counters *lan_counters(struct lan *lan);
