/* SPDX-License-Identifier: Apache-2.0 */
/* Frames for tests: TCP or UDP over IPv4 or IPv6, with right checksums, and a slow check of them. Header only. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "lib/bits.h"

static inline uint32_t frames_sum(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		sum += (uint32_t)p[i] << (i & 1 ? 0 : 8);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

/* Sum of pseudo header and L4 packet of len bytes: 0xffff when right. */
static inline uint32_t frames_l4_sum(const uint8_t *ip, bool v6, bool tcp, const uint8_t *l4, size_t len)
{
	uint32_t sum = frames_sum(0, ip + (v6 ? 8 : 12), v6 ? 32 : 8) + (tcp ? 6 : 17) + (uint32_t)len;

	sum = frames_sum((sum & 0xffff) + (sum >> 16), l4, len);
	return (sum & 0xffff) + (sum >> 16);
}

/* Write a frame with payload bytes 0, 1, 2, …; returns its length. Destination 52:54:00:00:00:01 unless changed later. */
static inline size_t frames_make(uint8_t *f, bool v6, bool tcp, size_t payload)
{
	size_t l4 = v6 ? 54 : 34, head = tcp ? 20 : 8, n = head + payload;
	uint32_t sum;

	memset(f, 0, l4 + head);
	memcpy(f, "\x52\x54\x00\x00\x00\x01\x52\x54\x00\x00\x00\x02", 12);
	put_be16(f + 12, v6 ? 0x86dd : 0x0800);
	if (v6) {
		f[14] = 0x60;
		put_be16(f + 18, (uint16_t)n);
		f[20] = tcp ? 6 : 17;
		f[21] = 64;
		f[22] = f[38] = 0xfd;
		f[37] = 1;
		f[53] = 2;
	} else {
		f[14] = 0x45;
		put_be16(f + 16, (uint16_t)(20 + n));
		put_be16(f + 18, 0x1234);
		f[22] = 64;
		f[23] = tcp ? 6 : 17;
		memcpy(f + 26, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
		sum = ~frames_sum(0, f + 14, 20);
		put_be16(f + 24, (uint16_t)sum);
	}
	put_be16(f + l4, 1000);
	put_be16(f + l4 + 2, 2000);
	if (tcp) {
		put_be32(f + l4 + 4, 0x1000);
		f[l4 + 12] = 0x50;
		f[l4 + 13] = 0x19;	/* ACK, PSH, FIN */
	} else {
		put_be16(f + l4 + 4, (uint16_t)n);
	}
	for (size_t i = 0; i < payload; i++)
		f[l4 + head + i] = (uint8_t)(i * 7 + (i >> 8));
	sum = ~frames_l4_sum(f + 14, v6, tcp, f + l4, n);
	put_be16(f + l4 + (tcp ? 16 : 6), (uint16_t)sum);
	return l4 + n;
}

/* Replace the L4 checksum by the folded pseudo-header sum, as NEEDS_CSUM wants it. */
static inline void frames_make_partial(uint8_t *f, bool v6, bool tcp, size_t len)
{
	size_t l4 = v6 ? 54 : 34;

	put_be16(f + l4 + (tcp ? 16 : 6), (uint16_t)frames_l4_sum(f + 14, v6, tcp, f, 0));
	put_be16(f + l4 + (tcp ? 16 : 6), (uint16_t)frames_sum(get_be16(f + l4 + (tcp ? 16 : 6)) + (uint32_t)(len - l4), f, 0));
}

static inline bool frames_valid(const uint8_t *f, bool v6, bool tcp, size_t len)
{
	size_t l4 = v6 ? 54 : 34;

	if (v6 ? get_be16(f + 18) != len - 54 : get_be16(f + 16) != len - 14 || frames_sum(0, f + 14, 20) != 0xffff)
		return false;
	if (!tcp && get_be16(f + l4 + 4) != len - l4)
		return false;
	return frames_l4_sum(f + 14, v6, tcp, f + l4, len - l4) == 0xffff;
}
