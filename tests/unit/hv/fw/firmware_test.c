/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "hv/fw/firmware.h"
#include "lib/bits.h"
#include "lib/scope.h"
#include "tests/unit/hv/fw/sample.h"
#include "tests/unit/suite.h"

#define RAM (8u << 20)
#define ROM 0x40000u

struct fixture {
	struct env env;
	struct layout layout;
	struct mem mem;
	struct fwcfg cfg;
	struct fw fw;
	struct fw_options options;
	struct err err;
	uint8_t *ram;
};

static void write_rom(const char *path, size_t len)
{
	auto_fclose FILE *f = fopen(path, "wb");

	check_or_return(f != NULL);
	for (size_t i = 0; i < len; i++)
		fputc((int)(i >> 10), f);
}

static void setup(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	sample_env(&f->env);
	f->env.memory = RAM;
	layout_init(&f->layout, &f->env);
	f->ram = calloc(1, RAM);
	check_eq(mem_add(&f->mem, 0, RAM, f->ram, false), 0);
	check_eq(fwcfg_init(&f->cfg, &f->mem), 0);
	f->options.bios = suite_tmp("bios.bin");
	write_rom(f->options.bios, ROM);
}

static int prepare(struct fixture *f)
{
	return fw_prepare(&f->fw, &f->env, &f->layout, &f->options, &f->mem, &f->cfg, &f->err);
}

static void teardown(struct fixture *f)
{
	fw_release(&f->fw);
	fwcfg_free(&f->cfg);
	free(f->ram);
}

static void seabios_stands_below_4_gib_and_below_1_mib_after_each_reset(void)
{
	struct fixture f;
	const uint8_t *rom;
	int code;

	setup(&f);
	code = prepare(&f);
	check_or_return(code == 0);
	rom = mem_at_const(&f.mem, 0xfffc0000, ROM);
	check_or_return(rom != NULL);
	check(mem_at(&f.mem, 0xfffc0000, 1) == NULL);
	check_eq((uintptr_t)rom & 4095, 0);
	for (int i = 0; i < 2; i++) {
		check_eq(fw_reset(&f.fw, &f.err), 0);
		check_eq(f.fw.entry.mode, FW_RESET_VECTOR);
		check(!memcmp(f.ram + 0xe0000, rom + 0x20000, 0x20000));
		memset(f.ram + 0xe0000, 0, 0x20000);
	}
	teardown(&f);
}

static void check_file(const struct fixture *f, const char *name, const void *want, size_t len)
{
	const struct fwcfg_item *it = fwcfg_file(&f->cfg, name);

	if (!it)
		suite_note("%s: missing", name);
	check_or_return(it != NULL);
	check_eq(it->len, len);
	check(it->len == len && !memcmp(it->data, want, len));
}

static void fw_cfg_has_what_seabios_asks_for(void)
{
	struct fixture f;
	int code;

	setup(&f);
	code = prepare(&f);
	check_or_return(code == 0);
	check_file(&f, "etc/system-states", "\x80\0\0\1\2\x80", 6);
	check_file(&f, "etc/boot-fail-wait", "\xff\xff\xff\xff", 4);
	check_file(&f, "etc/sercon-port", "\xf8\3", 2);
	check_file(&f, "etc/show-boot-menu", "\0\0", 2);
	check_file(&f, "bootorder", "/pci@i0cf8/pci8086,2922@1f,2/drive@0/disk@0\nHALT", 49);
	check_eq(fwcfg_file(&f.cfg, "etc/e820")->len, 3 * 20);
	check(fwcfg_file(&f.cfg, "etc/acpi/tables") && fwcfg_file(&f.cfg, "etc/smbios/smbios-tables"));
	fwcfg_ports.write(&f.cfg, 0, 2, FWCFG_NB_CPUS);
	check_eq(fwcfg_ports.read(&f.cfg, 1, 2), 2);
	fwcfg_ports.write(&f.cfg, 0, 2, FWCFG_IRQ0_OVERRIDE);
	check_eq(fwcfg_ports.read(&f.cfg, 1, 1), 1);
	fwcfg_ports.write(&f.cfg, 0, 2, FWCFG_UUID);
	check_eq(fwcfg_ports.read(&f.cfg, 1, 4), 0x44454c4c);
	teardown(&f);
}

