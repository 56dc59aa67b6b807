/* SPDX-License-Identifier: Apache-2.0 */
/* Processors: how many and how arranged (sysfs), and what the CPUID instruction says on the first of them. */
#include "tools/fingerprint/source.h"
#include <cpuid.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

#define CPUS	      "/sys/devices/system/cpu"
#define LEAVES_MAX    64 /* of each range, against a hypervisor that says it has four billion */
#define SUBLEAVES_MAX 64
#define HYPERVISOR    0x40000000u
#define EXTENDED      0x80000000u

enum reg { EAX, EBX, ECX, EDX };
struct leaf {
	uint32_t r[4];
};

static const char *const reg_names[] = {"eax", "ebx", "ecx", "edx"};

/* The words that are facts. The mask leaves out which processor was asked. */
static const struct {
	uint32_t leaf, subleaf;
	enum reg reg;
	uint32_t mask;
} words[] = {
	{1, 0, EAX, ~0u},
	{1, 0, EBX, 0x00ffffff},
	{1, 0, ECX, ~0u},
	{1, 0, EDX, ~0u},
	{6, 0, EAX, ~0u},
	{7, 0, EAX, ~0u},
	{7, 0, EBX, ~0u},
	{7, 0, ECX, ~0u},
	{7, 0, EDX, ~0u},
	{7, 1, EAX, ~0u},
	{0xd, 0, EAX, ~0u},
	{0xd, 1, EAX, ~0u},
	{EXTENDED + 1, 0, ECX, ~0u},
	{EXTENDED + 1, 0, EDX, ~0u},
	{EXTENDED + 7, 0, EDX, ~0u},
	{EXTENDED + 8, 0, EAX, 0xffff},
	{EXTENDED + 8, 0, EBX, ~0u},
};

static struct leaf ask(uint32_t leaf, uint32_t subleaf)
{
	struct leaf l;

	__cpuid_count(leaf, subleaf, l.r[EAX], l.r[EBX], l.r[ECX], l.r[EDX]);
	return l;
}

static void pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set); /* without it the masked words are the same anyhow */
}

static void word_facts(const struct source *s)
{
	uint32_t max = ask(0, 0).r[EAX], max_extended = ask(EXTENDED, 0).r[EAX];

	pin();
	facts_add(s->facts, "cpu.cpuid.max_leaf", "0x%x", max);
	facts_add(s->facts, "cpu.cpuid.max_extended_leaf", "0x%x", max_extended);
	for (size_t i = 0; i < array_len(words); i++) {
		char key[64];

		if (words[i].leaf > (words[i].leaf >= EXTENDED ? max_extended : max))
			continue;
		snprintf(key, sizeof(key), "cpu.cpuid.%x.%x.%s", words[i].leaf, words[i].subleaf, reg_names[words[i].reg]);
		facts_add(s->facts, key, "0x%08x", ask(words[i].leaf, words[i].subleaf).r[words[i].reg] & words[i].mask);
	}
}

static void hypervisor_fact(const struct source *s)
{
	struct leaf l = ask(HYPERVISOR, 0);
	char name[13] = "";

	if (!(ask(1, 0).r[ECX] >> 31)) {
		facts_add(s->facts, "info.hypervisor", "none");
		return;
	}
	memcpy(name, &l.r[EBX], 4);
	memcpy(name + 4, &l.r[ECX], 4);
	memcpy(name + 8, &l.r[EDX], 4);
	facts_add_bytes(s->facts, "info.hypervisor", name, strnlen(name, 12));
}

/* Lines of /proc/cpuinfo, "name\t: value", of the first processor; the others differ from it in what sysfs shows. */
static void info_line(const struct source *s, const char *name, const char *value)
{
	static const struct {
		const char *line, *key;
	} lines[] = {
		{"vendor_id", "cpu.vendor"},
		{"cpu family", "cpu.family"},
		{"model", "cpu.model"},
		{"model name", "cpu.model_name"},
		{"stepping", "cpu.stepping"},
		{"microcode", "cpu.microcode"},
		{"cache size", "cpu.cache_size"},
		{"address sizes", "cpu.address_sizes"},
		{"clflush size", "cpu.clflush_size"},
		{"TLB size", "cpu.tlb_size"},
		{"cpu MHz", "info.cpu.mhz"},
		{"bogomips", "info.cpu.bogomips"},
		{"flags", "info.cpu.flags"},
		{"bugs", "info.cpu.bugs"},
	};

	for (size_t i = 0; i < array_len(lines); i++)
		if (!strcmp(name, lines[i].line))
			facts_add(s->facts, lines[i].key, "%s", value);
}

