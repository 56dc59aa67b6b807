/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/console.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "hv/console_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

#define FLUSH_NS 1000000	/* characters written within this time leave in one write */
#define RETRY_NS 20000000
#define ESCAPE 0x01		/* Ctrl-A */

static void on_input(void *ctx, int fd, uint32_t events);
static void on_output(void *ctx, int fd, uint32_t events);
static void on_hangup(void *ctx, int fd, uint32_t events);

/* ---- rings */

/* Append to a ring that has room for n. */
static void ring_put(uint8_t *ring, size_t size, size_t head, size_t *len, const uint8_t *buf, size_t n)
{
	size_t at = (head + *len) % size, first = size - at < n ? size - at : n;

	memcpy(ring + at, buf, first);
	memcpy(ring, buf + first, n - first);
	*len += n;
}

/* Make room for n by forgetting the oldest; returns how many bytes were lost. n <= size. */
static size_t ring_forget(size_t size, size_t *head, size_t *len, size_t n)
{
	size_t lost = *len + n > size ? *len + n - size : 0;

	*head = (*head + lost) % size;
	*len -= lost;
	return lost;
}

/* ---- readers */

void console_reader_free(struct reader *r)
{
	struct console *c = r->c;

	for (struct reader **at = &c->readers; *at; at = &(*at)->next) {
		if (*at == r) {
			*at = r->next;
			break;
		}
	}
	if (r->listener)
		r->listener->readers--;
	loop_watch_remove(r->in_watch);
	loop_watch_remove(r->out_watch);
	if (r->tty)
		tty_restore();
	tty_disown(&r->out);
	tty_disown(&r->in);
	free(r);
}

struct reader *console_reader_create(struct console *c)
{
	struct reader *r = calloc(1, sizeof *r), **at = &c->readers;

	if (!r)
		return NULL;
	r->c = c;
	r->in = r->out = (struct descriptor){ .fd = -1, .original = -1 };
	r->input_open = r->output_open = true;
	while (*at)
		at = &(*at)->next;
	*at = r;
	return r;
}

static bool may_write(const struct reader *r)
{
	if (!r->listener || r->listener->writers == CONSOLE_ALL_WRITE)
		return true;
	if (r->listener->writers == CONSOLE_NONE_WRITES)
		return false;
	for (const struct reader *other = r->c->readers; other != r; other = other->next)
		if (other->listener == r->listener)
			return false;
	return true;
}

/* ---- output */

