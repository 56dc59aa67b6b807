/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/uart.h"
#include "tests/unit/hv/fake_clock.h"
#include "tests/unit/suite.h"

struct rig {
	struct fake_clock clock;
	struct uart u;
	int level;
	unsigned rises, room_calls;
	uint8_t out[256];
	size_t out_len;
	const uint8_t *more;	/* what rx_ready offers */
	size_t more_len;
};

static void set_line(void *ctx, int level)
{
	struct rig *r = ctx;

	r->rises += level && !r->level;
	r->level = level;
}

static void on_tx(void *ctx, const uint8_t *buf, size_t n)
{
	struct rig *r = ctx;

	for (size_t i = 0; i < n && r->out_len < sizeof r->out; i++)
		r->out[r->out_len++] = buf[i];
}

static void on_room(void *ctx)
{
	struct rig *r = ctx;
	size_t n;

	r->room_calls++;
	n = uart_receive(&r->u, r->more, r->more_len);
	r->more += n;
	r->more_len -= n;
}

static void setup(struct rig *r)
{
	struct uart_config c = { .clock = &r->clock.clock, .irq = { set_line, r }, .tx = on_tx, .rx_ready = on_room, .ctx = r };

	memset(r, 0, sizeof *r);
	fake_clock_init(&r->clock);
	uart_init(&r->u, &c);
}

static unsigned in(struct rig *r, unsigned off) { return (unsigned)uart_ops.read(&r->u, off, 1) & 0xff; }
static void out(struct rig *r, unsigned off, unsigned v) { uart_ops.write(&r->u, off, 1, v); }
static size_t type(struct rig *r, const char *s) { return uart_receive(&r->u, (const uint8_t *)s, strlen(s)); }

static void sends_at_once(void)
{
	struct rig r;

	setup(&r);
	check_eq(in(&r, 5), 0x60);
	out(&r, 0, 'o');
	out(&r, 0, 'k');
	check_eq(in(&r, 5), 0x60);
	check_eq(r.out_len, 2);
	check(!memcmp(r.out, "ok", 2));
}

/* The order of questions in Linux' autoconfig (8250_port.c): the answer must be 16550A. */
static void linux_finds_a_16550a(void)
{
	struct rig r;

	setup(&r);
	out(&r, 1, 0);
	check_eq(in(&r, 1) & 15, 0);
	out(&r, 1, 15);
	check_eq(in(&r, 1), 15);
	out(&r, 1, 0);
	out(&r, 4, 0x10 | 0x0a);
	check_eq(in(&r, 6) & 0xf0, 0x90);
	out(&r, 4, 0);
	out(&r, 3, 0xbf);
	check(in(&r, 2) != 0);		/* no EFR */
	out(&r, 3, 0);
	out(&r, 2, 1);
	check_eq(in(&r, 2) >> 6, 3);
	out(&r, 2, 0x21);		/* no 64-byte FIFO */
	check_eq(in(&r, 2) >> 5, 6);
	out(&r, 3, 0x80);
	out(&r, 2, 0x21);
	check_eq(in(&r, 2) >> 5, 6);
	out(&r, 3, 0);
	out(&r, 1, 0x40);		/* no XScale unit enable */
	check_eq(in(&r, 1), 0);
	out(&r, 7, 0xa5);
	check_eq(in(&r, 7), 0xa5);
}

static void linux_size_test_counts_sixteen(void)
{
	struct rig r;
	unsigned count = 0;

	setup(&r);
	out(&r, 2, 7);
	out(&r, 4, 0x10);
	out(&r, 3, 0x80);
	out(&r, 0, 1);
	out(&r, 1, 0);
	out(&r, 3, 3);
	for (unsigned i = 0; i < 256; i++)
		out(&r, 0, i);
	for (; (in(&r, 5) & 1) && count < 256; count++)
		check_eq(in(&r, 0), count);
	check_eq(count, 16);
	check_eq(r.out_len, 0);
	check_eq(r.u.overruns, 240);
}

static void enabling_thre_interrupts_each_time(void)
{
	struct rig r;

	setup(&r);
	out(&r, 4, 8);
	for (unsigned i = 0; i < 2; i++) {	/* the THRE bug test of Linux */
		out(&r, 1, 2);
		check_eq(r.level, 1);
		check_eq(in(&r, 2), 2);
		check_eq(r.level, 0);
		check_eq(in(&r, 2), 1);		/* reading was the acknowledgement */
		out(&r, 1, 0);
	}
	out(&r, 1, 2);
	in(&r, 2);
	out(&r, 0, 'x');
	check_eq(in(&r, 2), 2);
	check_eq(r.rises, 4);
}

