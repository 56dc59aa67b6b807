/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SeaBIOS: its 256 KiB image stands read-only below 4 GiB, and the last 128 KiB also as RAM at 0xe0000, where the reset
 * vector's far jump leads. The firmware turns shadow RAM on through the host bridge, copies itself from the high image and
 * does so again at each reset, so the high image is never written.
 */
#include <errno.h>
#include "hv/fw/firmware.h"

#define ROM_SIZE 0x40000u
#define ROM_BASE 0xfffc0000u
#define LOW_SIZE 0x20000u
#define LOW_BASE 0xe0000u

static int load(struct fw *fw, struct err *err)
{
	const char *path = fw->options.bios ?: FW_SEABIOS_PATH;
	int code = fw_read_file(path, ROM_SIZE, &fw->rom.data, &fw->rom.len, err);

	if (code)
		return code;
	if (fw->rom.len != ROM_SIZE)
		return err_set(err, -EINVAL, "%s: %zu bytes are no SeaBIOS image; it has %u", path, fw->rom.len, ROM_SIZE);
	code = mem_add(fw->mem, ROM_BASE, ROM_SIZE, fw->rom.data, true);
	return code ? err_set(err, code, "no room for the firmware at 0x%x", ROM_BASE) : 0;
}

static int reset(struct fw *fw, struct err *err)
{
	fw->entry = (struct fw_entry){ .mode = FW_RESET_VECTOR };
	if (mem_write(fw->mem, LOW_BASE, fw->rom.data + ROM_SIZE - LOW_SIZE, LOW_SIZE))
		return err_set(err, -EFAULT, "guest memory ends below 1 MiB");
	return 0;
}

const struct firmware firmware_seabios = { .name = "SeaBIOS", .load = load, .reset = reset };
