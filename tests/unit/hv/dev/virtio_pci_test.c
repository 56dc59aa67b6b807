/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/virtio_ids.h>
#include "tests/unit/suite.h"
#include "tests/unit/hv/dev/virtio_driver.h"

/* A model of two queues that returns each chain with its readable length. */
struct echo {
	struct virtio_pci virtio;
	uint8_t config[8];
	unsigned notified, started, resets;
	unsigned queue_resets[2];
	bool busy, picky, queue_busy;
	uint8_t written;
	struct iovec iov[16];
};

static void notify(void *ctx, unsigned queue)
{
	struct echo *e = ctx;
	struct virtio_ring *r = virtio_pci_ring(&e->virtio, queue);
	struct virtio_chain c = { .iov = e->iov, .max = 16 };

	e->notified++;
	do {
		virtio_ring_quiet(r);
		while (virtio_pci_pop(&e->virtio, queue, &c))
			virtio_ring_push(r, c.head, (uint32_t)c.read_len);
	} while (virtio_pci_listen(&e->virtio, queue));
	virtio_pci_signal(&e->virtio, queue);
}

static void start(void *ctx) { ((struct echo *)ctx)->started++; }
static void reset(void *ctx) { ((struct echo *)ctx)->resets++; }
static bool busy(void *ctx) { return ((struct echo *)ctx)->busy; }
static bool accept(void *ctx, uint64_t features) { return !((struct echo *)ctx)->picky; }
static void config_write(void *ctx, unsigned off, unsigned size, uint64_t val) { ((struct echo *)ctx)->written = (uint8_t)val; }

static void queue_reset(void *ctx, unsigned queue) { ((struct echo *)ctx)->queue_resets[queue]++; }
static bool queue_busy(void *ctx, unsigned queue) { return ((struct echo *)ctx)->queue_busy; }

static const struct virtio_model_ops model_ops = { .notify = notify, .start = start, .reset = reset, .busy = busy, .accept = accept,
						   .config_write = config_write, .queue_reset = queue_reset,
						   .queue_busy = queue_busy };
static const struct env_pci env = { .name = "echo0", .vendor_id = 0x1af4, .device_id = 0x1044, .subsystem_vendor = 0x1af4,
				    .subsystem_device = 0x1100, .revision = 1 };

#define BASE (BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_INDIRECT_DESC))
#define EVENT BIT64(VIRTIO_RING_F_EVENT_IDX)
#define RESET BIT64(VIRTIO_F_RING_RESET)

static struct rig *rig;
static struct echo *echo;
static struct driver d;
static struct vq q;

static struct echo *new_echo(struct rig *r, bool express)
{
	struct echo *e = calloc(1, sizeof *e);
	struct virtio_place place = { &env, &r->clock, express };
	struct virtio_model model = { .name = "echo", .class_code = 0x00ff00, .ops = &model_ops, .ctx = e, .features = 1,
				      .config = e->config, .config_size = 8, .queues = 2, .queue_size = { 16, 8 } };

	put_le64(e->config, 0x1122334455667788);
	virtio_pci_init(&e->virtio, &place, &model);
	return e;
}

static void begin(void)
{
	rig = rig_new();
	echo = new_echo(rig, false);
	d = driver_open(rig, &echo->virtio.pci, 6);
}

static void end(void)
{
	virtio_pci_exit(&echo->virtio);
	free(echo);
	rig_free(rig);
}

static void run(uint64_t features)
{
	begin();
	check(driver_negotiate(&d, features));
	vq_place(&q, rig, 0x10000, 16, features & EVENT);
	vq_program(&d, &q, 0);
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
}

static bool round_trip(uint32_t length)
{
	uint32_t id = 0, len = 0;

	vq_add(&q, (struct buffer[]){ { 0x2000, length, 0 } }, 1);
	vq_kick(&q);
	return vq_take(&q, &id, &len) && len == length;
}

static bool broken(void) { return status_of(&d) & VIRTIO_CONFIG_S_NEEDS_RESET; }

