/* SPDX-License-Identifier: Apache-2.0 */
#include "lma/options.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include "crypto/pki/ca.h"
#include "lib/duration.h"

enum { OPT_STORE = 256, OPT_UNLOCK, OPT_LISTEN, OPT_NAME, OPT_AUDIT, OPT_LIFE, OPT_IDLE, OPT_HANDSHAKE, OPT_CONNECTIONS };

static const struct option table[] = {
	{ "store", required_argument, NULL, OPT_STORE },
	{ "unlock", required_argument, NULL, OPT_UNLOCK },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "audit", required_argument, NULL, OPT_AUDIT },
	{ "cert-life", required_argument, NULL, OPT_LIFE },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "handshake", required_argument, NULL, OPT_HANDSHAKE },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "verbose", no_argument, NULL, 'v' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

void lma_options_usage(void)
{
	fputs("usage: hull-lma --store FILE --listen HOST:PORT [OPTION]...\n"
	      "\n"
	      "Enrol Hull's programs, renew their certificates, and give servers' volume keys to their\n"
	      "hypervisors.\n"
	      "\n"
	      "  --store FILE          the key store, with an authority (hull pki init makes it)\n"
	      "  --unlock WAY          ask (default), file:PATH, fd:N, keyfile:PATH or tpm\n"
	      "  --listen HOST:PORT    where to listen; [HOST]:PORT for IPv6, port 0 for any\n"
	      "  --name NAME           in our certificate (default lma)\n"
	      "  --audit FILE          log of privileged acts (default: the store's name and .audit)\n"
	      "  --cert-life TIME      of the certificates that we issue (default 24h)\n"
	      "  --handshake TIME      for a TLS handshake (default 10s)\n"
	      "  --idle TIME           after which a silent connection is ended (default 60s)\n"
	      "  --connections N       at most (default 1024)\n"
	      "  -v, --verbose         log more; -q, --quiet: only errors\n"
	      "  -h, --help            this text\n"
	      "  --version             print the version\n"
	      "\n"
	      "SIGHUP reads the store and opens the log again, SIGUSR1 logs counters, SIGTERM ends.\n"
	      "Exit status: 0 ended by a signal, 1 could not start or go on, 2 wrong usage.\n",
	      stdout);
}

static int set(struct lma_options *o, int c, const char *arg, struct err *err)
{
	struct service_config *s = &o->service;

	switch (c) {
	case OPT_STORE: s->store = arg; return 0;
	case OPT_UNLOCK: o->unlock = arg; return 0;
	case OPT_LISTEN: s->listen = arg; return 0;
	case OPT_NAME: s->name = arg; return 0;
	case OPT_AUDIT: s->audit = arg; return 0;
	case OPT_LIFE: return duration_parse("--cert-life", arg, CA_LIFE_MIN_S, CA_LIFE_MAX_S, &s->cert_life_s, err);
	case OPT_IDLE: return duration_parse("--idle", arg, 1, 86400, &s->idle_s, err);
	case OPT_HANDSHAKE: return duration_parse("--handshake", arg, 1, 300, &s->handshake_s, err);
	case OPT_CONNECTIONS: return duration_parse("--connections", arg, 1, 65536, &s->connections, err);
	case 'v': o->level = LOG_DEBUG; return 0;
	case 'q': o->level = LOG_ERROR; return 0;
	case 'h': o->help = true; return 0;
	case 'V': o->version = true; return 0;
	default: return err_set(err, -EINVAL, "unknown option");
	}
}

int lma_options_read(int argc, char **argv, struct lma_options *o, struct err *err)
{
	int c, rc = 0;

	*o = (struct lma_options){ .unlock = "ask", .level = LOG_INFO,
		.service = { .name = "lma", .cert_life_s = CA_LIFE_S, .handshake_s = 10, .idle_s = 60, .refuse_ms = 1000, .connections = 1024 } };
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
	if (!o->service.store || !o->service.listen)
		return err_set(err, -EINVAL, "needs --store and --listen");
	if (!o->service.audit) {
		if (snprintf(o->audit, sizeof o->audit, "%s.audit", o->service.store) >= (int)sizeof o->audit)
			return err_set(err, -EINVAL, "--store: its name is too long");
		o->service.audit = o->audit;
	}
	return 0;
}
