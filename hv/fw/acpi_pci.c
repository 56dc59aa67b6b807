/* SPDX-License-Identifier: Apache-2.0 */
/* The PCI root: identity, windows, _OSC, interrupt routing and link devices. PCI Firmware 3.2 section 4; ACPI 6.4 6.2. */
#include "hv/fw/acpi.h"
#include "hv/fw/intx.h"

#define DEVICES 32
#define PINS 4
#define INTERRUPT_NUMBER 5	/* where the number stands in an Interrupt() descriptor */

enum {	/* _OSC: control bits that the OS may have, and status bits of the first word */
	OSC_NATIVE_HOTPLUG = 1, OSC_PME = 4, OSC_AER = 8, OSC_CAPABILITY = 16,
	OSC_BAD_UUID = 4, OSC_BAD_REVISION = 8, OSC_MASKED = 16,
};

static void or_status(struct aml *a, unsigned bits)
{
	aml_op(a, AML_OR);
	aml_path(a, "CDW1");
	aml_int(a, bits);
	aml_path(a, "CDW1");
}

static void dword_of_arg3(struct aml *a, unsigned offset, const char *name)
{
	aml_op(a, AML_CREATE_DWORD);
	aml_arg(a, 3);
	aml_int(a, offset);
	aml_path(a, name);
}

/* Give the OS native PCIe hot-plug, PME, AER and the capability structure: the ports are real ones. */
static void put_osc_control(struct aml *a)
{
	dword_of_arg3(a, 8, "CDW3");
	aml_op(a, AML_AND);
	aml_path(a, "CDW3");
	aml_int(a, OSC_NATIVE_HOTPLUG | OSC_PME | OSC_AER | OSC_CAPABILITY);
	aml_local(a, 0);
	aml_open_if(a);
	aml_op(a, AML_LNOT);
	aml_op(a, AML_LEQUAL);
	aml_arg(a, 1);
	aml_int(a, 1);
	or_status(a, OSC_BAD_REVISION);
	aml_close(a);
	aml_open_if(a);
	aml_op(a, AML_LNOT);
	aml_op(a, AML_LEQUAL);
	aml_path(a, "CDW3");
	aml_local(a, 0);
	or_status(a, OSC_MASKED);
	aml_close(a);
	aml_op(a, AML_STORE);
	aml_local(a, 0);
	aml_path(a, "CDW3");
}

static void put_osc(struct aml *a)
{
	aml_open_method(a, "_OSC", 4, true);
	dword_of_arg3(a, 0, "CDW1");
	aml_open_if(a);
	aml_op(a, AML_LEQUAL);
	aml_arg(a, 0);
	aml_uuid(a, "33db4d5b-1ff7-401c-9657-7441c03dd766");
	put_osc_control(a);
	aml_close(a);
	aml_open_else(a);
	or_status(a, OSC_BAD_UUID);
	aml_close(a);
	aml_op(a, AML_RETURN);
	aml_arg(a, 3);
	aml_close(a);
}

static void put_windows(struct aml *a, const struct layout *l)
{
	aml_name(a, "_CRS");
	aml_open_resources(a);
	aml_res_bus(a, 0, 0xff);
	aml_res_io(a, 0xcf8, 8);
	aml_res_window_io16(a, 0, 0xcf7);
	aml_res_window_io16(a, 0xd00, 0xffff);
	aml_res_window_memory32(a, 0xa0000, 0xbffff, AML_CACHED);
	aml_res_window_memory32(a, (uint32_t)l->hole, (uint32_t)(l->hole_end - 1), AML_UNCACHED);
	if (l->hole64_end > l->hole64)
		aml_res_window_memory64(a, l->hole64, l->hole64_end - 1, AML_CACHED);
	aml_close_resources(a);
}

static void put_link_name(struct aml *a, unsigned pirq)
{
	char name[] = "LNKA";

	name[3] = (char)('A' + pirq);
	aml_path(a, name);
}

/* All devices' pins; direct: to GSIs, else through the link devices. */
static void put_routes(struct aml *a, enum env_chipset chipset, bool direct)
{
	aml_open_package(a, DEVICES * PINS);
	for (unsigned i = 0; i < DEVICES * PINS; i++) {
		unsigned dev = i / PINS, pin = i % PINS;

		aml_open_package(a, 4);
		aml_int(a, dev << 16 | 0xffff);
		aml_int(a, pin);
		if (direct)
			aml_int(a, 0);
		else
			put_link_name(a, intx_pirq(chipset, dev, pin));
		aml_int(a, direct ? intx_gsi(chipset, dev, pin) : 0);
		aml_close(a);
	}
	aml_close(a);
}

