/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/sysport.h"
#include "tests/unit/suite.h"

struct rig { struct sysport s; unsigned hard, soft; };

static void on_reset(void *ctx, bool hard)
{
	struct rig *r = ctx;

	r->hard += hard;
	r->soft += !hard;
}

static void setup(struct rig *r)
{
	struct sysport_config c = { .reset = on_reset, .ctx = r };

	memset(r, 0, sizeof *r);
	sysport_init(&r->s, &c);
}

static const struct sysport_range *range(unsigned port)
{
	for (unsigned i = 0; i < SYSPORT_RANGES; i++)
		if (port >= sysport_ranges[i].base && port < sysport_ranges[i].base + sysport_ranges[i].len)
			return &sysport_ranges[i];
	return NULL;
}

static unsigned in(struct rig *r, unsigned port)
{
	const struct sysport_range *a = range(port);

	return a ? (unsigned)a->ops->read(&r->s, port - a->base, 1) & 0xff : 0x100;
}

static void out(struct rig *r, unsigned port, unsigned v)
{
	const struct sysport_range *a = range(port);

	if (a)
		a->ops->write(&r->s, port - a->base, 1, v);
}

static void a20_reads_back_set(void)
{
	struct rig r;

	setup(&r);
	check_eq(in(&r, 0x92), 2);
	out(&r, 0x92, 0);
	check_eq(in(&r, 0x92), 2);
	check_eq(r.soft, 0);
	out(&r, 0x92, 3);
	check_eq(r.soft, 1);
	out(&r, 0x92, 3);
	check_eq(r.soft, 1);
}

static void reset_control_acts_on_the_rise_of_bit_2(void)
{
	struct rig r;

	setup(&r);
	out(&r, 0xcf9, 2);
	check_eq(r.hard + r.soft, 0);
	check_eq(in(&r, 0xcf9), 2);
	out(&r, 0xcf9, 6);
	check_eq(r.hard, 1);
	out(&r, 0xcf9, 6);
	check_eq(r.hard, 1);
	sysport_reset(&r.s);
	check_eq(in(&r, 0xcf9), 0);
	out(&r, 0xcf9, 4);
	check_eq(r.soft, 1);
	sysport_reset(&r.s);
	out(&r, 0xcf9, 0x0f);	/* the ACPI reset register's value */
	check_eq(r.hard, 2);
}

static void apm_and_page_registers_read_back(void)
{
	struct rig r;

	setup(&r);
	out(&r, 0xb2, 0x31);
	out(&r, 0xb3, 0x42);
	check_eq(in(&r, 0xb2), 0x31);
	check_eq(in(&r, 0xb3), 0x42);
	for (unsigned p = 0x81; p <= 0x8f; p++)
		out(&r, p, p);
	for (unsigned p = 0x81; p <= 0x8f; p++)
		check_eq(in(&r, p), p);
	check_eq(in(&r, 0x80), 0x100);
	check_eq(in(&r, 0x61), 0x100);
}

static void dma_registers_read_back_through_the_flip_flop(void)
{
	struct rig r;

	setup(&r);
	check_eq(in(&r, 0x0f), 15);
	out(&r, 0x0c, 0);
	out(&r, 0x02, 0x34);
	out(&r, 0x02, 0x12);
	check_eq(in(&r, 0x02), 0x34);
	check_eq(in(&r, 0x02), 0x12);
	in(&r, 0x02);
	out(&r, 0x0c, 0);
	check_eq(in(&r, 0x02), 0x34);
	out(&r, 0x0a, 2);
	check_eq(in(&r, 0x0f), 11);
	out(&r, 0x0e, 0);
	check_eq(in(&r, 0x0f), 0);
	out(&r, 0x0d, 0);
	check_eq(in(&r, 0x0f), 15);
	check_eq(in(&r, 0x08), 0);
	out(&r, 0xd8, 0);
	out(&r, 0xc4, 0x78);
	out(&r, 0xc4, 0x56);
	check_eq(in(&r, 0xc4), 0x78);
	check_eq(in(&r, 0xc4), 0x56);
	check_eq(in(&r, 0xde), 15);
}

static void two_machines_do_not_share_registers(void)
{
	static struct rig a, b;

	setup(&a);
	setup(&b);
	out(&a, 0xb2, 1);
	check_eq(in(&b, 0xb2), 0);
}

static void every_port_and_size_is_harmless(void)
{
	struct rig r;

	setup(&r);
	for (unsigned i = 0; i < SYSPORT_RANGES; i++)
		for (unsigned size = 1; size <= 8; size *= 2)
			for (unsigned off = 0; off + size <= sysport_ranges[i].len; off++)
				for (unsigned v = 0; v < 256; v++) {
					sysport_ranges[i].ops->write(&r.s, off, size, v * 0x0101010101010101ull);
					sysport_ranges[i].ops->read(&r.s, off, size);
				}
	check(r.soft > 0);
}

static const struct test tests[] = {
	{ "A20 reads back set", a20_reads_back_set },
	{ "reset control acts on the rise of bit 2", reset_control_acts_on_the_rise_of_bit_2 },
	{ "APM and page registers read back", apm_and_page_registers_read_back },
	{ "DMA registers read back through the flip-flop", dma_registers_read_back_through_the_flip_flop },
	{ "two machines do not share registers", two_machines_do_not_share_registers },
	{ "every port and size is harmless", every_port_and_size_is_harmless },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_sysport = { tests };
