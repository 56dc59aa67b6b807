/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connecting → handshake → open → closed. Events of the socket go to on_socket, which does what the state can; update tells the
 * loop what to wait for next. Callbacks may free the link, so each stands between enter and leave, and after each the state is
 * asked again.
 */
#include "lib/link/link.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include "lib/link/link_priv.h"
#include "lib/link/socket.h"
#include "lib/scope.h"

#define NS 1000000000ull
enum { HANDSHAKE_S = 10, DEAD_S = 30, READ_MAX = 65540, WRITE_MAX = 262144, READS_A_ROUND = 8 };
enum { REKEY_RECORDS = 1 << 23 };

static void nothing(void *ctx) {}
static size_t take_all(void *ctx, const uint8_t *data, size_t len) { return len; }
static void forget(void *ctx, const struct err *why) {}

int link_fail(struct link *link, int code, const char *fmt, ...)
{
	va_list ap;

	link->why.code = code;
	va_start(ap, fmt);
	vsnprintf(link->why.text, sizeof link->why.text, fmt, ap);
	va_end(ap);
	return code;
}

/* ---- life */

static void destroy(struct link *link)
{
	queue_free(&link->in);
	queue_free(&link->out);
	free((void *)link->ops);
	free(link);
}

/* The socket goes at once; the memory when the last callback returned. */
static void release(struct link *link)
{
	loop_watch_remove(link->watch);
	loop_timer_free(link->timer);
	loop_timer_free(link->soon);
	loop_task_free(link->gather);
	SSL_free(link->ssl);
	SSL_CTX_free(link->config.tls);
	scope_close(&link->fd);
	link->watch = NULL;
	link->timer = link->soon = NULL;
	link->gather = NULL;
	link->ssl = NULL;
	link->config.tls = NULL;
	link->fd = -1;
}

static void enter(struct link *link)
{
	link->busy++;
}

/* False: it is gone. */
static bool leave(struct link *link)
{
	bool freed = link->freed;

	if (!--link->busy && freed)
		destroy(link);
	return !freed;
}

void link_free(struct link *link)
{
	if (!link)
		return;
	/* as a courtesy, where it can be said without waiting: the other side then sees no cut */
	if (link->state == LINK_OPEN && !link->broken && !link->ended && !queue_len(&link->out))
		(void)link->io->end(link);
	link->state = LINK_CLOSED;
	link->freed = true;
	release(link);
	if (!link->busy)
		destroy(link);
}

/* What was not read would make the kernel's reset overtake our last words, a TLS alert that says why. */
static void say_goodbye(struct link *link)
{
	uint8_t rest[1024];

	shutdown(link->fd, SHUT_WR);
	for (int i = 0; i < 64 && recv(link->fd, rest, sizeof rest, MSG_DONTWAIT) > 0; i++)
		;
}

/* Inside enter and leave. */
static void close_link(struct link *link)
{
	if (link->state == LINK_CLOSED)
		return;
	link->state = LINK_CLOSED;
	loop_watch_remove(link->watch);
	link->watch = NULL;
	loop_timer_disarm(link->timer);
	loop_timer_disarm(link->soon);
	link->offered = !link->why.code;	/* the owner may want the socket itself */
	if (link->offered)
		link->ops->closed(link->ctx, &link->why);
	link->offered = false;
	if (link->fd >= 0)
		say_goodbye(link);
	scope_close(&link->fd);
	link->fd = -1;
	if (link->why.code)
		link->ops->closed(link->ctx, &link->why);
}

int link_take_fd(struct link *link)
{
	return link->offered ? take_fd(link->fd) : -1;
}

/* ---- what to wait for */

static bool can_read(const struct link *link)
{
	return link->state == LINK_OPEN && !link->paused && !link->peer_ended;
}

/* A failure inside an owner's call shows in a callback of its own: owners may free a link in one. */
static void fail_soon(struct link *link, int rc)
{
	if (!rc || rc == -EAGAIN)
		return;
	link->broken = true;
	loop_timer_arm(link->soon, 1);
}

