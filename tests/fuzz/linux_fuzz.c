/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel file: the first 8 bytes choose memory size, initrd length and command line length, the rest is the file. */
#include <stdlib.h>
#include "hv/fw/linux.h"
#include "lib/buf.h"

#define RAM (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t *ram;
	static const uint8_t initrd[0x10000];
	static char line[0x10001];
	struct rbuf in = rbuf_of(data, len);
	uint64_t low_end = (uint64_t)rbuf_le16(&in) << 16;
	size_t initrd_len = rbuf_le16(&in), words = rbuf_le16(&in);
	struct linux_boot boot = { .initrd = initrd, .initrd_len = initrd_len, .cmdline = line, .rsdp = 0xe0000, .low_end = low_end };
	struct mem mem = { 0 };
	struct linux_image im;
	struct e820 map = { .count = 0 };
	struct fw_entry entry;
	struct err err;

	rbuf_skip(&in, 2);
	if (in.failed)
		return 0;
	if (!ram)
		ram = calloc(1, RAM);
	if (!ram || mem_add(&mem, 0, RAM, ram, false))
		abort();
	for (size_t i = 0; i < words; i++)
		line[i] = 'x';
	line[words] = 0;
	e820_add(&map, 0, low_end, E820_RAM);
	boot.e820 = &map;
	if (!linux_parse("input", data + in.pos, rbuf_left(&in), &im, &err))
		(void)!linux_load(&im, &boot, &mem, &entry, &err);
	return 0;
}