static void config_space_is_the_one_qemu_shows(void)
{
	static const uint32_t dwords[][2] = {
		{ 0x00, 0x10441af4 }, { 0x08, 0x00ff0001 }, { 0x2c, 0x11001af4 }, { 0x34, 0x98 },
		{ 0x40, 0x01100009 }, { 0x44, 4 }, { 0x48, 0 }, { 0x4c, 0x1000 },
		{ 0x50, 0x03104009 }, { 0x54, 4 }, { 0x58, 0x1000 }, { 0x5c, 0x1000 },
		{ 0x60, 0x04105009 }, { 0x64, 4 }, { 0x68, 0x2000 }, { 0x6c, 0x1000 },
		{ 0x70, 0x02146009 }, { 0x74, 4 }, { 0x78, 0x3000 }, { 0x7c, 0x1000 }, { 0x80, 4 },
		{ 0x84, 0x05147009 }, { 0x88, 0 }, { 0x98, 0x00028411 }, { 0x9c, 1 }, { 0xa0, 0x801 },
	};

	begin();
	for (size_t i = 0; i < sizeof dwords / sizeof dwords[0]; i++)
		check_eq(cfg_read(&d, dwords[i][0], 4), dwords[i][1]);
	check_eq(cfg_read(&d, PCI_INTERRUPT_PIN, 1), 1);
	for (unsigned bar = 0; bar < 6; bar++) {
		static const uint32_t sizes[6] = { 0, 0xfffff000, 0, 0, 0xffffc00c, 0xffffffff };

		cfg_write(&d, PCI_BAR0 + 4 * bar, 4, ~0u);
		check_eq(cfg_read(&d, PCI_BAR0 + 4 * bar, 4), sizes[bar]);
	}
	end();
}

static void express_capability_below_a_root_port(void)
{
	static const uint32_t dwords[][2] = {
		{ 0x34, 0xdc }, { 0x40, 0x00020010 }, { 0x7c, 0x00034001 }, { 0x84, 0x01107c09 }, { 0x94, 0x03108409 },
		{ 0xa4, 0x04109409 }, { 0xb4, 0x0214a409 }, { 0xc8, 0x0514b409 }, { 0xdc, 0x0002c811 }, { 0xe0, 1 }, { 0xe4, 0x801 },
	};

	rig = rig_new();
	echo = new_echo(rig, true);
	d = driver_open(rig, &echo->virtio.pci, 6);
	for (size_t i = 0; i < sizeof dwords / sizeof dwords[0]; i++)
		check_eq(cfg_read(&d, dwords[i][0], 4), dwords[i][1]);
	check_eq(driver_offered(&d), BASE | EVENT | RESET | 1);
	end();
}

static void negotiation_goes_step_by_step(void)
{
	begin();
	check_eq(driver_offered(&d), BASE | EVENT | RESET | 1);
	reg_write(&d, VIRTIO_PCI_COMMON_DFSELECT, 4, 2);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_DF, 4), 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_NUMQ, 2), 2);
	check(!driver_negotiate(&d, 1));		/* without VERSION_1 */
	check(!driver_negotiate(&d, BASE | 2));		/* not offered */
	check(!driver_negotiate(&d, BASE | BIT64(63)));
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	check_eq(status_of(&d), VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	check_eq(echo->started, 0);
	echo->picky = true;
	check(!driver_negotiate(&d, BASE));
	echo->picky = false;
	check(driver_negotiate(&d, BASE | 1));
	/* Features are frozen now. */
	reg_write(&d, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	reg_write(&d, VIRTIO_PCI_COMMON_GF, 4, 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_GF, 4), 1 | BIT(VIRTIO_RING_F_INDIRECT_DESC));
	check_eq(echo->started, 0);
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	check_eq(echo->started, 1);
	/* Bits do not go away one by one. */
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	check_eq(status_of(&d), 15);
	end();
}

