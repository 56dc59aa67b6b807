/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/hv/dev/ahci_rig.h"

/* ---- controller */

static void shows_itself_as_ich9(void)
{
	struct rig *r = rig_plain();
	struct pci_dev *d;

	plug(r);
	d = ahci_pci(r->ahci);
	check_eq(pci_dev_config_read(d, 0, 4), 0x29228086);
	check_eq(pci_dev_config_read(d, 8, 4), 0x01060102);
	check_eq(pci_dev_config_read(d, 0x2c, 4), 0x02361028);
	check_eq(pci_dev_config_read(d, 0x34, 1), 0x80);
	check_eq(pci_dev_config_read(d, 0x3d, 1), 1);
	check_eq(pci_dev_config_read(d, 0x80, 4), 0x0080a805);
	check_eq(pci_dev_config_read(d, 0x90, 1), 0x40);
	pci_dev_config_write(d, 0x90, 4, 0xffffffff);
	check_eq(pci_dev_config_read(d, 0x90, 4), 0x003f0040);
	check_eq(pci_dev_config_read(d, 0xa8, 4), 0x00100012);
	check_eq(pci_dev_config_read(d, 0xac, 4), 0x00000048);
	check_eq(reg(r, 0x00), 0xc0141f05);
	check_eq(reg(r, 0x04), 0x80000000);
	check_eq(reg(r, 0x0c), 0x3f);
	check_eq(reg(r, 0x10), 0x00010000);
	check_eq(preg(r, 0, CMD), 0x6);
	check_eq(preg(r, 0, SSTS), 0x113);
	check_eq(preg(r, 1, SSTS), 0);
	check_eq(preg(r, 2, SSTS), 0x113);
	check_eq(preg(r, 0, SIG), 0xffffffff);
	check_eq(preg(r, 1, TFD), 0x7f);
	check_eq(reg(r, 0x400), 0);
	check_eq(bus_read(&r->mmio, BAR5 + 1, 2), 0x141f);
	check_eq(bus_read(&r->mmio, BAR5 + 0x0c, 8), 0x000100000000003f);
	bus_write(&r->ports, BAR4 + 0x10, 4, 0x0c);
	check_eq(bus_read(&r->ports, BAR4 + 0x14, 4), 0x3f);
	rig_free(r);
}

static void the_signature_waits_for_fis_receive(void)
{
	struct rig *r = rig_plain();

	plug(r);
	check_eq(preg(r, 0, TFD) & 0x80, 0x80);
	pset(r, 0, FB, base(0) + AT_FIS);
	pset(r, 0, CMD, FRE);
	check_eq(preg(r, 0, TFD), 0x150);
	check_eq(preg(r, 0, SIG), 0x00000101);
	check_eq(fis(r, 0, 0x40)[0], 0x34);
	check_eq(fis(r, 0, 0x40)[2], 0x50);
	check_eq(preg(r, 0, PXIS) & DHRS, 0);
	pset(r, 2, FB, base(2) + AT_FIS);
	pset(r, 2, CMD, FRE);
	check_eq(preg(r, 2, SIG), 0xeb140101);
	check_eq(preg(r, 2, TFD), 0x100);
	rig_free(r);
}

