/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/virtio_blk.h>
#include "hv/dev/virtio_blk.h"
#include "lib/scope.h"
#include "tests/unit/suite.h"
#include "tests/unit/hv/dev/virtio_driver.h"
#include "tests/unit/hv/dev/virtio_fakes.h"

#define SIZE 0x100000u
#define W VRING_DESC_F_WRITE
#define BASE (BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_INDIRECT_DESC) | BIT64(VIRTIO_RING_F_EVENT_IDX))
#define FLUSH BIT64(VIRTIO_BLK_F_FLUSH)
#define WCE BIT64(VIRTIO_BLK_F_CONFIG_WCE)
#define HEADER 0x1000u
#define DATA 0x2000u
#define STATUS 0x1800u
#define PENDING 0xee			/* what a status byte holds before the device writes it */

static struct env_pci env = {
	.kind = ENV_PCI_VIRTIO_BLK, .name = "vda", .vendor_id = 0x1af4, .device_id = 0x1042, .subsystem_vendor = 0x1af4,
	.subsystem_device = 0x1100, .revision = 1, .disk_count = 1,
	.disks = { { .name = "vda", .serial = "HULL-0123456789", .size = SIZE, .logical = 512, .physical = 4096, .trim = true } },
};

static struct rig *rig;
static struct fake_disk *disk;
static struct virtio_blk *blk;
static struct driver d;
static struct vq q;

static void begin(uint64_t features)
{
	struct err err = { 0 };
	struct virtio_place place;

	rig = rig_new();
	disk = fake_disk_new(SIZE);
	for (unsigned i = 0; i < SIZE; i++)
		disk->data[i] = (uint8_t)(i / 512 + i);
	place = (struct virtio_place){ &env, &rig->clock, false };
	check_eq(virtio_blk_create(&blk, &place, &disk->b, &err), 0);
	d = driver_open(rig, virtio_blk_pci(blk), 5);
	if (!features)
		return;
	check(driver_negotiate(&d, features));
	vq_place(&q, rig, 0x10000, 64, features & BIT64(VIRTIO_RING_F_EVENT_IDX));
	vq_program(&d, &q, 0);
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	driver_msix(&d);
}

static void end(void)
{
	virtio_blk_free(blk);
	fake_disk_free(&disk->b);
	rig_free(rig);
}

static uint8_t *status_at(unsigned slot) { return rig->ram + STATUS + slot; }

/* A request with its header and status in slot and one data buffer, when len is not 0. */
static void request(unsigned slot, uint32_t type, uint64_t sector, uint32_t len, uint16_t flags)
{
	struct virtio_blk_outhdr h = { .type = htole32(type), .sector = htole64(sector) };
	struct buffer b[3] = { { HEADER + 16 * slot, 16, 0 }, { DATA + 0x1000 * slot, len, flags }, { STATUS + slot, 1, W } };

	memcpy(rig->ram + HEADER + 16 * slot, &h, sizeof h);
	*status_at(slot) = PENDING;
	if (!len)
		b[1] = b[2];
	vq_add(&q, b, len ? 3 : 2);
}

/* One request to its end: its status, with the used length checked. */
static uint8_t perform(uint32_t type, uint64_t sector, uint32_t len, uint16_t flags, uint32_t used)
{
	uint32_t id = 0, written = 0;

	request(0, type, sector, len, flags);
	vq_kick(&q);
	check(vq_take(&q, &id, &written));
	check_eq(written, used);
	return *status_at(0);
}

static void config_says_what_the_disk_is(void)
{
	begin(0);
	check_eq(driver_offered(&d) & 0xffffff, BIT(2) | BIT(4) | BIT(6) | BIT(9) | BIT(10) | BIT(11) | BIT(13) | BIT(14));
	check_eq(reg_read(&d, VIRTIO_DEVICE, 8), SIZE / 512);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 12, 4), 254);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 20, 4), 512);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 24, 1), 3);	/* 4096 = 512 << 3 */
	check_eq(reg_read(&d, VIRTIO_DEVICE + 32, 1), 1);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 36, 4), 0x3fffff);
	check_eq(cfg_read(&d, PCI_VENDOR_ID, 4), 0x10421af4);
	check_eq(cfg_read(&d, PCI_REVISION, 4), 0x01000001);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 256);
	end();
}

