/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest-physical memory: the one place that turns an address into a pointer, always with a length.
 * Regions are added before vCPUs run and never move, so readers take no lock; any thread may call.
 * Contents are hostile and change under our feet: copy once, check the copy, use the copy.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"

#define MEM_MAX_REGIONS 16

struct mem_region { uint64_t gpa, len; uint8_t *host; bool readonly; };
struct mem {
	struct mem_region region[MEM_MAX_REGIONS];
	unsigned count;
};

/* Add host memory (the caller's, outlives mem) at gpa. -ENOSPC, or -EEXIST when it overlaps. */
int mem_add(struct mem *mem, uint64_t gpa, uint64_t len, void *host, bool readonly) must_check;
/* Pointer to len bytes of one writable region, or NULL. len 0 gives NULL. */
void *mem_at(const struct mem *mem, uint64_t gpa, uint64_t len);
/* The same for reading: ROM too. */
const void *mem_at_const(const struct mem *mem, uint64_t gpa, uint64_t len);
/* Copy, across adjoining regions too. 0, or -EFAULT when any byte is not memory (dst is then zeroed / nothing is written). */
int mem_read(const struct mem *mem, uint64_t gpa, void *dst, uint64_t len) must_check;
int mem_write(const struct mem *mem, uint64_t gpa, const void *src, uint64_t len) must_check;