static void update(struct link *link)
{
	uint32_t events = 0;
	int rc;

	if (link->state == LINK_CLOSED)
		return;
	if (link->state == LINK_CONNECTING) {
		events = EPOLLOUT;
	} else if (link->state == LINK_HANDSHAKE) {
		events = (link->want_in ? EPOLLIN : 0) | (link->want_out ? EPOLLOUT : 0);
	} else {
		if (can_read(link))
			events |= EPOLLIN;
		if ((queue_len(&link->out) && !link->corked && !link->gathering) || (link->ending && !link->ended) || link->want_out)
			events |= EPOLLOUT;
	}
	rc = loop_watch_set(link->watch, events);
	if (rc)
		fail_soon(link, link_fail(link, rc, "cannot wait for the socket: %s", strerror(-rc)));
}

/* ---- writing */

/* least: what is less than that stays in the queue. */
static int flush(struct link *link, size_t least)
{
	while (queue_len(&link->out) >= least) {
		ssize_t n;

		if (link->records >= link->config.rekey_records)
			link->io->key_update(link);
		n = link->io->write(link, queue_data(&link->out), queue_len(&link->out));
		if (n < 0)
			return (int)n;
		queue_drop(&link->out, (size_t)n);
		link->records++;
		link->counters.out_records++;
	}
	if (link->ending && !link->ended) {
		int rc = link->io->end(link);

		if (rc)
			return rc;
		link->ended = true;
	}
	return 0;
}

/* Inside enter and leave. */
static void write_out(struct link *link)
{
	int rc = link->corked && !link->ending ? 0 : flush(link, 1);

	if (rc && rc != -EAGAIN) {
		close_link(link);
		return;
	}
	if (link->hungry && queue_len(&link->out) <= link->out.max / 2) {
		link->hungry = false;
		link->ops->writable(link->ctx);
	}
	if (link->ended && link->peer_ended)
		close_link(link);
}

/* At the end of the round: what did not fill a record. */
static void on_gather(void *ctx)
{
	struct link *link = ctx;

	link->gathering = false;
	if (link->state != LINK_OPEN || link->broken)
		return;
	enter(link);
	write_out(link);
	if (leave(link))
		update(link);
}

static void send_now(struct link *link)
{
	int rc = flush(link, link->gather && !link->ending ? LINK_CHUNK : 1);

	fail_soon(link, rc);
	link->gathering = !rc && queue_len(&link->out);
	if (link->gathering)
		loop_task_run(link->gather);
}

int link_writev(struct link *link, const struct iovec *iov, unsigned n)
{
	size_t len = 0;
	uint8_t *to;

	if (link->state == LINK_CLOSED || link->ending)
		return -EPIPE;
	for (unsigned i = 0; i < n; i++)
		if (__builtin_add_overflow(len, iov[i].iov_len, &len))
			return -EAGAIN;
	if (!len)
		return 0;
	to = queue_reserve(&link->out, len);
	if (!to) {
		if (errno == ENOMEM)
			return -ENOMEM;
		link->hungry = true;
		link->counters.full++;
		return -EAGAIN;
	}
	for (unsigned i = 0; i < n; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	link->out.tail += len;
	link->counters.out_bytes += len;
	if (link->state == LINK_OPEN && !link->corked && !link->broken)
		send_now(link);
	update(link);
	return 0;
}

int link_write(struct link *link, const void *data, size_t len)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

	return link_writev(link, &iov, 1);
}

void link_cork(struct link *link, bool cork)
{
	link->corked = cork;
	if (!cork && link->state == LINK_OPEN && !link->broken)
		send_now(link);
	update(link);
}

void link_end(struct link *link)
{
	if (link->state == LINK_CLOSED || link->ending)
		return;
	link->ending = true;
	update(link);	/* the next event sends it */
}

void link_key_update(struct link *link)
{
	if (link->state == LINK_OPEN)
		link->io->key_update(link);
}

/* ---- reading */

/* Hand out what is there, as long as the owner takes some of it. False: the link is closed or paused. */
static bool hand_out(struct link *link)
{
	while (queue_len(&link->in) && can_read(link)) {
		size_t len = queue_len(&link->in), n = link->ops->read(link->ctx, queue_data(&link->in), len);

		if (link->state == LINK_CLOSED)
			return false;
		bug_on(n > len);
		if (!n)
			break;
		queue_drop(&link->in, n);
		link->taken_ns = loop_now_ns();
	}
	return can_read(link);
}

