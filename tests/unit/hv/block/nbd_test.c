/* SPDX-License-Identifier: Apache-2.0 */
/* Against nbdkit on a Unix socket, and against servers that nobody should run. */
#include "hv/block/nbd_priv.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/scope.h"
#include "tests/unit/suite.h"

#define MIB (1u << 20)
#define PIECES 2048

extern char **environ;

/* ---- servers */

struct server { char socket[256], uri[300]; pid_t pid; };

static bool answers(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	return !connect(fd, (struct sockaddr *)&at, sizeof at);
}

/* False when there is no nbdkit here. args: words after nbdkit's own, ends with NULL. */
static bool start(struct server *s, const char *const *args)
{
	char *argv[32] = { "nbdkit", "-f", "--log=null", "-U", s->socket };
	unsigned n = 5;

	while (*args)
		argv[n++] = (char *)*args++;
	unlink(s->socket);
	if (posix_spawnp(&s->pid, "nbdkit", NULL, NULL, argv, environ)) {
		suite_skip("no nbdkit");
		return false;
	}
	for (unsigned i = 0; i < 1000 && !answers(s->socket); i++) {
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
			s->pid = 0;
			suite_skip("nbdkit does not start with these arguments");
			return false;
		}
		poll(NULL, 0, 10);
	}
	return true;
}

static void name_server(struct server *s)
{
	static unsigned count;
	char name[32];

	snprintf(name, sizeof name, "nbd%u", count++);
	snprintf(s->socket, sizeof s->socket, "%s", suite_tmp(name));
	snprintf(s->uri, sizeof s->uri, "nbd+unix:///?socket=%s", s->socket);
	s->pid = 0;
}

#define start_new(s, ...) (name_server(s), start(s, (const char *const[]){ __VA_ARGS__, NULL }))

/* All of its threads stand still from here on. */
static void halt(struct server *s)
{
	kill(s->pid, SIGSTOP);
	waitpid(s->pid, NULL, WUNTRACED);
}

static void stop(struct server *s)
{
	if (s->pid) {
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
	}
	s->pid = 0;
	unlink(s->socket);
}

/* ---- requests */

struct io { struct block_req req; struct iovec iov[PIECES]; int result; unsigned calls; };

static void done(struct block_req *req, int r)
{
	struct io *io = req->ctx;

	io->result = r;
	io->calls++;
}

static void submit(struct block *b, struct io *io, enum block_op op, uint64_t off, void *data, size_t len, size_t piece)
{
	bool fua = io->req.fua;
	unsigned n = 0;

	io->req = (struct block_req){ .op = op, .off = off, .len = len, .done = done, .ctx = io, .fua = fua };
	io->result = 1;
	io->calls = 0;
	if (op == BLOCK_READ || op == BLOCK_WRITE) {
		for (size_t at = 0; at < len; at += io->iov[n - 1].iov_len) {
			size_t left = len - at;

			io->iov[n++] = (struct iovec){ (uint8_t *)data + at, left < piece || n + 1 == PIECES ? left : piece };
		}
		io->req.iov = io->iov;
		io->req.iov_count = n;
	}
	block_submit(b, &io->req);
}

static int run_fua(struct block *b, enum block_op op, uint64_t off, void *data, size_t len, size_t piece, bool fua)
{
	static struct io io;

	io.req.fua = fua;
	submit(b, &io, op, off, data, len, piece);
	block_drain(b);
	check_eq(io.calls, 1);
	return io.result;
}

static int run(struct block *b, enum block_op op, uint64_t off, void *data, size_t len, size_t piece)
{
	return run_fua(b, op, off, data, len, piece, false);
}

static struct block *open_nbd(const struct server *s, unsigned timeout_ms, struct loop *loop)
{
	struct block *b = NULL;
	struct err err = { 0 };

	if (block_nbd_open_timeout(s->uri, false, timeout_ms, loop, &b, &err))
		suite_note("%s", err.text);
	CU_ASSERT_FATAL(b != NULL);
	return b;
}

