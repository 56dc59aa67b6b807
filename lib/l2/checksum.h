/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Internet checksum (RFC 1071), summed eight bytes at a time in the machine's own byte order, which the sum does not
 * care about: a folded sum is stored as it is. Pieces after the first must start at an even offset of the whole.
 * Pure functions; any thread.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Add len bytes to a running sum (start with 0). */
uint64_t net_sum(uint64_t sum, const void *data, size_t len);
/* Add one 16-bit value that the protocol sends big-endian. */
uint64_t net_sum_be16(uint64_t sum, uint16_t v);
/* Fold to 16 bits: store with net_sum_store, or its complement as the checksum. */
uint16_t net_sum_fold(uint64_t sum);
void net_sum_store(void *at, uint16_t folded);
/* Pseudo-header of IPv4 or IPv6 at ip (v6: 40 bytes there), without the length: source, destination, protocol. */
uint64_t net_sum_pseudo(const uint8_t *ip, int v6, uint8_t proto);
