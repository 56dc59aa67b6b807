/* SPDX-License-Identifier: Apache-2.0 */
/* hull: finds the command that the first words name and runs it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "lib/scope.h"
#include "lib/version.h"
#include "tools/hull/hull.h"

static int run_fingerprint(const struct command *self, int argc, char **argv);
static int run_help(const struct command *self, int argc, char **argv);

static const struct command top_commands[] = {
	{ "fingerprint", "[ARGUMENT…]", "print what this system sees of its machine (runs hull-fingerprint)", NULL,
		run_fingerprint },
	{ "help", "[COMMAND]", "say how a command is used", NULL, run_help },
	{ NULL },
};

static const struct command *const tables[] = { env_commands, volume_commands, keys_commands, pki_commands, server_commands,
	gateway_commands, join_commands, relay_commands, top_commands };

/* Walk all commands in the order of the help text; NULL past the end. */
static const struct command *command_at(size_t i)
{
	for (size_t t = 0; t < array_len(tables); t++)
		for (const struct command *c = tables[t]; c->words; c++)
			if (!i--)
				return c;
	return NULL;
}

/* How many of argv's words are the command's, 0 when it is another one. */
static int match(const struct command *c, int argc, char **argv)
{
	const char *words = c->words;
	int n = 0;

	while (n < argc) {
		size_t len = strcspn(words, " ");

		if (strlen(argv[n]) != len || strncmp(argv[n], words, len))
			return 0;
		n++;
		if (!words[len])
			return n;
		words += len + 1;
	}
	return 0;
}

int command_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("hull: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return HULL_TROUBLE;
}

int command_usage(const struct command *c)
{
	fprintf(stderr, "usage: hull %s%s%s\n", c->words, *c->arguments ? " " : "", c->arguments);
	return HULL_TROUBLE;
}

int command_arguments(const struct command *c, int argc, char **argv, bool *json)
{
	bool options = true;
	int kept = 0;

	for (int i = 1; i < argc; i++) {
		if (options && !strcmp(argv[i], "--")) {
			options = false;
		} else if (options && json && !strcmp(argv[i], "--json")) {
			*json = true;
		} else if (options && argv[i][0] == '-' && argv[i][1]) {
			command_fail("%s: unknown option %s", c->words, argv[i]);
			command_usage(c);
			return -1;
		} else {
			argv[++kept] = argv[i];
		}
	}
	return kept;
}

static void print_help(void)
{
	printf("Hull keeps a server the same server while it moves.\n\nusage: hull COMMAND [ARGUMENT…]\n\n");
	for (size_t i = 0; command_at(i); i++)
		if (command_at(i)->summary)
			printf("  %-24s %s\n", command_at(i)->words, command_at(i)->summary);
	printf("\n  -h, --help       this text; after a command: how it is used\n"
	       "  --version        print the version\n"
	       "\n`hull help COMMAND` says more. Manual pages: hull(1), hull-env(1), hull-volume(1), hull-keys(1), hull-pki(1),\n"
	       "hull-server(1), hull-gateway(1), hull-relay(1), hull-join(1), hull-fingerprint(1); of other programs hull-hv(1),\n"
	       "hull-lma(1), hull-lcg(1), hull-csc(1).\n");
}

static void print_command(const struct command *c)
{
	printf("usage: hull %s%s%s\n\n%s\n", c->words, *c->arguments ? " " : "", c->arguments, c->summary);
	if (c->help)
		printf("\n%s\n", c->help);
}

/* "env" of "env check": the first word of several commands. */
static bool in_group(const struct command *c, const char *word)
{
	size_t len = strlen(word);

	return !strncmp(c->words, word, len) && c->words[len] == ' ';
}

static int run_help(const struct command *self, int argc, char **argv)
{
	bool found = false;

	if (argc == 1) {
		print_help();
		return HULL_OK;
	}
	for (size_t i = 0; command_at(i); i++) {
		const struct command *c = command_at(i);

		if (!c->summary || (!(argc == 2 && in_group(c, argv[1])) && match(c, argc - 1, argv + 1) != argc - 1))
			continue;
		if (found)
			putchar('\n');
		print_command(c);
		found = true;
	}
	if (!found)
		return command_fail("help: no command \"%s\"; `hull help` lists all", argv[1]);
	return HULL_OK;
}

/* The program that stands beside this one, in a build tree and where both are installed. */
static int run_fingerprint(const struct command *self, int argc, char **argv)
{
	static const char name[] = "hull-fingerprint";
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof name);
	char *slash;

	if (n < 0)
		return command_fail("cannot find this program's folder: %m");
	path[n] = 0;
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, name);
	argv[0] = path;
	execv(path, argv);
	return command_fail("%s: %m", path);
}

/* Output that could not be written is no success. */
static int finish(int status)
{
	if (fflush(stdout) || ferror(stdout))
		return command_fail("standard output: %m");
	return status;
}

static int fail_unknown(int argc, char **argv)
{
	bool group = false;

	for (size_t i = 0; command_at(i); i++)
		group |= in_group(command_at(i), argv[1]);
	if (!group)
		return command_fail("no command \"%s\"; `hull help` lists all", argv[1]);
	if (argc > 2)
		command_fail("no command \"%s %s\"", argv[1], argv[2]);
	else
		command_fail("%s: needs one more word", argv[1]);
	for (size_t i = 0; command_at(i); i++)
		if (command_at(i)->summary && in_group(command_at(i), argv[1]))
			command_usage(command_at(i));
	return HULL_TROUBLE;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_help();
		return HULL_TROUBLE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		print_help();
		return finish(HULL_OK);
	}
	if (!strcmp(argv[1], "--version")) {
		printf("hull %s\n", HULL_VERSION);
		return finish(HULL_OK);
	}
	for (size_t i = 0; command_at(i); i++) {
		const struct command *c = command_at(i);
		int words = match(c, argc - 1, argv + 1);

		if (!words)
			continue;
		for (int a = words + 1; a < argc && strcmp(argv[a], "--") && c->run != run_fingerprint; a++)
			if (!strcmp(argv[a], "--help")) {
				print_command(c);
				return finish(HULL_OK);
			}
		return finish(c->run(c, argc - words, argv + words));
	}
	return fail_unknown(argc, argv);
}
