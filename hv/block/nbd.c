/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/block/nbd.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include "hv/block/nbd_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

#define MS 1000000ull
#define FIRST_PAUSE_MS 100
#define LAST_PAUSE_MS 5000
#define PATIENCE 10		/* time-outs from a request's coming to its end, whatever the server does */

static void pump(struct nbd *n);

static bool is_idle(const struct nbd *n)
{
	if (n->waiting)
		return false;
	for (unsigned i = 0; i < NBD_COMMANDS; i++)
		if (n->command[i].state != FREE)
			return false;
	return true;
}

/* One command less, or the request waits no longer: ends it when nothing is left. */
static void close_command(struct nbd *n, struct block_req *whole, int result)
{
	if (result && !whole->priv[RESULT])
		whole->priv[RESULT] = (uint64_t)(int64_t)result;
	if (--whole->priv[OPEN])
		return;
	whole->done(whole, (int)(int64_t)whole->priv[RESULT]);
}

/* ---- commands and libnbd */

static int on_command(void *ctx, int *error)
{
	struct nbd_command *c = ctx;

	c->result = -*error;
	c->state = OVER;
	nbd_queue_push(&c->nbd->over, c);
	return 1;	/* libnbd forgets it */
}

static bool is_gone(struct nbd *n)
{
	return n->api->aio_is_dead(n->link.h) || n->api->aio_is_closed(n->link.h);
}

static void issue(struct nbd *n, struct nbd_command *c)
{
	int code;

	c->state = SENT;
	/* Refused, and the callback was not called in between. */
	if (nbd_cut_send(n, c, on_command) >= 0 || c->state != SENT)
		return;
	code = n->api->get_errno();
	if (is_gone(n)) {
		c->state = READY;
		nbd_queue_push(&n->todo, c);
		n->lost = true;
		return;
	}
	c->result = code > 0 ? -code : -EIO;
	c->state = OVER;
	nbd_queue_push(&n->over, c);
}

static void put_command(struct nbd *n, struct nbd_command *c)
{
	c->state = FREE;
	c->next = n->free;
	n->free = c;
}

static bool is_change(const struct nbd_command *c)
{
	return c->op == BLOCK_WRITE || c->op == BLOCK_WRITE_ZEROES || c->op == BLOCK_DISCARD;
}

/* A successful answer, in terms of what is durable. The result that the request sees. */
static int account(struct nbd *n, const struct nbd_command *c)
{
	if (is_change(c)) {
		n->answered++;
		/* With nothing else unflushed, what went through stays through. */
		if (c->fua && n->link.facts.fua && n->flushed + 1 == n->answered)
			n->flushed = n->answered;
	} else if (c->op == BLOCK_FLUSH && (c->in_doubt || (n->doubt && c->whole->op == BLOCK_FLUSH))) {
		if (c->whole->op == BLOCK_FLUSH)
			n->doubt = false;
		log_error("%s: writes since the last flush went with a lost connection; the flush fails", n->uri);
		return -EIO;
	} else if (c->op == BLOCK_FLUSH && c->answered > n->flushed) {
		n->flushed = c->answered;
	}
	return 0;
}

/* Ended by the connection, not by the server's word. */
static bool is_cut_off(int result)
{
	return result == -ENOTCONN || result == -ESHUTDOWN || result == -EPIPE || result == -ECONNRESET || result == -EPROTO;
}

static void finish(struct nbd *n, struct nbd_command *c)
{
	struct block_req *whole = c->whole;
	int result = c->result;

	if (is_cut_off(result)) {
		n->lost = true;
		c->state = READY;
		nbd_queue_push(&n->todo, c);
		return;
	}
	if (result != -ETIMEDOUT) {
		n->heard_ns = loop_now_ns();
		n->pause_ms = 0;
	}
	if (!result) {
		result = account(n, c);
		if (c->op == BLOCK_READ && c->iov)
			nbd_cut_copy(c, false);
	} else if (result == -ETIMEDOUT) {
		result = -EIO;
	}
	put_command(n, c);
	/* Without FUA on the wire it takes a flush behind the last command. */
	if (whole->priv[OPEN] == 1 && whole->fua && is_change(c) && !result && !whole->priv[RESULT] && !n->link.facts.fua &&
	    n->link.facts.flush)
		nbd_queue_push(&n->todo, nbd_cut_take(n, whole, BLOCK_FLUSH));
	close_command(n, whole, result);
}

/* ---- connections */

static void unwatch(struct nbd *n)
{
	loop_watch_remove(n->watch);
	n->watch = NULL;
	n->watched = 0;
}

