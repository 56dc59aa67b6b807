/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations by io_uring. Only the owner's thread enters the ring: the kernel finishes what a thread submitted on that
 * thread, and on a vCPU each completion would cost the guest an exit. Newer kernels also leave completions alone until
 * the owner comes for them (IORING_SETUP_DEFER_TASKRUN, Linux 6.1), so that they come in batches.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include "hv/block/file_priv.h"

#define LONG_READ (128u << 10)

struct uring {
	struct io_uring ring;		/* first: a test looks at its flags */
	bool deferred;
	bool silent;			/* the doorbell is off */
};

static int create_ring(struct uring *u)
{
	int r = io_uring_queue_init(FILE_OPS, &u->ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL);

	u->deferred = !r;
	return r == -EINVAL ? io_uring_queue_init(FILE_OPS, &u->ring, 0) : r;
}

static int create(struct file *f)
{
	struct uring *u = calloc(1, sizeof *u);
	int r;

	if (!u)
		return -ENOMEM;
	r = create_ring(u);
	if (r) {
		free(u);
		return r;
	}
	r = io_uring_ring_dontfork(&u->ring);
	if (!r)
		r = io_uring_register_eventfd(&u->ring, f->event_fd);
	if (r) {
		io_uring_queue_exit(&u->ring);
		free(u);
		return r;
	}
	f->engine_data = u;
	return 0;
}

/* One piece needs no copy of a scatter list in the kernel. */
static void prepare_move(const struct file *f, struct io_uring_sqe *sqe, const struct file_op *op)
{
	bool write = op->call == FILE_WRITEV;

	if (op->iov_count == 1 && op->iov->iov_len <= INT32_MAX)
		io_uring_prep_rw(write ? IORING_OP_WRITE : IORING_OP_READ, sqe, f->fd, op->iov->iov_base, (unsigned)op->iov->iov_len,
			op->off);
	else
		io_uring_prep_rw(write ? IORING_OP_WRITEV : IORING_OP_READV, sqe, f->fd, op->iov, op->iov_count, op->off);
	sqe->rw_flags = op->mode;
	/* Copies out of the page cache: by several of the kernel's workers at a time, and not under the device lock. */
	if (!write && !f->direct && op->len >= LONG_READ)
		sqe->flags |= IOSQE_ASYNC;
}

static void start(struct file *f, struct file_op *op)
{
	struct uring *u = f->engine_data;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	bug_on(!sqe);	/* the ring has an entry for each operation */
	switch (op->call) {
	case FILE_READV:
	case FILE_WRITEV:
		prepare_move(f, sqe, op);
		break;
	case FILE_SYNC:
		io_uring_prep_fsync(sqe, f->fd, IORING_FSYNC_DATASYNC);
		break;
	case FILE_FALLOCATE:
		io_uring_prep_fallocate(sqe, f->fd, op->mode, (off_t)op->off, (off_t)op->len);
		break;
	}
	io_uring_sqe_set_data(sqe, op);
}

/* Does the kernel hold completions back for us? */
static bool owed(const struct uring *u)
{
	return IO_URING_READ_ONCE(*u->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static bool kick(struct file *f)
{
	struct uring *u = f->engine_data;
	int r = 0;

	while (io_uring_sq_ready(&u->ring) && (r >= 0 || r == -EINTR))
		r = io_uring_submit_and_get_events(&u->ring);
	if (owed(u))
		io_uring_get_events(&u->ring);
	/* Out of memory, or too much to reap: the entries stay where they are, and the next kick takes them. */
	bug_on(r < 0 && r != -EAGAIN && r != -EBUSY && r != -ENOMEM && r != -EINTR);
	return !io_uring_sq_ready(&u->ring);
}

static struct file_op *reap(struct file *f)
{
	struct uring *u = f->engine_data;
	struct io_uring_cqe *cqe;
	struct file_op *op;
	unsigned head;

	io_uring_for_each_cqe(&u->ring, head, cqe) {
		op = io_uring_cqe_get_data(cqe);
		op->result = cqe->res;
		io_uring_cqe_seen(&u->ring, cqe);
		return op;
	}
	return NULL;
}

static void wait_cqe(struct file *f)
{
	struct uring *u = f->engine_data;

	if (io_uring_cq_ready(&u->ring))
		return;
	io_uring_submit_and_wait(&u->ring, 1);	/* what goes wrong goes wrong again in kick */
}

/*
 * The flag pair works without a fence on the kernel's side only where completions come as deferred work, which the kernel
 * announces with an atomic operation (x86: a full barrier) before it looks at the flag.
 */
static void quiet(struct file *f)
{
	struct uring *u = f->engine_data;

	u->silent = u->deferred;
	if (u->deferred)
		io_uring_cq_eventfd_toggle(&u->ring, false);
}

/*
 * Only what came while the doorbell was off is asked for: what came since has rung. The kernel's own sign of deferred work is no
 * answer then. Its worker puts work into the list first and sets the sign afterwards; when the owner takes the work in between,
 * the sign stays, with nothing behind it, until there is work again.
 */
static bool listen_again(struct file *f)
{
	struct uring *u = f->engine_data;
	bool was_silent = u->silent;

	u->silent = false;
	if (u->deferred)
		io_uring_cq_eventfd_toggle(&u->ring, true);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);	/* with the kernel: work is announced, then the flag is read */
	return io_uring_cq_ready(&u->ring) || (was_silent && owed(u));
}

static void free_engine(struct file *f)
{
	struct uring *u = f->engine_data;

	io_uring_queue_exit(&u->ring);
	free(u);
}

const struct file_engine_ops file_uring = {
	.kind = BLOCK_FILE_URING, .create = create, .start = start, .kick = kick, .reap = reap, .wait = wait_cqe, .quiet = quiet,
	.listen = listen_again, .free = free_engine,
};
