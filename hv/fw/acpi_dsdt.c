/* SPDX-License-Identifier: Apache-2.0 */
/* The DSDT but for the PCI root's routing and windows (acpi_pci.c): sleep states, ISA devices, slots, processors. */
#include <stdio.h>
#include "hv/fw/acpi.h"
#include "hv/fw/cpus.h"
#include "hv/fw/intx.h"

#define STA_PRESENT 0x0f

static void put_globals(struct aml *a)
{
	aml_name_int(a, "PICF", 0);
	aml_open_method(a, "_PIC", 1, false);
	aml_op(a, AML_STORE);
	aml_arg(a, 0);
	aml_path(a, "PICF");
	aml_close(a);
	aml_name(a, "_S5");
	aml_open_package(a, 4);
	aml_int(a, ACPI_S5_SLP_TYP);	/* PM1a */
	aml_int(a, ACPI_S5_SLP_TYP);	/* PM1b */
	aml_int(a, 0);
	aml_int(a, 0);
	aml_close(a);
}

static void open_isa_device(struct aml *a, const char *name, const char *hid)
{
	aml_open_device(a, name);
	aml_name_eisa(a, "_HID", hid);
}

static void put_rtc(struct aml *a)
{
	open_isa_device(a, "RTC", "PNP0B00");
	aml_name(a, "_CRS");
	aml_open_resources(a);
	aml_res_io(a, 0x70, 8);	/* eight ports decode, two answer */
	aml_res_irq(a, 8);
	aml_close_resources(a);
	aml_close(a);
}

static void put_keyboard(struct aml *a)
{
	open_isa_device(a, "KBD", "PNP0303");
	aml_name_int(a, "_STA", STA_PRESENT);
	aml_name(a, "_CRS");
	aml_open_resources(a);
	aml_res_io(a, 0x60, 1);
	aml_res_io(a, 0x64, 1);
	aml_res_irq(a, 1);
	aml_close_resources(a);
	aml_close(a);
}

static void put_mouse(struct aml *a)
{
	open_isa_device(a, "MOU", "PNP0F13");
	aml_name_int(a, "_STA", STA_PRESENT);
	aml_name(a, "_CRS");
	aml_open_resources(a);
	aml_res_irq(a, 12);
	aml_close_resources(a);
	aml_close(a);
}

static void put_com(struct aml *a, unsigned n)
{
	static const struct { const char *name; uint16_t port; unsigned irq; } com[ENV_COM_PORTS] = {
		{ "COM1", 0x3f8, 4 }, { "COM2", 0x2f8, 3 },
	};

	open_isa_device(a, com[n].name, "PNP0501");
	aml_name_int(a, "_UID", n + 1);
	aml_name_int(a, "_STA", STA_PRESENT);
	aml_name(a, "_CRS");
	aml_open_resources(a);
	aml_res_io(a, com[n].port, 8);
	aml_res_irq(a, com[n].irq);
	aml_close_resources(a);
	aml_close(a);
}

/* The registers that route PIRQA…H, which the link devices read and write */
static void put_pirq_registers(struct aml *a, enum env_chipset chipset)
{
	char name[] = "PRQA";

	aml_region_pci(a, "PIRQ", intx_register(0), intx_register(INTX_PIRQS(chipset) - 1) + 1 - intx_register(0));
	aml_open_field(a, "PIRQ");
	for (unsigned i = 0; i < INTX_PIRQS(chipset); i++) {
		if (i == 4)
			aml_field_unit(a, "", 32);
		name[3] = (char)('A' + i);
		aml_field_unit(a, name, 8);
	}
	aml_close(a);
}

static void put_isa_bridge(struct aml *a, const struct env *env)
{
	aml_open_device(a, "ISA");
	aml_name_int(a, "_ADR", env->chipset == ENV_Q35 ? 0x1f0000 : 0x10000);
	put_pirq_registers(a, env->chipset);
	/* In this order operating systems number them: RTC last, as PCs of these chipsets list it. */
	if (env->keyboard)
		put_keyboard(a);
	if (env->mouse)
		put_mouse(a);
	for (unsigned i = 0; i < ENV_COM_PORTS; i++)
		if (env->com[i])
			put_com(a, i);
	put_rtc(a);
	aml_close(a);
}

/* The ECAM, which Linux uses only when a motherboard device or the memory map reserves it. */
static void put_ecam(struct aml *a, const struct layout *l)
{
	aml_open_device(a, "DRAC");
	aml_name_eisa(a, "_HID", "PNP0C01");
	aml_name(a, "_CRS");
	aml_open_resources(a);
	aml_res_window_memory32(a, (uint32_t)l->ecam, (uint32_t)(l->ecam + l->ecam_size - 1), AML_UNCACHED);
	aml_close_resources(a);
	aml_close(a);
}

/* The configuration device's ports, for drivers that look for it by this id (QEMU docs/specs/fw_cfg.rst). */
static void put_fwcfg(struct aml *a)
{
	aml_open_device(a, "FWCF");
	aml_name_string(a, "_HID", "QEMU0002");
	aml_name_int(a, "_STA", STA_PRESENT & ~4u);	/* not shown to people */
	aml_name(a, "_CRS");
	aml_open_resources(a);
	aml_res_io(a, FWCFG_PORT, FWCFG_PORTS);
	aml_close_resources(a);
	aml_close(a);
}

/* Bridges, and devices with a slot number, nested as they stand. Parents come before children, so recursion is bounded. */
static void put_slots(struct aml *a, const struct env *env, int parent)
{
	for (unsigned i = 0; i < env->pci_count; i++) {
		const struct env_pci *p = &env->pci[i];
		bool bridge = p->kind == ENV_PCI_ROOT_PORT || p->kind == ENV_PCI_BRIDGE;
		char name[5];

		if (p->parent != parent || (!bridge && p->sun < 0))
			continue;
		snprintf(name, sizeof name, "S%02X", (p->device << 3 | p->function) & 0xff);
		aml_open_device(a, name);
		aml_name_int(a, "_ADR", (uint32_t)p->device << 16 | p->function);
		if (p->sun >= 0)
			aml_name_int(a, "_SUN", (uint32_t)p->sun);
		if (bridge)
			put_slots(a, env, (int)i);
		aml_close(a);
	}
}

static void put_processors(struct aml *a, const struct env *env)
{
	char name[5];

	aml_open_device(a, "CPUS");
	aml_name_string(a, "_HID", "ACPI0010");
	aml_name_eisa(a, "_CID", "PNP0A05");
	for (unsigned i = 0; i < env_cpu_count(env); i++) {
		snprintf(name, sizeof name, "C%03X", i & 0xfff);
		aml_open_processor(a, name, (uint8_t)i);	/* the MADT's processor id */
		aml_close(a);
	}
	aml_close(a);
}

void acpi_put_dsdt(struct aml *a, const struct env *env, const struct layout *layout)
{
	put_globals(a);
	aml_open_scope(a, "\\_SB");
	aml_open_device(a, "PCI0");
	acpi_put_pci_root(a, env, layout);
	put_isa_bridge(a, env);
	put_slots(a, env, -1);
	put_fwcfg(a);
	aml_close(a);
	if (layout->ecam)
		put_ecam(a, layout);
	acpi_put_links(a, env);
	put_processors(a, env);
	aml_close(a);
}
