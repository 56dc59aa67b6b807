/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel 82540EM gigabit Ethernet controller. "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual"
 * (8254x SDM). One BAR of registers, one of I/O indirection, INTA; PHY M88E1011; 64-word microwire EEPROM.
 * Offloads of transmitted frames go whole to the port; what the port delivers whole is segmented here, because the chip
 * has no large receive. All calls under the device lock.
 */
#pragma once
#include <stdint.h>
#include "hv/clock.h"
#include "hv/net/port.h"
#include "hv/pci/pci.h"
#include "lib/env/env.h"

struct e1000;

/* env gives MAC, PCI ids and name and must outlive the NIC, as clock and port must; the port stays the caller's.
 * Connects to the port, asking for plain frames. -ENOMEM. */
int e1000_create(struct e1000 **nic, const struct env_pci *env, struct clock *clock, struct net_port *port,
		 struct err *err) must_check;
void e1000_free(struct e1000 *nic);	/* NULL is fine; disconnects from the port */
struct pci_dev *e1000_pci(struct e1000 *nic);	/* to attach */

/* What went wrong, for the operator and for tests. */
struct e1000_faults {
	uint64_t unknown_reads, unknown_writes;		/* registers the model does not have */
	uint64_t tx_ring, rx_ring;			/* ring registers that contradict each other */
	uint64_t tx_descriptor, rx_descriptor;		/* descriptor not in memory */
	uint64_t tx_buffer, rx_buffer;			/* buffer not in memory */
	uint64_t tx_frame;				/* oversize, undersize or contradicting offload; dropped */
	uint64_t rx_frame;				/* header and frame from the wire disagree; dropped */
	uint64_t rx_off, rx_filtered, rx_long, rx_missed;	/* receiver off or no link; not for us; too long; more than the ring */
};
const struct e1000_faults *e1000_faults(const struct e1000 *nic);
