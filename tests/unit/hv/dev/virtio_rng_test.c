/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/virtio_rng.h"
#include "tests/unit/suite.h"
#include "tests/unit/hv/dev/virtio_driver.h"

#define W VRING_DESC_F_WRITE
#define BASE (BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_INDIRECT_DESC) | BIT64(VIRTIO_RING_F_EVENT_IDX))

static const struct env_pci env = { .kind = ENV_PCI_VIRTIO_RNG, .name = "", .vendor_id = 0x1af4, .device_id = 0x1044,
				    .subsystem_vendor = 0x1af4, .subsystem_device = 0x1100, .revision = 1 };

static struct rig *rig;
static struct virtio_rng *rng;
static struct driver d;
static struct vq q;

static void begin(void)
{
	struct virtio_place place;

	rig = rig_new();
	place = (struct virtio_place){ &env, &rig->clock, false };
	check_eq(virtio_rng_create(&rng, &place, NULL), 0);
	d = driver_open(rig, virtio_rng_pci(rng), 6);
	check(driver_negotiate(&d, BASE));
	vq_place(&q, rig, 0x10000, 8, true);
	vq_program(&d, &q, 0);
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void end(void)
{
	virtio_rng_free(rng);
	rig_free(rig);
}

/* What Linux shows in sysfs as features, bit 0 first, for QEMU's virtio-rng of the same age. */
static void features_are_the_ones_qemu_offers(void)
{
	static const char bits[] = "0000000000000000000000000000110010000000100000000000000000000000";

	begin();
	for (unsigned i = 0; i < 64; i++)
		check_eq(driver_offered(&d) >> i & 1, bits[i] - '0');
	end();
}

static bool all_zero(const uint8_t *p, size_t n)
{
	while (n && !*p++)
		n--;
	return !n;
}

static void buffers_are_filled(void)
{
	uint32_t id = 0, len = 0;

	begin();
	check_eq(cfg_read(&d, PCI_VENDOR_ID, 4), 0x10441af4);
	check_eq(cfg_read(&d, PCI_REVISION, 4), 0x00ff0001);
	check_eq(cfg_read(&d, d.pci->msix.cap + 2u, 2), 1);	/* two vectors */
	vq_add(&q, (struct buffer[]){ { 0x2000, 32, W }, { 0x3000, 64, W } }, 2);
	vq_kick(&q);
	check(vq_take(&q, &id, &len));
	check_eq(len, 96);
	check(!all_zero(rig->ram + 0x2000, 32));
	check(!all_zero(rig->ram + 0x3000 + 32, 32));
	check(all_zero(rig->ram + 0x2020, 32));
	check(all_zero(rig->ram + 0x3040, 32));
	check_eq(rig->intx, 1);
	end();
}

static void large_buffer_is_used_short(void)
{
	uint32_t id = 0, len = 0;

	begin();
	vq_add(&q, (struct buffer[]){ { 0x20000, 0x10000, W } }, 1);
	vq_kick(&q);
	check(vq_take(&q, &id, &len));
	check_eq(len, VIRTIO_RNG_REQUEST);
	check(all_zero(rig->ram + 0x20000 + VIRTIO_RNG_REQUEST, 64));
	end();
}

static void buffer_without_room_comes_back_empty(void)
{
	uint32_t id = 0, len = 1;

	begin();
	vq_add(&q, (struct buffer[]){ { 0x2000, 32, 0 } }, 1);
	vq_kick(&q);
	check(vq_take(&q, &id, &len));
	check_eq(len, 0);
	end();
}

static void flood_is_slowed_down(void)
{
	uint32_t id = 0, len = 0;
	unsigned taken = 0;

	begin();
	for (unsigned i = 0; i < 8; i++)
		vq_add(&q, (struct buffer[]){ { 0x20000, 0x10000, W } }, 1);
	vq_kick(&q);
	while (vq_take(&q, &id, &len))
		taken++;
	check_eq(taken, VIRTIO_RNG_ROUND / VIRTIO_RNG_REQUEST);
	reg_write(&d, VIRTIO_NOTIFY, 2, 0);	/* insisting does not help */
	check(!vq_take(&q, &id, &len));
	check_eq(rig_advance(rig, VIRTIO_RNG_PAUSE_NS - 1), 0);
	check_eq(rig_advance(rig, 1), 1);
	while (vq_take(&q, &id, &len))
		taken++;
	check_eq(taken, 8);
	rig_advance(rig, VIRTIO_RNG_PAUSE_NS);
	/* and afterwards notifications work as before */
	vq_add(&q, (struct buffer[]){ { 0x2000, 16, W } }, 1);
	check(vq_kick(&q));
	check(vq_take(&q, &id, &len));
	end();
}

static void reset_stops_the_timer(void)
{
	begin();
	for (unsigned i = 0; i < 8; i++)
		vq_add(&q, (struct buffer[]){ { 0x20000, 0x10000, W } }, 1);
	vq_kick(&q);
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	check_eq(rig_advance(rig, VIRTIO_RNG_PAUSE_NS), 0);
	check_eq(le16toh(q.used[1]), 4);
	end();
	virtio_rng_free(NULL);
}

static void queue_reset_does_not_end_the_pause(void)
{
	uint32_t id = 0, len = 0;

	begin();
	check(driver_negotiate(&d, BASE | BIT64(VIRTIO_F_RING_RESET)));
	for (unsigned turn = 0; turn < 2; turn++) {
		vq_place(&q, rig, 0x10000, 8, true);
		vq_program(&d, &q, 0);
		set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
		for (unsigned i = 0; i < 8; i++)
			vq_add(&q, (struct buffer[]){ { 0x20000, 0x10000, W } }, 1);
		vq_kick(&q);
		check_eq(le16toh(q.used[1]), turn ? 0 : VIRTIO_RNG_ROUND / VIRTIO_RNG_REQUEST);
		if (!turn)
			queue_reset_begin(&d, 0);
		check(!queue_resetting(&d));
	}
	rig_advance(rig, VIRTIO_RNG_PAUSE_NS);
	check(vq_take(&q, &id, &len));
	check_eq(le16toh(q.used[1]), VIRTIO_RNG_ROUND / VIRTIO_RNG_REQUEST);
	end();
}

static const struct test tests[] = {
	{ "features are the ones QEMU offers", features_are_the_ones_qemu_offers },
	{ "buffers are filled", buffers_are_filled },
	{ "a large buffer is used short", large_buffer_is_used_short },
	{ "a buffer without room comes back empty", buffer_without_room_comes_back_empty },
	{ "a flood is slowed down", flood_is_slowed_down },
	{ "reset stops the timer", reset_stops_the_timer },
	{ "a queue reset does not end the pause", queue_reset_does_not_end_the_pause },
	{ NULL, NULL },
};

const struct suite suite_hv_dev_virtio_rng = { tests };
