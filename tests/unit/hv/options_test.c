/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/options.h"
#include <errno.h>
#include <stdio.h>
#include "tests/unit/suite.h"

enum { WORDS = 40 };

static int parse(struct options *o, struct err *err, const char *const *words)
{
	char *argv[WORDS + 2] = { "hull-hv" };
	int n = 1;

	/* getopt moves the pointers, never the text. */
	for (; *words && n <= WORDS; words++)
		argv[n++] = (char *)*words;
	*err = (struct err){ 0 };
	return options_parse(o, n, argv, err);
}

#define PARSE(o, err, ...) parse(o, err, (const char *const[]){ __VA_ARGS__, NULL })

#define check_refused(text_, ...) \
	do { \
		struct options o_; \
		struct err err_; \
		check_eq(PARSE(&o_, &err_, __VA_ARGS__), -EINVAL); \
		check_str(err_.text, text_); \
		options_free(&o_); \
	} while (0)

static const char *placement(const char *text)
{
	const char *path = suite_tmp("placement");
	FILE *f = fopen(path, "w");

	check(f && fputs(text, f) >= 0 && !fclose(f));
	return path;
}

static void defaults(void)
{
	struct options o;
	struct err err;

	check_eq(PARSE(&o, &err, "--env", "a.dtb"), 0);
	check_str(o.env, "a.dtb");
	check_eq(o.power_timeout_s, 120);
	check_eq(o.log_level, LOG_INFO);
	check(!o.firmware && !o.kernel && !o.initrd && !o.append && !o.stats && !o.debug_log);
	check(!o.memory_lock && !o.no_reboot && !o.probe && !o.json && !o.help && !o.version);
	check(!config_key(o.placement, 0));
	options_free(&o);
	options_free(&o);
}

static void every_option(void)
{
	struct options o;
	struct err err;

	check_eq(PARSE(&o, &err, "--env", "a.dtb", "--disk", "sda=/dev/x=y", "--disk=sdb=b", "--nic", "net0=tap:t0", "--console",
		       "stdio", "--com2", "none", "--kernel", "k", "--initrd", "i", "--append", "c d", "--firmware", "f", "--memory-lock",
		       "--no-reboot", "--stats", "s", "--debug-log", "-", "--power-timeout", "0", "-v"), 0);
	check_str(config_get(o.placement, "disk.sda"), "/dev/x=y");
	check_str(config_get(o.placement, "disk.sdb"), "b");
	check_str(config_get(o.placement, "nic.net0"), "tap:t0");
	check_str(config_get(o.placement, "console.com1"), "stdio");
	check_str(config_get(o.placement, "console.com2"), "none");
	check_str(o.kernel, "k");
	check_str(o.initrd, "i");
	check_str(o.append, "c d");
	check_str(o.firmware, "f");
	check_str(o.stats, "s");
	check_str(o.debug_log, "-");
	check_eq(o.power_timeout_s, 0);
	check(o.memory_lock && o.no_reboot);
	check_eq(o.log_level, LOG_DEBUG);
	options_free(&o);
	check_eq(PARSE(&o, &err, "--quiet", "--env", "a", "--power-timeout", "86400"), 0);
	check_eq(o.log_level, LOG_ERROR);
	check_eq(o.power_timeout_s, 86400);
	options_free(&o);
}

static void questions_need_no_environment(void)
{
	struct options o;
	struct err err;

	check_eq(PARSE(&o, &err, "--probe", "--json"), 0);
	check(o.probe && o.json);
	options_free(&o);
	check_eq(PARSE(&o, &err, "-h"), 0);
	check(o.help);
	options_free(&o);
	check_eq(PARSE(&o, &err, "--version"), 0);
	check(o.version);
	options_free(&o);
}

static void options_override_the_placement(void)
{
	const char *path = placement("disk.sda = /from/file\ndisk.sdb = /from/file\n");
	struct options o;
	struct err err;

	check_eq(PARSE(&o, &err, "--disk", "sda=/before", "-v", "--placement", path, "--env", "a"), 0);
	check_str(config_get(o.placement, "disk.sda"), "/before");
	check_str(config_get(o.placement, "disk.sdb"), "/from/file");
	options_free(&o);
	check_eq(PARSE(&o, &err, "--placement", path, "--disk", "sda=/one", "--disk", "sda=/two", "--env", "a"), 0);
	check_str(config_get(o.placement, "disk.sda"), "/two");
	options_free(&o);
}