/*
 * The next flush must fail, and so must each that was under way: it is about writes that may be lost. A forced write that is
 * answered on the next link is none of them.
 */
static void doubt_writes(struct nbd *n)
{
	n->doubt = true;
	n->flushed = n->answered;
	for (unsigned i = 0; i < NBD_COMMANDS; i++)
		if (n->command[i].state != FREE && n->command[i].op == BLOCK_FLUSH)
			n->command[i].in_doubt = true;
}

/* Away with the link; what was under way is sent again on the next one. */
static void lose_link(struct nbd *n, const char *why)
{
	n->lost = false;
	if (!n->link.h)
		return;
	log_limited(LOG_WARN, "%s: connection lost (%s); connecting again", n->uri, why);
	unwatch(n);
	nbd_link_close(&n->link, false);
	for (unsigned i = 0; i < NBD_COMMANDS; i++) {
		struct nbd_command *c = &n->command[i];

		if (c->state != SENT)
			continue;
		c->state = READY;
		nbd_queue_push(&n->todo, c);
	}
	if (n->answered != n->flushed && !n->link.facts.multi_conn)
		doubt_writes(n);
	n->retry_ns = loop_now_ns() + n->pause_ms * MS;
}

static void pause_dialing(struct nbd *n)
{
	n->pause_ms = n->pause_ms ? nbd_least(n->pause_ms * 2, LAST_PAUSE_MS) : FIRST_PAUSE_MS;
	n->retry_ns = loop_now_ns() + n->pause_ms * MS;
}

/* Whether a new connection leads to the volume we know. */
static int compare(const struct nbd *n, const struct nbd_facts *f, struct err *err)
{
	if (f->size != n->b.size)
		return err_set(err, -ESTALE, "the volume has %llu bytes now, not %llu", (unsigned long long)f->size,
			       (unsigned long long)n->b.size);
	if (f->min > n->b.logical)
		return err_set(err, -ESTALE, "the server wants blocks of %u bytes now", f->min);
	if (f->readonly && !n->b.readonly)
		return err_set(err, -EROFS, "the volume is read only now");
	return 0;
}

static void on_dial(struct nbd *n)
{
	struct nbd_link link;
	struct err err = { 0 };
	int r;

	unwatch(n);
	r = nbd_dial_take(n->dial, &link, &err);
	n->dial = NULL;
	if (!r) {
		r = compare(n, &link.facts, &err);
		if (r)
			nbd_link_close(&link, false);
	}
	pause_dialing(n);	/* also for what comes after this link, until it has answered something */
	if (r) {
		log_limited(LOG_WARN, "%s: %s; trying again", n->uri, err.text);
	} else {
		log_limited(LOG_INFO, "%s: connected again", n->uri);
		n->link = link;
	}
}

static void on_link(struct nbd *n)
{
	int r = 1;

	/* libnbd takes one answer at a time */
	for (unsigned i = 0; i < NBD_COMMANDS && r > 0; i++)
		r = n->api->poll(n->link.h, 0);
	if (r < 0 || is_gone(n))
		n->lost = true;
}

static void on_fd(void *ctx, int fd, uint32_t events)
{
	struct nbd *n = ctx;

	if (n->dial)
		on_dial(n);
	else if (n->link.h)
		on_link(n);
	pump(n);
}

static void dial(struct nbd *n)
{
	int r = nbd_dial_start(n->uri, n->timeout_ms, &n->dial);

	if (!r)
		return;
	log_limited(LOG_WARN, "%s: %s; trying again", n->uri, strerror(-r));
	pause_dialing(n);
}

/* Watch what there is to watch. Without a watch, the alarm looks. */
static void watch_link(struct nbd *n)
{
	unsigned direction = n->link.h ? n->api->aio_get_direction(n->link.h) : 0;
	uint32_t events = EPOLLIN;
	int fd, r;

	if (!n->loop || (!n->link.h && !n->dial))
		return;
	if (n->link.h)
		events = (direction & LIBNBD_AIO_DIRECTION_READ ? EPOLLIN : 0u) | (direction & LIBNBD_AIO_DIRECTION_WRITE ? EPOLLOUT : 0u);
	if (n->watch && events == n->watched)
		return;
	fd = n->link.h ? n->api->aio_get_fd(n->link.h) : nbd_dial_fd(n->dial);
	r = n->watch ? loop_watch_set(n->watch, events) : loop_watch_add(n->loop, fd, events, on_fd, n, &n->watch);
	if (r)
		log_limited(LOG_WARN, "%s: cannot watch the connection: %s", n->uri, strerror(-r));
	else
		n->watched = events;
}

