/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/err.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the UTF-8 character at s (RFC 3629); 0: it is none. */
static size_t character(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* too long for what it says, a surrogate, beyond the last */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))
		return 0;
	return n;
}

/* Peers have a hand in some texts; and what was too long was cut anywhere. */
static void make_line(char *text)
{
	for (unsigned char *s = (unsigned char *)text; *s;) {
		size_t n = character(s);

		if (!n || *s < ' ' || *s == 0x7f)
			*s = '?';
		s += n ? n : 1;
	}
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (err) {
		err->code = code;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof err->text, fmt, ap);
		va_end(ap);
		make_line(err->text);
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
	make_line(err->text);
	return err->code;
}

void bug_abort(const char *file, int line, const char *func, const char *what)
{
	fprintf(stderr, "bug: %s:%d: %s: %s\n", file, line, func, what);
	abort();
}
