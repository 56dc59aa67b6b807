/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/hv/fw/sample.h"
#include <string.h>

static const struct env_smbios smbios = {
	.bios = { .vendor = "American Megatrends Inc.", .version = "2.3.1", .release_date = "03/14/2019", .major = 2, .minor = 3 },
	.system = { "Example Systems", "ES-R240", "A02", "ES7KX2J3", "SKU-0A1B", "RackServer" },
	.board = { "Example Systems", "0X1R2C", "A01", ".ES7KX2J3.CN7016.", "AT-10077", "Main", true },
	.chassis = { "Example Systems", "R1", "ES7KX2J3", "DC1-R07-U12", "1U", 1 },
	.processor = { "CPU", "AMD", "AMD EPYC Processor", "CPUSN01", "CPUAT01", "PS7251BFV8SAF", 2900, 2100, 1, 1 },
	.memory = { "DIMM", "BANK 0", "Samsung", "0A1B2C3D", "DIMM-AT", "M393A1G40", 2400, 7, 9, 0 },
	.oem_strings = { "rack=R07", "unit=U12" },
	.oem_string_count = 2,
};

static void fill_pci(struct env *env)
{
	struct env_pci *p = env->pci;

	p[0] = (struct env_pci){ .kind = ENV_PCI_ROOT_PORT, .name = "rp0", .parent = -1, .device = 0x1c, .slot = 3, .sun = -1 };
	p[1] = (struct env_pci){ .kind = ENV_PCI_VIRTIO_NET, .name = "net1", .parent = 0, .sun = 192 };
	p[2] = (struct env_pci){ .kind = ENV_PCI_E1000, .name = "net0", .parent = -1, .device = 5, .sun = 5,
				 .onboard_index = 1, .onboard_label = "Onboard LAN1" };
	p[3] = (struct env_pci){ .kind = ENV_PCI_AHCI, .name = "sata", .parent = -1, .device = 0x1f, .function = 2, .sun = -1,
				 .ports = 6, .disk_count = 1 };
	p[3].disks[0] = (struct env_disk){ .name = "sda", .port = 0, .boot = 1 };
	env->pci_count = 4;
}

void sample_env(struct env *env)
{
	static const uint8_t uuid[16] = {
		0x4c, 0x4c, 0x45, 0x44, 0x00, 0x37, 0x4a, 0x10, 0x80, 0x52, 0xb4, 0xc0, 0x4f, 0x4d, 0x31, 0x32,
	};

	memset(env, 0, sizeof *env);
	env->hostname = "es-r240";
	memcpy(env->uuid, uuid, 16);
	env->memory = 1ull << 30;
	env->smbios = smbios;
	strcpy(env->acpi.oem_id, "EXSYS");
	strcpy(env->acpi.oem_table_id, "ES-R240");
	strcpy(env->acpi.creator_id, "AMI");
	env->acpi.creator_revision = 0x10013;
	env->cpu = (struct env_cpu){ .sockets = 1, .cores = 2, .threads = 1, .vendor = "AuthenticAMD", .family = 0x17, .model = 1,
				     .stepping = 2, .phys_bits = 40 };
	env->cpu.words[ENV_CPUID_1_EDX] = 0x178bfbfd;	/* as TCG shows EPYC-v1, with the topology's HTT */
	env->com[0] = true;
	env->keyboard = env->mouse = true;
	fill_pci(env);
}
