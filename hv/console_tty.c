/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include "hv/console_priv.h"
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

int tty_set_raw(int fd, struct err *err)
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
