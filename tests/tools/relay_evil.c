/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay in an attacker's hands, with a relay's real certificate: it looks at no ticket, sees all bytes, and does to them
 *   record   nothing: FILE gets them, both ways
 *   flip     flips one bit of the caller's AT-th byte
 *   swap     joins each call with whoever parked under another name than it asked for
 *   cross    waits for two calls, and joins each with the server that the other one asked for
 *   replay   sends what the first caller said again to the next one who parks
 * relay_evil DIR LISTEN MODE FILE [AT]. Lines on standard output: "listening ADDRESS", "parked", "joined", "replayed N".
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include "crypto/identity_folder.h"
#include "crypto/pki/ticket.h"
#include "crypto/tls.h"
#include "lib/ctl.h"
#include "lib/link/link.h"
#include "lib/link/relay.h"
#include "lib/link/socket.h"
#include "lib/scope.h"

struct visitor { struct link *link; bool parks; char server[PKI_NAME_MAX + 1]; };
struct spot { struct spot *next; int fd; char server[PKI_NAME_MAX + 1]; };
struct half { int from, to; size_t moved; bool caller; struct loop_watch *watch; struct half *other; };

static struct loop *loop;
static struct identity id;
static SSL_CTX *tls;
static struct spot *spots, *held;	/* held: a call that waits for another one */
static FILE *file;
static const char *mode;
static size_t at;
static char said[1 << 20];	/* by the first caller */
static size_t said_len;
static bool first = true;

static void tell(const char *line)
{
	puts(line);
	fflush(stdout);
}

/* ---- pairs */

static void on_bytes(void *ctx, int fd, uint32_t events)
{
	struct half *h = ctx;
	char data[16384];
	ssize_t n = read(fd, data, sizeof data);

	if (n <= 0) {
		shutdown(h->to, SHUT_WR);
		loop_watch_remove(h->watch);
		h->watch = NULL;
		return;
	}
	fwrite(data, 1, (size_t)n, file);
	fflush(file);
	if (h->caller && first && said_len + (size_t)n <= sizeof said) {
		memcpy(said + said_len, data, (size_t)n);
		said_len += (size_t)n;
	}
	if (h->caller && !strcmp(mode, "flip") && at >= h->moved && at < h->moved + (size_t)n)
		data[at - h->moved] ^= 1;
	h->moved += (size_t)n;
	for (ssize_t done = 0; done < n;) {	/* one pair at a time is enough here */
		struct pollfd p = { .fd = h->to, .events = POLLOUT };
		ssize_t m = write(h->to, data + done, (size_t)(n - done));

		if (m < 0 && errno == EAGAIN)
			poll(&p, 1, 5000);
		else if (m < 0)
			return;
		else
			done += m;
	}
}

static void join(int caller, int called)
{
	struct half *h = calloc(2, sizeof *h);

	h[0] = (struct half){ .from = caller, .to = called, .caller = true };
	h[1] = (struct half){ .from = called, .to = caller };
	for (int i = 0; i < 2; i++)
		if (loop_watch_add(loop, h[i].from, EPOLLIN, on_bytes, &h[i], &h[i].watch))
			exit(1);
	tell("joined");
}

/* The call's, or, when we swap, anybody else's. */
static int take_spot(const char *server)
{
	for (struct spot **s = &spots; *s; s = &(*s)->next) {
		struct spot *it = *s;
		int fd = it->fd;

		if (!strcmp(it->server, server) == (!strcmp(mode, "swap") || !strcmp(mode, "cross")))
			continue;
		*s = it->next;
		free(it);
		return fd;
	}
	return -1;
}

static void join_or_close(int fd, const char *server)
{
	int called = take_spot(server);

	if (called < 0)
		close(fd);
	else
		join(fd, called);
}