static void queue_registers_read_back(void)
{
	begin();
	check(driver_negotiate(&d, BASE));
	reg_write(&d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 8);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_NOFF, 2), 1);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_MSIX, 2), 2);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_MSIX, 2, 3);	/* there are three: 0, 1, 2 */
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	reg_write(&d, VIRTIO_PCI_COMMON_MSIX, 2, 64);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_MSIX, 2), 0xffff);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_DESCLO, 8, 0x123456789abcdef0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0x9abcdef0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_DESCHI, 4), 0x12345678);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_DESCHI, 4, 1);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0x19abcdef0);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_DESCLO, 2, 0);	/* not a width of this field */
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0x19abcdef0);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_DESCHI, 8, 0);	/* over its end */
	reg_write(&d, VIRTIO_PCI_COMMON_Q_USEDHI, 8, ~0ull);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0x19abcdef0);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 2);	/* no such queue */
	reg_write(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2, 4);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0xffff);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	check(!broken());
	reg_write(&d, 0xffc, 4, 1);
	check_eq(reg_read(&d, 0xffc, 4), 0);
	end();
}

static void bad_queue_breaks_the_device_until_reset(void)
{
	for (unsigned i = 0; i < 5; i++) {
		static const uint16_t sizes[5] = { 0, 12, 32, 16, 16 };

		begin();
		check(i == 4 || driver_negotiate(&d, BASE));
		vq_place(&q, rig, i == 3 ? 0 : 0x10000, sizes[i], false);
		vq_program(&d, &q, 0);	/* 3: at address 0, never programmed; 4: before FEATURES_OK */
		check(broken());
		check_eq(echo->virtio.broken, 1);
		set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
		reg_write(&d, VIRTIO_NOTIFY, 2, 0);
		check_eq(echo->notified, 0);
		check(driver_negotiate(&d, BASE));
		check(!broken());
		vq_place(&q, rig, 0x10000, 16, false);
		vq_program(&d, &q, 0);
		set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
		check(round_trip(5));
		end();
	}
}

static void programming_an_enabled_queue_changes_nothing(void)
{
	run(BASE);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x400000);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2, 4);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 16);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	check(round_trip(9));
	end();
}

static void buffers_before_driver_ok_wait_for_it(void)
{
	uint32_t id = 0, len = 0;

	begin();
	check(driver_negotiate(&d, BASE));
	vq_place(&q, rig, 0x10000, 16, false);
	vq_program(&d, &q, 0);
	vq_add(&q, (struct buffer[]){ { 0x2000, 3, 0 } }, 1);
	vq_kick(&q);
	check_eq(echo->notified, 0);
	check(!vq_take(&q, &id, &len));
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	check(vq_take(&q, &id, &len));
	end();
}

static void notifications_reach_their_queue_only(void)
{
	run(BASE);
	echo->notified = 0;
	reg_write(&d, VIRTIO_NOTIFY, 2, 0);
	check_eq(echo->notified, 1);
	reg_write(&d, VIRTIO_NOTIFY, 4, 77);	/* the address decides, not the value */
	check_eq(echo->notified, 2);
	reg_write(&d, VIRTIO_NOTIFY + 4, 2, 0);	/* not enabled */
	reg_write(&d, VIRTIO_NOTIFY + 8, 2, 0);	/* not there */
	reg_write(&d, VIRTIO_NOTIFY + 0xffe, 2, 0);
	check_eq(echo->notified, 2);
	virtio_pci_notify(&echo->virtio, 12345);
	check_eq(echo->notified, 2);
	check_eq(reg_read(&d, VIRTIO_NOTIFY, 4), 0);
	end();
}

