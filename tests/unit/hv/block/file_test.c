/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <liburing.h>
#include <sys/file.h>
#include <sys/stat.h>
#include "tests/unit/hv/block/file_rig.h"

static void moves_data(enum block_file_engine engine)
{
	const char *path = make_file("data", SIZE);
	struct block *b = open_block(path, engine);
	uint8_t out[8192], in[8192], zero[4096] = { 0 };

	check_eq(block_file_engine(b), engine);
	check_eq(b->size, SIZE);
	check_eq(b->logical, 512);
	for (unsigned i = 0; i < sizeof out; i++)
		out[i] = (uint8_t)(i * 7 + i / 256);
	check_eq(run(b, BLOCK_WRITE, 4096, out, sizeof out, false), 0);
	check_eq(run(b, BLOCK_WRITE, SIZE - 512, out, 512, true), 0);
	check_eq(run(b, BLOCK_FLUSH, 0, NULL, 0, false), 0);
	check_eq(run(b, BLOCK_READ, 4096, in, sizeof in, false), 0);
	check(!memcmp(in, out, sizeof in));
	check_eq(run(b, BLOCK_DISCARD, 4096, NULL, 4096, false), 0);
	check_eq(run(b, BLOCK_WRITE_ZEROES, 8192, NULL, 512, true), 0);
	check_eq(run(b, BLOCK_READ, 4096, in, 8192, false), 0);
	check(!memcmp(in, zero, 4096));
	check(!memcmp(in + 4096, zero, 512));
	check(!memcmp(in + 4608, out + 4608, 8192 - 4608));
	block_free(b);
}

static void reads_and_writes(void)
{
	each_engine(moves_data);
}

/* More pieces than one system call takes: the request is cut and goes on where it stopped. */
static void moves_scattered_data(enum block_file_engine engine)
{
	enum { PIECES = 4096, PIECE = 1536 };
	const char *path = make_file("scattered", SIZE);
	struct block *b = open_block(path, engine);
	uint8_t *data = malloc(2 * PIECES * PIECE), *back = data + PIECES * PIECE;
	struct iovec *iov = malloc(PIECES * sizeof *iov);
	struct io io = { .calls = 0 };

	for (unsigned i = 0; i < PIECES * PIECE; i++)
		data[i] = (uint8_t)(i ^ i >> 9);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < PIECES; i++)
			iov[i] = (struct iovec){ (round ? back : data) + i * PIECE, PIECE };
		io.calls = 0;
		io.req = (struct block_req){ .op = round ? BLOCK_READ : BLOCK_WRITE, .len = PIECES * PIECE, .iov = iov,
			.iov_count = PIECES, .done = done, .ctx = &io };
		block_submit(b, &io.req);
		block_drain(b);
		check_eq(io.calls, 1);
		check_eq(io.result, 0);
	}
	check(!memcmp(data, back, PIECES * PIECE));
	block_free(b);
	free(iov);
	free(data);
}

static void long_scatter_lists_are_cut(void)
{
	each_engine(moves_scattered_data);
}

static void floods(enum block_file_engine engine)
{
	enum { N = 4 * FILE_OPS };
	const char *path = make_file("flood", SIZE);
	struct block *b = open_block(path, engine);
	struct io *io = calloc(N, sizeof *io);
	uint8_t (*data)[512] = calloc(N, 512);
	uint8_t in[512];

	for (unsigned i = 0; i < N; i++) {
		memset(data[i], (int)(i + 1), 512);
		submit(b, &io[i], BLOCK_WRITE, i * 512ull, data[i], 512);
	}
	block_drain(b);
	for (unsigned i = 0; i < N; i++) {
		check_eq(io[i].calls, 1);
		check_eq(io[i].result, 0);
	}
	check_eq(run(b, BLOCK_READ, (N - 1) * 512ull, in, 512, false), 0);
	check_eq(in[0], N % 256);
	block_free(b);
	free(io);
	free(data);
}

static void more_requests_than_fit_wait(void)
{
	each_engine(floods);
}