static void creation_refuses_a_volume_that_does_not_fit(void)
{
	struct env_pci bad = env;
	struct virtio_blk *b = NULL;
	struct err err = { 0 };
	struct virtio_place place;

	begin(0);
	place = (struct virtio_place){ &bad, &rig->clock, false };
	bad.disks[0].size = SIZE + 512;
	check_eq(virtio_blk_create(&b, &place, &disk->b, &err), -EINVAL);
	check_str(err.text, "vda: the volume holds 1048576 bytes, the disk has 1049088: enlarge the volume");
	bad = env;
	disk->b.logical = 4096;
	check_eq(virtio_blk_create(&b, &place, &disk->b, &err), -EINVAL);
	check_str(err.text, "vda: the volume cannot serve sectors of 512 bytes, only of 4096: use another volume");
	bad.disk_count = 0;
	check_eq(virtio_blk_create(&b, &place, &disk->b, &err), -EINVAL);
	check_str(err.text, "vda: a virtio block device needs one disk");
	check(!b);
	virtio_blk_free(NULL);
	end();
}

static void data_goes_both_ways(void)
{
	begin(BASE | FLUSH);
	check_eq(perform(VIRTIO_BLK_T_IN, 3, 1024, W, 1025), VIRTIO_BLK_S_OK);
	check(!memcmp(rig->ram + DATA, disk->data + 3 * 512, 1024));
	check_eq(rig->msi_data, 0x41);
	memset(rig->ram + DATA, 0xa7, 512);
	check_eq(perform(VIRTIO_BLK_T_OUT, SIZE / 512 - 1, 512, 0, 1), VIRTIO_BLK_S_OK);
	check_eq(disk->data[SIZE - 1], 0xa7);
	check_eq(disk->data[SIZE - 512], 0xa7);
	check(disk->data[SIZE - 513] != 0xa7);
	check_eq(disk->fua, 0);
	check_eq(perform(VIRTIO_BLK_T_FLUSH, 0, 0, 0, 1), VIRTIO_BLK_S_OK);
	check_eq(disk->performed[BLOCK_FLUSH], 1);
	end();
}

static void serial_is_twenty_bytes(void)
{
	begin(BASE);
	memset(rig->ram + DATA, 0xff, 32);
	check_eq(perform(VIRTIO_BLK_T_GET_ID, 0, 20, W, 21), VIRTIO_BLK_S_OK);
	check(!memcmp(rig->ram + DATA, "HULL-0123456789\0\0\0\0\0\xff", 21));
	memset(rig->ram + DATA, 0xff, 32);
	check_eq(perform(VIRTIO_BLK_T_GET_ID, 0, 4, W, 5), VIRTIO_BLK_S_OK);
	check(!memcmp(rig->ram + DATA, "HULL\xff", 5));
	end();
}

static uint8_t range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags, uint32_t len)
{
	struct virtio_blk_discard_write_zeroes seg = { htole64(sector), htole32(sectors), htole32(flags) };

	memcpy(rig->ram + DATA, &seg, sizeof seg);
	return perform(type, 0, len, 0, 1);
}