static void fill(uint8_t *data, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 253 + seed);
}

static uint8_t data[16 * MIB], back[16 * MIB];

/* ---- good servers */

static void round_trip(struct block *b)
{
	const size_t pieces[] = { 8 * MIB, 4096, 32768, 100000, 5003 };

	for (unsigned i = 0; i < array_len(pieces); i++) {
		fill(data, 8 * MIB, i);
		check_eq(run(b, BLOCK_WRITE, 512 * i, data, 8 * MIB, pieces[i]), 0);
		memset(back, 0, 8 * MIB);
		check_eq(run(b, BLOCK_READ, 512 * i, back, 8 * MIB, pieces[(i + 2) % array_len(pieces)]), 0);
		check(!memcmp(data, back, 8 * MIB));
	}
	check_eq(run_fua(b, BLOCK_WRITE, 0, data, 4096, 1000, true), 0);
	check_eq(run(b, BLOCK_FLUSH, 0, NULL, 0, 0), 0);
	check_eq(run(b, BLOCK_WRITE_ZEROES, MIB, NULL, MIB, 0), 0);
	check_eq(run(b, BLOCK_READ, MIB, back, MIB, MIB), 0);
	check(!back[0] && !memcmp(back, back + 1, MIB - 1));
	if (b->can_discard)
		check_eq(run(b, BLOCK_DISCARD, 0, NULL, MIB, 0), 0);
}

static void every_operation_reaches_the_server(void)
{
	struct server s;
	struct block *b;

	if (!start_new(&s, "memory", "16M"))
		return;
	b = open_nbd(&s, 10000, NULL);
	check_eq(b->size, 16 * MIB);
	check_eq(b->logical, 512);
	check(b->can_discard && !b->readonly);
	round_trip(b);
	check_eq(run(b, BLOCK_READ, 16 * MIB, back, 512, 512), -EINVAL);
	block_free(b);
	stop(&s);
}

static void what_the_server_lacks_is_made_up_for(void)
{
	const char *log = suite_tmp("flushes");
	char flush[600];
	struct server s;
	struct block *b;

	if (!start_new(&s, "--filter=nozero", "memory", "16M", "zeromode=none"))
		return;
	b = open_nbd(&s, 10000, NULL);
	round_trip(b);
	block_free(b);
	stop(&s);
	/* no FUA, no trim: a flush follows the write */
	snprintf(flush, sizeof flush, "flush=echo x >>%s", log);
	if (!start_new(&s, "eval", "get_size=echo 1048576", "pread=head -c $3 /dev/zero", "can_write=exit 0", "pwrite=cat >/dev/null",
		       "can_flush=exit 0", flush))
		return;
	b = open_nbd(&s, 10000, NULL);
	check(!b->can_discard);
	check_eq(run(b, BLOCK_WRITE, 0, data, 300000 / 512 * 512, 4096), 0);
	check(access(log, F_OK));
	check_eq(run_fua(b, BLOCK_WRITE, 0, data, 300000 / 512 * 512, 4096, true), 0);
	check(!access(log, F_OK));
	check_eq(run_fua(b, BLOCK_WRITE_ZEROES, 0, NULL, 4096, 0, true), 0);
	block_free(b);
	stop(&s);
}

static void block_sizes_come_from_the_server(void)
{
	struct server s;
	struct block *b;

	if (!start_new(&s, "--filter=blocksize-policy", "memory", "16M", "blocksize-minimum=4096", "blocksize-preferred=16384",
		       "blocksize-maximum=65536"))
		return;
	b = open_nbd(&s, 10000, NULL);
	check_eq(b->logical, 4096);
	check_eq(b->physical, 16384);
	fill(data, 4 * MIB, 9);
	check_eq(run(b, BLOCK_WRITE, 4096, data, 4 * MIB, 4 * MIB), 0);
	check_eq(run(b, BLOCK_READ, 4096, back, 4 * MIB, 3000), 0);
	check(!memcmp(data, back, 4 * MIB));
	check_eq(run(b, BLOCK_READ, 512, back, 512, 512), -EINVAL);
	block_free(b);
	stop(&s);
}

