/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fingerprint/source.h"
#include <unistd.h>

void collect_system(const struct source *s)
{
	source_fact(s, "system", "/proc/sys/kernel", "hostname");
	source_fact(s, "system", "/etc", "machine-id");
	source_fact(s, "system.kernel", "/proc", "cmdline");
	facts_add(s->facts, "system.firmware", "%s", source_exists(s, "/sys/firmware/efi") ? "uefi" : "bios");
	source_fact(s, "info.kernel", "/proc/sys/kernel", "osrelease");
	source_fact(s, "info.kernel", "/proc/sys/kernel", "version");
	if (source_live(s) && geteuid())
		facts_add(s->facts, "info.complete", "no: only root sees serial numbers, firmware tables and port addresses");
}