static void refuses_unsuitable_media(void)
{
	struct rig *r = rig_plain();
	struct block *disks[AHCI_PORTS] = { NULL };
	struct err err = { 0 };

	check_eq(ahci_create(&r->env, disks, &r->ahci, &err), -EINVAL);
	check_str(err.text, "sata0: disk sda has no medium");
	disks[0] = &r->disk->b;
	r->env.disks[0].size += 512;
	check_eq(ahci_create(&r->env, disks, &r->ahci, &err), -EINVAL);
	check_str(err.text, "sata0: disk sda has 8388608 bytes, needs 8389120");
	r->env.disks[0].size -= 512;
	r->disk->b.logical = 4096;
	check_eq(ahci_create(&r->env, disks, &r->ahci, &err), -EINVAL);
	check_str(err.text, "sata0: disk sda has sectors of 512 bytes, its medium serves only 4096");
	r->env.ports = 7;
	check_eq(ahci_create(&r->env, disks, &r->ahci, &err), -EINVAL);
	check_str(err.text, "sata0: 7 ports, 1 to 6 are possible");
	r->env.ports = 2;
	r->disk->b.logical = 512;
	check_eq(ahci_create(&r->env, disks, &r->ahci, &err), -EINVAL);
	check_str(err.text, "sata0: no port 2 for disk sr0");
	check(!r->ahci);
	rig_free(r);
}

/* ---- scatter lists and addresses */

static void odd_scatter_lists_work(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0x25, .lba = 1, .count = 2, .bytes = 1024 };
	uint32_t at = base(0) + AT_DATA;

	build(r, 0, 0, &c);
	prd(r, 0, 0, 0, at + 1, 3);
	prd(r, 0, 0, 1, at + 0x1000, 509);
	prd(r, 0, 0, 2, at + 0x2000, 4 << 20);	/* longer than the rest of the transfer */
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, TFD), 0x50);
	check_eq(prdbc(r, 0, 0), 1024);
	check(!memcmp(r->ram + at + 1, r->disk->data + 512, 3));
	check(!memcmp(r->ram + at + 0x1000, r->disk->data + 515, 509));
	check(!memcmp(r->ram + at + 0x2000, r->disk->data + 1024, 512));
	check_eq(r->ram[at + 0x2000 + 512], 0);
	rig_free(r);
}

static void a_short_scatter_list_is_an_overflow(void)
{
	struct rig *r = rig_create();

	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .lba = 1, .count = 2, .bytes = 1022 }), 0x451);
	check_eq(preg(r, 0, PXIS), DHRS | TFES | OFS);
	check_eq(prdbc(r, 0, 0), 0);
	check_eq(r->disk->submits, 0);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xec }), 0x451);
	rig_free(r);
}

static void bad_addresses_stop_the_port(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0x25, .lba = 1, .count = 2, .bytes = 1024 };

	build(r, 0, 0, &c);
	prd(r, 0, 0, 0, RAM - 512, 1024);	/* over the end */
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), HBFS);
	check_eq(preg(r, 0, CI), 1);
	restart(r, 0);
	build(r, 0, 0, &c);
	prd(r, 0, 0, 0, UINT64_MAX - 100, 1024);
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), HBFS);
	restart(r, 0);
	build(r, 0, 0, &c);
	put_le32(r->ram + base(0) + 8, 0xf0000000);	/* command table */
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), HBFS);
	restart(r, 0);
	pset(r, 0, CLB, 0xf0000000);
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), HBFS);
	restart(r, 0);
	pset(r, 0, CLB, base(0));
	build(r, 0, 0, &c);
	r->ram[base(0) + AT_TABLE] = 0x46;		/* not a register FIS */
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), IFS);
	restart(r, 0);
	pci_dev_config_write(ahci_pci(r->ahci), PCI_COMMAND, 2, 3);	/* no bus master */
	build(r, 0, 0, &c);
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), HBFS);
	check_eq(r->disk->submits, 0);
	pci_dev_config_write(ahci_pci(r->ahci), PCI_COMMAND, 2, 7);
	restart(r, 0);
	check_eq(run(r, 0, c), 0x50);
	rig_free(r);
}