/* The loop runs until the last of `left` requests has ended. */
struct deliver { struct loop *loop; unsigned left, ended, bad; };

static void count_down(struct block_req *req, int r)
{
	struct deliver *d = req->ctx;

	d->ended++;
	d->bad += r != 0;
	if (!--d->left)
		loop_stop(d->loop);
}

static void the_loop_delivers_many_at_once(void)
{
	static struct block_req req[300];
	static struct iovec iov[300];
	struct deliver d = { .left = array_len(req) };
	struct server s;
	struct block *b;
	struct err err;
	uint64_t start_ns;

	if (!start_new(&s, "--filter=delay", "memory", "16M", "rdelay=20ms", "-t", "64"))
		return;
	check_eq(loop_create(&d.loop, &err), 0);
	b = open_nbd(&s, 10000, d.loop);
	start_ns = loop_now_ns();
	for (unsigned i = 0; i < array_len(req); i++) {
		iov[i] = (struct iovec){ back + i * 4096, 4096 };
		req[i] = (struct block_req){ .op = BLOCK_READ, .off = i * 4096, .len = 4096, .iov = &iov[i], .iov_count = 1,
					     .done = count_down, .ctx = &d };
		block_submit(b, &req[i]);
	}
	check_eq(loop_run(d.loop), 0);
	check_eq(d.ended, array_len(req));
	check_eq(d.bad, 0);
	/* one after the other they would take 6 s */
	check(loop_now_ns() - start_ns < 3000000000u);
	block_free(b);
	loop_free(d.loop);
	stop(&s);
}

/* ---- errors */

static void errors_are_the_server_s(void)
{
	struct server s;
	struct block *b;

	if (!start_new(&s, "--filter=error", "memory", "16M", "error-pwrite=ENOSPC", "error-pwrite-rate=100%", "error-pread=EPERM",
		       "error-pread-rate=100%", "error-trim=EIO", "error-trim-rate=100%"))
		return;
	b = open_nbd(&s, 10000, NULL);
	check_eq(run(b, BLOCK_WRITE, 0, data, 4 * MIB, 4096), -ENOSPC);
	check_eq(run(b, BLOCK_READ, 0, back, 4096, 4096), -EPERM);
	check_eq(run(b, BLOCK_DISCARD, 0, NULL, 4096, 0), -EIO);
	check_eq(run(b, BLOCK_FLUSH, 0, NULL, 0, 0), 0);
	block_free(b);
	stop(&s);
}

static const char *make_file(void)
{
	const char *path = suite_tmp("nbd.img");
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CU_ASSERT_FATAL(fd >= 0 && !ftruncate(fd, 16 * MIB));
	return path;
}

static void a_restarted_server_is_found_again(void)
{
	char file[300];
	const char *args[] = { "file", file, NULL };
	static struct io io[4];
	struct server s;
	struct block *b;

	snprintf(file, sizeof file, "%s", make_file());
	name_server(&s);
	if (!start(&s, args))
		return;
	b = open_nbd(&s, 20000, NULL);
	fill(data, 4 * MIB, 3);
	check_eq(run(b, BLOCK_WRITE, 0, data, MIB, 4096), 0);
	halt(&s);	/* what is sent now gets no answer from this one */
	for (unsigned i = 0; i < 4; i++)
		submit(b, &io[i], BLOCK_WRITE, (i + 1) * MIB / 2, data + (i + 1) * MIB / 2, MIB / 2, 4096);
	stop(&s);
	if (!start(&s, args))
		return;
	block_drain(b);
	for (unsigned i = 0; i < 4; i++) {
		check_eq(io[i].calls, 1);
		check_eq(io[i].result, 0);
	}
	check_eq(run(b, BLOCK_FLUSH, 0, NULL, 0, 0), 0);	/* nbdkit's file plugin promises CAN_MULTI_CONN */
	check_eq(run(b, BLOCK_READ, 0, back, 5 * MIB / 2, 4096), 0);
	check(!memcmp(data, back, 5 * MIB / 2));
	block_free(b);
	stop(&s);
}

