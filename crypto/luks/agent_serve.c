/* SPDX-License-Identifier: Apache-2.0 */
/* The volume agent: answers hull-hv over one socket until that closes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "crypto/identity_folder.h"
#include "crypto/keyclient.h"
#include "crypto/keysource.h"
#include "crypto/luks/agent.h"
#include "crypto/luks/luks.h"
#include "lib/ctl.h"
#include "lib/log.h"
#include "lib/scope.h"

enum { LOCK_FD = 900 };			/* from here on: out of the way of descriptors that keys come from (fd:N) */

struct server {
	int fd;
	int lock_fd;			/* the volume's, locked by hull-hv; -1: none was lent */
	bool lost;			/* hull-hv is gone, or talks nonsense */
	struct agent_message *in, *out;	/* secret memory */
};

/* fd goes with it; -1: nothing does. */
static void reply_with(struct server *a, enum agent_kind kind, int fd)
{
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = { .room = "" };
	struct iovec iov = { a->out, sizeof *a->out };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	a->out->version = AGENT_VERSION;
	a->out->kind = kind;
	if (fd >= 0) {
		control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
		msg.msg_control = &control;
		msg.msg_controllen = sizeof control.room;
	}
	do
		n = sendmsg(a->fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof *a->out)
		a->lost = true;
	secret_wipe(a->out, sizeof *a->out);
}

static void reply(struct server *a, enum agent_kind kind)
{
	reply_with(a, kind, -1);
}

static void reply_failed(struct server *a, int rc, const struct err *err)
{
	secret_wipe(a->out, sizeof *a->out);
	a->out->code = rc;
	snprintf(a->out->text, sizeof a->out->text, "%s", err->text[0] ? err->text : strerror(-rc));
	for (char *c = a->out->text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	reply(a, AGENT_FAILED);
}

/* What came with a message: at most one descriptor, more than that the kernel closes for want of room. */
static int take_lent(struct msghdr *msg)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int fd, high;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof fd))
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof fd);
	high = fcntl(fd, F_DUPFD_CLOEXEC, LOCK_FD);
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

static ssize_t receive_in(struct server *a)
{
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec iov = { a->in, sizeof *a->in };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room };
	ssize_t n;
	int lent;

	do
		n = recvmsg(a->fd, &msg, MSG_TRUNC | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	lent = n < 0 ? -1 : take_lent(&msg);
	if (lent >= 0) {
		scope_close(&a->lock_fd);
		a->lock_fd = lent;
	}
	return n;
}

/* The next message; false when the link has ended. */
static bool receive(struct server *a)
{
	struct err err = { .text = "" };
	ssize_t n = receive_in(a);

	if (n <= 0) {
		a->lost = true;
		return false;
	}
	if (agent_message_check(a->in, (size_t)n, false, &err)) {
		log_error("%s", err.text);
		a->lost = true;
		return false;
	}
	return true;
}

static const char *or_null(const char *s)
{
	return *s ? s : NULL;
}

static struct luks_place place_of(const struct agent_message *m)
{
	return (struct luks_place){ .volume = m->volume, .header = or_null(m->header), .locked = true };
}

static int open_volume(struct server *a, struct err *err)
{
	const struct agent_message *m = a->in;
	const struct keysource from = { .source = m->source, .server = or_null(m->server), .name = or_null(m->name),
		.unlock = or_null(m->unlock),
		.lma = or_null(m->lma), .lma_token = or_null(m->lma_token) };
	const struct luks_place at = place_of(m);
	struct secret key = { 0 };
	int rc = keysource_read(&from, &key, err);

	if (!rc && (!key.len || key.len > AGENT_KEY))
		rc = err_set(err, -EINVAL, "%s: the key has %zu bytes; 1 to %d are allowed", m->volume, key.len, AGENT_KEY);
	if (!rc)
		rc = luks_open(&at, &key, &a->out->layout, NULL, err);
	if (!rc) {
		a->out->key_len = (uint32_t)key.len;
		memcpy(a->out->key, key.data, key.len);
		reply(a, AGENT_OPENED);
	}
	secret_destroy(&key);
	return rc;
}

/* ---- who hull-hv is */

/* Whose certificate it is: a gateway's, or another server's, would be refused by everybody, with fewer words. */
static int check_name(const struct identity *id, const char *server, struct err *err)
{
	struct pki_id who;
	int rc = cert_id(id->cert, &who, err);

	if (!rc && (who.role != PKI_HV || strcmp(who.name, server)))
		rc = err_set(err, -EPERM, "the certificate is that of %s/%s, this server is hv/%s", pki_role_name(who.role), who.name, server);
	return rc;
}

/* From what hull-hv has, from a folder, or by enrolling. */
static int get_identity(struct server *a, const struct agent_message *m, struct identity *id, struct err *err)
{
	const struct keysource from = { .source = m->source, .lma = or_null(m->lma), .lma_token = or_null(m->lma_token) };

	if (!strncmp(m->source, "dir:", 4))
		return identity_load(m->source + 4, id, err);
	if (strcmp(m->source, "lma"))
		return err_set(err, -EINVAL, "an identity comes from lma or dir:PATH");
	return m->key_len ? agent_unpack_identity(m, a->lock_fd, id, err) : keyclient_identity(&from, id, err);
}