static void discard_and_write_zeroes_take_one_range(void)
{
	begin(BASE);
	check_eq(range(VIRTIO_BLK_T_DISCARD, 4, 2, 0, 16), VIRTIO_BLK_S_OK);
	check_eq(disk->performed[BLOCK_DISCARD], 1);
	check_eq(disk->data[4 * 512 + 1023], 0);
	check_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 8, 1, 1, 16), VIRTIO_BLK_S_OK);
	check_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 9, 1, 0, 16), VIRTIO_BLK_S_OK);
	check_eq(disk->performed[BLOCK_WRITE_ZEROES], 2);
	check_eq(range(VIRTIO_BLK_T_DISCARD, 4, 2, 1, 16), VIRTIO_BLK_S_UNSUPP);
	check_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 4, 2, 2, 16), VIRTIO_BLK_S_UNSUPP);
	check_eq(range(VIRTIO_BLK_T_DISCARD, 4, 0, 0, 16), VIRTIO_BLK_S_IOERR);
	check_eq(range(VIRTIO_BLK_T_DISCARD, 4, 0x400000, 0, 16), VIRTIO_BLK_S_IOERR);
	check_eq(range(VIRTIO_BLK_T_DISCARD, SIZE / 512, 1, 0, 16), VIRTIO_BLK_S_IOERR);
	check_eq(range(VIRTIO_BLK_T_DISCARD, ~0ull, 1, 0, 16), VIRTIO_BLK_S_IOERR);
	check_eq(range(VIRTIO_BLK_T_DISCARD, 4, 2, 0, 15), VIRTIO_BLK_S_IOERR);
	check_eq(range(VIRTIO_BLK_T_DISCARD, 4, 2, 0, 32), VIRTIO_BLK_S_IOERR);
	disk->b.can_discard = false;
	memset(disk->data + 16 * 512, 0xa7, 1024);
	check_eq(range(VIRTIO_BLK_T_DISCARD, 16, 2, 0, 16), VIRTIO_BLK_S_OK);	/* a hint without effect … */
	check_eq(range(VIRTIO_BLK_T_DISCARD, SIZE / 512, 1, 0, 16), VIRTIO_BLK_S_IOERR);
	check_eq(disk->performed[BLOCK_DISCARD], 1);
	check_eq(disk->data[16 * 512], 0xa7);
	check_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 16, 1, 1, 16), VIRTIO_BLK_S_OK);	/* … zeroes are a promise */
	check_eq(disk->data[16 * 512], 0);
	check_eq(disk->data[17 * 512], 0xa7);
	end();
}

static void a_disk_without_trim_offers_no_discard(void)
{
	env.disks[0].trim = false;
	begin(BASE);
	check_eq(driver_offered(&d) & (BIT(13) | BIT(14)), 0);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 36, 4), 0);
	check_eq(range(VIRTIO_BLK_T_DISCARD, 4, 2, 0, 16), VIRTIO_BLK_S_UNSUPP);
	check_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 4, 2, 0, 16), VIRTIO_BLK_S_UNSUPP);
	check_eq(disk->performed[BLOCK_DISCARD] + disk->performed[BLOCK_WRITE_ZEROES], 0);
	end();
	env.disks[0].trim = true;
}

