/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/slots.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hv/dev/ahci.h"
#include "hv/dev/e1000.h"
#include "hv/dev/smbus.h"
#include "hv/dev/virtio_blk.h"
#include "hv/dev/virtio_net.h"
#include "hv/dev/virtio_rng.h"
#include "hv/doorbell.h"
#include "hv/machine.h"

/* ---- disks */

static void find_disks(struct machine *m, struct slot *s)
{
	for (unsigned i = 0; i < s->env->disk_count; i++)
		s->disk[s->env->disks[i].port] = disks_find(m, s->env->disks[i].name);
}

/* ---- constructors */

static int make_bridge(struct machine *m, struct slot *s, struct err *err)
{
	bool occupied = false;

	for (unsigned i = 0; i < m->env->pci_count; i++)
		occupied |= m->env->pci[i].parent == (int)(s->env - m->env->pci);
	s->bridge = calloc(1, sizeof *s->bridge);
	if (!s->bridge)
		return err_set(err, -ENOMEM, "no memory");
	pci_bridge_init(s->bridge, s->env, &m->pci, occupied);
	s->pci = &s->bridge->dev;
	return 0;
}

static void free_bridge(struct slot *s)
{
	free(s->bridge);
}

static int make_ahci(struct machine *m, struct slot *s, struct err *err)
{
	struct ahci *a;
	int r;

	find_disks(m, s);
	r = ahci_create(s->env, s->disk, &a, err);
	if (r)
		return r;
	s->dev = a;
	s->pci = ahci_pci(a);
	return 0;
}

static void free_ahci(struct slot *s)
{
	ahci_free(s->dev);
}

static int make_smbus(struct machine *m, struct slot *s, struct err *err)
{
	const struct pci_id id = { s->env->vendor_id, s->env->device_id, s->env->subsystem_vendor, s->env->subsystem_device,
				   smbus_id.class_code, s->env->revision };
	struct smbus *b = calloc(1, sizeof *b);

	if (!b)
		return err_set(err, -ENOMEM, "no memory");
	smbus_init(b, &id);
	s->dev = b;
	s->pci = &b->pci;
	return 0;
}

static void free_smbus(struct slot *s)
{
	free(s->dev);
}

static int make_e1000(struct machine *m, struct slot *s, struct err *err)
{
	struct e1000 *e;
	int r = wires_open(m, s->env, &s->wire, err);

	r = r ? r : e1000_create(&e, s->env, &m->clock.clock, s->wire, err);
	if (r)
		return r;
	s->dev = e;
	s->pci = e1000_pci(e);
	return 0;
}

static void free_e1000(struct slot *s)
{
	e1000_free(s->dev);
}

static struct virtio_place place(struct machine *m, const struct slot *s)
{
	return (struct virtio_place){ .env = s->env, .clock = &m->clock.clock,
				      .express = s->env->parent >= 0 && m->env->pci[s->env->parent].kind == ENV_PCI_ROOT_PORT };
}

static int make_virtio_net(struct machine *m, struct slot *s, struct err *err)
{
	struct virtio_place at = place(m, s);
	struct virtio_net *n;
	int r = wires_open(m, s->env, &s->wire, err);

	r = r ? r : virtio_net_create(&n, &at, s->wire, err);
	if (r)
		return r;
	s->dev = n;
	s->pci = virtio_net_pci(n);
	doorbell_attach(m, s->pci);
	return 0;
}

static void free_virtio_net(struct slot *s)
{
	virtio_net_free(s->dev);
}

static int make_virtio_blk(struct machine *m, struct slot *s, struct err *err)
{
	struct virtio_place at = place(m, s);
	struct virtio_blk *b;
	int r;

	find_disks(m, s);
	r = virtio_blk_create(&b, &at, s->disk[0], err);
	if (r)
		return r;
	s->dev = b;
	s->pci = virtio_blk_pci(b);
	doorbell_attach(m, s->pci);
	return 0;
}

static void free_virtio_blk(struct slot *s)
{
	virtio_blk_free(s->dev);
}

static int make_virtio_rng(struct machine *m, struct slot *s, struct err *err)
{
	struct virtio_place at = place(m, s);
	struct virtio_rng *g;
	int r = virtio_rng_create(&g, &at, err);

	if (r)
		return r;
	s->dev = g;
	s->pci = virtio_rng_pci(g);
	doorbell_attach(m, s->pci);
	return 0;
}

static void free_virtio_rng(struct slot *s)
{
	virtio_rng_free(s->dev);
}

static const struct {
	int (*make)(struct machine *m, struct slot *s, struct err *err);
	void (*free)(struct slot *s);
} kinds[ENV_PCI_KINDS] = {
	[ENV_PCI_ROOT_PORT] = { make_bridge, free_bridge },
	[ENV_PCI_BRIDGE] = { make_bridge, free_bridge },
	[ENV_PCI_AHCI] = { make_ahci, free_ahci },
	[ENV_PCI_SMBUS] = { make_smbus, free_smbus },
	[ENV_PCI_E1000] = { make_e1000, free_e1000 },
	[ENV_PCI_VIRTIO_NET] = { make_virtio_net, free_virtio_net },
	[ENV_PCI_VIRTIO_BLK] = { make_virtio_blk, free_virtio_blk },
	[ENV_PCI_VIRTIO_RNG] = { make_virtio_rng, free_virtio_rng },
};

static int attach(struct machine *m, struct slot *s, struct err *err)
{
	struct pci_bus *bus = s->env->parent < 0 ? &m->pci.root : &m->slots.slot[s->env->parent].bridge->bus;
	int r = pci_bus_attach(bus, s->pci, s->env->device, s->env->function);

	return r ? err_set(err, r, "%s: PCI address %02x.%x is used twice", s->env->path, s->env->device, s->env->function) : 0;
}

int slots_create(struct machine *m, struct err *err)
{
	int r = 0;

	/* Parents stand before their children in env->pci. */
	for (unsigned i = 0; i < m->env->pci_count && !r; i++) {
		struct slot *s = &m->slots.slot[i];

		s->env = &m->env->pci[i];
		m->slots.count++;
		r = kinds[s->env->kind].make(m, s, err);
		r = r ? r : attach(m, s, err);
	}
	return r;
}

void slots_drain(struct machine *m)
{
	for (unsigned i = 0; i < m->slots.count; i++) {
		for (unsigned d = 0; d < ENV_MAX_DISKS_PER_CONTROLLER; d++) {
			if (m->slots.slot[i].disk[d])
				block_drain(m->slots.slot[i].disk[d]);
		}
	}
}

void slots_free(struct machine *m)
{
	for (unsigned i = m->slots.count; i-- > 0;) {
		struct slot *s = &m->slots.slot[i];

		if (s->dev || s->bridge)
			kinds[s->env->kind].free(s);
		net_port_free(s->wire);
	}
	m->slots.count = 0;
}
