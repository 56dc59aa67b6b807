/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fingerprint/source.h"
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

#define BLOCK "/sys/class/block"

static void size_fact(const struct source *s, const char *prefix, const char *folder, const char *name, const char *key_name)
{
	auto_free char *text = source_read(s, NULL, "%s/%s", folder, name);

	if (!text)
		return;
	source_add(s, prefix, key_name, "%" PRIu64 " bytes", (uint64_t)strtoull(text, NULL, 10) * 512);
}

static bool unused(const struct source *s, const char *name)
{
	auto_free char *size = source_read(s, NULL, BLOCK "/%s/size", name);

	return (!strncmp(name, "loop", 4) || !strncmp(name, "ram", 3)) && size && !strtoull(size, NULL, 10);
}

/* Which controller and port: the parts of the device's path from its PCI function on. */
static void path_fact(const struct source *s, const char *prefix, const char *name)
{
	char path[PATH_MAX];
	const char *from;

	if (!source_resolve(s, path, sizeof(path), BLOCK "/%s/device", name))
		return;
	from = strstr(path, "/devices/");
	source_add(s, prefix, "bus_path", "%s", from ? from + strlen("/devices/") : path);
}

static void disk_facts(const struct source *s, const char *prefix, const char *folder)
{
	static const char *const queue[] = {"queue/logical_block_size",
					    "queue/physical_block_size",
					    "queue/rotational",
					    "queue/write_cache",
					    "queue/fua",
					    "queue/discard_granularity",
					    "queue/discard_max_hw_bytes",
					    "queue/max_hw_sectors_kb",
					    "queue/max_segments",
					    "queue/minimum_io_size",
					    "queue/optimal_io_size",
					    "queue/nr_requests",
					    "queue/zoned",
					    "queue/scheduler",
					    NULL};
	static const char *const device[] = {"device/model",
					     "device/vendor",
					     "device/rev",
					     "device/serial",
					     "device/firmware_rev",
					     "device/wwid",
					     "device/type",
					     "device/queue_depth",
					     "device/scsi_level",
					     "device/queue_type",
					     "device/ncq_prio_supported",
					     "serial",
					     "wwid",
					     "nsid",
					     NULL};

	source_facts(s, prefix, folder, queue);
	source_facts(s, prefix, folder, device);
}

static void block_facts(const struct source *s, const char *name)
{
	static const char *const files[] = {"removable", "ro", "hidden", "partition", "alignment_offset", "ext_range", NULL};
	char prefix[PATH_MAX], folder[PATH_MAX], device[64] = "b";
	auto_free char *number = source_read(s, NULL, BLOCK "/%s/dev", name);

	snprintf(prefix, sizeof(prefix), "block.%s", name);
	snprintf(folder, sizeof(folder), BLOCK "/%s", name);
	source_facts(s, prefix, folder, files);
	source_fact(s, prefix, folder, "dev");
	size_fact(s, prefix, folder, "size", "size");
	size_fact(s, prefix, folder, "start", "start");
	path_fact(s, prefix, name);
	disk_facts(s, prefix, folder);
	if (!number)
		return;
	snprintf(device + 1, sizeof(device) - 1, "%.*s", (int)strcspn(number, "\n"), number);
	if (!strchr(device, '/'))
		source_udev_facts(s, prefix, device);
}

/* by-diskseq counts disks since start-up, so it says nothing about the machine. */
static void link_facts(const struct source *s)
{
	struct names kinds = source_list(s, "/dev/disk");

	for (size_t k = 0; k < kinds.count; k++) {
		struct names n = {0};

		if (strcmp(kinds.list[k], "by-diskseq"))
			n = source_list(s, "/dev/disk/%s", kinds.list[k]);
		for (size_t i = 0; i < n.count; i++) {
			char key[PATH_MAX], target[256];

			if (!source_link(s, target, sizeof(target), "/dev/disk/%s/%s", kinds.list[k], n.list[i]))
				continue;
			snprintf(key, sizeof(key), "disk.%s.%s", kinds.list[k], n.list[i]);
			facts_add(s->facts, key, "%s", target);
		}
		names_free(&n);
	}
	names_free(&kinds);
}

static void ata_facts(const struct source *s, const char *class, const char *const *files)
{
	struct names n = source_list(s, "/sys/class/%s", class);

	for (size_t i = 0; i < n.count; i++) {
		char prefix[PATH_MAX], folder[PATH_MAX];

		snprintf(prefix, sizeof(prefix), "ata.%s", n.list[i]);
		snprintf(folder, sizeof(folder), "/sys/class/%s/%s", class, n.list[i]);
		source_facts(s, prefix, folder, files);
	}
	names_free(&n);
}

/* Mounts and swap that lie on block devices: which name the server uses for which of its disks. */
static void mount_facts(const struct source *s)
{
	auto_free char *mounts = source_read(s, NULL, "/proc/self/mounts"), *swaps = source_read(s, NULL, "/proc/swaps");
	char *rest = mounts, *line, key[PATH_MAX];

	while (rest && (line = strsep(&rest, "\n"))) {
		char *from = strsep(&line, " "), *at = strsep(&line, " "), *kind = strsep(&line, " ");

		if (!kind || strncmp(from, "/dev/", 5))
			continue;
		snprintf(key, sizeof(key), "mount.%s", at);
		facts_add(s->facts, key, "%s %s", from, kind);
	}
	for (rest = swaps; rest && (line = strsep(&rest, "\n"));) {
		char from[256], kind[32], size[32];

		if (sscanf(line, "%255s %31s %31s", from, kind, size) != 3 || from[0] != '/')
			continue;
		snprintf(key, sizeof(key), "swap.%s", from);
		facts_add(s->facts, key, "%s %s KiB", kind, size);
	}
}

void collect_block(const struct source *s)
{
	struct names n = source_list(s, BLOCK);

	for (size_t i = 0; i < n.count; i++)
		if (!unused(s, n.list[i]))
			block_facts(s, n.list[i]);
	names_free(&n);
	ata_facts(s, "ata_device", (const char *const[]){"class", "dma_mode", "pio_mode", "xfer_mode", "trim", "spdn_cnt", NULL});
	ata_facts(s, "ata_link", (const char *const[]){"hw_sata_spd_limit", "sata_spd", "sata_spd_limit", NULL});
	ata_facts(s, "ata_port", (const char *const[]){"port_no", "nr_pmp_links", NULL});
	link_facts(s);
	mount_facts(s);
}