static void impossible_requests_end_in_an_error(void)
{
	begin(BASE);
	check_eq(perform(VIRTIO_BLK_T_IN, SIZE / 512, 512, W, 1), VIRTIO_BLK_S_IOERR);
	check_eq(perform(VIRTIO_BLK_T_IN, SIZE / 512 - 1, 1024, W, 1), VIRTIO_BLK_S_IOERR);
	check_eq(perform(VIRTIO_BLK_T_IN, ~0ull, 512, W, 1), VIRTIO_BLK_S_IOERR);
	check_eq(perform(VIRTIO_BLK_T_IN, 1ull << 55, 512, W, 1), VIRTIO_BLK_S_IOERR);
	check_eq(perform(VIRTIO_BLK_T_IN, 0, 100, W, 1), VIRTIO_BLK_S_IOERR);
	check_eq(perform(VIRTIO_BLK_T_IN, 0, 0, 0, 1), VIRTIO_BLK_S_IOERR);
	check_eq(perform(VIRTIO_BLK_T_IN, 0, 512, 0, 1), VIRTIO_BLK_S_IOERR);	/* data in the wrong direction */
	check_eq(perform(VIRTIO_BLK_T_OUT, 0, 512, W, 1), VIRTIO_BLK_S_IOERR);
	check_eq(perform(77, 0, 512, W, 1), VIRTIO_BLK_S_UNSUPP);
	check_eq(disk->performed[BLOCK_READ] + disk->performed[BLOCK_WRITE], 0);
	disk->fail = -EIO;
	check_eq(perform(VIRTIO_BLK_T_IN, 0, 512, W, 1), VIRTIO_BLK_S_IOERR);
	disk->fail = -EOPNOTSUPP;
	check_eq(perform(VIRTIO_BLK_T_FLUSH, 0, 0, 0, 1), VIRTIO_BLK_S_UNSUPP);
	disk->fail = 0;
	disk->b.readonly = true;
	check_eq(perform(VIRTIO_BLK_T_OUT, 0, 512, 0, 1), VIRTIO_BLK_S_IOERR);
	check_eq(status_of(&d) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	end();
}

static void disk_ends_where_the_environment_says(void)
{
	begin(BASE);
	disk->b.size = 2 * SIZE;	/* a larger volume below */
	check_eq(perform(VIRTIO_BLK_T_IN, SIZE / 512, 512, W, 1), VIRTIO_BLK_S_IOERR);
	check_eq(range(VIRTIO_BLK_T_DISCARD, SIZE / 512 - 1, 2, 0, 16), VIRTIO_BLK_S_IOERR);
	end();
}

static void header_or_status_missing_breaks_the_device(void)
{
	for (unsigned i = 0; i < 3; i++) {
		begin(BASE);
		if (i == 0)
			vq_add(&q, (struct buffer[]){ { HEADER, 15, 0 }, { STATUS, 1, W } }, 2);
		else if (i == 1)
			vq_add(&q, (struct buffer[]){ { HEADER, 16, 0 } }, 1);
		else
			vq_add(&q, (struct buffer[]){ { STATUS, 1, W } }, 1);
		vq_add(&q, (struct buffer[]){ { HEADER, 15, 0 }, { STATUS, 1, W } }, 2);
		vq_kick(&q);
		check_eq(status_of(&d) & VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_CONFIG_S_NEEDS_RESET);
		check_eq(q.used[1], 0);
		end();
	}
}

static void layout_of_a_request_is_free(void)
{
	uint32_t id = 0, len = 0;
	struct virtio_blk_outhdr h = { .type = htole32(VIRTIO_BLK_T_IN), .sector = htole64(1) };

	begin(BASE);
	memcpy(rig->ram + HEADER, &h, sizeof h);
	/* a header in three pieces, data in two, the status at the end of the data */
	vq_add(&q, (struct buffer[]){ { HEADER, 1, 0 }, { HEADER + 1, 8, 0 }, { HEADER + 9, 7, 0 }, { DATA, 100, W },
				      { DATA + 100, 413, W } }, 5);
	vq_kick(&q);
	check(vq_take(&q, &id, &len));
	check_eq(len, 513);
	check(!memcmp(rig->ram + DATA, disk->data + 512, 512));
	check_eq(rig->ram[DATA + 512], VIRTIO_BLK_S_OK);
	/* a write with its data behind the header in one buffer */
	h.type = htole32(VIRTIO_BLK_T_OUT);
	memcpy(rig->ram + HEADER, &h, sizeof h);
	memset(rig->ram + HEADER + 16, 0x99, 512);
	vq_add(&q, (struct buffer[]){ { HEADER, 528, 0 }, { STATUS, 1, W } }, 2);
	vq_kick(&q);
	check(vq_take(&q, &id, &len));
	check_eq(rig->ram[STATUS], VIRTIO_BLK_S_OK);
	check_eq(disk->data[512], 0x99);
	check_eq(disk->data[1023], 0x99);
	end();
}

static void completions_come_in_any_order(void)
{
	uint32_t id = 0, len = 0;

	begin(BASE);
	disk->hold = true;
	for (unsigned i = 0; i < 5; i++)
		request(i, VIRTIO_BLK_T_IN, i, 512, W);
	vq_kick(&q);
	check_eq(disk->held_count, 5);
	check(!vq_take(&q, &id, &len));
	fake_disk_complete(disk, 3);
	check(vq_take(&q, &id, &len));
	check_eq(id, 9);	/* three descriptors each */
	check_eq(*status_at(3), VIRTIO_BLK_S_OK);
	check_eq(*status_at(2), PENDING);
	check_eq(rig->msis, 1);
	fake_disk_complete(disk, 0);
	check(vq_take(&q, &id, &len));
	check_eq(id, 0);
	check_eq(rig->msis, 1);	/* the event index was not moved */
	end();
}

static void whole_queue_is_in_flight(void)
{
	begin(BASE);
	disk->hold = true;
	for (unsigned i = 0; i < 64; i++) {
		struct virtio_blk_outhdr h = { .type = htole32(VIRTIO_BLK_T_FLUSH) };
		uint64_t table = 0x40000 + 64 * i;
		struct vring_desc two[2] = { { htole64(HEADER), htole32(16), htole16(VRING_DESC_F_NEXT), htole16(1) },
					     { htole64(STATUS + i), htole32(1), htole16(W), 0 } };

		memcpy(rig->ram + HEADER, &h, sizeof h);
		memcpy(rig->ram + table, two, sizeof two);
		vq_add(&q, (struct buffer[]){ { table, 32, VRING_DESC_F_INDIRECT } }, 1);
	}
	vq_kick(&q);
	check_eq(disk->held_count, 64);
	while (disk->held_count)
		fake_disk_complete(disk, disk->held_count / 2);
	check_eq(le16toh(q.used[1]), 64);
	end();
}

static void reset_waits_for_the_medium_and_drops_what_comes_late(void)
{
	begin(BASE);
	disk->hold = true;
	request(0, VIRTIO_BLK_T_IN, 0, 512, W);
	vq_kick(&q);
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	check(status_of(&d));	/* the read may still write guest memory */
	fake_disk_complete(disk, 0);
	check_eq(status_of(&d), 0);
	check_eq(*status_at(0), PENDING);
	check_eq(q.used[1], 0);
	check_eq(rig->msis, 0);
	end();
}

/* A new driver that does not wait for the reset to be done. */
static void barge_in(uint16_t size)
{
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 3);
	reg_write(&d, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	reg_write(&d, VIRTIO_PCI_COMMON_GF, 4, 1);
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 11);
	vq_place(&q, rig, 0x10000, size, false);
	vq_program(&d, &q, 0);
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 15);
}

