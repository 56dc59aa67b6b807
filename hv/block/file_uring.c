/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include "hv/block/file_priv.h"

static int create(struct file *f)
{
	struct io_uring *ring = calloc(1, sizeof *ring);
	int r;

	if (!ring)
		return -ENOMEM;
	r = io_uring_queue_init(FILE_OPS, ring, 0);
	if (r) {
		free(ring);
		return r;
	}
	r = io_uring_ring_dontfork(ring);
	if (!r)
		r = io_uring_register_eventfd_async(ring, f->event_fd);
	if (r) {
		io_uring_queue_exit(ring);
		free(ring);
		return r;
	}
	f->engine_data = ring;
	return 0;
}

/*
 * Operations go straight to the kernel's workers. Left to itself the kernel would finish a read on the submitting
 * thread, which is a vCPU in the guest: each completion would cost it an exit. What needs no waiting was done before.
 */
static void start(struct file *f, struct file_op *op)
{
	struct io_uring *ring = f->engine_data;
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	int r;

	bug_on(!sqe);	/* the ring has FILE_OPS entries and start submits each at once */
	switch (op->call) {
	case FILE_READV:
		io_uring_prep_readv(sqe, f->fd, op->iov, op->iov_count, op->off);
		break;
	case FILE_WRITEV:
		io_uring_prep_writev2(sqe, f->fd, op->iov, op->iov_count, op->off, op->mode);
		break;
	case FILE_SYNC:
		io_uring_prep_fsync(sqe, f->fd, IORING_FSYNC_DATASYNC);
		break;
	case FILE_FALLOCATE:
		io_uring_prep_fallocate(sqe, f->fd, op->mode, (off_t)op->off, (off_t)op->len);
		break;
	}
	io_uring_sqe_set_data(sqe, op);
	sqe->flags |= IOSQE_ASYNC;
	do
		r = io_uring_submit(ring);
	while (r == -EINTR || r == -EAGAIN || r == -EBUSY);
	bug_on(r < 1);
}

static struct file_op *reap(struct file *f, bool wait)
{
	struct io_uring *ring = f->engine_data;
	struct io_uring_cqe *cqe;
	struct file_op *op;

	if (wait ? io_uring_wait_cqe(ring, &cqe) : io_uring_peek_cqe(ring, &cqe))
		return NULL;
	op = io_uring_cqe_get_data(cqe);
	op->result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return op;
}

static void free_engine(struct file *f)
{
	io_uring_queue_exit(f->engine_data);
	free(f->engine_data);
}

const struct file_engine_ops file_uring = {
	.kind = BLOCK_FILE_URING, .create = create, .start = start, .reap = reap, .free = free_engine,
};
