/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "hv/fw/linux.h"
#include "lib/bits.h"
#include "tests/unit/suite.h"

#define RAM (32u << 20)
#define FILE_LEN (5 * 512 + 0x3000)

static uint8_t kernel[FILE_LEN], ram[RAM], initrd[5000];
static struct mem mem;
static struct e820 map;
static struct err err;

/* A bzImage of four setup sectors: 64-bit entry, prefers 16 MiB, needs 4 MiB. */
static void setup(void)
{
	memset(kernel, 0, sizeof kernel);
	memset(ram, 0xaa, 1 << 20);
	memset(initrd, 0x5a, sizeof initrd);
	memset(kernel + 5 * 512, 0xc3, 0x3000);
	kernel[0x1f1] = 4;
	kernel[0x201] = 0x66;
	memcpy(kernel + 0x202, "HdrS", 4);
	put_le16(kernel + 0x206, 0x20f);
	kernel[0x211] = 1;
	put_le32(kernel + 0x22c, 0x7fffffff);
	put_le32(kernel + 0x230, 0x200000);
	kernel[0x234] = 1;
	put_le16(kernel + 0x236, 1);
	put_le32(kernel + 0x238, 2047);
	put_le64(kernel + 0x258, 0x1000000);
	put_le32(kernel + 0x260, 0x400000);
	mem = (struct mem){ 0 };
	check_eq(mem_add(&mem, 0, RAM, ram, false), 0);
	map.count = 0;
	e820_add(&map, 0, RAM, E820_RAM);
}

static int boot(const char *cmdline, size_t initrd_len, uint64_t low_end, struct fw_entry *entry)
{
	struct linux_boot b = { initrd, initrd_len, cmdline, 0xe0000, &map, low_end };
	struct linux_image im;
	int code = linux_parse("vmlinuz", kernel, sizeof kernel, &im, &err);

	return code ?: linux_load(&im, &b, &mem, entry, &err);
}

static void loads_a_64_bit_kernel_at_its_preferred_address(void)
{
	struct fw_entry e;
	uint64_t pd;

	setup();
	check_eq(boot("console=ttyS0", 5000, RAM, &e), 0);
	check_eq(e.mode, FW_LONG);
	check_eq(e.rip, 0x1000200);
	check_eq(e.rsi, 0x7000);
	check_eq(ram[0x1000000], 0xc3);
	check_eq(ram[0x1000000 + 0x2fff], 0xc3);
	check_eq(get_le64(ram + 0x7000 + 0x70), 0xe0000);
	check_eq(ram[0x7000 + 0x1e8], 1);
	check_eq(get_le64(ram + 0x72d0 + 8), RAM);
	check_eq(ram[0x7210], 0xff);
	check_eq(get_le32(ram + 0x7218), (RAM - 5000) & ~0xfffu);
	check_eq(get_le32(ram + 0x721c), 5000);
	check_eq(ram[((RAM - 5000) & ~0xfffu) + 4999], 0x5a);
	check_str((char *)ram + get_le32(ram + 0x7228), "console=ttyS0");
	pd = get_le64(ram + (get_le64(ram + e.cr3) & ~0xfffull) + 8 * 3) & ~0xfffull;
	check_eq(get_le64(ram + pd + 8 * 511), 0xffe00083);	/* the last 2 MiB below 4 GiB */
	check_eq(get_le64(ram + e.gdt + 0x10) >> 53 & 1, 1);	/* CS.L */
}

static void loads_a_32_bit_kernel_that_cannot_move(void)
{
	struct fw_entry e;

	setup();
	put_le16(kernel + 0x236, 0);
	kernel[0x234] = 0;
	put_le64(kernel + 0x258, 0x100000);
	check_eq(boot("", 0, RAM, &e), 0);
	check_eq(e.mode, FW_PROTECTED);
	check_eq(e.rip, 0x100000);
	check_eq(get_le32(ram + 0x721c), 0);
	check_eq(get_le64(ram + e.gdt + 0x10), 0x00cf9b000000ffff);
}

static void moves_a_kernel_down_when_memory_is_short(void)
{
	struct fw_entry e;

	setup();
	check_eq(boot("", 0, 8 << 20, &e), 0);
	check_eq(e.rip, 0x200200);
	kernel[0x234] = 0;
	check_eq(boot("", 0, 8 << 20, &e), -ENOSPC);
}

static void initrd_keeps_below_what_the_kernel_reaches(void)
{
	struct fw_entry e;

	setup();
	put_le32(kernel + 0x22c, 0x17fffff);
	check_eq(boot("", 5000, RAM, &e), 0);
	check_eq(get_le32(ram + 0x7218), 0x17fe000);
	put_le32(kernel + 0x22c, 0x13fffff);
	check_eq(boot("", 5000, RAM, &e), -ENOSPC);
	put_le32(kernel + 0x22c, 100);
	check_eq(boot("", 5000, RAM, &e), -ENOSPC);
}

static int parse(size_t len)
{
	struct linux_image im;

	return linux_parse("vmlinuz", kernel, len, &im, &err);
}

static void refuses_what_is_no_kernel(void)
{
	setup();
	check_eq(parse(0x28f), -EINVAL);
	check_str(err.text, "vmlinuz: not a Linux bzImage");
	check_eq(parse(5 * 512 + 0x200), -EINVAL);
	check(strstr(err.text, "cut short") != NULL);
	check_eq(parse(5 * 512 + 0x201), 0);
	put_le32(kernel + 0x230, 0x300000);
	check_eq(parse(FILE_LEN), -EINVAL);
	setup();
	put_le16(kernel + 0x206, 0x209);
	check_eq(parse(FILE_LEN), -EINVAL);
	check_str(err.text, "vmlinuz: boot protocol 2.9 is too old; 2.10 or later is needed");
	setup();
	kernel[0x202] = 'h';
	check_eq(parse(FILE_LEN), -EINVAL);
}

static void refuses_long_command_lines_and_missing_memory(void)
{
	static char line[2049];
	struct fw_entry e;

	setup();
	memset(line, 'x', 2048);
	check_eq(boot(line, 0, RAM, &e), -E2BIG);
	line[2047] = 0;
	check_eq(boot(line, 0, RAM, &e), 0);
	check_eq(boot("", 0, 2 * RAM, &e), 0);
	put_le64(kernel + 0x258, RAM);
	check_eq(boot("", 0, 2 * RAM, &e), -EFAULT);
}

static const struct test tests[] = {
	{ "loads a 64-bit kernel at its preferred address", loads_a_64_bit_kernel_at_its_preferred_address },
	{ "loads a 32-bit kernel that cannot move", loads_a_32_bit_kernel_that_cannot_move },
	{ "moves a kernel down when memory is short", moves_a_kernel_down_when_memory_is_short },
	{ "initrd keeps below what the kernel reaches", initrd_keeps_below_what_the_kernel_reaches },
	{ "refuses what is no kernel", refuses_what_is_no_kernel },
	{ "refuses long command lines and missing memory", refuses_long_command_lines_and_missing_memory },
	{ NULL, NULL },
};
const struct suite suite_hv_fw_linux = { tests };