static void lost_unflushed_writes_fail_the_next_flush(void)
{
	char file[300];
	const char *args[] = { "--filter=multi-conn", "file", file, "multi-conn-mode=disable", NULL };
	struct server s;
	struct block *b;

	snprintf(file, sizeof file, "%s", make_file());
	name_server(&s);
	if (!start(&s, args))
		return;
	b = open_nbd(&s, 20000, NULL);
	check_eq(run(b, BLOCK_WRITE, 0, data, 4096, 4096), 0);
	check_eq(run(b, BLOCK_FLUSH, 0, NULL, 0, 0), 0);
	stop(&s);
	if (!start(&s, args))
		return;
	check_eq(run(b, BLOCK_FLUSH, 0, NULL, 0, 0), 0);	/* all was flushed */
	check_eq(run(b, BLOCK_WRITE, 0, data, 4096, 4096), 0);
	stop(&s);
	if (!start(&s, args))
		return;
	check_eq(run(b, BLOCK_READ, 0, back, 4096, 4096), 0);
	check_eq(run(b, BLOCK_FLUSH, 0, NULL, 0, 0), -EIO);
	check_eq(run(b, BLOCK_FLUSH, 0, NULL, 0, 0), 0);	/* said once */
	check_eq(run_fua(b, BLOCK_WRITE, 0, data, 4096, 4096, true), 0);
	stop(&s);
	if (!start(&s, args))
		return;
	check_eq(run(b, BLOCK_FLUSH, 0, NULL, 0, 0), 0);	/* FUA: durable when it was answered */
	block_free(b);
	stop(&s);
}

static unsigned flushes_sent(const struct block *b)
{
	const struct nbd *n = container_of(b, struct nbd, b);
	unsigned count = 0;

	for (unsigned i = 0; i < NBD_COMMANDS; i++)
		count += n->command[i].state == SENT && n->command[i].op == BLOCK_FLUSH;
	return count;
}

static void stop_loop(void *ctx)
{
	loop_stop(ctx);
}

/* Forced writes on a server without FUA are durable by a flush. One flush that fails for lost writes must not excuse the others. */
static void every_forced_write_that_was_lost_fails(void)
{
	const char *args[] = { "eval", "get_size=echo 16M", "pread=head -c $3 /dev/zero", "pwrite=cat >/dev/null", "can_write=exit 0",
		"can_flush=exit 0", "can_fua=echo none", "flush=sleep 60", NULL };
	struct loop_timer *timer;
	static struct io io[2];
	struct loop *loop;
	struct server s;
	struct block *b;
	struct err err;

	name_server(&s);
	if (!start(&s, args))
		return;
	check_eq(loop_create(&loop, &err), 0);
	check_eq(loop_timer_create(loop, stop_loop, loop, &timer), 0);
	b = open_nbd(&s, 20000, loop);
	for (unsigned i = 0; i < 2; i++) {
		io[i].req.fua = true;
		submit(b, &io[i], BLOCK_WRITE, i * 4096, data, 4096, 4096);
	}
	while (flushes_sent(b) < 2) {
		loop_timer_arm(timer, loop_now_ns() + 10000000);
		check_eq(loop_run(loop), 0);
	}
	stop(&s);
	args[7] = "flush=exit 0";
	if (!start(&s, args))
		return;
	block_drain(b);
	check_eq(io[0].result, -EIO);
	check_eq(io[1].result, -EIO);
	check_eq(run_fua(b, BLOCK_WRITE, 0, data, 4096, 4096, true), 0);
	block_free(b);
	loop_timer_free(timer);
	loop_free(loop);
	stop(&s);
}

