/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/keysource.h"
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "crypto/keystore.h"
#include "lib/scope.h"
#include "tests/unit/suite.h"

static struct err err;

static void put_file(const char *path, const void *data, size_t len)
{
	auto_fclose FILE *f = fopen(path, "we");

	check(f && fwrite(data, 1, len, f) == len);
}

static int read_source(const char *source, struct secret *key)
{
	err.text[0] = 0;
	return keysource_read(&(struct keysource){ .source = source, .server = "s", .name = "v" }, key, &err);
}

static void reads_files_and_descriptors(void)
{
	const char *path = suite_tmp("source");
	cleanup(secret_destroy) struct secret key = { 0 };
	char source[600];
	int fds[2];

	put_file(path, "a\0b\n", 4);
	snprintf(source, sizeof source, "file:%s", path);
	check_eq(read_source(source, &key), 0);
	check(key.len == 4 && !memcmp(key.data, "a\0b\n", 4));
	secret_destroy(&key);
	check(!pipe(fds) && write(fds[1], "secret", 6) == 6 && !close(fds[1]));
	snprintf(source, sizeof source, "fd:%d", fds[0]);
	check_eq(keysource_passphrase(source, "p", true, &key, &err), 0);
	check(key.len == 6 && !memcmp(key.data, "secret", 6));
	close(fds[0]);
}

static void what_is_no_source_is_refused(void)
{
	const char *path = suite_tmp("source-empty");
	struct secret key;
	char source[600];

	check_eq(read_source("hunter2 is my passphrase", &key), -EINVAL);
	check_str(err.text, "\"hunter…\" is no key source: file:PATH, fd:N, ask, store:PATH or lma");
	check_eq(keysource_passphrase("store:x", "p", false, &key, &err), -EINVAL);
	check_str(err.text, "\"store:…\" gives no passphrase: file:PATH, fd:N or ask");
	check_eq(keysource_passphrase("lma", "p", false, &key, &err), -EINVAL);
	for (const char *const *s = (const char *const[]){ "fd:", "fd:-1", "fd:1x", "fd:99999999999999999999", NULL }; *s; s++)
		check_eq(read_source(*s, &key), -EINVAL);
	check_eq(read_source("fd:1048575", &key), -EBADF);
	check_eq(read_source("file:/nonexistent", &key), -ENOENT);
	put_file(path, "", 0);
	snprintf(source, sizeof source, "file:%s", path);
	check_eq(read_source(source, &key), -EINVAL);
	check(strstr(err.text, "source-empty: is empty") != NULL);
	check_eq(read_source("file:/dev/zero", &key), -EFBIG);
	check(!key.data);
}

static bool make_store(const char *path, const char *key)
{
	struct keystore_unlock u;
	struct keystore *ks = NULL;
	int rc = keystore_unlock_parse(key, false, &u, &err);

	u.cost = (struct keystore_cost){ .memory_kib = 64, .iterations = 1, .lanes = 1 };
	if (!rc)
		rc = keystore_create(path, &u, &ks, &err);
	secret_destroy(&u.secret);
	if (rc)
		return false;
	rc = keystore_begin(ks, &err) || keystore_server_add(ks, "s", &err) || keystore_volume_add(ks, "s", "v", &err) ||
		keystore_commit(ks, &err);
	keystore_close(ks);
	return !rc;
}

static void reads_a_key_store(void)
{
	const char *store = suite_tmp("source-store"), *pass = suite_tmp("source-pass");
	cleanup(secret_destroy) struct secret key = { 0 };
	char unlock[600], source[600], expected[700];
	struct keysource from = { .source = source, .server = "s", .name = "v", .unlock = unlock };

	put_file(pass, "open sesame", 11);
	snprintf(unlock, sizeof unlock, "file:%s", pass);
	snprintf(source, sizeof source, "store:%s", store);
	check_or_return(make_store(store, unlock));
	check_eq(keysource_read(&from, &key, &err), 0);
	check_eq(key.len, 32);
	secret_destroy(&key);
	from.name = "w";
	check_eq(keysource_read(&from, &key, &err), -ENOENT);
	from.name = NULL;
	check_eq(keysource_read(&from, &key, &err), -EINVAL);
	snprintf(expected, sizeof expected, "%s: a key store needs the names of server and volume", source);
	check_str(err.text, expected);
	put_file(pass, "open", 4);
	from.name = "v";
	check_eq(keysource_read(&from, &key, &err), -EPERM);
	check(!key.data);
}

/* ---- on a terminal of our own: the child's exit status says what came of it */

