/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables for an environment: RSDP, RSDT, XSDT (q35), FADT, FACS, DSDT, MADT, MCFG (q35), WAET, as fw_cfg files with the
 * linker-loader script that places them, or placed by us for a kernel booted without firmware.
 * ACPI 6.4; the i440fx set keeps to ACPI 1.0 (FADT and RSDP of that revision), which every guest understands.
 *
 * What the chipset's functions must do for these tables to be true:
 *   PM1_CNT.SLP_TYP = 0 with SLP_EN is power off (\_S5); there is no S3 or S4; SCI_EN always reads 1 (SMI_CMD is 0);
 *   the power button is the fixed one (PM1_STS bit 8); the PM timer counts 24 bits; CMOS 0x32 is the century;
 *   q35: writing 0x0f to port 0xcf9 resets; INTx as hv/fw/intx.h.
 */
#pragma once
#include "hv/fw/aml.h"
#include "hv/fw/fwcfg.h"
#include "hv/fw/layout.h"
#include "hv/mem.h"
#include "lib/err.h"

#define ACPI_S5_SLP_TYP 0
#define ACPI_RSDP_FILE "etc/acpi/rsdp"
#define ACPI_TABLES_FILE "etc/acpi/tables"
#define ACPI_LOADER_FILE "etc/table-loader"
#define ACPI_TABLES_MAX 0x20000u
#define ACPI_LOADER_MAX 0x1000u

struct acpi_tables {
	uint8_t rsdp[36];
	size_t rsdp_len;
	uint8_t *tables;	/* ACPI_TABLES_MAX bytes, the first tables_len used; pointers hold offsets into this */
	size_t tables_len;
	uint8_t *loader;	/* ACPI_LOADER_MAX bytes, the first loader_len used */
	size_t loader_len;
};

int acpi_build(struct acpi_tables *acpi, const struct env *env, const struct layout *layout, struct err *err) must_check;
void acpi_free(struct acpi_tables *acpi);
/* The three files, padded to their full sizes so that firmware's memory map does not move with the tables' contents. */
int acpi_add_files(const struct acpi_tables *acpi, struct fwcfg *cfg) must_check;
/* Run the loader script: place the blobs in [start, end) of guest memory, patch pointers and checksums. *rsdp: where the
 * RSDP came to stand. -ENOSPC, -EFAULT, -EINVAL (a script that asks for what is not there). */
int acpi_install(const struct acpi_tables *acpi, struct mem *mem, uint64_t start, uint64_t end, uint64_t *rsdp,
		 struct err *err) must_check;

/* Parts of the DSDT (acpi_dsdt.c, acpi_pci.c). */
void acpi_put_dsdt(struct aml *aml, const struct env *env, const struct layout *layout);
void acpi_put_pci_root(struct aml *aml, const struct env *env, const struct layout *layout);	/* inside Device (PCI0) */
void acpi_put_links(struct aml *aml, const struct env *env);					/* inside Scope (\_SB) */
