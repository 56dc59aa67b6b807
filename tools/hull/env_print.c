/* SPDX-License-Identifier: Apache-2.0 */
/* An environment for people: identity, CPU, memory, and the PCI tree with what stands in it. */
#include <stdio.h>
#include <string.h>
#include "lib/bits.h"
#include "tools/hull/hull.h"

/* "first second third", only those that are there; the rest of the line after its title. */
static void print_texts(const char *title, const char *const texts[], unsigned count)
{
	bool any = false;

	for (unsigned i = 0; i < count; i++)
		any |= *texts[i];
	if (!any)
		return;
	printf("  %-12s", title);
	for (unsigned i = 0; i < count; i++)
		if (*texts[i])
			printf(" %s", texts[i]);
	putchar('\n');
}
#define TEXTS(title, ...) \
	print_texts(title, (const char *const[]){ __VA_ARGS__ }, sizeof (const char *const[]){ __VA_ARGS__ } / sizeof(char *))

static void print_size(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	unsigned u = 0;

	for (; u < 5 && bytes >= 1024 && !(bytes % 1024); u++)
		bytes /= 1024;
	printf("%llu %s", (unsigned long long)bytes, units[u]);
}

static void print_mac(const uint8_t m[6])
{
	printf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static void print_identity(const struct env *env)
{
	const struct env_smbios *m = &env->smbios;

	printf("%s\n  %-12s ", env->hostname, "uuid");
	for (unsigned i = 0; i < 16; i++)
		printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", env->uuid[i]);
	putchar('\n');
	TEXTS("system", m->system.manufacturer, m->system.product, m->system.version);
	TEXTS("serial", m->system.serial, m->system.sku, m->system.family);
	if (m->board.present)
		TEXTS("board", m->board.manufacturer, m->board.product, m->board.version, m->board.serial, m->board.asset_tag);
	TEXTS("chassis", m->chassis.manufacturer, m->chassis.version, m->chassis.serial, m->chassis.asset_tag);
	TEXTS("bios", m->bios.vendor, m->bios.version, m->bios.release_date);
	printf("  %-12s %s, clock %s\n", "firmware", env->firmware == ENV_UEFI ? "uefi" : "bios",
		env->clock == ENV_CLOCK_LOCALTIME ? "localtime" : "utc");
	if (env->bmc.present) {
		printf("  %-12s %s at %d.%d.%d.%d, ", "bmc", env->bmc.kind, env->bmc.ip[0], env->bmc.ip[1], env->bmc.ip[2],
			env->bmc.ip[3]);
		print_mac(env->bmc.mac);
		putchar('\n');
	}
}

static void print_cpu(const struct env_cpu *cpu)
{
	unsigned column = 0;

	printf("cpu\n  %s (%s), family %u model %u stepping %u\n", cpu->model_name, cpu->vendor, cpu->family, cpu->model,
		cpu->stepping);
	printf("  %u socket%s × %u core%s × %u thread%s, %u physical address bits%s\n", cpu->sockets,
		cpu->sockets == 1 ? "" : "s", cpu->cores, cpu->cores == 1 ? "" : "s", cpu->threads,
		cpu->threads == 1 ? "" : "s", cpu->phys_bits,
		cpu->paravirt ? ", KVM leaves added" : "");
	for (const struct env_cache *c = cpu->caches; c < cpu->caches + cpu->cache_count; c++)
		printf("  L%u%s %u KiB, %u ways, shared by %u\n", c->level, c->type == 'd' ? "d" : c->type == 'i' ? "i" : "",
			c->kib, c->ways, c->shared_by);
	for (unsigned w = 0; w < ENV_CPUID_WORDS; w++)
		for (unsigned b = 0; b < 32; b++) {
			const char *name = cpu->words[w] & BIT(b) ? env_cpuid_name(w, b) : NULL;

			if (!name)
				continue;
			if (column && column + strlen(name) + 1 > 100) {
				putchar('\n');
				column = 0;
			}
			column += (unsigned)printf("%s%s", column ? " " : "  ", name);
		}
	putchar('\n');
}

static void print_disk(const struct env_disk *d, int indent)
{
	printf("%*s%s port %u: %s", indent, "", d->name, d->port, d->medium == ENV_CD ? "cd" : "disk");
	if (d->model[0])
		printf(" %s", d->model);
	if (d->medium == ENV_CD)
		printf(" (%s, %s)", d->inquiry_vendor, d->inquiry_product);
	if (d->serial[0])
		printf(", serial %s", d->serial);
	if (d->wwn)
		printf(", wwn 0x%016llx", (unsigned long long)d->wwn);
	if (d->medium == ENV_DISK) {
		printf(", ");
		print_size(d->size);
		printf(", sectors %u/%u%s", d->logical, d->physical, d->trim ? ", trim" : "");
	}
	if (d->boot)
		printf(", boot %d", d->boot);
	putchar('\n');
}

static void print_functions(const struct env *env, int parent, int indent)
{
	for (unsigned i = 0; i < env->pci_count; i++) {
		const struct env_pci *pci = &env->pci[i];

		if (pci->parent != parent)
			continue;
		printf("%*s%02x.%x %s%s%s [%04x:%04x]", indent, "", pci->device, pci->function, env_pci_kind_name(pci->kind),
			pci->name[0] ? " " : "", pci->name, pci->vendor_id, pci->device_id);
		if (pci->kind == ENV_PCI_ROOT_PORT)
			printf(" slot %u%s, %s GT/s ×%u", pci->slot, pci->hotplug ? ", hot-plug" : "",
				env_link_speed_name(pci->link_speed), pci->link_width);
		if (pci->sun >= 0)
			printf(" _SUN %d", pci->sun);
		if (pci->kind == ENV_PCI_E1000 || pci->kind == ENV_PCI_VIRTIO_NET) {
			putchar(' ');
			print_mac(pci->mac);
			if (pci->segment[0])
				printf(" segment %s", pci->segment);
			if (pci->onboard_index)
				printf(" onboard %u \"%s\"", pci->onboard_index, pci->onboard_label);
			if (pci->queues > 1)
				printf(" %u queue pairs", pci->queues);
		}
		putchar('\n');
		for (unsigned d = 0; d < pci->disk_count; d++)
			print_disk(&pci->disks[d], indent + 5);
		print_functions(env, (int)i, indent + 5);
	}
}

void env_print(const struct env *env)
{
	print_identity(env);
	print_cpu(&env->cpu);
	printf("memory\n  ");
	print_size(env->memory);
	printf("\nchipset\n  %s%s%s%s%s%s\npci\n", env->chipset == ENV_Q35 ? "q35" : "i440fx", env->com[0] ? ", COM1" : "",
		env->com[1] ? ", COM2" : "", env->keyboard ? ", keyboard" : "", env->mouse ? ", mouse" : "",
		env->hpet ? ", HPET" : "");
	print_functions(env, -1, 2);
}
