/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network interfaces of this namespace as the kernel tells about them (rtnetlink), at once when something changes: a cable
 * that is pulled must not wait for a timer. On the loop's thread.
 */
#pragma once
#include <net/if.h>
#include <stdbool.h>
#include "lib/loop.h"

struct netdevs;

struct netdev {
	int index, master, lower;	/* master: the bridge it is a member of; lower: what it stands on; 0: none */
	char name[IFNAMSIZ];
	bool up, carrier;		/* switched on; its cable works */
	uint32_t mtu;
	uint8_t mac[6];
	char kind[16];			/* "bridge", "macvtap", …; "" */
	uint32_t macvlan_mode;		/* MACVLAN_MODE_… of a macvtap */
};

enum { NETDEVS = 4096 };

/* Reads all once. changed: after something did, once for what came together. */
int netdevs_create(struct loop *loop, loop_fn *changed, void *ctx, struct netdevs **devs, struct err *err) must_check;
void netdevs_free(struct netdevs *devs);	/* NULL is fine */
/* Until the next change. NULL: there is none. */
const struct netdev *netdevs_find(const struct netdevs *devs, const char *name);
const struct netdev *netdevs_at(const struct netdevs *devs, unsigned i);	/* NULL past the end */
/* Read again now, for somebody who has just made an interface; changed is not called. */
int netdevs_refresh(struct netdevs *devs, struct err *err) must_check;
