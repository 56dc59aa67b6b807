/* SPDX-License-Identifier: Apache-2.0 */
/* Devices of the other buses: plug and play (ACPI-named legacy devices), virtio, USB, sensors and fixed I/O ports. */
#include "tools/fingerprint/source.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

#define LEGACY_PORTS_END 0xd00 /* from here on, ports are given out to PCI devices */

/* Lines joined with ", ". */
static void join_lines(char *text)
{
	char *out = text;

	for (const char *in = text; *in; in++) {
		if (*in == '\n' && !in[1])
			break;
		*out++ = *in == '\n' ? ',' : *in;
	}
	*out = '\0';
}

/* The 00:0N names count in table order; the id (PNP0501 …) and the resources are the device. */
static void pnp_facts(const struct source *s)
{
	struct names n = source_list(s, "/sys/bus/pnp/devices");

	for (size_t i = 0; i < n.count; i++) {
		auto_free char *id = source_read(s, NULL, "/sys/bus/pnp/devices/%s/id", n.list[i]);
		auto_free char *resources = source_read(s, NULL, "/sys/bus/pnp/devices/%s/resources", n.list[i]);
		char key[PATH_MAX];

		if (!id)
			continue;
		join_lines(id);
		snprintf(key, sizeof(key), "pnp.%.200s", id);
		if (resources)
			join_lines(resources);
		facts_add(s->facts, key, "%s", resources ? resources : "");
	}
	names_free(&n);
}

static void bus_facts(const struct source *s, const char *bus, const char *const *files)
{
	struct names n = source_list(s, "/sys/bus/%s/devices", bus);

	for (size_t i = 0; i < n.count; i++) {
		char prefix[PATH_MAX], folder[PATH_MAX];

		snprintf(prefix, sizeof(prefix), "%s.%s", bus, n.list[i]);
		snprintf(folder, sizeof(folder), "/sys/bus/%s/devices/%s", bus, n.list[i]);
		source_facts(s, prefix, folder, files);
		source_link_fact(s, prefix, folder, "driver");
	}
	names_free(&n);
}

/* Others than root see zeros in place of addresses, which are no facts. */
static void port_facts(const struct source *s)
{
	auto_free char *data = source_read(s, NULL, "/proc/ioports");
	char *rest = data, *line;

	while (rest && (line = strsep(&rest, "\n"))) {
		unsigned from, to;
		int at = 0;
		char key[64];

		if (sscanf(line, " %x-%x : %n", &from, &to, &at) != 2 || !at || to < from || !to || to >= LEGACY_PORTS_END)
			continue;
		if (!strncmp(line + at, "PCI Bus ", 8))
			continue;
		snprintf(key, sizeof(key), "ports.%04x-%04x", from, to);
		facts_add(s->facts, key, "%s", line + at);
	}
}

void collect_buses(const struct source *s)
{
	pnp_facts(s);
	bus_facts(s, "virtio", (const char *const[]){"vendor", "device", "features", NULL});
	bus_facts(s, "usb",
		  (const char *const[]){"idVendor", "idProduct", "bcdDevice", "manufacturer", "product", "serial", "speed",
					"bInterfaceClass", "bInterfaceProtocol", NULL});
	port_facts(s);
	source_facts(s, "random", "/sys/class/misc/hw_random", (const char *const[]){"rng_available", "rng_current", NULL});
}