static void each_character_is_an_edge_without_fifo_and_a_burst_is_one_with_it(void)
{
	struct rig r;

	setup(&r);
	out(&r, 4, 8);
	out(&r, 1, 2);
	check_eq(r.rises, 1);
	out(&r, 0, 'a');
	out(&r, 0, 'b');
	check_eq(r.rises, 3);
	out(&r, 2, 1);
	out(&r, 0, 'c');
	out(&r, 0, 'd');
	check_eq(r.rises, 3);
}

static void out2_gates_the_interrupt(void)
{
	struct rig r;

	setup(&r);
	out(&r, 1, 2);
	check_eq(r.level, 0);
	out(&r, 4, 8);
	check_eq(r.level, 1);
	out(&r, 4, 0);
	check_eq(r.level, 0);
}

static void trigger_level_and_character_timeout(void)
{
	struct rig r;
	uint64_t character = 10 * 1000000000ull / 115200 * 1;

	setup(&r);
	out(&r, 3, 0x83);
	out(&r, 0, 1);
	out(&r, 1, 0);
	out(&r, 3, 3);
	out(&r, 2, 0x41);	/* trigger at 4 */
	out(&r, 1, 1);
	out(&r, 4, 8);
	check_eq(type(&r, "abc"), 3);
	check_eq(r.level, 0);
	check_eq(in(&r, 2), 0xc1);
	fake_clock_advance(&r.clock, 4 * character - 2000);
	check_eq(in(&r, 2), 0xc1);
	fake_clock_advance(&r.clock, 4000);
	check_eq(r.level, 1);
	check_eq(in(&r, 2), 0xcc);
	check_eq(in(&r, 0), 'a');	/* a read ends the indication */
	check_eq(in(&r, 2), 0xc1);
	check_eq(type(&r, "de"), 2);
	check_eq(in(&r, 2), 0xc4);
	check_eq(in(&r, 0), 'b');
	check_eq(in(&r, 2), 0xc1);
}

static void takes_what_fits_and_asks_for_more(void)
{
	struct rig r;
	char got[41] = "";

	setup(&r);
	out(&r, 2, 1);
	r.more = (const uint8_t *)"0123456789abcdefghijklmnopqrstuvwxyzABCD";
	r.more_len = 40;
	on_room(&r);
	check_eq(r.more_len, 24);
	for (unsigned i = 0; i < 40; i++)
		got[i] = (char)in(&r, 0);
	check_str(got, "0123456789abcdefghijklmnopqrstuvwxyzABCD");
	check_eq(in(&r, 5) & 1, 0);
	check_eq(r.room_calls, 3);
	check_eq(r.u.overruns, 0);
}

static void without_fifo_holds_one_character(void)
{
	struct rig r;

	setup(&r);
	check_eq(type(&r, "ab"), 1);
	check_eq(in(&r, 5), 0x61);
	check_eq(in(&r, 0), 'a');
	check_eq(in(&r, 5), 0x60);
}

static void loopback_overruns(void)
{
	struct rig r;

	setup(&r);
	out(&r, 4, 0x18);
	out(&r, 1, 4);
	out(&r, 0, 1);
	out(&r, 0, 2);
	check_eq(in(&r, 2), 6);
	check_eq(in(&r, 5), 0x63);
	check_eq(in(&r, 5), 0x61);	/* reading cleared it */
	check_eq(in(&r, 0), 2);		/* the holding register was overwritten */
	check_eq(type(&r, "x"), 0);	/* the line is cut off */
	r.more = (const uint8_t *)"x";
	r.more_len = 1;
	out(&r, 4, 8);
	check_eq(in(&r, 0), 'x');
}

static void modem_deltas_interrupt_and_clear(void)
{
	struct rig r;

	setup(&r);
	check_eq(in(&r, 6), 0xb0);
	out(&r, 1, 8);
	out(&r, 4, 0x1c);	/* loop, OUT1, OUT2: CTS and DSR fall, RI rises */
	check_eq(in(&r, 2), 0);
	check_eq(in(&r, 6), 0xc3);
	check_eq(in(&r, 6), 0xc0);
	check_eq(in(&r, 2), 1);
	out(&r, 4, 0x18);	/* RI's trailing edge */
	check_eq(in(&r, 6), 0x84);
}

