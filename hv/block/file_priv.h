/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the file layer. file.c cuts a request into operations and decides what follows a result; an engine
 * (file_uring.c, file_pool.c) carries single operations out. All under the device lock, but for the pool's threads, which
 * see an operation only between start and its way back through reap.
 */
#pragma once
#include <linux/falloc.h>
#include <sys/eventfd.h>
#include "hv/block/file.h"

#define FILE_OPS 64		/* operations in flight; more requests wait in a list */
#define FILE_WINDOW 256		/* iovecs an operation can hold of its own */
#define FILE_MAX_IOV 1024	/* what one readv takes (IOV_MAX) */

enum file_call { FILE_READV, FILE_WRITEV, FILE_SYNC, FILE_FALLOCATE };

struct file_op {
	struct file_op *next;
	struct block_req *req;
	uint64_t done;			/* bytes of req finished */
	unsigned tries;			/* in a row without progress */
	bool zeroing;			/* writes zeroes because the volume cannot allocate them */
	/* the operation for the engine */
	enum file_call call;
	const struct iovec *iov;
	unsigned iov_count;
	uint64_t off, len;
	int mode;			/* RWF_* for writes, FALLOC_FL_* */
	int result;			/* bytes or -errno */
	struct iovec window[FILE_WINDOW];
};

struct file;
struct file_engine_ops {
	enum block_file_engine kind;
	int (*create)(struct file *f);
	void (*start)(struct file *f, struct file_op *op);
	/* One finished operation, or NULL. wait: only NULL when interrupted. */
	struct file_op *(*reap)(struct file *f, bool wait);
	void (*free)(struct file *f);
};

struct file {
	struct block b;
	int fd, event_fd;
	bool is_device, no_discard, no_zero_range, no_nowait, reaping;
	struct loop_watch *watch;
	const struct file_engine_ops *engine;
	void *engine_data;
	struct file_op *free_ops;
	unsigned in_flight;
	struct block_req *waiting, **waiting_end;
	struct file_op ops[FILE_OPS];
};

extern const struct file_engine_ops file_uring, file_pool;
