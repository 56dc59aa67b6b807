/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include "hv/console_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

/* Process state, as the terminal's mode is: exit and signal handlers have nothing else to find it by. */
static struct termios cooked, raw;
static volatile sig_atomic_t held_fd = -1;

static const int fatal[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS };

/* Async-signal-safe: tcsetattr is one ioctl. */
static void put_back(void)
{
	int fd = held_fd;

	if (fd >= 0)
		tcsetattr(fd, TCSANOW, &cooked);
}

static void die(int sig)
{
	put_back();
	raise(sig);	/* the handler was reset on entry: this one is the default action */
}

static void resume(int sig)
{
	int saved = errno, fd = held_fd;

	if (fd >= 0)
		tcsetattr(fd, TCSANOW, &raw);
	errno = saved;
}

static void register_exit(void)
{
	atexit(put_back);
}

/* Only where nobody else decides: a program that handles SIGTERM itself also calls console_free. */
static void catch_default(int sig, void (*handler)(int), int flags)
{
	struct sigaction old, new = { .sa_handler = handler, .sa_flags = flags };

	if (sigaction(sig, NULL, &old) || old.sa_handler != SIG_DFL)
		return;
	sigemptyset(&new.sa_mask);
	sigaction(sig, &new, NULL);
}

/* -EBUSY when another terminal is held; -errno of tcsetattr. */
static int set_raw(int fd, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (held_fd >= 0)
		return err_set(err, -EBUSY, "the terminal already belongs to another console: give only one of them stdio");
	if (tcgetattr(fd, &cooked))
		return err_set(err, -errno, "cannot read the terminal's mode: %s", strerror(errno));
	raw = cooked;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST | (cooked.c_oflag & ONLCR);	/* for our own log lines beside the guest's output */
	held_fd = fd;
	pthread_once(&once, register_exit);
	for (size_t i = 0; i < array_len(fatal); i++)
		catch_default(fatal[i], die, SA_RESETHAND | SA_NODEFER);
	catch_default(SIGCONT, resume, SA_RESTART);
	if (tcsetattr(fd, TCSANOW, &raw)) {
		held_fd = -1;
		return err_set(err, -errno, "cannot set the terminal to raw mode: %s", strerror(errno));
	}
	return 0;
}

void tty_restore(void)
{
	put_back();
	held_fd = -1;
}

/* ---- descriptors */

/* Terminals and pipes are opened anew where that is allowed: the flag belongs to the open file, which the shell shares. */
int tty_own(struct descriptor *d, int fd, int mode)
{
	char path[64];
	struct stat st;

	*d = (struct descriptor){ .fd = -1, .original = -1 };
	if (fstat(fd, &st))
		return -errno;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))
		d->fd = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (d->fd >= 0)
		return 0;
	d->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	d->flags = fcntl(fd, F_GETFL);
	if (d->fd < 0 || d->flags < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !(d->flags & O_NONBLOCK)) {
		if (fcntl(d->fd, F_SETFL, d->flags | O_NONBLOCK))
			return -errno;
		d->original = fd;
	}
	return 0;
}

void tty_disown(struct descriptor *d)
{
	if (d->original >= 0)
		fcntl(d->original, F_SETFL, d->flags);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = d->original = -1;
}

/* ---- standard input and output */

/* Reading, or setting its mode, would stop the process. */
static bool in_background(int fd)
{
	pid_t group = isatty(fd) ? tcgetpgrp(fd) : -1;

	return group >= 0 && group != getpgrp();	/* -1: not our controlling terminal */
}

int console_add_fds(struct console *c, int in, int out, void (*leave)(void *ctx), void *ctx, struct err *err)
{
	struct reader *r = console_reader_create(c);
	int rc;

	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	r->leave = leave;
	r->ctx = ctx;
	signal(SIGPIPE, SIG_IGN);	/* a reader that leaves is an error of write, not our end */
	rc = tty_own(&r->in, in, O_RDONLY);
	if (!rc)
		rc = tty_own(&r->out, out, O_WRONLY);
	if (rc) {
		console_reader_free(r);
		return err_set(err, rc, "console %s: cannot use standard input and output: %s", c->name, strerror(-rc));
	}
	if (in_background(r->in.fd)) {
		log_info("console %s: in the background, so the terminal's input is left alone", c->name);
		r->input_open = false;
	} else if (isatty(r->in.fd)) {
		rc = set_raw(r->in.fd, err);
		r->tty = !rc;
	}
	if (rc) {
		console_reader_free(r);
		err_prefix(err, "console %s", c->name);
		return rc;
	}
	console_feed(c);
	return 0;
}

int console_add_stdio(struct console *c, void (*leave)(void *ctx), void *ctx, struct err *err)
{
	return console_add_fds(c, STDIN_FILENO, STDOUT_FILENO, leave, ctx, err);
}
