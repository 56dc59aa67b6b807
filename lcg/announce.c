/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/announce.h"
#include <string.h>
#include "lib/buf.h"
#include "lib/l2/checksum.h"

enum { TYPE_ARP = 0x0806, TYPE_RARP = 0x8035, TYPE_IP6 = 0x86dd, ARP_REQUEST = 1, RARP_REQUEST = 3, ICMP6 = 58, ND_ADVERTISEMENT = 136,
	ND_OVERRIDE = 0x20, ND_TARGET_MAC = 2, MIN_FRAME = 60 };

static const uint8_t everybody[FRAME_MAC] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static size_t arp(uint8_t *buf, uint16_t type, uint16_t operation, const uint8_t *mac, const uint8_t *target_mac, const uint8_t *ip)
{
	struct wbuf w = wbuf_of(buf, MIN_FRAME);

	wbuf_put(&w, everybody, FRAME_MAC);
	wbuf_put(&w, mac, FRAME_MAC);
	wbuf_be16(&w, type);
	wbuf_be16(&w, 1);		/* Ethernet */
	wbuf_be16(&w, 0x0800);
	wbuf_u8(&w, FRAME_MAC);
	wbuf_u8(&w, 4);
	wbuf_be16(&w, operation);
	wbuf_put(&w, mac, FRAME_MAC);
	wbuf_put(&w, ip, 4);
	wbuf_put(&w, target_mac, FRAME_MAC);
	wbuf_put(&w, ip, 4);
	wbuf_zero(&w, wbuf_left(&w));
	return w.pos;
}

size_t announce_mac(uint8_t buf[ANNOUNCE_MAX], const uint8_t mac[FRAME_MAC])
{
	return arp(buf, TYPE_RARP, RARP_REQUEST, mac, mac, (const uint8_t[4]){ 0 });
}

size_t announce_ip4(uint8_t buf[ANNOUNCE_MAX], const uint8_t mac[FRAME_MAC], const uint8_t ip[4])
{
	return arp(buf, TYPE_ARP, ARP_REQUEST, mac, (const uint8_t[FRAME_MAC]){ 0 }, ip);
}

size_t announce_ip6(uint8_t buf[ANNOUNCE_MAX], const uint8_t mac[FRAME_MAC], const uint8_t ip[16])
{
	static const uint8_t group_mac[FRAME_MAC] = { 0x33, 0x33, 0, 0, 0, 1 };
	static const uint8_t group[16] = { 0xff, 0x02, [15] = 1 };
	struct wbuf w = wbuf_of(buf, ANNOUNCE_MAX);
	size_t ip_at, l4;
	uint64_t sum;

	wbuf_put(&w, group_mac, FRAME_MAC);
	wbuf_put(&w, mac, FRAME_MAC);
	wbuf_be16(&w, TYPE_IP6);
	ip_at = w.pos;
	wbuf_be32(&w, 0x60000000);
	wbuf_be16(&w, 32);
	wbuf_u8(&w, ICMP6);
	wbuf_u8(&w, 255);
	wbuf_put(&w, ip, 16);
	wbuf_put(&w, group, 16);
	l4 = w.pos;
	wbuf_u8(&w, ND_ADVERTISEMENT);
	wbuf_u8(&w, 0);
	wbuf_be16(&w, 0);
	wbuf_u8(&w, ND_OVERRIDE);
	wbuf_zero(&w, 3);
	wbuf_put(&w, ip, 16);
	wbuf_u8(&w, ND_TARGET_MAC);
	wbuf_u8(&w, 1);
	wbuf_put(&w, mac, FRAME_MAC);
	sum = net_sum(net_sum_be16(net_sum_pseudo(buf + ip_at, 1, ICMP6), (uint16_t)(w.pos - l4)), buf + l4, w.pos - l4);
	net_sum_store(buf + l4 + 2, (uint16_t)~net_sum_fold(sum));
	return w.pos;
}
