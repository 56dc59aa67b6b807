/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/hv/dev/ahci_rig.h"

/* ---- identity */

static void identifies_the_disk(void)
{
	struct rig *r = rig_create();
	char s[64];

	check_eq(run(r, 0, (struct cmd){ .command = 0xec, .bytes = 512 }), 0x50);
	check_eq(preg(r, 0, CI), 0);
	check_eq(preg(r, 0, PXIS), PSS);	/* PIO data in: no register FIS at the end */
	check_eq(prdbc(r, 0, 0), 512);
	check_eq(fis(r, 0, 0x20)[0], 0x5f);
	check_eq(fis(r, 0, 0x20)[15], 0x50);
	ata_string(r, 0, 27, 20, s);
	check_str(s, "HGST HUS722T1TALA604                    ");
	ata_string(r, 0, 10, 10, s);
	check_str(s, "WMC6N0D12345        ");
	ata_string(r, 0, 23, 4, s);
	check_str(s, "RAGNWA07");
	check_eq(get_le32(data(r, 0) + 120), DISK_SIZE / 512);
	check_eq(get_le64(data(r, 0) + 200), DISK_SIZE / 512);
	check_eq(word(r, 0, 75), 31);
	check_eq(word(r, 0, 76), 0x0100);
	check_eq(word(r, 0, 80), 0x00f0);
	check_eq(word(r, 0, 82), 0x4021);
	check_eq(word(r, 0, 83), 0x7400);
	check_eq(word(r, 0, 84), 0x4100);
	check_eq(word(r, 0, 85), 0x4021);
	check_eq(word(r, 0, 87), 0x4100);
	check_eq(word(r, 0, 88), 0x203f);
	check_eq(word(r, 0, 106), 0x6003);
	check_eq(word(r, 0, 108), 0x5001);
	check_eq(word(r, 0, 111), 0x4567);
	check_eq(word(r, 0, 169), 1);
	check_eq(word(r, 0, 217), 7200);
	check_eq(run(r, 0, (struct cmd){ .command = 0xa1, .bytes = 512 }), 0x451);
	rig_free(r);
}

static void identify_follows_the_environment(void)
{
	struct rig *r = rig_plain();

	r->env.disks[0].wwn = 0;
	r->env.disks[0].logical = r->env.disks[0].physical = 4096;
	r->env.disks[0].rpm = 1;
	r->env.disks[0].trim = false;
	plug(r);
	start(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xec, .bytes = 512 }), 0x50);
	check_eq(word(r, 0, 84), 0x4000);
	check_eq(word(r, 0, 87), 0x4000);
	check_eq(word(r, 0, 106), 0x7000);
	check_eq(get_le32(data(r, 0) + 234), 2048);
	check_eq(get_le64(data(r, 0) + 200), DISK_SIZE / 4096);
	check_eq(word(r, 0, 69), 0);
	check_eq(word(r, 0, 169), 0);
	check_eq(word(r, 0, 217), 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0x06, .features = 1, .count = 1, .bytes = 512 }), 0x451);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .lba = 1, .count = 1, .bytes = 4096 }), 0x50);
	check_eq(r->disk->last_off, 4096);
	check_eq(r->disk->last_len, 4096);
	rig_free(r);
}

/* ---- reading and writing */

static void reads_and_writes_by_dma(void)
{
	struct rig *r = rig_create();

	check_eq(run(r, 0, (struct cmd){ .command = 0x25, .lba = 5, .count = 8, .bytes = 4096 }), 0x50);
	check_eq(preg(r, 0, PXIS), DHRS);
	check_eq(prdbc(r, 0, 0), 4096);
	check(!memcmp(data(r, 0), r->disk->data + 5 * 512, 4096));
	memset(data(r, 0), 0xa5, 1024);
	check_eq(run(r, 0, (struct cmd){ .command = 0xca, .lba = 7, .count = 2, .bytes = 1024, .flags = HDR_WRITE }), 0x50);
	check_eq(r->disk->data[7 * 512], 0xa5);
	check_eq(r->disk->data[9 * 512 - 1], 0xa5);
	check_eq(r->disk->data[9 * 512], (uint8_t)(9 + 9 * 512));
	check_eq(r->disk->fua, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x3d, .lba = 7, .count = 2, .bytes = 1024, .flags = HDR_WRITE }), 0x50);
	check_eq(r->disk->fua, 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0xc8, .lba = 3, .count = 0, .bytes = 131072 }), 0x50);
	check_eq(r->disk->last_len, 131072);
	/* CHS: cylinder 1, head 2, sector 3 */
	check_eq(run(r, 0, (struct cmd){ .command = 0xc8, .lba = 0x000103, .device = 0xa2, .count = 1, .bytes = 512 }), 0x50);
	check_eq(r->disk->last_off, ((1 * 16 + 2) * 63 + 2) * 512);
	rig_free(r);
}