static void requests_end_when_the_server_stays_away(void)
{
	static struct io io[100];
	unsigned failed = 0;
	struct server s;
	struct block *b;
	uint64_t start_ns;

	if (!start_new(&s, "memory", "16M"))
		return;
	b = open_nbd(&s, 300, NULL);
	stop(&s);
	start_ns = loop_now_ns();
	for (unsigned i = 0; i < 100; i++)
		submit(b, &io[i], i % 2 ? BLOCK_READ : BLOCK_WRITE, 0, back, 65536, 4096);
	block_drain(b);
	check(loop_now_ns() - start_ns < 5000000000u);
	for (unsigned i = 0; i < 100; i++)
		failed += io[i].calls == 1 && io[i].result == -EIO;
	check_eq(failed, 100);
	block_free(b);
}

static void a_silent_server_is_given_up(void)
{
	static struct block_req req[100];
	static struct iovec iov = { back, 4096 };
	struct deliver d = { .left = array_len(req) };
	struct server s;
	struct block *b;
	struct err err;

	if (!start_new(&s, "memory", "16M"))
		return;
	check_eq(loop_create(&d.loop, &err), 0);
	b = open_nbd(&s, 300, d.loop);
	halt(&s);
	for (unsigned i = 0; i < array_len(req); i++) {
		req[i] = (struct block_req){ .op = BLOCK_READ, .len = 4096, .iov = &iov, .iov_count = 1, .done = count_down, .ctx = &d };
		block_submit(b, &req[i]);
	}
	check_eq(loop_run(d.loop), 0);
	check_eq(d.bad, array_len(req));
	block_free(b);
	loop_free(d.loop);
	stop(&s);
}

/* ---- what is refused at the start */

static void expect_refusal(const char *uri, int code, const char *text)
{
	struct block *b = NULL;
	struct err err = { 0 };

	check_eq(block_nbd_open_timeout(uri, false, 300, NULL, &b, &err), code);
	if (!strstr(err.text, text))
		suite_note("%s", err.text);
	check(strstr(err.text, text) != NULL);
	check(b == NULL);
	block_free(b);
}

static void volumes_that_can_not_serve_are_refused(void)
{
	struct server s;

	expect_refusal("ftp://x/", -EINVAL, "ftp://x/: is no URI of an NBD server: nbd://HOST");
	name_server(&s);
	expect_refusal(s.uri, -ENOENT, s.uri);
	expect_refusal("nbd://127.0.0.1:1/", -ECONNREFUSED, "Connection refused");
	if (!start_new(&s, "-r", "memory", "16M"))
		return;
	expect_refusal(s.uri, -EROFS, "the server gives it out read only");
	stop(&s);
	if (!start_new(&s, "memory", "1000"))
		return;
	expect_refusal(s.uri, -EINVAL, "size of 1000 bytes is not a multiple of its 512-byte sectors");
	stop(&s);
	if (!start_new(&s, "memory", "0"))
		return;
	expect_refusal(s.uri, -EINVAL, "size of 0 bytes is not a multiple");
	stop(&s);
}

/* ---- hostile servers */

enum malice { GARBAGE, CLOSE_AT_ONCE, SILENT, REPLY_GARBAGE, REPLY_UNKNOWN, REPLY_CLOSE, MALICES };

struct rogue { int listener; enum malice malice; atomic_bool end; pthread_t thread; };

static const uint8_t garbage[4096] = { 0x4e, 0x42, 0x44, 1, 2, 3 };

/* The old handshake: size and flags at once, then commands of 28 bytes. */
static bool greet(int fd)
{
	uint8_t hello[152] = "NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53";

	hello[21] = 1;	/* 64 KiB */
	hello[27] = 1;	/* flags: HAS_FLAGS */
	return send(fd, hello, sizeof hello, MSG_NOSIGNAL) == sizeof hello;
}

