/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/ram.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "lib/bits.h"
#include "lib/log.h"
#include "lib/scope.h"

enum { HUGE_PAGE = 2 << 20 };
#define OWN_NEED (16ull << 20)	/* what hull-hv and the kernel need beside guest memory */

/* MemAvailable of /proc/meminfo in bytes; all ones when the kernel doesn't say. */
static uint64_t available(void)
{
	auto_fclose FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	unsigned long long kib;

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			return kib * 1024;
	}
	return ~0ull;
}

static int map(struct ram *ram, struct err *err)
{
	uint64_t span = ram->size + HUGE_PAGE;
	uint8_t *p = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *aligned;

	if (p == MAP_FAILED)
		return err_set(err, -errno, "guest memory of %llu MiB can't be mapped: %s", (unsigned long long)(ram->size >> 20),
			       strerror(errno));
	/* Guest-physical 0 on a huge page's start, so that guest and host huge pages coincide. */
	aligned = (uint8_t *)bits_align_up((uintptr_t)p, HUGE_PAGE);
	if (aligned > p)
		munmap(p, (size_t)(aligned - p));
	if (p + span > aligned + ram->size)
		munmap(aligned + ram->size, (size_t)(p + span - (aligned + ram->size)));
	ram->base = aligned;
	if (madvise(aligned, ram->size, MADV_HUGEPAGE))
		log_debug("guest memory without huge pages: %s", strerror(errno));
	(void)!madvise(aligned, ram->size, MADV_DONTDUMP);
	return 0;
}

static int add(struct ram *ram, struct mem *mem, uint64_t gpa, uint64_t off, uint64_t len, struct err *err)
{
	int r = len ? mem_add(mem, gpa, len, (uint8_t *)ram->base + off, false) : 0;

	return r ? err_set(err, r, "guest memory at %#llx overlaps", (unsigned long long)gpa) : 0;
}

int ram_create(struct ram *ram, const struct env *env, const struct layout *layout, struct mem *mem, bool lock, struct err *err)
{
	uint64_t have = available(), low = layout->low_end;
	int r;

	if (have < env->memory + OWN_NEED)
		return err_set(err, -ENOMEM, "too little memory: the server has %llu MiB, this machine has %llu MiB available; take a "
			       "larger cloud VM", (unsigned long long)(env->memory >> 20), (unsigned long long)(have >> 20));
	ram->size = env->memory;
	r = map(ram, err);
	/* Nothing here models a VGA, so its window is plain RAM, as these chipsets have it then. */
	r = r ? r : add(ram, mem, 0, 0, low, err);
	r = r ? r : add(ram, mem, LAYOUT_4G, low, layout->high_end - LAYOUT_4G, err);
	if (!r && lock && mlock(ram->base, ram->size))
		r = err_set(err, -errno, "guest memory can't be locked: %s; raise the memlock limit", strerror(errno));
	if (r)
		ram_free(ram);
	return r;
}

void ram_free(struct ram *ram)
{
	if (ram->base)
		munmap(ram->base, ram->size);
	ram->base = NULL;
}