static void peer_end(struct link *link)
{
	link->peer_ended = true;
	link->ops->end(link->ctx);
	if (link->state != LINK_CLOSED && link->ended)
		close_link(link);
}

/* 0: more may be there; -EAGAIN: not now; else the link is over or ended. */
static int read_once(struct link *link)
{
	size_t room = link->in.max - queue_len(&link->in);
	uint8_t *to;
	ssize_t n;

	if (!room)
		return link_fail(link, -EMSGSIZE, "the other side sent more than %zu bytes of one message", link->in.max);
	if (room > LINK_CHUNK)
		room = LINK_CHUNK;
	to = queue_reserve(&link->in, room);
	if (!to)
		return link_fail(link, -ENOMEM, "out of memory");
	n = link->io->read(link, to, room);
	if (n <= 0) {
		queue_drop(&link->in, 0);	/* gives an empty buffer back */
		if (!n)
			peer_end(link);
		return n ? (int)n : -EPIPE;
	}
	link->in.tail += (size_t)n;
	link->counters.in_bytes += (size_t)n;
	link->counters.in_reads++;
	return 0;
}

/* Inside enter and leave. Level triggered: what a bounded round leaves in the socket brings the next one. */
static void read_in(struct link *link)
{
	for (int i = 0; i < READS_A_ROUND && hand_out(link); i++) {
		int rc = read_once(link);

		if (rc && rc != -EAGAIN && rc != -EPIPE)
			close_link(link);
		if (rc)
			return;
	}
	(void)hand_out(link);
	if (can_read(link) && link->io->pending(link))
		loop_timer_arm(link->soon, 1);
}

void link_pause(struct link *link, bool pause)
{
	if (link->state == LINK_CLOSED || link->paused == pause)
		return;
	link->paused = pause;
	link->counters.pauses += pause;
	if (!pause && link->state == LINK_OPEN)
		loop_timer_arm(link->soon, 1);	/* what we hold already shows on no socket */
	update(link);
}

/* ---- events */

static void arm(struct link *link)
{
	if (link->state == LINK_OPEN && link->config.idle_s)
		loop_timer_arm(link->timer, link->taken_ns + link->config.idle_s * NS);
	else if (link->state == LINK_OPEN)
		loop_timer_disarm(link->timer);
}

static void shake(struct link *link)
{
	int rc = link->io->handshake(link);

	if (rc == -EAGAIN)
		return;
	if (rc) {
		close_link(link);
		return;
	}
	link->state = LINK_OPEN;
	link->taken_ns = loop_now_ns();
	arm(link);
	link->ops->ready(link->ctx);
	if (link->state == LINK_OPEN && queue_len(&link->out))
		write_out(link);
	/* the client's first words may have come with its handshake */
	if (link->state == LINK_OPEN && link->io->pending(link))
		loop_timer_arm(link->soon, 1);
}

static void connected(struct link *link)
{
	int code = 0;
	socklen_t len = sizeof code;

	if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &code, &len))
		code = errno;
	if (code) {
		(void)link_fail(link, -code, "cannot connect: %s", strerror(code));
		close_link(link);
		return;
	}
	link->state = LINK_HANDSHAKE;
}

