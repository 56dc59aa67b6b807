/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/log.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *program = "hull";
static enum log_level most_level = LOG_INFO;
static const char *const names[LOG_LEVELS] = { "error", "warn", "info", "debug" };

void log_init(const char *name, enum log_level most)
{
	program = name;
	most_level = most;
}

int log_level_parse(const char *s, enum log_level *level)
{
	for (unsigned i = 0; i < LOG_LEVELS; i++) {
		if (!strcmp(s, names[i])) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool log_enabled(enum log_level level)
{
	return level <= most_level;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	int saved = errno;
	char line[1024];
	va_list ap;
	int n, m, begin;

	if (!log_enabled(level))
		return;
	n = snprintf(line, sizeof line, "%s: %s: ", program, names[level]);
	if (n < 0 || (size_t)n >= sizeof line - 2)
		return;
	begin = n;
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (m < 0)
		return;
	n += m < (int)sizeof line - n - 2 ? m : (int)sizeof line - n - 2;
	for (int i = begin; i < n; i++)		/* names that peers chose end no line and drive no terminal */
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0) {
		/* nowhere left to say it */
	}
	errno = saved;
}

bool log_limit_pass(struct log_limit *limit, uint64_t *held)
{
	struct timespec t;
	uint64_t now, next = __atomic_load_n(&limit->next_ns, __ATOMIC_RELAXED);

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	if (now < next || !__atomic_compare_exchange_n(&limit->next_ns, &next, now + 1000000000u, false,
						       __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		__atomic_add_fetch(&limit->held, 1, __ATOMIC_RELAXED);
		return false;
	}
	*held = __atomic_exchange_n(&limit->held, 0, __ATOMIC_RELAXED);
	return true;
}
