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

#define COMMANDS 64		/* under way */
#define BOUNCE (128u << 10)	/* a command's own buffer */
#define DIRECT_MIN (32u << 10)	/* elements from this length on need no buffer */
#define MOST_RANGE (1u << 30)	/* bytes a trim or zero command covers */
#define MS 1000000ull
#define FIRST_PAUSE_MS 100
#define LAST_PAUSE_MS 5000
#define PATIENCE 10		/* time-outs from a request's coming to its end, whatever the server does */

/* What the layer keeps in a request it holds. */
enum { OPEN, RESULT, CURSOR, CAME };	/* commands under way, and one while it waits; first error; bytes cut off; when it came */

enum command_state { FREE, TODO, SENT, OVER };

struct command {
	struct command *next;		/* in free, todo or over */
	struct nbd *nbd;
	struct block_req *whole;
	enum command_state state;
	enum block_op op;
	bool fua;
	uint64_t off, len;
	uint8_t *data;			/* of reads and writes */
	const struct iovec *iov;	/* reads through the buffer: where its bytes go */
	uint64_t skip;			/* of the first element */
	uint64_t answered;		/* flushes: nbd.answered when it was sent */
	int result;
};

struct queue { struct command *head, **end; };

struct nbd {
	struct block b;
	const struct nbd_api *api;
	char *uri;
	unsigned timeout_ms;
	struct loop *loop;
	struct nbd_link link;
	struct nbd_dial *dial;		/* an attempt is under way; neither link nor dial: pausing */
	struct loop_watch *watch;	/* of the link, or of the dial */
	uint32_t watched;		/* events */
	struct loop_timer *timer;
	uint64_t alarm_ns;		/* what the timer is armed to; 0: not */
	uint64_t retry_ns, pause_ms;
	uint64_t heard_ns;		/* the last answer */
	uint64_t answered, flushed;	/* changes: how many were answered, how many of them a flush covers */
	bool doubt;			/* unflushed changes went with a connection */
	bool pumping, lost;
	struct block_req *waiting, **waiting_end;
	struct command *free;
	struct queue todo, over;
	uint8_t *bounce;
	struct command command[COMMANDS];
};

/* .bss: what WRITE_ZEROES sends where the server has no such command */
static uint8_t zeroes[BOUNCE];

static void pump(struct nbd *n);

static void push(struct queue *q, struct command *c)
{
	c->next = NULL;
	*q->end = c;
	q->end = &c->next;
}

static struct command *pop(struct queue *q)
{
	struct command *c = q->head;

	if (c) {
		q->head = c->next;
		if (!q->head)
			q->end = &q->head;
	}
	return c;
}

static bool is_idle(const struct nbd *n)
{
	if (n->waiting)
		return false;
	for (unsigned i = 0; i < COMMANDS; i++)
		if (n->command[i].state != FREE)
			return false;
	return true;
}

/* ---- requests into commands */

static uint8_t *buffer_of(struct nbd *n, const struct command *c)
{
	return n->bounce + (size_t)(c - n->command) * BOUNCE;
}

