/* SPDX-License-Identifier: Apache-2.0 */
#include "csc/options.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include "lib/duration.h"

enum { OPT_IDENTITY = 256, OPT_LISTEN, OPT_CONTROL, OPT_LMA, OPT_REFRESH, OPT_HANDSHAKE, OPT_WAIT, OPT_DEAD, OPT_CONNECTIONS,
	OPT_PARKED, OPT_PER_SERVER, OPT_RELAYED };

static const struct option table[] = {
	{ "identity", required_argument, NULL, OPT_IDENTITY },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "lma", required_argument, NULL, OPT_LMA },
	{ "refresh", required_argument, NULL, OPT_REFRESH },
	{ "handshake", required_argument, NULL, OPT_HANDSHAKE },
	{ "wait", required_argument, NULL, OPT_WAIT },
	{ "dead", required_argument, NULL, OPT_DEAD },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "parked", required_argument, NULL, OPT_PARKED },
	{ "per-server", required_argument, NULL, OPT_PER_SERVER },
	{ "relayed", required_argument, NULL, OPT_RELAYED },
	{ "verbose", no_argument, NULL, 'v' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

void csc_options_usage(void)
{
	fputs("usage: hull-csc --identity DIR --listen HOST:PORT [OPTION]...\n"
	      "\n"
	      "Relay connections between gateways and the servers in a cloud, which dial out and park here.\n"
	      "What is relayed is encrypted between the two ends.\n"
	      "\n"
	      "  --identity DIR        what `hull pki enrol` wrote, of role csc\n"
	      "  --listen HOST:PORT    where to listen; [HOST]:PORT for IPv6, port 0 for any\n"
	      "  --control SOCKET      where `hull relay status` asks\n"
	      "  --lma HOST:PORT       of hull-lma: fetch the revocation list and renew the certificate\n"
	      "  --refresh TIME        how often (default 5m)\n"
	      "  --handshake TIME      for a TLS handshake, and for each step after it (default 10s)\n"
	      "  --wait TIME           a call for a server that is not parked (default 5s)\n"
	      "  --dead TIME           a peer that acknowledges nothing (default 60s)\n"
	      "  --connections N       in TLS, at most (default 256)\n"
	      "  --parked N            sockets of servers, at most (default 16384)\n"
	      "  --per-server N        of them of one server, at most (default 64)\n"
	      "  --relayed N           pairs of connections, at most (default 4096)\n"
	      "  -v, --verbose         log more; -q, --quiet: only errors\n"
	      "  -h, --help            this text\n"
	      "  --version             print the version\n"
	      "\n"
	      "SIGHUP reads the identity again, SIGUSR1 logs counters, SIGTERM ends.\n"
	      "Exit status: 0 ended by a signal, 1 could not start or go on, 2 wrong usage.\n",
	      stdout);
}

static int set(struct csc_options *o, int c, const char *arg, struct err *err)
{
	struct csc_config *s = &o->csc;

	switch (c) {
	case OPT_IDENTITY: o->identity = arg; return 0;
	case OPT_LISTEN: s->listen = arg; return 0;
	case OPT_CONTROL: o->control = arg; return 0;
	case OPT_LMA: o->lma = arg; return 0;
	case OPT_REFRESH: return duration_parse("--refresh", arg, 1, 86400, &o->refresh_s, err);
	case OPT_HANDSHAKE: return duration_parse("--handshake", arg, 1, 300, &s->handshake_s, err);
	case OPT_WAIT: return duration_parse("--wait", arg, 1, 60, &s->wait_s, err);
	case OPT_DEAD: return duration_parse("--dead", arg, 4, 3600, &s->dead_s, err);
	case OPT_CONNECTIONS: return duration_parse("--connections", arg, 1, 65536, &s->connections, err);
	case OPT_PARKED: return duration_parse("--parked", arg, 1, 1 << 20, &s->parked, err);
	case OPT_PER_SERVER: return duration_parse("--per-server", arg, 1, 65536, &s->per_server, err);
	case OPT_RELAYED: return duration_parse("--relayed", arg, 1, 1 << 18, &s->relayed, err);
	case 'v': o->level = LOG_DEBUG; return 0;
	case 'q': o->level = LOG_ERROR; return 0;
	case 'h': o->help = true; return 0;
	case 'V': o->version = true; return 0;
	default: return err_set(err, -EINVAL, "unknown option");
	}
}

int csc_options_read(int argc, char **argv, struct csc_options *o, struct err *err)
{
	int c, rc = 0;

	*o = (struct csc_options){ .level = LOG_INFO, .refresh_s = 300,
		.csc = { .handshake_s = 10, .wait_s = 5, .dead_s = 60, .grace_ms = 1000, .connections = 256, .parked = 16384,
			.per_server = 64, .relayed = 4096, .tickets = 1 << 17 } };
	opterr = 0;
	optind = 0;	/* glibc: start afresh */
	while (!rc && (c = getopt_long(argc, argv, ":vqh", table, NULL)) != -1) {
		if (c == ':')
			return err_set(err, -EINVAL, "%s wants a value", argv[optind - 1]);
		if (c == '?')
			return err_set(err, -EINVAL, "unknown option %s", argv[optind - 1]);
		rc = set(o, c, optarg, err);
	}
	if (rc || o->help || o->version)
		return rc;
	if (optind < argc)
		return err_set(err, -EINVAL, "takes options only, not \"%s\"", argv[optind]);
	if (!o->identity || !o->csc.listen)
		return err_set(err, -EINVAL, "needs --identity and --listen");
	return 0;
}
