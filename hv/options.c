/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/options.h"
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/scope.h"

enum { OPT_ENV = 256, OPT_PLACEMENT, OPT_DISK, OPT_NIC, OPT_CONSOLE, OPT_COM2, OPT_KERNEL, OPT_INITRD, OPT_APPEND, OPT_FIRMWARE,
	OPT_MEMORY_LOCK, OPT_NO_REBOOT, OPT_STATS, OPT_CONTROL, OPT_DEBUG_LOG, OPT_TIMEOUT, OPT_PROBE, OPT_JSON,
	OPT_VERBOSE, OPT_QUIET, OPT_HELP, OPT_VERSION, OPT_END };

enum { NAME_MAX_LEN = 31 };	/* env_pci.name, env_disk.name */
#define SHORT ":vqh"	/* ':' first: a missing value is told from an unknown option */

static const struct option table[] = {
	{ "env", required_argument, NULL, OPT_ENV },
	{ "placement", required_argument, NULL, OPT_PLACEMENT },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "nic", required_argument, NULL, OPT_NIC },
	{ "console", required_argument, NULL, OPT_CONSOLE },
	{ "com2", required_argument, NULL, OPT_COM2 },
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "firmware", required_argument, NULL, OPT_FIRMWARE },
	{ "memory-lock", no_argument, NULL, OPT_MEMORY_LOCK },
	{ "no-reboot", no_argument, NULL, OPT_NO_REBOOT },
	{ "stats", required_argument, NULL, OPT_STATS },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "debug-log", required_argument, NULL, OPT_DEBUG_LOG },
	{ "power-timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "probe", no_argument, NULL, OPT_PROBE },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

/* What an option does: its value, or that it is there, goes into the member at `at` or the placement's `key`. */
enum kind { TEXT, FLAG, LEVEL, SECONDS, NAMED, KEY, READ_BEFORE };

static const struct field {
	enum kind kind;
	size_t at;
	const char *key;
	enum log_level level;
} fields[OPT_END - OPT_ENV] = {
#define AT(member) .at = offsetof(struct options, member)
	[OPT_ENV - OPT_ENV] = { TEXT, AT(env) },
	[OPT_PLACEMENT - OPT_ENV] = { READ_BEFORE },
	[OPT_DISK - OPT_ENV] = { NAMED, .key = "disk" },
	[OPT_NIC - OPT_ENV] = { NAMED, .key = "nic" },
	[OPT_CONSOLE - OPT_ENV] = { KEY, .key = "console.com1" },
	[OPT_COM2 - OPT_ENV] = { KEY, .key = "console.com2" },
	[OPT_KERNEL - OPT_ENV] = { TEXT, AT(kernel) },
	[OPT_INITRD - OPT_ENV] = { TEXT, AT(initrd) },
	[OPT_APPEND - OPT_ENV] = { TEXT, AT(append) },
	[OPT_FIRMWARE - OPT_ENV] = { TEXT, AT(firmware) },
	[OPT_MEMORY_LOCK - OPT_ENV] = { FLAG, AT(memory_lock) },
	[OPT_NO_REBOOT - OPT_ENV] = { FLAG, AT(no_reboot) },
	[OPT_STATS - OPT_ENV] = { TEXT, AT(stats) },
	[OPT_CONTROL - OPT_ENV] = { KEY, .key = "control" },
	[OPT_DEBUG_LOG - OPT_ENV] = { TEXT, AT(debug_log) },
	[OPT_TIMEOUT - OPT_ENV] = { SECONDS },
	[OPT_PROBE - OPT_ENV] = { FLAG, AT(probe) },
	[OPT_JSON - OPT_ENV] = { FLAG, AT(json) },
	[OPT_VERBOSE - OPT_ENV] = { LEVEL, .level = LOG_DEBUG },
	[OPT_QUIET - OPT_ENV] = { LEVEL, .level = LOG_ERROR },
	[OPT_HELP - OPT_ENV] = { FLAG, AT(help) },
	[OPT_VERSION - OPT_ENV] = { FLAG, AT(version) },
#undef AT
};
_Static_assert(array_len(table) == array_len(fields) + 1, "each option has its field");

void options_usage(void)
{
	fputs("usage: hull-hv --env FILE.dtb [--placement FILE] [OPTION]...\n"
	      "       hull-hv --probe [--json]\n"
	      "\n"
	      "Run a server on /dev/kvm exactly as its environment describes it.\n"
	      "\n"
	      "  --env FILE            the server environment (hull env compile makes it)\n"
	      "  --placement FILE      which volumes, networks and consoles it gets here\n"
	      "  --disk NAME=PATH      a disk's volume: file or block device\n"
	      "  --nic NAME=WIRE       tap:DEVICE, socket:ADDRESS, listen:ADDRESS, up or down\n"
	      "  --console END[,END]   COM1's ends: stdio, socket:PATH, log:PATH, none\n"
	      "  --com2 END[,END]      COM2's ends\n"
	      "  --firmware FILE       firmware image instead of the installed one\n"
	      "  --kernel FILE         boot this Linux kernel instead of the firmware\n"
	      "  --initrd FILE         its initial ram disk\n"
	      "  --append TEXT         its command line\n"
	      "  --no-reboot           end with status 5 when the guest asks for a reset\n"
	      "  --power-timeout SEC   from SIGTERM's power button to power off (default 120)\n"
	      "  --memory-lock         keep all guest memory resident\n"
	      "  --stats FILE          write counters as JSON at the end\n"
	      "  --control PATH        Unix socket for `hull server`: status, rotation, snapshots\n"
	      "  --debug-log FILE      firmware's debug output (\"-\": standard error)\n"
	      "  --probe               say what this machine can and cannot do\n"
	      "  --json                the probe's report as JSON\n"
	      "  -v, --verbose         log more; -q, --quiet: only errors\n"
	      "  -h, --help            this text\n"
	      "  --version             print the version\n"
	      "\n"
	      "Exit status: 0 guest powered off, 1 could not start, 2 wrong usage, 3 KVM or firmware\n"
	      "failed, 4 powered off by force, 5 reset asked for under --no-reboot.\n",
	      stdout);
}

/* NAME=VALUE → prefix.NAME = VALUE */
static int set_named(struct options *o, const char *prefix, const char *arg, struct err *err)
{
	const char *eq = strchr(arg, '=');
	char key[80];

	if (!eq || eq == arg || !eq[1])
		return err_set(err, -EINVAL, "--%s wants NAME=VALUE, not \"%s\"", prefix, arg);
	if (eq - arg > NAME_MAX_LEN)
		return err_set(err, -EINVAL, "--%s: names have %d characters at most: \"%s\"", prefix, NAME_MAX_LEN, arg);
	snprintf(key, sizeof key, "%s.%.*s", prefix, (int)(eq - arg), arg);
	return config_set(o->placement, key, eq + 1, err);
}

static int set_timeout(struct options *o, const char *arg, struct err *err)
{
	char *end;
	unsigned long v = strtoul(arg, &end, 10);

	if (arg[0] < '0' || arg[0] > '9' || *end || v > 86400)
		return err_set(err, -EINVAL, "--power-timeout wants seconds from 0 to 86400, not \"%s\"", arg);
	o->power_timeout_s = (unsigned)v;
	return 0;
}

/* The placement file comes first, so that options override it wherever they stand. */
static int read_placement(struct options *o, int argc, char **argv, struct err *err)
{
	const char *path = NULL;
	int c;

	opterr = 0;
	optind = 0;	/* glibc: start afresh */
	while ((c = getopt_long(argc, argv, SHORT, table, NULL)) != -1) {
		if (c != OPT_PLACEMENT)
			continue;
		if (path)
			return err_set(err, -EINVAL, "--placement can be given once");
		path = optarg;
	}
	if (!path)
		return 0;
	config_free(o->placement);
	o->placement = NULL;
	return config_read(path, &o->placement, err);
}

static int refuse(int c, char **argv, struct err *err)
{
	const char *word = argv[optind - 1];
	char letter[3] = { '-', (char)optopt, 0 };

	if (c == ':')
		return err_set(err, -EINVAL, "%s wants a value; see hull-hv --help", word);
	if (optopt >= OPT_ENV)
		return err_set(err, -EINVAL, "%s: this option takes no value; see hull-hv --help", word);
	return err_set(err, -EINVAL, "%s: unknown option; see hull-hv --help", optopt ? letter : word);
}

static int long_form(int c)
{
	return c == 'v' ? OPT_VERBOSE : c == 'q' ? OPT_QUIET : c == 'h' ? OPT_HELP : c;
}

static int apply(struct options *o, int c, struct err *err)
{
	const struct field *f = &fields[long_form(c) - OPT_ENV];
	void *member = (char *)o + f->at;

	switch (f->kind) {
	case TEXT:
		*(const char **)member = optarg;
		return 0;
	case FLAG:
		*(bool *)member = true;
		return 0;
	case LEVEL:
		o->log_level = f->level;
		return 0;
	case SECONDS:
		return set_timeout(o, optarg, err);
	case NAMED:
		return set_named(o, f->key, optarg, err);
	case KEY:
		return config_set(o->placement, f->key, optarg, err);
	case READ_BEFORE:
		break;
	}
	return 0;
}

int options_parse(struct options *o, int argc, char **argv, struct err *err)
{
	int c, r;

	*o = (struct options){ .log_level = LOG_INFO, .power_timeout_s = 120 };
	r = config_create(&o->placement);
	if (r)
		return err_set(err, r, "no memory");
	r = read_placement(o, argc, argv, err);
	optind = 0;
	while (!r && (c = getopt_long(argc, argv, SHORT, table, NULL)) != -1)
		r = c == '?' || c == ':' ? refuse(c, argv, err) : apply(o, c, err);
	if (r)
		return r;
	if (optind < argc)
		return err_set(err, -EINVAL, "%s: unexpected argument; see hull-hv --help", argv[optind]);
	if (o->help || o->version || o->probe)
		return 0;
	if (o->json)
		return err_set(err, -EINVAL, "--json goes with --probe");
	if (!o->env)
		return err_set(err, -EINVAL, "no environment: give --env FILE.dtb; see hull-hv --help");
	if (!o->kernel && (o->initrd || o->append))
		return err_set(err, -EINVAL, "--initrd and --append go with --kernel");
	return 0;
}

void options_free(struct options *o)
{
	config_free(o->placement);
	o->placement = NULL;
}
