/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server environment from a hostile blob. What is accepted must keep the promises of env.h.
 * Input that starts with a blob's magic byte is the blob; other input is a list of operations that build a well-formed
 * tree out of the schema's words, in wrong places and with wrong values.
 */
#include <libfdt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/env/env.h"

static void must(int c)
{
	if (!c)
		abort();
}

static void check_env(const struct env *env)
{
	must(env->hostname && env->hostname[0]);
	must(env->memory && env->memory % (1 << 20) == 0);
	must(env_cpu_count(env) >= 1 && env_cpu_count(env) <= ENV_MAX_CPUS);
	must(env->pci_count <= ENV_MAX_PCI && env->cpu.cache_count <= ENV_MAX_CACHES);
	must(env->smbios.oem_string_count <= ENV_MAX_OEM_STRINGS);
	must(env->bmc.kind && strlen(env->smbios.system.product) <= 64 && strlen(env->smbios.board.location) <= 64);
	for (unsigned i = 0; i < env->pci_count; i++) {
		const struct env_pci *p = &env->pci[i];

		must(p->kind < ENV_PCI_KINDS && p->parent < (int)i && p->parent >= -1 && p->device < 32 && p->function < 8);
		must(p->path && p->segment && p->onboard_label && p->disk_count <= ENV_MAX_DISKS_PER_CONTROLLER);
		for (unsigned d = 0; d < p->disk_count; d++) {
			must(p->disks[d].logical && p->disks[d].size % p->disks[d].logical == 0);
			must(memchr(p->disks[d].model, 0, sizeof p->disks[d].model) && p->disks[d].name[0]);
		}
	}
}

static const char *const nodes[] = {
	"smbios", "bios", "system", "board", "chassis", "processor", "memory", "acpi", "cpu", "cache@0", "cache@1", "memory",
	"chipset", "pci", "lan@5,0", "a@6,0", "b@0,0", "port@1c,0", "sata@1f,2", "smbus@1f,3", "disk@0", "disk@1", "cd@2",
	"bmc", "x", "cache@g",
};
static const char *const props[] = {
	"entry-point", "oem-strings", "vendor", "version", "release-date", "release", "uefi", "rom-kib", "manufacturer",
	"product", "serial", "sku", "family", "asset-tag", "location", "type", "socket-prefix", "max-mhz", "upgrade",
	"locator-prefix", "dimm-size", "oem-id", "oem-table-id", "creator-id", "creator-revision", "sockets", "cores",
	"threads", "model-name", "model", "stepping", "phys-bits", "max-leaf", "max-ext-leaf", "features", "paravirt",
	"level", "size-kib", "ways", "line", "shared-by", "size", "subsystem", "serial0", "hpet", "compatible", "label",
	"id", "revision", "sun", "slot", "chassis", "hotplug", "mac", "segment", "onboard-index", "onboard-label", "ports",
	"firmware", "wwn", "logical-sector", "physical-sector", "rotation", "boot", "ip", "kind", "hostname", "uuid",
	"clock", "unknown",
};
static const char *const texts[] = {
	"hull,environment-1", "web", "4c4c4544-0037-4a10-8052-b4c04f4d3132", "bios", "uefi", "utc", "q35", "i440fx", "2.8",
	"3.0", "GenuineIntel", "AuthenticAMD", "fpu", "avx2", "lm", "data", "unified", "e1000", "ahci", "smbus",
	"pcie-root-port", "pci-bridge", "virtio-blk", "virtio-net", "virtio-rng", "net0", "sda", "192.0.2.1", "ipmi-2.0",
	"03/14/2019", "",
};
#define PICK(a, i) (a)[(i) % (sizeof(a) / sizeof((a)[0]))]

static void put(void *fdt, const uint8_t *op)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	const char *name = PICK(props, op[1]);

	switch (op[0] >> 4 & 7) {
	case 0: fdt_property(fdt, name, NULL, 0); break;
	case 1: fdt_property_u32(fdt, name, op[2]); break;
	case 2: fdt_property_u32(fdt, name, (uint32_t)op[2] << op[3] % 32); break;
	case 3: fdt_property_u64(fdt, name, (uint64_t)op[2] << op[3] % 64); break;
	case 4: fdt_property_string(fdt, name, PICK(texts, op[2])); break;
	case 5: fdt_property(fdt, name, op, 4); break;
	case 6: fdt_property(fdt, name, mac, op[2] % 7); break;
	case 7: fdt_property_u64(fdt, name, (uint64_t)op[2] << 32 | op[3]); break;
	}
}

/* Ops of four bytes: into a node, out of it, or a property of it. Errors of libfdt only make the tree smaller. */
static size_t build(void *fdt, size_t room, const uint8_t *data, size_t size)
{
	unsigned depth = 1;

	fdt_create(fdt, (int)room);
	fdt_finish_reservemap(fdt);
	fdt_begin_node(fdt, "");
	if (data[0] & 1) {	/* past the root's required properties at once */
		fdt_property_string(fdt, "compatible", texts[0]);
		fdt_property_string(fdt, "hostname", texts[1]);
		fdt_property_string(fdt, "uuid", texts[2]);
	}
	for (data++, size--; size >= 4; data += 4, size -= 4) {
		unsigned what = data[0] & 15;

		if (what < 3 && depth < 32)
			depth += !fdt_begin_node(fdt, PICK(nodes, data[1]));
		else if (what < 5 && depth > 1)
			depth -= !fdt_end_node(fdt);
		else
			put(fdt, data);
	}
	while (depth--)
		fdt_end_node(fdt);
	return fdt_finish(fdt) ? 0 : fdt_totalsize(fdt);
}

static void parse(const void *data, size_t size)
{
	struct env *env = NULL;
	struct err err = { .text = "" };
	int rc = env_parse("fuzz", data, size, &env, &err);

	if (rc)
		must(rc < 0 && !env && err.text[0]);
	else
		check_env(env);
	env_free(env);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint64_t fdt[4096];

	if (!size || data[0] == 0xd0) {
		parse(data, size);
		return 0;
	}
	memset(fdt, 0, sizeof fdt);
	size = build(fdt, sizeof fdt, data, size);
	if (size)
		parse(fdt, size);
	return 0;
}
