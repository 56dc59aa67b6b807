/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/i8042.h"
#include "tests/unit/suite.h"

struct rig {
	struct i8042 k;
	int level[2];
	unsigned rises[2], resets;
};

static void set_keyboard(void *ctx, int level)
{
	struct rig *r = ctx;

	r->rises[0] += level && !r->level[0];
	r->level[0] = level;
}

static void set_mouse(void *ctx, int level)
{
	struct rig *r = ctx;

	r->rises[1] += level && !r->level[1];
	r->level[1] = level;
}

static void on_reset(void *ctx)
{
	((struct rig *)ctx)->resets++;
}

static void setup_with(struct rig *r, bool keyboard, bool mouse)
{
	struct i8042_config c = {
		.keyboard_irq = { set_keyboard, r }, .mouse_irq = { set_mouse, r }, .keyboard = keyboard, .mouse = mouse,
		.reset = on_reset, .ctx = r,
	};

	memset(r, 0, sizeof *r);
	i8042_init(&r->k, &c);
}

static void setup(struct rig *r) { setup_with(r, true, true); }
static unsigned status(struct rig *r) { return (unsigned)i8042_command_ops.read(&r->k, 0, 1) & 0xff; }
static unsigned get(struct rig *r) { return (unsigned)i8042_data_ops.read(&r->k, 0, 1) & 0xff; }
static void put(struct rig *r, unsigned v) { i8042_data_ops.write(&r->k, 0, 1, v); }
static void command(struct rig *r, unsigned v) { i8042_command_ops.write(&r->k, 0, 1, v); }

/* The next byte must be there, from the keyboard side (0) or the mouse side (0x20). */
static void expect(struct rig *r, unsigned side, unsigned v)
{
	check_eq(status(r) & 0x61, 1 | side);
	check_eq(get(r), v);
}

static void expect_nothing(struct rig *r)
{
	check_eq(status(r) & 1, 0);
}

static void aux(struct rig *r, unsigned v)
{
	command(r, 0xd4);
	put(r, v);
}

/* SeaBIOS 1.16 ps2port.c: self test, port tests, keyboard reset and enable. */
static void seabios_brings_up_the_keyboard(void)
{
	struct rig r;

	setup(&r);
	command(&r, 0xad);
	command(&r, 0xa7);
	expect_nothing(&r);
	command(&r, 0xaa);
	expect(&r, 0, 0x55);
	command(&r, 0xab);
	expect(&r, 0, 0x00);
	command(&r, 0x60);
	put(&r, 0x30);
	put(&r, 0xff);
	expect(&r, 0, 0xfa);
	expect(&r, 0, 0xaa);
	put(&r, 0xf5);
	expect(&r, 0, 0xfa);
	put(&r, 0xf0);
	expect(&r, 0, 0xfa);
	put(&r, 0x02);
	expect(&r, 0, 0xfa);
	command(&r, 0x60);
	put(&r, 0x61);
	put(&r, 0xf4);
	expect(&r, 0, 0xfa);
	expect_nothing(&r);
}

/* drivers/input/serio/i8042.c: flush, loop test, port test, disable and enable seen in the command byte, interrupt test */
static void linux_finds_the_aux_port(void)
{
	struct rig r;

	setup(&r);
	command(&r, 0xd3);
	put(&r, 0x5a);
	expect(&r, 0x20, 0x5a);
	command(&r, 0xa9);
	expect(&r, 0, 0);
	command(&r, 0xa7);
	command(&r, 0x20);
	check(get(&r) & 0x20);
	command(&r, 0xa8);
	command(&r, 0x20);
	check(!(get(&r) & 0x20));
	command(&r, 0x60);
	put(&r, 0x02);
	r.rises[1] = 0;
	command(&r, 0xd3);
	put(&r, 0xa5);
	check_eq(r.rises[1], 1);
	expect(&r, 0x20, 0xa5);
	check_eq(r.level[1], 0);
}

