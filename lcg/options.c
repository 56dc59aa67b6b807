/* SPDX-License-Identifier: Apache-2.0 */
#include "lcg/options.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

enum { OPT_CHECK = 256 };

static const struct option table[] = {
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "verbose", no_argument, NULL, 'v' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

void lcg_options_usage(void)
{
	fputs("usage: hull-lcg [OPTION]... CONFIG\n"
	      "\n"
	      "Keep servers that have moved to a cloud on the LAN that they come from: frames between the LAN\n"
	      "and the servers' network cards, over encrypted links.\n"
	      "\n"
	      "  --check          read CONFIG and all files that it names, say what is wrong, and end\n"
	      "  -v, --verbose    log more; -q, --quiet: only errors\n"
	      "  -h, --help       this text\n"
	      "  --version        print the version\n"
	      "\n"
	      "SIGHUP reads CONFIG again, SIGTERM ends. `hull gateway` asks a running gateway.\n"
	      "Exit status: 0 ended by a signal or checked, 1 could not start or go on, 2 wrong usage.\n",
	      stdout);
}

int lcg_options_read(int argc, char **argv, struct lcg_options *o, struct err *err)
{
	int c;

	*o = (struct lcg_options){ .level = LOG_INFO };
	opterr = 0;
	optind = 0;	/* glibc: start afresh */
	while ((c = getopt_long(argc, argv, ":vqh", table, NULL)) != -1) {
		switch (c) {
		case OPT_CHECK: o->check = true; break;
		case 'v': o->level = LOG_DEBUG; break;
		case 'q': o->level = LOG_ERROR; break;
		case 'h': o->help = true; break;
		case 'V': o->version = true; break;
		default: return err_set(err, -EINVAL, "unknown option %s", argv[optind - 1]);
		}
	}
	if (o->help || o->version)
		return 0;
	if (optind + 1 != argc)
		return err_set(err, -EINVAL, "takes one configuration file");
	o->config = argv[optind];
	return 0;
}
