/* SPDX-License-Identifier: Apache-2.0 */
/*
 * THE routing of INTx pins of root bus devices to PIRQ lines and interrupts. The DSDT's _PRT and the machine's wiring both
 * come from here, so they cannot differ. Pins are 0…3 for INTA…D, after the swizzling of bridges above the device.
 *
 * q35: devices 0…24 and 30 use PIRQE…H, rotated by the device number (30: not rotated); 25…29 and 31 use PIRQA…D, not
 * rotated. In APIC mode PIRQA…H are hard-wired to GSI 16…23; in PIC mode the LPC's PIRQ[A-D]_ROUT 0x60-0x63 and
 * PIRQ[E-H]_ROUT 0x68-0x6b choose an IRQ. ICH9 datasheet 13.1.18, 13.1.21.
 * i440fx: PIRQA…D rotated by device and pin; in both modes the ISA bridge's PIRQRC 0x60-0x63 choose an IRQ, which is
 * also the GSI. PIIX3 datasheet 2.2.9.
 */
#pragma once
#include <stdint.h>
#include "lib/env/env.h"

#define INTX_PIRQS(chipset) ((chipset) == ENV_Q35 ? 8u : 4u)
#define INTX_ROUTED 0xffffffffu	/* no fixed GSI: the PIRQ's routing register decides */

/* 0…7 = PIRQA…H */
static inline unsigned intx_pirq(enum env_chipset chipset, unsigned device, unsigned pin)
{
	if (chipset == ENV_I440FX)
		return (device + pin + 3) & 3;
	if (device == 30)
		return 4 + (pin & 3);
	if (device >= 25)
		return pin & 3;
	return 4 + ((device + pin) & 3);
}

/* The IOAPIC pin in APIC mode, or INTX_ROUTED */
static inline unsigned intx_gsi(enum env_chipset chipset, unsigned device, unsigned pin)
{
	return chipset == ENV_Q35 ? 16 + intx_pirq(chipset, device, pin) : INTX_ROUTED;
}

/* Config register of the ISA bridge that routes this PIRQ to an IRQ: bits 3:0 the IRQ, bit 7 set = not routed */
static inline unsigned intx_register(unsigned pirq)
{
	return pirq < 4 ? 0x60 + pirq : 0x64 + pirq;
}