static void atkbd_probe(void)
{
	struct rig r;

	setup(&r);
	put(&r, 0xf2);
	expect(&r, 0, 0xfa);
	expect(&r, 0, 0xab);
	expect(&r, 0, 0x83);
	put(&r, 0xed);
	expect(&r, 0, 0xfa);
	put(&r, 0x06);
	expect(&r, 0, 0xfa);
	check_eq(i8042_leds(&r.k), 6);
	put(&r, 0xf3);
	expect(&r, 0, 0xfa);
	put(&r, 0x00);
	expect(&r, 0, 0xfa);
	put(&r, 0xf0);
	expect(&r, 0, 0xfa);
	put(&r, 0x00);
	expect(&r, 0, 0xfa);
	expect(&r, 0, 0x02);
	put(&r, 0xee);
	expect(&r, 0, 0xee);
	put(&r, 0xe8);
	expect(&r, 0, 0xfe);
	expect_nothing(&r);
}

static void the_translated_id_is_ab_41(void)
{
	struct rig r;

	setup(&r);
	command(&r, 0x60);
	put(&r, 0x41);
	put(&r, 0xf2);
	expect(&r, 0, 0xfa);
	expect(&r, 0, 0xab);
	expect(&r, 0, 0x41);
}

static void psmouse_probe(void)
{
	static const uint8_t rates[] = { 200, 100, 80 };
	struct rig r;

	setup(&r);
	aux(&r, 0xff);
	expect(&r, 0x20, 0xfa);
	expect(&r, 0x20, 0xaa);
	expect(&r, 0x20, 0x00);
	aux(&r, 0xf2);
	expect(&r, 0x20, 0xfa);
	expect(&r, 0x20, 0x00);
	for (unsigned i = 0; i < 3; i++) {
		aux(&r, 0xf3);
		expect(&r, 0x20, 0xfa);
		aux(&r, rates[i]);
		expect(&r, 0x20, 0xfa);
	}
	aux(&r, 0xf2);
	expect(&r, 0x20, 0xfa);
	expect(&r, 0x20, 0x03);
	aux(&r, 0xe9);
	expect(&r, 0x20, 0xfa);
	expect(&r, 0x20, 0x00);
	expect(&r, 0x20, 0x02);
	expect(&r, 0x20, 80);
	aux(&r, 0xe1);
	expect(&r, 0x20, 0xfe);
}

static void keys_in_both_sets(void)
{
	struct rig r;

	setup(&r);
	i8042_key(&r.k, 0x1e, true);
	check_eq(r.level[0], 1);
	i8042_key(&r.k, 0x1e, false);
	expect(&r, 0, 0x1c);
	expect(&r, 0, 0xf0);
	expect(&r, 0, 0x1c);
	command(&r, 0x60);
	put(&r, 0x41);
	i8042_key(&r.k, 0xe01c, true);
	i8042_key(&r.k, 0xe01c, false);
	i8042_key(&r.k, 0x41, true);
	i8042_key(&r.k, 0x41, false);
	expect(&r, 0, 0xe0);
	expect(&r, 0, 0x1c);
	expect(&r, 0, 0xe0);
	expect(&r, 0, 0x9c);
	expect(&r, 0, 0x41);
	expect(&r, 0, 0xc1);
	expect_nothing(&r);
}

static void every_set1_code_survives_translation(void)
{
	struct rig r;

	setup(&r);
	command(&r, 0x60);
	put(&r, 0x41);
	for (uint16_t code = 1; code <= 0x58; code++) {
		i8042_key(&r.k, code, true);
		expect(&r, 0, code);
	}
}

static void a_disabled_keyboard_keeps_its_keys(void)
{
	struct rig r;

	setup(&r);
	command(&r, 0xad);
	for (unsigned i = 0; i < 100; i++)
		i8042_key(&r.k, 0x1e, true);
	expect_nothing(&r);
	command(&r, 0xae);
	for (unsigned i = 0; i < I8042_QUEUE - 2; i++)
		expect(&r, 0, 0x1c);
	expect_nothing(&r);
}

