/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a gateway says on the LAN when it begins to serve a NIC, in the server's name, so that switches learn the MAC's new place and neighbours what
 * they know already: RARP for the MAC (as hypervisors do, RFC 903), ARP announcements (RFC 5227 §3), unsolicited neighbour advertisements
 * (RFC 4861 §7.2.6). Each writes one whole frame into buf and returns its length. Pure functions; any thread.
 */
#pragma once
#include "lib/l2/frame.h"

enum { ANNOUNCE_MAX = 86 };

size_t announce_mac(uint8_t buf[ANNOUNCE_MAX], const uint8_t mac[FRAME_MAC]);
size_t announce_ip4(uint8_t buf[ANNOUNCE_MAX], const uint8_t mac[FRAME_MAC], const uint8_t ip[4]);
size_t announce_ip6(uint8_t buf[ANNOUNCE_MAX], const uint8_t mac[FRAME_MAC], const uint8_t ip[16]);
