/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI table headers (ACPI 6.4, 5.2.6) and the fixed hardware the FADT names (5.2.9). */
#include "tools/fingerprint/source.h"
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

#define TABLES "/sys/firmware/acpi/tables"
#define HEADER 36

static uint32_t le32(const unsigned char *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Fields of fixed length are padded with blanks or NULs, which say nothing. */
static void padded(const struct source *s, const char *table, const char *field, const unsigned char *p, size_t n)
{
	char key[128];

	while (n && (p[n - 1] == ' ' || p[n - 1] == '\0'))
		n--;
	snprintf(key, sizeof(key), "acpi.%s.%s", table, field);
	facts_add_bytes(s->facts, key, p, n);
}

static void number(const struct source *s, const char *table, const char *field, uint32_t value)
{
	char key[128];

	snprintf(key, sizeof(key), "acpi.%s.%s", table, field);
	facts_add(s->facts, key, "0x%x", value);
}

static const struct {
	const char *name;
	unsigned at, size;
} fadt[] = {
	{"preferred_profile", 45, 1},
	{"sci_irq", 46, 2},
	{"smi_command", 48, 4},
	{"pm1a_event", 56, 4},
	{"pm1a_control", 64, 4},
	{"pm_timer", 76, 4},
	{"gpe0", 80, 4},
	{"pm1_event_length", 88, 1},
	{"pm_timer_length", 91, 1},
	{"gpe0_length", 92, 1},
	{"century", 108, 1},
	{"boot_architecture", 109, 2},
	{"flags", 112, 4},
	{"reset_port_or_low", 120, 4},
	{"reset_value", 128, 1},
};

static void fadt_facts(const struct source *s, const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < array_len(fadt); i++) {
		uint32_t value = 0;

		if (fadt[i].at + fadt[i].size > len)
			continue;
		for (unsigned b = fadt[i].size; b-- > 0;)
			value = value << 8 | p[fadt[i].at + b];
		number(s, "FACP", fadt[i].name, value);
	}
}

static void table_facts(const struct source *s, const char *name)
{
	size_t len;
	auto_free char *data = source_read(s, &len, TABLES "/%s", name);
	const unsigned char *p = (const unsigned char *)data;

	if (!data)
		return;
	padded(s, name, "signature", p, len < 4 ? len : 4);
	if (len < HEADER) /* the FACS has no such header */
		return;
	if (!strncmp(name, "FACS", 4))
		return;
	number(s, name, "revision", p[8]);
	padded(s, name, "oem_id", p + 10, 6);
	padded(s, name, "oem_table_id", p + 16, 8);
	number(s, name, "oem_revision", le32(p + 24));
	padded(s, name, "creator_id", p + 28, 4);
	number(s, name, "creator_revision", le32(p + 32));
	if (!memcmp(p, "FACP", 4))
		fadt_facts(s, p, len);
}

void collect_acpi(const struct source *s)
{
	struct names n = source_list(s, TABLES);

	for (size_t i = 0; i < n.count; i++)
		table_facts(s, n.list[i]);
	names_free(&n);
}