static void copy_iov(const struct command *c, bool out)
{
	uint64_t skip = c->skip, left = c->len;
	uint8_t *at = c->data;

	for (const struct iovec *v = c->iov; left; v++, skip = 0) {
		size_t n = v->iov_len - skip;

		n = n < left ? n : (size_t)left;
		if (out)
			memcpy(at, (uint8_t *)v->iov_base + skip, n);
		else
			memcpy((uint8_t *)v->iov_base + skip, at, n);
		at += n;
		left -= n;
	}
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The next bytes of a read or write: straight from a long element, or gathered. */
static void aim_data(struct nbd *n, struct command *c, uint64_t left)
{
	const struct block_req *whole = c->whole;
	uint64_t skip = whole->priv[CURSOR], direct;
	const struct iovec *v = whole->iov;

	for (; skip >= v->iov_len; v++)
		skip -= v->iov_len;
	direct = at_most(at_most(v->iov_len - skip, left), n->link.facts.max) & ~(uint64_t)(n->b.logical - 1);
	if (direct >= DIRECT_MIN || direct == left) {
		c->data = (uint8_t *)v->iov_base + skip;
		c->len = direct;
		return;
	}
	c->data = buffer_of(n, c);
	c->len = at_most(at_most(left, BOUNCE), n->link.facts.max) & ~(uint64_t)(n->b.logical - 1);
	c->iov = v;
	c->skip = skip;
	if (whole->op == BLOCK_WRITE)
		copy_iov(c, true);
}

/* True when the request needs no command for what is left of it. */
static bool is_cut(const struct nbd *n, const struct block_req *whole)
{
	if (whole->priv[RESULT])
		return true;	/* the rest of it would be for nothing */
	switch (whole->op) {
	case BLOCK_FLUSH:
		return whole->priv[CURSOR] || !n->link.facts.flush;
	case BLOCK_DISCARD:
		return whole->priv[CURSOR] == whole->len || !n->link.facts.trim;
	default:
		return whole->priv[CURSOR] == whole->len;
	}
}

static struct block_req *pop_waiting(struct nbd *n)
{
	struct block_req *whole = n->waiting;

	n->waiting = whole->next;
	if (!n->waiting)
		n->waiting_end = &n->waiting;
	return whole;
}

static struct command *take_command(struct nbd *n, struct block_req *whole, enum block_op op)
{
	struct command *c = n->free;

	n->free = c->next;
	*c = (struct command){ .nbd = n, .whole = whole, .op = op, .state = TODO, .fua = whole->fua };
	whole->priv[OPEN]++;
	return c;
}

/* The next command of the request that waits first, which waits no longer when it was the last one. */
static void cut_command(struct nbd *n, struct block_req *whole)
{
	struct command *c = take_command(n, whole, whole->op);
	uint64_t left = whole->len - whole->priv[CURSOR];

	c->off = whole->off + whole->priv[CURSOR];
	switch (whole->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		aim_data(n, c, left);
		break;
	case BLOCK_WRITE_ZEROES:
		c->len = at_most(left, MOST_RANGE);
		if (!n->link.facts.zero) {
			c->op = BLOCK_WRITE;
			c->data = zeroes;
			c->len = at_most(at_most(left, BOUNCE), n->link.facts.max);
		}
		break;
	case BLOCK_DISCARD:
		c->len = at_most(left, MOST_RANGE);
		break;
	default:
		c->len = 1;	/* only marks the flush as cut */
	}
	whole->priv[CURSOR] += c->len;
	push(&n->todo, c);
	if (is_cut(n, whole)) {
		pop_waiting(n);
		whole->priv[OPEN]--;
	}
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
	struct command *c = ctx;

	c->result = -*error;
	c->state = OVER;
	push(&c->nbd->over, c);
	return 1;	/* libnbd forgets it */
}

static int64_t call(struct nbd *n, struct command *c)
{
	const struct nbd_api *api = n->api;
	nbd_completion_callback cb = { .callback = on_command, .user_data = c };
	uint32_t flags = c->fua && n->link.facts.fua && c->op != BLOCK_READ && c->op != BLOCK_FLUSH ? LIBNBD_CMD_FLAG_FUA : 0;

	switch (c->op) {
	case BLOCK_READ:
		return api->aio_pread(n->link.h, c->data, c->len, c->off, cb, 0);
	case BLOCK_WRITE:
		return api->aio_pwrite(n->link.h, c->data, c->len, c->off, cb, flags);
	case BLOCK_DISCARD:
		return api->aio_trim(n->link.h, c->len, c->off, cb, flags);
	case BLOCK_WRITE_ZEROES:
		return api->aio_zero(n->link.h, c->len, c->off, cb, flags);
	default:
		c->answered = n->answered;
		return api->aio_flush(n->link.h, cb, 0);
	}
}

static bool is_gone(struct nbd *n)
{
	return n->api->aio_is_dead(n->link.h) || n->api->aio_is_closed(n->link.h);
}

static void issue(struct nbd *n, struct command *c)
{
	int code;

	c->state = SENT;
	/* Refused, and the callback was not called in between. */
	if (call(n, c) >= 0 || c->state != SENT)
		return;
	code = n->api->get_errno();
	if (is_gone(n)) {
		c->state = TODO;
		push(&n->todo, c);
		n->lost = true;
		return;
	}
	c->result = code > 0 ? -code : -EIO;
	c->state = OVER;
	push(&n->over, c);
}

static void put_command(struct nbd *n, struct command *c)
{
	c->state = FREE;
	c->next = n->free;
	n->free = c;
}

static bool is_change(const struct command *c)
{
	return c->op == BLOCK_WRITE || c->op == BLOCK_WRITE_ZEROES || c->op == BLOCK_DISCARD;
}

/* A successful answer, in terms of what is durable. The result that the request sees. */
static int account(struct nbd *n, const struct command *c)
{
	if (is_change(c)) {
		n->answered++;
		/* With nothing else unflushed, what went through stays through. */
		if (c->fua && n->link.facts.fua && n->flushed + 1 == n->answered)
			n->flushed = n->answered;
	} else if (c->op == BLOCK_FLUSH && n->doubt) {
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

static void finish(struct nbd *n, struct command *c)
{
	struct block_req *whole = c->whole;
	int result = c->result;

	if (is_cut_off(result)) {
		n->lost = true;
		c->state = TODO;
		push(&n->todo, c);
		return;
	}
	if (result != -ETIMEDOUT) {
		n->heard_ns = loop_now_ns();
		n->pause_ms = 0;
	}
	if (!result) {
		result = account(n, c);
		if (c->op == BLOCK_READ && c->iov)
			copy_iov(c, false);
	} else if (result == -ETIMEDOUT) {
		result = -EIO;
	}
	put_command(n, c);
	/* Without FUA on the wire it takes a flush behind the last command. */
	if (whole->priv[OPEN] == 1 && whole->fua && is_change(c) && !result && !whole->priv[RESULT] && !n->link.facts.fua &&
	    n->link.facts.flush)
		push(&n->todo, take_command(n, whole, BLOCK_FLUSH));
	close_command(n, whole, result);
}

/* ---- connections */

static void unwatch(struct nbd *n)
{
	loop_watch_remove(n->watch);
	n->watch = NULL;
	n->watched = 0;
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
	for (unsigned i = 0; i < COMMANDS; i++) {
		struct command *c = &n->command[i];

		if (c->state != SENT)
			continue;
		c->state = TODO;
		push(&n->todo, c);
	}
	if (n->answered != n->flushed && !n->link.facts.multi_conn) {
		n->doubt = true;
		n->flushed = n->answered;
	}
	n->retry_ns = loop_now_ns() + n->pause_ms * MS;
}

static void pause_dialing(struct nbd *n)
{
	n->pause_ms = n->pause_ms ? at_most(n->pause_ms * 2, LAST_PAUSE_MS) : FIRST_PAUSE_MS;
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
	for (unsigned i = 0; i < COMMANDS && r > 0; i++)
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

	return at_most(from + timeout, came + PATIENCE * timeout);
}

static uint64_t first_due_ns(const struct nbd *n)
{
	uint64_t first = n->waiting ? due_ns(n, n->waiting) : UINT64_MAX;

	for (unsigned i = 0; i < COMMANDS; i++)
		if (n->command[i].state != FREE)
			first = at_most(first, due_ns(n, n->command[i].whole));
	return first;
}

/* When something must be done without anybody's calling. */
static uint64_t next_alarm_ns(const struct nbd *n)
{
	uint64_t first = first_due_ns(n);

	return n->link.h || n->dial ? first : at_most(first, n->retry_ns);
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
	struct queue todo = n->todo;
	struct command *c;

	if (!todo.head)
		return;
	n->todo = (struct queue){ .end = &n->todo.head };
	while ((c = todo.head)) {
		todo.head = c->next;
		if (due_ns(n, c->whole) > now) {
			push(&n->todo, c);
			continue;
		}
		c->result = -ETIMEDOUT;
		c->state = OVER;
		push(&n->over, c);
	}
}

/* Requests whose time is over end; a link that kept one of them waiting is no good. */
static void look_at_clock(struct nbd *n)
{
	uint64_t now = loop_now_ns();

	for (unsigned i = 0; i < COMMANDS && n->link.h; i++)
		if (n->command[i].state == SENT && due_ns(n, n->command[i].whole) <= now)
			lose_link(n, "it answers nothing");
	fail_late_commands(n, now);
	while (n->waiting && due_ns(n, n->waiting) <= now)
		close_command(n, pop_waiting(n), -EIO);
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
		struct command *c = pop(&n->todo);

		if (c) {
			issue(n, c);
			continue;
		}
		if (!n->waiting || (!n->free && !is_cut(n, n->waiting)))
			return;
		if (is_cut(n, n->waiting))
			close_command(n, pop_waiting(n), 0);
		else
			cut_command(n, n->waiting);
	}
}

/* All that can be done now. Completions submit again: the outermost call goes on with it, so that the stack stays flat. */
static void pump(struct nbd *n)
{
	struct command *c;

	if (n->pumping)
		return;
	n->pumping = true;
	do {
		send_what_can_be(n);
		while ((c = pop(&n->over)))
			finish(n, c);
		if (n->lost || (n->link.h && is_gone(n)))
			lose_link(n, "closed by the server");
		if (!n->link.h && !n->dial && n->retry_ns <= loop_now_ns())
			dial(n);
	} while (n->over.head || (n->link.h && (n->todo.head || (n->waiting && (n->free || is_cut(n, n->waiting))))));
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
	uint64_t ms = when <= now ? 0 : at_most((when - now) / MS + 1, LAST_PAUSE_MS);
	struct pollfd p = { .fd = n->dial ? nbd_dial_fd(n->dial) : -1, .events = POLLIN };

	if (n->link.h) {
		if (n->api->poll(n->link.h, (int)ms) < 0 || is_gone(n))
			n->lost = true;
	} else if (poll(&p, 1, (int)ms) > 0) {
		on_dial(n);
	}
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
		munmap(n->bounce, (size_t)COMMANDS * BOUNCE);
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
	void *bounce = mmap(NULL, (size_t)COMMANDS * BOUNCE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
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
	for (unsigned i = COMMANDS; i-- > 0;)
		put_command(n, &n->command[i]);
	return 0;
}

int block_nbd_open_timeout(const char *uri, bool readonly, unsigned timeout_ms, struct loop *loop, struct block **b, struct err *err)
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
