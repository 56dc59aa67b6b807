/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include "hv/fw/fwcfg.h"
#include "lib/bits.h"
#include "tests/unit/suite.h"

#define RAM 0x4000

struct fixture { uint8_t ram[RAM]; struct mem mem; struct fwcfg cfg; };

static void setup(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	check_eq(mem_add(&f->mem, 0, RAM, f->ram, false), 0);
	check_eq(fwcfg_init(&f->cfg, &f->mem), 0);
	check_eq(fwcfg_add_file(&f->cfg, "etc/zeta", "zz", 2), 0);
	check_eq(fwcfg_add_file(&f->cfg, "bootorder", "0123456789", 10), 0);
	check_eq(fwcfg_add_file_u32(&f->cfg, "etc/number", 0x11223344), 0);
	check_eq(fwcfg_add_key_u16(&f->cfg, FWCFG_NB_CPUS, 0x0203), 0);
	check_eq(fwcfg_seal(&f->cfg), 0);
}

static void out(struct fixture *f, unsigned off, unsigned size, uint64_t v)
{
	fwcfg_ports.write(&f->cfg, off, size, v);
}

static uint64_t in(struct fixture *f, unsigned off, unsigned size)
{
	return fwcfg_ports.read(&f->cfg, off, size);
}

/* A request at 0x1000, triggered as SeaBIOS does; returns the control word it leaves. */
static uint32_t dma(struct fixture *f, uint32_t control, uint32_t len, uint64_t gpa)
{
	put_be32(f->ram + 0x1000, control);
	put_be32(f->ram + 0x1004, len);
	put_be64(f->ram + 0x1008, gpa);
	out(f, 8, 4, 0x00100000);
	return get_be32(f->ram + 0x1000);
}

static void reads_signature_id_and_keys_bytewise(void)
{
	struct fixture f;

	setup(&f);
	out(&f, 0, 2, FWCFG_SIGNATURE);
	check_eq(in(&f, 1, 1), 'Q');
	check_eq(in(&f, 1, 1), 'E');
	out(&f, 0, 2, FWCFG_ID);
	check_eq(in(&f, 1, 1), 3);
	out(&f, 0, 2, FWCFG_NB_CPUS);
	check_eq(in(&f, 1, 2), 0x0203);
	check_eq(in(&f, 1, 1), 0);	/* past the end */
	out(&f, 0, 2, 0x4242);
	check_eq(in(&f, 1, 1), 0);
	check_eq(in(&f, 4, 4), 0x554d4551);	/* "QEMU" */
	check_eq(in(&f, 8, 4), 0x47464320);
	fwcfg_free(&f.cfg);
}

static void directory_is_sorted_and_numbers_files_from_0x20(void)
{
	struct fixture f;

	setup(&f);
	check_eq(dma(&f, FWCFG_DIRECTORY << 16 | 8 | 2, 4 + 3 * 64, 0x2000), 0);
	check_eq(get_be32(f.ram + 0x2000), 3);
	check_eq(get_be32(f.ram + 0x2004), 10);
	check_eq(get_be16(f.ram + 0x2008), 0x20);
	check_str((char *)f.ram + 0x200c, "bootorder");
	check_str((char *)f.ram + 0x204c, "etc/number");
	check_eq(get_be16(f.ram + 0x2088), 0x22);
	check_str((char *)f.ram + 0x208c, "etc/zeta");
	out(&f, 0, 2, 0x21);
	check_eq(in(&f, 1, 4), 0x11223344);
	fwcfg_free(&f.cfg);
}

static void dma_skips_and_continues_and_pads_with_zeros(void)
{
	struct fixture f;

	setup(&f);
	memset(f.ram + 0x2000, 0xee, 32);
	check_eq(dma(&f, 0x20u << 16 | 8 | 4, 3, 0), 0);
	check_eq(dma(&f, 2, 4, 0x2000), 0);
	check(!memcmp(f.ram + 0x2000, "3456\xee", 5));
	check_eq(dma(&f, 2, 8, 0x2000), 0);
	check(!memcmp(f.ram + 0x2000, "789\0\0\0\0\0\xee", 9));
	check_eq(dma(&f, 4, 0xffffffff, 0), 0);
	check_eq(dma(&f, 2, 0, 0), 0);
	fwcfg_free(&f.cfg);
}

