/* SPDX-License-Identifier: Apache-2.0 */
/* Device-tree source to blob, by dtc in a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/env/env_priv.h"
#include "lib/scope.h"

#define OUTPUT_MAX (1u << 20)
#define SECONDS_MAX 10

/* After fork: async-signal-safe calls only. */
static _Noreturn void run_dtc(const char *path, int out, int messages)
{
	/* unit addresses here are no "reg" values, which dtc would warn about: -q; "--" ends the options, so path is a path */
	char *const argv[] = { "dtc", "-q", "-I", "dts", "-O", "dtb", "-o", "-", "--", (char *)path, NULL };
	const struct rlimit file = { OUTPUT_MAX, OUTPUT_MAX };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(messages, 2) < 0 || setrlimit(RLIMIT_FSIZE, &file))
		_exit(126);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGALRM, SIG_DFL);	/* what the caller ignores stays ignored after exec */
	signal(SIGXFSZ, SIG_DFL);
	alarm(SECONDS_MAX);
	execvp(argv[0], argv);
	_exit(127);
}

static int read_back(int fd, size_t max, char **text, size_t *len)
{
	struct stat st;
	char *buf;

	if (fstat(fd, &st))
		return -errno;
	*len = (size_t)st.st_size < max ? (size_t)st.st_size : max;
	buf = malloc(*len + 1);
	if (!buf)
		return -ENOMEM;
	for (size_t pos = 0; pos < *len;) {
		ssize_t n = pread(fd, buf + pos, *len - pos, (off_t)pos);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			free(buf);
			return n ? -errno : -EIO;
		}
		pos += (size_t)n;
	}
	buf[*len] = 0;
	*text = buf;
	return 0;
}

/* dtc's lines on one line. */
static int fail_dtc(const char *path, int status, int messages, struct err *err)
{
	auto_free char *text = NULL;
	char all[sizeof err->text] = "", *rest;
	size_t len = 0, used = 0;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return err_set(err, -ENOENT, "%s: cannot run dtc; install device-tree-compiler", path);
	if (WIFSIGNALED(status))
		return err_set(err, -EINVAL, "%s: dtc was ended by signal %d (%d seconds and %u KiB are its limits)", path,
			WTERMSIG(status), SECONDS_MAX, OUTPUT_MAX >> 10);
	if (read_back(messages, sizeof err->text, &text, &len))
		return err_set(err, -EINVAL, "%s: dtc failed", path);
	for (const char *line = strtok_r(text, "\n", &rest); line && used < sizeof all; line = strtok_r(NULL, "\n", &rest))
		used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", used ? "; " : "", line);
	for (char *c = all; *c; c++)
		if ((unsigned char)*c < 0x20)
			*c = ' ';
	return err_set(err, -EINVAL, "%s: dtc: %s", path, used ? all : "failed without a message");
}

int env_compile(const char *path, void **blob, size_t *len, struct err *err)
{
	auto_close int out = memfd_create("dtb", MFD_CLOEXEC), messages = memfd_create("messages", MFD_CLOEXEC);
	char *data = NULL;
	int status, rc;
	pid_t pid;

	*blob = NULL;
	*len = 0;
	if (access(path, R_OK))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (out < 0 || messages < 0)
		return err_set(err, -errno, "%s: no file for dtc's output: %s", path, strerror(errno));
	pid = fork();
	if (pid < 0)
		return err_set(err, -errno, "%s: cannot start dtc: %s", path, strerror(errno));
	if (!pid)
		run_dtc(path, out, messages);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_set(err, -errno, "%s: cannot wait for dtc: %s", path, strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return fail_dtc(path, status, messages, err);
	rc = read_back(out, OUTPUT_MAX, &data, len);
	if (rc)
		return err_set(err, rc, "%s: dtc's output cannot be read: %s", path, strerror(-rc));
	*blob = data;
	return 0;
}