static void a_bad_placement_is_named(void)
{
	char expected[600];
	struct options o;
	struct err err;

	check_eq(PARSE(&o, &err, "--env", "a", "--placement", "/nowhere/p"), -ENOENT);
	check_str(err.text, "/nowhere/p: No such file or directory");
	options_free(&o);
	snprintf(expected, sizeof expected, "%s:1: ", placement("nonsense\n"));
	check_eq(PARSE(&o, &err, "--env", "a", "--placement", suite_tmp("placement")), -EINVAL);
	check(!strncmp(err.text, expected, strlen(expected)));
	options_free(&o);
	check_refused("--placement can be given once", "--env", "a", "--placement", "x", "--placement", "y");
}

static void wrong_words_are_named(void)
{
	check_refused("--frobnicate: unknown option; see hull-hv --help", "--env", "a", "--frobnicate");
	check_refused("-x: unknown option; see hull-hv --help", "--env", "a", "-vx");
	check_refused("-x: unknown option; see hull-hv --help", "--probe", "-xv");
	check_refused("--env wants a value; see hull-hv --help", "--env");
	check_refused("--disk wants a value; see hull-hv --help", "--env", "a", "--disk");
	check_refused("--no-reboot=now: this option takes no value; see hull-hv --help", "--env", "a", "--no-reboot=now");
	check_refused("--verbose=2: this option takes no value; see hull-hv --help", "--env", "a", "--verbose=2");
	check_refused("more: unexpected argument; see hull-hv --help", "--env", "a", "more");
}

static void wrong_values_are_named(void)
{
	check_refused("--disk wants NAME=VALUE, not \"sda\"", "--env", "a", "--disk", "sda");
	check_refused("--disk wants NAME=VALUE, not \"=x\"", "--env", "a", "--disk", "=x");
	check_refused("--nic wants NAME=VALUE, not \"net0=\"", "--env", "a", "--nic", "net0=");
	check_refused("--disk: names have 31 characters at most: \"a2345678901234567890123456789012=x\"", "--env", "a", "--disk",
		      "a2345678901234567890123456789012=x");
	check_refused("--power-timeout wants seconds from 0 to 86400, not \"86401\"", "--env", "a", "--power-timeout", "86401");
	check_refused("--power-timeout wants seconds from 0 to 86400, not \"-1\"", "--env", "a", "--power-timeout", "-1");
	check_refused("--power-timeout wants seconds from 0 to 86400, not \" 5\"", "--env", "a", "--power-timeout", " 5");
	check_refused("--power-timeout wants seconds from 0 to 86400, not \"5s\"", "--env", "a", "--power-timeout", "5s");
	check_refused("--power-timeout wants seconds from 0 to 86400, not \"\"", "--env", "a", "--power-timeout", "");
	check_refused("--power-timeout wants seconds from 0 to 86400, not \"99999999999999999999\"", "--env", "a",
		      "--power-timeout", "99999999999999999999");
}

static void what_does_not_go_together(void)
{
	check_refused("no environment: give --env FILE.dtb; see hull-hv --help", "-v");
	check_refused("--initrd and --append go with --kernel", "--env", "a", "--initrd", "x");
	check_refused("--initrd and --append go with --kernel", "--env", "a", "--append", "x");
	check_refused("--json goes with --probe", "--env", "a", "--json");
}

static const struct test tests[] = {
	{ "what stands unless said otherwise", defaults },
	{ "every option lands in its place", every_option },
	{ "questions need no environment", questions_need_no_environment },
	{ "options override the placement wherever they stand", options_override_the_placement },
	{ "a bad placement is named", a_bad_placement_is_named },
	{ "wrong words are named", wrong_words_are_named },
	{ "wrong values are named", wrong_values_are_named },
	{ "what does not go together is refused", what_does_not_go_together },
	{ NULL, NULL },
};
const struct suite suite_hv_options = { tests };
