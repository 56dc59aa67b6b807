/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/block/file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "hv/block/file_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

#define MAX_TRIES 16
#define ROUND 256	/* completions delivered before others have their turn */

static const uint8_t zeroes[65536] __attribute__((aligned(4096)));

/* ---- one request, operation by operation */

/* The rest of the request's scatter list, at most what one call takes, and what the kernel starts in a moment. */
static void cut_iov(struct file_op *op)
{
	const struct block_req *req = op->req;
	uint64_t skip = op->done;
	unsigned i = 0;

	if (!skip && req->iov_count <= FILE_MAX_IOV && req->len <= FILE_MOST) {
		op->iov = req->iov;
		op->iov_count = req->iov_count;
		op->len = req->len;
		return;
	}
	op->iov = op->window;
	op->iov_count = 0;
	op->len = 0;
	for (; skip >= req->iov[i].iov_len; i++)
		skip -= req->iov[i].iov_len;
	for (; i < req->iov_count && op->iov_count < FILE_WINDOW && op->len < FILE_MOST; i++, skip = 0) {
		uint64_t n = req->iov[i].iov_len - skip, room = FILE_MOST - op->len;

		op->window[op->iov_count++] = (struct iovec){ (uint8_t *)req->iov[i].iov_base + skip, n < room ? n : room };
		op->len += n < room ? n : room;
	}
}

static void cut_zeroes(struct file_op *op)
{
	uint64_t left = op->req->len - op->done;

	if (left > FILE_MOST)
		left = FILE_MOST;
	op->iov = op->window;
	op->iov_count = 0;
	op->len = 0;
	while (left) {
		size_t n = left < sizeof zeroes ? (size_t)left : sizeof zeroes;

		op->window[op->iov_count++] = (struct iovec){ .iov_base = (void *)zeroes, .iov_len = n };
		op->len += n;
		left -= n;
	}
}

static int next_call(const struct file *f, struct file_op *op)
{
	const struct block_req *req = op->req;

	op->off = req->off + op->done;
	op->mode = 0;
	op->bounced = false;
	switch (req->op) {
	case BLOCK_READ:
		op->call = FILE_READV;
		cut_iov(op);
		break;
	case BLOCK_WRITE:
		op->call = FILE_WRITEV;
		op->mode = req->fua ? RWF_DSYNC : 0;
		cut_iov(op);
		break;
	case BLOCK_WRITE_ZEROES:
		if (op->zeroing) {
			op->call = FILE_WRITEV;
			op->mode = req->fua ? RWF_DSYNC : 0;
			cut_zeroes(op);
			break;
		}
		op->call = FILE_FALLOCATE;
		op->mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
		op->len = req->len;
		break;
	case BLOCK_DISCARD:
		op->call = FILE_FALLOCATE;
		op->mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		op->len = req->len;
		break;
	default:
		op->call = FILE_SYNC;
	}
	if (f->direct && (op->call == FILE_READV || op->call == FILE_WRITEV) && !file_direct_fits(f, op->iov, op->iov_count))
		return file_direct_bounce(f, op);
	return 0;
}

static void finish(struct file *f, struct file_op *op, int result)
{
	struct block_req *req = op->req;

	free(op->bounce);
	op->bounce = NULL;
	op->next = f->free_ops;
	f->free_ops = op;
	f->in_flight--;
	req->done(req, result);
}

static void start(struct file *f, struct file_op *op)
{
	f->started++;
	f->engine->start(f, op);
}

static void go_on(struct file *f, struct file_op *op)
{
	int r = next_call(f, op);

	if (r)
		finish(f, op, r);
	else
		start(f, op);
}

static void begin(struct file *f, struct block_req *req)
{
	struct file_op *op = f->free_ops;

	f->free_ops = op->next;
	f->in_flight++;
	op->req = req;
	op->done = 0;
	op->tries = 0;
	op->zeroing = f->no_zero_range;
	go_on(f, op);
}

/* Refusals that have another way. True: the operation goes on, or *result is what the request ends with. */
static bool refused(struct file *f, struct file_op *op, int *result)
{
	/* -EBUSY: pages of the device are in use in this moment, by a process that reads it through the page cache */
	if (*result != -EOPNOTSUPP && *result != -EINVAL && *result != -ENOSYS && *result != -EBUSY)
		return false;
	if (op->req->op == BLOCK_DISCARD) {
		/* A discard is advice; a volume that cannot take it keeps the data. */
		f->no_discard = *result != -EBUSY;
		*result = 0;
		return true;
	}
	if (op->req->op == BLOCK_WRITE_ZEROES && !op->zeroing) {
		f->no_zero_range = *result != -EBUSY;
		op->zeroing = true;
		*result = -EAGAIN;
		return true;
	}
	return false;
}