static int ask_child(bool confirm)
{
	struct secret key = { 0 };
	bool right;
	int rc;

	/* Whoever started the tests may have them ignored, as shells do for background jobs. */
	for (const int *s = (const int[]){ SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, 0 }; *s; s++)
		signal(*s, SIG_DFL);
	rc = keysource_passphrase("ask", "Secret", confirm, &key, &err);
	right = !rc && key.len == 6 && !memcmp(key.data, "secret", 6);

	secret_destroy(&key);
	return right ? 42 : -rc;
}

/* Read what the terminal shows until `text` is there; false when it ends before. */
static bool await(int tty, const char *text, char *shown, size_t room)
{
	size_t n = strlen(shown);

	while (!strstr(shown, text)) {
		ssize_t got = n + 1 < room ? read(tty, shown + n, room - n - 1) : 0;

		if (got <= 0)
			return false;
		n += (size_t)got;
		shown[n] = 0;
	}
	return true;
}

static pid_t start_ask(bool confirm, int *tty, char *shown, size_t room)
{
	pid_t pid = forkpty(tty, NULL, NULL, NULL);

	shown[0] = 0;
	if (!pid)
		_exit(ask_child(confirm));
	check(pid > 0 && await(*tty, "Secret: ", shown, room));
	return pid;
}

static void check_answer(bool confirm, const char *first, const char *second, int status)
{
	auto_close int tty = -1;
	char shown[4096];
	pid_t pid = start_ask(confirm, &tty, shown, sizeof shown);
	int got;

	check(write(tty, first, strlen(first)) == (ssize_t)strlen(first));
	if (second) {
		check(await(tty, "The same again: ", shown, sizeof shown));
		check(write(tty, second, strlen(second)) == (ssize_t)strlen(second));
	}
	while (await(tty, "never shown", shown, sizeof shown))
		;
	check(!strstr(shown, "secret"));
	check(waitpid(pid, &got, 0) == pid && WIFEXITED(got));
	check_eq(WEXITSTATUS(got), status);
}

static void asks_without_showing(void)
{
	char big[1100];

	memset(big, 'x', sizeof big);
	strcpy(big + 1025, "\n");
	check_answer(false, "secret\n", NULL, 42);
	check_answer(true, "secret\n", "secret\n", 42);
	check_answer(true, "secret\n", "secreT\n", EINVAL);
	check_answer(true, "secret\n", "secrets\n", EINVAL);
	check_answer(false, "\n", NULL, EINVAL);
	check_answer(false, "\004", NULL, EINVAL);
	check_answer(false, big, NULL, EINVAL);
	check_answer(false, big + 1, NULL, 0);	/* the longest one */
}

static void a_signal_restores_the_terminal(void)
{
	for (const int *s = (const int[]){ SIGINT, SIGTERM, SIGHUP, SIGQUIT, 0 }; *s; s++) {
		auto_close int tty = -1;
		char shown[4096];
		pid_t pid = start_ask(false, &tty, shown, sizeof shown);
		struct termios t;
		int status;

		check(!tcgetattr(tty, &t) && !(t.c_lflag & ECHO));
		kill(pid, *s);
		check(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
		check_eq(WTERMSIG(status), *s);
		check(!tcgetattr(tty, &t) && t.c_lflag & ECHO);
	}
}

static void a_stop_restores_the_terminal_and_asks_again(void)
{
	auto_close int tty = -1;
	char shown[4096];
	pid_t pid = start_ask(false, &tty, shown, sizeof shown);
	struct termios t;
	int status;

	/* Signals of a terminal do not stop an orphaned process group, as ours is; what is left of it is the second question. */
	kill(pid, SIGTSTP);
	shown[0] = 0;
	check(await(tty, "Secret: ", shown, sizeof shown));
	check(!tcgetattr(tty, &t) && !(t.c_lflag & ECHO));
	check(write(tty, "secret\n", 7) == 7);
	check(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	check_eq(WEXITSTATUS(status), 42);
}

static void without_a_terminal_it_says_so(void)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		setsid();
		_exit(ask_child(false));
	}
	check(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	check_eq(WEXITSTATUS(status), ENOTTY);
}

static const struct test tests[] = {
	{ "reads files and descriptors", reads_files_and_descriptors },
	{ "what is no source is refused", what_is_no_source_is_refused },
	{ "reads a key store", reads_a_key_store },
	{ "asks without showing", asks_without_showing },
	{ "a signal restores the terminal", a_signal_restores_the_terminal },
	{ "a stop restores the terminal and asks again", a_stop_restores_the_terminal_and_asks_again },
	{ "without a terminal it says so", without_a_terminal_it_says_so },
	{ NULL, NULL },
};
const struct suite suite_crypto_keysource = { tests };
