/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a volume: what it is, that it is nobody else's, and how large. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hv/block/file_priv.h"
#include "lib/bits.h"
#include "lib/filelock.h"
#include "lib/log.h"
#include "lib/scope.h"

/*
 * A device is held by a descriptor of its own (O_EXCL: against mounts and device mapper): it can be let go of and taken
 * again while data moves through the other one, which carries the locks.
 */
static int claim(const char *path, const char *name, int *fd, struct err *err)
{
	*fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (*fd < 0 && errno == EBUSY)
		return err_set(err, -EBUSY, "%s: device is in use (mounted, or part of another device); release it first", name);
	if (*fd < 0)
		return err_set(err, -errno, "%s: cannot open: %s", name, strerror(errno));
	return 0;
}

static int open_fd(struct file *f, bool readonly, struct err *err)
{
	struct stat st, claimed;
	int r;

	/* Look before opening: opening a FIFO or a tape has effects. */
	if (stat(f->path, &st))
		return err_set(err, -errno, "%s: %s", f->path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, -EINVAL, "%s: neither a file nor a block device", f->path);
	f->is_device = S_ISBLK(st.st_mode);
	if (f->is_device && !readonly) {
		r = claim(f->path, f->path, &f->claim_fd, err);
		if (r)
			return r;
	}
	f->fd = open(f->path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (f->fd < 0 || fstat(f->fd, &st) || (f->claim_fd >= 0 && fstat(f->claim_fd, &claimed)))
		return err_set(err, -errno, "%s: cannot open: %s", f->path, strerror(errno));
	if (f->claim_fd >= 0 && st.st_rdev != claimed.st_rdev)
		return err_set(err, -EBUSY, "%s: became another device while it was opened; try again", f->path);
	return filelock_take(f->fd, f->path, readonly, err);
}

static int measure(struct file *f, struct err *err)
{
	struct stat st;
	unsigned physical = 0;
	int logical = 0;

	if (fstat(f->fd, &st))
		return err_set(err, -errno, "%s: %s", f->path, strerror(errno));
	f->b.logical = 512;
	f->b.physical = 4096;
	f->b.size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(f->fd, BLKGETSIZE64, &f->b.size) || ioctl(f->fd, BLKSSZGET, &logical) ||
		    ioctl(f->fd, BLKPBSZGET, &physical))
			return err_set(err, -errno, "%s: cannot read size: %s", f->path, strerror(errno));
		f->b.logical = (uint32_t)logical;
		f->b.physical = physical;
	}
	if (f->b.logical < 512 || !bits_is_pow2(f->b.logical))
		return err_set(err, -EINVAL, "%s: sectors of %u bytes are not supported", f->path, f->b.logical);
	if (!f->b.size || f->b.size & (f->b.logical - 1))
		return err_set(err, -EINVAL, "%s: size of %llu bytes is not a multiple of its %u-byte sectors", f->path,
			(unsigned long long)f->b.size, f->b.logical);
	return 0;
}

static int start_engine(struct file *f, enum block_file_engine engine, struct err *err)
{
	int r = 0;

	f->engine = engine == BLOCK_FILE_POOL ? &file_pool : &file_uring;
	r = f->engine->create(f);
	if (r && engine == BLOCK_FILE_AUTO) {
		log_info("%s: no io_uring (%s), using threads", f->path, strerror(-r));
		f->engine = &file_pool;
		r = f->engine->create(f);
	}
	if (!r)
		return 0;
	f->engine = NULL;
	return err_set(err, r, "%s: cannot start disk I/O: %s", f->path, strerror(-r));
}

static void init(struct file *f, bool readonly)
{
	f->fd = f->event_fd = f->claim_fd = -1;
	f->owner = pthread_self();
	f->b.ops = &file_ops;
	f->b.readonly = readonly;
	f->b.can_discard = !readonly;
	f->waiting_end = &f->waiting;
	for (unsigned i = FILE_OPS; i--;) {
		f->ops[i].window = f->windows[i];
		f->ops[i].next = f->free_ops;
		f->free_ops = &f->ops[i];
	}
}

static int set_up(struct file *f, enum block_file_engine engine, struct loop *loop, struct err *err)
{
	int r = open_fd(f, f->b.readonly, err);

	if (!r)
		r = measure(f, err);
	if (r)
		return r;
	file_direct_try(f);
	f->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (f->event_fd < 0)
		return err_set(err, -errno, "%s: eventfd: %s", f->path, strerror(errno));
	r = start_engine(f, engine, err);
	/* By edges: each ring is answered once, and the counter need not be read. */
	if (!r && loop) {
		r = loop_watch_add(loop, f->event_fd, EPOLLIN | EPOLLET, file_on_event, f, &f->watch);
		if (r)
			return err_set(err, r, "%s: cannot watch completions: %s", f->path, strerror(-r));
	}
	return r;
}

int block_file_open_engine(const char *path, bool readonly, enum block_file_engine engine, struct loop *loop, struct block **b,
	struct err *err)
{
	struct file *f = calloc(1, sizeof *f);
	int r;

	if (f)
		f->path = strdup(path);
	if (!f || !f->path) {
		free(f);
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	}
	init(f, readonly);
	r = set_up(f, engine, loop, err);
	if (r)
		file_ops.free(&f->b);
	else
		*b = &f->b;
	return r;
}

int block_file_open(const char *path, bool readonly, struct loop *loop, struct block **b, struct err *err)
{
	return block_file_open_engine(path, readonly, BLOCK_FILE_AUTO, loop, b, err);
}

int block_file_fd(const struct block *b)
{
	return b->ops == &file_ops ? container_of(b, struct file, b)->fd : -1;
}

void block_file_release_claim(struct block *b)
{
	struct file *f = container_of(b, struct file, b);

	if (b->ops != &file_ops)
		return;
	scope_close(&f->claim_fd);
	f->claim_fd = -1;
}

int block_file_take_claim(struct block *b, struct err *err)
{
	struct file *f = container_of(b, struct file, b);
	char same[32];

	if (b->ops != &file_ops || !f->is_device || b->readonly || f->claim_fd >= 0)
		return 0;
	/* The path may lead elsewhere by now; this is the device that data goes to. */
	snprintf(same, sizeof same, "/proc/self/fd/%d", f->fd);
	return claim(same, f->path, &f->claim_fd, err);
}
