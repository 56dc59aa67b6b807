/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/layout.h"
#include "lib/bits.h"

#define GIB (1ull << 30)
#define WINDOW64 (32 * GIB)

static void set_ram(struct layout *l, uint64_t memory, uint64_t most_low, uint64_t split_low)
{
	l->low_end = memory < most_low ? memory : split_low;
	l->high_end = LAYOUT_4G + (memory - l->low_end);
}

static void set_window64(struct layout *l, unsigned phys_bits)
{
	uint64_t reach = 1ull << phys_bits;

	l->hole64 = bits_align_up(l->high_end, GIB);
	l->hole64_end = l->hole64 + WINDOW64;
	if (l->hole64_end > reach)
		l->hole64_end = reach;
	if (l->hole64_end <= l->hole64)
		l->hole64_end = l->hole64;
}

void layout_init(struct layout *l, const struct env *env)
{
	*l = (struct layout){ .sci = 9, .pm_base = 0x600, .hole_end = LAYOUT_IOAPIC };
	if (env->chipset == ENV_Q35) {
		set_ram(l, env->memory, 0xb0000000, 2 * GIB);
		l->ecam = 0xb0000000;
		l->ecam_size = 0x10000000;
		l->hole = l->ecam + l->ecam_size;
		l->gpe0 = (uint16_t)(l->pm_base + 0x20);
		l->gpe0_len = 16;
	} else {
		set_ram(l, env->memory, 0xe0000000, 3 * GIB);
		l->hole = l->low_end <= 2 * GIB ? 2 * GIB : l->low_end <= 3 * GIB ? 3 * GIB : 0xe0000000;
		if (env->firmware == ENV_UEFI)
			l->pm_base = 0xb000;	/* where OVMF puts it */
		l->gpe0 = 0xafe0;
		l->gpe0_len = 4;
	}
	set_window64(l, env->cpu.phys_bits);
}
