/* SPDX-License-Identifier: Apache-2.0 */
/* A server environment from a hostile blob. What is accepted must keep the promises of env.h. */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct env *env = NULL;
	struct err err = { .text = "" };
	int rc = env_parse("fuzz", data, size, &env, &err);

	if (rc)
		must(rc < 0 && !env && err.text[0]);
	else
		check_env(env);
	env_free(env);
	return 0;
}
