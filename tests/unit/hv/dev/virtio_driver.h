/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's half of virtio, for tests: a machine of memory, buses and one PCI root bus, a fake clock, and what a guest
 * driver does: map BARs, negotiate, build rings, add buffers, notify by the event index, take used buffers.
 */
#pragma once
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include "hv/dev/virtio_pci.h"
#include "hv/pci/pci.h"
#include "lib/bits.h"

#define RIG_RAM_SIZE 0x100000u		/* at 0 */
#define RIG_MORE 0x100000u		/* another region that adjoins it */
#define RIG_MORE_SIZE 0x10000u
#define RIG_ROM 0x200000u
#define RIG_ROM_SIZE 0x1000u
#define RIG_TIMERS 4

struct rig {
	struct mem mem;
	struct bus ports, mmio;
	struct pci_host host;
	uint8_t *ram, *more, *rom;
	struct clock clock;
	uint64_t now;
	struct clock_timer *timers[RIG_TIMERS];
	unsigned msis;			/* messages sent, and the data of the last one */
	uint32_t msi_data;
	int intx;
};

struct driver {
	struct rig *rig;
	struct pci_dev *pci;
	uint64_t bar, msix;
};

struct vq {
	struct driver *d;
	unsigned index;
	uint16_t size;
	uint64_t gpa;			/* descriptors, then avail at +0x4000, used at +0x5000 */
	struct vring_desc *desc;
	uint16_t *avail, *used;
	uint16_t next, avail_idx, kicked, last_used;
	bool event_idx;
	unsigned kicks;
};

/* ---- the machine */

static inline uint64_t rig_clock_now(struct clock *clock)
{
	return ((struct rig *)((char *)clock - offsetof(struct rig, clock)))->now;
}
static inline int64_t rig_clock_wall(struct clock *clock) { return 0; }
static inline void rig_clock_disarm(struct clock *clock, struct clock_timer *t)
{
	struct rig *r = (struct rig *)((char *)clock - offsetof(struct rig, clock));

	for (unsigned i = 0; i < RIG_TIMERS; i++) {
		if (r->timers[i] == t)
			r->timers[i] = NULL;
	}
}
static inline void rig_clock_arm(struct clock *clock, struct clock_timer *t)
{
	struct rig *r = (struct rig *)((char *)clock - offsetof(struct rig, clock));

	rig_clock_disarm(clock, t);
	for (unsigned i = 0; i < RIG_TIMERS; i++) {
		if (!r->timers[i]) {
			r->timers[i] = t;
			return;
		}
	}
	abort();
}

/* Let time pass and due timers fire, each once. */
static inline unsigned rig_advance(struct rig *r, uint64_t ns)
{
	unsigned fired = 0;

	r->now += ns;
	for (unsigned i = 0; i < RIG_TIMERS; i++) {
		struct clock_timer *t = r->timers[i];

		if (!t || t->deadline_ns > r->now)
			continue;
		r->timers[i] = NULL;
		t->armed = false;
		fired++;
		t->fire(t->ctx);
	}
	return fired;
}

static inline void rig_intx(void *ctx, uint8_t devfn, unsigned pin, int level) { ((struct rig *)ctx)->intx += level ? 1 : -1; }
static inline void rig_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct rig *r = ctx;

	r->msis++;
	r->msi_data = data;
}

static const struct clock_ops rig_clock_ops = {
	.now_ns = rig_clock_now, .wall_ns = rig_clock_wall, .arm = rig_clock_arm, .disarm = rig_clock_disarm,
};
static const struct pci_host_ops rig_host_ops = { .intx = rig_intx, .msi = rig_msi };

static inline struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof *r);

	r->ram = aligned_alloc(4096, RIG_RAM_SIZE);
	r->more = aligned_alloc(4096, RIG_MORE_SIZE);
	r->rom = aligned_alloc(4096, RIG_ROM_SIZE);
	memset(r->ram, 0, RIG_RAM_SIZE);
	memset(r->more, 0, RIG_MORE_SIZE);
	memset(r->rom, 0x5a, RIG_ROM_SIZE);
	if (mem_add(&r->mem, 0, RIG_RAM_SIZE, r->ram, false) || mem_add(&r->mem, RIG_MORE, RIG_MORE_SIZE, r->more, false) ||
	    mem_add(&r->mem, RIG_ROM, RIG_ROM_SIZE, r->rom, true))
		abort();
	r->clock.ops = &rig_clock_ops;
	r->now = 1000000000;
	pci_host_init(&r->host, &rig_host_ops, r, &r->ports, &r->mmio, &r->mem);
	return r;
}

