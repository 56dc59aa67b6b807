/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/err.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int err_set(struct err *err, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (err) {
		err->code = code;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof err->text, fmt, ap);
		va_end(ap);
	}
	errno = saved;
	return code;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
	char text[sizeof err->text];
	va_list ap;
	size_t n;

	if (!err)
		return -EINVAL;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	n = strlen(text);
	snprintf(text + n, sizeof text - n, ": %s", err->text);
	memcpy(err->text, text, sizeof text);
	return err->code;
}

void bug_abort(const char *file, int line, const char *func, const char *what)
{
	fprintf(stderr, "bug: %s:%d: %s: %s\n", file, line, func, what);
	abort();
}
