/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Linux/x86 boot protocol, 2.10 or later (kernel 2.6.31), 64-bit entry where the kernel has it, else 32-bit.
 * Documentation/arch/x86/boot.rst and zero-page.rst of the kernel. The kernel file is checked as hostile.
 */
#pragma once
#include "hv/fw/e820.h"
#include "hv/fw/firmware.h"

struct linux_image {		/* what the setup header says, checked */
	const uint8_t *file;
	size_t setup_len, len;	/* the kernel proper is file[setup_len … len) */
	size_t header_len;	/* of the setup header, from offset 0x1f1 */
	uint64_t load;		/* preferred address */
	uint64_t room;		/* bytes the kernel needs from its load address on */
	uint64_t align;
	bool relocatable, entry64;
	uint32_t initrd_max;	/* highest address of initrd bytes */
	uint32_t cmdline_max;	/* without NUL */
};

struct linux_boot {
	const uint8_t *initrd;
	size_t initrd_len;	/* 0: none */
	const char *cmdline;
	uint64_t rsdp;
	const struct e820 *e820;
	uint64_t low_end;
};

/* -EINVAL: not a bzImage, cut short, or too old; name stands for the file in messages. */
int linux_parse(const char *name, const void *file, size_t len, struct linux_image *image, struct err *err) must_check;
/* Write kernel, initrd, command line, boot_params, GDT and page tables. -E2BIG: command line; -ENOSPC: memory. */
int linux_load(const struct linux_image *image, const struct linux_boot *boot, struct mem *mem, struct fw_entry *entry,
	       struct err *err) must_check;
