/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where things stand in guest-physical address space: RAM, the ECAM, the PCI windows, the power management ports. One
 * decision, read by the memory slots, the chipset's functions, e820 and the ACPI tables. Ranges are [start, end).
 */
#pragma once
#include <stdint.h>
#include "lib/env/env.h"

#define LAYOUT_4G 0x100000000ull
#define LAYOUT_IOAPIC 0xfec00000u
#define LAYOUT_LAPIC 0xfee00000u

struct layout {
	uint64_t low_end;		/* RAM is [0, low_end) … */
	uint64_t high_end;		/* … and [4 GiB, high_end); 4 GiB: none above */
	uint64_t ecam, ecam_size;	/* 0: none */
	uint64_t hole, hole_end;	/* 32-bit PCI window */
	uint64_t hole64, hole64_end;	/* 64-bit PCI window; equal: none */
	uint16_t pm_base;		/* PM1 event block; control at +4, timer at +8 */
	uint16_t gpe0;
	uint8_t gpe0_len;
	uint8_t sci;
};

/*
 * The layout that stock firmware makes for this much memory:
 * q35: up to 2.75 GiB of RAM low, else 2 GiB; ECAM at 0xb0000000, window from 0xc0000000.
 * i440fx: up to 3.5 GiB low, else 3 GiB; the window starts at the first of 2, 3, 3.5 GiB above RAM.
 * Both windows end at the IOAPIC. The 64-bit window has 32 GiB from the first whole GiB above RAM, within the CPU's reach.
 */
void layout_init(struct layout *layout, const struct env *env);