static inline void rig_free(struct rig *r)
{
	free(r->ram);
	free(r->more);
	free(r->rom);
	free(r);
}

/* ---- the function */

static inline uint32_t cfg_read(struct driver *d, unsigned off, unsigned size)
{
	return (uint32_t)pci_host_config_read(&d->rig->host, 0, d->pci->devfn, off, size);
}
static inline void cfg_write(struct driver *d, unsigned off, unsigned size, uint32_t val)
{
	pci_host_config_write(&d->rig->host, 0, d->pci->devfn, off, size, val);
}
static inline uint64_t reg_read(struct driver *d, uint64_t off, unsigned size)
{
	return bus_read(&d->rig->mmio, d->bar + off, size);
}
static inline void reg_write(struct driver *d, uint64_t off, unsigned size, uint64_t val)
{
	bus_write(&d->rig->mmio, d->bar + off, size, val);
}
static inline uint8_t status_of(struct driver *d) { return (uint8_t)reg_read(d, VIRTIO_PCI_COMMON_STATUS, 1); }
static inline void set_status(struct driver *d, uint8_t bits)
{
	reg_write(d, VIRTIO_PCI_COMMON_STATUS, 1, status_of(d) | bits);
}

/* Map the BARs and become bus master, as firmware and kernel do. */
static inline void driver_map(struct driver *d)
{
	cfg_write(d, PCI_BAR0 + 4 * VIRTIO_MSIX_BAR, 4, (uint32_t)d->msix);
	cfg_write(d, PCI_BAR0 + 4 * VIRTIO_BAR, 4, (uint32_t)d->bar);
	cfg_write(d, PCI_BAR0 + 4 * VIRTIO_BAR + 4, 4, (uint32_t)(d->bar >> 32));
	cfg_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static inline struct driver driver_open(struct rig *r, struct pci_dev *pci, unsigned slot)
{
	struct driver d = { r, pci, 0x800000000ull + slot * 0x10000ull, 0xfe000000ull + slot * 0x1000ull };

	if (pci_bus_attach(&r->host.root, pci, slot, 0))
		abort();
	driver_map(&d);
	return d;
}

/* MSI-X on, vector n unmasked with message data 0x40 + n. */
static inline void driver_msix(struct driver *d)
{
	for (unsigned n = 0; n < d->pci->msix.vectors; n++) {
		bus_write(&d->rig->mmio, d->msix + 16 * n, 4, 0xfee00000);
		bus_write(&d->rig->mmio, d->msix + 16 * n + 4, 4, 0);
		bus_write(&d->rig->mmio, d->msix + 16 * n + 8, 4, 0x40 + n);
		bus_write(&d->rig->mmio, d->msix + 16 * n + 12, 4, 0);
	}
	cfg_write(d, d->pci->msix.cap + 2u, 2, 0x8000);
}

static inline uint64_t driver_offered(struct driver *d)
{
	uint64_t f = 0;

	for (unsigned i = 0; i < 2; i++) {
		reg_write(d, VIRTIO_PCI_COMMON_DFSELECT, 4, i);
		f |= reg_read(d, VIRTIO_PCI_COMMON_DF, 4) << (32 * i);
	}
	return f;
}

/* Reset, then up to FEATURES_OK; true when the device took the features. */
static inline bool driver_negotiate(struct driver *d, uint64_t features)
{
	reg_write(d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	set_status(d, VIRTIO_CONFIG_S_DRIVER);
	for (unsigned i = 0; i < 2; i++) {
		reg_write(d, VIRTIO_PCI_COMMON_GFSELECT, 4, i);
		reg_write(d, VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(features >> (32 * i)));
	}
	set_status(d, VIRTIO_CONFIG_S_FEATURES_OK);
	return status_of(d) & VIRTIO_CONFIG_S_FEATURES_OK;
}

/* ---- queues */

/* Ask for the reset of one queue, which is the selected one then; queue_resetting until it is done. */
static inline void queue_reset_begin(struct driver *d, unsigned index)
{
	reg_write(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
	reg_write(d, VIRTIO_PCI_COMMON_Q_RESET, 2, 1);
}
static inline bool queue_resetting(struct driver *d) { return reg_read(d, VIRTIO_PCI_COMMON_Q_RESET, 2) == 1; }

static inline void vq_place(struct vq *q, struct rig *r, uint64_t gpa, uint16_t size, bool event_idx)
{
	*q = (struct vq){ .size = size, .gpa = gpa, .event_idx = event_idx };
	q->desc = (void *)(r->ram + gpa);
	q->avail = (void *)(r->ram + gpa + 0x4000);
	q->used = (void *)(r->ram + gpa + 0x5000);
	memset(r->ram + gpa, 0, 0x8000);
}

static inline void vq_program(struct driver *d, struct vq *q, unsigned index)
{
	q->d = d;
	q->index = index;
	reg_write(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
	reg_write(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, q->size);
	reg_write(d, VIRTIO_PCI_COMMON_Q_MSIX, 2, index + 1);
	reg_write(d, VIRTIO_PCI_COMMON_Q_DESCLO, 4, q->gpa);
	reg_write(d, VIRTIO_PCI_COMMON_Q_DESCHI, 4, 0);
	reg_write(d, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, q->gpa + 0x4000);
	reg_write(d, VIRTIO_PCI_COMMON_Q_AVAILHI, 4, 0);
	reg_write(d, VIRTIO_PCI_COMMON_Q_USEDLO, 4, q->gpa + 0x5000);
	reg_write(d, VIRTIO_PCI_COMMON_Q_USEDHI, 4, 0);
	reg_write(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

static inline void vq_desc(struct vq *q, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	q->desc[i] = (struct vring_desc){ htole64(addr), htole32(len), htole16(flags), htole16(next) };
}

/* Make the chain at head available; the device is not told. */
static inline void vq_offer(struct vq *q, uint16_t head)
{
	q->avail[2 + q->avail_idx % q->size] = htole16(head);
	q->avail[1] = htole16(++q->avail_idx);
}

/* A chain of n buffers; flags 0 or VRING_DESC_F_WRITE each. Uses the next n descriptors round the table. */
struct buffer { uint64_t addr; uint32_t len; uint16_t flags; };
static inline uint16_t vq_add(struct vq *q, const struct buffer *b, unsigned n)
{
	uint16_t head = q->next;

	for (unsigned i = 0; i < n; i++) {
		uint16_t next = (uint16_t)((q->next + 1) % q->size);

		vq_desc(q, q->next, b[i].addr, b[i].len, (uint16_t)(b[i].flags | (i + 1 < n ? VRING_DESC_F_NEXT : 0)), next);
		q->next = next;
	}
	vq_offer(q, head);
	return head;
}

/* Notify as Linux does: only when the device asked for it. */
static inline bool vq_kick(struct vq *q)
{
	uint16_t old = q->kicked;
	bool wanted = q->event_idx ? vring_need_event(le16toh(q->used[2 + 4 * q->size]), q->avail_idx, old) :
				     !(le16toh(q->used[0]) & VRING_USED_F_NO_NOTIFY);

	q->kicked = q->avail_idx;
	if (wanted) {
		q->kicks++;
		reg_write(q->d, VIRTIO_NOTIFY + q->index * VIRTIO_NOTIFY_STEP, 2, q->index);
	}
	return wanted;
}

static inline void vq_want_event(struct vq *q, uint16_t at) { q->avail[2 + q->size] = htole16(at); }

static inline bool vq_take(struct vq *q, uint32_t *id, uint32_t *len)
{
	const uint8_t *e = (const uint8_t *)&q->used[2 + 4 * (q->last_used % q->size)];

	if (q->last_used == le16toh(q->used[1]))
		return false;
	*id = get_le32(e);
	*len = get_le32(e + 4);
	q->last_used++;
	return true;
}
