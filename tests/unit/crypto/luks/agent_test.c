/* SPDX-License-Identifier: Apache-2.0 */
/* The agent over a real socket pair, in a child process; and every way a message can be wrong. */
#include "crypto/luks/agent.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "crypto/luks/luks.h"
#include "tests/unit/suite.h"

enum { MIB = 1 << 20 };

static struct agent_message good(enum agent_kind kind)
{
	struct agent_message m = { .version = AGENT_VERSION, .kind = kind, .code = -EPERM, .text = "why", .source = "file:k",
		.volume = "v", .server = "s", .zone = MIB, .off = 0, .len = MIB, .boundary = MIB, .total = 2 * MIB, .key_len = 1 };

	m.layout = (struct luks_layout){ .version = 2, .data_off = 4096, .segment_count = 2 };
	m.layout.segment[0] = (struct luks_segment){ .len = MIB, .sector = 4096, .key_len = 64 };
	m.layout.segment[1] = (struct luks_segment){ .off = MIB, .tweak = MIB / 512, .sector = 4096, .key_len = 64 };
	return m;
}

static void test_check_good(void)
{
	struct err err;

	for (unsigned kind = AGENT_OPEN; kind <= AGENT_FAILED; kind++) {
		struct agent_message m = good(kind);

		check_eq(agent_message_check(&m, sizeof m, kind >= AGENT_OPENED, &err), 0);
		check_eq(agent_message_check(&m, sizeof m, kind < AGENT_OPENED, &err), -EPROTO);
	}
	for (unsigned kind = AGENT_IDENTIFY; kind <= AGENT_IDENTITY; kind++) {
		struct agent_message m = good(kind);

		check_eq(agent_message_check(&m, sizeof m, kind == AGENT_IDENTITY, &err), 0);
		check_eq(agent_message_check(&m, sizeof m, kind != AGENT_IDENTITY, &err), -EPROTO);
	}
}

#define refuse(kind_, from, change, says) \
	do { \
		struct agent_message m = good(kind_); \
		struct err why = { .text = "" }; \
		change; \
		check_eq(agent_message_check(&m, sizeof m, from, &why), -EPROTO); \
		check_str(why.text, "agent message: " says); \
	} while (0)

static void test_check_bad(void)
{
	struct agent_message whole = good(AGENT_DONE);
	struct err err;

	check_eq(agent_message_check(&whole, sizeof whole - 1, true, &err), -EPROTO);
	refuse(AGENT_DONE, true, m.version = 9, "version 9, not 2: hull and hull-hv are not of one release");
	refuse(AGENT_DONE, true, m.kind = 99, "kind 99 is no answer");
	refuse(AGENT_OPEN, false, m.kind = 0, "kind 0 is no request");
	refuse(AGENT_OPEN, false, memset(m.volume, 'x', sizeof m.volume), "volume does not end");
	refuse(AGENT_FAILED, true, strcpy(m.text, "a\nb"), "text holds a control character");
	refuse(AGENT_OPEN, false, m.source[0] = 0, "open without volume or key source");
	refuse(AGENT_IDENTIFY, false, m.source[0] = 0, "identify without source or server");
	refuse(AGENT_IDENTIFY, false, m.server[0] = 0, "identify without source or server");
	refuse(AGENT_IDENTIFY, false, m.key_len = AGENT_KEY + 1, "key of 513 bytes");
	refuse(AGENT_IDENTITY, true, m.key_len = 0, "key of 0 bytes");
	refuse(AGENT_ROTATE, false, m.volume[0] = 0, "rotate without volume");
	refuse(AGENT_ROTATE, false, m.zone = 0, "rotate with zones of 0 bytes");
	refuse(AGENT_ROTATE, false, m.key_len = AGENT_KEY + 1, "key of 513 bytes");
	refuse(AGENT_OPENED, true, m.key_len = 0, "key of 0 bytes");
	refuse(AGENT_OPENED, true, m.layout.version = 3, "LUKS version 3");
	refuse(AGENT_OPENED, true, m.layout.segment_count = 3, "3 segments");
	refuse(AGENT_OPENED, true, m.layout.data_off = 1, "data at a bad place");
	refuse(AGENT_OPENED, true, m.layout.segment[1].sector = 8192, "segment 1 has sectors of 8192 bytes");
	refuse(AGENT_OPENED, true, m.layout.segment[1].key_len = 65, "segment 1 has a key of 65 bytes");
	refuse(AGENT_OPENED, true, m.layout.segment[0].len = UINT64_MAX & ~4095ull; m.layout.segment[0].off = 8192,
		"segment 0 has a bad place");
	refuse(AGENT_OPENED, true, m.layout.segment[0].tweak = 1, "segment 0 has a tweak inside a sector");
	refuse(AGENT_OPENED, true, m.layout.segment[1].off += 4096, "segment 1 leaves a gap");
	refuse(AGENT_OPENED, true, m.layout.segment[0].len = 0, "segment 0 leaves a gap");
	refuse(AGENT_OPENED, true, m.layout.segment[1].len = MIB; m.layout.data_len = MIB, "segments do not fill the volume");
	refuse(AGENT_BEGIN, true, m.boundary = m.total + 1, "boundary beyond the volume");
	refuse(AGENT_THAW, true, m.boundary = m.total + 1, "boundary beyond the volume");
	refuse(AGENT_FREEZE, true, m.len = 0, "freeze of a bad zone");
	refuse(AGENT_FREEZE, true, m.off = UINT64_MAX, "freeze of a bad zone");
	refuse(AGENT_FAILED, true, m.code = 0, "failure 0 without a reason");
}

