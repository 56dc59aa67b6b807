/* SPDX-License-Identifier: Apache-2.0 */
/* Serial ports, which of them is the console, keyboard and mouse, screens. */
#include "tools/fingerprint/source.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

static void serial_facts(const struct source *s)
{
	static const char *const files[] = {"type",	  "port",	    "irq", "uartclk", "line", "io_type",
					    "iomem_base", "xmit_fifo_size", NULL};
	struct names n = source_list(s, "/sys/class/tty");

	for (size_t i = 0; i < n.count; i++) {
		auto_free char *type = source_read(s, NULL, "/sys/class/tty/%s/type", n.list[i]);
		char prefix[PATH_MAX], folder[PATH_MAX];

		if (!type || !strtoul(type, NULL, 10)) /* 0: a name the driver reserves, without a port */
			continue;
		snprintf(prefix, sizeof(prefix), "console.%s", n.list[i]);
		snprintf(folder, sizeof(folder), "/sys/class/tty/%s", n.list[i]);
		source_facts(s, prefix, folder, files);
	}
	names_free(&n);
	source_fact(s, "console", "/sys/class/tty/console", "active");
}

static void class_facts(const struct source *s, const char *class)
{
	struct names n = source_list(s, "/sys/class/%s", class);

	for (size_t i = 0; i < n.count; i++) {
		char prefix[PATH_MAX], folder[PATH_MAX];

		snprintf(prefix, sizeof(prefix), "console.%s", n.list[i]);
		snprintf(folder, sizeof(folder), "/sys/class/%s/%s", class, n.list[i]);
		source_facts(s, prefix, folder,
			     (const char *const[]){"name", "virtual_size", "bits_per_pixel", "status", "modes", NULL});
	}
	names_free(&n);
}

/* A quoted value of a line such as N: Name="..." (quotes inside belong to it). */
static void unquote(char *value)
{
	size_t len = strlen(value);

	if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
		memmove(value, value + 1, len - 2);
		value[len - 2] = '\0';
	}
}

/* One device: lines up to an empty one. inputN and eventN count in the order of discovery, so Phys is the key. */
static void input_facts(const struct source *s, char *block)
{
	char ids[128] = "", name[256] = "", phys[256] = "", key[PATH_MAX], *line;

	while ((line = strsep(&block, "\n"))) {
		if (!strncmp(line, "I: ", 3))
			snprintf(ids, sizeof(ids), "%s", line + 3);
		else if (!strncmp(line, "N: Name=", 8))
			snprintf(name, sizeof(name), "%s", line + 8);
		else if (!strncmp(line, "P: Phys=", 8))
			snprintf(phys, sizeof(phys), "%s", line + 8);
	}
	if (!ids[0])
		return;
	unquote(name);
	snprintf(key, sizeof(key), "input.%s", phys[0] ? phys : name);
	facts_add(s->facts, key, "%s, %s", name, ids);
}

void collect_console(const struct source *s)
{
	auto_free char *inputs = source_read(s, NULL, "/proc/bus/input/devices");
	char *block = inputs;

	serial_facts(s);
	class_facts(s, "vtconsole");
	class_facts(s, "graphics");
	class_facts(s, "drm");
	while (block) {
		char *end = strstr(block, "\n\n");

		if (end)
			*end = '\0';
		input_facts(s, block);
		block = end ? end + 2 : NULL;
	}
}
