/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/mem.h"
#include <errno.h>
#include <string.h>

int mem_add(struct mem *mem, uint64_t gpa, uint64_t len, void *host, bool readonly)
{
	if (!len || gpa + len < gpa)
		return -EINVAL;
	if (mem->count == MEM_MAX_REGIONS)
		return -ENOSPC;
	for (unsigned i = 0; i < mem->count; i++) {
		const struct mem_region *r = &mem->region[i];

		if (gpa < r->gpa + r->len && r->gpa < gpa + len)
			return -EEXIST;
	}
	mem->region[mem->count++] = (struct mem_region){ .gpa = gpa, .len = len, .host = host, .readonly = readonly };
	return 0;
}

/* The region that holds gpa, and how much of [gpa, gpa+len) it holds. */
static const struct mem_region *find(const struct mem *mem, uint64_t gpa, uint64_t *len)
{
	for (unsigned i = 0; i < mem->count; i++) {
		const struct mem_region *r = &mem->region[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->len) {
			uint64_t left = r->len - (gpa - r->gpa);

			if (*len > left)
				*len = left;
			return r;
		}
	}
	return NULL;
}

const void *mem_at_const(const struct mem *mem, uint64_t gpa, uint64_t len)
{
	uint64_t have = len;
	const struct mem_region *r = find(mem, gpa, &have);

	if (!r || !len || have < len)
		return NULL;
	return r->host + (gpa - r->gpa);
}

void *mem_at(const struct mem *mem, uint64_t gpa, uint64_t len)
{
	uint64_t have = len;
	const struct mem_region *r = find(mem, gpa, &have);

	if (!r || !len || have < len || r->readonly)
		return NULL;
	return r->host + (gpa - r->gpa);
}

/* True when all of [gpa, gpa+len) is memory (writable memory, for a write). */
static bool covers(const struct mem *mem, uint64_t gpa, uint64_t len, bool write)
{
	while (len) {
		uint64_t have = len;
		const struct mem_region *r = find(mem, gpa, &have);

		if (!r || (write && r->readonly))
			return false;
		gpa += have;
		len -= have;
	}
	return true;
}

int mem_read(const struct mem *mem, uint64_t gpa, void *dst, uint64_t len)
{
	uint8_t *to = dst;

	if (!covers(mem, gpa, len, false)) {
		memset(dst, 0, len);
		return -EFAULT;
	}
	while (len) {
		uint64_t have = len;
		const struct mem_region *r = find(mem, gpa, &have);

		memcpy(to, r->host + (gpa - r->gpa), have);
		to += have;
		gpa += have;
		len -= have;
	}
	return 0;
}

int mem_write(const struct mem *mem, uint64_t gpa, const void *src, uint64_t len)
{
	const uint8_t *from = src;

	if (!covers(mem, gpa, len, true))
		return -EFAULT;
	while (len) {
		uint64_t have = len;
		const struct mem_region *r = find(mem, gpa, &have);

		memcpy(r->host + (gpa - r->gpa), from, have);
		from += have;
		gpa += have;
		len -= have;
	}
	return 0;
}