static void wrong_images_are_named(void)
{
	struct fixture f;

	setup(&f);
	write_rom(f.options.bios, ROM - 1);
	check_eq(prepare(&f), -EINVAL);
	check(strstr(f.err.text, "bios.bin: 262143 bytes are no SeaBIOS image") != NULL);
	teardown(&f);
	setup(&f);
	write_rom(f.options.bios, ROM + 1);
	check_eq(prepare(&f), -EFBIG);
	teardown(&f);
	setup(&f);
	f.options.bios = suite_tmp("nothing-here");
	check_eq(prepare(&f), -ENOENT);
	check(strstr(f.err.text, "nothing-here: No such file") != NULL);
	teardown(&f);
	setup(&f);
	f.env.firmware = ENV_UEFI;
	check_eq(prepare(&f), -ENOTSUP);
	teardown(&f);
}

static void write_kernel(const char *path)
{
	static uint8_t k[0x2000];
	auto_fclose FILE *f = fopen(path, "wb");

	check_or_return(f != NULL);
	k[0x1f1] = 1;
	k[0x201] = 0x66;
	memcpy(k + 0x202, "HdrS", 4);
	put_le16(k + 0x206, 0x20a);
	k[0x211] = 1;
	put_le32(k + 0x22c, 0x7fffffff);
	put_le32(k + 0x238, 255);
	put_le64(k + 0x258, 0x100000);
	fwrite(k, 1, sizeof k, f);
}

static void a_kernel_boots_without_firmware_but_with_tables(void)
{
	struct fixture f;
	int code;

	setup(&f);
	f.options.kernel = suite_tmp("vmlinuz");
	f.options.initrd = f.options.bios;
	f.options.cmdline = "quiet";
	write_kernel(f.options.kernel);
	code = prepare(&f);
	check_or_return(code == 0);
	for (int i = 0; i < 2; i++) {
		memset(f.ram, 0, RAM);
		check_eq(fw_reset(&f.fw, &f.err), 0);
		check_eq(f.fw.entry.mode, FW_PROTECTED);
		check_eq(f.fw.entry.rip, 0x100000);
		check(!memcmp(f.ram + 0xe0000, "RSD PTR ", 8));
		check(!memcmp(f.ram + 0xf0000, "_SM_", 4));
		check_eq(get_le32(f.ram + 0x721c), ROM);
	}
	check(!mem_at_const(&f.mem, 0xfffc0000, 1));
	teardown(&f);
}

static void the_installed_seabios_is_accepted(void)
{
	struct fixture f;

	setup(&f);
	f.options.bios = NULL;
	if (access(FW_SEABIOS_PATH, R_OK)) {
		suite_note("skipped: %s (package seabios) is not installed", FW_SEABIOS_PATH);
	} else {
		check_eq(prepare(&f), 0);
		check_eq(fw_reset(&f.fw, &f.err), 0);
		check_eq(f.ram[0xffff0], 0xea);		/* the far jump at the reset vector */
	}
	teardown(&f);
}

static const struct test tests[] = {
	{ "SeaBIOS stands below 4 GiB, and below 1 MiB after each reset",
	  seabios_stands_below_4_gib_and_below_1_mib_after_each_reset },
	{ "fw_cfg has what SeaBIOS asks for", fw_cfg_has_what_seabios_asks_for },
	{ "wrong images are named", wrong_images_are_named },
	{ "a kernel boots without firmware but with tables", a_kernel_boots_without_firmware_but_with_tables },
	{ "the installed SeaBIOS is accepted", the_installed_seabios_is_accepted },
	{ NULL, NULL },
};
const struct suite suite_hv_fw_firmware = { tests };
