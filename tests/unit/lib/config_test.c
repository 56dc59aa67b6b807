/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/config.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "lib/scope.h"
#include "tests/unit/suite.h"

static struct config *parse(const char *text)
{
	struct config *config;
	struct err err = { .text = "" };

	check_eq(config_parse("t", text, strlen(text), &config, &err), 0);
	check_str(err.text, "");
	return config;
}

static void check_bytes(const char *text, size_t len, int code, const char *message)
{
	struct config *config;
	struct err err = { .text = "" };

	check_eq(config_parse("t", text, len, &config, &err), code);
	check(!config);
	check_str(err.text, message);
	config_free(config);
}

static void check_refused(const char *text, const char *message)
{
	check_bytes(text, strlen(text), -EINVAL, message);
}

static const char *get(struct config *config, const char *key)
{
	return config_get(config, key) ?: "(none)";
}

static void reads_keys_and_values(void)
{
	struct config *c = parse("# first\n\nname=web\n  disk.sda-1_x =  /var/lib/a b.img \t\r\n\tlast = 7");

	check_str(get(c, "name"), "web");
	check_str(get(c, "disk.sda-1_x"), "/var/lib/a b.img");
	check_str(get(c, "last"), "7");
	check_str(get(c, "nam"), "(none)");
	check_str(config_key(c, 0), "name");
	check_str(config_key(c, 2), "last");
	check(!config_key(c, 3));
	config_free(c);
}

static void a_comment_starts_at_a_blank_and_not_inside_a_word(void)
{
	struct config *c = parse("a = one # two\nb = one#two\nc = x = y\n   # d = 1\n");

	check_str(get(c, "a"), "one");
	check_str(get(c, "b"), "one#two");
	check_str(get(c, "c"), "x = y");
	check_str(get(c, "d"), "(none)");
	config_free(c);
}

static void an_empty_file_is_an_empty_configuration(void)
{
	struct config *c = NULL;
	struct err err;

	check_eq(config_parse("t", NULL, 0, &c, &err), 0);
	check(!config_key(c, 0));
	check(!config_unknown(c, NULL));
	config_free(c);
	config_free(NULL);
}

static void faults_are_refused_with_file_and_line(void)
{
	check_refused("a = 1\nb\n", "t:2: has no '='; a line is: key = value");
	check_refused("\n\nA = 1\n", "t:3: the key must be 1 to 127 small letters, digits, '.', '_' and '-'");
	check_refused("= 1", "t:1: the key must be 1 to 127 small letters, digits, '.', '_' and '-'");
	check_refused("a b = 1", "t:1: the key must be 1 to 127 small letters, digits, '.', '_' and '-'");
	check_refused("a =  ", "t:1: a has no value");
	check_refused("a = # nothing", "t:1: a has no value");
	check_refused("a = 1\nb = 2\na = 3\n", "t:3: a stands in line 1 already");
	check_refused("a = x\033[2J\n", "t:1: the value of a holds control characters");
	check_bytes("a = 1\nb = \0\n", 12, -EINVAL, "t:2: holds a zero byte, this is no text");
}

static void a_key_that_is_too_long_is_refused(void)
{
	char text[140];
	struct config *c;

	memset(text, 'k', 128);
	strcpy(text + 128, " = 1");
	check_refused(text, "t:1: the key must be 1 to 127 small letters, digits, '.', '_' and '-'");
	c = parse(text + 1);
	check_eq(strlen(config_key(c, 0)), 127);
	config_free(c);
}

static void too_much_is_refused(void)
{
	size_t len = (1 << 20) + 1;
	auto_free char *text = malloc(len);
	size_t n = 0;

	memset(text, '#', len);
	check_bytes(text, len, -EFBIG, "t: has more than 1024 KiB");
	for (unsigned i = 0; i <= 4096; i++)
		n += (size_t)sprintf(text + n, "k%u = 1\n", i);
	check_bytes(text, n, -E2BIG, "t:4097: has more than 4096 keys");
}

static void the_command_line_goes_over_the_file(void)
{
	struct config *c = parse("a = 1\nb = 2\n");
	struct err err = { .text = "" };

	check_eq(config_set(c, "b", "3", &err), 0);
	check_eq(config_set(c, "c", "4", &err), 0);
	check_str(get(c, "a"), "1");
	check_str(get(c, "b"), "3");
	check_str(get(c, "c"), "4");
	check_str(config_key(c, 1), "b");
	check_eq(config_set(c, "D", "4", &err), -EINVAL);
	check_str(err.text, "the key must be 1 to 127 small letters, digits, '.', '_' and '-'");
	check_eq(config_set(c, "d", "4\n5", &err), -EINVAL);
	check_str(err.text, "the value of d holds control characters");
	config_free(c);
}

static void a_key_that_nobody_asked_for_is_found(void)
{
	struct config *c = parse("a = 1\n\nbb = 2\n");
	struct err err;
	unsigned line = 99;

	check_str(config_unknown(c, &line), "a");
	check_eq(line, 1);
	check_str(get(c, "a"), "1");
	check_str(config_unknown(c, &line), "bb");
	check_eq(line, 3);
	check_eq(config_set(c, "bb", "3", &err), 0);
	check_str(config_unknown(c, &line), "bb");
	check_eq(line, 0);
	check_str(get(c, "bb"), "3");
	check(!config_unknown(c, &line));
	config_free(c);
}

static void write_file(const char *path, const char *text)
{
	auto_fclose FILE *f = fopen(path, "we");

	check(f && fputs(text, f) >= 0);
}

static void reads_a_file(void)
{
	const char *path = suite_tmp("test.conf");
	struct config *c;
	struct err err = { .text = "" };

	write_file(path, "a = 1\nb\n");
	check_eq(config_read(path, &c, &err), -EINVAL);
	check(!c && strstr(err.text, "test.conf:2: has no '='"));
	write_file(path, "a = 1\n");
	err.text[0] = 0;
	check_eq(config_read(path, &c, &err), 0);
	check_str(err.text, "");
	check_str(c ? get(c, "a") : "", "1");
	config_free(c);
	check_eq(config_read("/nonexistent", &c, &err), -ENOENT);
	check_str(err.text, "/nonexistent: No such file or directory");
	check_eq(config_read("/dev/zero", &c, &err), -EINVAL);
	check_str(err.text, "/dev/zero: is not a regular file");
}

static const struct test tests[] = {
	{ "reads keys and values", reads_keys_and_values },
	{ "a comment starts at a blank and not inside a word", a_comment_starts_at_a_blank_and_not_inside_a_word },
	{ "an empty file is an empty configuration", an_empty_file_is_an_empty_configuration },
	{ "faults are refused with file and line", faults_are_refused_with_file_and_line },
	{ "a key that is too long is refused", a_key_that_is_too_long_is_refused },
	{ "too much is refused", too_much_is_refused },
	{ "the command line goes over the file", the_command_line_goes_over_the_file },
	{ "a key that nobody asked for is found", a_key_that_nobody_asked_for_is_found },
	{ "reads a file", reads_a_file },
	{ NULL, NULL },
};
const struct suite suite_lib_config = { tests };