static void late_completion_does_not_touch_the_next_driver(void)
{
	uint32_t id = 0, len = 0;

	begin(BASE);
	disk->hold = true;
	request(0, VIRTIO_BLK_T_IN, 0, 512, W);
	vq_kick(&q);
	barge_in(64);
	request(1, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	vq_kick(&q);
	check_eq(disk->held_count, 2);
	fake_disk_complete(disk, 0);
	check_eq(*status_at(0), PENDING);
	check_eq(q.used[1], 0);
	fake_disk_complete(disk, 0);
	check(vq_take(&q, &id, &len));
	check_eq(*status_at(1), VIRTIO_BLK_S_OK);
	end();
}

static void requests_wait_when_old_ones_hold_every_slot(void)
{
	uint32_t id = 0, len = 0;

	begin(BASE);
	disk->hold = true;
	for (unsigned turn = 0; turn < 4; turn++) {	/* 4 × 64 = all 256 request slots, from drivers long gone */
		barge_in(128);
		for (unsigned i = 0; i < 64; i++)
			request(0, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
		vq_kick(&q);
	}
	check_eq(disk->held_count, 256);
	barge_in(64);
	request(0, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	request(1, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	vq_kick(&q);
	check_eq(disk->held_count, 256);
	fake_disk_complete(disk, 0);
	check_eq(disk->held_count, 256);	/* the freed slot took the first of the two */
	fake_disk_drain(&disk->b);
	check(vq_take(&q, &id, &len));
	check(vq_take(&q, &id, &len));
	check(!vq_take(&q, &id, &len));
	end();
}

#define RESET BIT64(VIRTIO_F_RING_RESET)

static void queue_reset_waits_for_the_medium(void)
{
	uint32_t id = 0, len = 0;

	begin(BASE | RESET | WCE | FLUSH);
	reg_write(&d, VIRTIO_DEVICE + 32, 1, 0);
	disk->hold = true;
	request(0, VIRTIO_BLK_T_IN, 0, 512, W);
	request(1, VIRTIO_BLK_T_OUT, 3, 512, 0);
	vq_kick(&q);
	queue_reset_begin(&d, 0);
	check(queue_resetting(&d));	/* the read may still write guest memory */
	fake_disk_complete(disk, 1);
	check(queue_resetting(&d));
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	fake_disk_complete(disk, 0);
	check(!queue_resetting(&d));
	check_eq(*status_at(0), PENDING);
	check_eq(*status_at(1), PENDING);
	check_eq(q.used[1], 0);
	check_eq(rig->msis, 0);
	check_eq(status_of(&d), 15);
	/* The next ring starts from nothing; what was set for the device stays. */
	disk->hold = false;
	vq_place(&q, rig, 0x18000, 32, true);
	vq_program(&d, &q, 0);
	check_eq(perform(VIRTIO_BLK_T_OUT, 5, 512, 0, 1), VIRTIO_BLK_S_OK);
	check_eq(disk->fua, 2);		/* this write and the one of before */
	check(!vq_take(&q, &id, &len));
	end();
}

static void queue_reset_frees_a_stalled_round(void)
{
	begin(BASE | RESET);
	disk->hold = true;
	for (unsigned turn = 0; turn < 4; turn++) {
		barge_in(128);
		for (unsigned i = 0; i < 64; i++)
			request(0, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
		vq_kick(&q);
	}
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	check(driver_negotiate(&d, BASE | RESET));	/* while all slots are taken */
	vq_place(&q, rig, 0x10000, 64, true);
	vq_program(&d, &q, 0);
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	request(0, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	vq_kick(&q);
	queue_reset_begin(&d, 0);
	fake_disk_complete(disk, 0);
	check_eq(disk->held_count, 255);	/* the freed slot took nothing from the ring of before */
	check(queue_resetting(&d));
	fake_disk_drain(&disk->b);
	check(!queue_resetting(&d));
	check_eq(q.used[1], 0);
	vq_place(&q, rig, 0x10000, 64, true);
	vq_program(&d, &q, 0);
	check_eq(perform(VIRTIO_BLK_T_IN, 5, 512, W, 513), VIRTIO_BLK_S_OK);
	end();
}

static void write_through_when_the_driver_cannot_flush(void)
{
	begin(BASE);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 32, 1), 0);
	check_eq(perform(VIRTIO_BLK_T_OUT, 0, 512, 0, 1), VIRTIO_BLK_S_OK);
	check_eq(disk->fua, 1);
	check_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 8, 1, 0, 16), VIRTIO_BLK_S_OK);
	check_eq(disk->fua, 2);
	check_eq(range(VIRTIO_BLK_T_DISCARD, 8, 1, 0, 16), VIRTIO_BLK_S_OK);
	check_eq(disk->fua, 2);		/* a hint is no promise */
	end();
	begin(BASE | FLUSH | WCE);
	check_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 8, 1, 0, 16), VIRTIO_BLK_S_OK);
	check_eq(perform(VIRTIO_BLK_T_OUT, 0, 512, 0, 1), VIRTIO_BLK_S_OK);
	check_eq(disk->fua, 0);
	reg_write(&d, VIRTIO_DEVICE + 32, 1, 0);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 32, 1), 0);
	check_eq(perform(VIRTIO_BLK_T_OUT, 0, 512, 0, 1), VIRTIO_BLK_S_OK);
	check_eq(disk->fua, 1);
	reg_write(&d, VIRTIO_DEVICE, 4, 0);	/* capacity cannot be written */
	check_eq(reg_read(&d, VIRTIO_DEVICE, 4), SIZE / 512);
	end();
	begin(BASE | FLUSH);
	reg_write(&d, VIRTIO_DEVICE + 32, 1, 0);	/* not negotiated */
	check_eq(perform(VIRTIO_BLK_T_OUT, 0, 512, 0, 1), VIRTIO_BLK_S_OK);
	check_eq(disk->fua, 0);
	end();
}