static void mouse_packets_merge_while_unread(void)
{
	struct rig r;

	setup(&r);
	i8042_mouse(&r.k, 5, 5, 0, 0);
	expect_nothing(&r);	/* not reporting yet */
	aux(&r, 0xf6);
	expect(&r, 0x20, 0xfa);
	aux(&r, 0xf4);
	expect(&r, 0x20, 0xfa);
	i8042_mouse(&r.k, 1, -2, 0, 1);
	check_eq(r.level[1], 1);
	for (unsigned i = 0; i < 1000; i++)
		i8042_mouse(&r.k, 1, 0, 3, 1);
	expect(&r, 0x20, 0x29);
	expect(&r, 0x20, 0x01);
	expect(&r, 0x20, 0xfe);
	expect(&r, 0x20, 0x09);
	expect(&r, 0x20, 255);
	expect(&r, 0x20, 0);
	aux(&r, 0xf5);
	expect(&r, 0x20, 0x09);	/* shown before the command */
	expect(&r, 0x20, 0xfa);
	expect_nothing(&r);
}

static void empty_ports_time_out(void)
{
	struct rig r;

	setup_with(&r, false, false);
	put(&r, 0xff);
	check_eq(status(&r) & 0x61, 0x41);
	check_eq(get(&r), 0xfe);
	aux(&r, 0xff);
	check_eq(status(&r) & 0x61, 0x61);
	check_eq(get(&r), 0xfe);
	i8042_key(&r.k, 0x1e, true);
	i8042_mouse(&r.k, 1, 1, 1, 1);
	expect_nothing(&r);
	command(&r, 0xaa);
	expect(&r, 0, 0x55);
}

static void reset_pulse_and_output_port(void)
{
	struct rig r;

	setup(&r);
	command(&r, 0xd0);
	expect(&r, 0, 0xcf);
	command(&r, 0xd1);
	put(&r, 0x01);
	command(&r, 0xd0);
	expect(&r, 0, 0x01);
	command(&r, 0xdf);
	command(&r, 0xd0);
	expect(&r, 0, 0x03);
	command(&r, 0xd1);
	put(&r, 0xff);
	command(&r, 0xd0);
	expect(&r, 0, 0xcf);
	command(&r, 0xff);
	check_eq(r.resets, 0);
	command(&r, 0xfe);
	check_eq(r.resets, 1);
	command(&r, 0xd1);
	put(&r, 0x02);
	check_eq(r.resets, 2);
}

static void status_after_power_on_and_self_test(void)
{
	struct rig r;

	setup(&r);
	check_eq(status(&r), 0x18);
	command(&r, 0xaa);
	check_eq(status(&r), 0x1d);
	get(&r);
	i8042_reset(&r.k);
	check_eq(status(&r), 0x18);
}

static void two_controllers_do_not_share_keys(void)
{
	static struct rig a, b;

	setup(&a);
	setup(&b);
	i8042_key(&a.k, 0x10, true);
	expect_nothing(&b);
	expect(&a, 0, 0x15);
}

static void every_byte_at_both_ports_is_harmless(void)
{
	struct rig r;

	setup(&r);
	for (unsigned c = 0; c < 256; c++)
		for (unsigned v = 0; v < 256; v++) {
			command(&r, c);
			put(&r, v);
			i8042_key(&r.k, (uint16_t)(c << 8 | v), v & 1);
			i8042_mouse(&r.k, (int)(v << 24), -(int)v, (int)c, v);
			i8042_data_ops.read(&r.k, 0, 1);
			check(r.k.key.queue.count <= I8042_QUEUE && r.k.mouse.queue.count <= I8042_QUEUE);
		}
}

static const struct test tests[] = {
	{ "SeaBIOS brings up the keyboard", seabios_brings_up_the_keyboard },
	{ "Linux finds the aux port", linux_finds_the_aux_port },
	{ "atkbd probe", atkbd_probe },
	{ "the translated id is ab 41", the_translated_id_is_ab_41 },
	{ "psmouse probe", psmouse_probe },
	{ "keys in both sets", keys_in_both_sets },
	{ "every set 1 code survives translation", every_set1_code_survives_translation },
	{ "a disabled keyboard keeps its keys", a_disabled_keyboard_keeps_its_keys },
	{ "mouse packets merge while unread", mouse_packets_merge_while_unread },
	{ "empty ports time out", empty_ports_time_out },
	{ "reset pulse and output port", reset_pulse_and_output_port },
	{ "status after power on and self test", status_after_power_on_and_self_test },
	{ "two controllers do not share keys", two_controllers_do_not_share_keys },
	{ "every byte at both ports is harmless", every_byte_at_both_ports_is_harmless },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_i8042 = { tests };
