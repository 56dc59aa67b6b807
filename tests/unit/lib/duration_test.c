/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/duration.h"
#include <errno.h>
#include "tests/unit/suite.h"

static void reads(void)
{
	static const struct { const char *text; uint32_t s; } all[] = {
		{ "1", 1 }, { "90s", 90 }, { "15m", 900 }, { "24h", 86400 }, { "7d", 604800 },
	};
	uint32_t s;

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		check_eq(duration_parse("x", all[i].text, 1, 604800, &s, NULL), 0);
		check_eq(s, all[i].s);
	}
}

static void refuses(void)
{
	static const char *const bad[] = { "", "s", "-1", "+1", " 1", "1x", "1ms", "1.5h", "99999999999999999999" };
	struct err err;
	uint32_t s;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		check_eq(duration_parse("life", bad[i], 1, 100, &s, &err), -EINVAL);
	check_eq(duration_parse("life", "1x", 1, 100, &s, &err), -EINVAL);
	check_str(err.text, "life \"1x\": is not a number and s, m, h or d");
	check_eq(duration_parse("life", "2m", 1, 100, &s, &err), -EINVAL);
	check_str(err.text, "life \"2m\": is not 1 to 100 seconds");
	check_eq(duration_parse("life", "9999999999999999999d", 1, 100, &s, &err), -EINVAL);
}

static const struct test tests[] = {
	{ "reads", reads },
	{ "refuses", refuses },
	{ NULL },
};
const struct suite suite_lib_duration = { tests };
