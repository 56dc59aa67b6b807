/* SPDX-License-Identifier: Apache-2.0 */
/* hull-hv's half of the volume agent: starts it, talks to it, ends it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "crypto/luks/agent.h"
#include "lib/scope.h"

#define TIMEOUT_MS 120000
#define PARTING_MS 2000

struct agent {
	int fd;
	int lent;			/* goes with the next message; -1: nothing does */
	int came;			/* with the last message; -1: nothing did */
	pid_t pid;			/* 0: reaped */
	int status;			/* of the reaped child */
	unsigned timeout_ms;
	struct agent_message *in, *out;	/* secret memory */
};

/* ---- the child */

/* HULL_AGENT, or hull in the folder of this program. */
static int find_program(char *path, size_t size, struct err *err)
{
	const char *given = getenv("HULL_AGENT");
	ssize_t n;
	char *slash;

	if (given && *given) {
		if (strlen(given) >= size)
			return err_set(err, -ENAMETOOLONG, "HULL_AGENT is too long");
		strcpy(path, given);
		return 0;
	}
	n = readlink("/proc/self/exe", path, size - sizeof "hull");
	if (n < 0)
		return err_set(err, -errno, "/proc/self/exe: %s", strerror(errno));
	path[n] = 0;
	slash = strrchr(path, '/');
	if (!slash)
		return err_set(err, -ENOENT, "%s: has no folder", path);
	strcpy(slash + 1, "hull");
	return 0;
}

/* What the child may see of our environment; text holds the words. */
static void copy_environment(char *env[4], char text[3][4096])
{
	static const char *const names[] = { "PATH", "TERM", "HULL_TPM_TCTI" };
	unsigned n = 0;

	for (unsigned i = 0; i < array_len(names); i++) {
		const char *value = getenv(names[i]);

		if (value && snprintf(text[n], 4096, "%s=%s", names[i], value) < 4096) {
			env[n] = text[n];
			n++;
		}
	}
	env[n] = NULL;
}

static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attr, int fd)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	/* Our blocked and ignored signals are not the child's. */
	r = posix_spawnattr_setsigmask(attr, &none);
	r = r ? r : posix_spawnattr_setsigdefault(attr, &all);
	r = r ? r : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	/* Also where fd is AGENT_FD: the C library then takes close-on-exec away. */
	return r ? r : posix_spawn_file_actions_adddup2(actions, fd, AGENT_FD);
}

static int spawn(const char *path, int fd, pid_t *pid)
{
	char *const argv[] = { (char *)path, "volume", "agent", NULL };
	char *env[4], (*text)[4096] = calloc(3, sizeof *text);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r = text ? posix_spawn_file_actions_init(&actions) : ENOMEM;

	if (r) {
		free(text);
		return -r;
	}
	r = posix_spawnattr_init(&attr);
	if (!r) {
		copy_environment(env, text);
		r = prepare(&actions, &attr, fd);
		r = r ? r : posix_spawn(pid, path, &actions, &attr, argv, env);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&actions);
	free(text);
	return -r;
}

/* Reaps the child if it ends within ms. */
static bool reap(struct agent *a, int ms)
{
	struct pollfd p = { .events = POLLIN };
	auto_close int fd = a->pid ? pidfd_open(a->pid, 0) : -1;
	pid_t r;

	if (!a->pid)
		return true;
	p.fd = fd;
	while (fd >= 0 && poll(&p, 1, ms) < 0 && errno == EINTR)
		;
	do
		r = waitpid(a->pid, &a->status, WNOHANG);
	while (r < 0 && errno == EINTR);
	if (!r)
		return false;
	a->pid = 0;
	return true;
}

