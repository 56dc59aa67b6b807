/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/uart.h"
#include "lib/bits.h"

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
enum { IER_RDA = 1, IER_THRE = 2, IER_RLS = 4, IER_MODEM = 8, IER_ALL = 15 };
enum { IIR_MODEM = 0, IIR_NONE = 1, IIR_THRE = 2, IIR_RDA = 4, IIR_RLS = 6, IIR_TIMEOUT = 12, IIR_FIFO = 0xc0 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_KEEP = 0xc9 };
enum { LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16, MCR_ALL = 31 };
enum { LSR_DR = 1, LSR_OVERRUN = 2, LSR_FRAMING = 8, LSR_BREAK = 16, LSR_ERRORS = 0x1e, LSR_EMPTY = 0x60, LSR_FIFO = 0x80 };
enum { MSR_CTS = 16, MSR_DSR = 32, MSR_RI = 64, MSR_DCD = 128 };

static const uint8_t triggers[] = { 1, 4, 8, 14 };

static bool fifo_on(const struct uart *u) { return u->fcr & FCR_ENABLE; }
static unsigned capacity(const struct uart *u) { return fifo_on(u) ? UART_FIFO : 1; }
static unsigned trigger(const struct uart *u) { return fifo_on(u) ? triggers[u->fcr >> 6] : 1; }

