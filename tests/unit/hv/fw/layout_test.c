/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/cpus.h"
#include "hv/fw/e820.h"
#include "lib/bits.h"
#include "tests/unit/hv/fw/sample.h"
#include "tests/unit/suite.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct layout layout_of(enum env_chipset chipset, uint64_t memory, unsigned phys_bits)
{
	struct layout l;
	struct env env;

	sample_env(&env);
	env.chipset = chipset;
	env.memory = memory;
	env.cpu.phys_bits = phys_bits;
	layout_init(&l, &env);
	return l;
}

static void q35_splits_memory_around_the_ecam(void)
{
	struct layout l = layout_of(ENV_Q35, 2815 * MIB, 40);

	check_eq(l.low_end, 2815 * MIB);
	check_eq(l.high_end, 4 * GIB);
	l = layout_of(ENV_Q35, 2816 * MIB, 40);
	check_eq(l.low_end, 2 * GIB);
	check_eq(l.high_end, 4 * GIB + 768 * MIB);
	check_eq(l.ecam, 0xb0000000);
	check_eq(l.hole, 0xc0000000);
	check_eq(l.hole_end, 0xfec00000);
	check_eq(l.hole64, 5 * GIB);
	check_eq(l.hole64_end, 37 * GIB);
}

static void i440fx_window_starts_above_memory(void)
{
	check_eq(layout_of(ENV_I440FX, 1 * GIB, 40).hole, 0x80000000);
	check_eq(layout_of(ENV_I440FX, 3 * GIB, 40).hole, 0xc0000000);
	check_eq(layout_of(ENV_I440FX, 3 * GIB + MIB, 40).hole, 0xe0000000);
	check_eq(layout_of(ENV_I440FX, 4 * GIB, 40).low_end, 3 * GIB);
	check_eq(layout_of(ENV_I440FX, 4 * GIB, 40).hole, 0xc0000000);
	check_eq(layout_of(ENV_I440FX, 4 * GIB, 40).ecam, 0);
}

static void high_window_stays_within_the_cpus_reach(void)
{
	struct layout l = layout_of(ENV_Q35, 8 * GIB, 34);

	check_eq(l.hole64, 10 * GIB);
	check_eq(l.hole64_end, 16 * GIB);
	l = layout_of(ENV_Q35, 8 * GIB, 32);
	check_eq(l.hole64, l.hole64_end);
}

static const struct e820_entry none;

static const struct e820_entry *find(const struct e820 *map, uint64_t addr)
{
	for (unsigned i = 0; i < map->count; i++)
		if (map->entry[i].addr == addr)
			return &map->entry[i];
	return &none;
}

static void maps_name_memory_and_reserved_ranges(void)
{
	struct layout l;
	struct e820 map;
	struct env env;
	uint8_t bytes[E820_MAX * 20];

	sample_env(&env);
	env.memory = 4 * GIB;
	layout_init(&l, &env);
	e820_for_firmware(&map, &env, &l);
	check_eq(map.count, 4);
	check_eq(find(&map, 0)->len, 2 * GIB);
	check_eq(find(&map, 4 * GIB)->len, 2 * GIB);
	check_eq(find(&map, 0xb0000000)->type, E820_RESERVED);
	check_eq(find(&map, 0xfd00000000)->len, 0x300000000);
	check_eq(find(&map, 0xfeffc000)->len, 0);	/* the hypervisor's own pages are nobody's business */
	check_eq(e820_encode(&map, bytes), 80);
	check_eq(get_le64(bytes), 0xb0000000);
	check_eq(get_le32(bytes + 16), 2);
	env.cpu.vendor[0] = 'G';
	env.memory = GIB;
	layout_init(&l, &env);
	e820_for_kernel(&map, &env, &l);
	check_eq(map.count, 5);
	check_eq(find(&map, 0)->len, 0x9fc00);
	check_eq(find(&map, 0xe0000)->len, 0x20000);
	check_eq(find(&map, MIB)->len, GIB - MIB);
}

static void apic_ids_have_gaps(void)
{
	struct env_cpu c = { .sockets = 2, .cores = 3, .threads = 2 };

	check_eq(cpus_apic_id(&c, 0), 0);
	check_eq(cpus_apic_id(&c, 5), 5);
	check_eq(cpus_apic_id(&c, 6), 8);
	check_eq(cpus_apic_limit(&c), 14);
	c = (struct env_cpu){ .sockets = 1, .cores = 2, .threads = 1 };
	check_eq(cpus_apic_limit(&c), 2);
}

static const struct test tests[] = {
	{ "q35 splits memory around the ECAM", q35_splits_memory_around_the_ecam },
	{ "i440fx window starts above memory", i440fx_window_starts_above_memory },
	{ "high window stays within the CPU's reach", high_window_stays_within_the_cpus_reach },
	{ "maps name memory and reserved ranges", maps_name_memory_and_reserved_ranges },
	{ "APIC ids have gaps", apic_ids_have_gaps },
	{ NULL, NULL },
};
const struct suite suite_hv_fw_layout = { tests };
