/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of hv/pci/ say to each other. */
#pragma once
#include "hv/pci/pci.h"

void pci_dev_reset(struct pci_dev *dev);
void pci_dev_update_bars(struct pci_dev *dev);
void pci_dev_update_intx(struct pci_dev *dev);	/* drive the line that config and device ask for */
void pci_msi_config_written(struct pci_dev *dev, unsigned off, unsigned size);
void pci_msix_reset(struct pci_dev *dev);
/* True when the access was to the MSI-X table or PBA. */
bool pci_msix_read(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size, uint64_t *val);
bool pci_msix_write(struct pci_dev *dev, unsigned bar, uint64_t off, unsigned size, uint64_t val);
