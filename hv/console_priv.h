/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a console share: its readers, its sockets, the terminal's mode, the rotating log. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>
#include "hv/console.h"

#define CONSOLE_INPUT 4096	/* typed ahead of the port; a terminal's escapes work up to here */

struct descriptor {
	int fd, original;	/* original: whose flags are to be put back, -1: nobody's */
	int flags;
};

struct listener {
	struct console *c;
	struct listener *next;
	struct sockaddr_un addr;
	struct loop_watch *watch;
	enum console_writers writers;
	unsigned readers;
	int fd, spare;		/* spare: given up to refuse a connection when descriptors run out */
};

struct reader {
	struct console *c;
	struct reader *next;
	struct listener *listener;	/* NULL: standard input and output */
	struct descriptor in, out;
	struct loop_watch *in_watch, *out_watch;
	bool input_open, output_open, always_ready, tty, escape;
	bool hung_up;			/* sockets: nobody is at the other end any more, also not to read */
	void (*leave)(void *ctx);
	void *ctx;
	size_t in_head, in_len, out_head, out_len;
	uint8_t in_buf[CONSOLE_INPUT], out_buf[CONSOLE_BUFFER];
};

struct console {
	struct loop *loop;
	const char *name;
	struct uart *uart;
	struct reader *readers;		/* oldest first */
	struct listener *listeners;
	struct console_log *log;
	struct loop_timer *flush;
	bool flush_armed;
	uint8_t scrollback[CONSOLE_SCROLLBACK];
	size_t scroll_head, scroll_len;
	struct console_stats stats;
};

/* ---- console.c: readers */

struct reader *console_reader_create(struct console *c);	/* NULL: no memory */
void console_reader_free(struct reader *r);
/* Write what out takes now. False: the reader went away and was freed. */
bool console_reader_flush(struct reader *r);
/* Watch for input while there is room for it; a full buffer, like an ended one, is not watched: it would spin. */
void console_reader_watch(struct reader *r);
/* Move input from readers to the port, as far as it takes it; may free socket readers. */
void console_feed(struct console *c);

/* ---- console_socket.c */

void console_listener_free(struct listener *l);

/* ---- console_tty.c: one terminal of the process in raw mode */

/* Give the terminal its mode back; exit and fatal signals do the same. */
void tty_restore(void);
/* A non-blocking descriptor for the same file; mode: O_RDONLY or O_WRONLY. tty_disown is due also after an error. */
int tty_own(struct descriptor *d, int fd, int mode) must_check;
void tty_disown(struct descriptor *d);

/* ---- console_log.c: a file bounded in size, and the ones before it */

struct console_log;

int console_log_open(const char *path, uint64_t bytes, unsigned files, struct console_log **log, struct err *err) must_check;
/* Buffered; console_log_flush writes. Errors are counted, output goes on. */
void console_log_write(struct console_log *l, const uint8_t *buf, size_t n);
void console_log_flush(struct console_log *l);
uint64_t console_log_errors(const struct console_log *l);
void console_log_close(struct console_log *l);	/* flushes; NULL is fine */