static ssize_t write_some(struct reader *r, const uint8_t *buf, size_t n)
{
	if (r->listener)
		return send(r->out.fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	return write(r->out.fd, buf, n);
}

static void arm_flush(struct console *c, uint64_t delay_ns)
{
	if (c->flush_armed)
		return;
	c->flush_armed = true;
	loop_timer_arm(c->flush, loop_now_ns() + delay_ns);
}

/* Wait until out takes more. */
static void wait_output(struct reader *r)
{
	if (!r->out_watch && loop_watch_add(r->c->loop, r->out.fd, EPOLLOUT, on_output, r, &r->out_watch))
		arm_flush(r->c, RETRY_NS);
}

bool console_reader_flush(struct reader *r)
{
	while (r->output_open && r->out_len) {
		size_t part = sizeof r->out_buf - r->out_head;
		ssize_t n = write_some(r, r->out_buf + r->out_head, part < r->out_len ? part : r->out_len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			wait_output(r);
			return true;
		}
		if (n <= 0) {
			if (r->listener) {
				console_reader_free(r);
				return false;
			}
			r->output_open = false;
			break;
		}
		r->out_head = (r->out_head + (size_t)n) % sizeof r->out_buf;
		r->out_len -= (size_t)n;
	}
	if (!r->output_open)
		r->out_len = 0;
	loop_watch_remove(take_ptr(r->out_watch));
	return true;
}

/* n <= CONSOLE_SCROLLBACK. May free r. */
static void queue(struct reader *r, const uint8_t *buf, size_t n)
{
	struct console *c = r->c;

	if (!r->output_open)
		return;
	/* known to be stuck: no use in asking for each character */
	if (n > sizeof r->out_buf - r->out_len && !r->out_watch && !console_reader_flush(r))
		return;
	if (r->listener && n > sizeof r->out_buf - r->out_len) {
		c->stats.readers_dropped++;
		log_limited(LOG_WARN, "console %s: a reader on %s was too slow and is cut off", c->name, r->listener->addr.sun_path);
		console_reader_free(r);
		return;
	}
	c->stats.dropped += ring_forget(sizeof r->out_buf, &r->out_head, &r->out_len, n);
	ring_put(r->out_buf, sizeof r->out_buf, r->out_head, &r->out_len, buf, n);
	arm_flush(c, FLUSH_NS);
}

static void output_part(struct console *c, const uint8_t *buf, size_t n)
{
	struct reader *next;

	ring_forget(sizeof c->scrollback, &c->scroll_head, &c->scroll_len, n);
	ring_put(c->scrollback, sizeof c->scrollback, c->scroll_head, &c->scroll_len, buf, n);
	if (c->log) {
		console_log_write(c->log, buf, n);
		arm_flush(c, FLUSH_NS);
	}
	for (struct reader *r = c->readers; r; r = next) {
		next = r->next;
		queue(r, buf, n);
	}
}

void console_output(void *console, const uint8_t *buf, size_t n)
{
	struct console *c = console;

	c->stats.output += n;
	while (n) {
		size_t part = n < CONSOLE_SCROLLBACK ? n : CONSOLE_SCROLLBACK;

		output_part(c, buf, part);
		buf += part;
		n -= part;
	}
}

static void on_flush(void *ctx)
{
	struct console *c = ctx;
	struct reader *next;

	c->flush_armed = false;
	if (c->log)
		console_log_flush(c->log);
	for (struct reader *r = c->readers; r; r = next) {
		next = r->next;
		if (!r->out_watch)
			console_reader_flush(r);
	}
}

static void on_output(void *ctx, int fd, uint32_t events)
{
	console_reader_flush(ctx);
}

/* ---- input */

static void close_input(struct reader *r)
{
	r->input_open = false;
	loop_watch_remove(take_ptr(r->in_watch));
}

static void say(struct reader *r, const char *text)
{
	queue(r, (const uint8_t *)text, strlen(text));
}

static void push_input(struct reader *r, uint8_t v)
{
	ring_put(r->in_buf, sizeof r->in_buf, r->in_head, &r->in_len, &v, 1);
}

static void escaped(struct reader *r, uint8_t v)
{
	switch (v) {
	case 'x':
		if (r->leave)
			r->leave(r->ctx);
		break;
	case 'b':
		if (r->c->uart)
			uart_receive_break(r->c->uart);
		break;
	case 'h':
	case '?':
		say(r, "\r\nCtrl-A x  stop the server and leave\r\nCtrl-A b  send a break\r\nCtrl-A Ctrl-A  send Ctrl-A\r\n"
		       "Ctrl-A h  this help\r\n");
		break;
	case ESCAPE:
		push_input(r, v);
		break;
	}
}

static void take_input(struct reader *r, const uint8_t *buf, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (r->escape) {
			r->escape = false;
			escaped(r, buf[i]);
		} else if (r->tty && buf[i] == ESCAPE) {
			r->escape = true;
		} else {
			push_input(r, buf[i]);
		}
	}
}

static void read_input(struct reader *r)
{
	uint8_t buf[512];
	size_t room = sizeof r->in_buf - r->in_len;
	bool writes = may_write(r);
	ssize_t n;

	if (writes && !room)
		return;
	n = read(r->in.fd, buf, writes && room < sizeof buf ? room : sizeof buf);
	if (n > 0) {
		if (writes)
			take_input(r, buf, (size_t)n);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		close_input(r);
	}
}

/* Hand what was typed to the port, as far as it takes it. */
static void deliver(struct reader *r)
{
	struct console *c = r->c;

	while (c->uart && r->in_len) {
		size_t part = sizeof r->in_buf - r->in_head, n;

		n = uart_receive(c->uart, r->in_buf + r->in_head, part < r->in_len ? part : r->in_len);
		if (!n)
			return;
		c->stats.input += n;
		r->in_head = (r->in_head + n) % sizeof r->in_buf;
		r->in_len -= n;
	}
}

