/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include "crypto/keysource_priv.h"
#include "lib/scope.h"

/* Not SIGTTOU and SIGTTIN: in the background they stop us as they should, before echo is off. */
static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

static volatile sig_atomic_t caught[array_len(signals)];

static void on_signal(int number)
{
	for (size_t i = 0; i < array_len(signals); i++)
		if (signals[i] == number)
			caught[i] = 1;
}

static void say(int tty, const char *text)
{
	while (*text) {
		ssize_t n = write(tty, text, strlen(text));

		if (n <= 0 && errno != EINTR)
			return;
		text += n > 0 ? n : 0;
	}
}

/*
 * One line into key, without its newline. Signals come only while it waits, so that none is seen too early to end the wait.
 * -EINTR: one came; -EMSGSIZE; -ENODATA: the terminal is gone.
 */
static int read_line(int tty, const sigset_t *mask, struct secret *key)
{
	struct pollfd wait = { .fd = tty, .events = POLLIN };
	size_t len = 0;
	uint8_t *last = key->data + key->len - 1;	/* one byte at a time: what follows the line stays in the terminal */

	for (;;) {
		ssize_t n;

		if (ppoll(&wait, 1, NULL, mask) < 0)
			return -errno;
		n = read(tty, last, 1);
		if (n < 0)
			return -errno;
		if (!n)
			return -ENODATA;
		if (*last == '\n' || *last == '\r')
			break;
		if (len < key->len - 1)
			key->data[len] = *last;
		len++;
	}
	*last = 0;
	if (len > key->len - 1)
		return -EMSGSIZE;
	key->len = len;
	return 0;
}

/* Prompt and read, echo off meanwhile. */
static int prompt_once(int tty, const char *prompt, const sigset_t *mask, struct secret *key)
{
	struct termios kept, quiet;
	int rc;

	if (tcgetattr(tty, &kept))
		return -errno;
	quiet = kept;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	quiet.c_lflag |= ICANON | ISIG;
	if (tcsetattr(tty, TCSAFLUSH, &quiet))
		return -errno;
	say(tty, prompt);
	say(tty, ": ");
	rc = read_line(tty, mask, key);
	say(tty, "\n");
	while (tcsetattr(tty, TCSAFLUSH, &kept) && errno == EINTR)
		;
	return rc;
}

static void take_signals(struct sigaction kept[array_len(signals)], sigset_t *mask)
{
	struct sigaction ours = { .sa_handler = on_signal };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < array_len(signals); i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_BLOCK, &set, mask);
	for (size_t i = 0; i < array_len(signals); i++) {
		caught[i] = 0;
		sigaction(signals[i], NULL, &kept[i]);
		if (kept[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &ours, NULL);
	}
}

/* What came is sent again, to the handlers that were there. True when all it did was to stop us for a while. */
static bool give_signals_back(const struct sigaction kept[array_len(signals)], const sigset_t *mask)
{
	bool stopped = false;

	for (size_t i = 0; i < array_len(signals); i++)
		sigaction(signals[i], &kept[i], NULL);
	for (size_t i = 0; i < array_len(signals); i++) {
		if (!caught[i])
			continue;
		kill(getpid(), signals[i]);
		stopped |= signals[i] == SIGTSTP;
	}
	pthread_sigmask(SIG_SETMASK, mask, NULL);
	return stopped;
}

/* Our handlers stand for as long as echo is off. After a stop it asks again. */
static int ask_line(int tty, const char *prompt, struct secret *key)
{
	struct sigaction kept[array_len(signals)];
	sigset_t mask;
	bool stopped;
	int rc;

	do {
		take_signals(kept, &mask);
		rc = prompt_once(tty, prompt, &mask, key);
		stopped = give_signals_back(kept, &mask);
	} while (rc == -EINTR && stopped);
	return rc;
}

static int ask_secret(int tty, const char *prompt, struct secret *key, struct err *err)
{
	int rc = secret_create(key, ASK_MAX + 1);

	if (rc)
		return secret_refused(err, rc);
	rc = ask_line(tty, prompt, key);
	if (!rc && !key->len)
		rc = -ENODATA;
	if (!rc)
		return 0;
	secret_destroy(key);
	if (rc == -EMSGSIZE)
		return err_set(err, -EINVAL, "the passphrase has more than %d bytes", ASK_MAX);
	if (rc == -ENODATA)
		return err_set(err, -EINVAL, "the passphrase is empty");
	return err_set(err, rc, "terminal: %s", strerror(-rc));
}

int keysource_ask(const char *prompt, bool confirm, struct secret *key, struct err *err)
{
	cleanup(secret_destroy) struct secret again = { 0 };
	auto_close int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	int rc;

	if (tty < 0)
		return err_set(err, -ENOTTY, "there is no terminal to ask for the passphrase on; give it as file:PATH or fd:N");
	rc = ask_secret(tty, prompt, key, err);
	if (rc || !confirm)
		return rc;
	rc = ask_secret(tty, "The same again", &again, err);
	if (!rc && (again.len != key->len || !secret_equal(again.data, key->data, key->len)))
		rc = err_set(err, -EINVAL, "the two passphrases are not the same");
	if (rc)
		secret_destroy(key);
	return rc;
}