int agent_start(struct agent **agent, struct err *err)
{
	struct agent *a = calloc(1, sizeof *a);
	int pair[2] = { -1, -1 }, r = 0;
	char path[4096];

	if (!a)
		return err_set(err, -ENOMEM, "volume agent: out of memory");
	a->fd = a->lent = a->came = -1;
	a->timeout_ms = TIMEOUT_MS;
	a->in = secret_alloc(sizeof *a->in);
	a->out = secret_alloc(sizeof *a->out);
	if (!a->in || !a->out)
		r = err_set(err, -ENOMEM, "volume agent: no locked memory: raise the limit (ulimit -l)");
	r = r ? r : find_program(path, sizeof path, err);
	if (!r && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		r = err_set(err, -errno, "volume agent: socket: %s", strerror(errno));
	if (!r) {
		a->fd = pair[0];
		r = spawn(path, pair[1], &a->pid);
		close(pair[1]);
		if (r) {
			a->pid = 0;
			err_set(err, r, "volume agent: %s: %s; the hull program opens encrypted volumes and stands beside hull-hv", path,
				strerror(-r));
		}
	}
	if (r) {
		agent_free(a);
		return r;
	}
	*agent = a;
	return 0;
}

void agent_free(struct agent *a)
{
	if (!a)
		return;
	scope_close(&a->fd);	/* which ends the agent */
	if (!reap(a, PARTING_MS)) {
		kill(a->pid, SIGKILL);
		while (waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	scope_close(&a->came);
	secret_free(a->in);
	secret_free(a->out);
	free(a);
}

/* ---- messages */

int agent_fd(const struct agent *a)
{
	return a->fd;
}

void agent_set_timeout(struct agent *a, unsigned ms)
{
	a->timeout_ms = ms;
}

struct agent_message *agent_message(struct agent *a)
{
	return a->out;
}

/* -EPIPE, with how the agent ended. */
static int gone(struct agent *a, struct err *err)
{
	if (!reap(a, PARTING_MS))
		return err_set(err, -EPIPE, "the volume agent closed its link");
	if (WIFSIGNALED(a->status))
		return err_set(err, -EPIPE, "the volume agent was ended by signal %d", WTERMSIG(a->status));
	return err_set(err, -EPIPE, "the volume agent ended with status %d", WEXITSTATUS(a->status));
}

void agent_lend(struct agent *a, int fd)
{
	a->lent = fd;
}

static ssize_t send_out(struct agent *a)
{
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = { .room = "" };
	struct iovec iov = { a->out, sizeof *a->out };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (a->lent >= 0) {
		control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), &a->lent, sizeof a->lent);
		msg.msg_control = &control;
		msg.msg_controllen = sizeof control.room;
	}
	do
		n = sendmsg(a->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	a->lent = -1;
	return n;
}

int agent_send(struct agent *a, enum agent_kind kind, struct err *err)
{
	int r;

	a->out->version = AGENT_VERSION;
	a->out->kind = kind;
	r = send_out(a) < 0 ? -errno : 0;
	secret_wipe(a->out, sizeof *a->out);
	if (r == -EPIPE || r == -ECONNRESET)
		return gone(a, err);
	return r ? err_set(err, r, "volume agent: %s", strerror(-r)) : 0;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int wait_readable(struct agent *a, struct err *err)
{
	uint64_t end = now_ms() + a->timeout_ms, now;
	struct pollfd p = { .fd = a->fd, .events = POLLIN };
	int n;

	do {
		now = now_ms();
		n = poll(&p, 1, now < end ? (int)(end - now) : 0);
	} while (n < 0 && errno == EINTR);
	return n ? 0 : err_set(err, -ETIMEDOUT, "the volume agent does not answer within %u s", (a->timeout_ms + 999) / 1000);
}

/* A message, and the one descriptor that may come with it. */
static ssize_t receive_in(struct agent *a)
{
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec iov = { a->in, sizeof *a->in };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room };
	const struct cmsghdr *c;
	ssize_t n;

	scope_close(&a->came);
	a->came = -1;
	do
		n = recvmsg(a->fd, &msg, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof a->came))
		memcpy(&a->came, CMSG_DATA(c), sizeof a->came);
	return n;
}

int agent_take_fd(struct agent *a)
{
	return take_fd(a->came);
}

int agent_receive(struct agent *a, bool wait, const struct agent_message **msg, struct err *err)
{
	ssize_t n;
	int r = wait ? wait_readable(a, err) : 0;

	if (r)
		return r;
	secret_wipe(a->in, sizeof *a->in);
	n = receive_in(a);
	if (n < 0 && errno == EAGAIN)
		return err_set(err, -EAGAIN, "the volume agent has not answered");
	if (n < 0 && errno != ECONNRESET)
		return err_set(err, -errno, "volume agent: %s", strerror(errno));
	if (n <= 0)
		return gone(a, err);
	r = agent_message_check(a->in, (size_t)n, true, err);
	if (r) {
		secret_wipe(a->in, sizeof *a->in);
		return r;
	}
	*msg = a->in;
	return 0;
}
