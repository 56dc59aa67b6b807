/* SPDX-License-Identifier: Apache-2.0 */
/* The layers as hull-hv uses them: event loop, device lock as its guard, requests submitted again from their completions. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/secret.h"
#include "hv/block/crypt.h"
#include "hv/block/file.h"
#include "lib/scope.h"
#include "tests/bench/disk.h"

struct slot {
	struct block_req req;
	struct iovec iov;
	struct run *run;
	uint64_t began_ns;
};

struct run {
	const struct job *job;
	struct figures *figures;
	struct block *block;
	struct loop *loop;
	struct loop_timer *timer;
	struct places places;
	struct slot *slots;
	uint8_t *data;
	unsigned in_flight;
	int error;
	bool over;
	pthread_mutex_t lock;	/* the device lock */
};

static void submit(struct slot *s)
{
	struct run *run = s->run;

	s->req.off = places_next(&run->places) * run->job->size;
	s->began_ns = loop_now_ns();
	run->in_flight++;
	block_submit(run->block, &s->req);
}

static void done(struct block_req *req, int result)
{
	struct slot *s = req->ctx;
	struct run *run = s->run;

	run->in_flight--;
	figures_add(run->figures, loop_now_ns() - s->began_ns);
	if (result) {
		run->error = result;
		run->over = true;
	}
	if (!run->over)
		submit(s);
	else if (!run->in_flight)
		loop_stop(run->loop);
}

static void begin(void *ctx)
{
	struct run *run = ctx;

	figures_begin(run->figures);
	loop_timer_arm(run->timer, run->figures->began_ns + (uint64_t)(run->job->seconds * 1e9));
	block_plug(run->block);
	for (unsigned i = 0; i < run->job->depth; i++)
		submit(&run->slots[i]);
	block_unplug(run->block);
}

static void end(void *ctx)
{
	struct run *run = ctx;

	figures_end(run->figures);
	run->over = true;
}

static void take_lock(void *ctx) { pthread_mutex_lock(ctx); }
static void drop_lock(void *ctx) { pthread_mutex_unlock(ctx); }

/* A key of this run's own: what lies there decrypts to nothing, at the same speed. */
static int encrypt(struct run *run, struct err *err)
{
	struct luks_layout *layout = secret_alloc(sizeof *layout);
	int r;

	if (!layout)
		return err_set(err, -ENOMEM, "out of locked memory");
	*layout = (struct luks_layout){ .version = 2, .segment_count = 1 };
	layout->segment[0] = (struct luks_segment){ .sector = run->job->sector ? run->job->sector : 4096, .key_len = 64 };
	secret_random(layout->segment[0].key, 64);
	r = block_crypt_create(run->block, layout, &run->block, err);
	if (r)
		run->block = NULL;
	secret_free(layout);
	return r;
}

static int build(struct run *run, struct err *err)
{
	const char *layers = run->job->layers;
	int r = block_file_open(run->job->path, false, run->loop, &run->block, err);

	if (!r && !strcmp(layers, "crypt,file"))
		r = encrypt(run, err);
	else if (!r && strcmp(layers, "file"))
		r = err_set(err, -EINVAL, "%s: layers are file or crypt,file", layers);
	if (!r && run->block->size < run->job->size)
		r = err_set(err, -EINVAL, "%s: smaller than a request", run->job->path);
	return r;
}

static int prepare(struct run *run, struct err *err)
{
	const struct job *job = run->job;

	run->slots = calloc(job->depth, sizeof *run->slots);
	if (!run->slots || posix_memalign((void **)&run->data, 4096, (size_t)job->depth * job->size))
		return err_set(err, -ENOMEM, "out of memory");
	memset(run->data, 5, (size_t)job->depth * job->size);
	places_init(&run->places, job, run->block->size);
	for (unsigned i = 0; i < job->depth; i++) {
		struct slot *s = &run->slots[i];

		s->run = run;
		s->iov = (struct iovec){ run->data + (size_t)i * job->size, job->size };
		s->req = (struct block_req){ .op = job->write ? BLOCK_WRITE : BLOCK_READ, .len = job->size, .iov = &s->iov,
			.iov_count = 1, .done = done, .ctx = s };
	}
	return 0;
}

int disk_stack_run(const struct job *job, struct figures *f, struct err *err)
{
	struct run run = { .job = job, .figures = f, .lock = PTHREAD_MUTEX_INITIALIZER };
	int r = loop_create(&run.loop, err);

	if (r)
		return r;
	loop_set_guard(run.loop, take_lock, drop_lock, &run.lock);
	r = build(&run, err);
	if (!r)
		r = prepare(&run, err);
	if (!r)
		r = loop_timer_create(run.loop, end, &run, &run.timer);
	if (!r)
		r = loop_post(run.loop, begin, &run);
	if (!r)
		r = loop_run(run.loop);
	if (!r && run.error)
		r = err_set(err, run.error, "%s: %s", job->path, strerror(-run.error));
	block_free(run.block);
	loop_free(run.loop);
	free(run.slots);
	free(run.data);
	return r;
}
