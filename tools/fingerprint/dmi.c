/* SPDX-License-Identifier: Apache-2.0 */
/* SMBIOS as the kernel shows it and as the table has it: DSP0134, sections 5.2 (entry points) and 6.1 (structures). */
#include "tools/fingerprint/source.h"
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

#define TYPES	 256
#define HEADER	 4 /* type, length, handle */
#define TYPE_END 127

static void id_facts(const struct source *s)
{
	struct names n = source_list(s, "/sys/class/dmi/id");

	for (size_t i = 0; i < n.count; i++)
		if (strcmp(n.list[i], "uevent"))
			source_fact(s, "dmi.id", "/sys/class/dmi/id", n.list[i]);
	names_free(&n);
}

static void entry_fact(const struct source *s)
{
	size_t len;
	auto_free char *data = source_read(s, &len, "/sys/firmware/dmi/tables/smbios_entry_point");
	const unsigned char *p = (const unsigned char *)data;

	if (!data)
		return;
	if (len >= 0x1f && !memcmp(p, "_SM_", 4))
		facts_add(s->facts, "dmi.entry", "SMBIOS %u.%u, 32-bit entry point", p[6], p[7]);
	else if (len >= 0x18 && !memcmp(p, "_SM3_", 5))
		facts_add(s->facts, "dmi.entry", "SMBIOS %u.%u.%u, 64-bit entry point", p[7], p[8], p[9]);
	else
		facts_add(s->facts, "dmi.entry", "unknown");
}

/* Adds the strings that start at p; returns what follows their double NUL, or NULL when the table ends first. */
static const char *string_facts(const struct source *s, const char *prefix, const char *p, const char *end)
{
	char key[64];

	for (unsigned i = 1;; i++) {
		const char *nul = memchr(p, 0, (size_t)(end - p));

		if (!nul)
			return NULL;
		if (nul == p)
			return p + 1;
		snprintf(key, sizeof(key), "%s.string%u", prefix, i);
		facts_add_bytes(s->facts, key, p, (size_t)(nul - p));
		p = nul + 1;
	}
}

static void structure_facts(const struct source *s, const char *p, const char *end)
{
	unsigned seen[TYPES] = {0};

	while (end - p >= HEADER) {
		const unsigned char *head = (const unsigned char *)p;
		unsigned type = head[0], len = head[1];
		char prefix[32], key[64];
		const char *strings;

		snprintf(prefix, sizeof(prefix), "dmi.type%u.%u", type, seen[type]++);
		if (len < HEADER || (size_t)(end - p) < len + 2u) {
			facts_add(s->facts, prefix, "broken structure");
			return;
		}
		snprintf(key, sizeof(key), "%s.data", prefix);
		facts_add_hex(s->facts, key, p, len);
		strings = p + len;
		if (!strings[0] && !strings[1]) /* no strings: two NULs all the same */
			p = strings + 2;
		else
			p = string_facts(s, prefix, strings, end);
		if (!p || type == TYPE_END)
			return;
	}
}

void collect_dmi(const struct source *s)
{
	size_t len;
	auto_free char *table = source_read(s, &len, "/sys/firmware/dmi/tables/DMI");

	id_facts(s);
	entry_fact(s);
	if (table)
		structure_facts(s, table, table + len);
}
