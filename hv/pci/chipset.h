/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two chipsets that stock firmware knows: q35 (82G33 host bridge, ICH9 LPC) and i440fx (82441FX, PIIX3 ISA, PIIX4 PM).
 * A chipset owns the host bridge and ISA bridge functions, decodes ECAM, RCBA and the ACPI PM block where the guest
 * puts them, and turns INTx pins into interrupt lines. All calls under the device lock.
 */
#pragma once
#include "hv/irq.h"
#include "hv/pci/pci.h"
#include "lib/env/env.h"

#define CHIPSET_GSIS 24

struct chipset;

struct chipset_config {
	const struct env *env;
	struct pci_host *host;
	struct bus *ports, *mmio;
	const struct bus_ops *pm_ops;	/* the ACPI PM block's registers … */
	void *pm_ctx;			/* … and its model */
	unsigned pm_len;
	/* An interrupt line, 0…15 ISA (PIC and I/O APIC), 16…23 I/O APIC only. Called on changes only. */
	void (*set_gsi)(void *ctx, unsigned gsi, int level);
	void *ctx;
};

int chipset_create(struct chipset **chipset, const struct chipset_config *config, struct err *err) must_check;
void chipset_free(struct chipset *chipset);
void chipset_reset(struct chipset *chipset);	/* after pci_host_reset */
/* What firmware would have done: decode the ACPI PM block at pm_base and the ECAM at ecam (0: none). */
void chipset_program(struct chipset *chipset, uint16_t pm_base, uint64_t ecam);

/* For struct pci_host_ops.intx: one source's change on a root bus pin (0…3). */
void chipset_intx(struct chipset *chipset, uint8_t devfn, unsigned pin, int level);
/* Lines of the ISA devices share inputs 0…15 with routed PCI interrupts: both go through here. */
void chipset_isa_irq(struct chipset *chipset, unsigned irq, int level);