/* The doorbell rings for what did not end inside submit, and poll delivers it. */
static void rings(enum block_file_engine engine)
{
	const char *path = make_file("doorbell", SIZE);
	struct block *b = open_block(path, engine);
	struct file *f = container_of(b, struct file, b);
	uint8_t data[512] = { 1 };
	struct io io = { .calls = 0 };

	submit(b, &io, BLOCK_WRITE, 0, data, sizeof data);
	while (!io.calls) {
		struct pollfd p = { .fd = f->event_fd, .events = POLLIN };

		check_or_return(poll(&p, 1, 10000) == 1);
		block_file_poll(b);
	}
	check_eq(io.result, 0);
	block_free(b);
}

static void completions_ring_the_doorbell(void)
{
	each_engine(rings);
}

static struct io chain[3];
static struct block *chain_block;
static uint8_t chain_data[512];

static void chain_done(struct block_req *req, int r)
{
	struct io *io = req->ctx;

	io->result = r;
	io->calls++;
	if (io != &chain[2]) {
		io[1].req = io->req;
		io[1].req.ctx = io + 1;
		block_submit(chain_block, &io[1].req);
	}
}

static void submits_from_done(enum block_file_engine engine)
{
	struct iovec iov = { chain_data, 512 };

	memset(chain, 0, sizeof chain);
	chain_block = open_block(make_file("chain", SIZE), engine);
	chain[0].req = (struct block_req){ .op = BLOCK_READ, .len = 512, .iov = &iov, .iov_count = 1, .done = chain_done, .ctx = chain };
	block_submit(chain_block, &chain[0].req);
	block_drain(chain_block);
	for (unsigned i = 0; i < 3; i++)
		check_eq(chain[i].calls, 1);
	block_free(chain_block);
}

static void a_completion_may_submit(void)
{
	each_engine(submits_from_done);
}

static void shrinks(enum block_file_engine engine)
{
	const char *path = make_file("shrink", SIZE);
	struct block *b = open_block(path, engine);
	uint8_t data[4096];

	check(!truncate(path, 2048));
	check_eq(run(b, BLOCK_READ, 4096, data, 4096, false), -EIO);
	check_eq(run(b, BLOCK_READ, 0, data, 4096, false), -EIO);
	check_eq(run(b, BLOCK_READ, 0, data, 2048, false), 0);
	block_free(b);
}

static void a_file_cut_short_gives_eio(void)
{
	each_engine(shrinks);
}

static void without_space_or_hole_punching(void)
{
	struct block *b = open_block(make_file("plain", SIZE), BLOCK_FILE_POOL);
	struct file *f = container_of(b, struct file, b);
	uint8_t ones[8192], in[8192], zero[4096] = { 0 };

	memset(ones, 0xff, sizeof ones);
	f->no_zero_range = f->no_discard = true;
	check_eq(run(b, BLOCK_WRITE, 0, ones, sizeof ones, false), 0);
	check_eq(run(b, BLOCK_DISCARD, 0, NULL, 4096, false), 0);
	check_eq(run(b, BLOCK_WRITE_ZEROES, 4096, NULL, 4096, false), 0);
	check_eq(run(b, BLOCK_READ, 0, in, sizeof in, false), 0);
	check(!memcmp(in, ones, 4096));
	check(!memcmp(in + 4096, zero, 4096));
	check_eq(run(b, BLOCK_WRITE_ZEROES, 0, NULL, SIZE, true), 0);
	check_eq(run(b, BLOCK_READ, 0, in, sizeof in, false), 0);
	check(!memcmp(in, zero, 4096));
	block_free(b);
}

