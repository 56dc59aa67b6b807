/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/console.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "hv/console_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

#define INPUT_BUFFER 4096	/* typed ahead of the port; a terminal's escapes work up to here */
#define FLUSH_NS 1000000	/* characters written within this time leave in one write */
#define RETRY_NS 20000000
#define ESCAPE 0x01		/* Ctrl-A */

struct descriptor {
	int fd, original;	/* original: whose flags are to be put back, -1: nobody's */
	int flags;
};

struct listener {
	struct console *c;
	struct listener *next;
	struct sockaddr_un addr;
	struct loop_watch *watch;
	enum console_writers writers;
	unsigned readers;
	int fd, spare;		/* spare: given up to refuse a connection when descriptors run out */
};

struct reader {
	struct console *c;
	struct reader *next;
	struct listener *listener;	/* NULL: standard input and output */
	struct descriptor in, out;
	struct loop_watch *in_watch, *out_watch;
	bool input_open, output_open, always_ready, tty, escape;
	bool hung_up;			/* sockets: nobody is at the other end any more, also not to read */
	void (*leave)(void *ctx);
	void *ctx;
	size_t in_head, in_len, out_head, out_len;
	uint8_t in_buf[INPUT_BUFFER], out_buf[CONSOLE_BUFFER];
};

struct console {
	struct loop *loop;
	const char *name;
	struct uart *uart;
	struct reader *readers;		/* oldest first */
	struct listener *listeners;
	struct console_log *log;
	struct loop_timer *flush;
	bool flush_armed;
	uint8_t scrollback[CONSOLE_SCROLLBACK];
	size_t scroll_head, scroll_len;
	struct console_stats stats;
};

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

/* ---- descriptors */

/*
 * A non-blocking descriptor for the same file. Terminals and pipes are opened anew where that is allowed: the flag
 * belongs to the open file, which our standard error and the shell share.
 */
static int own(struct descriptor *d, int fd, int mode)
{
	char path[64];
	struct stat st;

	*d = (struct descriptor){ .fd = -1, .original = -1 };
	if (fstat(fd, &st))
		return -errno;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))
		d->fd = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (d->fd >= 0)
		return 0;
	d->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	d->flags = fcntl(fd, F_GETFL);
	if (d->fd < 0 || d->flags < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !(d->flags & O_NONBLOCK)) {
		if (fcntl(d->fd, F_SETFL, d->flags | O_NONBLOCK))
			return -errno;
		d->original = fd;
	}
	return 0;
}

static void disown(struct descriptor *d)
{
	if (d->original >= 0)
		fcntl(d->original, F_SETFL, d->flags);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = d->original = -1;
}

/* ---- readers */

static void reader_free(struct reader *r)
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
	disown(&r->out);
	disown(&r->in);
	free(r);
}

static struct reader *reader_create(struct console *c)
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

/* Write what out takes now. False: the reader went away and was freed. */
static bool flush_reader(struct reader *r)
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
				reader_free(r);
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
	if (n > sizeof r->out_buf - r->out_len && !flush_reader(r))
		return;
	if (r->listener && n > sizeof r->out_buf - r->out_len) {
		c->stats.readers_dropped++;
		log_limited(LOG_WARN, "console %s: a reader on %s was too slow and is cut off", c->name, r->listener->addr.sun_path);
		reader_free(r);
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
			flush_reader(r);
	}
}

