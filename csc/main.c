/* SPDX-License-Identifier: Apache-2.0 */
/* hull-csc: options → identity → event loop and signals → relay → control socket → refresh → run. */
#include <errno.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include "crypto/identity_folder.h"
#include "crypto/secret.h"
#include "csc/options.h"
#include "csc/refresh.h"
#include "csc/verbs.h"
#include "lib/ctl.h"
#include "lib/scope.h"
#include "lib/version.h"

struct program {
	struct csc_options options;
	struct identity id;
	struct loop *loop;
	struct loop_watch *signals;
	struct csc *csc;
	struct control *control;
	struct refresh *refresh;
	int signal_fd;
};

/* What cannot be read leaves what was there. */
static int reload(struct program *p, struct err *err)
{
	int rc = identity_load(p->options.identity, &p->id, err);

	return rc ? rc : csc_set_identity(p->csc, &p->id, err);
}

static void on_refresh(void *ctx, const struct err *why)
{
	struct program *p = ctx;
	struct err err = *why;

	if (!why->code)
		(void)reload(p, &err);
	if (err.code)
		log_limited(LOG_WARN, "identity: cannot be refreshed: %s", err.text);
}

static void on_signal(void *ctx, int fd, uint32_t events)
{
	struct program *p = ctx;
	struct signalfd_siginfo info;
	struct err err = { .code = 0 };

	if (read(fd, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo == SIGUSR1) {
		csc_log_counters(p->csc);
	} else if (info.ssi_signo == SIGHUP) {
		if (reload(p, &err))
			log_error("%s", err.text);
		else
			log_info("identity read again");
	} else {
		loop_stop(p->loop);
	}
}

static int watch_signals(struct program *p, struct err *err)
{
	sigset_t set;
	int rc;

	signal(SIGPIPE, SIG_IGN);	/* splice(2) into a socket has no MSG_NOSIGNAL */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return err_set(err, -errno, "signals cannot be blocked: %s", strerror(errno));
	p->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (p->signal_fd < 0)
		return err_set(err, -errno, "signalfd: %s", strerror(errno));
	rc = loop_watch_add(p->loop, p->signal_fd, EPOLLIN, on_signal, p, &p->signals);
	return rc ? err_set(err, rc, "signals cannot be watched: %s", strerror(-rc)) : 0;
}

/* A pair has two sockets, and pipes for both ways while bytes are in them. */
static void raise_descriptors(const struct csc_config *c)
{
	rlim_t want = (rlim_t)c->connections + c->parked + 6 * (rlim_t)c->relayed + 128;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= want)
		return;
	limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < want)
		log_warn("only %llu descriptors are allowed, %llu are wanted for the limits of --parked and --relayed",
			(unsigned long long)limit.rlim_cur, (unsigned long long)want);
}

static int start(struct program *p, struct err *err)
{
	const struct csc_options *o = &p->options;
	int rc = identity_load(o->identity, &p->id, err);

	if (!rc)
		rc = loop_create(&p->loop, err);
	if (!rc)
		rc = watch_signals(p, err);
	if (!rc)
		rc = csc_create(p->loop, &o->csc, &p->id, &p->csc, err);
	if (!rc && o->control)
		rc = control_create(p->loop, o->control, csc_verbs, p->csc, &p->control, err);
	if (!rc && o->lma)
		rc = refresh_create(p->loop, o->identity, o->lma, o->refresh_s, on_refresh, p, &p->refresh, err);
	if (!rc && !p->id.crl && !o->lma)
		log_warn("no revocation list: certificates are good until they expire; --lma fetches one");
	return rc;
}

static void stop(struct program *p)
{
	refresh_free(p->refresh);
	control_free(p->control);
	csc_free(p->csc);
	if (p->loop)
		loop_watch_remove(p->signals);
	loop_free(p->loop);
	scope_close(&p->signal_fd);
	identity_drop(&p->id);
}

int main(int argc, char **argv)
{
	struct program p = { .signal_fd = -1 };
	struct err err = { .text = "" };
	int rc;

	log_init("hull-csc", LOG_INFO);
	secret_harden();
	ctl_harden();
	/* a round of refresh may still be at work when we end */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
	rc = csc_options_read(argc, argv, &p.options, &err);
	if (rc) {
		fprintf(stderr, "hull-csc: %s; --help lists the options\n", err.text);
		return 2;
	}
	if (p.options.help || p.options.version) {
		if (p.options.help)
			csc_options_usage();
		else
			printf("hull-csc %s\n", HULL_VERSION);
		return fflush(stdout) || ferror(stdout);
	}
	log_init("hull-csc", p.options.level);
	raise_descriptors(&p.options.csc);
	rc = start(&p, &err);
	if (!rc) {
		log_info("listening on %s", csc_address(p.csc));
		rc = loop_run(p.loop);
		if (rc)
			(void)err_set(&err, rc, "event loop: %s", strerror(-rc));
		csc_log_counters(p.csc);
	}
	if (rc)
		log_error("%s", err.text);
	stop(&p);
	return rc ? 1 : 0;
}
