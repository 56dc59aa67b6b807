/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which receive queue a frame goes to (virtio 1.2 §5.1.6.5.6): the one beside the transmit queue that its flow was last sent on, so
 * that one CPU of the server has both directions.
 */
#include "hv/dev/virtio_net_priv.h"
#include "lib/l2/offload.h"

static uint32_t sum_words(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 4)
		sum += get_le32(p + i);
	return sum;
}

/* Ports, where a first or only fragment has them: sums, which both directions share. */
static uint32_t ports(const uint8_t *head, size_t len, size_t at, uint8_t proto)
{
	if ((proto != NET_IP_TCP && proto != NET_IP_UDP) || at + 4 > len)
		return proto;
	return proto + (uint32_t)get_be16(head + at) + get_be16(head + at + 2);
}

static uint32_t hash_ip(const uint8_t *head, size_t len, size_t at, uint16_t type)
{
	const uint8_t *ip = head + at;

	if (type == NET_ETH_IPV4 && at + 20 <= len) {
		bool fragment = get_be16(ip + 6) & 0x3fff;

		return sum_words(ip + 12, 8) + (fragment ? ip[9] : ports(head, len, at + (ip[0] & 15u) * 4u, ip[9]));
	}
	if (type == NET_ETH_IPV6 && at + 40 <= len)
		return sum_words(ip + 8, 32) + ports(head, len, at + 40, ip[6]);
	return 0;
}

uint8_t virtio_net_flow(const uint8_t *head, size_t len)
{
	uint32_t hash = 0;
	uint16_t type = 0;
	size_t at = 12;

	for (unsigned tags = 0; at + 2 <= len && tags < 3; tags++, at += 4) {
		type = get_be16(head + at);
		if (type != NET_ETH_VLAN && type != NET_ETH_QINQ) {
			hash = hash_ip(head, len, at + 2, type);
			break;
		}
	}
	hash *= 0x9e3779b1u;	/* every bit of the sum moves the top ones */
	return (uint8_t)(hash >> 24);
}
