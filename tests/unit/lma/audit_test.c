/* SPDX-License-Identifier: Apache-2.0 */
#include "lma/audit.h"
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/unit/suite.h"

static const struct pki_id who = { .role = PKI_HV, .name = "dc-web01" };

static void refuses_other_files(void)
{
	struct audit *a;
	struct err err;

	check_eq(audit_open("/dev/null", &a, &err), -EINVAL);
	check_str(err.text, "audit log /dev/null: is not a regular file");
	check_eq(audit_open("/nowhere/log", &a, &err), -ENOENT);
	check_str(err.text, "audit log /nowhere/log: No such file or directory");
	check(!a);
}

static void appends_lines(void)
{
	struct audit_act act = { .peer = "192.0.2.1:1", .who = &who, .verb = "key", .server = "dc-web01",
		.volume = "x\"\n", .result = "ok" };
	const char *path = suite_tmp("audit.log");
	struct audit *a;
	struct stat st;
	char line[512];
	FILE *f;

	for (int i = 0; i < 2; i++) {
		CU_ASSERT_FATAL(!audit_open(path, &a, NULL));
		check_eq(audit_write(a, &act, NULL), 0);
		audit_close(a);
	}
	check(!stat(path, &st) && (st.st_mode & 0777) == 0600);
	f = fopen(path, "r");
	CU_ASSERT_FATAL(f != NULL);
	for (int i = 0; i < 2; i++) {
		json_t *o = fgets(line, sizeof line, f) ? json_loads(line, 0, NULL) : NULL;

		CU_ASSERT_FATAL(o != NULL);
		check_str(json_string_value(json_object_get(o, "who")), "hv/dc-web01");
		check_str(json_string_value(json_object_get(o, "volume")), "(not a name)");
		check(!json_object_get(o, "serial"));
		json_decref(o);
	}
	check(!fgets(line, sizeof line, f));
	fclose(f);
}

static void keeps_strangers_few(void)
{
	struct audit_act act = { .peer = "192.0.2.1:1", .verb = "enrol", .result = "EPERM" };
	const char *path = suite_tmp("strangers.log");
	unsigned lines = 0;
	struct audit *a;
	char line[512];
	FILE *f;

	CU_ASSERT_FATAL(!audit_open(path, &a, NULL));
	for (int i = 0; i < 5000; i++)
		audit_write_stranger(a, &act);
	audit_close(a);
	f = fopen(path, "r");
	CU_ASSERT_FATAL(f != NULL);
	while (fgets(line, sizeof line, f))
		lines++;
	fclose(f);
	check(lines >= 16 && lines < 200);
}

/* A medium that is full in the middle of a line: the act is refused, and the next line stands alone. */
static void survives_a_full_medium(void)
{
	struct audit_act act = { .peer = "192.0.2.1:1", .who = &who, .verb = "key", .result = "ok" };
	const char *path = suite_tmp("full.log");
	struct rlimit old, small;
	struct audit *a;
	struct err err;
	unsigned good = 0;
	char line[512];
	FILE *f;

	CU_ASSERT_FATAL(!audit_open(path, &a, NULL));
	CU_ASSERT_FATAL(!getrlimit(RLIMIT_FSIZE, &old));
	small = (struct rlimit){ 20, old.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_FATAL(!setrlimit(RLIMIT_FSIZE, &small));
	check_eq(audit_write(a, &act, &err), -ENOSPC);
	check(strstr(err.text, ": the medium is full") != NULL);
	check_eq(audit_write(a, &act, &err), -EFBIG);
	CU_ASSERT_FATAL(!setrlimit(RLIMIT_FSIZE, &old));
	signal(SIGXFSZ, SIG_DFL);
	check_eq(audit_write(a, &act, &err), 0);
	check_eq(audit_write(a, &act, &err), 0);
	audit_close(a);
	f = fopen(path, "r");
	CU_ASSERT_FATAL(f != NULL);
	while (fgets(line, sizeof line, f)) {
		json_t *o = json_loads(line, 0, NULL);

		good += !!o;
		json_decref(o);
	}
	fclose(f);
	check_eq(good, 2);
}

static const struct test tests[] = {
	{ "refuses other files", refuses_other_files },
	{ "appends lines", appends_lines },
	{ "keeps strangers few", keeps_strangers_few },
	{ "survives a full medium", survives_a_full_medium },
	{ NULL },
};
const struct suite suite_lma_audit = { tests };
