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
enum { HANDSHAKE_S = 10, DEAD_S = 30, READ_MAX = 65540, WRITE_MAX = 262144, REKEY_RECORDS = 1 << 23, UNSENT = 131072, REST_S = 1 };

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
	queue_free(&link->wire);
	free((void *)link->ops);
	free(link);
}

/* The socket goes at once; the memory when the last callback returned. */
static void release(struct link *link)
{
	loop_watch_remove(link->watch);
	loop_timer_free(link->timer);
	loop_timer_free(link->rest);
	loop_task_free(link->soon);
	loop_task_free(link->gather);
	SSL_free(link->ssl);
	SSL_CTX_free(link->config.tls);
	scope_close(&link->fd);
	link->watch = NULL;
	link->timer = link->rest = NULL;
	link->soon = link->gather = NULL;
	link->ssl = NULL;
	link->config.tls = NULL;
	link->fd = -1;
}

void link_enter(struct link *link)
{
	link->busy++;
}

bool link_leave(struct link *link)
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
	if (link->state == LINK_OPEN && !link->broken && !link->ended && !link->blocked) {
		link->ending = true;
		(void)link_finish(link);
	}
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

void link_close(struct link *link)
{
	if (link->state == LINK_CLOSED)
		return;
	link->state = LINK_CLOSED;
	loop_watch_remove(link->watch);
	link->watch = NULL;
	loop_timer_disarm(link->timer);
	if (link->rest)
		loop_timer_disarm(link->rest);
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
	/* who reads ahead may hold some of it already */
	return link->offered && !link->config.gather ? take_fd(link->fd) : -1;
}

/* ---- what to wait for */

void link_fail_soon(struct link *link, int rc)
{
	if (!rc || rc == -EAGAIN)
		return;
	link->broken = true;
	loop_task_run(link->soon);
}

void link_update(struct link *link)
{
	bool waits = link->blocked || (queue_len(&link->out) && !link->corked && !link->gathering);
	uint32_t events = 0;
	int rc;

	if (link->state == LINK_CLOSED)
		return;
	if (link->state == LINK_CONNECTING) {
		events = EPOLLOUT;
	} else if (link->state == LINK_HANDSHAKE) {
		events = (link->want_in ? EPOLLIN : 0) | (link->want_out ? EPOLLOUT : 0);
	} else {
		if (link_can_read(link))
			events |= EPOLLIN;
		if (waits || (link->ending && !link->ended) || link->want_out)
			events |= EPOLLOUT;
	}
	if (events == link->events)
		return;
	rc = loop_watch_set(link->watch, events);
	if (!rc)
		link->events = events;
	else
		link_fail_soon(link, link_fail(link, rc, "cannot wait for the socket: %s", strerror(-rc)));
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
	int rc;

	link->dry = false;
	rc = link->io->handshake(link);
	if (rc == -EAGAIN)
		return;
	if (rc) {
		link_close(link);
		return;
	}
	link->state = LINK_OPEN;
	link->taken_ns = loop_now_ns();
	arm(link);
	link->ops->ready(link->ctx);
	if (link->state == LINK_OPEN && queue_len(&link->out))
		link_write_out(link);
	/* the client's first words may have come with its handshake */
	if (link->state == LINK_OPEN && link->io->pending(link))
		loop_task_run(link->soon);
}