static void a_locked_disk_is_refused(void)
{
	const char *path = make_file("locked", SIZE);
	struct block *b = open_block(path, BLOCK_FILE_POOL), *second = NULL;
	char expected[600];
	struct err err = { 0 };
	auto_close int fd = -1;

	snprintf(expected, sizeof expected, "%s: disk is in use by another process (locked); stop it first", path);
	check_eq(block_file_open(path, false, NULL, &second, &err), -EBUSY);
	check_str(err.text, expected);
	err.text[0] = 0;
	check_eq(block_file_open(path, true, NULL, &second, &err), -EBUSY);
	check_str(err.text, expected);
	block_free(b);
	check(!second);
	/* Only the lock that other hypervisors take. */
	fd = open(path, O_RDWR | O_CLOEXEC);
	check(!fcntl(fd, F_OFD_SETLK, &(struct flock){ .l_type = F_RDLCK, .l_start = 100, .l_len = 1 }));
	err.text[0] = 0;
	check_eq(block_file_open(path, false, NULL, &second, &err), -EBUSY);
	check_str(err.text, expected);
}

static void readers_share(void)
{
	const char *path = make_file("shared", SIZE);
	struct block *a = NULL, *b = NULL, *c = NULL;
	uint8_t data[512];

	check_eq(block_file_open(path, true, NULL, &a, NULL), 0);
	check_eq(block_file_open(path, true, NULL, &b, NULL), 0);
	check_eq(block_file_open(path, false, NULL, &c, NULL), -EBUSY);
	check_or_return(a && b);
	check(a->readonly && !a->can_discard);
	check_eq(run(a, BLOCK_READ, 0, data, 512, false), 0);
	check_eq(run(a, BLOCK_WRITE, 0, data, 512, false), -EROFS);
	block_free(a);
	block_free(b);
}

static void unsuitable_files_are_refused(void)
{
	const char *odd = make_file("odd", 1000), *empty = make_file("empty", 0), *fifo = suite_tmp("fifo");
	char expected[600];
	struct block *b = NULL;
	struct err err = { 0 };

	snprintf(expected, sizeof expected, "%s: size of 1000 bytes is not a multiple of its 512-byte sectors", odd);
	check_eq(block_file_open(odd, false, NULL, &b, &err), -EINVAL);
	check_str(err.text, expected);
	check_eq(block_file_open(empty, false, NULL, &b, NULL), -EINVAL);
	check_eq(block_file_open("/nonexistent/disk", false, NULL, &b, &err), -ENOENT);
	check_str(err.text, "/nonexistent/disk: No such file or directory");
	check(!mkfifo(fifo, 0600));
	snprintf(expected, sizeof expected, "%s: neither a file nor a block device", fifo);
	check_eq(block_file_open(fifo, false, NULL, &b, &err), -EINVAL);
	check_str(err.text, expected);
	check(!b);
}

/*
 * A worker of the kernel that is late sets the sign of deferred work when the owner has taken that work already. The owner must not
 * ask for it until the end of days.
 */
static void a_sign_of_work_without_work_is_left_alone(void)
{
	const char *path = make_file("sign", SIZE);
	uint8_t data[4096] = { 1 };
	struct err err = { 0 };
	struct io_uring *ring;
	struct block *b;

	if (block_file_open_engine(path, false, BLOCK_FILE_URING, NULL, &b, &err)) {
		suite_note("no io_uring here: %s", err.text);
		return;
	}
	ring = container_of(b, struct file, b)->engine_data;
	alarm(20);
	__atomic_or_fetch(ring->sq.kflags, IORING_SQ_TASKRUN, __ATOMIC_SEQ_CST);
	block_file_poll(b);
	check_eq(run(b, BLOCK_WRITE, 0, data, sizeof data, false), 0);
	__atomic_or_fetch(ring->sq.kflags, IORING_SQ_TASKRUN, __ATOMIC_SEQ_CST);
	check_eq(run(b, BLOCK_FLUSH, 0, NULL, 0, false), 0);
	alarm(0);
	block_free(b);
}

/* An engine whose first sync is interrupted, as a network file system's may be. */
static struct file_engine_ops interrupted;
static struct file_op *(*real_reap)(struct file *f);
static unsigned syncs;

static struct file_op *reap_interrupted(struct file *f)
{
	struct file_op *op = real_reap(f);

	if (op && op->call == FILE_SYNC && !syncs++)
		op->result = -EINTR;
	return op;
}

