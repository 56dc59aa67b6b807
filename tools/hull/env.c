/* SPDX-License-Identifier: Apache-2.0 */
/* hull env …: check, show, compare and compile server environments. */
#include <stdio.h>
#include <string.h>
#include "lib/scope.h"
#include "tools/hull/hull.h"

static int run_check(const struct command *self, int argc, char **argv)
{
	int n = command_arguments(self, argc, argv, NULL), status = HULL_OK;

	if (n < 1)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	for (int i = 1; i <= n; i++) {
		struct env *env;
		struct err err;

		if (file_load(argv[i], &env, &err)) {
			status = command_fail("%s", err.text);
			continue;
		}
		printf("%s: fine\n", argv[i]);
		env_free(env);
	}
	return status;
}

static int print_json(json_t *json)
{
	int rc = json ? json_dumpf(json, stdout, JSON_INDENT(2)) : -1;

	json_decref(json);
	if (rc)
		return command_fail("out of memory");
	putchar('\n');
	return HULL_OK;
}

static int run_show(const struct command *self, int argc, char **argv)
{
	bool json = false;
	int n = command_arguments(self, argc, argv, &json), status = HULL_OK;
	struct env *env;
	struct err err;

	if (n != 1)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	if (file_load(argv[1], &env, &err))
		return command_fail("%s", err.text);
	if (json)
		status = print_json(env_to_json(env));
	else
		env_print(env);
	env_free(env);
	return status;
}

/* One difference: JSON objects with path, and the value on each side where it has one. */
static int add_difference(json_t *out, const char *path, json_t *a, json_t *b)
{
	json_t *d = json_object();

	if (!d || json_object_set_new(d, "path", json_string(path)) || (a && json_object_set(d, "a", a)) ||
	    (b && json_object_set(d, "b", b))) {
		json_decref(d);
		return -1;
	}
	return json_array_append_new(out, d);
}

static int compare(json_t *out, const char *path, json_t *a, json_t *b);

static int compare_member(json_t *out, const char *path, const char *key, json_t *a, json_t *b)
{
	auto_free char *sub = NULL;

	if (asprintf(&sub, "%s/%s", path, key) < 0) {
		sub = NULL;
		return -1;
	}
	return compare(out, sub, a, b);
}

/* Depth is that of our own JSON: the levels of the PCI tree and four more. */
static int compare(json_t *out, const char *path, json_t *a, json_t *b)
{
	const char *key;
	json_t *v;

	if (!json_is_object(a) || !json_is_object(b))
		return json_equal(a, b) ? 0 : add_difference(out, path, a, b);
	json_object_foreach(a, key, v)
		if (compare_member(out, path, key, v, json_object_get(b, key)))
			return -1;
	json_object_foreach(b, key, v)
		if (!json_object_get(a, key) && compare_member(out, path, key, NULL, v))
			return -1;
	return 0;
}

static int print_value(char sign, const char *path, json_t *v)
{
	auto_free char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

	if (v && !text)
		return -1;
	if (v)
		printf("%c %s = %s\n", sign, path, text);
	return 0;
}

static int print_differences(json_t *out)
{
	size_t i;
	json_t *d;

	json_array_foreach(out, i, d) {
		const char *path = json_string_value(json_object_get(d, "path"));

		if (print_value('-', path, json_object_get(d, "a")) || print_value('+', path, json_object_get(d, "b")))
			return command_fail("out of memory");
	}
	return HULL_OK;
}

static int run_diff(const struct command *self, int argc, char **argv)
{
	bool json = false;
	int n = command_arguments(self, argc, argv, &json), status = HULL_TROUBLE;
	json_t *a = NULL, *b = NULL, *out = json_array();
	struct env *env[2] = { NULL, NULL };
	struct err err;

	if (n != 2) {
		status = n < 0 ? HULL_TROUBLE : command_usage(self);
		goto done;
	}
	for (int i = 0; i < 2; i++)
		if (file_load(argv[i + 1], &env[i], &err)) {
			status = command_fail("%s", err.text);
			goto done;
		}
	a = env_to_json(env[0]);
	b = env_to_json(env[1]);
	if (!a || !b || !out || compare(out, "", a, b)) {
		status = command_fail("out of memory");
		goto done;
	}
	status = json ? print_json(json_incref(out)) : print_differences(out);
	if (!status && json_array_size(out))
		status = HULL_DIFFERENT;
done:
	json_decref(a);
	json_decref(b);
	json_decref(out);
	env_free(env[0]);
	env_free(env[1]);
	return status;
}

static int run_compile(const struct command *self, int argc, char **argv)
{
	int n = command_arguments(self, argc, argv, NULL);
	auto_free void *blob = NULL;
	struct env *env = NULL;
	struct err err;
	size_t len = 0;

	if (n != 2)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	if (env_compile(argv[1], &blob, &len, &err) || env_parse(argv[1], blob, len, &env, &err))
		return command_fail("%s", err.text);
	env_free(env);
	if (file_replace(argv[2], blob, len, &err))
		return command_fail("%s", err.text);
	return HULL_OK;
}

static int run_features(const struct command *self, int argc, char **argv)
{
	static const char *const words[ENV_CPUID_WORDS] = {
		[ENV_CPUID_1_EDX] = "leaf 1 EDX", [ENV_CPUID_1_ECX] = "leaf 1 ECX", [ENV_CPUID_6_EAX] = "leaf 6 EAX",
		[ENV_CPUID_7_0_EBX] = "leaf 7 EBX", [ENV_CPUID_7_0_ECX] = "leaf 7 ECX", [ENV_CPUID_7_0_EDX] = "leaf 7 EDX",
		[ENV_CPUID_D_1_EAX] = "leaf 0xd index 1 EAX", [ENV_CPUID_80000001_EDX] = "leaf 0x80000001 EDX",
		[ENV_CPUID_80000001_ECX] = "leaf 0x80000001 ECX", [ENV_CPUID_80000007_EDX] = "leaf 0x80000007 EDX",
		[ENV_CPUID_80000008_EBX] = "leaf 0x80000008 EBX",
	};
	int n = command_arguments(self, argc, argv, NULL);

	if (n)
		return n < 0 ? HULL_TROUBLE : command_usage(self);
	for (unsigned w = 0; w < ENV_CPUID_WORDS; w++) {
		printf("%s:", words[w]);
		for (unsigned b = 0; b < 32; b++)
			if (env_cpuid_name(w, b))
				printf(" %s", env_cpuid_name(w, b));
		putchar('\n');
	}
	return HULL_OK;
}

const struct command env_commands[] = {
	{ "env check", "FILE…", "check server environments (.dts or .dtb)",
		"Prints \"FILE: fine\", or the first error with its node and property. Exit status: 0 all fine, 2 trouble.",
		run_check },
	{ "env show", "FILE [--json]", "print the machine that an environment describes",
		"With --json every property stands there, defaults included; PCI functions are keyed by \"device,function\".",
		run_show },
	{ "env diff", "A B [--json]", "compare two environments, property by property",
		"Defaults are filled in first, order and node names do not count. Exit status: 0 equal, 1 different, 2 trouble.",
		run_diff },
	{ "env compile", "IN.dts OUT.dtb", "compile and check a source; OUT.dtb is replaced as a whole or not at all",
		"Runs dtc(1). Exit status: 0 fine, 2 trouble; OUT.dtb is untouched then.", run_compile },
	{ "env features", "", "list the names of CPU features, by CPUID leaf", NULL, run_features },
	{ NULL },
};