/* ---- time */

static uint64_t due_ns(const struct nbd *n, const struct block_req *whole)
{
	uint64_t timeout = n->timeout_ms * MS, came = whole->priv[CAME];
	uint64_t from = came > n->heard_ns ? came : n->heard_ns;

	return nbd_least(from + timeout, came + PATIENCE * timeout);
}

static uint64_t first_due_ns(const struct nbd *n)
{
	uint64_t first = n->waiting ? due_ns(n, n->waiting) : UINT64_MAX;

	for (unsigned i = 0; i < NBD_COMMANDS; i++)
		if (n->command[i].state != FREE)
			first = nbd_least(first, due_ns(n, n->command[i].whole));
	return first;
}

/* When something must be done without anybody's calling. */
static uint64_t next_alarm_ns(const struct nbd *n)
{
	uint64_t first = first_due_ns(n);

	return n->link.h || n->dial ? first : nbd_least(first, n->retry_ns);
}

/* The alarm may go off early and look again; it must not be late. Requests only ever get more time. */
static void set_alarm(struct nbd *n)
{
	uint64_t when;

	if (!n->timer || (n->alarm_ns && (n->link.h || n->dial || n->alarm_ns <= n->retry_ns)))
		return;
	when = next_alarm_ns(n);
	if (when == UINT64_MAX)
		return;
	n->alarm_ns = when;
	loop_timer_arm(n->timer, when);
}

static void fail_late_commands(struct nbd *n, uint64_t now)
{
	struct nbd_queue todo = n->todo;
	struct nbd_command *c;

	if (!todo.head)
		return;
	n->todo = (struct nbd_queue){ .end = &n->todo.head };
	while ((c = todo.head)) {
		todo.head = c->next;
		if (due_ns(n, c->whole) > now) {
			nbd_queue_push(&n->todo, c);
			continue;
		}
		c->result = -ETIMEDOUT;
		c->state = OVER;
		nbd_queue_push(&n->over, c);
	}
}

/* Requests whose time is over end; a link that kept one of them waiting is no good. */
static void look_at_clock(struct nbd *n)
{
	uint64_t now = loop_now_ns();

	for (unsigned i = 0; i < NBD_COMMANDS && n->link.h; i++)
		if (n->command[i].state == SENT && due_ns(n, n->command[i].whole) <= now)
			lose_link(n, "it answers nothing");
	fail_late_commands(n, now);
	while (n->waiting && due_ns(n, n->waiting) <= now)
		close_command(n, nbd_cut_pop(n), -EIO);
}

static void on_alarm(void *ctx)
{
	struct nbd *n = ctx;

	n->alarm_ns = 0;
	look_at_clock(n);
	pump(n);
}

/* ---- the layer */

static void send_what_can_be(struct nbd *n)
{
	while (n->link.h && !n->lost) {
		struct nbd_command *c = nbd_queue_pop(&n->todo);

		if (c) {
			issue(n, c);
			continue;
		}
		if (!n->waiting || (!n->free && !nbd_cut_over(n, n->waiting)))
			return;
		if (nbd_cut_over(n, n->waiting))
			close_command(n, nbd_cut_pop(n), 0);
		else
			nbd_cut_next(n, n->waiting);
	}
}

/* All that can be done now. Completions submit again: the outermost call goes on with it, so that the stack stays flat. */
static void pump(struct nbd *n)
{
	struct nbd_command *c;

	if (n->pumping)
		return;
	n->pumping = true;
	do {
		send_what_can_be(n);
		while ((c = nbd_queue_pop(&n->over)))
			finish(n, c);
		if (n->lost || (n->link.h && is_gone(n)))
			lose_link(n, "closed by the server");
		if (!n->link.h && !n->dial && n->retry_ns <= loop_now_ns())
			dial(n);
	} while (n->over.head || (n->link.h && (n->todo.head || (n->waiting && (n->free || nbd_cut_over(n, n->waiting))))));
	n->pumping = false;
	watch_link(n);
	set_alarm(n);
}

static void submit(struct block *b, struct block_req *req)
{
	struct nbd *n = container_of(b, struct nbd, b);

	req->priv[OPEN] = 1;
	req->priv[RESULT] = req->priv[CURSOR] = 0;
	req->priv[CAME] = loop_now_ns();
	req->next = NULL;
	*n->waiting_end = req;
	n->waiting_end = &req->next;
	pump(n);
}

