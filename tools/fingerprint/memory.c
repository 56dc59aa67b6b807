/* SPDX-License-Identifier: Apache-2.0 */
/* Memory as the firmware gives it (the E820 map) and as the kernel counts it. */
#include "tools/fingerprint/source.h"
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

#define MAP   "/sys/firmware/memmap"
#define ROUND (16 << 20) /* firmware keeps some for its tables: the memory modules are what is meant */

/* Returns the bytes of RAM in it. */
static uint64_t map_facts(const struct source *s)
{
	uint64_t ram = 0;
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
		if (!strncmp(type, "System RAM", 10))
			ram += to - from + 1;
		snprintf(key, sizeof(key), "memory.map.%016" PRIx64, from);
		facts_add(s->facts, key, "0x%" PRIx64 " bytes, %.*s", to - from + 1, (int)strcspn(type, "\n"), type);
	}
	names_free(&n);
	return ram;
}

void collect_memory(const struct source *s)
{
	auto_free char *info = source_read(s, NULL, "/proc/meminfo");
	uint64_t kib, bytes = map_facts(s);

	if (!bytes && info && sscanf(info, "MemTotal: %" SCNu64, &kib) == 1)
		bytes = kib * 1024;
	if (bytes)
		facts_add(s->facts, "memory.total", "%" PRIu64 " MiB", (bytes + ROUND / 2) / ROUND * (ROUND >> 20));
	source_facts(s, "memory.node", "/sys/devices/system/node", (const char *const[]){"online", "possible", NULL});
}
