/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 802.1Q tags (IEEE 802.1Q-2018 §9.6) put on and taken off frames in place; the offsets of the virtio-net header move along.
 * The kernel's VLAN devices are not needed. Pure functions; any thread.
 */
#pragma once
#include "lib/l2/frame.h"

enum { VLAN_TAG = 4, VLAN_TPID = 0x8100, VLAN_TPID_SERVICE = 0x88a8, VLAN_VID_MASK = 0x0fff, VLAN_NO_TCI = 0x10000 };

/* The outer tag of 802.1Q: priority, DEI and VID; VLAN_NO_TCI: none. */
uint32_t vlan_tci(const struct frame *f);
/* vlan_tci is not VLAN_NO_TCI. The frame then begins VLAN_TAG bytes later. What frame_parse found is void. */
void vlan_pop(struct frame *f);
/* VLAN_TAG bytes in front of data, beside its headroom, are writable. What frame_parse found is void. */
void vlan_push(struct frame *f, uint16_t tpid, uint16_t tci);