/* ---- the agent at work */

static int start(pid_t *child)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -1;
	*child = fork();
	if (!*child) {
		close(fds[0]);
		_exit(agent_serve(fds[1]));
	}
	close(fds[1]);
	return fds[0];
}

static int finish(int fd, pid_t child)
{
	int status = -1;

	close(fd);
	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void tell(int fd, struct agent_message *m, enum agent_kind kind)
{
	m->version = AGENT_VERSION;
	m->kind = kind;
	check_eq(send(fd, m, sizeof *m, MSG_NOSIGNAL), sizeof *m);
}

static enum agent_kind hear(int fd, struct agent_message *m)
{
	struct err err = { .text = "" };
	ssize_t n = recv(fd, m, sizeof *m, 0);

	check_eq(n, sizeof *m);
	if (n != (ssize_t)sizeof *m)
		return 0;
	check_eq(agent_message_check(m, sizeof *m, true, &err), 0);
	check_str(err.text, "");
	return m->kind;
}

static void make(const char *volume, const char *key_path)
{
	const struct luks_format how = { .version = 2, .sector = 4096, .size = 4 * MIB, .cost = luks_cost_key, .force = true };
	const struct luks_place at = { .volume = volume };
	uint8_t bytes[] = "the key";
	const struct secret key = { bytes, 7 };
	struct err err = { .text = "" };
	FILE *f = fopen(key_path, "w");

	check(f && fwrite(bytes, 1, 7, f) == 7);
	if (f)
		fclose(f);
	check_eq(luks_format(&at, &how, &key, &err), 0);
	check_str(err.text, "");
}

static void ask_open(int fd, const char *volume, const char *key, struct agent_message *m)
{
	*m = (struct agent_message){ 0 };
	snprintf(m->volume, sizeof m->volume, "%s", volume);
	snprintf(m->source, sizeof m->source, "file:%s", key);
	tell(fd, m, AGENT_OPEN);
}

static void rotate(int fd, struct agent_message *m)
{
	uint64_t boundary = 0;
	unsigned steps = 0;

	check_eq(hear(fd, m), AGENT_BEGIN);
	check_eq(m->boundary, 0);
	check_eq(m->total, 4 * MIB);
	check_eq(m->layout.segment[0].key_len, 64);
	tell(fd, m, AGENT_FROZEN);
	while (hear(fd, m) == AGENT_FREEZE) {
		check_eq(m->off, boundary);
		check_eq(m->len, MIB);
		tell(fd, m, AGENT_FROZEN);
		check_eq(hear(fd, m), AGENT_THAW);
		check_eq(m->boundary, boundary + MIB);
		boundary = m->boundary;
		steps++;
	}
	check_eq(steps, 4);
	check_eq(m->kind, AGENT_DONE);
	check_eq(boundary, 4 * MIB);
}

static void test_serve(void)
{
	static struct agent_message m;
	char volume[512], key[512];
	pid_t child = -1;
	int fd = start(&child);

	check_or_return(fd >= 0);
	snprintf(volume, sizeof volume, "%s", suite_tmp("agent-volume"));
	snprintf(key, sizeof key, "%s", suite_tmp("agent-key"));
	make(volume, key);
	ask_open(fd, "/nowhere", key, &m);
	check_eq(hear(fd, &m), AGENT_FAILED);
	check_eq(m.code, -ENOENT);
	check_str(m.text, "/nowhere: No such file or directory");

	ask_open(fd, volume, key, &m);
	check_eq(hear(fd, &m), AGENT_OPENED);
	check_eq(m.layout.segment_count, 1);
	check_eq(m.layout.rotating, 0);
	check_eq(m.key_len, 7);

	snprintf(m.volume, sizeof m.volume, "%s", volume);
	m.zone = MIB;
	tell(fd, &m, AGENT_ROTATE);
	rotate(fd, &m);

	/* Asked to go on with a rotation that has ended: no other one begins. */
	m = (struct agent_message){ .zone = MIB, .boundary = MIB, .key_len = 7, .key = "the key" };
	snprintf(m.volume, sizeof m.volume, "%s", volume);
	tell(fd, &m, AGENT_ROTATE);
	check_eq(hear(fd, &m), AGENT_BEGIN);
	check_eq(m.boundary, 4 * MIB);
	tell(fd, &m, AGENT_FROZEN);
	check_eq(hear(fd, &m), AGENT_DONE);
	check_eq(finish(fd, child), 0);
	unlink(volume);
	unlink(key);
}

static void test_stop(void)
{
	static struct agent_message m;
	char volume[512], key[512];
	pid_t child = -1;
	int fd = start(&child);

	check_or_return(fd >= 0);
	snprintf(volume, sizeof volume, "%s", suite_tmp("agent-volume"));
	snprintf(key, sizeof key, "%s", suite_tmp("agent-key"));
	make(volume, key);
	ask_open(fd, volume, key, &m);
	check_eq(hear(fd, &m), AGENT_OPENED);
	snprintf(m.volume, sizeof m.volume, "%s", volume);
	m.zone = MIB;
	tell(fd, &m, AGENT_ROTATE);
	check_eq(hear(fd, &m), AGENT_BEGIN);
	tell(fd, &m, AGENT_FROZEN);
	check_eq(hear(fd, &m), AGENT_FREEZE);
	tell(fd, &m, AGENT_STOP);
	check_eq(hear(fd, &m), AGENT_FAILED);
	check_eq(m.code, -EINTR);
	/* before the first zone, so there is one key, and yet something to go on with */
	ask_open(fd, volume, key, &m);
	check_eq(hear(fd, &m), AGENT_OPENED);
	check_eq(m.layout.segment_count, 1);
	check_eq(m.layout.rotating, 1);
	check_eq(finish(fd, child), 0);
	unlink(volume);
	unlink(key);
}

static void test_nonsense_ends_it(void)
{
	pid_t child = -1;
	int fd = start(&child);
	uint8_t byte;

	check_or_return(fd >= 0);
	check_eq(send(fd, "nonsense", 8, MSG_NOSIGNAL), 8);
	check_eq(recv(fd, &byte, 1, 0), 0);
	check_eq(finish(fd, child), 0);
}

/* ---- the agent and the end of hull-hv */

static void send_with(int fd, struct agent_message *m, int lent)
{
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = { .room = "" };
	struct iovec iov = { m, sizeof *m };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room };

	control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.header), &lent, sizeof lent);
	m->version = AGENT_VERSION;
	m->kind = AGENT_OPEN;
	check_eq(sendmsg(fd, &msg, MSG_NOSIGNAL), sizeof *m);
}

