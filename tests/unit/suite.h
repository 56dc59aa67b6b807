/* SPDX-License-Identifier: Apache-2.0 */
/* One suite a file: tests/unit/hv/dev/uart_test.c ends in `const struct suite suite_hv_dev_uart = { uart_tests };` */
#pragma once
#include <CUnit/CUnit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct test { const char *name; void (*run)(void); };
struct suite { const struct test *tests; };	/* ends with a NULL name */

/* Equality that shows both values when it fails. */
#define check_eq(a, b) \
	do { \
		unsigned long long a_ = (unsigned long long)(a), b_ = (unsigned long long)(b); \
		if (a_ != b_) \
			suite_note("%s:%d: %s = 0x%llx, %s = 0x%llx", __FILE__, __LINE__, #a, a_, #b, b_); \
		CU_ASSERT(a_ == b_); \
	} while (0)
#define check_str(a, b) \
	do { \
		const char *a_ = (a), *b_ = (b); \
		if (strcmp(a_, b_)) \
			suite_note("%s:%d: %s = \"%s\", expected \"%s\"", __FILE__, __LINE__, #a, a_, b_); \
		CU_ASSERT(!strcmp(a_, b_)); \
	} while (0)
#define check(c) CU_ASSERT(c)
#define check_or_return(c) \
	do { \
		bool ok_ = (c); \
		CU_ASSERT(ok_); \
		if (!ok_) \
			return; \
	} while (0)

/* This machine lacks what the test needs: prints "SKIP name: reason", counts it, and the test returns. Once a test. */
void suite_skip(const char *reason);
void suite_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A path below the build folder's scratch directory for this process; removed at the end of the run. */
const char *suite_tmp(const char *name);