static void a_scatter_list_beyond_reason_is_refused(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0x25, .count = 16384, .bytes = 8 << 20 };
	uint8_t *t = r->ram + 8 * PORT_MEM;

	build(r, 0, 0, &c);
	put_le16(r->ram + base(0) + 2, 65535);
	put_le32(r->ram + base(0) + 8, 8 * PORT_MEM);
	memcpy(t, r->ram + base(0) + AT_TABLE, 0x80);
	for (unsigned i = 0; i < 65535; i++) {
		put_le32(t + 0x80 + i * 16, base(0) + AT_DATA + i % 2 * 2);
		put_le32(t + 0x80 + i * 16 + 12, 0);
	}
	pset(r, 0, CI, 1);
	check_eq(preg(r, 0, PXIS), HBFS);
	check_eq(r->disk->submits, 0);
	rig_free(r);
}

/* ---- queued commands */

static void queued_commands_end_in_any_order(void)
{
	struct rig *r = rig_create();

	r->disk->hold = true;
	for (unsigned i = 0; i < 3; i++)
		queue(r, i, 10 + i);
	pset(r, 0, SACT, 7);
	pset(r, 0, CI, 7);
	check_eq(preg(r, 0, CI), 0);		/* accepted */
	check_eq(preg(r, 0, SACT), 7);
	check_eq(preg(r, 0, TFD), 0x50);
	check_eq(preg(r, 0, PXIS), 0);
	check_eq(r->disk->held_count, 3);
	fault_release(r->disk, 1);
	check_eq(preg(r, 0, SACT), 5);
	check_eq(preg(r, 0, PXIS), SDBS);
	check_eq(fis(r, 0, 0x58)[0], 0xa1);
	check_eq(fis(r, 0, 0x58)[1], 0x40);
	check_eq(fis(r, 0, 0x58)[2], 0x50);
	check_eq(get_le32(fis(r, 0, 0x5c)), 2);
	check(!memcmp(data(r, 0) + 512, r->disk->data + 11 * 512, 512));
	check_eq(data(r, 0)[0], 0);
	fault_release(r->disk, 1);
	check_eq(preg(r, 0, SACT), 1);
	fault_release(r->disk, 0);
	check_eq(preg(r, 0, SACT), 0);
	check_eq(get_le32(fis(r, 0, 0x5c)), 1);
	rig_free(r);
}

static void commands_done_at_once_share_one_fis_and_interrupt(void)
{
	struct rig *r = rig_create();

	for (unsigned i = 0; i < 32; i++)
		queue(r, i, 100 + i);
	pset(r, 0, SACT, 0xffffffff);
	r->rises = 0;
	pset(r, 0, CI, 0xffffffff);
	check_eq(preg(r, 0, SACT), 0);
	check_eq(preg(r, 0, CI), 0);
	check_eq(get_le32(fis(r, 0, 0x5c)), 0xffffffff);
	check_eq(r->rises, 1);
	check_eq(r->disk->submits, 32);
	rig_free(r);
}

static void queued_commands_reach_the_disk_as_one_batch(void)
{
	struct rig *r = rig_create();

	r->disk->batch = true;
	for (unsigned i = 0; i < 32; i++)
		queue(r, i, 100 + i);
	pset(r, 0, SACT, 0xffffffff);
	pset(r, 0, CI, 0xffffffff);
	check_eq(r->disk->most_plugged, 32);
	check_eq(r->disk->plugs, 0);
	check_eq(preg(r, 0, SACT), 0);
	check_eq(get_le32(fis(r, 0, 0x5c)), 0xffffffff);
	rig_free(r);
}

/* The port is busy until the first is done, which happens while the disk is unplugged: the others must follow. */
static void unqueued_commands_follow_each_other(void)
{
	struct rig *r = rig_create();

	r->disk->batch = true;
	for (unsigned i = 0; i < 3; i++)
		build(r, 0, i, &(struct cmd){ .command = 0x25, .device = 0x40, .lba = 10 + i, .count = 1, .bytes = 512 });
	pset(r, 0, CI, 7);
	check_eq(preg(r, 0, CI), 0);
	check_eq(r->disk->count[BLOCK_READ], 3);
	check(!memcmp(data(r, 0), r->disk->data + 12 * 512, 512));
	check_eq(r->disk->plugs, 0);
	rig_free(r);
}

