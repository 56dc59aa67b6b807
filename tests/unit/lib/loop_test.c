/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/loop.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>
#include "tests/unit/suite.h"

#define MS 1000000ull

/* What the callbacks of one test share. */
struct bench {
	struct loop *loop;
	int fd[4];
	struct loop_watch *watch[4];
	struct loop_timer *timer[8];
	unsigned calls[8];
	char order[32];
	unsigned ordered;
	pthread_mutex_t lock;
	unsigned entered, left;
};

static void open_bench(struct bench *b)
{
	struct err err;

	*b = (struct bench){ .lock = PTHREAD_MUTEX_INITIALIZER };
	check_eq(loop_create(&b->loop, &err), 0);
	for (unsigned i = 0; i < 4; i++)
		b->fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void close_bench(struct bench *b)
{
	loop_free(b->loop);
	for (unsigned i = 0; i < 4; i++)
		close(b->fd[i]);
}

static void ring(int fd)
{
	uint64_t one = 1;

	check_eq(write(fd, &one, sizeof one), sizeof one);
}

static void drain(int fd)
{
	uint64_t count;

	check_eq(read(fd, &count, sizeof count), sizeof count);
}

static void stop(void *ctx) { loop_stop(((struct bench *)ctx)->loop); }

static unsigned index_of(const struct bench *b, int fd)
{
	unsigned i = 0;

	while (i < 3 && b->fd[i] != fd)
		i++;
	return i;
}

static void count_and_stop(void *ctx, int fd, uint32_t events)
{
	struct bench *b = ctx;

	check_eq(events, EPOLLIN);
	b->calls[index_of(b, fd)]++;
	drain(fd);
	loop_stop(b->loop);
}

static void calls_back_for_a_ready_descriptor(void)
{
	struct bench b;

	open_bench(&b);
	check_eq(loop_watch_add(b.loop, b.fd[0], EPOLLIN, count_and_stop, &b, &b.watch[0]), 0);
	check_eq(loop_watch_add(b.loop, b.fd[1], EPOLLIN, count_and_stop, &b, &b.watch[1]), 0);
	ring(b.fd[1]);
	check_eq(loop_run(b.loop), 0);
	check_eq(b.calls[0], 0);
	check_eq(b.calls[1], 1);
	close_bench(&b);
}

static void refuses_a_descriptor_that_cannot_be_watched(void)
{
	struct bench b;

	open_bench(&b);
	check_eq(loop_watch_add(b.loop, -1, EPOLLIN, count_and_stop, &b, &b.watch[0]), -EBADF);
	check(!b.watch[0]);
	check_eq(loop_watch_add(b.loop, b.fd[0], EPOLLIN, count_and_stop, &b, &b.watch[0]), 0);
	check_eq(loop_watch_add(b.loop, b.fd[0], EPOLLIN, count_and_stop, &b, &b.watch[1]), -EEXIST);
	loop_watch_remove(NULL);
	close_bench(&b);
}

static void remove_all(void *ctx, int fd, uint32_t events)
{
	struct bench *b = ctx;

	b->calls[0]++;
	for (unsigned i = 0; i < 4; i++) {	/* its own among them */
		loop_watch_remove(b->watch[i]);
		b->watch[i] = NULL;
	}
	check_eq(loop_post(b->loop, stop, b), 0);
}

static void a_watch_may_be_removed_in_its_own_and_in_another_callback(void)
{
	struct bench b;

	open_bench(&b);
	for (unsigned i = 0; i < 4; i++) {
		check_eq(loop_watch_add(b.loop, b.fd[i], EPOLLIN, remove_all, &b, &b.watch[i]), 0);
		ring(b.fd[i]);
	}
	check_eq(loop_run(b.loop), 0);
	check_eq(b.calls[0], 1);	/* all four were ready in that round */
	close_bench(&b);
}

static void pause_others(void *ctx, int fd, uint32_t events)
{
	struct bench *b = ctx;
	unsigned i = index_of(b, fd);

	b->calls[i]++;
	drain(fd);
	for (unsigned o = 0; o < 4; o++)
		if (o != i)
			check_eq(loop_watch_set(b->watch[o], 0), 0);
	check_eq(loop_post(b->loop, stop, b), 0);
}

static void a_paused_watch_is_quiet_and_comes_back(void)
{
	struct bench b;
	unsigned first = 0;

	open_bench(&b);
	for (unsigned i = 0; i < 4; i++) {
		check_eq(loop_watch_add(b.loop, b.fd[i], EPOLLIN, pause_others, &b, &b.watch[i]), 0);
		ring(b.fd[i]);
	}
	check_eq(loop_run(b.loop), 0);
	check_eq(b.calls[0] + b.calls[1] + b.calls[2] + b.calls[3], 1);
	while (first < 3 && !b.calls[first])
		first++;
	check_eq(loop_watch_set(b.watch[(first + 1) % 4], EPOLLIN), 0);
	check_eq(loop_run(b.loop), 0);
	check_eq(b.calls[(first + 1) % 4], 1);
	close_bench(&b);
}

static void hung_up(void *ctx, int fd, uint32_t events)
{
	struct bench *b = ctx;

	b->calls[0]++;
	check(events & EPOLLHUP);
	check_eq(loop_watch_set(b->watch[0], 0), 0);
	check_eq(loop_post(b->loop, stop, b), 0);
}

static void a_hung_up_descriptor_can_rest(void)
{
	struct bench b;
	int ends[2];

	open_bench(&b);
	check_eq(pipe(ends), 0);
	close(ends[1]);
	check_eq(loop_watch_add(b.loop, ends[0], EPOLLIN, hung_up, &b, &b.watch[0]), 0);
	check_eq(loop_run(b.loop), 0);
	check_eq(loop_post(b.loop, stop, &b), 0);
	check_eq(loop_run(b.loop), 0);
	check_eq(b.calls[0], 1);
	close_bench(&b);
	close(ends[0]);
}

/* ---- timers */

struct ticker { struct bench *b; unsigned i; };

static void tick(void *ctx)
{
	struct ticker *t = ctx;

	t->b->calls[t->i]++;
	t->b->order[t->b->ordered++ % sizeof t->b->order] = (char)('0' + t->i);
}

static void timers_run_in_the_order_of_their_deadlines(void)
{
	static const unsigned after[] = { 5, 2, 7, 1, 4, 3, 6 };
	struct ticker t[7];
	struct bench b;
	struct loop_timer *end;
	uint64_t now = loop_now_ns();

	open_bench(&b);
	for (unsigned i = 0; i < 7; i++) {
		t[i] = (struct ticker){ &b, i };
		check_eq(loop_timer_create(b.loop, tick, &t[i], &b.timer[i]), 0);
		loop_timer_arm(b.timer[i], now + after[i] * MS / 10);
	}
	check_eq(loop_timer_create(b.loop, stop, &b, &end), 0);
	loop_timer_arm(end, now + MS);
	check_eq(loop_run(b.loop), 0);
	check(loop_now_ns() >= now + MS);
	check_str(b.order, "3154062");
	close_bench(&b);
}

static void a_disarmed_and_a_moved_timer_keep_to_it(void)
{
	struct ticker t[3];
	struct bench b;
	struct loop_timer *end;
	uint64_t now = loop_now_ns();

	open_bench(&b);
	for (unsigned i = 0; i < 3; i++) {
		t[i] = (struct ticker){ &b, i };
		check_eq(loop_timer_create(b.loop, tick, &t[i], &b.timer[i]), 0);
		loop_timer_arm(b.timer[i], now + (i + 1) * MS / 10);
	}
	loop_timer_disarm(b.timer[1]);
	loop_timer_disarm(b.timer[1]);
	loop_timer_arm(b.timer[0], now + MS / 2);
	check_eq(loop_timer_create(b.loop, stop, &b, &end), 0);
	loop_timer_arm(end, now + MS);
	check_eq(loop_run(b.loop), 0);
	check_str(b.order, "20");
	loop_timer_free(b.timer[2]);
	loop_timer_free(NULL);
	close_bench(&b);
}

static void again(void *ctx)
{
	struct bench *b = ctx;

	if (++b->calls[0] == 100)
		loop_stop(b->loop);
	loop_timer_arm(b->timer[0], b->calls[0] % 2 ? 0 : loop_now_ns() + 1000);
}

static void a_timer_may_be_armed_in_its_own_callback(void)
{
	struct bench b;

	open_bench(&b);
	check_eq(loop_timer_create(b.loop, again, &b, &b.timer[0]), 0);
	loop_timer_arm(b.timer[0], 1);
	check_eq(loop_run(b.loop), 0);
	check_eq(b.calls[0], 100);
	close_bench(&b);
}

static void always(void *ctx)
{
	struct bench *b = ctx;

	b->calls[0]++;
	loop_timer_arm(b->timer[0], 1);	/* long past */
}

static void a_timer_that_is_always_due_does_not_hold_up_the_rest(void)
{
	struct bench b;

	open_bench(&b);
	check_eq(loop_timer_create(b.loop, always, &b, &b.timer[0]), 0);
	loop_timer_arm(b.timer[0], 1);
	check_eq(loop_watch_add(b.loop, b.fd[0], EPOLLIN, count_and_stop, &b, &b.watch[0]), 0);
	check_eq(loop_timer_create(b.loop, stop, &b, &b.timer[1]), 0);
	loop_timer_arm(b.timer[1], loop_now_ns() + MS);
	check_eq(loop_run(b.loop), 0);
	check(b.calls[0] > 1);
	close_bench(&b);
}

static void free_both(void *ctx)
{
	struct bench *b = ctx;

	b->calls[0]++;
	loop_timer_free(b->timer[0]);	/* one is running, the other due as well */
	loop_timer_free(b->timer[1]);
	check_eq(loop_post(b->loop, stop, b), 0);
}

static void a_timer_may_be_freed_in_its_own_and_in_another_callback(void)
{
	struct bench b;

	open_bench(&b);
	for (unsigned i = 0; i < 2; i++) {
		check_eq(loop_timer_create(b.loop, free_both, &b, &b.timer[i]), 0);
		loop_timer_arm(b.timer[i], 1);
	}
	check_eq(loop_run(b.loop), 0);
	check_eq(b.calls[0], 1);
	close_bench(&b);
}

static void many_timers_keep_their_heap(void)
{
	enum { N = 500 };
	struct loop_timer *timer[N], *end;
	struct ticker t[N];
	struct bench b;
	unsigned random = 1;

	open_bench(&b);
	for (unsigned i = 0; i < N; i++) {
		t[i] = (struct ticker){ &b, i % 8 };
		check_eq(loop_timer_create(b.loop, tick, &t[i], &timer[i]), 0);
	}
	for (unsigned round = 0; round < 4 * N; round++) {
		random = random * 1103515245 + 12345;
		if (random >> 28 == 0)
			loop_timer_disarm(timer[random >> 16 & 0xff]);
		else
			loop_timer_arm(timer[(random >> 8) % N], random >> 4);
	}
	for (unsigned i = 0; i < N; i++)
		loop_timer_arm(timer[i], N - i);
	for (unsigned i = 0; i < N; i += 2)
		loop_timer_free(timer[i]);
	check_eq(loop_timer_create(b.loop, stop, &b, &end), 0);
	loop_timer_arm(end, N + 1);
	check_eq(loop_run(b.loop), 0);
	check_eq(b.ordered, N / 2);
	check_eq(b.calls[0] + b.calls[2] + b.calls[4] + b.calls[6], 0);
	close_bench(&b);
}

/* ---- posts, stop, guard */

static void nested_post(void *ctx)
{
	struct bench *b = ctx;

	b->order[b->ordered++] = 'a';
	check_eq(loop_post(b->loop, stop, b), 0);
}

static void tail_post(void *ctx)
{
	struct bench *b = ctx;

	b->order[b->ordered++] = 'b';
}

static void posts_run_in_order(void)
{
	struct bench b;

	open_bench(&b);
	check_eq(loop_post(b.loop, nested_post, &b), 0);
	check_eq(loop_post(b.loop, tail_post, &b), 0);
	check_eq(loop_run(b.loop), 0);
	check_str(b.order, "ab");
	check_eq(loop_post(b.loop, tail_post, &b), 0);	/* nobody runs it: freed with the loop */
	close_bench(&b);
}

static void a_stop_before_run_is_not_lost(void)
{
	struct bench b;

	open_bench(&b);
	loop_stop(b.loop);
	check_eq(loop_run(b.loop), 0);
	check_eq(loop_post(b.loop, stop, &b), 0);
	check_eq(loop_run(b.loop), 0);
	close_bench(&b);
}

enum { POSTERS = 4, POSTS = 500 };
static void posted(void *ctx)
{
	struct bench *b = ctx;

	if (++b->calls[0] == POSTERS * POSTS)
		loop_stop(b->loop);
}

static void *post_many(void *ctx)
{
	struct bench *b = ctx;

	for (unsigned i = 0; i < POSTS; i++)
		if (loop_post(b->loop, posted, b))
			abort();
	return NULL;
}

static void other_threads_may_post(void)
{
	pthread_t thread[POSTERS];
	struct bench b;

	open_bench(&b);
	for (unsigned i = 0; i < POSTERS; i++)
		check_eq(pthread_create(&thread[i], NULL, post_many, &b), 0);
	check_eq(loop_run(b.loop), 0);
	for (unsigned i = 0; i < POSTERS; i++)
		pthread_join(thread[i], NULL);
	check_eq(b.calls[0], POSTERS * POSTS);
	close_bench(&b);
}

static void enter(void *ctx)
{
	struct bench *b = ctx;

	pthread_mutex_lock(&b->lock);
	b->entered++;
}

static void leave(void *ctx)
{
	struct bench *b = ctx;

	b->left++;
	pthread_mutex_unlock(&b->lock);
}

static void under_guard(void *ctx, int fd, uint32_t events)
{
	struct bench *b = ctx;

	drain(fd);
	b->calls[0]++;
	check_eq(b->entered, b->left + 1);
}

static void guarded_tick(void *ctx)
{
	struct bench *b = ctx;

	b->calls[1]++;
	check_eq(b->entered, b->left + 1);
}

static void *churn(void *ctx)
{
	struct bench *b = ctx;

	for (unsigned i = 0; i < 200; i++) {
		struct loop_watch *w;

		if (loop_watch_add(b->loop, b->fd[1], EPOLLIN, under_guard, b, &w))
			abort();
		ring(b->fd[1]);
		pthread_mutex_lock(&b->lock);
		loop_timer_arm(b->timer[0], loop_now_ns());
		if (loop_watch_set(w, EPOLLIN | EPOLLOUT) || loop_watch_set(w, 0))
			abort();
		loop_watch_remove(w);
		if (i % 3 == 0)
			loop_timer_disarm(b->timer[0]);
		pthread_mutex_unlock(&b->lock);
	}
	loop_stop(b->loop);
	return NULL;
}

static void other_threads_may_change_watches_and_timers_under_the_guard(void)
{
	pthread_t thread;
	struct bench b;

	open_bench(&b);
	loop_set_guard(b.loop, enter, leave, &b);
	check_eq(loop_timer_create(b.loop, guarded_tick, &b, &b.timer[0]), 0);
	check_eq(pthread_create(&thread, NULL, churn, &b), 0);
	check_eq(loop_run(b.loop), 0);
	pthread_join(thread, NULL);
	check(b.entered > 0);
	check_eq(b.entered, b.left);
	close_bench(&b);
}

struct chore { struct bench *b; struct loop_task *task; char name; bool again, last; };

static void do_chore(void *ctx)
{
	struct chore *c = ctx;

	c->b->order[c->b->ordered++ % sizeof c->b->order] = c->name;
	c->b->calls[0]++;
	if (c->again)
		loop_task_run(c->task);
	if (c->last) {
		loop_task_free(c->task);
		c->task = NULL;
		loop_stop(c->b->loop);
	}
}

static void ask_thrice(void *ctx, int fd, uint32_t events)
{
	struct chore *c = ctx;

	drain(fd);
	for (int i = 0; i < 3; i++) {
		loop_task_run(c[1].task);
		loop_task_run(c[0].task);
	}
	loop_task_run(c[2].task);
	c->b->order[c->b->ordered++] = '.';
}

static void tasks_run_once_at_the_end_of_a_round(void)
{
	struct chore c[3];
	struct bench b;

	open_bench(&b);
	for (int i = 0; i < 3; i++) {
		c[i] = (struct chore){ .b = &b, .name = (char)('a' + i), .last = i == 2 };
		check_eq(loop_task_create(b.loop, do_chore, &c[i], &c[i].task), 0);
	}
	for (int i = 0; i < 2; i++) {
		check_eq(loop_watch_add(b.loop, b.fd[i], EPOLLIN, ask_thrice, c, &b.watch[i]), 0);
		ring(b.fd[i]);
	}
	check_eq(loop_run(b.loop), 0);
	check_str(b.order, "..bac");
	/* outside a round: the loop wakes for it */
	c[0].last = true;
	loop_task_run(c[1].task);
	loop_task_free(c[1].task);
	loop_task_run(c[0].task);
	check_eq(loop_run(b.loop), 0);
	check_str(b.order, "..baca");
	loop_task_free(NULL);
	close_bench(&b);
}

/* The timer still has its turn. */
static void a_task_that_asks_for_itself_does_not_hold_up_the_rest(void)
{
	struct chore c;
	struct bench b;

	open_bench(&b);
	c = (struct chore){ .b = &b, .name = 'a', .again = true };
	check_eq(loop_task_create(b.loop, do_chore, &c, &c.task), 0);
	check_eq(loop_timer_create(b.loop, stop, &b, &b.timer[0]), 0);
	loop_timer_arm(b.timer[0], loop_now_ns() + 5 * MS);
	loop_task_run(c.task);
	check_eq(loop_run(b.loop), 0);
	check(b.calls[0] > 8);
	close_bench(&b);	/* with a task that was asked for */
}

static struct loop *signalled;
static void on_signal(int sig) { loop_stop(signalled); }

static void a_signal_handler_may_stop(void)
{
	struct sigaction sa = { .sa_handler = on_signal }, old;
	struct bench b;

	open_bench(&b);
	signalled = b.loop;
	check_eq(sigaction(SIGUSR2, &sa, &old), 0);
	errno = 77;
	check_eq(raise(SIGUSR2), 0);
	check_eq(errno, 77);
	check_eq(loop_run(b.loop), 0);
	sigaction(SIGUSR2, &old, NULL);
	close_bench(&b);
}

static void freeing_nothing_is_fine(void)
{
	loop_free(NULL);
	check(loop_now_ns() > 0);
}

static const struct test tests[] = {
	{ "calls back for a ready descriptor", calls_back_for_a_ready_descriptor },
	{ "refuses a descriptor that cannot be watched", refuses_a_descriptor_that_cannot_be_watched },
	{ "a watch may be removed in its own and in another callback",
		a_watch_may_be_removed_in_its_own_and_in_another_callback },
	{ "a paused watch is quiet and comes back", a_paused_watch_is_quiet_and_comes_back },
	{ "a hung-up descriptor can rest", a_hung_up_descriptor_can_rest },
	{ "timers run in the order of their deadlines", timers_run_in_the_order_of_their_deadlines },
	{ "a disarmed and a moved timer keep to it", a_disarmed_and_a_moved_timer_keep_to_it },
	{ "a timer may be armed in its own callback", a_timer_may_be_armed_in_its_own_callback },
	{ "a timer that is always due does not hold up the rest", a_timer_that_is_always_due_does_not_hold_up_the_rest },
	{ "a timer may be freed in its own and in another callback", a_timer_may_be_freed_in_its_own_and_in_another_callback },
	{ "many timers keep their heap", many_timers_keep_their_heap },
	{ "posts run in order", posts_run_in_order },
	{ "a stop before run is not lost", a_stop_before_run_is_not_lost },
	{ "other threads may post", other_threads_may_post },
	{ "other threads may change watches and timers under the guard",
		other_threads_may_change_watches_and_timers_under_the_guard },
	{ "tasks run once at the end of a round", tasks_run_once_at_the_end_of_a_round },
	{ "a task that asks for itself does not hold up the rest", a_task_that_asks_for_itself_does_not_hold_up_the_rest },
	{ "a signal handler may stop", a_signal_handler_may_stop },
	{ "freeing nothing is fine", freeing_nothing_is_fine },
	{ NULL, NULL },
};
const struct suite suite_lib_loop = { tests };