static void test_lent_lock(void)
{
	static struct agent_message m;
	const char *path = suite_tmp("agent-lock");
	int fd, locked, again;
	pid_t child = -1;

	fd = start(&child);
	locked = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	again = open(path, O_RDWR | O_CLOEXEC);
	check_or_return(fd >= 0 && locked >= 0 && again >= 0);
	check_eq(flock(locked, LOCK_EX | LOCK_NB), 0);
	m = (struct agent_message){ .volume = "/nowhere", .source = "file:/nowhere" };
	send_with(fd, &m, locked);
	check_eq(hear(fd, &m), AGENT_FAILED);
	close(locked);
	check_eq(flock(again, LOCK_EX | LOCK_NB), -1);
	check_eq(finish(fd, child), 0);
	check_eq(flock(again, LOCK_EX | LOCK_NB), 0);
	close(again);
	unlink(path);
}

/* Starts an agent and a process that keeps the socket open, and ends without a word to either. */
static void be_hv(int out, int hold)
{
	static struct agent_message m;
	pid_t agent, holder;
	uint8_t byte;
	int fd = start(&agent);

	ask_open(fd, "/nowhere", "/nowhere", &m);
	hear(fd, &m);
	holder = fork();
	if (!holder) {
		close(out);
		_exit(read(hold, &byte, 1) != 0);
	}
	_exit(write(out, &agent, sizeof agent) != sizeof agent);
}

static void test_dies_with_hv(void)
{
	int out[2], hold[2], status = 0;
	pid_t hv, agent = 0;

	check_or_return(!pipe(out) && !pipe(hold) && !prctl(PR_SET_CHILD_SUBREAPER, 1));
	hv = fork();
	if (!hv) {
		close(hold[1]);
		be_hv(out[1], hold[0]);
	}
	close(out[1]);
	check_eq(read(out[0], &agent, sizeof agent), sizeof agent);
	check_eq(waitpid(hv, &status, 0), hv);
	check_eq(status, 0);
	check_eq(waitpid(agent, &status, 0), agent);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(hold[1]);
	check(waitpid(-1, &status, 0) > 0 && !status);	/* the holder */
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	close(out[0]);
	close(hold[0]);
}

static const struct test agent_tests[] = {
	{ "a lent lock is held to the end", test_lent_lock },
	{ "it dies with hull-hv", test_dies_with_hv },
	{ "good messages", test_check_good },
	{ "bad messages", test_check_bad },
	{ "open and rotate over a socket", test_serve },
	{ "a rotation that is stopped", test_stop },
	{ "nonsense ends the agent", test_nonsense_ends_it },
	{ NULL, NULL },
};
const struct suite suite_crypto_luks_agent = { agent_tests };