static void reads_and_writes_by_pio(void)
{
	struct rig *r = rig_create();

	check_eq(run(r, 0, (struct cmd){ .command = 0x20, .lba = 4, .count = 2, .bytes = 1024 }), 0x50);
	check_eq(preg(r, 0, PXIS), PSS);
	check(!memcmp(data(r, 0), r->disk->data + 4 * 512, 1024));
	memset(data(r, 0), 0x5a, 1024);
	check_eq(run(r, 0, (struct cmd){ .command = 0x39, .lba = 4, .count = 2, .bytes = 1024, .flags = HDR_WRITE }), 0x50);
	check_eq(preg(r, 0, PXIS), DHRS);
	check_eq(r->disk->data[4 * 512], 0x5a);
	check_eq(run(r, 0, (struct cmd){ .command = 0xc6, .count = 3 }), 0x451);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xc6, .count = 0 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xc4, .lba = 4, .count = 1, .bytes = 512 }), 0x451);
	rig_free(r);
}

static void addresses_beyond_the_disk_are_not_found(void)
{
	struct rig *r = rig_create();
	static const uint64_t lba[] = { DISK_SIZE / 512, DISK_SIZE / 512 - 1, 0xffffffffffff };

	for (unsigned i = 0; i < 3; i++) {
		check_eq(run(r, 0, (struct cmd){ .command = 0x25, .lba = lba[i], .count = 2, .bytes = 1024 }), 0x1051);
		check_eq(preg(r, 0, PXIS), DHRS | TFES);
		check_eq(preg(r, 0, CI), 1);
		restart(r, 0);
	}
	check_eq(run(r, 0, (struct cmd){ .command = 0x42, .lba = DISK_SIZE / 512, .count = 1 }), 0x1051);
	restart(r, 0);
	check_eq(r->disk->submits, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0x40, .lba = 1, .count = 1 }), 0x50);
	check_eq(r->disk->count[BLOCK_READ], 1);
	rig_free(r);
}

/* ---- the smaller commands */

static void settings_are_shown_and_kept(void)
{
	struct rig *r = rig_create();

	check_eq(run(r, 0, (struct cmd){ .command = 0xef, .features = 0x03, .count = 0x22 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xef, .features = 0x82 }), 0x50);
	check_eq(r->disk->count[BLOCK_FLUSH], 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0xc6, .count = 8 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xec, .bytes = 512 }), 0x50);
	check_eq(word(r, 0, 63), 0x0407);
	check_eq(word(r, 0, 88), 0x003f);
	check_eq(word(r, 0, 85), 0x4001);
	check_eq(word(r, 0, 59), 0x0108);
	check_eq(run(r, 0, (struct cmd){ .command = 0x35, .count = 1, .bytes = 512, .flags = HDR_WRITE }), 0x50);
	check_eq(r->disk->fua, 1);	/* without a cache each write is on the medium */
	check_eq(run(r, 0, (struct cmd){ .command = 0xef, .features = 0x02 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xef, .features = 0x03, .count = 0x47 }), 0x451);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xef, .features = 0x05, .count = 0x80 }), 0x451);
	rig_free(r);
}

