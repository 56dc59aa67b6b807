/* SPDX-License-Identifier: Apache-2.0 */
/* What sits in the server's PCI slots: the table from kind to constructor, and the wires it ends in. */
#pragma once
#include "hv/block/block.h"
#include "hv/net/port.h"
#include "hv/pci/bridge.h"
#include "lib/env/env.h"

struct machine;

struct slot {
	const struct env_pci *env;
	void *dev;				/* the model, NULL until made */
	struct pci_dev *pci;
	struct pci_bridge *bridge;		/* bridges and root ports */
	struct block *disk[ENV_MAX_DISKS_PER_CONTROLLER];	/* by port; machine.disks owns them */
	struct net_port *wire;
};

struct slots { struct slot slot[ENV_MAX_PCI]; unsigned count; };

/* Open wires, make the devices, attach them. Needs machine.pci, clock, loop and disks. */
int slots_create(struct machine *m, struct err *err) must_check;
void slots_drain(struct machine *m);	/* wait until no disk has a request in flight */
void slots_free(struct machine *m);
