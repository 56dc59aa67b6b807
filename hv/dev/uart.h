/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A serial port (National PC16550D data sheet): eight ports, 16-byte receive FIFO, one interrupt line.
 * The far end is a null modem that is always there (CTS, DSR and DCD set) and takes output at once: THRE and TEMT
 * never clear, so no driver ever waits. Input is taken with back pressure instead of overrunning.
 * The interrupt reaches the PC only while MCR.OUT2 is set. Under the device lock.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/bus.h"
#include "hv/clock.h"
#include "hv/irq.h"

#define UART_FIFO 16
#define UART_PORTS 8

struct uart_config {
	struct clock *clock;
	struct irq_line irq;
	/* n > 0 bytes leave the port; the buffer is the caller's. NULL: they are dropped. */
	void (*tx)(void *ctx, const uint8_t *buf, size_t n);
	/* There is room again after uart_receive took less than offered; may call uart_receive. NULL: nobody asks. */
	void (*rx_ready)(void *ctx);
	void *ctx;
};

struct uart {
	struct uart_config config;
	struct clock_timer timeout;	/* character timeout indication */
	struct { uint8_t data, errors; } fifo[UART_FIFO];	/* errors: LSR bits that belong to this character */
	unsigned head, count;
	uint8_t ier, fcr, lcr, mcr, lsr_errors, msr_delta, scr, rbr;
	uint16_t divisor;
	bool thre_pending, timed_out, starved, in_room;
	uint64_t sent, received, overruns;	/* characters */
};

extern const struct bus_ops uart_ops;	/* UART_PORTS bytes; ctx: struct uart */

void uart_init(struct uart *u, const struct uart_config *config);
void uart_reset(struct uart *u);
/* Stop the timer; the memory is the caller's. */
void uart_free(struct uart *u);
/* Characters arrive on the line. Returns how many were taken: 0…n; when less than n, rx_ready follows. */
size_t uart_receive(struct uart *u, const uint8_t *buf, size_t n);
/* A break arrives (Linux: SysRq). Lost when the FIFO is full. */
void uart_receive_break(struct uart *u);
