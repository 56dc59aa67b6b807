/* SPDX-License-Identifier: Apache-2.0 */
/* Links for much data: records shared, sent and read together, buffers that go when the link idles; keys renewed under load. */
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include "lib/link/link_priv.h"
#include "tests/unit/lib/link/link_rig.h"

/* Small writes of one round share a record, full records go at once. */
static void gathers(void)
{
	struct link_config c = { .gather = true };
	uint8_t byte[100];
	struct rig r;
	uint64_t before;
	size_t at = 0;
	int size = 1 << 18;

	setup(&r, true, &c);
	setsockopt(SSL_get_fd(link_ssl(r.a.link)), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	run(&r, 50);
	before = link_counters(r.a.link)->out_records;
	for (int i = 0; i < 400; i++) {
		for (int j = 0; j < 100; j++)
			byte[j] = (uint8_t)(at++ * 31);
		check_eq(link_write(r.a.link, byte, 100), 0);
	}
	check_eq(link_counters(r.a.link)->out_records, before + 2);
	check(link_queued(r.a.link) >= 40000);	/* and records go out together */
	r.b.stop_at = 40000;
	run(&r, 5000);
	check_eq(link_counters(r.a.link)->out_records, before + 3);
	check_eq(link_queued(r.a.link), 0);
	check_eq(r.b.got, 40000);
	check_eq(r.b.sum, 0);
	drop(&r);
}

static void carries(void)
{
	struct link_config plain = { .gather = true }, secret = { .gather = true, .secret = true };
	struct link_config small = { .gather = true, .read_max = 3000, .write_max = 6000 };
	struct link_config rekey = { .gather = true, .rekey_records = 7 }, large = { .gather = true, .write_max = 2 * WHOLE };

	carry(false, &plain, 0);
	carry(true, &plain, 0);
	carry(true, &secret, 0);
	carry(true, &plain, 777);
	carry(false, &small, 1000);
	carry(true, &small, 1000);
	carry(true, &rekey, 0);
	carry(true, &large, 0);
}

/* Headers and frames of all sizes, in pieces: what arrives is what was written, in its order. */
static void keeps_the_order_of_pieces(void)
{
	static const size_t sizes[] = { 1, 16, 4095, 4096, 4097, 16383, 16384, 16385, 65552, 20, 100000, 3 };
	enum { COUNT = sizeof sizes / sizeof sizes[0] };
	struct link_config c = { .gather = true, .write_max = 1 << 20 };
	uint8_t *data = malloc(100000);
	struct iovec iov[COUNT];
	struct rig r;
	size_t at = 0, whole = 0;

	for (int gather = 0; gather < 2; gather++) {
		c.gather = gather;
		setup(&r, true, &c);
		run(&r, 30);
		at = 0;
		for (size_t i = 0; i < COUNT; i++) {
			struct iovec *v = &iov[i];

			*v = (struct iovec){ malloc(sizes[i]), sizes[i] };
			for (size_t j = 0; j < sizes[i]; j++)
				((uint8_t *)v->iov_base)[j] = (uint8_t)(at++ * 31);
		}
		whole = at;
		check_eq(link_writev(r.a.link, iov, 5), 0);
		check_eq(link_writev(r.a.link, iov + 5, COUNT - 5), 0);
		for (size_t i = 0; i < COUNT; i++)
			free(iov[i].iov_base);	/* nobody needs them any more */
		r.b.stop_at = whole;
		run(&r, 10000);
		check_eq(r.b.got, whole);
		check_eq(r.b.sum, 0);
		check_eq(link_counters(r.a.link)->out_bytes, whole);
		check_eq(link_counters(r.b.link)->in_bytes, whole);
		drop(&r);
	}
	free(data);
}

/* Both speak at once and renew their keys every few records: nobody loses a byte. */
static void renews_keys_both_ways_under_load(void)
{
	struct link_config c = { .rekey_records = 5 };
	struct rig r;

	for (int gather = 0; gather < 2; gather++) {
		c.gather = gather;
		setup(&r, true, &c);
		r.a.stops = r.b.stops = &r.closes;
		fill(&r.a);
		fill(&r.b);
		while (r.a.got < WHOLE || r.b.got < WHOLE) {
			r.a.stop_at = r.a.got + 500000;
			r.b.stop_at = r.b.got + 500000;
			run(&r, 10000);
			if (r.timed_out || r.closes < 2)
				break;
			check(!r.a.link || link_counters(r.a.link)->key_updates > 0);
			check(!r.b.link || link_counters(r.b.link)->key_updates > 0);
		}
		check_eq(r.a.got, WHOLE);
		check_eq(r.b.got, WHOLE);
		check_eq(r.a.sum + r.b.sum, 0);
		while (!r.timed_out && (!r.a.closed || !r.b.closed))
			run(&r, 5000);
		check_eq(r.a.why.code, 0);
		check_eq(r.b.why.code, 0);
		drop(&r);
	}
}

/* A peer that stops reading: the writer is told, and holds its queue and one burst of records. */
static void is_bounded(void)
{
	struct link_config c = { .gather = true, .write_max = 1000000 };
	struct rig r;

	setup(&r, true, &c);
	run(&r, 30);
	link_pause(r.b.link, true);
	for (int i = 0; i < 20; i++) {
		fill(&r.a);
		run(&r, 5);
	}
	check(link_counters(r.a.link)->full >= 1);
	check(link_queued(r.a.link) <= 1000000 + LINK_BURST + 2 * LINK_CHUNK);
	check(r.a.link->out.room <= 1 << 20 && r.a.link->wire.room <= 131072);
	check(!r.b.link->in.data || r.b.link->in.room <= 65540 + LINK_SPARE);
	check_eq(r.b.got, 0);
	link_pause(r.b.link, false);
	r.b.end_on_end = true;
	run(&r, 20000);
	check_eq(r.b.got, WHOLE);
	check_eq(r.b.sum, 0);
	drop(&r);
}

static bool has_buffers(const struct link *l) { return l->in.data || l->out.data || l->wire.data; }

static void gives_its_buffers_back(void)
{
	struct link_config c = { .gather = true };
	struct rig r;

	setup(&r, true, &c);
	r.b.stop_at = 600000;
	fill(&r.a);
	run(&r, 5000);
	check(has_buffers(r.b.link));
	r.b.stop_at = WHOLE;
	run(&r, 10000);
	check_eq(r.b.got, WHOLE);
	for (int i = 0; i < 200 && (has_buffers(r.a.link) || has_buffers(r.b.link)); i++)
		run(&r, 50);
	check(!has_buffers(r.a.link) && !has_buffers(r.b.link));
	/* and speaks again */
	r.a.stop_at = 3;
	check_eq(link_write(r.b.link, "\0\x1f\x3e", 3), 0);
	run(&r, 5000);
	check_eq(r.a.got, 3);
	check_eq(r.a.sum, 0);
	check(has_buffers(r.b.link));
	drop(&r);
}

/* Freed in the round that wrote: what the socket takes still goes, and the end with it. */
static void says_its_last_words(void)
{
	struct link_config c = { .gather = true };
	struct rig r;

	setup(&r, true, &c);
	run(&r, 30);
	check_eq(link_write(r.a.link, "\0\x1f\x3e", 3), 0);
	link_free(r.a.link);
	r.a.link = NULL;
	r.closes = 1;
	r.b.end_on_end = true;
	run(&r, 5000);
	check_eq(r.b.got, 3);
	check(r.b.ended && r.b.closed);
	check_eq(r.b.why.code, 0);
	drop(&r);
}

enum { MESSAGES = 20000 };
struct crowd { struct rig rig; pthread_mutex_t lock; };

static void take_lock(void *ctx) { pthread_mutex_lock(&((struct crowd *)ctx)->lock); }
static void give_lock(void *ctx) { pthread_mutex_unlock(&((struct crowd *)ctx)->lock); }

static void *chatter(void *ctx)
{
	struct crowd *c = ctx;
	uint8_t byte;

	while (true) {
		take_lock(c);
		byte = (uint8_t)(c->rig.a.sent * 31);
		if (c->rig.a.sent >= MESSAGES || !c->rig.a.link) {
			give_lock(c);
			return NULL;
		}
		c->rig.a.sent += !link_write(c->rig.a.link, &byte, 1);
		give_lock(c);
	}
}

/* As vCPUs do: their writes wake the loop, which sends them together. */
static void other_threads_write_under_the_guard(void)
{
	struct link_config config = { .gather = true };
	struct crowd c = { .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t thread[2];

	setup(&c.rig, true, &config);
	run(&c.rig, 30);
	loop_set_guard(c.rig.loop, take_lock, give_lock, &c);
	c.rig.b.stop_at = MESSAGES;
	for (int i = 0; i < 2; i++)
		CU_ASSERT_FATAL(!pthread_create(&thread[i], NULL, chatter, &c));
	run(&c.rig, 20000);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	check_eq(c.rig.b.got, MESSAGES);
	check_eq(c.rig.b.sum, 0);
	check(link_counters(c.rig.a.link)->out_records < MESSAGES);
	loop_set_guard(c.rig.loop, NULL, NULL, NULL);
	drop(&c.rig);
}

struct waiter { struct end end; int told; };

static void on_room(void *ctx)
{
	struct waiter *w = ctx;

	w->told++;
	loop_stop(w->end.loop);
}

/* The queue was full while corked: room that uncorking makes is told, also when no event comes. */
static void tells_a_writer_of_room(void)
{
	static const struct link_ops waiting = { on_ready, on_read, on_room, on_end, on_closed };
	uint8_t data[3000] = { 0 };
	struct link_config c = { .write_max = 5000 };
	struct link *mute;
	struct waiter w;
	struct rig r;
	int fd[2];

	for (int gather = 0; gather < 2; gather++) {
		c.gather = gather;
		setup(&r, false, &c);
		CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
		w = (struct waiter){ .end = { .loop = r.loop, .stops = &r.closes } };
		CU_ASSERT_FATAL(!link_create(r.loop, fd[0], &c, &waiting, &w, &w.end.link, NULL));
		CU_ASSERT_FATAL(!link_create(r.loop, fd[1], &c, &(struct link_ops){ 0 }, NULL, &mute, NULL));
		run(&r, 20);
		link_cork(w.end.link, true);
		check_eq(link_write(w.end.link, data, sizeof data), 0);
		check_eq(link_write(w.end.link, data, sizeof data), -EAGAIN);
		check_eq(w.told, 0);
		link_cork(w.end.link, false);
		run(&r, 5000);
		check_eq(w.told, 1);
		link_free(w.end.link);
		link_free(mute);
		drop(&r);
	}
}

static const struct test tests[] = {
	{ "gathers", gathers },
	{ "carries", carries },
	{ "keeps the order of pieces", keeps_the_order_of_pieces },
	{ "renews keys both ways under load", renews_keys_both_ways_under_load },
	{ "is bounded", is_bounded },
	{ "gives its buffers back", gives_its_buffers_back },
	{ "says its last words", says_its_last_words },
	{ "other threads write under the guard", other_threads_write_under_the_guard },
	{ "tells a writer of room", tells_a_writer_of_room },
	{ NULL, NULL },
};
const struct suite suite_lib_link_gather = { tests };
