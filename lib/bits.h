/* SPDX-License-Identifier: Apache-2.0 */
/* Bit fields and fixed-endian values at unaligned addresses. */
#pragma once
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BIT(n) (1u << (n))
#define BIT64(n) (1ull << (n))

static inline uint64_t bits_mask(unsigned size) { return size >= 8 ? ~0ull : BIT64(size * 8) - 1; }
static inline bool bits_is_pow2(uint64_t v) { return v && !(v & (v - 1)); }
static inline uint64_t bits_align_up(uint64_t v, uint64_t to) { return (v + to - 1) & ~(to - 1); }

static inline uint16_t get_le16(const void *p) { uint16_t v; memcpy(&v, p, 2); return le16toh(v); }
static inline uint32_t get_le32(const void *p) { uint32_t v; memcpy(&v, p, 4); return le32toh(v); }
static inline uint64_t get_le64(const void *p) { uint64_t v; memcpy(&v, p, 8); return le64toh(v); }
static inline uint16_t get_be16(const void *p) { uint16_t v; memcpy(&v, p, 2); return be16toh(v); }
static inline uint32_t get_be32(const void *p) { uint32_t v; memcpy(&v, p, 4); return be32toh(v); }
static inline uint64_t get_be64(const void *p) { uint64_t v; memcpy(&v, p, 8); return be64toh(v); }
static inline void put_le16(void *p, uint16_t v) { v = htole16(v); memcpy(p, &v, 2); }
static inline void put_le32(void *p, uint32_t v) { v = htole32(v); memcpy(p, &v, 4); }
static inline void put_le64(void *p, uint64_t v) { v = htole64(v); memcpy(p, &v, 8); }
static inline void put_be16(void *p, uint16_t v) { v = htobe16(v); memcpy(p, &v, 2); }
static inline void put_be32(void *p, uint32_t v) { v = htobe32(v); memcpy(p, &v, 4); }
static inline void put_be64(void *p, uint64_t v) { v = htobe64(v); memcpy(p, &v, 8); }

/* size (1, 2, 4, 8) little-endian bytes of a register file image */
static inline uint64_t get_le(const void *p, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, p, size > 8 ? 8 : size);
	return le64toh(v);
}
static inline void put_le(void *p, unsigned size, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, size > 8 ? 8 : size);
}