/* A result from the engine: continue after a short transfer, or end the request. */
static void advance(struct file *f, struct file_op *op)
{
	int r = op->result;
	bool retry = r == -EAGAIN || r == -EINTR || r == -ECANCELED;

	if (refused(f, op, &r))
		retry = r == -EAGAIN;
	if (r < 0 && !(retry && op->tries++ < MAX_TRIES)) {
		finish(f, op, r == -ECANCELED ? -EIO : r);
		return;
	}
	if (r >= 0 && (op->call == FILE_READV || op->call == FILE_WRITEV)) {
		if (!r) {	/* the volume became shorter under us */
			finish(f, op, -EIO);
			return;
		}
		op->tries = 0;
		file_direct_return(op, (uint64_t)r);
		op->done += (uint64_t)r;
	} else if (r >= 0) {
		/* Not done before the sync, which may have to be tried again: with the zeroes, from their beginning. */
		if (op->call == FILE_FALLOCATE && op->req->fua && op->req->op == BLOCK_WRITE_ZEROES) {
			op->call = FILE_SYNC;
			start(f, op);
			return;
		}
		op->done = op->req->len;
	}
	if (r >= 0 && op->done == op->req->len) {
		finish(f, op, 0);
		return;
	}
	go_on(f, op);
}

/* ---- the layer */

static void ring(struct file *f)
{
	uint64_t one = 1;

	if (f->rung)
		return;
	f->rung = true;
	/* A full counter rings just the same. */
	if (write(f->event_fd, &one, sizeof one) < 0 && errno != EAGAIN)
		log_limited(LOG_WARN, "%s: doorbell: %s", f->path, strerror(errno));
}

static bool can_begin(const struct file *f)
{
	return f->waiting && f->free_ops;
}

static void begin_waiting(struct file *f)
{
	while (can_begin(f)) {
		struct block_req *req = f->waiting;

		f->waiting = req->next;
		if (!f->waiting)
			f->waiting_end = &f->waiting;
		begin(f, req);
	}
}

static void take_results(struct file *f, unsigned *budget)
{
	struct file_op *op;

	while (*budget && (op = f->engine->reap(f))) {
		(*budget)--;
		advance(f, op);
	}
}

/*
 * On the owner's thread. Set going what waits and deliver what has ended, until there is neither or the round is over.
 * Completions may submit again: the outermost call takes those, so that the stack stays flat and they go together.
 */
static void deliver(struct file *f)
{
	unsigned budget = ROUND;
	bool all;

	if (f->delivering)
		return;
	f->delivering = true;
	f->engine->quiet(f);
	do {
		do {
			begin_waiting(f);
			f->started = 0;
			all = f->engine->kick(f);
			take_results(f, &budget);
		} while (budget && all && (f->started || can_begin(f)));
	} while (f->engine->listen(f) && budget && all);
	f->delivering = false;
	if (!budget || !all)
		ring(f);
}

/* Whoever may not deliver leaves that to the owner: completion work is none of a vCPU's. */
static void run(struct file *f)
{
	if (pthread_equal(f->owner, pthread_self()))
		deliver(f);
	else
		ring(f);
}

static void submit(struct block *b, struct block_req *req)
{
	struct file *f = container_of(b, struct file, b);

	if (req->op == BLOCK_DISCARD && f->no_discard) {
		req->done(req, 0);
		return;
	}
	req->next = NULL;
	*f->waiting_end = req;
	f->waiting_end = &req->next;
	if (!f->plugs)
		run(f);
}

static void plug(struct block *b)
{
	container_of(b, struct file, b)->plugs++;
}

static void unplug(struct block *b)
{
	struct file *f = container_of(b, struct file, b);

	bug_on(!f->plugs);
	if (!--f->plugs && f->waiting)
		run(f);
}

static void drain(struct block *b)
{
	struct file *f = container_of(b, struct file, b);

	if (f->delivering)
		return;
	bug_on(!pthread_equal(f->owner, pthread_self()));
	deliver(f);
	while (f->in_flight || f->waiting) {
		f->engine->wait(f);
		deliver(f);
	}
}

void file_on_event(void *ctx, int fd, uint32_t events)
{
	struct file *f = ctx;

	f->rung = false;
	deliver(f);
}

void block_file_poll(struct block *b)
{
	struct file *f = container_of(b, struct file, b);
	uint64_t count;

	/* Only a doorbell: whatever it counts, all there is gets delivered. */
	if (read(f->event_fd, &count, sizeof count) < 0 && errno != EAGAIN)
		log_limited(LOG_WARN, "%s: doorbell: %s", f->path, strerror(errno));
	file_on_event(f, f->event_fd, EPOLLIN);
}

enum block_file_engine block_file_engine(const struct block *b)
{
	return container_of(b, struct file, b)->engine->kind;
}

/* Also of a half open one. */
static void free_file(struct block *b)
{
	struct file *f = container_of(b, struct file, b);

	loop_watch_remove(f->watch);
	if (f->engine)
		f->engine->free(f);
	scope_close(&f->event_fd);
	scope_close(&f->claim_fd);
	scope_close(&f->fd);	/* drops the locks */
	free(f->path);
	free(f);
}

const struct block_ops file_ops = {
	.name = "file", .submit = submit, .drain = drain, .free = free_file, .plug = plug, .unplug = unplug,
};