static void on_output(void *ctx, int fd, uint32_t events)
{
	flush_reader(ctx);
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

/* Watch for input while there is room for it; a full buffer, like an ended one, is not watched: it would spin. */
static void watch_input(struct reader *r)
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

static void feed(struct console *c)
{
	struct reader *next;

	for (struct reader *r = c->readers; r; r = next) {
		next = r->next;
		deliver(r);
		if (r->listener && r->hung_up && !r->in_len) {
			reader_free(r);
		} else if (r->listener && !r->input_open) {
			watch_hangup(r);
		} else {
			watch_input(r);
			read_file(r);
		}
	}
}

static void on_input(void *ctx, int fd, uint32_t events)
{
	struct reader *r = ctx;
	struct console *c = r->c;

	read_input(r);
	feed(c);
}

static void on_hangup(void *ctx, int fd, uint32_t events)
{
	struct reader *r = ctx;
	struct console *c = r->c;

	loop_watch_remove(take_ptr(r->in_watch));
	r->hung_up = true;
	feed(c);	/* what it typed last still goes to the port */
}

static void on_room(void *ctx)
{
	feed(ctx);
}

static void on_tx(void *ctx, const uint8_t *buf, size_t n)
{
	console_output(ctx, buf, n);
}

/* ---- sockets */

static void refuse(struct listener *l, int fd)
{
	close(fd);
	l->c->stats.readers_refused++;
	log_limited(LOG_WARN, "console %s: %s has %d readers already, another one was refused", l->c->name, l->addr.sun_path, CONSOLE_READERS);
}

/* Without a descriptor to spare, the waiting connection would wake us for ever: take it and drop it. */
static void refuse_without_descriptor(struct listener *l)
{
	int fd;

	if (l->spare < 0)
		return;
	close(l->spare);
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	l->c->stats.readers_refused++;
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void add_reader(struct listener *l, int fd)
{
	struct console *c = l->c;
	struct reader *r = l->readers < CONSOLE_READERS ? reader_create(c) : NULL;

	if (!r) {
		refuse(l, fd);
		return;
	}
	r->listener = l;
	l->readers++;
	r->in.fd = fd;
	r->out.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);	/* watched apart from in */
	if (r->out.fd < 0) {
		c->stats.readers_refused++;
		reader_free(r);
		return;
	}
	for (size_t i = 0; i < c->scroll_len; i++)
		r->out_buf[i] = c->scrollback[(c->scroll_head + i) % sizeof c->scrollback];
	r->out_len = c->scroll_len;
	watch_input(r);
	flush_reader(r);
}

static void on_connect(void *ctx, int fd, uint32_t events)
{
	struct listener *l = ctx;
	int conn = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (conn >= 0)
		add_reader(l, conn);
	else if (errno == EMFILE || errno == ENFILE)
		refuse_without_descriptor(l);
}

/* Remove a socket that nobody listens on any more. */
static int remove_stale(const struct sockaddr_un *addr)
{
	auto_close int fd = -1;
	struct stat st;

	if (lstat(addr->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)addr, sizeof *addr) || errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(addr->sun_path) ? -errno : 0;
}

static int listen_on(struct listener *l)
{
	int rc = remove_stale(&l->addr);

	if (rc)
		return rc;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* the socket's own mode becomes the path's: it is never open to others, not even for a moment */
	if (l->fd < 0 || fchmod(l->fd, 0600))
		return -errno;
	if (bind(l->fd, (struct sockaddr *)&l->addr, sizeof l->addr)) {
		rc = -errno;
		l->addr.sun_path[0] = '\0';	/* not ours to remove */
		return rc;
	}
	if (listen(l->fd, CONSOLE_READERS))
		return -errno;
	l->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return loop_watch_add(l->c->loop, l->fd, EPOLLIN, on_connect, l, &l->watch);
}

static void listener_free(struct listener *l)
{
	loop_watch_remove(l->watch);
	if (l->fd >= 0) {
		close(l->fd);
		if (l->addr.sun_path[0])
			unlink(l->addr.sun_path);
	}
	if (l->spare >= 0)
		close(l->spare);
	free(l);
}

int console_add_socket(struct console *c, const char *path, enum console_writers writers, struct err *err)
{
	struct listener *l;
	int rc;

	if (!*path || strlen(path) >= sizeof l->addr.sun_path)
		return err_set(err, -ENAMETOOLONG, "console %s: socket path \"%s\" must have 1 to %zu characters", c->name, path,
			       sizeof l->addr.sun_path - 1);
	l = calloc(1, sizeof *l);
	if (!l)
		return err_set(err, -ENOMEM, "out of memory");
	*l = (struct listener){ .c = c, .fd = -1, .spare = -1, .writers = writers, .addr.sun_family = AF_UNIX };
	strcpy(l->addr.sun_path, path);
	rc = listen_on(l);
	if (rc) {
		listener_free(l);
		return err_set(err, rc, "console %s: cannot listen on %s: %s", c->name, path,
			       rc == -EEXIST ? "something that is no socket stands there" : strerror(-rc));
	}
	l->next = c->listeners;
	c->listeners = l;
	return 0;
}

/* ---- the terminal and the log */

/* Reading, or setting its mode, would stop the process. */
static bool in_background(int fd)
{
	pid_t group = isatty(fd) ? tcgetpgrp(fd) : -1;

	return group >= 0 && group != getpgrp();	/* -1: not our controlling terminal */
}

int console_add_fds(struct console *c, int in, int out, void (*leave)(void *ctx), void *ctx, struct err *err)
{
	struct reader *r = reader_create(c);
	int rc;

	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	r->leave = leave;
	r->ctx = ctx;
	signal(SIGPIPE, SIG_IGN);	/* a reader that leaves is an error of write, not our end */
	rc = own(&r->in, in, O_RDONLY);
	if (!rc)
		rc = own(&r->out, out, O_WRONLY);
	if (rc) {
		reader_free(r);
		return err_set(err, rc, "console %s: cannot use standard input and output: %s", c->name, strerror(-rc));
	}
	if (in_background(r->in.fd)) {
		log_info("console %s: in the background, so the terminal's input is left alone", c->name);
		r->input_open = false;
	} else if (isatty(r->in.fd)) {
		rc = tty_set_raw(r->in.fd, err);
		r->tty = !rc;
	}
	if (rc) {
		reader_free(r);
		err_prefix(err, "console %s", c->name);
		return rc;
	}
	feed(c);
	return 0;
}

int console_add_stdio(struct console *c, void (*leave)(void *ctx), void *ctx, struct err *err)
{
	return console_add_fds(c, STDIN_FILENO, STDOUT_FILENO, leave, ctx, err);
}

int console_add_log(struct console *c, const char *path, uint64_t bytes, unsigned files, struct err *err)
{
	if (c->log)
		return err_set(err, -EBUSY, "console %s: has a log already, %s is one too many", c->name, path);
	return console_log_open(path, bytes, files, &c->log, err);
}

/* ---- the console */

void console_fill_uart_config(struct console *c, struct uart_config *config)
{
	config->tx = on_tx;
	config->rx_ready = on_room;
	config->ctx = c;
}

void console_attach_uart(struct console *c, struct uart *uart)
{
	c->uart = uart;
	feed(c);
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
		reader_free(c->readers);
	while (c->listeners) {
		struct listener *l = c->listeners;

		c->listeners = l->next;
		listener_free(l);
	}
	console_log_close(c->log);
	loop_timer_free(c->flush);
	free(c);
}
