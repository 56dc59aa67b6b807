/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the file layer. file.c cuts a request into operations and decides what follows a result; file_open.c opens;
 * file_direct.c knows what the page cache is left out for; an engine (file_uring.c, file_pool.c) carries operations out.
 * All under the device lock, but for the pool's threads, which see an operation only between start and its way back
 * through reap.
 */
#pragma once
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include "hv/block/file.h"

#define FILE_OPS 128		/* operations in flight; more requests wait in a list */
#define FILE_WINDOW 256		/* iovecs an operation can hold of its own */
#define FILE_MAX_IOV 1024	/* what one readv takes (IOV_MAX) */
#define FILE_MOST (2u << 20)	/* bytes of an operation: the kernel starts them under the device lock */
#define FILE_BOUNCE (256u << 10)

enum file_call { FILE_READV, FILE_WRITEV, FILE_SYNC, FILE_FALLOCATE };

struct file_op {
	struct file_op *next;
	struct block_req *req;
	uint64_t done;			/* bytes of req finished */
	unsigned tries;			/* in a row without progress */
	bool zeroing;			/* writes zeroes because the volume cannot allocate them */
	bool bounced;			/* this operation goes through bounce */
	uint8_t *bounce;		/* FILE_BOUNCE aligned bytes, once needed until the request ends */
	struct iovec *window;		/* FILE_WINDOW of its own */
	/* the operation for the engine */
	enum file_call call;
	const struct iovec *iov;
	unsigned iov_count;
	uint64_t off, len;
	int mode;			/* RWF_* for writes, FALLOC_FL_* */
	int result;			/* bytes or -errno */
};

struct file;
struct file_engine_ops {
	enum block_file_engine kind;
	int (*create)(struct file *f);
	/* Take an operation; it may stay with the engine until kick. */
	void (*start)(struct file *f, struct file_op *op);
	/* Set going what was started, and see to it that reap finds what has ended. False: not all of it could go. */
	bool (*kick)(struct file *f);
	/* One finished operation, or NULL. */
	struct file_op *(*reap)(struct file *f);
	/* Return when reap has something, or when interrupted. */
	void (*wait)(struct file *f);
	/* No need to ring the doorbell until listen. */
	void (*quiet)(struct file *f);
	/* Ring it again from now on. True: something ended meanwhile, so kick and reap again. */
	bool (*listen)(struct file *f);
	void (*free)(struct file *f);
};

struct file {
	struct block b;
	int fd;
	int event_fd;			/* the doorbell */
	int claim_fd;			/* holds a device exclusively; -1: no claim */
	bool is_device, direct, no_discard, no_zero_range;
	uint32_t align;			/* direct: of addresses of memory */
	bool delivering;		/* deliver is on the stack */
	bool rung;			/* by us, and not answered */
	unsigned plugs;			/* calls of plug without their unplug */
	pthread_t owner;		/* kicks, reaps and delivers */
	char *path;
	struct loop_watch *watch;
	const struct file_engine_ops *engine;
	void *engine_data;
	struct file_op *free_ops;
	unsigned in_flight;
	unsigned started;		/* since the last kick */
	struct block_req *waiting, **waiting_end;
	struct file_op ops[FILE_OPS];
	struct iovec windows[FILE_OPS][FILE_WINDOW];
};

extern const struct file_engine_ops file_uring, file_pool;

/* ---- file.c */
extern const struct block_ops file_ops;
void file_on_event(void *ctx, int fd, uint32_t events);

/* ---- file_direct.c */
/* Try to leave the page cache out: sets f->direct and f->align, or neither. */
void file_direct_try(struct file *f);
/* Does the kernel take this scatter list as it is? */
bool file_direct_fits(const struct file *f, const struct iovec *iov, unsigned count);
/* Put op's memory, which does not fit, aside: a write's data is copied into bounce. Cuts op short. -ENOMEM. */
int file_direct_bounce(const struct file *f, struct file_op *op) must_check;
/* A bounced read gave len bytes: to where the request wants them. */
void file_direct_return(struct file_op *op, uint64_t len);
