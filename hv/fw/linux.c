/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/linux.h"
#include <errno.h>
#include <string.h>
#include "lib/bits.h"

/* Guest memory below 1 MiB */
enum {
	GDT = 0x6000, BOOT_PARAMS = 0x7000, PAGE_TABLES = 0x9000, CMDLINE = 0x10000, CMDLINE_ROOM = 0x10000,
	TABLES = 0xe0000, SMBIOS = 0xf0000, TABLES_END = 0x100000, HIGH = 0x100000,
};
/* Setup header fields, offsets in the file and in boot_params alike */
enum {
	ACPI_RSDP = 0x070, E820_ENTRIES = 0x1e8, HEADER = 0x1f1, SETUP_SECTS = 0x1f1, JUMP = 0x201, MAGIC = 0x202,
	VERSION = 0x206, LOADER = 0x210, LOADFLAGS = 0x211, CODE32_START = 0x214, RAMDISK = 0x218, RAMDISK_SIZE = 0x21c,
	CMD_LINE_PTR = 0x228, INITRD_MAX = 0x22c, ALIGNMENT = 0x230, RELOCATABLE = 0x234, XLOADFLAGS = 0x236,
	CMDLINE_SIZE = 0x238, PREF_ADDRESS = 0x258, INIT_SIZE = 0x260, HEADER_END = 0x290, E820_TABLE = 0x2d0,
};
#define HDRS 0x53726448u
#define LOADED_HIGH 1
#define KERNEL_64 1
#define ENTRY64 0x200
#define UNKNOWN_LOADER 0xff
#define PAGE 4096u
#define KERNEL_MOST (512u << 20)
#define INITRD_MOST ((size_t)2 << 30)

int linux_parse(const char *name, const void *file, size_t len, struct linux_image *image, struct err *err)
{
	const uint8_t *f = file;
	uint16_t version;

	if (len < HEADER_END || get_le32(f + MAGIC) != HDRS)
		return err_set(err, -EINVAL, "%s: not a Linux bzImage", name);
	version = get_le16(f + VERSION);
	if (version < 0x20a || !(f[LOADFLAGS] & LOADED_HIGH))
		return err_set(err, -EINVAL, "%s: boot protocol %u.%u is too old; 2.10 or later is needed", name,
			       version >> 8, version & 255);
	*image = (struct linux_image){
		.file = f, .len = len,
		.setup_len = ((f[SETUP_SECTS] ?: 4) + 1u) * 512,
		.header_len = MAGIC + f[JUMP] - HEADER,
		.load = get_le64(f + PREF_ADDRESS),
		.room = get_le32(f + INIT_SIZE),
		.align = get_le32(f + ALIGNMENT),
		.relocatable = f[RELOCATABLE],
		.entry64 = version >= 0x20c && (get_le16(f + XLOADFLAGS) & KERNEL_64),
		.initrd_max = get_le32(f + INITRD_MAX),
		.cmdline_max = get_le32(f + CMDLINE_SIZE),
	};
	if (image->header_len > HEADER_END - HEADER)
		image->header_len = HEADER_END - HEADER;
	if (image->setup_len + ENTRY64 >= len)
		return err_set(err, -EINVAL, "%s: cut short: %zu bytes of setup code in a file of %zu", name, image->setup_len, len);
	if (image->relocatable && (!bits_is_pow2(image->align) || image->align > 1u << 30))
		return err_set(err, -EINVAL, "%s: kernel alignment 0x%llx is no power of two", name, (unsigned long long)image->align);
	if (image->room < len - image->setup_len)
		image->room = len - image->setup_len;
	return 0;
}

/* Where the kernel goes: its preferred address when memory reaches there, else as low as it may. */
static int place_kernel(const struct linux_image *im, uint64_t low_end, uint64_t *at, struct err *err)
{
	uint64_t lowest = im->relocatable ? bits_align_up(HIGH, im->align) : im->load;

	*at = im->load;
	if (im->relocatable && (*at < HIGH || *at >= low_end || im->room > low_end - *at || (*at & (im->align - 1))))
		*at = lowest;
	if (*at < HIGH || *at >= low_end || im->room > low_end - *at)
		return err_set(err, -ENOSPC, "the kernel needs %llu MiB from 0x%llx on: more memory than the server has",
			       (unsigned long long)(im->room >> 20), (unsigned long long)*at);
	return 0;
}

static int place_initrd(const struct linux_image *im, const struct linux_boot *boot, uint64_t kernel_end, uint64_t *at,
			struct err *err)
{
	uint64_t top = boot->low_end;

	if (top > (uint64_t)im->initrd_max + 1)
		top = (uint64_t)im->initrd_max + 1;
	if (boot->initrd_len > top || ((top - boot->initrd_len) & ~(uint64_t)(PAGE - 1)) < kernel_end)
		return err_set(err, -ENOSPC, "the initrd of %zu MiB does not fit above the kernel: more memory is needed",
			       boot->initrd_len >> 20);
	*at = (top - boot->initrd_len) & ~(uint64_t)(PAGE - 1);
	return 0;
}

