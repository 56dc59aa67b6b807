/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks and watchdogs. Which clock source runs now is the kernel's choice at start-up: information. */
#include "tools/fingerprint/source.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

static void rtc_irq_fact(const struct source *s)
{
	auto_free char *data = source_read(s, NULL, "/proc/interrupts");
	char *rest = data, *line;

	while (rest && (line = strsep(&rest, "\n"))) {
		size_t len = strlen(line);

		if (len > 5 && !strcmp(line + len - 5, " rtc0"))
			facts_add(s->facts, "clock.rtc0.irq", "%lu", strtoul(line, NULL, 10));
	}
}

static void rtc_facts(const struct source *s)
{
	struct names n = source_list(s, "/sys/class/rtc");

	for (size_t i = 0; i < n.count; i++) {
		char prefix[PATH_MAX], folder[PATH_MAX];

		snprintf(prefix, sizeof(prefix), "clock.%s", n.list[i]);
		snprintf(folder, sizeof(folder), "/sys/class/rtc/%s", n.list[i]);
		source_facts(s, prefix, folder, (const char *const[]){"name", "hctosys", "range", NULL});
		source_add(s, prefix, "alarm", "%s", source_exists(s, "%s/wakealarm", folder) ? "yes" : "no");
	}
	names_free(&n);
	rtc_irq_fact(s);
}

/* hwclock(8): the third line says UTC or LOCAL; without the file it is UTC. */
static void local_fact(const struct source *s)
{
	auto_free char *data = source_read(s, NULL, "/etc/adjtime");
	char *rest = data, *line = NULL;

	for (int i = 0; i < 3 && rest; i++)
		line = strsep(&rest, "\n");
	facts_add(s->facts, "clock.hardware_time", "%s", line && !strcmp(line, "LOCAL") ? "LOCAL" : "UTC");
}

static void watchdog_facts(const struct source *s)
{
	struct names n = source_list(s, "/sys/class/watchdog");

	for (size_t i = 0; i < n.count; i++) {
		char prefix[PATH_MAX], folder[PATH_MAX];

		snprintf(prefix, sizeof(prefix), "watchdog.%s", n.list[i]);
		snprintf(folder, sizeof(folder), "/sys/class/watchdog/%s", n.list[i]);
		source_facts(s, prefix, folder, (const char *const[]){"identity", "options", "fw_version", NULL});
	}
	names_free(&n);
}

void collect_clock(const struct source *s)
{
	rtc_facts(s);
	local_fact(s);
	facts_add(s->facts, "clock.hpet", "%s", source_exists(s, "/sys/firmware/acpi/tables/HPET") ? "yes" : "no");
	watchdog_facts(s);
	source_facts(s, "info.clocksource", "/sys/devices/system/clocksource/clocksource0",
		     (const char *const[]){"current_clocksource", "available_clocksource", NULL});
}
