/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel ICH9 SATA controller in AHCI mode, with ATA disks and empty ATAPI CD drives on its ports.
 * AHCI 1.3.1, Serial ATA 3.0, ATA8-ACS, MMC-5. Identities come from the environment; everything the environment does
 * not say looks as the same controller and drives look in QEMU 7.2, where most servers of this kind come from.
 * All calls and all block completions under the device lock.
 */
#pragma once
#include "hv/block/block.h"
#include "hv/pci/pci.h"
#include "lib/env/env.h"

#define AHCI_PORTS 6

struct ahci;

/*
 * env describes the controller and its drives and must outlive it. disks[i] is the medium of the drive on port i: needed
 * for each ENV_DISK, ignored for others; the caller's, to be freed after the controller. Attach ahci_pci() to a bus.
 * -EINVAL: a disk has no medium, or one that is too small or has too large sectors. -ENOMEM.
 */
int ahci_create(const struct env_pci *env, struct block *const disks[AHCI_PORTS], struct ahci **ahci, struct err *err) must_check;
struct pci_dev *ahci_pci(struct ahci *ahci);
/* Drains the disks that have commands in flight. NULL is fine. */
void ahci_free(struct ahci *ahci);
