/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that make blocking calls, for kernels that refuse io_uring. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>
#include "hv/block/file_priv.h"

#define THREADS 4

struct queue { struct file_op *head, *tail; };

struct pool {
	struct file *file;
	pthread_t thread[THREADS];
	unsigned threads;
	pthread_mutex_t lock;		/* guards the rest */
	pthread_cond_t work, finished;
	struct queue todo;		/* device lock holder → threads */
	struct queue done;		/* threads → device lock holder */
	bool stop;
};

static void push(struct queue *q, struct file_op *op)
{
	op->next = NULL;
	if (q->head)
		q->tail->next = op;
	else
		q->head = op;
	q->tail = op;
}

static struct file_op *pop(struct queue *q)
{
	struct file_op *op = q->head;

	if (op)
		q->head = op->next;
	return op;
}

static int perform(int fd, const struct file_op *op)
{
	ssize_t r = -1;

	switch (op->call) {
	case FILE_READV:
		r = preadv(fd, op->iov, (int)op->iov_count, (off_t)op->off);
		break;
	case FILE_WRITEV:
		r = pwritev2(fd, op->iov, (int)op->iov_count, (off_t)op->off, op->mode);
		break;
	case FILE_SYNC:
		r = fdatasync(fd);
		break;
	case FILE_FALLOCATE:
		r = fallocate(fd, op->mode, (off_t)op->off, (off_t)op->len);
		break;
	}
	return r < 0 ? -errno : (int)r;
}

static void *work(void *arg)
{
	struct pool *p = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct file_op *op = pop(&p->todo);
		bool first;

		if (!op && p->stop)
			break;
		if (!op) {
			pthread_cond_wait(&p->work, &p->lock);
			continue;
		}
		pthread_mutex_unlock(&p->lock);
		op->result = perform(p->file->fd, op);
		pthread_mutex_lock(&p->lock);
		first = !p->done.head;
		push(&p->done, op);
		pthread_cond_signal(&p->finished);
		/* One ring for all that end before they are reaped. A full counter wakes the loop just the same. */
		if (first && write(p->file->event_fd, &one, sizeof one) < 0 && errno != EAGAIN)
			break;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void free_engine(struct file *f)
{
	struct pool *p = f->engine_data;

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->threads; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->finished);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static int create(struct file *f)
{
	struct pool *p = calloc(1, sizeof *p);
	sigset_t all, old;
	int r = 0;

	if (!p)
		return -ENOMEM;
	p->file = f;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->finished, NULL);
	f->engine_data = p;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (!r && p->threads < THREADS) {
		r = -pthread_create(&p->thread[p->threads], NULL, work, p);
		if (!r)
			pthread_setname_np(p->thread[p->threads++], "disk");
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!p->threads) {
		free_engine(f);
		return r;
	}
	return 0;
}

static void start(struct file *f, struct file_op *op)
{
	struct pool *p = f->engine_data;

	pthread_mutex_lock(&p->lock);
	push(&p->todo, op);
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

/* start has set everything going. */
static bool kick(struct file *f)
{
	return true;
}

static struct file_op *reap(struct file *f)
{
	struct pool *p = f->engine_data;
	struct file_op *op;

	pthread_mutex_lock(&p->lock);
	op = pop(&p->done);
	pthread_mutex_unlock(&p->lock);
	return op;
}

static void wait_done(struct file *f)
{
	struct pool *p = f->engine_data;

	pthread_mutex_lock(&p->lock);
	while (!p->done.head)
		pthread_cond_wait(&p->finished, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

/* The threads always ring: what was reaped meanwhile costs the loop a look. */
static void quiet(struct file *f) {}

static bool listen_again(struct file *f)
{
	return false;
}

const struct file_engine_ops file_pool = {
	.kind = BLOCK_FILE_POOL, .create = create, .start = start, .kick = kick, .reap = reap, .wait = wait_done, .quiet = quiet,
	.listen = listen_again, .free = free_engine,
};
