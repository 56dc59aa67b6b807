/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/block/file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hv/block/file_priv.h"
#include "lib/bits.h"
#include "lib/log.h"
#include "lib/scope.h"

#define INLINE_MAX (1u << 20)	/* longest read tried on the submitting thread */
#define MAX_TRIES 16

static const uint8_t zeroes[65536];

/* ---- one request, operation by operation */

/* The rest of the request's scatter list, at most what one call takes. */
static void cut_iov(struct file_op *op)
{
	const struct block_req *req = op->req;
	uint64_t skip = op->done;
	unsigned i = 0;

	if (!skip && req->iov_count <= FILE_MAX_IOV) {
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
	for (; i < req->iov_count && op->iov_count < FILE_WINDOW; i++, skip = 0) {
		struct iovec *v = &op->window[op->iov_count++];

		v->iov_base = (uint8_t *)req->iov[i].iov_base + skip;
		v->iov_len = req->iov[i].iov_len - skip;
		op->len += v->iov_len;
	}
}

static void cut_zeroes(struct file_op *op)
{
	uint64_t left = op->req->len - op->done;

	op->iov = op->window;
	op->iov_count = 0;
	op->len = 0;
	while (left && op->iov_count < FILE_WINDOW) {
		size_t n = left < sizeof zeroes ? (size_t)left : sizeof zeroes;

		op->window[op->iov_count++] = (struct iovec){ .iov_base = (void *)zeroes, .iov_len = n };
		op->len += n;
		left -= n;
	}
}

static void next_call(const struct file *f, struct file_op *op)
{
	const struct block_req *req = op->req;

	op->off = req->off + op->done;
	op->mode = 0;
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
}

/* What the page cache holds needs no other thread. True when the whole request is read. */
static bool read_cached(struct file *f, struct file_op *op)
{
	ssize_t r;

	if (f->no_nowait || op->req->len > INLINE_MAX)
		return false;
	r = preadv2(f->fd, op->iov, (int)op->iov_count, (off_t)op->off, RWF_NOWAIT);
	if (r < 0) {
		f->no_nowait = errno == EOPNOTSUPP;
		return false;
	}
	op->done += (uint64_t)r;
	return op->done == op->req->len;
}

static void finish(struct file *f, struct file_op *op, int result)
{
	struct block_req *req = op->req;

	op->next = f->free_ops;
	f->free_ops = op;
	f->in_flight--;
	req->done(req, result);
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
	next_call(f, op);
	if (req->op == BLOCK_READ) {
		if (read_cached(f, op)) {
			finish(f, op, 0);
			return;
		}
		if (op->done)
			next_call(f, op);
	}
	f->engine->start(f, op);
}

/* Refusals that have another way. True: the operation goes on, or *result is what the request ends with. */
static bool refused(struct file *f, struct file_op *op, int *result)
{
	if (*result != -EOPNOTSUPP && *result != -EINVAL && *result != -ENOSYS)
		return false;
	if (op->req->op == BLOCK_DISCARD) {
		/* A discard is advice; a volume that cannot take it keeps the data. */
		f->no_discard = true;
		*result = 0;
		return true;
	}
	if (op->req->op == BLOCK_WRITE_ZEROES && !op->zeroing) {
		f->no_zero_range = op->zeroing = true;
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
		op->done += (uint64_t)r;
	} else if (r >= 0) {
		op->done = op->req->len;
		if (op->call == FILE_FALLOCATE && op->req->fua && op->req->op == BLOCK_WRITE_ZEROES) {
			op->call = FILE_SYNC;
			f->engine->start(f, op);
			return;
		}
	}
	if (r >= 0 && op->done == op->req->len) {
		finish(f, op, 0);
		return;
	}
	next_call(f, op);
	f->engine->start(f, op);
}

/* ---- the layer */

/* Completions may submit again: the outermost call takes the next ones, so that the stack stays flat. */
static void pump(struct file *f, bool wait)
{
	struct file_op *op;

	if (f->reaping)
		return;
	f->reaping = true;
	for (;;) {
		while (f->waiting && f->free_ops) {
			struct block_req *req = f->waiting;

			f->waiting = req->next;
			if (!f->waiting)
				f->waiting_end = &f->waiting;
			begin(f, req);
		}
		op = f->engine->reap(f, wait && f->in_flight);
		if (op)
			advance(f, op);
		else if (!wait || (!f->in_flight && !f->waiting))
			break;
	}
	f->reaping = false;
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
	pump(f, false);
}

static void drain(struct block *b)
{
	pump(container_of(b, struct file, b), true);
}

static void on_event(void *ctx, int fd, uint32_t events)
{
	uint64_t count;

	/* Only a doorbell: whatever it counts, pump takes all there is. */
	if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
		log_limited(LOG_WARN, "disk: completion event: %s", strerror(errno));
	pump(ctx, false);
}

void block_file_poll(struct block *b)
{
	struct file *f = container_of(b, struct file, b);

	on_event(f, f->event_fd, EPOLLIN);
}

enum block_file_engine block_file_engine(const struct block *b)
{
	return container_of(b, struct file, b)->engine->kind;
}

static void free_file(struct block *b)
{
	struct file *f = container_of(b, struct file, b);

	if (f->watch)
		loop_watch_remove(f->watch);
	f->engine->free(f);
	close(f->event_fd);
	close(f->fd);	/* drops the locks */
	free(f);
}

static const struct block_ops ops = { .name = "file", .submit = submit, .drain = drain, .free = free_file };

/* ---- opening */

static int in_use(const char *path, struct err *err)
{
	return err_set(err, -EBUSY, "%s: disk is in use by another process (locked); stop it first", path);
}

/* flock is what people's tools use; the open-file-description lock is what other hypervisors respect. */
static int lock(int fd, const char *path, bool readonly, struct err *err)
{
	struct flock whole = { .l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (flock(fd, (readonly ? LOCK_SH : LOCK_EX) | LOCK_NB)) {
		if (errno == EWOULDBLOCK)
			return in_use(path, err);
		return err_set(err, -errno, "%s: cannot lock: %s", path, strerror(errno));
	}
	if (fcntl(fd, F_OFD_SETLK, &whole)) {
		if (errno == EAGAIN || errno == EACCES)
			return in_use(path, err);
		return err_set(err, -errno, "%s: cannot lock: %s", path, strerror(errno));
	}
	return 0;
}

static int open_fd(const char *path, bool readonly, bool *is_device, int *fd, struct err *err)
{
	int flags = (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	struct stat st;

	/* Look before opening: opening a FIFO or a tape has effects. */
	if (stat(path, &st))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, -EINVAL, "%s: neither a file nor a block device", path);
	*is_device = S_ISBLK(st.st_mode);
	*fd = open(path, flags | (*is_device && !readonly ? O_EXCL : 0));
	if (*fd < 0 && errno == EBUSY)
		return err_set(err, -EBUSY, "%s: device is in use (mounted, or part of another device); release it first", path);
	if (*fd < 0)
		return err_set(err, -errno, "%s: cannot open: %s", path, strerror(errno));
	return 0;
}

static int measure(struct file *f, const char *path, struct err *err)
{
	struct stat st;
	unsigned physical = 0;
	int logical = 0;

	if (fstat(f->fd, &st))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	f->b.logical = 512;
	f->b.physical = 4096;
	f->b.size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(f->fd, BLKGETSIZE64, &f->b.size) || ioctl(f->fd, BLKSSZGET, &logical) || ioctl(f->fd, BLKPBSZGET, &physical))
			return err_set(err, -errno, "%s: cannot read size: %s", path, strerror(errno));
		f->b.logical = (uint32_t)logical;
		f->b.physical = physical;
	}
	if (f->b.logical < 512 || !bits_is_pow2(f->b.logical))
		return err_set(err, -EINVAL, "%s: sectors of %u bytes are not supported", path, f->b.logical);
	if (!f->b.size || f->b.size & (f->b.logical - 1))
		return err_set(err, -EINVAL, "%s: size of %llu bytes is not a multiple of its %u-byte sectors", path,
			(unsigned long long)f->b.size, f->b.logical);
	return 0;
}

