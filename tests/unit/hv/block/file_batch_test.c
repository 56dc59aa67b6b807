/* SPDX-License-Identifier: Apache-2.0 */
/* Many requests by few system calls, several threads, and whose thread completions come on. */
#include "tests/unit/hv/block/file_rig.h"

enum { MANY = 48, WRITERS = 4, EACH = 200 };

/* ---- plug */

static struct file_engine_ops counting;
static const struct file_engine_ops *real;
static unsigned kicks, together;	/* in flight at the first kick */

static bool count_kick(struct file *f)
{
	if (!kicks++)
		together = f->in_flight;
	return real->kick(f);
}

static void holds_back(enum block_file_engine engine)
{
	struct block *b = open_block(make_file("plug", SIZE), engine);
	struct file *f = container_of(b, struct file, b);
	struct io *io = calloc(MANY, sizeof *io);
	uint8_t (*data)[512] = calloc(MANY, 512);

	real = f->engine;
	counting = *real;
	counting.kick = count_kick;
	f->engine = &counting;
	kicks = 0;
	block_plug(b);
	block_plug(b);
	for (unsigned i = 0; i < MANY; i++)
		submit(b, &io[i], BLOCK_WRITE, i * 512ull, data[i], 512);
	block_unplug(b);
	check_eq(f->in_flight, 0);
	check_eq(kicks, 0);
	block_unplug(b);
	check(!f->waiting);
	check_eq(together, MANY);
	block_drain(b);
	for (unsigned i = 0; i < MANY; i++) {
		check_eq(io[i].calls, 1);
		check_eq(io[i].result, 0);
	}
	f->engine = real;
	block_free(b);
	free(io);
	free(data);
}

static void plugged_requests_go_together(void)
{
	each_engine(holds_back);
}

static void drains_plugged(enum block_file_engine engine)
{
	struct block *b = open_block(make_file("drain", SIZE), engine);
	uint8_t data[512] = { 7 };
	struct io io;

	memset(&io, 0, sizeof io);
	block_plug(b);
	submit(b, &io, BLOCK_WRITE, 0, data, 512);
	check_eq(io.calls, 0);
	block_drain(b);
	check_eq(io.calls, 1);
	block_unplug(b);
	block_free(b);
}

static void draining_does_not_wait_for_unplug(void)
{
	each_engine(drains_plugged);
}

/* ---- a full ring, and a kernel without memory */

static unsigned refusals;

static bool refuse_kick(struct file *f)
{
	if (!refusals)
		return real->kick(f);
	refusals--;
	return false;
}

static void goes_on_later(enum block_file_engine engine)
{
	struct block *b = open_block(make_file("later", SIZE), engine);
	struct file *f = container_of(b, struct file, b);
	uint8_t data[512] = { 7 };
	struct io io;

	memset(&io, 0, sizeof io);
	real = f->engine;
	counting = *real;
	counting.kick = refuse_kick;
	f->engine = &counting;
	refusals = 3;
	submit(b, &io, BLOCK_WRITE, 0, data, 512);
	for (unsigned i = 0; i < 1000 && !io.calls; i++) {
		struct pollfd p = { .fd = f->event_fd, .events = POLLIN };

		check_or_return(poll(&p, 1, 10000) == 1);
		block_file_poll(b);
	}
	check_eq(io.result, 0);
	check_eq(refusals, 0);
	f->engine = real;
	block_free(b);
}

static void what_the_kernel_cannot_take_now_goes_later(void)
{
	each_engine(goes_on_later);
}

/* ---- fairness */

struct endless {
	struct io io;
	struct block *b;
	struct loop *loop;
	struct loop_timer *timer;
	uint8_t data[4096];
	uint64_t reads;
	bool stop;
};

static void read_again(struct block_req *req, int r)
{
	struct endless *e = req->ctx;

	check_eq(r, 0);
	if (!e->stop && ++e->reads < 50000000)
		block_submit(e->b, req);
	else
		loop_stop(e->loop);
}

static void stop_reading(void *ctx)
{
	((struct endless *)ctx)->stop = true;
}