static void fill_boot_params(uint8_t *zero, const struct linux_image *im, const struct linux_boot *boot, uint64_t kernel,
			     uint64_t initrd)
{
	uint8_t map[E820_MAX * 20];

	memset(zero, 0, PAGE);
	memcpy(zero + HEADER, im->file + HEADER, im->header_len);
	zero[LOADER] = UNKNOWN_LOADER;
	put_le32(zero + CODE32_START, (uint32_t)kernel);
	put_le32(zero + RAMDISK, (uint32_t)initrd);
	put_le32(zero + RAMDISK_SIZE, (uint32_t)boot->initrd_len);
	put_le32(zero + CMD_LINE_PTR, CMDLINE);
	put_le64(zero + ACPI_RSDP, boot->rsdp);
	memcpy(zero + E820_TABLE, map, e820_encode(boot->e820, map));
	zero[E820_ENTRIES] = (uint8_t)boot->e820->count;
}

/* One PML4, one PDPT, four page directories of 2 MiB pages: 4 GiB, each at its own address. */
static void fill_page_tables(uint8_t *t)
{
	enum { PRESENT_WRITE = 3, LARGE = 0x80 };

	memset(t, 0, 6 * PAGE);
	put_le64(t, (PAGE_TABLES + PAGE) | PRESENT_WRITE);
	for (unsigned i = 0; i < 4; i++)
		put_le64(t + PAGE + 8 * i, (PAGE_TABLES + (2 + i) * PAGE) | PRESENT_WRITE);
	for (uint64_t i = 0; i < 4 * 512; i++)
		put_le64(t + 2 * PAGE + 8 * i, i << 21 | LARGE | PRESENT_WRITE);
}

static void fill_gdt(uint8_t gdt[32], bool long_mode)
{
	memset(gdt, 0, 32);
	put_le64(gdt + 0x10, long_mode ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull);	/* code, accessed */
	put_le64(gdt + 0x18, 0x00cf93000000ffffull);						/* data, accessed */
}

static int write_all(const struct linux_image *im, const struct linux_boot *boot, struct mem *mem, uint64_t kernel, uint64_t initrd)
{
	uint8_t zero[PAGE], gdt[32];
	uint8_t *tables = mem_at(mem, PAGE_TABLES, 6 * PAGE);

	if (!tables)
		return -EFAULT;
	fill_page_tables(tables);
	fill_gdt(gdt, im->entry64);
	fill_boot_params(zero, im, boot, kernel, initrd);
	if (mem_write(mem, GDT, gdt, sizeof gdt) || mem_write(mem, BOOT_PARAMS, zero, sizeof zero) ||
	    mem_write(mem, CMDLINE, boot->cmdline, strlen(boot->cmdline) + 1) ||
	    mem_write(mem, kernel, im->file + im->setup_len, im->len - im->setup_len) ||
	    (boot->initrd_len && mem_write(mem, initrd, boot->initrd, boot->initrd_len)))
		return -EFAULT;
	return 0;
}

int linux_load(const struct linux_image *im, const struct linux_boot *boot, struct mem *mem, struct fw_entry *entry, struct err *err)
{
	size_t words = strlen(boot->cmdline);
	uint64_t kernel, initrd = 0;
	int code;

	if (words > im->cmdline_max || words >= CMDLINE_ROOM)
		return err_set(err, -E2BIG, "the kernel takes a command line of %u bytes, this one has %zu", im->cmdline_max, words);
	code = place_kernel(im, boot->low_end, &kernel, err);
	if (!code && boot->initrd_len)
		code = place_initrd(im, boot, kernel + im->room, &initrd, err);
	if (code)
		return code;
	if (write_all(im, boot, mem, kernel, initrd))
		return err_set(err, -EFAULT, "guest memory is not where its layout says");
	*entry = (struct fw_entry){
		.mode = im->entry64 ? FW_LONG : FW_PROTECTED,
		.rip = im->entry64 ? kernel + ENTRY64 : kernel,
		.rsi = BOOT_PARAMS, .cr3 = im->entry64 ? PAGE_TABLES : 0, .gdt = GDT, .gdt_limit = 31,
	};
	return 0;
}

/* ---- as a firmware */

static int load(struct fw *fw, struct err *err)
{
	struct linux_image image;
	int code = fw_read_file(fw->options.kernel, KERNEL_MOST, &fw->kernel.data, &fw->kernel.len, err);

	if (!code)
		code = linux_parse(fw->options.kernel, fw->kernel.data, fw->kernel.len, &image, err);
	if (!code && fw->options.initrd)
		code = fw_read_file(fw->options.initrd, INITRD_MOST, &fw->initrd.data, &fw->initrd.len, err);
	return code;
}

static int reset(struct fw *fw, struct err *err)
{
	struct linux_boot boot = {
		.initrd = fw->initrd.data, .initrd_len = fw->initrd.len, .cmdline = fw->options.cmdline ?: "",
		.low_end = fw->layout.low_end,
	};
	struct linux_image image;
	struct e820 map;
	int code = linux_parse(fw->options.kernel, fw->kernel.data, fw->kernel.len, &image, err);

	if (!code)
		code = acpi_install(&fw->acpi, fw->mem, TABLES, SMBIOS, &boot.rsdp, err);
	if (!code)
		code = smbios_install(&fw->smbios, fw->mem, SMBIOS, TABLES_END, err);
	if (code)
		return code;
	e820_for_kernel(&map, fw->env, &fw->layout);
	boot.e820 = &map;
	return linux_load(&image, &boot, fw->mem, &fw->entry, err);
}

const struct firmware firmware_linux = { .name = "Linux", .load = load, .reset = reset };