static void dma_takes_one_64_bit_address_write(void)
{
	struct fixture f;

	setup(&f);
	put_be32(f.ram + 0x1000, 0x22u << 16 | 8 | 2);
	put_be32(f.ram + 0x1004, 2);
	put_be64(f.ram + 0x1008, 0x2000);
	out(&f, 4, 8, htobe64(0x1000));
	check(!memcmp(f.ram + 0x2000, "zz", 2));
	out(&f, 4, 4, htobe32(1));	/* high half: nowhere in memory */
	out(&f, 8, 4, htobe32(0x1000));
	check_eq(f.cfg.dma_errors, 1);
	fwcfg_free(&f.cfg);
}

static void dma_refuses_writes_and_hostile_requests(void)
{
	struct fixture f;

	setup(&f);
	check_eq(dma(&f, 0x20u << 16 | 8 | 16, 4, 0x2000), 1);
	check_eq(dma(&f, 0x20u << 16 | 8 | 2, FWCFG_DMA_MAX + 1, 0x2000), 1);
	check_eq(dma(&f, 0x20u << 16 | 8 | 2, 16, RAM - 8), 1);
	check_eq(dma(&f, 2, 16, ~0ull - 4), 1);
	check_eq(dma(&f, 0x4242u << 16 | 8 | 2, 0x8000, 0x2000), 1);
	check_eq(f.cfg.dma_errors, 5);
	out(&f, 0, 2, 0x20);
	check_eq(in(&f, 1, 1), '0');
	fwcfg_free(&f.cfg);
}

static void refuses_what_it_cannot_hold(void)
{
	struct fixture f;
	char name[64];

	setup(&f);
	check_eq(fwcfg_add_file(&f.cfg, "late", "", 0), -EINVAL);
	check_eq(fwcfg_seal(&f.cfg), -EINVAL);
	fwcfg_free(&f.cfg);
	check_eq(fwcfg_init(&f.cfg, &f.mem), 0);
	memset(name, 'x', sizeof name);
	name[56] = 0;
	check_eq(fwcfg_add_file(&f.cfg, name, "", 0), -EINVAL);
	name[55] = 0;
	check_eq(fwcfg_add_file(&f.cfg, name, "", 0), 0);
	check_eq(fwcfg_add_file(&f.cfg, name, "", 0), -EEXIST);
	check_eq(fwcfg_add_file(&f.cfg, "", "", 0), -EINVAL);
	check_eq(fwcfg_add_key_u16(&f.cfg, FWCFG_ID, 0), -EEXIST);
	check_eq(fwcfg_add_key_u16(&f.cfg, 0x20, 0), -EINVAL);
	check_eq(fwcfg_add_key_u16(&f.cfg, FWCFG_DIRECTORY, 0), -EINVAL);
	for (unsigned i = 1; i < FWCFG_MAX_FILES; i++) {
		snprintf(name, sizeof name, "f%u", i);
		check_eq(fwcfg_add_file(&f.cfg, name, "", 0), 0);
	}
	check_eq(fwcfg_add_file(&f.cfg, "one more", "", 0), -ENOSPC);
	check_eq(fwcfg_seal(&f.cfg), 0);
	fwcfg_free(&f.cfg);
}

static void reset_forgets_the_selection(void)
{
	struct fixture f;

	setup(&f);
	out(&f, 0, 2, 0x20);
	(void)in(&f, 1, 1);
	fwcfg_reset(&f.cfg);
	check_eq(in(&f, 1, 1), 'Q');
	fwcfg_free(&f.cfg);
}

static const struct test tests[] = {
	{ "reads signature, id and keys bytewise", reads_signature_id_and_keys_bytewise },
	{ "directory is sorted and numbers files from 0x20", directory_is_sorted_and_numbers_files_from_0x20 },
	{ "dma skips and continues and pads with zeros", dma_skips_and_continues_and_pads_with_zeros },
	{ "dma takes one 64-bit address write", dma_takes_one_64_bit_address_write },
	{ "dma refuses writes and hostile requests", dma_refuses_writes_and_hostile_requests },
	{ "refuses what it cannot hold", refuses_what_it_cannot_hold },
	{ "reset forgets the selection", reset_forgets_the_selection },
	{ NULL, NULL },
};
const struct suite suite_hv_fw_fwcfg = { tests };
