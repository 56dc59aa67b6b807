/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a console that stand alone: the terminal's mode, and the rotating log. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"

/* ---- console_tty.c: one terminal of the process in raw mode */

/* -EBUSY when another one is held; -errno of tcsetattr. The mode comes back with tty_restore, exit and fatal signals. */
int tty_set_raw(int fd, struct err *err) must_check;
void tty_restore(void);

/* ---- console_log.c: a file bounded in size, and the ones before it */

struct console_log;

int console_log_open(const char *path, uint64_t bytes, unsigned files, struct console_log **log, struct err *err) must_check;
/* Buffered; console_log_flush writes. Errors are counted, output goes on. */
void console_log_write(struct console_log *l, const uint8_t *buf, size_t n);
void console_log_flush(struct console_log *l);
uint64_t console_log_errors(const struct console_log *l);
void console_log_close(struct console_log *l);	/* flushes; NULL is fine */
