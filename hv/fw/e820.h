/* SPDX-License-Identifier: Apache-2.0 */
/* The memory map as firmware (fw_cfg etc/e820) and a directly booted kernel (boot_params) get it. ACPI 6.4 section 15. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "hv/fw/layout.h"

#define E820_MAX 16

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };
struct e820_entry { uint64_t addr, len; uint32_t type; };
struct e820 { struct e820_entry entry[E820_MAX]; unsigned count; };

void e820_add(struct e820 *map, uint64_t addr, uint64_t len, enum e820_type type);	/* len 0: nothing */
/* For firmware: RAM whole (firmware carves out what it uses), the ECAM, KVM's pages, AMD's HyperTransport range. */
void e820_for_firmware(struct e820 *map, const struct env *env, const struct layout *layout);
/* For a kernel without firmware: also the EBDA, and [0xe0000, 1 MiB) where the ACPI and SMBIOS tables stand. */
void e820_for_kernel(struct e820 *map, const struct env *env, const struct layout *layout);
/* 20 bytes an entry, little-endian; returns the bytes written. out holds E820_MAX * 20. */
size_t e820_encode(const struct e820 *map, uint8_t *out);
