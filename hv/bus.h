/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port and MMIO ranges → handler. One bus for ports, one for MMIO. All calls under the device lock (hv/machine.h): the
 * single lock around every chip core, taken once per exit; so handlers may add, move and remove ranges, also their own.
 * A read outside every range gives all ones; a write is dropped. An access that no single range holds whole, or whose
 * size is none of 1, 2, 4 and 8, is split into bytes.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/err.h"

struct bus_ops {
	/* off: from the range's base; size 1, 2, 4 or 8 and off + size <= len. Upper bits of the result are ignored. */
	uint64_t (*read)(void *ctx, uint64_t off, unsigned size);
	void (*write)(void *ctx, uint64_t off, unsigned size, uint64_t val);
};

struct bus_range {
	uint64_t base, len;
	const struct bus_ops *ops;	/* both slots set */
	void *ctx;
	const char *name;		/* for traces, static */
	int priority;			/* the highest answers; BARs use 0, the chipset's 1, the board's 2 */
	uint64_t hits;			/* accesses answered, also over moves */
	bool mapped, overlaps;		/* the bus's own */
};

#define BUS_MAX_RANGES 512

struct bus {
	struct bus_range *range[BUS_MAX_RANGES];	/* sorted by base */
	unsigned count;
	struct bus_range *last;		/* most recent hit on a range that overlaps no other */
	uint64_t unclaimed;		/* accesses nobody answered */
};

/* The range is the caller's, and stays put while mapped. -ENOSPC, -EINVAL (empty or wraps). */
int bus_add(struct bus *bus, struct bus_range *range) must_check;
void bus_remove(struct bus *bus, struct bus_range *range);	/* fine when not mapped */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size);
void bus_write(struct bus *bus, uint64_t addr, unsigned size, uint64_t val);
