/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event on standard error (or a file): "hull-hv: warn: text". Keeps errno; any thread may call.
 * Lines that a guest or a peer can cause go through log_limited: at most one per second and per place,
 * with the number of lines that were held back.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVELS };

/* program: static string, printed before each line. Call once from main before threads start. */
void log_init(const char *program, enum log_level most);
/* Parse "error", "warn", "info", "debug". 0 or -EINVAL. */
int log_level_parse(const char *s, enum log_level *level) must_check;
bool log_enabled(enum log_level level);
void log_at(enum log_level level, const char *fmt, ...) printf_like(2, 3);

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

struct log_limit { uint64_t next_ns; uint64_t held; };
/* True when the caller may print now; *held is how many calls were refused since the last one. */
bool log_limit_pass(struct log_limit *limit, uint64_t *held);

#define log_limited(level, fmt, ...) \
	do { \
		static struct log_limit limit_; \
		uint64_t held_; \
		if (log_enabled(level) && log_limit_pass(&limit_, &held_)) \
			log_at(level, fmt " (%llu more held back)" __VA_OPT__(,) __VA_ARGS__, (unsigned long long)held_); \
	} while (0)
