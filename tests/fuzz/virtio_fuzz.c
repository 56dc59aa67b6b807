/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device against a hostile guest. The first byte picks device and features, then a stream of operations:
 * registers, configuration space, guest memory, rings that are almost right, time, and back ends that complete late.
 */
#include <linux/virtio_blk.h>
#include "hv/dev/virtio_blk.h"
#include "hv/dev/virtio_net.h"
#include "hv/dev/virtio_rng.h"
#include "lib/buf.h"
#include "lib/log.h"
#include "tests/unit/hv/dev/virtio_driver.h"
#include "tests/unit/hv/dev/virtio_fakes.h"

enum { BLK, NET, RNG };

static const struct env_pci env = {
	.name = "fuzz", .vendor_id = 0x1af4, .device_id = 0x1042, .mac = { 2, 0, 0, 0, 0, 1 }, .disk_count = 1,
	.disks = { { .name = "fuzz", .serial = "S", .size = 0x8000, .logical = 512, .physical = 512, .trim = true } },
};

struct fuzz {
	struct rig *rig;
	struct fake_disk *disk;
	struct fake_wire *wire;
	struct virtio_blk *blk;
	struct virtio_net *net;
	struct virtio_rng *rng;
	struct driver d;
	struct vq q[9];
	uint64_t bell[9];		/* notify addresses that the machine has taken over */
	struct env_pci env;
	uint8_t frame[NET_FRAME_MAX];
};

/* One machine for all runs, as new: fresh memory each time would be most of the work. */
static struct rig *fresh_rig(void)
{
	static struct rig *r;
	struct rig old;

	if (!r)
		return r = rig_new();
	old = *r;
	memset(r->ram, 0, RIG_RAM_SIZE);
	memset(r->more, 0, RIG_MORE_SIZE);
	*r = (struct rig){ .mem = old.mem, .ram = old.ram, .more = old.more, .rom = old.rom, .clock = old.clock, .now = 1000000000 };
	pci_host_init(&r->host, &rig_host_ops, r, &r->ports, &r->mmio, &r->mem);
	return r;
}

static int bind(void *ctx, struct virtio_pci *v, unsigned queue, uint64_t gpa)
{
	struct fuzz *f = ctx;

	if (f->bell[queue] || !gpa)
		abort();
	if (gpa & 0x8000)	/* the machine has none left */
		return -ENOSPC;
	f->bell[queue] = gpa;
	return 0;
}

static void unbind(void *ctx, struct virtio_pci *v, unsigned queue, uint64_t gpa)
{
	struct fuzz *f = ctx;

	if (f->bell[queue] != gpa)
		abort();
	f->bell[queue] = 0;
}

static const struct virtio_notify_ops notify_ops = { .bind = bind, .unbind = unbind };

/* pairs: of a network card; more than one is another machine to its driver. */
static void create(struct fuzz *f, unsigned kind, unsigned pairs)
{
	struct virtio_place place = { &f->env, &f->rig->clock, false };
	int e = 0;

	f->env = env;
	f->env.queues = pairs;

	if (kind == BLK)
		e = virtio_blk_create(&f->blk, &place, &f->disk->b, NULL);
	else if (kind == NET)
		e = virtio_net_create(&f->net, &place, &f->wire->p, NULL);
	else
		e = virtio_rng_create(&f->rng, &place, NULL);
	if (e)
		abort();
	f->d = driver_open(f->rig, f->blk ? virtio_blk_pci(f->blk) : f->net ? virtio_net_pci(f->net) : virtio_rng_pci(f->rng), 5);
	virtio_pci_set_notify(virtio_pci_of(f->d.pci), &notify_ops, f);
}

static void place(struct fuzz *f, unsigned queue, uint8_t how)
{
	uint64_t at = (queue < 3 ? 0x10000 : 0x60000) + 0x8000 * queue;

	vq_place(&f->q[queue], f->rig, at, f->rng ? 8 : how & 16 ? 4 : 32, !(how & 4));
	vq_program(&f->d, &f->q[queue], queue);
}

