/* SPDX-License-Identifier: Apache-2.0 */
/* What more than one node decides: addresses, names, numbers that may stand once, and sizes that must fit together. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "lib/env/env_priv.h"
#include "lib/scope.h"

struct at { char s[ENV_MAX_PATH + 16]; };

static struct at disk_at(const struct env_pci *pci, const struct env_disk *d)
{
	struct at at;

	snprintf(at.s, sizeof at.s, "%s/%s@%x", pci->path, d->medium == ENV_CD ? "cd" : "disk", d->port);
	return at;
}

#define fail(...) err_set(err, -EINVAL, __VA_ARGS__)

/* Function 00:DEVICE.FUNCTION belongs to the chipset itself. */
static bool chipset_has(const struct env *env, unsigned device, unsigned function)
{
	if (!device)
		return !function;
	return env->chipset == ENV_Q35 ? device == 0x1f && !function : device == 1 && (!function || function == 3);
}

static int check_address(const char *file, const struct env *env, const struct env_pci *pci, struct err *err)
{
	bool root = pci->parent < 0, found = !pci->function || (root && chipset_has(env, pci->device, 0));

	if (pci->kind == ENV_PCI_ROOT_PORT && (!root || env->chipset != ENV_Q35))
		return fail("%s: %s: compatible: \"pcie-root-port\" stands on bus 0 of a q35 chipset only", file, pci->path);
	if (pci->kind == ENV_PCI_SMBUS && (!root || env->chipset != ENV_Q35 || pci->device != 0x1f || pci->function != 3))
		return fail("%s: %s: compatible: \"smbus\" stands at 1f,3 of a q35 chipset only", file, pci->path);
	if (root && chipset_has(env, pci->device, pci->function))
		return fail("%s: %s: address %x,%x is taken by the %s chipset", file, pci->path, pci->device, pci->function,
			env->chipset == ENV_Q35 ? "q35" : "i440fx");
	for (const struct env_pci *o = env->pci; o < env->pci + env->pci_count; o++) {
		if (o->parent != pci->parent || o->device != pci->device)
			continue;
		if (o < pci && o->function == pci->function)
			return fail("%s: %s: address %x,%x is taken by %s", file, pci->path, pci->device, pci->function, o->path);
		found |= !o->function;
	}
	if (!found)
		return fail("%s: %s: function %x needs a function 0 at device %x beside it, or no system looks for it", file,
			pci->path, pci->function, pci->device);
	return 0;
}

static bool is_nic(const struct env_pci *pci)
{
	return pci->kind == ENV_PCI_E1000 || pci->kind == ENV_PCI_VIRTIO_NET;
}

/* Numbers by which the system names a function: an earlier one must not have the same. */
static int check_numbers(const char *file, const struct env *env, const struct env_pci *pci, struct err *err)
{
	if (is_nic(pci) && env->bmc.present && !memcmp(pci->mac, env->bmc.mac, 6))
		return fail("%s: %s: mac: is the same as that of /bmc", file, pci->path);
	for (const struct env_pci *o = env->pci; o < pci; o++) {
		if (pci->kind == ENV_PCI_ROOT_PORT && o->kind == pci->kind && o->slot == pci->slot && o->chassis == pci->chassis)
			return fail("%s: %s: slot: %u of chassis %u is taken by %s", file, pci->path, pci->slot, pci->chassis,
				o->path);
		if (pci->kind == ENV_PCI_BRIDGE && o->kind == pci->kind && pci->chassis && o->chassis == pci->chassis)
			return fail("%s: %s: chassis: %u is taken by %s", file, pci->path, pci->chassis, o->path);
		if (pci->sun >= 0 && o->sun == pci->sun && (o->parent != pci->parent || o->device != pci->device))
			return fail("%s: %s: sun: %d is taken by %s", file, pci->path, pci->sun, o->path);
		if (!is_nic(pci) || !is_nic(o))
			continue;
		if (!memcmp(pci->mac, o->mac, 6))
			return fail("%s: %s: mac: is the same as that of %s", file, pci->path, o->path);
		if (pci->onboard_index && o->onboard_index == pci->onboard_index)
			return fail("%s: %s: onboard-index: %u is taken by %s", file, pci->path, pci->onboard_index, o->path);
	}
	return 0;
}

/* A disk against every disk before it; the label also against the functions. */
static int check_disk(const char *file, const struct env *env, const struct env_pci *pci, const struct env_disk *d,
	struct err *err)
{
	for (const struct env_pci *p = env->pci; p <= pci; p++)
		for (const struct env_disk *o = p->disks; o < p->disks + p->disk_count && o != d; o++) {
			if (!strcmp(o->name, d->name))
				return fail("%s: %s: label: \"%s\" is taken by %s", file, disk_at(pci, d).s, d->name,
					disk_at(p, o).s);
			if (d->boot && o->boot == d->boot)
				return fail("%s: %s: boot: %d is taken by %s", file, disk_at(pci, d).s, d->boot, disk_at(p, o).s);
			if (d->wwn && o->wwn == d->wwn)
				return fail("%s: %s: wwn: is the same as that of %s", file, disk_at(pci, d).s, disk_at(p, o).s);
		}
	for (const struct env_pci *p = env->pci; p < env->pci + env->pci_count; p++)
		if (!strcmp(p->name, d->name))
			return fail("%s: %s: label: \"%s\" is taken by %s", file, disk_at(pci, d).s, d->name, p->path);
	return 0;
}

static int check_label(const char *file, const struct env *env, const struct env_pci *pci, struct err *err)
{
	for (const struct env_pci *o = env->pci; pci->name[0] && o < pci; o++)
		if (!strcmp(o->name, pci->name))
			return fail("%s: %s: label: \"%s\" is taken by %s", file, pci->path, pci->name, o->path);
	return 0;
}

static int check_sizes(const char *file, const struct env *env, struct err *err)
{
	uint64_t dimm = env->smbios.memory.dimm_bytes, dimms = (env->memory + dimm - 1) / dimm;

	/* firmware and chipset leave up to 2 GiB below 4 GiB to devices, memory goes on above */
	if (env->memory > 2ull << 30 && env->memory + (2ull << 30) > 1ull << env->cpu.phys_bits)
		return fail("%s: /memory: size: %llu bytes do not fit into %u physical address bits, see /cpu phys-bits", file,
			(unsigned long long)env->memory, env->cpu.phys_bits);
	if (dimms > ENV_MAX_DIMMS)
		return fail("%s: /smbios/memory: dimm-size: makes %llu modules of the memory, at most %d are allowed", file,
			(unsigned long long)dimms, ENV_MAX_DIMMS);
	return 0;
}

int env_check(const char *file, const struct env *env, struct err *err)
{
	int rc = check_sizes(file, env, err);

	for (const struct env_pci *pci = env->pci; !rc && pci < env->pci + env->pci_count; pci++) {
		rc = check_address(file, env, pci, err);
		if (!rc)
			rc = check_numbers(file, env, pci, err);
		if (!rc)
			rc = check_label(file, env, pci, err);
		for (unsigned i = 0; !rc && i < pci->disk_count; i++)
			rc = check_disk(file, env, pci, &pci->disks[i], err);
	}
	return rc;
}