static void queued_writes_honour_fua(void)
{
	struct rig *r = rig_create();
	struct cmd c = ncq(true, 3, 77, 2);

	memset(data(r, 0), 0x77, 1024);
	build(r, 0, 3, &c);
	pset(r, 0, SACT, 8);
	pset(r, 0, CI, 8);
	check_eq(r->disk->fua, 0);
	check_eq(r->disk->data[77 * 512 + 1023], 0x77);
	c.device = 0xc0;
	build(r, 0, 3, &c);
	pset(r, 0, SACT, 8);
	pset(r, 0, CI, 8);
	check_eq(r->disk->fua, 1);
	check_eq(preg(r, 0, SACT), 0);
	rig_free(r);
}

static void a_queued_error_stops_the_queue_and_is_logged(void)
{
	struct rig *r = rig_create();

	r->disk->hold = true;
	for (unsigned i = 0; i < 4; i++)
		queue(r, i, 0x10 + i);
	pset(r, 0, SACT, 0xf);
	pset(r, 0, CI, 0xf);
	fault_release(r->disk, 0);
	r->disk->fail_with = -EIO;
	fault_release(r->disk, 1);	/* tag 2 */
	r->disk->fail_with = 0;
	check_eq(preg(r, 0, PXIS), SDBS | TFES);
	check_eq(preg(r, 0, TFD), 0x4041 | 0x10);
	check_eq(preg(r, 0, SACT), 0xe);
	check_eq(get_le32(fis(r, 0, 0x5c)), 0);
	check_eq(fis(r, 0, 0x58)[3], 0x40);
	/* The others are still out: the port does not stop before their pages are free. */
	pset(r, 0, CMD, FRE);
	check_eq(preg(r, 0, CMD) & CR, CR);
	check_eq(preg(r, 0, SACT), 0);
	fault_drain(&r->disk->b);
	check_eq(preg(r, 0, CMD) & CR, 0);
	check_eq(preg(r, 0, PXIS), SDBS | TFES);
	r->disk->hold = false;
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x2f, .lba = 0x10, .count = 1, .bytes = 512 }), 0x50);
	check_eq(data(r, 0)[0], 2);
	check_eq(data(r, 0)[2], 0x51);
	check_eq(data(r, 0)[3], 0x40);
	check_eq(data(r, 0)[4], 0x12);
	check_eq(data(r, 0)[7], 0x40);
	{
		uint8_t sum = 0;

		for (unsigned i = 0; i < 512; i++)
			sum = (uint8_t)(sum + data(r, 0)[i]);
		check_eq(sum, 0);
	}
	check_eq(run(r, 0, (struct cmd){ .command = 0x2f, .lba = 0x10, .count = 1, .bytes = 512 }), 0x50);
	check_eq(data(r, 0)[0], 0x80);	/* once */
	check_eq(run(r, 0, (struct cmd){ .command = 0x2f, .lba = 0, .count = 1, .bytes = 512 }), 0x50);
	check_eq(word(r, 0, 0x10), 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0x2f, .lba = 0x11, .count = 1, .bytes = 512 }), 0x451);
	rig_free(r);
}

static void an_error_among_commands_done_at_once_reports_the_others_first(void)
{
	struct rig *r = rig_create();

	r->disk->fail_with = -ENOSPC;
	r->disk->fail_after = 2;
	for (unsigned i = 0; i < 4; i++)
		queue(r, i, i);
	pset(r, 0, SACT, 0xf);
	pset(r, 0, CI, 0xf);
	check_eq(preg(r, 0, SACT), 0xc);
	check_eq(preg(r, 0, CI), 8);	/* never taken */
	check_eq(preg(r, 0, TFD), 0x4051);
	check_eq(preg(r, 0, PXIS), SDBS | TFES);
	check_eq(r->disk->submits, 3);
	rig_free(r);
}

