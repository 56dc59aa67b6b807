/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI functions by full address. Sizes of regions are facts of the device; where they were placed is not.
 * Regions after the ROM are SR-IOV BARs and the windows of bridges; the kernel's configuration says which number is which.
 */
#include "tools/fingerprint/source.h"
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

#define DEVICES "/sys/bus/pci/devices"
#define SLOTS	"/sys/bus/pci/slots"
/* Flags of a line of `resource`: the kernel's include/linux/ioport.h, shown to programs since ever. */
#define FLAG_IO	      0x100
#define FLAG_MEM      0x200
#define FLAG_PREFETCH 0x2000
#define FLAG_64	      0x100000
#define REGIONS	      32
#define ROM	      6

static void region_fact(const struct source *s, const char *prefix, unsigned index, uint64_t flags, uint64_t size)
{
	char name[32];

	if (index < ROM)
		snprintf(name, sizeof(name), "bar%u", index);
	else if (index == ROM)
		snprintf(name, sizeof(name), "rom");
	else
		snprintf(name, sizeof(name), "region%u", index);
	source_add(s, prefix, name, "%s%s%s 0x%" PRIx64,
		   flags & FLAG_IO    ? "io"
		   : flags & FLAG_MEM ? "memory"
				      : "other",
		   flags & FLAG_64 ? " 64-bit" : "", flags & FLAG_PREFETCH ? " prefetchable" : "", size);
}

static void region_facts(const struct source *s, const char *prefix, const char *folder)
{
	auto_free char *data = source_read(s, NULL, "%s/resource", folder);
	char *rest = data, *line;

	for (unsigned i = 0; i < REGIONS && rest && (line = strsep(&rest, "\n")); i++) {
		uint64_t start, end, flags;

		if (sscanf(line, "%" SCNx64 " %" SCNx64 " %" SCNx64, &start, &end, &flags) == 3 && flags && end >= start)
			region_fact(s, prefix, i, flags, end - start + 1);
	}
}

/* PCI 3.0, 6.7: a list of capabilities, 256 bytes hold 48 of them at most. */
static void capability_fact(const struct source *s, const char *prefix, const unsigned char *config, size_t len)
{
	char text[48 * 4 + 1] = "";
	unsigned at = config[0x34] & ~3u, n = 0;

	if (!(config[6] & 0x10))
		return;
	for (; n < 48 && at >= 0x40 && at + 1 < len; n++, at = config[at + 1] & ~3u)
		sprintf(text + strlen(text), "%s%02x", n ? " " : "", config[at]);
	source_add(s, prefix, "capabilities", "%s", text);
}

/* PCI Express 7.9.3: extended capabilities from 0x100; 4 KiB hold 960 at most, real devices under 64. */
static void extended_fact(const struct source *s, const char *prefix, const unsigned char *config, size_t len)
{
	char text[64 * 5 + 1] = "";
	unsigned at = 0x100, n = 0;

	for (; n < 64 && at >= 0x100 && at + 3 < len; n++) {
		unsigned head = config[at] | config[at + 1] << 8 | config[at + 2] << 16 | (unsigned)config[at + 3] << 24;

		if (!head || head == ~0u)
			break;
		sprintf(text + strlen(text), "%s%04x", n ? " " : "", head & 0xffff);
		at = head >> 20 & ~3u;
	}
	if (n)
		source_add(s, prefix, "extended_capabilities", "%s", text);
}

static void config_facts(const struct source *s, const char *prefix, const char *folder)
{
	size_t len;
	auto_free char *data = source_read(s, &len, "%s/config", folder);
	const unsigned char *config = (const unsigned char *)data;

	if (!data || len < 64)
		return;
	source_add(s, prefix, "header_type", "0x%02x", config[0x0e]);
	source_add(s, prefix, "irq_pin", "%u", config[0x3d]);
	if (len < 256) /* the kernel shows others than root the header only */
		return;
	capability_fact(s, prefix, config, 256);
	extended_fact(s, prefix, config, len);
}

static void parent_fact(const struct source *s, const char *prefix, const char *folder)
{
	char path[PATH_MAX], *cut;

	if (!source_resolve(s, path, sizeof(path), "%s", folder) || !(cut = strrchr(path, '/')))
		return;
	*cut = '\0';
	cut = strrchr(path, '/');
	source_add(s, prefix, "parent", "%s", cut ? cut + 1 : path);
}

static void slot_facts(const struct source *s)
{
	struct names n = source_list(s, SLOTS);

	for (size_t i = 0; i < n.count; i++) {
		char prefix[PATH_MAX], folder[PATH_MAX];

		snprintf(prefix, sizeof(prefix), "pci.slot.%s", n.list[i]);
		snprintf(folder, sizeof(folder), SLOTS "/%s", n.list[i]);
		source_facts(s, prefix, folder, (const char *const[]){"address", "max_bus_speed", "cur_bus_speed", NULL});
	}
	names_free(&n);
}

/* The slot whose address is the device's without its function. */
static void slot_fact(const struct source *s, const char *prefix, const char *device)
{
	struct names n = source_list(s, SLOTS);

	for (size_t i = 0; i < n.count; i++) {
		auto_free char *address = source_read(s, NULL, SLOTS "/%s/address", n.list[i]);
		size_t len = address ? strcspn(address, "\n") : 0;

		if (len && !strncmp(address, device, len) && device[len] == '.')
			source_add(s, prefix, "slot", "%s", n.list[i]);
	}
	names_free(&n);
}

void collect_pci(const struct source *s)
{
	static const char *const files[] = {"vendor",
					    "device",
					    "class",
					    "revision",
					    "subsystem_vendor",
					    "subsystem_device",
					    "label",
					    "index",
					    "acpi_index",
					    "max_link_speed",
					    "max_link_width",
					    "current_link_speed",
					    "current_link_width",
					    "numa_node",
					    "d3cold_allowed",
					    NULL};
	struct names n = source_list(s, DEVICES);

	for (size_t i = 0; i < n.count; i++) {
		char prefix[PATH_MAX], folder[PATH_MAX];

		snprintf(prefix, sizeof(prefix), "pci.%s", n.list[i]);
		snprintf(folder, sizeof(folder), DEVICES "/%s", n.list[i]);
		source_facts(s, prefix, folder, files);
		source_link_fact(s, prefix, folder, "driver");
		parent_fact(s, prefix, folder);
		slot_fact(s, prefix, n.list[i]);
		region_facts(s, prefix, folder);
		config_facts(s, prefix, folder);
	}
	names_free(&n);
	slot_facts(s);
}
