/* SPDX-License-Identifier: Apache-2.0 */
/* The host bridge's ways to config space, for the chipsets to map. ctx of all three: struct pci_host. */
#pragma once
#include "hv/pci/pci.h"

extern const struct bus_ops pci_host_address_ops;	/* 4 bytes at port 0xcf8 */
extern const struct bus_ops pci_host_data_ops;		/* 4 bytes at port 0xcfc */
extern const struct bus_ops pci_host_ecam_ops;		/* 1 MiB a bus */