static void break_reaches_the_top_of_the_fifo_with_its_character(void)
{
	struct rig r;

	setup(&r);
	out(&r, 2, 1);
	out(&r, 1, 4);
	type(&r, "a");
	uart_receive_break(&r.u);
	type(&r, "b");
	check_eq(in(&r, 5), 0xe1);	/* an error is somewhere in the FIFO */
	check_eq(in(&r, 2), 0xc1);
	check_eq(in(&r, 0), 'a');
	check_eq(in(&r, 2), 0xc6);
	check_eq(in(&r, 5), 0xf9);
	check_eq(in(&r, 5), 0x61);
	check_eq(in(&r, 0), 0);
	check_eq(in(&r, 0), 'b');
}

static void divisor_latch(void)
{
	struct rig r;

	setup(&r);
	out(&r, 3, 0x83);
	out(&r, 0, 0x34);
	out(&r, 1, 0x12);
	check_eq(r.u.divisor, 0x1234);
	check_eq(in(&r, 0), 0x34);
	check_eq(in(&r, 1), 0x12);
	out(&r, 3, 3);
	check_eq(in(&r, 1), 0);
	check_eq(r.out_len, 0);
}

static void reset_lowers_the_line_and_stops_the_timer(void)
{
	struct rig r;

	setup(&r);
	out(&r, 2, 0xc1);
	out(&r, 4, 8);
	out(&r, 1, 3);
	type(&r, "a");
	check_eq(r.level, 1);
	check_eq(r.clock.count, 1);
	uart_reset(&r.u);
	check_eq(r.level, 0);
	check_eq(r.clock.count, 0);
	check_eq(in(&r, 5), 0x60);
	check_eq(in(&r, 2), 1);
}

static void two_ports_do_not_share_anything(void)
{
	static struct rig a, b;

	setup(&a);
	setup(&b);
	out(&a, 7, 1);
	out(&b, 7, 2);
	out(&a, 0, 'a');
	type(&b, "b");
	check_eq(in(&a, 7), 1);
	check_eq(in(&b, 7), 2);
	check_eq(in(&a, 5) & 1, 0);
	check_eq(b.out_len, 0);
}

static void every_offset_and_size_is_harmless(void)
{
	struct rig r;

	setup(&r);
	for (unsigned v = 0; v < 256; v += 5)
		for (unsigned size = 1; size <= 8; size *= 2)
			for (unsigned off = 0; off + size <= UART_PORTS; off++) {
				uart_ops.write(&r.u, off, size, v * 0x0101010101010101ull);
				uart_ops.read(&r.u, off, size);
				uart_receive(&r.u, (const uint8_t *)"abcdefgh", 8);
				check(r.u.count <= UART_FIFO);
				fake_clock_advance(&r.clock, 1000000);
			}
	uart_free(&r.u);
	check_eq(r.clock.count, 0);
}

static const struct test tests[] = {
	{ "sends at once", sends_at_once },
	{ "Linux finds a 16550A", linux_finds_a_16550a },
	{ "Linux' size test counts sixteen", linux_size_test_counts_sixteen },
	{ "enabling THRE interrupts each time", enabling_thre_interrupts_each_time },
	{ "each character is an edge without FIFO, a burst is one with it",
	  each_character_is_an_edge_without_fifo_and_a_burst_is_one_with_it },
	{ "OUT2 gates the interrupt", out2_gates_the_interrupt },
	{ "trigger level and character timeout", trigger_level_and_character_timeout },
	{ "takes what fits and asks for more", takes_what_fits_and_asks_for_more },
	{ "without FIFO holds one character", without_fifo_holds_one_character },
	{ "loopback overruns", loopback_overruns },
	{ "modem deltas interrupt and clear", modem_deltas_interrupt_and_clear },
	{ "break reaches the top of the FIFO with its character", break_reaches_the_top_of_the_fifo_with_its_character },
	{ "divisor latch", divisor_latch },
	{ "reset lowers the line and stops the timer", reset_lowers_the_line_and_stops_the_timer },
	{ "two ports do not share anything", two_ports_do_not_share_anything },
	{ "every offset and size is harmless", every_offset_and_size_is_harmless },
	{ NULL, NULL },
};
const struct suite suite_hv_dev_uart = { tests };