static void broken_ring_stops_the_device_and_tells_the_driver(void)
{
	run(BASE);
	driver_msix(&d);
	reg_write(&d, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	vq_desc(&q, 0, 0x2000, 4, VRING_DESC_F_NEXT, 0);
	vq_offer(&q, 0);
	vq_kick(&q);
	check(broken());
	check_eq(rig->msi_data, 0x40);	/* configuration vector */
	check_eq(rig->msis, 1);
	check(!round_trip(1));
	check_eq(echo->virtio.broken, 1);
	check(driver_negotiate(&d, BASE));
	check(!broken());
	end();
}

static void intx_follows_the_isr(void)
{
	run(BASE);
	check(round_trip(4));
	check_eq(rig->intx, 1);
	check_eq(cfg_read(&d, PCI_STATUS, 2) & PCI_STATUS_INTX, PCI_STATUS_INTX);
	check(round_trip(4));
	check_eq(rig->intx, 1);
	virtio_pci_config_changed(&echo->virtio);
	check_eq(reg_read(&d, VIRTIO_ISR + 1, 1), 0);
	check_eq(rig->intx, 1);
	check_eq(reg_read(&d, VIRTIO_ISR, 1), 3);
	check_eq(rig->intx, 0);
	check_eq(reg_read(&d, VIRTIO_ISR, 1), 0);
	check(round_trip(4));
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	check_eq(rig->intx, 0);
	check_eq(reg_read(&d, VIRTIO_ISR, 1), 0);
	check_eq(rig->msis, 0);
	end();
}

static void msix_vectors_carry_queues_and_configuration(void)
{
	run(BASE);
	driver_msix(&d);
	check(round_trip(4));
	check_eq(rig->msis, 1);
	check_eq(rig->msi_data, 0x41);
	check_eq(rig->intx, 0);
	check_eq(reg_read(&d, VIRTIO_ISR, 1), 0);
	virtio_pci_config_changed(&echo->virtio);	/* no vector: no message */
	check_eq(rig->msis, 1);
	reg_write(&d, VIRTIO_PCI_COMMON_MSIX, 2, 2);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_MSIX, 2), 2);
	virtio_pci_config_changed(&echo->virtio);
	check_eq(rig->msi_data, 0x42);
	q.avail[0] = htole16(VRING_AVAIL_F_NO_INTERRUPT);
	check(round_trip(4));
	check_eq(rig->msis, 2);
	end();
}

static void masked_vector_is_pending_until_unmasked(void)
{
	run(BASE);
	driver_msix(&d);
	bus_write(&rig->mmio, d.msix + 16 + 12, 4, 1);
	check(round_trip(4));
	check(round_trip(4));
	check_eq(rig->msis, 0);
	check_eq(bus_read(&rig->mmio, d.msix + 0x800, 4), 2);
	bus_write(&rig->mmio, d.msix + 16 + 12, 4, 0);
	check_eq(rig->msis, 1);
	check_eq(bus_read(&rig->mmio, d.msix + 0x800, 4), 0);
	cfg_write(&d, d.pci->msix.cap + 2u, 2, 0xc000);	/* all masked */
	check(round_trip(4));
	check_eq(rig->msis, 1);
	cfg_write(&d, d.pci->msix.cap + 2u, 2, 0x8000);
	check_eq(rig->msis, 2);
	end();
}

static void config_generation_changes_with_the_config(void)
{
	uint8_t before;

	run(BASE);
	before = (uint8_t)reg_read(&d, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	check_eq(reg_read(&d, VIRTIO_DEVICE, 8), 0x1122334455667788);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 2, 2), 0x5566);
	check_eq(reg_read(&d, VIRTIO_DEVICE + 6, 4), 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_CFGGENERATION, 1), before);
	virtio_pci_config_changed(&echo->virtio);
	check(reg_read(&d, VIRTIO_PCI_COMMON_CFGGENERATION, 1) != before);
	reg_write(&d, VIRTIO_DEVICE + 3, 1, 0x77);
	check_eq(echo->written, 0x77);
	reg_write(&d, VIRTIO_DEVICE + 5, 4, 0x66);	/* over the end */
	check_eq(echo->written, 0x77);
	end();
}

static uint32_t through_config(unsigned at, unsigned len)
{
	cfg_write(&d, 0x88, 1, VIRTIO_BAR);
	cfg_write(&d, 0x8c, 4, at);
	cfg_write(&d, 0x90, 4, len);
	return cfg_read(&d, 0x94, len == 3 ? 4 : len);
}