static void an_unqueued_command_beside_queued_ones_ends_all(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0x25, .count = 1, .bytes = 512 };

	r->disk->hold = true;
	queue(r, 4, 1);
	build(r, 0, 5, &c);
	pset(r, 0, SACT, 0x10);
	pset(r, 0, CI, 0x30);
	check_eq(preg(r, 0, TFD), 0x451);
	check_eq(preg(r, 0, CI), 0x20);
	fault_drain(&r->disk->b);
	check_eq(preg(r, 0, SACT), 0x10);
	r->disk->hold = false;
	restart(r, 0);
	check_eq(run(r, 0, c), 0x50);
	rig_free(r);
}

static void a_tag_used_twice_stops_the_port(void)
{
	struct rig *r = rig_create();

	r->disk->hold = true;
	queue(r, 4, 1);
	pset(r, 0, SACT, 0x10);
	pset(r, 0, CI, 0x10);
	pset(r, 0, CI, 0x10);
	check_eq(preg(r, 0, PXIS), IFS);
	check_eq(r->disk->held_count, 1);
	fault_drain(&r->disk->b);
	rig_free(r);
}

/* ---- errors, resets */

static void media_errors_name_the_sector(void)
{
	struct rig *r = rig_create();

	r->disk->fail_with = -EIO;
	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .lba = 0x123, .count = 8, .bytes = 4096 }), 0x4051);
	check_eq(preg(r, 0, PXIS), DHRS | TFES);
	check_eq(fis(r, 0, 0x40)[2], 0x51);
	check_eq(fis(r, 0, 0x40)[3], 0x40);
	check_eq(get_le16(fis(r, 0, 0x44)), 0x123);
	check_eq(prdbc(r, 0, 0), 0);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x42, .lba = 0x123, .count = 300 }), 0x4051);	/* READ VERIFY looks, too */
	check_eq(r->disk->last_len, 300 * 512);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x35, .lba = 0x124, .count = 8, .bytes = 4096, .flags = HDR_WRITE }), 0x461);
	check_eq(get_le16(fis(r, 0, 0x44)), 0x124);
	restart(r, 0);
	r->disk->fail_with = -ENOSPC;
	check_eq(run(r, 0, (struct cmd){ .command = 0xca, .lba = 0x124, .count = 8, .bytes = 4096, .flags = HDR_WRITE }), 0x461);
	restart(r, 0);
	r->disk->fail_with = -ENOMEM;	/* no sector is bad: the host may try again */
	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .lba = 0x123, .count = 8, .bytes = 4096 }), 0x451);
	restart(r, 0);
	r->disk->fail_with = -EIO;
	check_eq(run(r, 0, (struct cmd){ .command = 0xe7 }), 0x461);	/* device fault */
	restart(r, 0);
	r->disk->fail_with = 0;
	r->disk->b.readonly = true;
	check_eq(run(r, 0, (struct cmd){ .command = 0x35, .lba = 1, .count = 1, .bytes = 512, .flags = HDR_WRITE }), 0x451);
	restart(r, 0);
	/* After an error nothing runs before the restart. */
	check_eq(run(r, 0, (struct cmd){ .command = 0x00 }), 0x451);
	r->disk->submits = 0;
	pset(r, 0, CI, 2);
	check_eq(r->disk->submits, 0);
	rig_free(r);
}