/* MSR bits 4…7: in loopback the modem outputs come back as inputs (PC16550D table 2, MCR bit 4). */
static unsigned lines(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static unsigned source(const struct uart *u)
{
	if ((u->ier & IER_RLS) && (u->lsr_errors & LSR_ERRORS))
		return IIR_RLS;
	if ((u->ier & IER_RDA) && u->count >= trigger(u))
		return IIR_RDA;
	if ((u->ier & IER_RDA) && u->count && u->timed_out)
		return IIR_TIMEOUT;
	if ((u->ier & IER_THRE) && u->thre_pending)
		return IIR_THRE;
	if ((u->ier & IER_MODEM) && u->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

static void raise(struct uart *u)
{
	irq_set(&u->config.irq, (u->mcr & MCR_OUT2) && source(u) != IIR_NONE);
}

/* Four character times (data sheet: FIFO interrupt mode operation), counted again from each arrival and each read. */
static void restart_timeout(struct uart *u)
{
	unsigned bits = 1 + 5 + (u->lcr & 3) + (u->lcr & 8 ? 1 : 0) + (u->lcr & 4 ? 2 : 1);
	uint64_t divisor = u->divisor ? u->divisor : 65536;

	u->timed_out = false;
	/* at the trigger level the interrupt is there without the timer */
	if (fifo_on(u) && u->count && u->count < trigger(u) && (u->ier & IER_RDA))
		clock_arm(u->config.clock, &u->timeout, clock_now(u->config.clock) + 4 * bits * divisor * 1000000000 / 115200);
	else
		clock_disarm(u->config.clock, &u->timeout);
}

static void timeout(void *ctx)
{
	struct uart *u = ctx;

	u->timed_out = true;
	raise(u);
}

static void expose_errors(struct uart *u)
{
	if (u->count)
		u->lsr_errors |= u->fifo[u->head].errors;
}

static void push(struct uart *u, uint8_t data, uint8_t errors)
{
	if (u->count == capacity(u)) {
		u->overruns++;
		u->lsr_errors |= LSR_OVERRUN;
		if (!fifo_on(u))	/* a holding register is overwritten, a FIFO keeps what it has */
			u->fifo[u->head].data = data;
		return;
	}
	u->fifo[(u->head + u->count) % UART_FIFO].data = data;
	u->fifo[(u->head + u->count) % UART_FIFO].errors = errors;
	if (!u->count++)
		expose_errors(u);
	u->received++;
}

static void clear_fifo(struct uart *u)
{
	u->head = u->count = 0;
	u->timed_out = false;
	clock_disarm(u->config.clock, &u->timeout);
}

/* Ask for more input. The callback may refill the FIFO: state is settled before it, and it does not nest. */
static void offer_room(struct uart *u)
{
	if (!u->starved || u->in_room || u->count || (u->mcr & MCR_LOOP))
		return;
	u->starved = false;
	u->in_room = true;
	if (u->config.rx_ready)
		u->config.rx_ready(u->config.ctx);
	u->in_room = false;
}

size_t uart_receive(struct uart *u, const uint8_t *buf, size_t n)
{
	size_t taken = 0;

	if (!(u->mcr & MCR_LOOP))	/* the line is cut off in loopback: wait */
		while (taken < n && u->count < capacity(u))
			push(u, buf[taken++], 0);
	if (taken < n)
		u->starved = true;
	if (taken) {
		restart_timeout(u);
		raise(u);
	}
	return taken;
}

void uart_receive_break(struct uart *u)
{
	if ((u->mcr & MCR_LOOP) || u->count == capacity(u))
		return;
	push(u, 0, LSR_BREAK | LSR_FRAMING);
	restart_timeout(u);
	raise(u);
}

static uint8_t read_rbr(struct uart *u)
{
	if (u->count) {
		u->rbr = u->fifo[u->head].data;
		u->head = (u->head + 1) % UART_FIFO;
		u->count--;
		expose_errors(u);
		restart_timeout(u);
		raise(u);
		offer_room(u);
	}
	return u->rbr;
}

static uint8_t read_iir(struct uart *u)
{
	unsigned s = source(u);

	if (s == IIR_THRE) {	/* reading is the acknowledgement */
		u->thre_pending = false;
		raise(u);
	}
	return (uint8_t)(s | (fifo_on(u) ? IIR_FIFO : 0));
}

static uint8_t read_lsr(struct uart *u)
{
	unsigned v = LSR_EMPTY | u->lsr_errors | (u->count ? LSR_DR : 0);

	for (unsigned i = 0; fifo_on(u) && i < u->count; i++)
		if (u->fifo[(u->head + i) % UART_FIFO].errors)
			v |= LSR_FIFO;
	if (u->lsr_errors) {
		u->lsr_errors = 0;
		u->fifo[u->head].errors = 0;
		raise(u);
	}
	return (uint8_t)v;
}

static uint8_t read_msr(struct uart *u)
{
	unsigned v = lines(u) | u->msr_delta;

	if (u->msr_delta) {
		u->msr_delta = 0;
		raise(u);
	}
	return (uint8_t)v;
}

static uint8_t read8(struct uart *u, unsigned off)
{
	switch (off) {
	case RBR_THR:
		return u->lcr & LCR_DLAB ? (uint8_t)u->divisor : read_rbr(u);
	case IER:
		return u->lcr & LCR_DLAB ? (uint8_t)(u->divisor >> 8) : u->ier;
	case IIR_FCR:
		return read_iir(u);
	case LCR:
		return u->lcr;
	case MCR:
		return u->mcr;
	case LSR:
		return read_lsr(u);
	case MSR:
		return read_msr(u);
	default:
		return u->scr;
	}
}

static void write_thr(struct uart *u, uint8_t v)
{
	/*
	 * The character is gone at once, so THRE falls and rises. With the FIFO on, a burst raises it once (the FIFO ran empty
	 * after the burst); a lone holding register gives an edge for each character.
	 */
	if (u->thre_pending && !fifo_on(u)) {
		u->thre_pending = false;
		raise(u);
	}
	u->thre_pending = true;
	u->sent++;
	if (u->mcr & MCR_LOOP) {
		push(u, v, 0);
		restart_timeout(u);
	} else if (u->config.tx) {
		u->config.tx(u->config.ctx, &v, 1);
	}
	raise(u);
}

static void write_ier(struct uart *u, uint8_t v)
{
	/* enabling THRE while the register is empty interrupts: Linux tests ports for exactly this */
	if ((v & IER_THRE) && !(u->ier & IER_THRE))
		u->thre_pending = true;
	if ((v ^ u->ier) & IER_RDA) {
		u->ier = v & IER_ALL;
		if (!u->timed_out)
			restart_timeout(u);
	}
	u->ier = v & IER_ALL;
	raise(u);
}

static void write_fcr(struct uart *u, uint8_t v)
{
	if (((v ^ u->fcr) & FCR_ENABLE) || ((v & FCR_ENABLE) && (v & FCR_CLEAR_RX)))
		clear_fifo(u);
	/* the other bits are only taken together with the enable bit */
	u->fcr = v & FCR_ENABLE ? v & FCR_KEEP : 0;
	if (!u->timed_out)
		restart_timeout(u);
	raise(u);
	offer_room(u);
}

static void write_lcr(struct uart *u, uint8_t v)
{
	uint8_t old = u->lcr;

	u->lcr = v;
	if ((u->mcr & MCR_LOOP) && (v & ~old & LCR_BREAK)) {
		push(u, 0, LSR_BREAK | LSR_FRAMING);
		restart_timeout(u);
		raise(u);
	}
}

static void write_mcr(struct uart *u, uint8_t v)
{
	unsigned before = lines(u), changed;

	u->mcr = v & MCR_ALL;
	changed = before ^ lines(u);
	/* delta bits stand four below their lines; RI counts its trailing edge only */
	u->msr_delta |= (uint8_t)((changed & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4 | (changed & before & MSR_RI) >> 4);
	raise(u);
	offer_room(u);
}

static void write8(struct uart *u, unsigned off, uint8_t v)
{
	switch (off) {
	case RBR_THR:
		if (u->lcr & LCR_DLAB)
			u->divisor = (uint16_t)((u->divisor & 0xff00) | v);
		else
			write_thr(u, v);
		break;
	case IER:
		if (u->lcr & LCR_DLAB)
			u->divisor = (uint16_t)((u->divisor & 0x00ff) | v << 8);
		else
			write_ier(u, v);
		break;
	case IIR_FCR:
		write_fcr(u, v);
		break;
	case LCR:
		write_lcr(u, v);
		break;
	case MCR:
		write_mcr(u, v);
		break;
	case SCR:
		u->scr = v;
		break;
	}
}

static uint64_t read(void *ctx, uint64_t off, unsigned size)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)read8(ctx, (unsigned)(off + i) & 7) << (8 * i);
	return v;
}

static void write(void *ctx, uint64_t off, unsigned size, uint64_t val)
{
	for (unsigned i = 0; i < size; i++)
		write8(ctx, (unsigned)(off + i) & 7, (uint8_t)(val >> (8 * i)));
}

const struct bus_ops uart_ops = { .read = read, .write = write };

void uart_reset(struct uart *u)
{
	clear_fifo(u);
	u->ier = u->fcr = u->lcr = u->mcr = u->lsr_errors = u->msr_delta = u->scr = u->rbr = 0;
	u->divisor = 12;
	u->thre_pending = false;
	irq_set(&u->config.irq, 0);
	offer_room(u);
}

void uart_init(struct uart *u, const struct uart_config *config)
{
	*u = (struct uart){ .config = *config, .timeout = { .fire = timeout, .ctx = u } };
	uart_reset(u);
}

void uart_free(struct uart *u)
{
	clock_disarm(u->config.clock, &u->timeout);
}