static void pci_config_window_reaches_bar_4(void)
{
	run(BASE);
	cfg_write(&d, PCI_COMMAND, 2, PCI_COMMAND_MASTER);	/* BARs off */
	check_eq(through_config(VIRTIO_DEVICE, 4), 0x55667788);
	check_eq(through_config(VIRTIO_PCI_COMMON_NUMQ, 2), 2);
	check_eq(through_config(VIRTIO_PCI_COMMON_STATUS, 1), 15);
	cfg_write(&d, 0x90, 4, 0);
	cfg_write(&d, 0x94, 4, 0xabcd);		/* no width: only stored */
	check_eq(through_config(VIRTIO_DEVICE, 3), 0xabcd);
	check_eq(through_config(VIRTIO_DEVICE + 2, 4), 0xabcd);	/* unaligned */
	check_eq(through_config(VIRTIO_BAR_SIZE, 4), 0xabcd);	/* outside */
	check_eq(through_config(0xfffffffc, 4), 0xabcd);
	through_config(VIRTIO_PCI_COMMON_STATUS, 1);
	cfg_write(&d, 0x88, 1, VIRTIO_MSIX_BAR);	/* not a virtio structure */
	cfg_write(&d, 0x94, 1, 0);
	check_eq(through_config(VIRTIO_PCI_COMMON_STATUS, 1), 15);
	echo->notified = 0;
	through_config(VIRTIO_NOTIFY, 2);
	cfg_write(&d, 0x94, 2, 0);
	check_eq(echo->notified, 1);
	through_config(VIRTIO_PCI_COMMON_STATUS, 1);
	cfg_write(&d, 0x94, 1, 0);
	check_eq(echo->virtio.status, 0);
	end();
}

static void reset_forgets_the_driver(void)
{
	unsigned resets;

	run(BASE | EVENT);
	check(round_trip(3));
	resets = echo->resets;
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	check_eq(echo->resets, resets + 1);
	check_eq(status_of(&d), 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 16);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_GF, 4), 0);
	vq_add(&q, (struct buffer[]){ { 0x2000, 3, 0 } }, 1);
	reg_write(&d, VIRTIO_NOTIFY, 2, 0);
	check_eq(le16toh(q.used[1]), 1);	/* untouched since */
	end();
}

static void reset_is_done_when_nothing_is_in_flight(void)
{
	run(BASE);
	echo->busy = true;
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	check_eq(status_of(&d), 15);
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	check_eq(status_of(&d), 15);
	echo->busy = false;
	check_eq(status_of(&d), 0);
	end();
}

/* ---- one queue (virtio 1.2 §2.6.1) */

static void queue_reset_forgets_that_queue(void)
{
	struct vq other;
	uint32_t id = 0, len = 0;

	begin();
	check(driver_negotiate(&d, BASE | RESET));
	vq_place(&q, rig, 0x10000, 16, false);
	vq_program(&d, &q, 0);
	vq_place(&other, rig, 0x20000, 8, false);
	vq_program(&d, &other, 1);
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	check(round_trip(3));
	echo->notified = 0;
	queue_reset_begin(&d, 0);
	check(!queue_resetting(&d));
	check_eq(echo->queue_resets[0], 1);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 16);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_AVAILLO, 8), 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_USEDLO, 8), 0);
	vq_add(&q, (struct buffer[]){ { 0x2000, 3, 0 } }, 1);
	reg_write(&d, VIRTIO_NOTIFY, 2, 0);
	check_eq(echo->notified, 0);
	check_eq(le16toh(q.used[1]), 1);	/* untouched since */
	/* The device and its other queue go on. */
	check_eq(status_of(&d), 15);
	check_eq(echo->resets, 2);		/* power-on and negotiation */
	check_eq(echo->queue_resets[1], 0);
	vq_add(&other, (struct buffer[]){ { 0x2000, 7, 0 } }, 1);
	vq_kick(&other);
	check(vq_take(&other, &id, &len));
	end();
}

