/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/drops.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/log.h"
#include "tests/unit/suite.h"

#define S 1000000000ull

static struct drops of(uint64_t storm, uint64_t full, uint64_t said)
{
	struct drops d = { 0 };

	drops_add(&d, "storm", storm, false);
	drops_add(&d, "full", full, false);
	drops_add(&d, "firewall", said, true);
	return d;
}

static void has_names(void)
{
	struct drops d = of(3, 0, 4);
	json_t *o = drops_json(&d), *flat = json_object();

	check_eq(drops_sum(&d), 7);
	check_eq(json_object_size(o), 3);
	check_eq(json_integer_value(json_object_get(o, "storm")), 3);
	check(json_is_integer(json_object_get(o, "full")));
	drops_put(&d, flat);
	check_eq(json_integer_value(json_object_get(flat, "drop_firewall")), 4);
	json_decref(o);
	json_decref(flat);
}

/* What the log got meanwhile. */
static const char *said(char *text, size_t size, struct drops_told *told, struct drops d, uint64_t now)
{
	char path[] = "/dev/shm/hull-drops-XXXXXX";
	int file = mkstemp(path), old = dup(STDERR_FILENO);
	ssize_t n;

	CU_ASSERT_FATAL(file >= 0 && old >= 0);
	unlink(path);
	dup2(file, STDERR_FILENO);
	drops_tell(told, &d, "NIC x", now);
	dup2(old, STDERR_FILENO);
	n = pread(file, text, size - 1, 0);
	text[n > 0 ? n : 0] = 0;
	close(file);
	close(old);
	return text;
}

static void tells_each_cause(void)
{
	struct drops_told told = { 0 };
	char t[512];

	check(!*said(t, sizeof t, &told, of(0, 0, 0), S));
	check(strstr(said(t, sizeof t, &told, of(3, 0, 9), S), "NIC x: 3 frames were dropped: storm\n") && !strstr(t, "firewall"));
	/* another cause at once, the same one a minute later, with what was held back */
	check(strstr(said(t, sizeof t, &told, of(5, 2, 9), 2 * S), "2 frames were dropped: full\n") && !strstr(t, "storm"));
	check(!*said(t, sizeof t, &told, of(6, 2, 9), 60 * S));
	check(strstr(said(t, sizeof t, &told, of(7, 2, 9), 61 * S), "4 frames were dropped: storm\n") != NULL);
	check(!*said(t, sizeof t, &told, of(7, 2, 9), 200 * S));
	/* counted anew */
	check(strstr(said(t, sizeof t, &told, of(1, 2, 9), 201 * S), "1 frames were dropped: storm\n") != NULL);
}

static const struct test tests[] = {
	{ "has names", has_names },
	{ "tells each cause", tells_each_cause },
	{ NULL },
};
const struct suite suite_lcg_drops = { tests };
