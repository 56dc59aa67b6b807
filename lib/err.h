/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. Every function that can fail returns 0 or -errno and is must_check.
 * What the operator reads travels beside the code, in a struct err that the caller owns:
 * it says what failed, where, and what to do. A guest or a peer never sees that text.
 */
#pragma once
#include <stddef.h>

#define must_check __attribute__((warn_unused_result))
#define printf_like(f, a) __attribute__((format(printf, f, a)))

struct err {
	int code;	/* 0 or -errno, the last one set */
	char text[480];	/* one line of UTF-8, no control characters, always terminated */
};

/* Write the message and return code (which must be < 0), so that `return err_set(e, -EINVAL, …)` reads well.
 * err may be NULL: only the code is returned. Keeps errno. */
int err_set(struct err *err, int code, const char *fmt, ...) printf_like(3, 4);

/* Put "prefix: " before the message that is there: callers add where, callees say what. Returns err->code. */
int err_prefix(struct err *err, const char *fmt, ...) printf_like(2, 3);

/*
 * Our own bugs only: prints the place, flushes the log and aborts, in every build.
 * Nothing that a guest, a peer or a file can say may reach it.
 */
#define bug_on(cond) \
	do { \
		if (__builtin_expect(!!(cond), 0)) \
			bug_abort(__FILE__, __LINE__, __func__, #cond); \
	} while (0)
void bug_abort(const char *file, int line, const char *func, const char *what) __attribute__((noreturn, cold));