static void info_facts(const struct source *s)
{
	auto_free char *data = source_read(s, NULL, "/proc/cpuinfo");
	char *rest = data, *line;

	while (rest && (line = strsep(&rest, "\n")) && *line) {
		char *value = strchr(line, ':');

		if (!value || value == line)
			continue;
		*value++ = '\0';
		value += *value == ' ';
		line[strcspn(line, "\t")] = '\0';
		info_line(s, line, value);
	}
}

static void cache_facts(const struct source *s, const char *cpu)
{
	static const char *const files[] = {
		"level",	   "type", "size", "ways_of_associativity", "coherency_line_size", "number_of_sets",
		"shared_cpu_list", "id",   NULL};
	struct names n = source_list(s, CPUS "/%s/cache", cpu);

	for (size_t i = 0; i < n.count; i++) {
		char prefix[PATH_MAX], folder[PATH_MAX];

		if (strncmp(n.list[i], "index", 5))
			continue;
		snprintf(prefix, sizeof(prefix), "cpu.%s.cache%s", cpu, n.list[i] + 5);
		snprintf(folder, sizeof(folder), CPUS "/%s/cache/%s", cpu, n.list[i]);
		source_facts(s, prefix, folder, files);
	}
	names_free(&n);
}

static void topology_facts(const struct source *s)
{
	static const char *const files[] = {"physical_package_id", "die_id",	    "core_id", "thread_siblings_list",
					    "core_siblings_list",  "die_cpus_list", NULL};
	struct names n = source_list(s, CPUS);
	size_t count = 0;

	for (size_t i = 0; i < n.count; i++) {
		char prefix[PATH_MAX], folder[PATH_MAX];

		if (strncmp(n.list[i], "cpu", 3) || n.list[i][3] < '0' || n.list[i][3] > '9')
			continue;
		count++;
		snprintf(prefix, sizeof(prefix), "cpu.%s", n.list[i]);
		snprintf(folder, sizeof(folder), CPUS "/%s/topology", n.list[i]);
		source_facts(s, prefix, folder, files);
		cache_facts(s, n.list[i]);
	}
	names_free(&n);
	facts_add(s->facts, "cpu.count", "%zu", count);
	source_facts(s, "cpu", CPUS, (const char *const[]){"online", "present", "possible", NULL});
}

void collect_cpu(const struct source *s)
{
	topology_facts(s);
	info_facts(s);
	if (!source_live(s))
		return;
	word_facts(s);
	hypervisor_fact(s);
}

/* False when the leaf says that there are no more: all zero, or a topology level of no kind (leaves 0xb and 0x1f). */
static bool print_subleaf(FILE *out, uint32_t leaf, uint32_t subleaf)
{
	struct leaf l = ask(leaf, subleaf);

	if (!(l.r[EAX] | l.r[EBX] | l.r[ECX] | l.r[EDX]))
		return false;
	if ((leaf == 0xb || leaf == 0x1f) && !(l.r[ECX] >> 8))
		return false;
	fprintf(out, "%08x.%x eax=%08x ebx=%08x ecx=%08x edx=%08x\n", leaf, subleaf, l.r[EAX], l.r[EBX], l.r[ECX], l.r[EDX]);
	return true;
}

static bool has_subleaves(uint32_t leaf)
{
	return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd || leaf == 0x1f || leaf == EXTENDED + 0x1d;
}

void cpu_print_leaves(FILE *out)
{
	static const uint32_t ranges[] = {0, HYPERVISOR, EXTENDED};

	pin();
	for (size_t i = 0; i < array_len(ranges); i++) {
		uint32_t max = ask(ranges[i], 0).r[EAX];

		if (ranges[i] == HYPERVISOR && !(ask(1, 0).r[ECX] >> 31))
			continue;
		for (uint32_t leaf = ranges[i]; leaf <= max && leaf < ranges[i] + LEAVES_MAX; leaf++)
			for (uint32_t sub = 0; sub < (has_subleaves(leaf) ? SUBLEAVES_MAX : 1); sub++)
				if (!print_subleaf(out, leaf, sub) && leaf != 0xd && leaf != 7)
					break;
	}
}