/* Drivers give a reset a second, whatever rate the disk has. */
static void no_reset_waits_for_the_rate_of_the_disk(void)
{
	struct rig *r = rig_create();

	r->disk->hold = r->disk->by_rate = true;
	for (unsigned i = 0; i < 4; i++)
		queue(r, i, i);
	pset(r, 0, SACT, 0xf);
	pset(r, 0, CI, 0xf);
	check_eq(r->disk->held_count, 4);
	pset(r, 0, CMD, FRE);
	check_eq(preg(r, 0, CMD) & CR, 0);
	restart(r, 0);
	queue(r, 0, 0);
	pset(r, 0, SACT, 1);
	pset(r, 0, CI, 1);
	check_eq(r->disk->held_count, 1);
	pset(r, 0, SCTL, 1);
	check_eq(r->disk->held_count, 0);
	check_eq(preg(r, 0, CI), 0);
	pset(r, 0, SCTL, 0);
	check_eq(preg(r, 0, TFD) & 0x80, 0);
	restart(r, 0);
	queue(r, 0, 0);
	pset(r, 0, SACT, 1);
	pset(r, 0, CI, 1);
	check_eq(r->disk->held_count, 1);
	set(r, GHC, 0x80000001);
	check_eq(reg(r, GHC), 0x80000000);
	check_eq(r->disk->held_count, 0);
	rig_free(r);
}

static void a_port_stopped_under_way_drops_the_command(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0x25, .lba = 1, .count = 1, .bytes = 512 };

	r->disk->hold = true;
	check_eq(run(r, 0, c), 0xc0);
	check_eq(preg(r, 0, CI), 1);
	pset(r, 0, CMD, FRE);
	check_eq(preg(r, 0, CI), 0);
	check_eq(preg(r, 0, CMD) & CR, CR);
	pset(r, 0, CMD, FRE | ST);
	r->disk->hold = false;
	check_eq(run(r, 0, c) & 0x80, 0);	/* waits in PxCI for the old one to come back */
	check_eq(preg(r, 0, CI), 1);
	check_eq(preg(r, 0, PXIS), 0);
	fault_release(r->disk, 0);
	check_eq(preg(r, 0, CI), 0);
	check_eq(preg(r, 0, PXIS), DHRS);
	check_eq(r->disk->submits, 2);
	rig_free(r);
}

static void software_reset_with_commands_under_way(void)
{
	struct rig *r = rig_create();
	struct cmd srst = { .not_command = true, .control = 4, .flags = HDR_RESET | HDR_CLEAR }, end = { .not_command = true };

	r->disk->hold = true;
	queue(r, 3, 9);
	pset(r, 0, SACT, 8);
	pset(r, 0, CI, 8);
	pset(r, 0, CMD, FRE);
	pset(r, 0, CMD, FRE | ST);
	memset(fis(r, 0, 0x40), 0, 20);
	build(r, 0, 0, &srst);
	pset(r, 0, CI, 1);
	fault_release(r->disk, 0);
	check_eq(preg(r, 0, CI), 0);
	build(r, 0, 1, &end);
	pset(r, 0, CI, 2);
	check_eq(preg(r, 0, CI), 0);
	check_eq(preg(r, 0, TFD), 0x150);
	check_eq(preg(r, 0, SIG), 0x101);
	check_eq(fis(r, 0, 0x40)[0], 0x34);
	check_eq(fis(r, 0, 0x40)[1], 0);
	check_eq(preg(r, 0, PXIS), 0);
	r->disk->hold = false;
	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .count = 1, .bytes = 512 }), 0x50);
	rig_free(r);
}

static void comreset_waits_for_what_is_under_way(void)
{
	struct rig *r = rig_create();

	r->disk->hold = true;
	queue(r, 3, 9);
	queue(r, 7, 9);
	pset(r, 0, SACT, 0x88);
	pset(r, 0, CI, 0x88);
	pset(r, 0, CMD, FRE);
	pset(r, 0, SCTL, 0x301);
	check_eq(preg(r, 0, SSTS), 0);
	check_eq(preg(r, 0, TFD), 0x7f);
	pset(r, 0, SCTL, 0x300);
	check_eq(preg(r, 0, SSTS), 0x113);
	check_eq(preg(r, 0, TFD), 0x80);
	check_eq(preg(r, 0, SERR) & 1 << 26, 1 << 26);
	check_eq(preg(r, 0, PXIS) & 0x40, 0x40);
	fault_release(r->disk, 0);
	check_eq(preg(r, 0, TFD), 0x80);
	fault_release(r->disk, 0);
	check_eq(preg(r, 0, TFD), 0x150);
	check_eq(preg(r, 0, SIG), 0x101);
	pset(r, 0, SERR, 0xffffffff);
	check_eq(preg(r, 0, PXIS) & 0x40, 0);
	pset(r, 0, SCTL, 4);
	check_eq(preg(r, 0, SSTS), 4);
	pset(r, 0, SCTL, 0);
	check_eq(preg(r, 0, SSTS), 0x113);
	rig_free(r);
}

