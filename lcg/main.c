/* SPDX-License-Identifier: Apache-2.0 */
/* hull-lcg: options → event loop and signals → gateway → run. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "crypto/secret.h"
#include "lcg/config.h"
#include "lcg/gateway.h"
#include "lcg/options.h"
#include "lib/version.h"

struct lcg {
	struct lcg_options options;
	struct loop *loop;
	struct loop_watch *signals;
	struct gateway *gateway;
	int signal_fd;
};

static void on_signal(void *ctx, int fd, uint32_t events)
{
	struct lcg *lcg = ctx;
	struct signalfd_siginfo info;
	struct err err;

	if (read(fd, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo != SIGHUP) {
		loop_stop(lcg->loop);
		return;
	}
	if (gateway_reload(lcg->gateway, &err))
		log_error("the new configuration is not taken, the old one stays: %s", err.text);
	else
		log_info("configuration read again");
}

static int watch_signals(struct lcg *lcg, struct err *err)
{
	sigset_t set;
	int rc;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return err_set(err, -errno, "signals cannot be blocked: %s", strerror(errno));
	signal(SIGPIPE, SIG_IGN);
	lcg->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (lcg->signal_fd < 0)
		return err_set(err, -errno, "signalfd: %s", strerror(errno));
	rc = loop_watch_add(lcg->loop, lcg->signal_fd, EPOLLIN, on_signal, lcg, &lcg->signals);
	return rc ? err_set(err, rc, "signals cannot be watched: %s", strerror(-rc)) : 0;
}

static int run(struct lcg *lcg, struct err *err)
{
	int rc = loop_create(&lcg->loop, err);

	if (!rc)
		rc = watch_signals(lcg, err);
	if (!rc)
		rc = gateway_create(lcg->loop, lcg->options.config, &lcg->gateway, err);
	if (rc)
		return rc;
	log_info("ready");
	rc = loop_run(lcg->loop);
	return rc ? err_set(err, rc, "event loop: %s", strerror(-rc)) : 0;
}

static bool stop(struct lcg *lcg)
{
	bool over = gateway_free(lcg->gateway);

	if (lcg->loop)
		loop_watch_remove(lcg->signals);
	loop_free(lcg->loop);
	if (lcg->signal_fd >= 0)
		close(lcg->signal_fd);
	return over;
}

static int check(const char *path)
{
	struct lcg_config *config;
	struct err err;

	if (lcg_config_read(path, &config, &err)) {
		log_error("%s", err.text);
		return 1;
	}
	printf("%s: %u LANs, %u segments, %u NICs\n", path, config->lans, config->segments, config->nics);
	lcg_config_free(config);
	return fflush(stdout) || ferror(stdout);
}

int main(int argc, char **argv)
{
	struct lcg lcg = { .signal_fd = -1 };
	struct err err = { .text = "" };
	int rc;

	log_init("hull-lcg", LOG_INFO);
	secret_harden();
	if (lcg_options_read(argc, argv, &lcg.options, &err)) {
		fprintf(stderr, "hull-lcg: %s; --help lists the options\n", err.text);
		return 2;
	}
	if (lcg.options.help || lcg.options.version) {
		if (lcg.options.help)
			lcg_options_usage();
		else
			printf("hull-lcg %s\n", HULL_VERSION);
		return fflush(stdout) || ferror(stdout);
	}
	log_init("hull-lcg", lcg.options.level);
	if (lcg.options.check)
		return check(lcg.options.config);
	rc = run(&lcg, &err);
	if (rc)
		log_error("%s", err.text);
	/* A thread that waits for a far machine must not be in the middle of OpenSSL while that is taken down. */
	if (!stop(&lcg))
		_exit(rc ? 1 : 0);
	return rc ? 1 : 0;
}