static void on_socket(void *ctx, int fd, uint32_t events)
{
	struct link *link = ctx;
	bool retry = link->want_out && events & EPOLLOUT;	/* a read may have asked for it */

	if (link->broken)
		return;
	link->want_out &= !retry;
	enter(link);
	if (link->state == LINK_CONNECTING)
		connected(link);
	if (link->state == LINK_HANDSHAKE)
		shake(link);
	if (link->state == LINK_OPEN && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		write_out(link);
	if (link->state == LINK_OPEN && (retry || events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		read_in(link);
	/* paused, and the socket is dead: nobody would ever read that */
	if (link->state == LINK_OPEN && events & (EPOLLERR | EPOLLHUP) && !can_read(link)) {
		(void)link_fail(link, -ECONNRESET, "the other side is gone");
		close_link(link);
	}
	if (leave(link))
		update(link);
}

static void on_soon(void *ctx)
{
	struct link *link = ctx;

	enter(link);
	if (link->broken)
		close_link(link);
	else if (link->state == LINK_OPEN)
		read_in(link);
	if (leave(link))
		update(link);
}

static void on_timer(void *ctx)
{
	struct link *link = ctx;

	if (link->state == LINK_OPEN && link->taken_ns + link->config.idle_s * NS > loop_now_ns()) {
		arm(link);	/* something was taken since it was armed */
		return;
	}
	enter(link);
	if (link->state == LINK_OPEN)
		(void)link_fail(link, -ETIMEDOUT, "idle for %u s", link->config.idle_s);
	else
		(void)link_fail(link, -ETIMEDOUT, "no %s in %u s", link->state == LINK_CONNECTING ? "connection" : "handshake",
			link->config.handshake_s);
	close_link(link);
	(void)leave(link);
}

/* ---- making */

static struct link_ops *complete(const struct link_ops *ops)
{
	struct link_ops *o = malloc(sizeof *o);

	if (o)
		*o = (struct link_ops){
			.ready = ops->ready ? ops->ready : nothing,
			.read = ops->read ? ops->read : take_all,
			.writable = ops->writable ? ops->writable : nothing,
			.end = ops->end ? ops->end : nothing,
			.closed = ops->closed ? ops->closed : forget,
		};
	return o;
}

static void set_defaults(struct link_config *c)
{
	c->handshake_s = c->handshake_s ? c->handshake_s : HANDSHAKE_S;
	c->dead_s = c->dead_s ? c->dead_s : DEAD_S;
	c->read_max = c->read_max ? c->read_max : READ_MAX;
	c->write_max = c->write_max ? c->write_max : WRITE_MAX;
	c->rekey_records = c->rekey_records ? c->rekey_records : REKEY_RECORDS;
}

static int open_parts(struct link *link, struct err *err)
{
	int rc;

	socket_name_peer(link->fd, link->peer, sizeof link->peer);
	rc = socket_prepare(link->fd, link->config.dead_s, err);
	if (!rc && link->config.tls)
		rc = link_tls_open(link, err);
	if (rc)
		return rc;
	rc = loop_timer_create(link->loop, on_timer, link, &link->timer);
	if (!rc)
		rc = loop_timer_create(link->loop, on_soon, link, &link->soon);
	if (!rc && link->config.gather)
		rc = loop_task_create(link->loop, on_gather, link, &link->gather);
	if (!rc)
		rc = loop_watch_add(link->loop, link->fd, EPOLLOUT, on_socket, link, &link->watch);
	return rc ? err_set(err, rc, "link: cannot be made: %s", strerror(-rc)) : 0;
}

int link_create(struct loop *loop, int fd, const struct link_config *config, const struct link_ops *ops, void *ctx,
	struct link **out, struct err *err)
{
	struct link *link = calloc(1, sizeof *link);
	int rc;

	*out = NULL;
	if (!link) {
		scope_close(&fd);
		return err_set(err, -ENOMEM, "link: out of memory");
	}
	*link = (struct link){ .loop = loop, .fd = fd, .config = *config, .ctx = ctx, .ops = complete(ops) };
	set_defaults(&link->config);
	link->in = (struct queue){ .max = link->config.read_max, .secret = config->secret };
	link->out = (struct queue){ .max = link->config.write_max, .secret = config->secret };
	link->io = config->tls ? &link_io_tls : &link_io_plain;
	if (config->tls)
		SSL_CTX_up_ref(config->tls);
	rc = link->ops ? open_parts(link, err) : err_set(err, -ENOMEM, "link: out of memory");
	if (rc) {
		link_free(link);
		return rc;
	}
	loop_timer_arm(link->timer, loop_now_ns() + link->config.handshake_s * NS);
	*out = link;
	return 0;
}

/* ---- questions */

SSL *link_ssl(const struct link *link)
{
	return link->ssl;
}

const char *link_alpn(const struct link *link)
{
	static _Thread_local char name[256];
	const unsigned char *alpn = NULL;
	unsigned len = 0;

	if (link->ssl)
		SSL_get0_alpn_selected(link->ssl, &alpn, &len);
	if (len)
		memcpy(name, alpn, len);
	name[len] = 0;
	return name;
}

const char *link_peer(const struct link *link)
{
	return link->peer;
}

size_t link_queued(const struct link *link)
{
	return queue_len(&link->out);
}

const struct link_counters *link_counters(const struct link *link)
{
	return &link->counters;
}