/* A socket reader that sent all it has may still be reading: wait for it to go. */
static void watch_hangup(struct reader *r)
{
	if (!r->in_watch && !r->hung_up && loop_watch_add(r->c->loop, r->in.fd, EPOLLHUP, on_hangup, r, &r->in_watch))
		r->hung_up = true;
}

void console_reader_watch(struct reader *r)
{
	bool want = r->input_open && (r->in_len < sizeof r->in_buf || !may_write(r));
	int rc;

	if (!want)
		loop_watch_remove(take_ptr(r->in_watch));
	if (!want || r->in_watch || r->always_ready)
		return;
	rc = loop_watch_add(r->c->loop, r->in.fd, EPOLLIN, on_input, r, &r->in_watch);
	if (rc == -EPERM) {
		r->always_ready = true;	/* files cannot be polled, and need not be */
	} else if (rc) {
		log_limited(LOG_WARN, "console %s: cannot wait for input: %s", r->c->name, strerror(-rc));
		r->input_open = false;
	}
}

/* Files are read as the port takes them, with nothing to wait for. */
static void read_file(struct reader *r)
{
	while (r->c->uart && r->always_ready && r->input_open && !r->in_len) {
		read_input(r);
		deliver(r);
	}
}

void console_feed(struct console *c)
{
	struct reader *next;

	for (struct reader *r = c->readers; r; r = next) {
		next = r->next;
		deliver(r);
		if (r->listener && r->hung_up && !r->in_len) {
			console_reader_free(r);
		} else if (r->listener && !r->input_open) {
			watch_hangup(r);
		} else {
			console_reader_watch(r);
			read_file(r);
		}
	}
}

static void on_input(void *ctx, int fd, uint32_t events)
{
	struct reader *r = ctx;
	struct console *c = r->c;

	read_input(r);
	console_feed(c);
}

static void on_hangup(void *ctx, int fd, uint32_t events)
{
	struct reader *r = ctx;
	struct console *c = r->c;

	loop_watch_remove(take_ptr(r->in_watch));
	r->hung_up = true;
	console_feed(c);	/* what it typed last still goes to the port */
}

static void on_room(void *ctx)
{
	console_feed(ctx);
}

static void on_tx(void *ctx, const uint8_t *buf, size_t n)
{
	console_output(ctx, buf, n);
}

/* ---- the console */

int console_add_log(struct console *c, const char *path, uint64_t bytes, unsigned files, struct err *err)
{
	if (c->log)
		return err_set(err, -EBUSY, "console %s: has a log already, %s is one too many", c->name, path);
	return console_log_open(path, bytes, files, &c->log, err);
}

void console_fill_uart_config(struct console *c, struct uart_config *config)
{
	config->tx = on_tx;
	config->rx_ready = on_room;
	config->ctx = c;
}

void console_attach_uart(struct console *c, struct uart *uart)
{
	c->uart = uart;
	console_feed(c);
}

struct console_stats console_stats(const struct console *c)
{
	struct console_stats s = c->stats;

	s.log_errors = c->log ? console_log_errors(c->log) : 0;
	return s;
}

int console_create(struct loop *loop, const char *name, struct console **console)
{
	struct console *c = calloc(1, sizeof *c);
	int rc;

	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->name = name;
	rc = loop_timer_create(loop, on_flush, c, &c->flush);
	if (rc) {
		free(c);
		return rc;
	}
	*console = c;
	return 0;
}

void console_free(struct console *c)
{
	if (!c)
		return;
	on_flush(c);	/* what goes without waiting */
	while (c->readers)
		console_reader_free(c->readers);
	while (c->listeners) {
		struct listener *l = c->listeners;

		c->listeners = l->next;
		console_listener_free(l);
	}
	console_log_close(c->log);
	loop_timer_free(c->flush);
	free(c);
}