static void batch_of_requests_is_one_interrupt(void)
{
	begin(BASE);
	for (unsigned i = 0; i < 10; i++)
		request(i, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	vq_kick(&q);
	check_eq(le16toh(q.used[1]), 10);
	check_eq(rig->msis, 1);
	check_eq(q.kicks, 1);
	end();
}

static void free_carries_out_what_is_in_flight(void)
{
	begin(BASE);
	disk->hold = true;
	memset(rig->ram + DATA, 0x77, 512);
	request(0, VIRTIO_BLK_T_OUT, 2, 512, 0);
	vq_kick(&q);
	virtio_blk_free(take_ptr(blk));
	check_eq(disk->held_count, 0);
	check_eq(disk->data[1024], 0x77);
	check_eq(*status_at(0), PENDING);
	check_eq(q.used[1], 0);
	/* the function is still on the bus of a machine that goes away */
	end();
}

/* A guest that adds a request for each one taken. */
static void refill(struct block *b, struct block_req *req)
{
	vq_add(&q, (struct buffer[]){ { HEADER, 16, 0 }, { STATUS, 1, W } }, 2);
	fake_disk_submit(b, req);
}

static void endless_requests_are_taken_in_rounds(void)
{
	static const struct block_ops ops = { .name = "refill", .submit = refill, .drain = fake_disk_drain, .free = fake_disk_free };

	begin(BASE);
	disk->b.ops = &ops;
	request(0, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
	vq_kick(&q);
	check_eq(disk->performed[BLOCK_FLUSH], 256);
	check_eq(rig_advance(rig, 0), 1);
	check_eq(disk->performed[BLOCK_FLUSH], 512);
	disk->b.ops = &fake_disk_ops;
	check_eq(rig_advance(rig, 0), 1);
	check_eq(disk->performed[BLOCK_FLUSH], 513);
	check_eq(rig_advance(rig, 0), 0);
	end();
}

static void a_round_reaches_the_disk_as_one_batch(void)
{
	begin(BASE);
	for (unsigned i = 0; i < 4; i++)
		request(i, VIRTIO_BLK_T_IN, i, 512, W);
	vq_kick(&q);
	check_eq(disk->most_plugged, 4);
	check_eq(disk->plugs, 0);
	check_eq(disk->performed[BLOCK_READ], 4);
	for (unsigned i = 0; i < 4; i++)
		check_eq(*status_at(i), VIRTIO_BLK_S_OK);
	check_eq(rig->msis, 1);
	end();
}

static void two_instances_do_not_mix(void)
{
	struct fake_disk *disk2 = fake_disk_new(SIZE);
	struct virtio_blk *blk2;
	struct virtio_place place;
	struct driver d2;
	struct vq first;

	begin(BASE);
	disk->hold = true;
	request(0, VIRTIO_BLK_T_IN, 7, 512, W);
	vq_kick(&q);
	place = (struct virtio_place){ &env, &rig->clock, false };
	check_eq(virtio_blk_create(&blk2, &place, &disk2->b, NULL), 0);
	d2 = driver_open(rig, virtio_blk_pci(blk2), 9);
	check(driver_negotiate(&d2, BASE));
	first = q;
	vq_place(&q, rig, 0x20000, 32, true);
	vq_program(&d2, &q, 0);
	set_status(&d2, VIRTIO_CONFIG_S_DRIVER_OK);
	request(1, VIRTIO_BLK_T_OUT, 7, 512, 0);
	vq_kick(&q);
	check_eq(disk2->performed[BLOCK_WRITE], 1);
	check_eq(*status_at(1), VIRTIO_BLK_S_OK);
	check_eq(*status_at(0), PENDING);
	fake_disk_complete(disk, 0);
	check_eq(*status_at(0), VIRTIO_BLK_S_OK);
	check_eq(le16toh(first.used[1]), 1);
	virtio_blk_free(blk2);
	fake_disk_free(&disk2->b);
	end();
}

static const struct test tests[] = {
	{ "a round reaches the disk as one batch", a_round_reaches_the_disk_as_one_batch },
	{ "the config says what the disk is", config_says_what_the_disk_is },
	{ "creation refuses a volume that does not fit", creation_refuses_a_volume_that_does_not_fit },
	{ "data goes both ways", data_goes_both_ways },
	{ "the serial is twenty bytes", serial_is_twenty_bytes },
	{ "discard and write zeroes take one range", discard_and_write_zeroes_take_one_range },
	{ "a disk without TRIM offers no discard", a_disk_without_trim_offers_no_discard },
	{ "impossible requests end in an error", impossible_requests_end_in_an_error },
	{ "the disk ends where the environment says", disk_ends_where_the_environment_says },
	{ "a missing header or status breaks the device", header_or_status_missing_breaks_the_device },
	{ "the layout of a request is free", layout_of_a_request_is_free },
	{ "completions come in any order", completions_come_in_any_order },
	{ "the whole queue is in flight", whole_queue_is_in_flight },
	{ "reset waits for the medium and drops what comes late", reset_waits_for_the_medium_and_drops_what_comes_late },
	{ "a late completion does not touch the next driver", late_completion_does_not_touch_the_next_driver },
	{ "requests wait when old ones hold every slot", requests_wait_when_old_ones_hold_every_slot },
	{ "a queue reset waits for the medium", queue_reset_waits_for_the_medium },
	{ "a queue reset frees a stalled round", queue_reset_frees_a_stalled_round },
	{ "writes go through when the driver cannot flush", write_through_when_the_driver_cannot_flush },
	{ "a batch of requests is one interrupt", batch_of_requests_is_one_interrupt },
	{ "freeing carries out what is in flight", free_carries_out_what_is_in_flight },
	{ "endless requests are taken in rounds", endless_requests_are_taken_in_rounds },
	{ "two instances do not mix", two_instances_do_not_mix },
	{ NULL, NULL },
};

const struct suite suite_hv_dev_virtio_blk = { tests };
