/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port that ends in a Linux TAP device (if_tun.h). Offloads travel whole in both directions, except those the kernel
 * does not take from us, which are segmented here.
 */
#pragma once
#include "hv/net/port.h"
#include "lib/loop.h"

/*
 * Open the existing TAP device name, or take over fd, which is one already attached (with its IFF_VNET_HDR and IFF_NO_PI
 * flags set); fd -1: open by name. The descriptor is the port's, also on failure. loop outlives the port, and runs its
 * callbacks under the device lock. -ENOENT, -EPERM, -EBUSY, -ENODEV, -EINVAL; the message says what to do.
 */
int net_tap_open(const char *name, int fd, struct loop *loop, struct net_port **port, struct err *err) must_check;
