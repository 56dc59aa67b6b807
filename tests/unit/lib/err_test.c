/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that peers had a hand in stay one line of UTF-8: they go to the log, and into JSON. */
#include "lib/err.h"
#include <errno.h>
#include <jansson.h>
#include "tests/unit/suite.h"

static void test_lines(void)
{
	struct err err;

	check_eq(err_set(&err, -EPERM, "refused: %s", "you\nhull-hv: error: forged\x1b[2J\x7f"), -EPERM);
	check_str(err.text, "refused: you?hull-hv: error: forged?[2J?");
	check_eq(err_prefix(&err, "lane\t%d", 1), -EPERM);
	check_str(err.text, "lane?1: refused: you?hull-hv: error: forged?[2J?");
}

static void test_utf8(void)
{
	struct err err;
	char text[600];
	json_t *json;

	for (unsigned at = 0; at < 8; at++) {
		unsigned n = at;

		memset(text, 'a', sizeof text);
		for (; n + 4 < sizeof text; n += 4)
			memcpy(text + n, "\xf0\x9f\x90\xa2", 4);
		text[n] = 0;
		(void)err_set(&err, -EPERM, "%s", text);	/* cut in the middle of a character, most times */
		json = json_string(err.text);
		check(json != NULL);
		json_decref(json);
	}
	(void)err_set(&err, -EPERM, "\xc3\xa4 \xff \xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82");
	check_str(err.text, "\xc3\xa4 ? ?? ??? ???? ??");
}

static const struct test tests[] = { { "one line", test_lines }, { "UTF-8", test_utf8 }, { NULL } };
const struct suite suite_lib_err = { tests };