static int start_engine(struct file *f, const char *path, enum block_file_engine engine, struct err *err)
{
	int r = 0;

	f->engine = engine == BLOCK_FILE_POOL ? &file_pool : &file_uring;
	r = f->engine->create(f);
	if (r && engine == BLOCK_FILE_AUTO) {
		log_info("%s: no io_uring (%s), using threads", path, strerror(-r));
		f->engine = &file_pool;
		r = f->engine->create(f);
	}
	return r ? err_set(err, r, "%s: cannot start disk I/O: %s", path, strerror(-r)) : 0;
}

int block_file_open_engine(const char *path, bool readonly, enum block_file_engine engine, struct loop *loop, struct block **b,
	struct err *err)
{
	auto_close int fd = -1;
	auto_close int event_fd = -1;
	auto_free struct file *f = calloc(1, sizeof *f);
	int r;

	if (!f)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	r = open_fd(path, readonly, &f->is_device, &fd, err);
	if (!r)
		r = lock(fd, path, readonly, err);
	if (r)
		return r;
	f->fd = fd;
	r = measure(f, path, err);
	if (r)
		return r;
	event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (event_fd < 0)
		return err_set(err, -errno, "%s: eventfd: %s", path, strerror(errno));
	f->event_fd = event_fd;
	f->b.ops = &ops;
	f->b.readonly = readonly;
	f->b.can_discard = !readonly;
	f->waiting_end = &f->waiting;
	for (unsigned i = 0; i < FILE_OPS; i++) {
		f->ops[i].next = f->free_ops;
		f->free_ops = &f->ops[i];
	}
	r = start_engine(f, path, engine, err);
	if (r)
		return r;
	if (loop) {
		r = loop_watch_add(loop, event_fd, EPOLLIN, on_event, f, &f->watch);
		if (r) {
			f->engine->free(f);
			return err_set(err, r, "%s: cannot watch completions: %s", path, strerror(-r));
		}
	}
	take_fd(fd);
	take_fd(event_fd);
	*b = &take_ptr(f)->b;
	return 0;
}

int block_file_open(const char *path, bool readonly, struct loop *loop, struct block **b, struct err *err)
{
	return block_file_open_engine(path, readonly, BLOCK_FILE_AUTO, loop, b, err);
}
