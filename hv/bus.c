/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/bus.h"
#include <errno.h>
#include <string.h>

static bool overlap(const struct bus_range *a, const struct bus_range *b)
{
	return a->base <= b->base + (b->len - 1) && b->base <= a->base + (a->len - 1);
}

int bus_add(struct bus *bus, struct bus_range *range)
{
	unsigned i;

	if (!range->len || range->base + range->len - 1 < range->base)
		return -EINVAL;
	if (range->mapped)
		return -EEXIST;
	if (bus->count == BUS_MAX_RANGES)
		return -ENOSPC;
	range->overlaps = false;
	for (i = 0; i < bus->count; i++) {
		if (overlap(range, bus->range[i]))
			range->overlaps = bus->range[i]->overlaps = true;
	}
	for (i = bus->count; i > 0 && bus->range[i - 1]->base > range->base; i--)
		bus->range[i] = bus->range[i - 1];
	bus->range[i] = range;
	bus->count++;
	bus->last = NULL;
	range->mapped = true;
	return 0;
}

void bus_remove(struct bus *bus, struct bus_range *range)
{
	if (!range->mapped)
		return;
	for (unsigned i = 0; i < bus->count; i++) {
		if (bus->range[i] != range)
			continue;
		bus->count--;
		memmove(&bus->range[i], &bus->range[i + 1], (bus->count - i) * sizeof(bus->range[0]));
		break;
	}
	bus->last = NULL;
	range->mapped = false;
}

static bool holds(const struct bus_range *r, uint64_t addr, unsigned size)
{
	return addr >= r->base && addr - r->base <= r->len - 1 && r->len - (addr - r->base) >= size;
}

/* The range of highest priority that holds the whole access. */
static struct bus_range *find(struct bus *bus, uint64_t addr, unsigned size)
{
	struct bus_range *best = NULL;

	if (bus->last && holds(bus->last, addr, size))
		return bus->last;
	for (unsigned i = 0; i < bus->count && bus->range[i]->base <= addr; i++) {
		struct bus_range *r = bus->range[i];

		if (holds(r, addr, size) && (!best || r->priority > best->priority))
			best = r;
	}
	if (best && !best->overlaps)
		bus->last = best;
	return best;
}

/* KVM cuts an access at a page's end, so 3, 5, 6 and 7 bytes come too; handlers never see those. */
static bool whole(unsigned size)
{
	return !(size & (size - 1));
}

uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size)
{
	struct bus_range *r = whole(size) ? find(bus, addr, size) : NULL;
	uint64_t val = 0;

	if (r) {
		r->hits++;
		return r->ops->read(r->ctx, addr - r->base, size);
	}
	if (size == 1) {
		bus->unclaimed++;
		return 0xff;
	}
	for (unsigned i = 0; i < size; i++)
		val |= (bus_read(bus, addr + i, 1) & 0xff) << (8 * i);
	return val;
}

void bus_write(struct bus *bus, uint64_t addr, unsigned size, uint64_t val)
{
	struct bus_range *r = whole(size) ? find(bus, addr, size) : NULL;

	if (r) {
		r->hits++;
		r->ops->write(r->ctx, addr - r->base, size, size < 8 ? val & ((1ull << (size * 8)) - 1) : val);
		return;
	}
	if (size == 1) {
		bus->unclaimed++;
		return;
	}
	for (unsigned i = 0; i < size; i++)
		bus_write(bus, addr + i, 1, val >> (8 * i));
}