static void put_prt(struct aml *a, enum env_chipset chipset)
{
	aml_name(a, "PRTL");
	put_routes(a, chipset, false);
	if (chipset == ENV_Q35) {
		aml_name(a, "PRTD");
		put_routes(a, chipset, true);
	}
	aml_open_method(a, "_PRT", 0, false);
	if (chipset == ENV_Q35) {
		aml_open_if(a);
		aml_path(a, "PICF");
		aml_op(a, AML_RETURN);
		aml_path(a, "PRTD");
		aml_close(a);
	}
	aml_op(a, AML_RETURN);
	aml_path(a, "PRTL");
	aml_close(a);
}

void acpi_put_pci_root(struct aml *a, const struct env *env, const struct layout *layout)
{
	bool q35 = env->chipset == ENV_Q35;

	aml_name_eisa(a, "_HID", q35 ? "PNP0A08" : "PNP0A03");
	if (q35)
		aml_name_eisa(a, "_CID", "PNP0A03");
	aml_name_int(a, "_ADR", 0);
	aml_name_int(a, "_UID", 0);
	if (q35)
		put_osc(a);
	put_windows(a, layout);
	put_prt(a, env->chipset);
}

/* ---- link devices */

static void put_possible(struct aml *a)
{
	static const uint32_t irqs[] = { 5, 10, 11 };

	aml_name(a, "_PRS");
	aml_open_resources(a);
	aml_res_interrupt(a, irqs, 3);
	aml_close_resources(a);
}

static void put_status(struct aml *a, const char *reg)
{
	aml_open_method(a, "_STA", 0, false);
	aml_open_if(a);
	aml_op(a, AML_AND);
	aml_path(a, reg);
	aml_int(a, 0x80);
	aml_int(a, 0);			/* no target */
	aml_op(a, AML_RETURN);
	aml_int(a, 0x09);		/* present, not enabled */
	aml_close(a);
	aml_op(a, AML_RETURN);
	aml_int(a, 0x0b);
	aml_close(a);
}

static void put_disable(struct aml *a, const char *reg)
{
	aml_open_method(a, "_DIS", 0, false);
	aml_op(a, AML_OR);
	aml_path(a, reg);
	aml_int(a, 0x80);
	aml_path(a, reg);
	aml_close(a);
}

static void put_current(struct aml *a, const char *reg)
{
	static const uint32_t none = 0;

	aml_name(a, "RES");
	aml_open_resources(a);
	aml_res_interrupt(a, &none, 1);
	aml_close_resources(a);
	aml_open_method(a, "_CRS", 0, true);
	aml_op(a, AML_CREATE_DWORD);
	aml_path(a, "RES");
	aml_int(a, INTERRUPT_NUMBER);
	aml_path(a, "IRQN");
	aml_op(a, AML_AND);
	aml_path(a, reg);
	aml_int(a, 0x0f);
	aml_path(a, "IRQN");
	aml_op(a, AML_RETURN);
	aml_path(a, "RES");
	aml_close(a);
}

static void put_set(struct aml *a, const char *reg)
{
	aml_open_method(a, "_SRS", 1, true);
	aml_op(a, AML_CREATE_DWORD);
	aml_arg(a, 0);
	aml_int(a, INTERRUPT_NUMBER);
	aml_path(a, "IRQN");
	aml_op(a, AML_STORE);
	aml_path(a, "IRQN");
	aml_path(a, reg);
	aml_close(a);
}

void acpi_put_links(struct aml *a, const struct env *env)
{
	char reg[] = "\\_SB.PCI0.ISA.PRQA";
	char name[] = "LNKA";

	for (unsigned i = 0; i < INTX_PIRQS(env->chipset); i++) {
		name[3] = reg[sizeof reg - 2] = (char)('A' + i);
		aml_open_device(a, name);
		aml_name_eisa(a, "_HID", "PNP0C0F");
		aml_name_int(a, "_UID", i);
		put_possible(a);
		put_status(a, reg);
		put_disable(a, reg);
		put_current(a, reg);
		put_set(a, reg);
		aml_close(a);
	}
}
