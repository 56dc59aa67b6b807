/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI-to-PCI bridges: a PCI Express root port with a numbered slot (PCIe 2.0 §7.8.9), and a conventional bridge.
 * The device in a slot is there from power-on and cannot be taken out: presence is always on.
 */
#pragma once
#include "hv/pci/pci.h"
#include "lib/env/env.h"

struct pci_bridge {
	struct pci_dev dev;
	struct pci_bus bus;	/* secondary side */
	uint8_t exp;		/* Express capability; 0: conventional bridge */
};

/* The bridge stays where it is as long as the tree lives. occupied: something sits in the slot. */
void pci_bridge_init(struct pci_bridge *b, const struct env_pci *env, struct pci_host *host, bool occupied);