/* A driver that did everything right so far. */
static void settle(struct fuzz *f, uint8_t how)
{
	uint64_t features = driver_offered(&f->d);

	if (how & 4)
		features &= ~BIT64(VIRTIO_RING_F_EVENT_IDX);
	if (how & 8)
		features &= ~BIT64(VIRTIO_NET_F_MRG_RXBUF) & ~BIT64(VIRTIO_BLK_F_FLUSH);
	if (how & 64)	/* a driver that knows of little */
		features &= ~0x1ffffull | BIT64(VIRTIO_NET_F_MRG_RXBUF);
	driver_negotiate(&f->d, features);
	for (unsigned i = 0; i < virtio_pci_of(f->d.pci)->model.queues || i < 3; i++)
		place(f, i, how);
	set_status(&f->d, VIRTIO_CONFIG_S_DRIVER_OK);
	if (how & 32)
		driver_msix(&f->d);
}

/* Addresses mostly in the part of memory that matters. */
static uint64_t address(struct rbuf *b)
{
	uint8_t kind = rbuf_u8(b);
	uint64_t low = rbuf_le16(b);

	switch (kind & 7) {
	case 0:
		return rbuf_le64(b);
	case 1:
		return RIG_MORE - 0x100 + (low & 0x1ff);
	case 2:
		return RIG_ROM + (low & 0x1fff);
	case 3:
		return 0x10000 + low;
	default:
		return 0x30000 + low;
	}
}

static void chain(struct fuzz *f, struct rbuf *b)
{
	struct vq *q = &f->q[rbuf_u8(b) % (f->env.queues > 1 ? 9 : 3)];
	unsigned n = rbuf_u8(b) % 6 + 1;
	struct buffer bufs[6];

	for (unsigned i = 0; i < n; i++) {
		uint8_t flags = rbuf_u8(b);

		bufs[i] = (struct buffer){ address(b), flags & 0x40 ? rbuf_le32(b) : rbuf_le16(b),
					   (uint16_t)(flags & (flags & 0x80 ? 7 : 2)) };
	}
	if (q->size)
		vq_add(q, bufs, n);
}

/* A request or a command with a header that a device understands. */
static void sensible(struct fuzz *f, struct rbuf *b)
{
	uint8_t which = rbuf_u8(b), *ram = f->rig->ram + 0x40000;
	unsigned kind = which % 3, control = f->env.queues > 1 ? 8 : 2;
	struct vq *q = &f->q[f->net ? kind == 2 ? control : kind + (f->env.queues > 1 ? which >> 2 & 6 : 0) : 0];
	uint16_t len = rbuf_le16(b);
	bool in = which & 0x80;

	if (!q->size)
		return;
	rbuf_copy(b, ram, 16);
	ram[0] &= 15;
	if (!f->net)
		memset(ram + 1, 0, 7);
	if (f->net && kind == 0)
		vq_add(q, (struct buffer[]){ { 0x50000, len, VRING_DESC_F_WRITE } }, 1);
	else if (f->net && kind == 2)
		vq_add(q, (struct buffer[]){ { 0x40000, 2u + len % 15, 0 }, { 0x41000, 1, VRING_DESC_F_WRITE } }, 2);
	else
		vq_add(q, (struct buffer[]){ { 0x40000, f->net ? 12 : 16, 0 },
					     { 0x50000, in && !f->net ? len & 0xfe00 : len, in ? VRING_DESC_F_WRITE : 0 },
					     { 0x41000, 1, VRING_DESC_F_WRITE } }, 3);
}

static void poke(struct fuzz *f, struct rbuf *b)
{
	uint64_t at = 0x10000 + rbuf_le16(b) % 0x18000u;
	unsigned n = rbuf_u8(b) % 32;

	for (unsigned i = 0; i < n; i++)
		f->rig->ram[at + i] = rbuf_u8(b);
}

