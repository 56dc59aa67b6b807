/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the file layer share: real files, one request at a time or many. */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include "hv/block/file_priv.h"
#include "lib/scope.h"
#include "tests/unit/suite.h"

#define SIZE (8u << 20)

struct io {
	struct block_req req;
	struct iovec iov;
	int result;
	unsigned calls;
};

static inline void done(struct block_req *req, int r)
{
	struct io *io = req->ctx;

	io->result = r;
	io->calls++;
}

static inline void submit(struct block *b, struct io *io, enum block_op op, uint64_t off, void *data, size_t len)
{
	io->iov = (struct iovec){ data, len };
	io->req = (struct block_req){ .op = op, .off = off, .len = len, .done = done, .ctx = io, .fua = io->req.fua };
	if (op == BLOCK_READ || op == BLOCK_WRITE) {
		io->req.iov = &io->iov;
		io->req.iov_count = 1;
	}
	io->result = 1;
	io->calls = 0;
	block_submit(b, &io->req);
}

static inline int run(struct block *b, enum block_op op, uint64_t off, void *data, size_t len, bool fua)
{
	struct io io = { .req.fua = fua };

	submit(b, &io, op, off, data, len);
	block_drain(b);
	check_eq(io.calls, 1);
	return io.result;
}

static inline const char *make_file(const char *name, off_t size)
{
	const char *path = suite_tmp(name);
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	CU_ASSERT_FATAL(fd >= 0 && !ftruncate(fd, size));
	return path;
}

static inline struct block *open_block(const char *path, enum block_file_engine engine)
{
	struct block *b = NULL;
	struct err err = { 0 };

	if (block_file_open_engine(path, false, engine, NULL, &b, &err))
		suite_note("%s", err.text);
	CU_ASSERT_FATAL(b != NULL);
	return b;
}

static inline bool has_uring(void)
{
	const char *path = make_file("probe", 4096);
	struct block *b = NULL;
	int r = block_file_open_engine(path, false, BLOCK_FILE_URING, NULL, &b, NULL);

	block_free(b);
	unlink(path);
	return !r;
}

static inline void each_engine(void (*test)(enum block_file_engine))
{
	test(BLOCK_FILE_POOL);
	if (has_uring())
		test(BLOCK_FILE_URING);
	else
		suite_note("io_uring is refused here: only the thread pool is tested");
}
