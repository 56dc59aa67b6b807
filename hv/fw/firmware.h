/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in memory when the machine comes out of reset, and where its first CPU starts: SeaBIOS from a ROM image, or a
 * Linux kernel without firmware (a laboratory's way: no disk and no boot loader is involved).
 *
 * The machine: layout_init, guest memory (RAM at [0, low_end) and [4 GiB, high_end) as mem regions), fw_prepare - which adds
 * the ROM's region and fills fw_cfg -, memory slots for all regions (read-only ones as such), fw_reset at power-on and at
 * each reset, entry applied to vCPU 0. Everything under the device lock or before vCPUs run.
 */
#pragma once
#include "hv/fw/acpi.h"
#include "hv/fw/fwcfg.h"
#include "hv/fw/layout.h"
#include "hv/fw/smbios.h"

#define FW_SEABIOS_PATH "/usr/share/seabios/bios-256k.bin"

struct fw_options {
	const char *bios;		/* ROM image; NULL: FW_SEABIOS_PATH */
	const char *kernel;		/* bzImage: boot it without firmware; NULL: firmware as the environment says */
	const char *initrd, *cmdline;	/* with kernel; may be NULL */
};

enum fw_mode {
	FW_RESET_VECTOR,	/* CPU state after reset as KVM makes it: real mode, f000:fff0 */
	FW_PROTECTED,		/* 32-bit: paging off, CS 0x10, DS ES SS 0x18, flat 4 GiB */
	FW_LONG,		/* 64-bit: CR0.PE PG, CR4.PAE, EFER.LME LMA, the same selectors (CS.L set) */
};

/* Interrupts are off; registers not named are zero. Only rip, rsi for FW_PROTECTED and FW_LONG. */
struct fw_entry {
	enum fw_mode mode;
	uint64_t rip, rsi;
	uint64_t cr3;			/* FW_LONG: identity map of the first 4 GiB */
	uint64_t gdt;			/* a GDT with these selectors, in guest memory */
	uint16_t gdt_limit;
};

struct fw;

struct firmware {
	const char *name;
	/* Read the files, add ROM regions. */
	int (*load)(struct fw *fw, struct err *err);
	/* Write what memory holds at power-on and set fw->entry. Opens no files: the process may be sandboxed by then. */
	int (*reset)(struct fw *fw, struct err *err);
};

struct fw {
	const struct firmware *firmware;
	const struct env *env;
	struct layout layout;
	struct fw_options options;
	struct mem *mem;
	struct acpi_tables acpi;
	struct smbios_tables smbios;
	struct { uint8_t *data; size_t len; } rom, kernel, initrd;	/* page aligned */
	struct fw_entry entry;		/* valid after fw_reset */
};

extern const struct firmware firmware_seabios, firmware_linux;

/*
 * Choose the firmware, build the tables, fill and seal cfg (initialised by the caller with fwcfg_init), load the images.
 * env, the strings in options and mem outlive fw; layout is copied. On failure nothing needs fw_release.
 * -ENOTSUP: the environment asks for UEFI; -EINVAL: not such an image; -ENOENT and the like: a file.
 */
int fw_prepare(struct fw *fw, const struct env *env, const struct layout *layout, const struct fw_options *options,
	       struct mem *mem, struct fwcfg *cfg, struct err *err) must_check;
int fw_reset(struct fw *fw, struct err *err) must_check;
void fw_release(struct fw *fw);	/* after the memory slots are gone */

/* Read a whole file of at most `most` bytes into page-aligned memory (freed with free). -EFBIG, -EINVAL when empty. */
int fw_read_file(const char *path, size_t most, uint8_t **data, size_t *len, struct err *err) must_check;