static void misbehave(struct rogue *r, int fd)
{
	uint8_t command[28], reply[16] = { 0x67, 0x44, 0x66, 0x98 };

	switch (r->malice) {
	case GARBAGE:
		send(fd, garbage, sizeof garbage, MSG_NOSIGNAL);
		return;
	case SILENT:
		while (!atomic_load(&r->end))
			poll(NULL, 0, 10);
		return;
	case REPLY_GARBAGE:
		if (greet(fd) && recv(fd, command, sizeof command, MSG_WAITALL) > 0)
			send(fd, garbage, sizeof garbage, MSG_NOSIGNAL);
		return;
	case REPLY_UNKNOWN:
		memset(reply + 8, 0xee, 8);	/* an answer to nothing */
		if (greet(fd) && recv(fd, command, sizeof command, MSG_WAITALL) > 0)
			send(fd, reply, sizeof reply, MSG_NOSIGNAL);
		return;
	case REPLY_CLOSE:	/* half of the data */
		if (greet(fd) && recv(fd, command, sizeof command, MSG_WAITALL) > 0) {
			memcpy(reply + 8, command + 8, 8);
			send(fd, reply, sizeof reply, MSG_NOSIGNAL);
			send(fd, garbage, 100, MSG_NOSIGNAL);
		}
		return;
	default:
		return;
	}
}

static void *rogue_thread(void *arg)
{
	struct rogue *r = arg;
	struct pollfd p = { .fd = r->listener, .events = POLLIN };

	while (!atomic_load(&r->end)) {
		if (poll(&p, 1, 10) > 0) {
			auto_close int fd = accept(r->listener, NULL, NULL);

			if (fd >= 0)
				misbehave(r, fd);
		}
	}
	return NULL;
}

static void hostile_servers_do_no_harm(void)
{
	for (enum malice m = 0; m < MALICES; m++) {
		struct sockaddr_un at = { .sun_family = AF_UNIX };
		struct rogue r = { .malice = m };
		struct block *b = NULL;
		struct err err = { 0 };
		struct server s;
		int rc;

		name_server(&s);
		snprintf(at.sun_path, sizeof at.sun_path, "%s", s.socket);
		r.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		check_or_return(!bind(r.listener, (struct sockaddr *)&at, sizeof at) && !listen(r.listener, 8));
		pthread_create(&r.thread, NULL, rogue_thread, &r);
		rc = block_nbd_open_timeout(s.uri, true, 400, NULL, &b, &err);
		check((rc != 0) == (m < REPLY_GARBAGE));
		if (!rc)
			check_eq(run(b, BLOCK_READ, 0, back, 4096, 4096), -EIO);
		else
			check(err.text[0]);
		block_free(b);
		atomic_store(&r.end, true);
		pthread_join(r.thread, NULL);
		close(r.listener);
	}
}

static const struct test tests[] = {
	{ "every operation reaches the server", every_operation_reaches_the_server },
	{ "what the server lacks is made up for", what_the_server_lacks_is_made_up_for },
	{ "block sizes come from the server", block_sizes_come_from_the_server },
	{ "the loop delivers many at once", the_loop_delivers_many_at_once },
	{ "errors are the server's", errors_are_the_server_s },
	{ "a restarted server is found again", a_restarted_server_is_found_again },
	{ "lost unflushed writes fail the next flush", lost_unflushed_writes_fail_the_next_flush },
	{ "every forced write that was lost fails", every_forced_write_that_was_lost_fails },
	{ "requests end when the server stays away", requests_end_when_the_server_stays_away },
	{ "a silent server is given up", a_silent_server_is_given_up },
	{ "volumes that can't serve are refused", volumes_that_can_not_serve_are_refused },
	{ "hostile servers do no harm", hostile_servers_do_no_harm },
	{ NULL, NULL },
};
const struct suite suite_hv_block_nbd = { tests };
