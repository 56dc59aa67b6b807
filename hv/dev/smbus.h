/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SMBus host controller of an ICH9 (8086:2930 at 00:1f.3; Intel ICH9 data sheet 19) with nothing on its bus: every
 * transaction ends at once with "no acknowledge", as on a bus whose devices the server does not own. Under the device lock.
 */
#pragma once
#include <stdint.h>
#include "hv/pci/pci.h"

#define SMBUS_PORTS 64
#define SMBUS_BLOCK 32

struct smbus {
	struct pci_dev pci;	/* the machine attaches it */
	uint8_t reg[SMBUS_PORTS];
	uint8_t block[SMBUS_BLOCK];
	unsigned block_at;
	uint64_t transactions;	/* started by the guest, all refused */
};

extern const struct pci_id smbus_id;	/* what a silent environment means; subsystem ids 0 */

/* id: the function's identity, usually smbus_id with the board's subsystem ids; copied. */
void smbus_init(struct smbus *s, const struct pci_id *id);
