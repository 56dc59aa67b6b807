/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/e820.h"
#include <string.h>
#include "lib/buf.h"
#include "lib/err.h"

#define HYPERTRANSPORT 0xfd00000000ull	/* AMD CPUs: not usable as memory */
#define HYPERTRANSPORT_END 0x10000000000ull
#define EBDA 0x9fc00u
#define TABLES 0xe0000u
#define MIB 0x100000u

void e820_add(struct e820 *map, uint64_t addr, uint64_t len, enum e820_type type)
{
	if (!len)
		return;
	bug_on(map->count == E820_MAX);
	map->entry[map->count++] = (struct e820_entry){ addr, len, type };
}

static void add_reserved(struct e820 *map, const struct env *env, const struct layout *l)
{
	e820_add(map, l->ecam, l->ecam_size, E820_RESERVED);
	if (!strcmp(env->cpu.vendor, "AuthenticAMD") && env->cpu.phys_bits >= 40)
		e820_add(map, HYPERTRANSPORT, HYPERTRANSPORT_END - HYPERTRANSPORT, E820_RESERVED);
}

void e820_for_firmware(struct e820 *map, const struct env *env, const struct layout *l)
{
	map->count = 0;
	add_reserved(map, env, l);
	e820_add(map, 0, l->low_end, E820_RAM);
	e820_add(map, LAYOUT_4G, l->high_end - LAYOUT_4G, E820_RAM);
}

void e820_for_kernel(struct e820 *map, const struct env *env, const struct layout *l)
{
	map->count = 0;
	e820_add(map, 0, EBDA, E820_RAM);
	e820_add(map, EBDA, 0xa0000 - EBDA, E820_RESERVED);
	e820_add(map, TABLES, MIB - TABLES, E820_RESERVED);
	e820_add(map, MIB, l->low_end - MIB, E820_RAM);
	add_reserved(map, env, l);
	e820_add(map, LAYOUT_4G, l->high_end - LAYOUT_4G, E820_RAM);
}

size_t e820_encode(const struct e820 *map, uint8_t *out)
{
	struct wbuf b = wbuf_of(out, E820_MAX * 20);

	for (unsigned i = 0; i < map->count; i++) {
		wbuf_le64(&b, map->entry[i].addr);
		wbuf_le64(&b, map->entry[i].len);
		wbuf_le32(&b, map->entry[i].type);
	}
	return b.pos;
}
