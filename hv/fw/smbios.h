/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SMBIOS structures for an environment: types 0, 1, 2, 3, 4 (a socket), 11, 16, 17 (a DIMM), 19 (a RAM range), 32,
 * 41 (a NIC with an onboard index), 127. DMTF DSP0134 3.0. Handles, order and the fields that an environment does not
 * hold are those of QEMU 7.2, so that a server that ran there reads the same bytes here.
 *
 * Entry point: "_SM_" 2.8, or "_SM3_" 3.0 when the environment says v3. Its address and checksums are left zero: firmware
 * (or smbios_install) fills them in.
 */
#pragma once
#include "hv/fw/fwcfg.h"
#include "hv/fw/layout.h"
#include "hv/mem.h"
#include "lib/env/env.h"
#include "lib/err.h"

#define SMBIOS_TABLES_MAX 0x8000u
#define SMBIOS_ANCHOR_FILE "etc/smbios/smbios-anchor"
#define SMBIOS_TABLES_FILE "etc/smbios/smbios-tables"

struct smbios_tables {
	uint8_t anchor[31];
	size_t anchor_len;
	uint8_t *tables;
	size_t tables_len;
};

int smbios_build(struct smbios_tables *smbios, const struct env *env, const struct layout *layout, struct err *err) must_check;
void smbios_free(struct smbios_tables *smbios);
int smbios_add_files(const struct smbios_tables *smbios, struct fwcfg *cfg) must_check;
/* Place anchor and structures in [start, end) of guest memory: for a kernel booted without firmware. start is a multiple
 * of 16 in 0xf0000…0xfffff, where kernels look. -ENOSPC, -EFAULT. */
int smbios_install(const struct smbios_tables *smbios, struct mem *mem, uint64_t start, uint64_t end, struct err *err) must_check;
