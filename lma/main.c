/* SPDX-License-Identifier: Apache-2.0 */
/* hull-lma: options → store → event loop and signals → service → run. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include "crypto/keystore.h"
#include "lib/ctl.h"
#include "lib/loop.h"
#include "lib/scope.h"
#include "lib/version.h"
#include "lma/options.h"

struct lma {
	struct lma_options options;
	struct keystore *ks;
	struct loop *loop;
	struct loop_watch *signals;
	struct service *service;
	int signal_fd;
};

static void on_signal(void *ctx, int fd, uint32_t events)
{
	struct lma *lma = ctx;
	struct signalfd_siginfo info;
	struct err err;

	if (read(fd, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo == SIGUSR1) {
		log_info("connections: %u", service_connections(lma->service));
		service_log_counters(lma->service);
	} else if (info.ssi_signo == SIGHUP) {
		if (service_reload(lma->service, &err))
			log_error("%s", err.text);
		else
			log_info("store and audit log opened again");
	} else {
		loop_stop(lma->loop);
	}
}

static int watch_signals(struct lma *lma, struct err *err)
{
	sigset_t set;
	int rc;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return err_set(err, -errno, "signals cannot be blocked: %s", strerror(errno));
	lma->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (lma->signal_fd < 0)
		return err_set(err, -errno, "signalfd: %s", strerror(errno));
	rc = loop_watch_add(lma->loop, lma->signal_fd, EPOLLIN, on_signal, lma, &lma->signals);
	return rc ? err_set(err, rc, "signals cannot be watched: %s", strerror(-rc)) : 0;
}

static int open_store(struct lma *lma, struct err *err)
{
	struct keystore_unlock unlock = { 0 };
	int rc = keystore_unlock_parse(lma->options.unlock, false, &unlock, err);

	if (!rc)
		rc = keystore_open(lma->options.service.store, &unlock, &lma->ks, err);
	secret_destroy(&unlock.secret);
	return rc;
}

/* A descriptor for each connection, and some for the rest. */
static void raise_descriptors(unsigned connections)
{
	struct rlimit limit;
	rlim_t want = connections + 64;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= want)
		return;
	limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
	if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < want)
		log_warn("only %llu descriptors are allowed: fewer connections than --connections", (unsigned long long)limit.rlim_cur);
}

static int start(struct lma *lma, struct err *err)
{
	int rc = open_store(lma, err);

	if (!rc)
		rc = loop_create(&lma->loop, err);
	if (!rc)
		rc = watch_signals(lma, err);
	if (!rc)
		rc = service_create(lma->loop, lma->ks, &lma->options.service, &lma->service, err);
	return rc;
}

static void stop(struct lma *lma)
{
	service_free(lma->service);
	if (lma->loop)
		loop_watch_remove(lma->signals);
	loop_free(lma->loop);
	if (lma->signal_fd >= 0)
		close(lma->signal_fd);
	keystore_close(lma->ks);
}

int main(int argc, char **argv)
{
	struct lma lma = { .signal_fd = -1 };
	struct err err = { .text = "" };
	int rc;

	log_init("hull-lma", LOG_INFO);
	secret_harden();
	ctl_harden();
	rc = lma_options_read(argc, argv, &lma.options, &err);
	if (rc) {
		fprintf(stderr, "hull-lma: %s; --help lists the options\n", err.text);
		return 2;
	}
	if (lma.options.help || lma.options.version) {
		if (lma.options.help)
			lma_options_usage();
		else
			printf("hull-lma %s\n", HULL_VERSION);
		return fflush(stdout) || ferror(stdout);
	}
	log_init("hull-lma", lma.options.level);
	raise_descriptors(lma.options.service.connections);
	rc = start(&lma, &err);
	if (!rc) {
		log_info("listening on %s", service_address(lma.service));
		rc = loop_run(lma.loop);
		if (rc)
			(void)err_set(&err, rc, "event loop: %s", strerror(-rc));
		service_log_counters(lma.service);
	}
	if (rc)
		log_error("%s", err.text);
	stop(&lma);
	return rc ? 1 : 0;
}