static void trims_neighbours_together(void)
{
	struct rig *r = rig_create();
	struct cmd c = { .command = 0x06, .features = 1, .count = 1, .bytes = 512, .flags = HDR_WRITE };
	uint8_t *d = data(r, 0);

	put_le64(d, 8 | 8ull << 48);
	put_le64(d + 8, 16 | 8ull << 48);
	put_le64(d + 16, 64 | 1ull << 48);
	check_eq(run(r, 0, c), 0x50);
	check_eq(r->disk->count[BLOCK_DISCARD], 2);
	check_eq(r->disk->data[8 * 512], 0);
	check_eq(r->disk->data[24 * 512 - 1], 0);
	check_eq(r->disk->data[24 * 512], 24);
	check_eq(r->disk->last_off, 64 * 512);
	r->disk->hold = true;
	check_eq(run(r, 0, c), 0xc0);
	check_eq(r->disk->held_count, 1);
	fault_release(r->disk, 0);
	fault_release(r->disk, 0);
	check_eq(preg(r, 0, TFD), 0x50);
	r->disk->hold = false;
	put_le64(d + 16, DISK_SIZE / 512 | 1ull << 48);
	check_eq(run(r, 0, c), 0x1051);
	restart(r, 0);
	c.count = 65;
	check_eq(run(r, 0, c), 0x451);
	rig_free(r);
}

static void trim_on_a_volume_that_cannot_discard_has_no_effect(void)
{
	struct rig *r = rig_plain();
	struct cmd c = { .command = 0x06, .features = 1, .count = 1, .bytes = 512, .flags = HDR_WRITE };
	uint8_t *d;

	r->disk->b.can_discard = false;
	plug(r);
	start(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xec, .bytes = 512 }), 0x50);
	check_eq(word(r, 0, 69), 0x4000);
	check_eq(word(r, 0, 169), 1);
	d = data(r, 0);
	memset(d, 0, 512);
	put_le64(d, 8 | 8ull << 48);
	put_le64(d + 8, 64 | 1ull << 48);
	check_eq(run(r, 0, c), 0x50);
	check_eq(r->disk->count[BLOCK_DISCARD], 0);
	check_eq(r->disk->data[9 * 512], 9);
	put_le64(d + 8, DISK_SIZE / 512 | 1ull << 48);
	check_eq(run(r, 0, c), 0x1051);
	restart(r, 0);
	r->disk->b.readonly = true;
	put_le64(d + 8, 0);
	check_eq(run(r, 0, c), 0x451);
	rig_free(r);
}

static void reports_health_and_power(void)
{
	struct rig *r = rig_create();
	uint8_t sum = 0;

	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xda, .lba = 0xc24f00 }), 0x50);
	check_eq(get_le32(fis(r, 0, 0x44)) & 0xffffff, 0xc24f00);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xd0, .lba = 0xc24f00, .bytes = 512 }), 0x50);
	for (unsigned i = 0; i < 512; i++)
		sum = (uint8_t)(sum + data(r, 0)[i]);
	check_eq(sum, 0);
	check_eq(data(r, 0)[2], 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xd1, .lba = 0xc24f00, .bytes = 512 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xd5, .lba = 0xc24f01, .count = 1, .bytes = 512 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xd9, .lba = 0xc24f00 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xda, .lba = 0xc24f00 }), 0x451);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xd8, .lba = 0xc24f00 }), 0x50);
	check_eq(run(r, 0, (struct cmd){ .command = 0xb0, .features = 0xda, .lba = 0 }), 0x451);
	restart(r, 0);
	check_eq(run(r, 0, (struct cmd){ .command = 0xe5 }), 0x50);
	check_eq(fis(r, 0, 0x40)[12], 0xff);
	check_eq(run(r, 0, (struct cmd){ .command = 0xe0 }), 0x50);
	check_eq(r->disk->count[BLOCK_FLUSH], 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0x27 }), 0x50);
	check_eq(get_le32(fis(r, 0, 0x44)) & 0xffffff, DISK_SIZE / 512 - 1);
	check_eq(run(r, 0, (struct cmd){ .command = 0x90 }), 0x150);
	check_eq(run(r, 0, (struct cmd){ .command = 0xff }), 0x451);
	rig_free(r);
}

static const struct test tests[] = {
	{ "identifies the disk", identifies_the_disk },
	{ "IDENTIFY follows the environment", identify_follows_the_environment },
	{ "reads and writes by DMA", reads_and_writes_by_dma },
	{ "reads and writes by PIO", reads_and_writes_by_pio },
	{ "addresses beyond the disk are not found", addresses_beyond_the_disk_are_not_found },
	{ "settings are shown and kept", settings_are_shown_and_kept },
	{ "trims neighbours together", trims_neighbours_together },
	{ "TRIM on a volume that cannot discard has no effect", trim_on_a_volume_that_cannot_discard_has_no_effect },
	{ "reports health and power", reports_health_and_power },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_ata = { tests };