/* What is due is asked for. A folder's goes back to where it came from. */
static int refresh(const struct agent_message *m, struct identity *id, struct err *err)
{
	bool due = identity_due(id, time(NULL));
	int rc = 0;

	if (!*m->lma)
		return 0;
	if (identity_crl_due(id, time(NULL)))
		rc = identity_fetch_crl(m->lma, id, err);
	if (!rc && due)
		rc = identity_renew(m->lma, id, err);
	if (!rc && due && !strncmp(m->source, "dir:", 4))
		rc = identity_save(m->source + 4, id, err);
	return rc;
}

static int identify(struct server *a, struct err *err)
{
	struct identity id = { 0 };
	auto_close int fd = -1;
	int rc;

	ctl_harden();
	rc = get_identity(a, a->in, &id, err);
	rc = rc ? rc : refresh(a->in, &id, err);
	rc = rc ? rc : check_name(&id, a->in->server, err);
	rc = rc ? rc : agent_pack_identity(a->out, &id, &fd, err);
	identity_drop(&id);
	if (!rc)
		reply_with(a, AGENT_IDENTITY, fd);
	return rc;
}

/* ---- rotation: each step asks hull-hv first */

/* 0 to go on; nonzero when hull-hv wants to stop, or is gone. */
static int ask(struct server *a, enum agent_kind kind)
{
	if (a->lost)
		return -EPIPE;
	reply(a, kind);
	if (a->lost || !receive(a))
		return -EPIPE;
	return a->in->kind == AGENT_FROZEN ? 0 : -EINTR;
}

static int begin(void *ctx, const struct luks_segment *fresh, uint64_t boundary, uint64_t total)
{
	struct server *a = ctx;

	a->out->layout.segment[0] = *fresh;
	a->out->boundary = boundary;
	a->out->total = total;
	return ask(a, AGENT_BEGIN);
}

static int freeze(void *ctx, uint64_t off, uint64_t len)
{
	struct server *a = ctx;

	a->out->off = off;
	a->out->len = len;
	return ask(a, AGENT_FREEZE);
}

static void thaw(void *ctx, uint64_t boundary, uint64_t total)
{
	struct server *a = ctx;

	a->out->boundary = boundary;
	a->out->total = total;
	reply(a, AGENT_THAW);
}

static int rotate_volume(struct server *a, struct err *err)
{
	static const struct luks_rotate_ops ops = { begin, freeze, thaw };
	/* a->in is written over by the answers. */
	struct agent_message *m = secret_alloc(sizeof *m);
	struct secret key = { 0 };
	int rc = -ENOMEM;

	if (m && !secret_copy(&key, a->in->key, a->in->key_len)) {
		const struct luks_rotation how = { .key = &key, .zone = a->in->zone, .resume = a->in->boundary };
		struct luks_place at;

		memcpy(m, a->in, sizeof *m);
		at = place_of(m);
		rc = luks_rotate(&at, &how, &ops, a, err);
	}
	secret_destroy(&key);
	secret_free(m);
	if (!rc)
		reply(a, AGENT_DONE);
	return rc;
}

/* A header decides how much memory Argon2id wants; luks_open refuses more than 4 GiB, and this is what holds if it were wrong. */
static void set_limits(void)
{
#ifndef __SANITIZE_ADDRESS__
	const struct rlimit memory = { 8ull << 30, 8ull << 30 };

	if (setrlimit(RLIMIT_AS, &memory))
		log_warn("the agent's memory cannot be limited: %s", strerror(errno));
#endif
}

static void serve_one(struct server *a)
{
	struct err err = { .text = "" };
	int rc = 0;

	switch (a->in->kind) {
	case AGENT_OPEN:
		rc = open_volume(a, &err);
		break;
	case AGENT_ROTATE:
		rc = rotate_volume(a, &err);
		break;
	case AGENT_IDENTIFY:
		rc = identify(a, &err);
		break;
	default:	/* a late answer to a question that nobody asks any more */
		break;
	}
	if (rc)
		reply_failed(a, rc, &err);
}

/*
 * An agent that outlived its hull-hv would write to a volume that the next one serves. A socket that is closed says so only where
 * it is read, and in the midst of a recovery it is not; the pair's credentials are those of the process that made it.
 */
static bool follow_parent(int fd)
{
	struct ucred maker;
	socklen_t len = sizeof maker;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &maker, &len)) {
		log_error("the agent cannot be tied to hull-hv: %s", strerror(errno));
		return false;
	}
	/* It may have ended before the line above took effect. */
	return getppid() == maker.pid;
}

int agent_serve(int fd)
{
	struct server a = { .fd = fd, .lock_fd = -1, .in = secret_alloc(sizeof *a.in), .out = secret_alloc(sizeof *a.out) };

	if (!follow_parent(fd))
		return 1;
	set_limits();
	if (!a.in || !a.out) {
		log_error("no memory for keys: the limit of locked memory is too low");
		return 1;
	}
	while (!a.lost && receive(&a)) {
		serve_one(&a);
		secret_wipe(a.in, sizeof *a.in);
	}
	secret_free(a.in);
	secret_free(a.out);
	scope_close(&a.lock_fd);
	return 0;
}