/* Both servers are parked; the first call is answered when the second one is there. */
static void cross(int fd, const char *server)
{
	struct spot *first_call = held;

	if (!held) {
		held = calloc(1, sizeof *held);
		held->fd = fd;
		strcpy(held->server, server);
		tell("holds a call");
		return;
	}
	held = NULL;
	join_or_close(first_call->fd, first_call->server);
	join_or_close(fd, server);
	free(first_call);
}

static void add_spot(int fd, const char *server)
{
	struct spot *s = calloc(1, sizeof *s);
	char line[64];

	if (!strcmp(mode, "replay") && said_len) {
		first = false;
		snprintf(line, sizeof line, "replayed %zd", write(fd, said, said_len));
		tell(line);
		said_len = 0;
		join(dup(fd), fd);	/* its answer comes back to itself */
		return;
	}
	s->fd = fd;
	strcpy(s->server, server);
	s->next = spots;
	spots = s;
	tell("parked");
}

/* ---- visitors: whatever they ask for they get */

static size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
	struct visitor *v = ctx;
	const char *verb, *text;
	struct ticket t;
	json_t *msg, *ok;
	json_int_t number;
	char *answer;
	size_t used, n;

	if (ctl_parse(data, len, &used, &msg, NULL) || !used || ctl_request(msg, &number, &verb, NULL))
		return 0;
	v->parks = !strcmp(verb, "park");
	text = json_string_value(json_object_get(msg, v->parks ? "server" : "ticket"));
	if (!v->parks && ticket_verify(text, strlen(text), id.ca, time(NULL), &t, NULL) == -EBADMSG)
		exit(1);
	snprintf(v->server, sizeof v->server, "%s", v->parks ? text : t.callee.name);
	ok = ctl_ok(number, NULL);
	if (ctl_text(ok, &answer, &n) || link_write(v->link, answer, n))
		exit(1);
	ctl_text_free(answer, n);
	json_decref(ok);
	json_decref(msg);
	link_end(v->link);
	return used;
}

static void on_closed(void *ctx, const struct err *why)
{
	struct visitor *v = ctx;
	int fd = why->code ? -1 : link_take_fd(v->link);

	if (fd >= 0 && v->parks) {
		add_spot(fd, v->server);
	} else if (fd >= 0 && !strcmp(mode, "cross")) {
		cross(fd, v->server);
	} else if (fd >= 0) {
		join_or_close(fd, v->server);
	}
	link_free(v->link);
	free(v);
}

static void on_accept(void *ctx, int listener, uint32_t events)
{
	static const struct link_ops ops = { .read = on_read, .closed = on_closed };
	struct link_config c = { .tls = tls, .server = true, .alpn = RELAY_ALPN };
	struct visitor *v = calloc(1, sizeof *v);
	int fd = accept(listener, NULL, NULL);

	if (fd < 0 || link_create(loop, fd, &c, &ops, v, &v->link, NULL))
		free(v);
}

int main(int argc, char **argv)
{
	struct tls_config c = { .server = true, .alpn = RELAY_ALPN };
	char address[SOCKET_HOST], line[SOCKET_HOST + 16];
	struct loop_watch *watch;
	struct err err = { .text = "" };
	int fd;

	if (argc < 5)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	mode = argv[3];
	file = fopen(argv[4], "w");
	at = argc > 5 ? strtoul(argv[5], NULL, 10) : 0;
	if (!file || identity_load(argv[1], &id, &err) || loop_create(&loop, &err) || socket_listen(argv[2], &fd, address, &err)) {
		fprintf(stderr, "relay_evil: %s\n", err.text);
		return 1;
	}
	c.ca = id.ca;
	c.cert = id.cert;
	c.key = id.key;
	if (tls_create(&c, &tls, &err) || loop_watch_add(loop, fd, EPOLLIN, on_accept, NULL, &watch))
		return 1;
	snprintf(line, sizeof line, "listening %s", address);
	tell(line);
	return loop_run(loop) ? 1 : 0;
}
