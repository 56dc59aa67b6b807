/* SPDX-License-Identifier: Apache-2.0 */
/* Memory as the firmware gives it (the E820 map) and as the kernel counts it. */
#include "tools/fingerprint/source.h"
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

#define MAP	  "/sys/firmware/memmap"
#define ROUND_KIB (16 * 1024) /* the kernel's own size differs by version: the machine's memory does not */

static void map_facts(const struct source *s)
{
	struct names n = source_list(s, MAP);

	for (size_t i = 0; i < n.count; i++) {
		auto_free char *start = source_read(s, NULL, MAP "/%s/start", n.list[i]);
		auto_free char *end = source_read(s, NULL, MAP "/%s/end", n.list[i]);
		auto_free char *type = source_read(s, NULL, MAP "/%s/type", n.list[i]);
		uint64_t from, to;
		char key[PATH_MAX];

		if (!start || !end || !type)
			continue;
		from = strtoull(start, NULL, 16);
		to = strtoull(end, NULL, 16);
		snprintf(key, sizeof(key), "memory.map.%016" PRIx64, from);
		facts_add(s->facts, key, "0x%" PRIx64 " bytes, %.*s", to - from + 1, (int)strcspn(type, "\n"), type);
	}
	names_free(&n);
}

void collect_memory(const struct source *s)
{
	auto_free char *info = source_read(s, NULL, "/proc/meminfo");
	uint64_t kib;

	map_facts(s);
	if (info && sscanf(info, "MemTotal: %" SCNu64, &kib) == 1)
		facts_add(s->facts, "memory.total", "%" PRIu64 " MiB", (kib + ROUND_KIB / 2) / ROUND_KIB * (ROUND_KIB / 1024));
	source_facts(s, "memory.node", "/sys/devices/system/node", (const char *const[]){"online", "possible", NULL});
}
