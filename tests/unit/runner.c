/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the unit suites under CUnit. Usage: unit [PREFIX]. The last line reads "N passed, N failed[, N skipped]". */
#include <CUnit/Basic.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "tests/unit/suite.h"

#define SUITE(id, name) extern const struct suite suite_##id;
#include "suites.inc"
#undef SUITE

static const struct { const char *name; const struct suite *suite; } suites[] = {
#define SUITE(id, name) { name, &suite_##id },
#include "suites.inc"
#undef SUITE
};

static char tmp[256];
static unsigned skipped;

void suite_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("\n    ", stderr);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
}

void suite_skip(const char *reason)
{
	skipped++;
	fprintf(stderr, "\nSKIP %s: %s: %s\n", CU_get_current_suite()->pName, CU_get_current_test()->pName, reason);
}

const char *suite_tmp(const char *name)
{
	static char path[8][512];
	static unsigned next;
	char *p = path[next++ % 8];

	if (!tmp[0]) {
		snprintf(tmp, sizeof tmp, "%s/hull-unit-XXXXXX", getenv("TMPDIR") ?: "/tmp");
		if (!mkdtemp(tmp)) {
			perror(tmp);
			exit(2);
		}
	}
	snprintf(p, sizeof path[0], "%s/%s", tmp, name);
	return p;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

int main(int argc, char **argv)
{
	const char *prefix = argc > 1 ? argv[1] : "";
	unsigned passed, failed;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 2;
	for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
		CU_pSuite s;

		if (strncmp(suites[i].name, prefix, strlen(prefix)))
			continue;
		s = CU_add_suite(suites[i].name, NULL, NULL);
		for (const struct test *t = suites[i].suite->tests; s && t->name; t++)
			CU_add_test(s, t->name, t->run);
	}
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	failed = CU_get_number_of_tests_failed();
	passed = CU_get_number_of_tests_run() - failed - skipped;
	CU_basic_show_failures(CU_get_failure_list());
	CU_cleanup_registry();
	if (tmp[0])
		nftw(tmp, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	printf("\n%u passed, %u failed", passed, failed);
	if (skipped)
		printf(", %u skipped", skipped);
	putchar('\n');
	return failed || !(passed + skipped);
}
