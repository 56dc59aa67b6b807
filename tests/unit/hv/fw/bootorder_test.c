/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/bootorder.h"
#include "tests/unit/hv/fw/sample.h"
#include "tests/unit/suite.h"

static char out[BOOTORDER_MAX];

static void one_ahci_disk_then_halt(void)
{
	struct env env;

	sample_env(&env);
	check_eq(bootorder_build(&env, out), strlen(out) + 1);
	check_str(out, "/pci@i0cf8/pci8086,2922@1f,2/drive@0/disk@0\nHALT");
}

static void disks_stand_in_boot_order_with_their_bridges(void)
{
	struct env env;

	sample_env(&env);
	env.pci[3].disk_count = 2;
	env.pci[3].disks[0].boot = 3;
	env.pci[3].disks[1] = (struct env_disk){ .port = 4, .boot = 2 };
	env.pci[1].kind = ENV_PCI_VIRTIO_BLK;
	env.pci[1].disk_count = 1;
	env.pci[1].disks[0].boot = 1;
	(void)bootorder_build(&env, out);
	check_str(out, "/pci@i0cf8/pci-bridge@1c/scsi@0/disk@0,0\n"
		       "/pci@i0cf8/pci8086,2922@1f,2/drive@4/disk@0\n"
		       "/pci@i0cf8/pci8086,2922@1f,2/drive@0/disk@0\nHALT");
}

static void without_boot_disks_there_is_no_order(void)
{
	struct env env;

	sample_env(&env);
	env.pci[3].disks[0].boot = 0;
	check_eq(bootorder_build(&env, out), 0);
}

static void as_many_disks_as_an_environment_holds_fit(void)
{
	static struct env env;
	unsigned lines = 0;

	sample_env(&env);
	env.pci_count = ENV_MAX_PCI;
	for (unsigned i = 0; i < ENV_MAX_PCI; i++) {
		env.pci[i] = (struct env_pci){ .kind = ENV_PCI_VIRTIO_BLK, .parent = -1, .device = 31, .function = 7, .disk_count = 1 };
		env.pci[i].disks[0].boot = (int)(ENV_MAX_PCI - i);
	}
	check(bootorder_build(&env, out) > 0);
	for (const char *p = out; (p = strchr(p, '\n')); p++)
		lines++;
	check_eq(lines, ENV_MAX_PCI);
}

static const struct test tests[] = {
	{ "one AHCI disk, then HALT", one_ahci_disk_then_halt },
	{ "disks stand in boot order with their bridges", disks_stand_in_boot_order_with_their_bridges },
	{ "without boot disks there is no order", without_boot_disks_there_is_no_order },
	{ "as many disks as an environment holds fit", as_many_disks_as_an_environment_holds_fit },
	{ NULL, NULL },
};
const struct suite suite_hv_fw_bootorder = { tests };