static void controller_reset_waits_for_what_is_under_way(void)
{
	struct rig *r = rig_create();

	r->disk->hold = true;
	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .count = 1, .bytes = 512 }), 0xc0);
	set(r, GHC, 0x80000001);
	check_eq(reg(r, GHC), 0x80000001);
	set(r, GHC, 0x80000002);	/* nobody listens now */
	fault_release(r->disk, 0);
	check_eq(reg(r, GHC), 0x80000000);
	check_eq(preg(r, 0, CMD), 6);
	check_eq(preg(r, 0, PXIE), 0);
	check_eq(preg(r, 0, CLB), base(0));
	r->disk->hold = false;
	start(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .count = 1, .bytes = 512 }), 0x50);
	pci_host_reset(&r->host);
	check_eq(pci_dev_config_read(ahci_pci(r->ahci), PCI_COMMAND, 2), 0);
	rig_free(r);
}

static void freeing_with_commands_under_way(void)
{
	struct rig *r = rig_create();

	r->disk->hold = true;
	queue(r, 1, 9);
	queue(r, 2, 9);
	pset(r, 0, SACT, 6);
	pset(r, 0, CI, 6);
	check_eq(r->disk->held_count, 2);
	rig_free(r);	/* the sanitizer judges */
}

/* ---- interrupts */

static void intx_follows_the_status_registers(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0xe7 };

	check_eq(r->level, 0);
	run(r, 0, c);
	check_eq(r->level, 1);
	check_eq(reg(r, IS), 1);
	set(r, IS, 1);			/* in vain while the port has its bit */
	check_eq(reg(r, IS), 1);
	check_eq(r->level, 1);
	pset(r, 0, PXIS, DHRS);
	check_eq(reg(r, IS), 1);	/* latched */
	check_eq(r->level, 1);
	set(r, IS, 1);
	check_eq(r->level, 0);
	pset(r, 0, PXIE, 0);
	run(r, 0, c);
	check_eq(preg(r, 0, PXIS), DHRS);
	check_eq(r->level, 0);
	pset(r, 0, PXIE, DHRS);
	check_eq(r->level, 1);
	set(r, GHC, 0x80000000);
	check_eq(r->level, 0);
	rig_free(r);
}

static void msi_is_sent_once_for_each_rise(void)
{
	struct rig *r = rig_create();
	struct pci_dev *d = ahci_pci(r->ahci);
	struct cmd c = { .command = 0xe5 };

	pci_dev_config_write(d, 0x84, 4, 0xfee01000);
	pci_dev_config_write(d, 0x8c, 2, 0x4041);
	pci_dev_config_write(d, 0x82, 2, 1);
	run(r, 0, c);
	check_eq(r->msis, 1);
	check_eq(r->level, 0);
	build(r, 2, 0, &c);
	pset(r, 2, CI, 1);
	check_eq(r->msis, 1);		/* IS was not zero */
	pset(r, 0, PXIS, DHRS);
	set(r, IS, 1);
	check_eq(r->msis, 2);		/* port 2 is still there */
	pset(r, 2, PXIS, DHRS);
	set(r, IS, 4);
	check_eq(r->msis, 2);
	run(r, 0, c);
	check_eq(r->msis, 3);
	rig_free(r);
}

