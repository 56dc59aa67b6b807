/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/hv/dev/ahci_rig.h"

static uint32_t packet(struct rig *r, const char *cdb, uint32_t bytes, bool dma)
{
	struct cmd c = { .command = 0xa0, .features = dma, .lba = 0xfffe00, .bytes = bytes, .flags = HDR_ATAPI };

	memcpy(c.cdb, cdb, 12);
	memset(data(r, 2), 0xee, 256);
	return run(r, 2, c);
}

static uint16_t sense(struct rig *r)
{
	check_eq(packet(r, "\x03\0\0\0\x12\0\0\0\0\0\0\0", 18, true), 0x50);
	return (uint16_t)(data(r, 2)[2] << 8 | data(r, 2)[12]);
}

static void the_cd_drive_is_empty(void)
{
	static const char *const commands[] = {
		"\0\0\0\0\0\0\0\0\0\0\0\0", "\x25\0\0\0\0\0\0\0\0\0\0\0", "\x28\0\0\0\0\0\0\0\1\0\0\0", "\x43\0\0\0\0\0\0\0\x80\0\0\0",
	};
	struct rig *r = rig_create();

	for (unsigned i = 0; i < 4; i++) {
		check_eq(packet(r, commands[i], 2048, true), 0x2051);
		check_eq(preg(r, 2, PXIS), DHRS | TFES);
		restart(r, 2);
		check_eq(sense(r), 0x023a);
		check_eq(sense(r), 0);
	}
	check_eq(packet(r, "\xff\0\0\0\0\0\0\0\0\0\0\0", 0, true), 0x5051);
	restart(r, 2);
	check_eq(sense(r), 0x0520);
	rig_free(r);
}

static void the_cd_drive_tells_who_it_is(void)
{
	struct rig *r = rig_create();
	char s[64];

	check_eq(run(r, 2, (struct cmd){ .command = 0xec, .bytes = 512 }), 0x451);
	check_eq(get_le32(fis(r, 2, 0x44)) & 0xffffff, 0xeb1401);
	restart(r, 2);
	check_eq(run(r, 2, (struct cmd){ .command = 0xa1, .bytes = 512 }), 0x50);
	check_eq(word(r, 2, 0), 0x85c0);
	ata_string(r, 2, 27, 20, s);
	check_str(s, "QEMU DVD-ROM                            ");
	check_eq(packet(r, "\x12\0\0\0\x60\0\0\0\0\0\0\0", 96, true), 0x50);
	check_eq(prdbc(r, 2, 0), 36);
	check(!memcmp(data(r, 2), "\x05\x80\x00\x21\x1f\0\0\0QEMU    QEMU DVD-ROM    2.5+\xee", 37));
	strcpy(r->env.disks[1].inquiry_vendor, "HL-DT-ST");
	strcpy(r->env.disks[1].inquiry_product, "DVDRAM GUD1N");
	check_eq(packet(r, "\x12\0\0\0\x60\0\0\0\0\0\0\0", 96, false), 0x50);
	check_eq(preg(r, 2, PXIS), DHRS | PSS);
	check(!memcmp(data(r, 2) + 8, "HL-DT-STDVDRAM GUD1N    2.5+", 28));
	check_eq(packet(r, "\x12\1\x83\0\x60\0\0\0\0\0\0\0", 96, true), 0x50);
	check(!memcmp(data(r, 2), "\x05\x83\0\x18\x02\0\0\x14QM00005             \xee", 29));
	check_eq(packet(r, "\x5a\0\x2a\0\0\0\0\0\x80\0\0\0", 128, true), 0x50);
	check(!memcmp(data(r, 2), "\0\x1c\x70\0\0\0\0\0\x2a\x14\x3b\0\x71\x60\x29\0\2\xc0\0\2\2\0\2\xc0\0\0\0\0\0\0\xee", 31));
	check_eq(packet(r, "\x46\0\0\0\0\0\0\0\x80\0\0\0", 128, true), 0x50);
	check(!memcmp(data(r, 2), "\0\0\0\x10\0\0\0\0\0\0\3\x08\0\x10\0\0\0\x08\0\0\xee", 21));
	check_eq(packet(r, "\x4a\1\0\0\x10\0\0\0\x08\0\0\0", 8, true), 0x50);
	check(!memcmp(data(r, 2), "\0\4\4\x10\0\0\0\0\xee", 9));
	rig_free(r);
}

static void the_cd_tray_can_be_locked(void)
{
	struct rig *r = rig_create();

	check_eq(packet(r, "\x1b\0\0\0\2\0\0\0\0\0\0\0", 0, true), 0x50);
	check_eq(packet(r, "\x1e\0\0\0\1\0\0\0\0\0\0\0", 0, true), 0x50);
	check_eq(packet(r, "\x1b\0\0\0\2\0\0\0\0\0\0\0", 0, true), 0x5051);
	restart(r, 2);
	check_eq(sense(r), 0x0553);
	check_eq(run(r, 2, (struct cmd){ .command = 0x25, .count = 1, .bytes = 512 }), 0x451);
	rig_free(r);
}

static const struct test tests[] = {
	{ "the CD drive is empty", the_cd_drive_is_empty },
	{ "the CD drive tells who it is", the_cd_drive_tells_who_it_is },
	{ "the CD tray can be locked", the_cd_tray_can_be_locked },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_atapi = { tests };