static void first_read(void *ctx)
{
	struct endless *e = ctx;

	e->io.iov = (struct iovec){ e->data, sizeof e->data };
	e->io.req = (struct block_req){ .op = BLOCK_READ, .len = sizeof e->data, .iov = &e->io.iov, .iov_count = 1, .done = read_again,
		.ctx = e };
	loop_timer_arm(e->timer, loop_now_ns() + 20000000);
	block_submit(e->b, &e->io.req);
}

static void a_busy_disk_leaves_others_their_turn(void)
{
	struct endless *e = calloc(1, sizeof *e);

	check_or_return(!loop_create(&e->loop, NULL));
	check_eq(loop_timer_create(e->loop, stop_reading, e, &e->timer), 0);
	check_eq(block_file_open(make_file("endless", SIZE), false, e->loop, &e->b, NULL), 0);
	check_eq(loop_post(e->loop, first_read, e), 0);
	check_eq(loop_run(e->loop), 0);
	check(e->stop && e->reads > 0);
	block_free(e->b);
	loop_free(e->loop);
	free(e);
}

/* ---- threads */

struct crowd {
	pthread_mutex_t lock;		/* the device lock */
	pthread_cond_t progress;
	struct loop *loop;
	struct block *b;
	pthread_t owner;
	unsigned foreign;		/* completions on the wrong thread */
	unsigned finished;
};
struct writer { struct crowd *crowd; pthread_t thread; unsigned index; struct io io[8]; uint8_t data[8][512]; unsigned done; };

static void take_lock(void *ctx) { pthread_mutex_lock(ctx); }
static void drop_lock(void *ctx) { pthread_mutex_unlock(ctx); }

static void written(struct block_req *req, int r)
{
	struct writer *w = req->ctx;

	w->crowd->foreign += !pthread_equal(w->crowd->owner, pthread_self()) || r;
	w->done++;
	pthread_cond_broadcast(&w->crowd->progress);
}

static void *write_much(void *arg)
{
	struct writer *w = arg;
	struct crowd *c = w->crowd;

	pthread_mutex_lock(&c->lock);
	for (unsigned n = 0; n < EACH; n++) {
		w->done = 0;
		block_plug(c->b);
		for (unsigned i = 0; i < 8; i++) {
			submit(c->b, &w->io[i], BLOCK_WRITE, (w->index * 8 + i) * 512ull, w->data[i], 512);
			w->io[i].req.done = written;	/* plugged: nothing has completed */
			w->io[i].req.ctx = w;
		}
		block_unplug(c->b);
		while (w->done < 8)
			pthread_cond_wait(&c->progress, &c->lock);
	}
	if (++c->finished == WRITERS)
		loop_stop(c->loop);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static void serves_a_crowd(enum block_file_engine engine)
{
	struct crowd c = { .lock = PTHREAD_MUTEX_INITIALIZER, .progress = PTHREAD_COND_INITIALIZER, .owner = pthread_self() };
	struct writer *w = calloc(WRITERS, sizeof *w);

	check_or_return(!loop_create(&c.loop, NULL));
	loop_set_guard(c.loop, take_lock, drop_lock, &c.lock);
	check_eq(block_file_open_engine(make_file("crowd", SIZE), false, engine, c.loop, &c.b, NULL), 0);
	for (unsigned i = 0; i < WRITERS; i++) {
		w[i].crowd = &c;
		w[i].index = i;
		check(!pthread_create(&w[i].thread, NULL, write_much, &w[i]));
	}
	check_eq(loop_run(c.loop), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(w[i].thread, NULL);
	check_eq(c.finished, WRITERS);
	check_eq(c.foreign, 0);
	block_free(c.b);
	loop_free(c.loop);
	free(w);
}

static void many_threads_submit_one_delivers(void)
{
	each_engine(serves_a_crowd);
}

static const struct test tests[] = {
	{ "plugged requests go together", plugged_requests_go_together },
	{ "draining does not wait for unplug", draining_does_not_wait_for_unplug },
	{ "what the kernel cannot take now goes later", what_the_kernel_cannot_take_now_goes_later },
	{ "a busy disk leaves others their turn", a_busy_disk_leaves_others_their_turn },
	{ "many threads submit, one delivers", many_threads_submit_one_delivers },
	{ NULL, NULL },
};
const struct suite suite_hv_block_file_batch = { tests };
