/* SPDX-License-Identifier: Apache-2.0 */
/* Virtio notifications by KVM ioeventfd: the guest rings, the event loop answers, the vCPU never leaves the kernel. */
#pragma once
struct machine;
struct pci_dev;

/* Route this virtio device's notify addresses through ioeventfds. Where KVM has none left, notifications come as exits. */
void doorbell_attach(struct machine *m, struct pci_dev *pci);
