/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console connects a serial port to people: the terminal hv was started from, readers of a Unix socket, a log file that
 * rotates. Runs on the event loop under the device lock. The guest never waits for a reader: a terminal that is stuck
 * loses the oldest output (counted), a slow socket reader is dropped (counted). Only the log file is written in place.
 * Input is taken from people no faster than the port takes it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hv/dev/uart.h"
#include "lib/err.h"
#include "lib/loop.h"

#define CONSOLE_SCROLLBACK 4096		/* bytes a new reader sees first */
#define CONSOLE_BUFFER 65536		/* output a reader may be behind */
#define CONSOLE_READERS 8		/* of one socket */

struct console;

struct console_stats {
	uint64_t output;	/* bytes the guest wrote */
	uint64_t input;		/* bytes the port took */
	uint64_t dropped;	/* output bytes a stuck terminal lost */
	uint64_t readers_dropped, readers_refused;
	uint64_t log_errors;	/* failed writes and rotations; output goes on */
};

enum console_writers {
	CONSOLE_ALL_WRITE,	/* what any reader types goes to the port */
	CONSOLE_ONE_WRITES,	/* the reader that has been there longest; the next one when it leaves */
	CONSOLE_NONE_WRITES,
};

/* name: for messages, kept until console_free. -ENOMEM. */
int console_create(struct loop *loop, const char *name, struct console **console) must_check;
/* Close everything, remove sockets, restore the terminal. The port writes and reads no more by then. NULL is fine. */
void console_free(struct console *c);

/*
 * Standard input and output. A terminal is put into raw mode; console_free, exit and fatal signals put it back, and
 * Ctrl-A is the escape (x leaves, b sends a break, h helps, Ctrl-A sends itself): leave is called for x. One console of a
 * process may have it: -EBUSY.
 */
int console_add_stdio(struct console *c, void (*leave)(void *ctx), void *ctx, struct err *err) must_check;
/* The same with descriptors of the caller's, which stay open and are made non-blocking while in use. out may be in. */
int console_add_fds(struct console *c, int in, int out, void (*leave)(void *ctx), void *ctx, struct err *err) must_check;
/* Listen on a Unix stream socket (mode 0600). A socket nobody listens on is replaced; anything else at path is an error. */
int console_add_socket(struct console *c, const char *path, enum console_writers writers, struct err *err) must_check;
/* Append to path; when it holds bytes, it becomes path.1, path.1 becomes path.2 … and at most files of them are kept. */
int console_add_log(struct console *c, const char *path, uint64_t bytes, unsigned files, struct err *err) must_check;

/* Fill in the port's tx, rx_ready and ctx; then, once it is initialised, tell the console which port it has. */
void console_fill_uart_config(struct console *c, struct uart_config *config);
void console_attach_uart(struct console *c, struct uart *uart);
/* Output from elsewhere than the port (the firmware's debug console): a uart tx callback with ctx = console. */
void console_output(void *console, const uint8_t *buf, size_t n);
struct console_stats console_stats(const struct console *c);