static void queue_comes_back_with_another_ring(void)
{
	uint32_t id = 0, len = 0;

	run(BASE | RESET | EVENT);
	driver_msix(&d);
	check(round_trip(3));
	queue_reset_begin(&d, 0);
	vq_place(&q, rig, 0x28000, 4, true);
	vq_add(&q, (struct buffer[]){ { 0x2000, 9, 0 } }, 1);
	check(!vq_take(&q, &id, &len));
	vq_program(&d, &q, 0);	/* what waits already is found without a notification */
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	check(!queue_resetting(&d));
	check(vq_take(&q, &id, &len));
	check_eq(len, 9);
	q.kicked = q.avail_idx;
	vq_want_event(&q, 1);
	rig->msis = 0;
	check(round_trip(5));
	check(round_trip(6));
	check_eq(rig->msis, 1);		/* the event index starts over too */
	check_eq(rig->msi_data, 0x41);
	/* A second time, with a mistake. */
	queue_reset_begin(&d, 0);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	check(broken());
	end();
}

static void queue_reset_lasts_until_nothing_is_in_flight(void)
{
	run(BASE | RESET);
	echo->queue_busy = true;
	check(!queue_resetting(&d));
	queue_reset_begin(&d, 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_RESET, 2), 1);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	/* The driver may not touch the queue now: that it does changes nothing. */
	reg_write(&d, VIRTIO_PCI_COMMON_Q_RESET, 2, 1);
	vq_place(&q, rig, 0x28000, 4, false);
	vq_program(&d, &q, 0);
	check_eq(echo->queue_resets[0], 1);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 16);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	check(!broken());
	reg_write(&d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	check(!queue_resetting(&d));	/* the other one */
	reg_write(&d, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	check(queue_resetting(&d));
	echo->queue_busy = false;
	check(!queue_resetting(&d));
	echo->queue_busy = true;	/* with something new, another day */
	check(!queue_resetting(&d));
	vq_program(&d, &q, 0);
	check(round_trip(5));
	/* A reset of the device ends that of a queue. */
	queue_reset_begin(&d, 0);
	check(queue_resetting(&d));
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	check_eq(status_of(&d), 0);
	check(!queue_resetting(&d));
	end();
}

static void queue_reset_needs_its_feature_and_a_one(void)
{
	run(BASE);
	queue_reset_begin(&d, 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	check(round_trip(3));
	end();
	run(BASE | RESET);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_RESET, 2, 0);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_RESET, 2, 2);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_RESET, 1, 1);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_RESET, 4, 1);
	reg_write(&d, VIRTIO_PCI_COMMON_Q_NDATA, 4, 0x10001);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_NDATA, 2), 0);
	check_eq(reg_read(&d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	echo->queue_busy = true;
	queue_reset_begin(&d, 2);	/* not there */
	check(!queue_resetting(&d));
	queue_reset_begin(&d, 0xffff);
	check(!queue_resetting(&d));
	check_eq(echo->queue_resets[0] + echo->queue_resets[1], 0);
	check(round_trip(3));
	/* Asked for, not agreed yet. */
	reg_write(&d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	reg_write(&d, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	reg_write(&d, VIRTIO_PCI_COMMON_GF, 4, RESET >> 32);
	queue_reset_begin(&d, 0);
	check(!queue_resetting(&d));
	check_eq(echo->queue_resets[0], 0);
	end();
}

static void queue_reset_does_not_mend_a_broken_device(void)
{
	run(BASE | RESET);
	vq_desc(&q, 0, 0x2000, 4, VRING_DESC_F_NEXT, 0);
	vq_offer(&q, 0);
	vq_kick(&q);
	check(broken());
	queue_reset_begin(&d, 0);
	check(broken());
	vq_place(&q, rig, 0x10000, 16, false);
	vq_program(&d, &q, 0);
	check(!round_trip(1));
	end();
}

static void machine_reset_is_a_reset(void)
{
	run(BASE);
	driver_msix(&d);
	check(round_trip(4));
	pci_host_reset(&rig->host);
	check_eq(echo->virtio.status, 0);
	check(!pci_dev_msix_on(d.pci));
	driver_map(&d);
	check_eq(status_of(&d), 0);
	check(driver_negotiate(&d, BASE));
	vq_place(&q, rig, 0x10000, 16, false);
	vq_program(&d, &q, 0);
	set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	check(round_trip(4));
	end();
}

static void nothing_moves_without_bus_mastering(void)
{
	uint32_t id = 0, len = 0;

	run(BASE);
	cfg_write(&d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	check(!round_trip(4));
	cfg_write(&d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	check(vq_take(&q, &id, &len));	/* the lost notification is made good */
	end();
}

static void event_index_saves_notifications(void)
{
	run(BASE | EVENT);
	for (unsigned i = 0; i < 5; i++)
		vq_add(&q, (struct buffer[]){ { 0x2000, 3, 0 } }, 1);
	check(vq_kick(&q));
	check(!vq_kick(&q));	/* nothing new */
	check_eq(echo->virtio.queue[0].ring.chains, 5);
	check_eq(echo->virtio.queue[0].ring.signals, 1);
	end();
}

struct bell { unsigned binds, unbinds; uint64_t gpa[2]; bool refuse; };
static int bind(void *ctx, struct virtio_pci *v, unsigned queue, uint64_t gpa)
{
	struct bell *b = ctx;

	if (b->refuse)
		return -1;
	b->binds++;
	b->gpa[queue] = gpa;
	return 0;
}
static void unbind(void *ctx, struct virtio_pci *v, unsigned queue, uint64_t gpa)
{
	struct bell *b = ctx;

	b->unbinds++;
	check_eq(b->gpa[queue], gpa);
	b->gpa[queue] = 0;
}

static void notify_addresses_are_bound_while_mapped(void)
{
	static const struct virtio_notify_ops ops = { bind, unbind };
	struct bell bell = { 0 };

	run(BASE);
	virtio_pci_set_notify(virtio_pci_of(d.pci), &ops, &bell);	/* mapped already */
	check_eq(bell.binds, 2);
	check_eq(bell.gpa[1], d.bar + 0x3004);
	cfg_write(&d, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	check_eq(bell.unbinds, 2);
	bell.refuse = true;
	cfg_write(&d, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	check(round_trip(4));	/* through the bus then */
	cfg_write(&d, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	check_eq(bell.unbinds, 2);
	bell.refuse = false;
	d.bar += 0x4000;
	driver_map(&d);
	check_eq(bell.gpa[0], d.bar + 0x3000);
	virtio_pci_exit(&echo->virtio);
	check_eq(bell.unbinds, 4);
	end();
}

/* The machine took a notification, and its bell went before it was answered. */
static void notification_survives_the_move_of_its_address(void)
{
	static const struct virtio_notify_ops ops = { bind, unbind };
	struct bell bell = { 0 };
	uint32_t id = 0, len = 0;

	run(BASE);
	virtio_pci_set_notify(virtio_pci_of(d.pci), &ops, &bell);
	check_eq(rig_advance(rig, 0), 0);	/* nothing was lost by binding */
	for (unsigned i = 0; i < 3; i++) {
		vq_add(&q, (struct buffer[]){ { 0x2000, 4, 0 } }, 1);
		if (i == 0) {
			cfg_write(&d, PCI_BAR0 + 4 * VIRTIO_BAR, 4, (uint32_t)(d.bar += 0x4000));
		} else if (i == 1) {	/* not decoded for a moment */
			cfg_write(&d, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
			cfg_write(&d, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
		} else {		/* the new address gets no bell */
			bell.refuse = true;
			cfg_write(&d, PCI_BAR0 + 4 * VIRTIO_BAR, 4, (uint32_t)(d.bar += 0x4000));
		}
		check(!vq_take(&q, &id, &len));	/* not from inside the configuration write */
		check_eq(rig_advance(rig, 0), 1);
		check(vq_take(&q, &id, &len));
	}
	check_eq(bell.unbinds, 6);
	bell.refuse = false;
	driver_map(&d);
	check_eq(rig_advance(rig, 0), 0);
	d.bar += 0x4000;
	driver_map(&d);
	cfg_write(&d, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	pci_host_reset(&rig->host);
	check_eq(rig_advance(rig, 0), 0);	/* the driver it was for is gone */
	driver_map(&d);
	virtio_pci_exit(&echo->virtio);
	check_eq(rig_advance(rig, 0), 0);
	end();
}

static void two_instances_do_not_mix(void)
{
	struct echo *other;
	struct driver d2;
	struct vq q2;
	uint32_t id = 0, len = 0;

	run(BASE);
	other = new_echo(rig, false);
	d2 = driver_open(rig, &other->virtio.pci, 7);
	check(driver_negotiate(&d2, BASE | EVENT));
	vq_place(&q2, rig, 0x20000, 8, true);
	vq_program(&d2, &q2, 1);
	set_status(&d2, VIRTIO_CONFIG_S_DRIVER_OK);
	vq_add(&q2, (struct buffer[]){ { 0x2000, 77, 0 } }, 1);
	vq_kick(&q2);
	check(round_trip(5));
	check(vq_take(&q2, &id, &len));
	check_eq(len, 77);
	reg_write(&d2, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	check_eq(status_of(&d), 15);
	check(round_trip(6));
	virtio_pci_exit(&other->virtio);
	free(other);
	end();
}

static const struct test tests[] = {
	{ "config space is the one QEMU shows", config_space_is_the_one_qemu_shows },
	{ "below a root port there is an Express capability", express_capability_below_a_root_port },
	{ "negotiation goes step by step", negotiation_goes_step_by_step },
	{ "queue registers read back", queue_registers_read_back },
	{ "a bad queue breaks the device until reset", bad_queue_breaks_the_device_until_reset },
	{ "programming an enabled queue changes nothing", programming_an_enabled_queue_changes_nothing },
	{ "buffers before DRIVER_OK wait for it", buffers_before_driver_ok_wait_for_it },
	{ "notifications reach their queue only", notifications_reach_their_queue_only },
	{ "a broken ring stops the device and tells the driver", broken_ring_stops_the_device_and_tells_the_driver },
	{ "INTx follows the ISR", intx_follows_the_isr },
	{ "MSI-X vectors carry queues and configuration", msix_vectors_carry_queues_and_configuration },
	{ "a masked vector is pending until unmasked", masked_vector_is_pending_until_unmasked },
	{ "the generation changes with the config", config_generation_changes_with_the_config },
	{ "the PCI config window reaches BAR 4", pci_config_window_reaches_bar_4 },
	{ "reset forgets the driver", reset_forgets_the_driver },
	{ "reset is done when nothing is in flight", reset_is_done_when_nothing_is_in_flight },
	{ "a queue reset forgets that queue", queue_reset_forgets_that_queue },
	{ "a queue comes back with another ring", queue_comes_back_with_another_ring },
	{ "a queue reset lasts until nothing is in flight", queue_reset_lasts_until_nothing_is_in_flight },
	{ "a queue reset needs its feature and a one", queue_reset_needs_its_feature_and_a_one },
	{ "a queue reset does not mend a broken device", queue_reset_does_not_mend_a_broken_device },
	{ "a machine reset is a reset", machine_reset_is_a_reset },
	{ "nothing moves without bus mastering", nothing_moves_without_bus_mastering },
	{ "the event index saves notifications", event_index_saves_notifications },
	{ "notify addresses are bound while mapped", notify_addresses_are_bound_while_mapped },
	{ "a notification survives the move of its address", notification_survives_the_move_of_its_address },
	{ "two instances do not mix", two_instances_do_not_mix },
	{ NULL, NULL },
};

const struct suite suite_hv_dev_virtio_pci = { tests };
