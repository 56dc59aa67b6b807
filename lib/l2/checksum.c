/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/checksum.h"
#include <arpa/inet.h>
#include <string.h>

static uint64_t add(uint64_t sum, uint64_t v)
{
	sum += v;
	return sum + (sum < v);
}

uint64_t net_sum(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t v[4];

	for (; len >= sizeof v; len -= sizeof v, p += sizeof v) {
		memcpy(v, p, sizeof v);
		sum = add(add(add(add(sum, v[0]), v[1]), v[2]), v[3]);
	}
	for (; len >= 8; len -= 8, p += 8) {
		memcpy(v, p, 8);
		sum = add(sum, v[0]);
	}
	if (len) {
		v[0] = 0;
		memcpy(v, p, len);
		sum = add(sum, v[0]);
	}
	return sum;
}

uint64_t net_sum_be16(uint64_t sum, uint16_t v)
{
	return add(sum, htons(v));
}

uint16_t net_sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

void net_sum_store(void *at, uint16_t folded)
{
	memcpy(at, &folded, 2);
}

uint64_t net_sum_pseudo(const uint8_t *ip, int v6, uint8_t proto)
{
	uint64_t sum = v6 ? net_sum(0, ip + 8, 32) : net_sum(0, ip + 12, 8);

	return net_sum_be16(sum, proto);
}
