/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest at the fw_cfg ports. The input is a stream of operations:
 * 0 read (offset, size), 1 write (offset, size, 8 bytes), 2 poke guest memory (address, byte), 3 DMA request (address, 16 bytes),
 * 4 reset.
 */
#include <stdlib.h>
#include "hv/fw/fwcfg.h"
#include "lib/bits.h"
#include "lib/buf.h"

#define RAM 0x10000u

static uint8_t ram[RAM];

static void access(struct fwcfg *cfg, struct rbuf *in, bool write)
{
	unsigned size = 1u << (rbuf_u8(in) & 3), off = rbuf_u8(in) % FWCFG_PORTS;

	if (off + size > FWCFG_PORTS)
		return;
	if (write)
		fwcfg_ports.write(cfg, off, size, rbuf_le64(in));
	else
		(void)fwcfg_ports.read(cfg, off, size);
}

static void request(struct fwcfg *cfg, struct rbuf *in)
{
	uint32_t at = rbuf_le16(in) % (RAM - 16);

	rbuf_copy(in, ram + at, 16);
	fwcfg_ports.write(cfg, 8, 4, htobe32(at));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rbuf in = rbuf_of(data, len);
	struct mem mem = { 0 };
	struct fwcfg cfg;

	if (mem_add(&mem, 0, RAM, ram, false) || fwcfg_init(&cfg, &mem))
		abort();
	if (fwcfg_add_file(&cfg, "etc/a", "0123456789", 10) || fwcfg_add_file(&cfg, "etc/empty", "", 0) || fwcfg_seal(&cfg))
		abort();
	for (unsigned n = 0; rbuf_left(&in) && !in.failed && n < 200; n++)
		switch (rbuf_u8(&in) % 5) {
		case 0:
			access(&cfg, &in, false);
			break;
		case 1:
			access(&cfg, &in, true);
			break;
		case 2:
			ram[rbuf_le16(&in)] = rbuf_u8(&in);
			break;
		case 3:
			request(&cfg, &in);
			break;
		case 4:
			fwcfg_reset(&cfg);
			break;
		}
	fwcfg_free(&cfg);
	return 0;
}
