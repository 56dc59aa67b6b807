/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fw/firmware.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hv/fw/bootorder.h"
#include "hv/fw/cpus.h"
#include "hv/fw/e820.h"
#include "lib/scope.h"

#define PAGE 4096u
#define COM1 0x3f8
#define WAIT_FOREVER 0xffffffffu

int fw_read_file(const char *path, size_t most, uint8_t **data, size_t *len, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_free uint8_t *buf = NULL;
	struct stat st;
	size_t size, got = 0;

	if (fd < 0 || fstat(fd, &st))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		return err_set(err, -EINVAL, "%s: not a file with contents", path);
	if ((uint64_t)st.st_size > most)
		return err_set(err, -EFBIG, "%s: larger than %zu bytes", path, most);
	size = (size_t)st.st_size;
	buf = aligned_alloc(PAGE, (size + PAGE - 1) & ~(size_t)(PAGE - 1));
	if (!buf)
		return err_set(err, -ENOMEM, "%s: no memory for %zu bytes", path, size);
	while (got < size) {
		ssize_t n = read(fd, buf + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, n ? -errno : -EIO, "%s: %s", path, n ? strerror(errno) : "shrank while it was read");
		got += (size_t)n;
	}
	*data = take_ptr(buf);
	*len = size;
	return 0;
}

/* ---- fw_cfg contents */

static int add_numa(struct fwcfg *cfg, unsigned apic_limit)
{
	uint64_t zeros[1 + 0x400] = { 0 };	/* no nodes; a node for each APIC id follows */

	bug_on(apic_limit >= array_len(zeros));
	return fwcfg_add_key(cfg, FWCFG_NUMA, zeros, 8 * (1 + apic_limit));
}

static int add_keys(const struct env *env, struct fwcfg *cfg)
{
	unsigned limit = cpus_apic_limit(&env->cpu);

	return fwcfg_add_key(cfg, FWCFG_UUID, env->uuid, 16) ?:
	       fwcfg_add_key_u64(cfg, FWCFG_RAM_SIZE, env->memory) ?:
	       fwcfg_add_key_u16(cfg, FWCFG_NOGRAPHIC, 0) ?:
	       fwcfg_add_key_u16(cfg, FWCFG_NB_CPUS, (uint16_t)env_cpu_count(env)) ?:
	       fwcfg_add_key_u16(cfg, FWCFG_MAX_CPUS, (uint16_t)limit) ?:
	       fwcfg_add_key_u16(cfg, FWCFG_BOOT_MENU, 0) ?:
	       fwcfg_add_key_u32(cfg, FWCFG_IRQ0_OVERRIDE, 1) ?:
	       add_numa(cfg, limit);
}

static int add_e820(const struct env *env, const struct layout *layout, struct fwcfg *cfg)
{
	uint8_t bytes[E820_MAX * 20];
	struct e820 map;

	e820_for_firmware(&map, env, layout);
	return fwcfg_add_file(cfg, "etc/e820", bytes, e820_encode(&map, bytes));
}

static int add_bootorder(const struct env *env, struct fwcfg *cfg)
{
	char lines[BOOTORDER_MAX];
	size_t len = bootorder_build(env, lines);

	return len ? fwcfg_add_file(cfg, "bootorder", lines, len) : 0;
}

static int add_settings(const struct env *env, struct fwcfg *cfg)
{
	/* S0 and S5 supported (bit 7); S3 and S4 off, with the SLP_TYP values they would have */
	static const uint8_t states[6] = { 0x80, 0, 0, 1, 2, 0x80 };

	return fwcfg_add_file(cfg, "etc/system-states", states, sizeof states) ?:
	       fwcfg_add_file_u32(cfg, "etc/boot-fail-wait", WAIT_FOREVER) ?:
	       fwcfg_add_file_u16(cfg, "etc/show-boot-menu", 0) ?:
	       (env->com[0] ? fwcfg_add_file_u16(cfg, "etc/sercon-port", COM1) : 0);	/* the console of a server without VGA */
}

static int fill(struct fw *fw, struct fwcfg *cfg)
{
	return add_keys(fw->env, cfg) ?:
	       add_e820(fw->env, &fw->layout, cfg) ?:
	       add_bootorder(fw->env, cfg) ?:
	       add_settings(fw->env, cfg) ?:
	       acpi_add_files(&fw->acpi, cfg) ?:
	       smbios_add_files(&fw->smbios, cfg) ?:
	       fwcfg_seal(cfg);
}

/* ---- life */

static const struct firmware *choose(const struct env *env, const struct fw_options *options, struct err *err)
{
	if (options->kernel)
		return &firmware_linux;
	if (env->firmware == ENV_BIOS)
		return &firmware_seabios;
	err_set(err, -ENOTSUP, "the environment asks for UEFI firmware, and only BIOS firmware is supported");
	return NULL;
}

static int prepare(struct fw *fw, struct fwcfg *cfg, struct err *err)
{
	int code = acpi_build(&fw->acpi, fw->env, &fw->layout, err);

	if (code)
		return code;
	code = smbios_build(&fw->smbios, fw->env, &fw->layout, err);
	if (code)
		return code;
	code = fill(fw, cfg);
	if (code)
		return err_set(err, code, "fw_cfg: %s", strerror(-code));
	return fw->firmware->load(fw, err);
}

int fw_prepare(struct fw *fw, const struct env *env, const struct layout *layout, const struct fw_options *options,
	       struct mem *mem, struct fwcfg *cfg, struct err *err)
{
	int code;

	*fw = (struct fw){ .env = env, .layout = *layout, .options = *options, .mem = mem };
	fw->firmware = choose(env, options, err);
	if (!fw->firmware)
		return -ENOTSUP;
	code = prepare(fw, cfg, err);
	if (code)
		fw_release(fw);
	return code;
}

int fw_reset(struct fw *fw, struct err *err)
{
	return fw->firmware->reset(fw, err);
}

void fw_release(struct fw *fw)
{
	acpi_free(&fw->acpi);
	smbios_free(&fw->smbios);
	free(fw->rom.data);
	free(fw->kernel.data);
	free(fw->initrd.data);
	memset(fw, 0, sizeof *fw);
}
