/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI fixed hardware: the power management ports of an ICH9 (128 bytes; Intel ICH9 data sheet 13.8) or of a PIIX4 (64 bytes, and
 * a general purpose event block of 4 bytes elsewhere; 82371AB data sheet 7.2). Always in ACPI mode: SCI_EN reads set, and
 * SMI_EN shows the bit by which firmware sees that system management mode is taken care of. Only S5 is offered.
 * The TCO watchdog's registers keep what is written and never count. Under the device lock.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hv/bus.h"
#include "hv/clock.h"
#include "hv/irq.h"

#define ACPI_PM_TIMER_HZ 3579545
#define ACPI_PM_ICH9_PORTS 128
#define ACPI_PM_PIIX4_PORTS 64
#define ACPI_PM_GPE_PORTS 4	/* PIIX4, at 0xafe0 */

enum acpi_pm_variant { ACPI_PM_ICH9, ACPI_PM_PIIX4 };

struct acpi_pm_config {
	enum acpi_pm_variant variant;
	struct clock *clock;
	struct irq_line sci;	/* level, active high here; the I/O APIC's polarity is the machine's matter */
	uint8_t s5_type;	/* SLP_TYP of S5, as in the DSDT's _S5 package */
	/* The guest entered S5. Called from within the port write. */
	void (*power_off)(void *ctx);
	void *ctx;
};

struct acpi_pm {
	struct acpi_pm_config config;
	struct clock_timer overflow;
	uint16_t status, enable, control;	/* PM1 */
	uint64_t half;			/* timer ticks >> 23 up to which TMR_STS is decided */
	uint64_t gpe_status, gpe_enable;
	uint8_t file[ACPI_PM_ICH9_PORTS];	/* registers that only keep what is written */
};

extern const struct bus_ops acpi_pm_ops;	/* at pm_base, which the LPC or PM function's config space says */
extern const struct bus_ops acpi_pm_gpe_ops;	/* PIIX4 only */

void acpi_pm_init(struct acpi_pm *pm, const struct acpi_pm_config *config);
void acpi_pm_reset(struct acpi_pm *pm);
void acpi_pm_free(struct acpi_pm *pm);
/* Press the power button. True when the guest has asked to hear of it. */
bool acpi_pm_power_button(struct acpi_pm *pm);
/* Raise general purpose event n (ICH9: 0…63, PIIX4: 0…15; others are ignored). */
void acpi_pm_raise_gpe(struct acpi_pm *pm, unsigned n);