static void connected(struct link *link)
{
	int code = 0;
	socklen_t len = sizeof code;

	if (getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &code, &len))
		code = errno;
	if (code) {
		(void)link_fail(link, -code, "cannot connect: %s", strerror(code));
		link_close(link);
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
	link_enter(link);
	if (link->state == LINK_CONNECTING)
		connected(link);
	if (link->state == LINK_HANDSHAKE)
		shake(link);
	if (link->state == LINK_OPEN && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		link_write_out(link);
	if (link->state == LINK_OPEN && (retry || events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		link_read_in(link);
	/* the socket is dead: perhaps our end was all that was missing; if we paused, nobody would ever read that */
	if (link->state == LINK_OPEN && events & (EPOLLERR | EPOLLHUP) && link->peer_ended && link->ending)
		link_write_out(link);
	if (link->state == LINK_OPEN && events & (EPOLLERR | EPOLLHUP) && !link_can_read(link)) {
		(void)link_fail(link, -ECONNRESET, "the other side is gone");
		link_close(link);
	}
	if (link_leave(link))
		link_update(link);
}

static void on_soon(void *ctx)
{
	struct link *link = ctx;

	link_enter(link);
	if (link->broken)
		link_close(link);
	if (link->state == LINK_OPEN)
		link_feed(link);
	if (link->state == LINK_OPEN)
		link_read_in(link);
	if (link_leave(link))
		link_update(link);
}

static void on_timer(void *ctx)
{
	struct link *link = ctx;

	if (link->state == LINK_OPEN && link->taken_ns + link->config.idle_s * NS > loop_now_ns()) {
		arm(link);	/* something was taken since it was armed */
		return;
	}
	link_enter(link);
	if (link->state == LINK_OPEN)
		(void)link_fail(link, -ETIMEDOUT, "idle for %u s", link->config.idle_s);
	else
		(void)link_fail(link, -ETIMEDOUT, "no %s in %u s", link->state == LINK_CONNECTING ? "connection" : "handshake",
			link->config.handshake_s);
	link_close(link);
	(void)link_leave(link);
}

void link_use(struct link *link)
{
	link->used = true;
	if (link->resting && link->rest) {
		link->resting = false;
		loop_timer_arm(link->rest, loop_now_ns() + REST_S * NS);
	}
}

/* A link that gathers keeps its buffers between bursts, not while it idles. */
static void on_rest(void *ctx)
{
	struct link *link = ctx;

	link->resting = !link->used;
	link->used = false;
	if (!link->resting) {
		loop_timer_arm(link->rest, loop_now_ns() + REST_S * NS);
		return;
	}
	if (!queue_len(&link->in))
		queue_free(&link->in);
	if (!queue_len(&link->out))
		queue_free(&link->out);
	if (!queue_len(&link->wire))
		queue_free(&link->wire);
	link->io->rest(link);
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
	if (c->gather && !c->unsent_max)
		c->unsent_max = UNSENT;
	c->rekey_records = c->rekey_records ? c->rekey_records : REKEY_RECORDS;
}

static int open_parts(struct link *link, struct err *err)
{
	int rc;

	socket_name_peer(link->fd, link->peer, sizeof link->peer);
	rc = socket_prepare(link->fd, link->config.dead_s, link->config.unsent_max, err);
	if (!rc && link->config.tls)
		rc = link_tls_open(link, err);
	if (rc)
		return rc;
	rc = loop_timer_create(link->loop, on_timer, link, &link->timer);
	if (!rc)
		rc = loop_task_create(link->loop, on_soon, link, &link->soon);
	if (!rc && link->config.gather)
		rc = loop_task_create(link->loop, link_on_gather, link, &link->gather);
	if (!rc && link->config.gather)
		rc = loop_timer_create(link->loop, on_rest, link, &link->rest);
	if (!rc)
		rc = loop_watch_add(link->loop, link->fd, EPOLLOUT, on_socket, link, &link->watch);
	link->config.resume = NULL;	/* the caller's, until we return */
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
	link->in = (struct queue){ .max = link->config.read_max, .secret = config->secret, .keep = config->gather };
	link->out = (struct queue){ .max = link->config.write_max, .secret = config->secret, .keep = config->gather };
	link->wire = (struct queue){ .max = 4 * LINK_BURST, .keep = true };
	if (config->gather)
		link->in.max += LINK_SPARE;
	link->events = EPOLLOUT;
	link->resting = true;
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
	return queue_len(&link->out) + queue_len(&link->wire);
}

const struct link_counters *link_counters(const struct link *link)
{
	return &link->counters;
}