static void back_end(struct fuzz *f, struct rbuf *b)
{
	uint8_t what = rbuf_u8(b);
	struct virtio_net_hdr_v1 h = { .flags = what & 3, .gso_type = (what >> 2) & 3 };

	if (f->net) {
		f->wire->loop = what & 0x40;
		if (what & 0x80)
			f->wire->p.nic_ops->carrier(f->net, what & 1);
		memset(f->frame, what, 16);
		f->wire->p.nic_ops->receive(f->net, &h, f->frame, rbuf_le16(b));
		return;
	}
	f->disk->fail = what & 0x20 ? -EIO : 0;
	f->disk->hold = what & 1;
	if (f->disk->held_count)
		fake_disk_complete(f->disk, rbuf_u8(b) % f->disk->held_count);
}

/* 0: of the machine. Else of one queue, which the driver takes back when it may, too early, or never. */
static void some_reset(struct fuzz *f, uint8_t what)
{
	unsigned queue = what & 3;

	if (!what) {
		pci_host_reset(&f->rig->host);
		return;
	}
	queue_reset_begin(&f->d, queue);
	if (what & 0x40 && f->disk->held_count)
		fake_disk_drain(&f->disk->b);
	/* The only queue, and all its requests are back. */
	if (f->blk && !f->disk->held_count && queue_resetting(&f->d))
		abort();
	if (what & 0x80 && queue < 3)
		place(f, queue, what);
}

static void step(struct fuzz *f, struct rbuf *b)
{
	uint8_t op = rbuf_u8(b), size = (uint8_t)(1u << ((op >> 4) & 3));

	switch (op & 15) {
	case 0:
		reg_write(&f->d, rbuf_u8(b) & 0x3f, size, rbuf_le64(b));
		break;
	case 1:
		reg_write(&f->d, rbuf_le16(b) % (VIRTIO_BAR_SIZE - 8), size, rbuf_le16(b));
		break;
	case 2:
		reg_read(&f->d, rbuf_le16(b) % (VIRTIO_BAR_SIZE - 8), size);
		break;
	case 3:
		pci_dev_config_write(f->d.pci, rbuf_u8(b), size & 7 ? size : 4, rbuf_le32(b));
		break;
	case 4:
		pci_dev_config_read(f->d.pci, rbuf_u8(b), size & 7 ? size : 4);
		break;
	case 5:
		bus_write(&f->rig->mmio, f->d.msix + (rbuf_le16(b) & 0xfff), size, rbuf_le32(b));
		break;
	case 6:
		poke(f, b);
		break;
	case 7:
		rig_advance(f->rig, rbuf_le32(b));
		break;
	case 8:
		driver_map(&f->d);
		settle(f, rbuf_u8(b));
		break;
	case 9:
		some_reset(f, rbuf_u8(b));
		break;
	case 10:
		back_end(f, b);
		break;
	case 11:
	case 12:
		sensible(f, b);
		break;
	case 13:
		chain(f, b);
		break;
	default:
		reg_write(&f->d, VIRTIO_NOTIFY + VIRTIO_NOTIFY_STEP * (f->env.queues > 1 ? op >> 4 : op >> 4 & 3), 2, 0);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rbuf b = rbuf_of(data, len);
	struct fuzz f = { .rig = fresh_rig(), .disk = fake_disk_new(0x8000), .wire = fake_wire_new() };
	uint8_t how = rbuf_u8(&b);

	log_init("fuzz", LOG_ERROR);
	/* 3: a card of four pairs */
	create(&f, (how & 3) == 3 ? NET : how & 3, (how & 3) == 3 ? 4 : 1);
	settle(&f, how);
	for (unsigned i = 0; i < 200 && rbuf_left(&b); i++)
		step(&f, &b);
	virtio_blk_free(f.blk);
	virtio_net_free(f.net);
	virtio_rng_free(f.rng);
	fake_disk_free(&f.disk->b);
	fake_wire_free(&f.wire->p);
	return 0;
}
