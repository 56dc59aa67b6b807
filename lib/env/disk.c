/* SPDX-License-Identifier: Apache-2.0 */
/* Disks and CD drives below their controller. Field lengths: ATA8-ACS IDENTIFY DEVICE words 10, 23, 27, 108, 217. */
#include <libfdt.h>
#include <string.h>
#include "lib/bits.h"
#include "lib/env/env_priv.h"

#define CHARS(name, m, lo, hi, need) { name, ENV_T_CHARS, ENV_FIELD(struct env_disk, m), .min = lo, .max = hi, .required = need }
#define LABEL { "label", ENV_T_CHARS, ENV_FIELD(struct env_disk, name), .required = true, .min = 1, .max = 31, .plain = true }
#define BOOT { "boot", ENV_T_CELL, ENV_FIELD(struct env_disk, boot), .min = 1, .max = 255 }
#define TRIM { "trim", ENV_T_FLAG, ENV_FIELD(struct env_disk, trim) }
#define GEOMETRY \
	{ "size", ENV_T_LONG, ENV_FIELD(struct env_disk, size), .required = true, .min = ENV_MIB, \
		.max = ((1ull << 48) - 1) * 512 }, \
	{ "logical-sector", ENV_T_CELL, ENV_FIELD(struct env_disk, logical), .min = 512, .max = 4096, .def = 512 }, \
	{ "physical-sector", ENV_T_CELL, ENV_FIELD(struct env_disk, physical), .min = 512, .max = 65536 }

static const struct env_prop ata_props[] = {
	LABEL, CHARS("model", model, 1, 40, true), CHARS("serial", serial, 1, 20, true), CHARS("firmware", firmware, 0, 8, false),
	{ "wwn", ENV_T_LONG, ENV_FIELD(struct env_disk, wwn), .min = 5ull << 60, .max = (6ull << 60) - 1, .hex = true },
	GEOMETRY,
	{ "rotation", ENV_T_CELL, ENV_FIELD(struct env_disk, rpm), .max = 65534 },
	TRIM, BOOT, { NULL },
};
static const struct env_prop virtio_props[] = { LABEL, CHARS("serial", serial, 0, 20, false), GEOMETRY, TRIM, BOOT, { NULL } };
static const struct env_prop cd_props[] = {
	LABEL, CHARS("model", model, 1, 40, true), CHARS("serial", serial, 0, 20, false),
	CHARS("firmware", firmware, 0, 8, false),
	CHARS("inquiry-vendor", inquiry_vendor, 1, 8, false), CHARS("inquiry-product", inquiry_product, 1, 16, false),
	BOOT, { NULL },
};

static int check_disk(const struct env_node *n, struct env_disk *d)
{
	if (d->logical != 512 && d->logical != 4096)
		return env_node_fail(n, "logical-sector", "%u is not known; allowed: 512, 4096", d->logical);
	if (!d->physical)
		d->physical = d->logical;
	if (!bits_is_pow2(d->physical) || d->physical < d->logical)
		return env_node_fail(n, "physical-sector", "%u must be a power of two and not below logical-sector, %u",
			d->physical, d->logical);
	if (d->size % d->logical)
		return env_node_fail(n, "size", "%llu is not a multiple of the logical sector, %u bytes",
			(unsigned long long)d->size, d->logical);
	if (d->rpm > 1 && d->rpm < 1025)
		return env_node_fail(n, "rotation",
			"%u is out of range; allowed: 0 (says nothing), 1 (solid state), 1025 to 65534", d->rpm);
	return 0;
}

/* SPC has two names where ATA has one. Drives put the maker first in it; QEMU's has the whole name as product. */
static void default_inquiry(struct env_disk *d)
{
	size_t maker = strcspn(d->model, " ");
	const char *product = strcmp(d->model, "QEMU DVD-ROM") ? d->model + maker + strspn(d->model + maker, " ") : d->model;

	if (!d->inquiry_vendor[0])
		memcpy(d->inquiry_vendor, d->model, maker < 8 ? maker : 8);
	if (!d->inquiry_product[0])
		memcpy(d->inquiry_product, product, strnlen(product, 16));
}

static int read_disk(const struct env_node *n, struct env_pci *pci)
{
	bool ata = pci->kind == ENV_PCI_AHCI, cd = ata && env_node_is(n, "cd");
	unsigned port, ports = ata ? pci->ports : 1;
	struct env_disk *d;
	int rc;

	if (!cd && !env_node_is(n, "disk"))
		return env_node_fail(n, NULL, "unknown node; allowed here: disk@0 to disk@%x%s", ports - 1,
			ata ? " and the same as cd@" : "");
	rc = env_node_unit(n, cd ? "cd" : "disk", ports - 1, &port);
	if (rc)
		return rc;
	for (unsigned i = 0; i < pci->disk_count; i++)
		if (pci->disks[i].port == port)
			return env_node_fail(n, NULL, "port %u is taken by \"%s\"", port, pci->disks[i].name);
	/* ports are at most ENV_MAX_DISKS_PER_CONTROLLER and each is there once, so there is room */
	d = &pci->disks[pci->disk_count];
	rc = env_node_read_leaf(n, d, cd ? cd_props : ata ? ata_props : virtio_props);
	if (rc)
		return rc;
	d->port = port;
	d->medium = cd ? ENV_CD : ENV_DISK;
	if (cd) {
		d->logical = d->physical = 2048;
		default_inquiry(d);
	} else {
		rc = check_disk(n, d);
	}
	pci->disk_count += !rc;
	return rc;
}

int env_read_disks(const struct env_node *n, struct env_pci *pci)
{
	int at, rc;

	fdt_for_each_subnode(at, n->fdt, n->off) {
		const struct env_node child = env_node_at(n, at);

		rc = read_disk(&child, pci);
		if (rc)
			return rc;
	}
	if (pci->kind == ENV_PCI_VIRTIO_BLK && !pci->disk_count)
		return env_node_fail(n, NULL, "node \"disk@0\" is missing, it is required here");
	return 0;
}
