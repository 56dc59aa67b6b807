/* SPDX-License-Identifier: Apache-2.0 */
/* hull-fingerprint: every fact the operating system sees of its machine, and the difference between two such lists. */
#include "lib/version.h"
#include "tools/fingerprint/source.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAME = 0, DIFFERENT = 1, TROUBLE = 2 };

static const char usage[] =
	"usage: hull-fingerprint [--json]        print the facts of this machine, one \"key = value\" a line\n"
	"       hull-fingerprint diff HOME CLOUD  compare two such lists: 0 same, 1 different, 2 trouble\n"
	"       hull-fingerprint cpuid            print every CPUID leaf of the first processor\n"
	"\n"
	"  -j, --json       print one JSON object instead of lines\n"
	"  -r, --root=DIR   read below DIR instead of / (a copy of /sys, /proc, /run, /dev, /etc); leaves out what only\n"
	"                   the live machine can say: CPUID words, IP and permanent MAC addresses\n"
	"  -h, --help       print this text\n"
	"      --version    print the version\n";

static int finish(int status)
{
	if (fflush(stdout) || ferror(stdout)) {
		fputs("hull-fingerprint: cannot write the output\n", stderr);
		return TROUBLE;
	}
	return status;
}

static int print(const char *root, bool json)
{
	static void (*const collectors[])(const struct source *) = {
		collect_dmi,	collect_acpi,	 collect_pci,	collect_net,   collect_block,  collect_cpu,
		collect_memory, collect_console, collect_clock, collect_buses, collect_system,
	};
	struct facts facts = {0};
	struct source source = {.root = root, .facts = &facts};

	for (size_t i = 0; i < sizeof(collectors) / sizeof(*collectors); i++)
		collectors[i](&source);
	facts_sort(&facts);
	if (json)
		facts_print_json(&facts, stdout);
	else
		facts_print(&facts, stdout);
	if (source_live(&source) && geteuid())
		fputs("hull-fingerprint: run by another user than root: serial numbers, firmware tables and more are missing\n",
		      stderr);
	if (facts.dropped)
		fprintf(stderr, "hull-fingerprint: %zu facts over the limit of %d were dropped\n", facts.dropped, FACTS_MAX);
	if (facts.dropped)
		return finish(TROUBLE);
	facts_free(&facts);
	return finish(SAME);
}

static int diff(const char *home, const char *cloud)
{
	struct facts a = {0}, b = {0};
	char why[512];
	int status = TROUBLE;

	if (facts_load(&a, home, why, sizeof(why)) || facts_load(&b, cloud, why, sizeof(why)))
		fprintf(stderr, "hull-fingerprint: %s\n", why);
	else
		status = finish(facts_diff(&a, &b, stdout) ? DIFFERENT : SAME);
	facts_free(&a);
	facts_free(&b);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'}, {"root", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'}, {0}};
	const char *root = "";
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "jr:h", options, NULL)) != -1) {
		switch (c) {
		case 'j':
			json = true;
			break;
		case 'r':
			root = strcmp(optarg, "/") ? optarg : "";
			break;
		case 'h':
			fputs(usage, stdout);
			return finish(SAME);
		case 'V':
			puts("hull-fingerprint " HULL_VERSION);
			return finish(SAME);
		default:
			fputs(usage, stderr);
			return TROUBLE;
		}
	}
	if (optind == argc)
		return print(root, json);
	if (!strcmp(argv[optind], "diff") && argc - optind == 3)
		return diff(argv[optind + 1], argv[optind + 2]);
	if (!strcmp(argv[optind], "cpuid") && argc - optind == 1) {
		cpu_print_leaves(stdout);
		return finish(SAME);
	}
	fputs(usage, stderr);
	return TROUBLE;
}