/* Wait for what comes next: the link, the dial or the alarm. */
static void wait_some(struct nbd *n)
{
	uint64_t now = loop_now_ns(), when = next_alarm_ns(n);
	uint64_t ms = when <= now ? 0 : nbd_least((when - now) / MS + 1, LAST_PAUSE_MS);
	struct pollfd p = { .fd = n->dial ? nbd_dial_fd(n->dial) : -1, .events = POLLIN };

	if (n->link.h) {
		if (n->api->poll(n->link.h, (int)ms) < 0 || is_gone(n))
			n->lost = true;
	} else if (poll(&p, 1, (int)ms) > 0) {
		on_dial(n);
	}
	pump(n);	/* what was answered is counted before the link may be lost */
	look_at_clock(n);
	pump(n);
}

static void drain(struct block *b)
{
	struct nbd *n = container_of(b, struct nbd, b);

	pump(n);
	while (!is_idle(n))
		wait_some(n);
}

static void free_nbd(struct block *b)
{
	struct nbd *n = container_of(b, struct nbd, b);

	unwatch(n);
	loop_timer_free(n->timer);
	nbd_dial_abandon(n->dial);
	if (n->link.h)
		nbd_link_close(&n->link, true);
	if (n->bounce)
		munmap(n->bounce, (size_t)NBD_COMMANDS * NBD_BOUNCE);
	free(n->uri);
	free(n);
}

static const struct block_ops ops = { .name = "nbd", .submit = submit, .drain = drain, .free = free_nbd };

/* ---- opening */

bool block_nbd_is_uri(const char *text)
{
	static const char *const schemes[] = { "nbd://", "nbds://", "nbd+unix://", "nbds+unix://" };

	for (size_t i = 0; i < array_len(schemes); i++)
		if (!strncmp(text, schemes[i], strlen(schemes[i])))
			return true;
	return false;
}

static int describe(struct nbd *n, bool readonly, struct err *err)
{
	const struct nbd_facts *f = &n->link.facts;

	if (f->readonly && !readonly)
		return err_set(err, -EROFS, "%s: the server gives it out read only", n->uri);
	if (!f->size || f->size & (f->min - 1))
		return err_set(err, -EINVAL, "%s: size of %llu bytes is not a multiple of its %u-byte sectors", n->uri,
			       (unsigned long long)f->size, f->min);
	if (!readonly && !f->flush)
		log_warn("%s: the server cannot flush: what the guest flushes is as safe as the server is", n->uri);
	n->b = (struct block){ .ops = &ops, .size = f->size, .logical = f->min, .physical = f->preferred, .readonly = readonly,
			       .can_discard = !readonly && f->trim };
	return 0;
}

static int prepare(struct nbd *n, const char *uri, struct err *err)
{
	void *bounce = mmap(NULL, (size_t)NBD_COMMANDS * NBD_BOUNCE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int r = 0;

	n->bounce = bounce == MAP_FAILED ? NULL : bounce;
	n->uri = strdup(uri);
	if (n->loop)
		r = loop_timer_create(n->loop, on_alarm, n, &n->timer);
	if (r || !n->bounce || !n->uri)
		return err_set(err, -ENOMEM, "%s: out of memory", uri);
	n->waiting_end = &n->waiting;
	n->todo.end = &n->todo.head;
	n->over.end = &n->over.head;
	for (unsigned i = NBD_COMMANDS; i-- > 0;)
		put_command(n, &n->command[i]);
	return 0;
}

int block_nbd_open_timeout(const char *uri, bool readonly, unsigned timeout_ms, struct loop *loop, struct block **b,
	struct err *err)
{
	struct nbd *n;
	int r;

	if (!block_nbd_is_uri(uri))
		return err_set(err, -EINVAL, "%s: is no URI of an NBD server: nbd://HOST[:PORT][/EXPORT], nbds://…, "
			       "nbd+unix:///EXPORT?socket=PATH", uri);
	n = calloc(1, sizeof *n);
	if (!n)
		return err_set(err, -ENOMEM, "%s: out of memory", uri);
	n->loop = loop;
	n->timeout_ms = timeout_ms;
	r = prepare(n, uri, err);
	if (!r) {
		r = nbd_link_load(&n->api, err);
		r = r ? r : nbd_link_open(uri, timeout_ms, &n->link, err);
		r = r ? err_prefix(err, "%s", uri) : describe(n, readonly, err);
	}
	if (r) {
		free_nbd(&n->b);
		return r;
	}
	watch_link(n);
	*b = &n->b;
	return 0;
}

int block_nbd_open(const char *uri, bool readonly, struct loop *loop, struct block **b, struct err *err)
{
	return block_nbd_open_timeout(uri, readonly, BLOCK_NBD_TIMEOUT_MS, loop, b, err);
}