static void zeroes_stay_inside_when_their_sync_is_tried_again(void)
{
	const char *path = make_file("zero-sync", SIZE);
	struct block *b = open_block(path, BLOCK_FILE_POOL);
	struct file *f = container_of(b, struct file, b);
	static uint8_t data[65536], back[65536];

	memset(data, 0x5a, sizeof data);
	check_eq(run(b, BLOCK_WRITE, 0, data, sizeof data, false), 0);
	interrupted = *f->engine;
	real_reap = interrupted.reap;
	interrupted.reap = reap_interrupted;
	f->engine = &interrupted;
	syncs = 0;
	check_eq(run(b, BLOCK_WRITE_ZEROES, 4096, NULL, 4096, true), 0);
	check_eq(run(b, BLOCK_READ, 0, back, sizeof back, false), 0);
	memset(data + 4096, 0, 4096);
	check(!memcmp(data, back, sizeof data));
	if (f->no_zero_range)
		suite_note("no zero range here: zeroes were written");
	else
		check_eq(syncs, 2);
	block_free(b);
	unlink(path);
}

static void (*real_start)(struct file *f, struct file_op *op);
static uint64_t longest;

static void start_measured(struct file *f, struct file_op *op)
{
	longest = op->len > longest ? op->len : longest;
	real_start(f, op);
}

/* A guest may ask for as much as it has memory, twice over; starting an operation costs time under the device lock. */
static void no_operation_is_longer_than_a_moment(enum block_file_engine engine)
{
	const char *path = make_file("longest", SIZE);
	struct block *b = open_block(path, engine);
	static uint8_t data[3 * FILE_MOST / 2], back[2 * sizeof data];
	struct file *f = container_of(b, struct file, b);
	struct file_engine_ops measured = *f->engine;
	struct iovec iov[2];
	struct io io = { .calls = 0 };

	real_start = measured.start;
	measured.start = start_measured;
	f->engine = &measured;
	longest = 0;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i / 512 + i);
	for (unsigned i = 0; i < 2; i++)
		iov[i] = (struct iovec){ data, sizeof data };
	io.req = (struct block_req){ .op = BLOCK_WRITE, .off = 4096, .len = 2 * sizeof data, .iov = iov, .iov_count = 2, .done = done,
		.ctx = &io };
	block_submit(b, &io.req);
	block_drain(b);
	check_eq(io.calls, 1);
	check_eq(io.result, 0);
	check_eq(run(b, BLOCK_READ, 4096, back, sizeof back, false), 0);
	for (unsigned i = 0; i < 2; i++)
		check(!memcmp(data, back + i * sizeof data, sizeof data));
	f->no_zero_range = true;
	check_eq(run(b, BLOCK_WRITE_ZEROES, 4096, NULL, sizeof back, false), 0);
	check_eq(run(b, BLOCK_READ, 4096, back, sizeof back, false), 0);
	check(!back[0] && !memcmp(back, back + 1, sizeof back - 1));
	check_eq(longest, FILE_MOST);
	block_free(b);
	unlink(path);
}

static void long_requests_go_step_by_step(void)
{
	each_engine(no_operation_is_longer_than_a_moment);
}

static const struct test tests[] = {
	{ "a sign of work without work is left alone", a_sign_of_work_without_work_is_left_alone },
	{ "long requests go step by step", long_requests_go_step_by_step },
	{ "zeroes stay inside when their sync is tried again", zeroes_stay_inside_when_their_sync_is_tried_again },
	{ "reads, writes, flushes, discards and zeroes", reads_and_writes },
	{ "long scatter lists are cut", long_scatter_lists_are_cut },
	{ "more requests than fit wait", more_requests_than_fit_wait },
	{ "completions ring the doorbell", completions_ring_the_doorbell },
	{ "a completion may submit", a_completion_may_submit },
	{ "a file cut short gives EIO", a_file_cut_short_gives_eio },
	{ "works without hole punching", without_space_or_hole_punching },
	{ "a locked disk is refused", a_locked_disk_is_refused },
	{ "readers share", readers_share },
	{ "unsuitable files are refused", unsuitable_files_are_refused },
	{ NULL, NULL },
};
const struct suite suite_hv_block_file = { tests };