static void narrow_writes_touch_only_their_bits(void)
{
	struct rig *r = rig_create();

	run(r, 0, (struct cmd){ .command = 0xe5 });
	bus_write(&r->mmio, BAR5 + 0x100 + PXIS + 1, 1, 0xff);
	check_eq(preg(r, 0, PXIS), DHRS);
	bus_write(&r->mmio, BAR5 + 0x100 + PXIS, 1, 0xff);
	check_eq(preg(r, 0, PXIS), 0);
	bus_write(&r->mmio, BAR5 + 0x100 + CLB + 2, 1, 0x55);
	check_eq(preg(r, 0, CLB), 0x550000 | (base(0) & 0xff00ffff));
	rig_free(r);
}

static void two_controllers_at_once(void)
{
	struct rig *a = rig_create(), *b = rig_create();

	a->disk->hold = true;
	queue(a, 0, 3);
	queue(b, 0, 4);
	pset(a, 0, SACT, 1);
	pset(b, 0, SACT, 1);
	pset(a, 0, CI, 1);
	pset(b, 0, CI, 1);
	check_eq(preg(a, 0, SACT), 1);
	check_eq(preg(b, 0, SACT), 0);
	check_eq(a->level, 0);
	check_eq(b->level, 1);
	fault_drain(&a->disk->b);
	check_eq(a->level, 1);
	check_eq(data(a, 0)[0], 3);
	check_eq(data(b, 0)[0], 4);
	rig_free(a);
	rig_free(b);
}

static const struct test tests[] = {
	{ "no reset waits for the rate of the disk", no_reset_waits_for_the_rate_of_the_disk },
	{ "shows itself as ICH9", shows_itself_as_ich9 },
	{ "the signature waits for FIS receive", the_signature_waits_for_fis_receive },
	{ "refuses unsuitable media", refuses_unsuitable_media },
	{ "odd scatter lists work", odd_scatter_lists_work },
	{ "a short scatter list is an overflow", a_short_scatter_list_is_an_overflow },
	{ "bad addresses stop the port", bad_addresses_stop_the_port },
	{ "a scatter list beyond reason is refused", a_scatter_list_beyond_reason_is_refused },
	{ "queued commands end in any order", queued_commands_end_in_any_order },
	{ "commands done at once share one FIS and interrupt", commands_done_at_once_share_one_fis_and_interrupt },
	{ "queued commands reach the disk as one batch", queued_commands_reach_the_disk_as_one_batch },
	{ "unqueued commands follow each other", unqueued_commands_follow_each_other },
	{ "queued writes honour FUA", queued_writes_honour_fua },
	{ "a queued error stops the queue and is logged", a_queued_error_stops_the_queue_and_is_logged },
	{ "an error among commands done at once reports the others first",
		an_error_among_commands_done_at_once_reports_the_others_first },
	{ "an unqueued command beside queued ones ends all", an_unqueued_command_beside_queued_ones_ends_all },
	{ "a tag used twice stops the port", a_tag_used_twice_stops_the_port },
	{ "media errors name the sector", media_errors_name_the_sector },
	{ "a port stopped under way drops the command", a_port_stopped_under_way_drops_the_command },
	{ "software reset with commands under way", software_reset_with_commands_under_way },
	{ "COMRESET waits for what is under way", comreset_waits_for_what_is_under_way },
	{ "controller reset waits for what is under way", controller_reset_waits_for_what_is_under_way },
	{ "freeing with commands under way", freeing_with_commands_under_way },
	{ "INTx follows the status registers", intx_follows_the_status_registers },
	{ "MSI is sent once for each rise", msi_is_sent_once_for_each_rise },
	{ "narrow writes touch only their bits", narrow_writes_touch_only_their_bits },
	{ "two controllers at once", two_controllers_at_once },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_ahci = { tests };
