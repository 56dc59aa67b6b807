/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include "crypto/keysource_priv.h"
#include "lib/scope.h"

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU };

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

/* One line into key, without its newline. -EINTR: a signal came; -EMSGSIZE; -ENODATA: the terminal is gone. */
static int read_line(int tty, struct secret *key)
{
	size_t len = 0;
	uint8_t *last = key->data + key->len - 1;	/* one byte at a time: what follows the line stays in the terminal */

	for (;;) {
		ssize_t n = read(tty, last, 1);

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
static int prompt_once(int tty, const char *prompt, struct secret *key)
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
	rc = read_line(tty, key);
	say(tty, "\n");
	while (tcsetattr(tty, TCSAFLUSH, &kept) && errno == EINTR)
		;
	return rc;
}

/* With our handlers for as long as echo is off; then what came is sent again to the handlers that were there. */
static int ask_line(int tty, const char *prompt, struct secret *key)
{
	struct sigaction kept[array_len(signals)], ours = { .sa_handler = on_signal };
	bool again;
	int rc;

	do {
		again = false;
		for (size_t i = 0; i < array_len(signals); i++) {
			caught[i] = 0;
			sigaction(signals[i], &ours, &kept[i]);
			if (kept[i].sa_handler == SIG_IGN)
				sigaction(signals[i], &kept[i], NULL);
		}
		rc = prompt_once(tty, prompt, key);
		for (size_t i = 0; i < array_len(signals); i++)
			sigaction(signals[i], &kept[i], NULL);
		for (size_t i = 0; i < array_len(signals); i++) {
			if (!caught[i])
				continue;
			kill(getpid(), signals[i]);
			/* Stopped and continued: ask again. Any other signal whose handler came back: give up. */
			again |= signals[i] == SIGTSTP || signals[i] == SIGTTIN || signals[i] == SIGTTOU;
		}
	} while (rc == -EINTR && again);
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
