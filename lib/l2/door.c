/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/l2/door.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "lib/l2/hello.h"
#include "lib/link/dial.h"
#include "lib/link/relay.h"
#include "lib/log.h"
#include "lib/scope.h"

enum { PAUSE_MIN_MS = 100, PAUSE_MAX_MS = 10000, ACCEPTS_A_ROUND = 16 };

/* A socket at a relay: being parked (client), or parked (fd). */
struct spot {
	struct relay_point *point;
	struct spot *next;
	struct relay_client *client;
	struct loop_watch *watch;
	int fd;
};

struct relay_point {
	struct door *door;
	char *address;
	struct spot *spots;
	struct loop_timer *timer;	/* fill again */
	struct backoff pause;
	unsigned parked, asked;
	struct err last;
};

/* A lane that has not said HELLO, or was refused. */
struct waiting { struct door *door; struct waiting *next, **link; struct lane *lane; };

struct door {
	struct loop *loop;
	const struct door_ops *ops;
	void *ctx;
	char *server, *nic;
	SSL_CTX *tls_server, *tls_relay;
	struct relay_point points[L2_RELAYS];
	unsigned point_count, spare;
	int listener;
	uint16_t port;
	struct loop_watch *watch;
	struct waiting *waiting;
	unsigned waiting_count;
	struct door_counters counters;
};

/* ---- lanes that wait */

static void waiting_free(struct waiting *w)
{
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	w->door->waiting_count--;
	free(w);
}

static void on_hello(void *ctx, const json_t *hello)
{
	struct waiting *w = ctx;
	struct door *d = w->door;
	struct lane *lane = w->lane;

	waiting_free(w);
	d->ops->arrived(d->ctx, lane, hello);
}

static void on_message(void *ctx, const struct wire_message *m)
{
}

static void on_frame(void *ctx, struct frame *f)
{
}

static void on_closed(void *ctx, const struct err *why)
{
	struct waiting *w = ctx;

	w->door->counters.hello_failures++;
	log_limited(LOG_WARN, "l2 %s %s: a connection from %s ended before its path was made: %s", w->door->server, w->door->nic,
		    link_peer(lane_link(w->lane)), why->text);
	lane_free(w->lane);
	waiting_free(w);
}

static void on_refused_closed(void *ctx, const struct err *why)
{
	struct waiting *w = ctx;

	lane_free(w->lane);
	waiting_free(w);
}

static const struct lane_ops waiting_ops = { on_hello, on_message, on_frame, on_closed };
static const struct lane_ops refused_ops = { on_hello, on_message, on_frame, on_refused_closed };

static struct waiting *waiting_new(struct door *d)
{
	struct waiting *w = d->waiting_count < DOOR_WAITING ? calloc(1, sizeof *w) : NULL;

	if (!w)
		return NULL;
	*w = (struct waiting){ .door = d, .next = d->waiting, .link = &d->waiting };
	if (w->next)
		w->next->link = &w->next;
	d->waiting = w;
	d->waiting_count++;
	return w;
}

void door_refuse(struct door *d, struct lane *lane, const struct err *why)
{
	struct waiting *w = waiting_new(d);
	json_t *hello = hello_refuse(why->code, why->text);
	struct err err;

	log_limited(LOG_WARN, "l2 %s %s: refused %s: %s", d->server, d->nic, link_peer(lane_link(lane)), why->text);
	if (!w || !hello || lane_send_json(lane, WIRE_HELLO, hello, &err)) {
		lane_free(lane);
		if (w)
			waiting_free(w);
	} else {
		w->lane = lane;
		lane_set_owner(lane, &refused_ops, w);
		lane_end(lane);
	}
	json_decref(hello);
}

static void let_in(struct door *d, int fd)
{
	struct waiting *w = waiting_new(d);
	struct err err;

	d->counters.calls++;
	if (!w) {
		d->counters.refused_full++;
		log_limited(LOG_WARN, "l2 %s %s: a connection was closed: %u wait already", d->server, d->nic, DOOR_WAITING);
		close(fd);
		return;
	}
	if (lane_create(d->loop, fd, d->tls_server, true, NULL, &waiting_ops, w, &w->lane, &err)) {
		log_limited(LOG_WARN, "l2 %s %s: %s", d->server, d->nic, err.text);
		waiting_free(w);
	}
}

/* ---- listening */

static void on_accept(void *ctx, int listener, uint32_t events)
{
	struct door *d = ctx;

	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
				log_limited(LOG_ERROR, "l2 %s %s: accept: %s", d->server, d->nic, strerror(errno));
			return;
		}
		let_in(d, fd);
	}
}

static int listen_on(struct door *d, const char *address, struct err *err)
{
	int rc = dial_listen(address, &d->listener, &d->port, err);

	if (!rc && (rc = loop_watch_add(d->loop, d->listener, EPOLLIN, on_accept, d, &d->watch)))
		return err_set(err, rc, "cannot wait for connections: %s", strerror(-rc));
	return rc;
}

/* ---- parking */

static void fill(struct relay_point *p);

static void spot_free(struct spot *s)
{
	struct spot **at = &s->point->spots;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (s->client)
		s->point->asked--;
	else if (s->watch)
		s->point->parked--;
	relay_cancel(s->client);
	loop_watch_remove(s->watch);
	scope_close(&s->fd);
	free(s);
}

static void again(struct relay_point *p, const struct err *why)
{
	p->last = *why;
	log_limited(LOG_WARN, "l2 %s %s: relay %s: %s", p->door->server, p->door->nic, p->address, why->text);
	loop_timer_arm(p->timer, loop_now_ns() + backoff_next_ns(&p->pause));
}

/* A caller's first bytes, or the relay's end. Bytes stay for the lane. */
static void on_parked(void *ctx, int fd, uint32_t events)
{
	struct spot *s = ctx;
	struct relay_point *p = s->point;
	struct door *d = p->door;
	struct err why;
	uint8_t byte;
	ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		err_set(&why, n ? -errno : -ECONNRESET, "a parked connection ended%s%s", n ? ": " : "", n ? strerror(errno) : "");
		spot_free(s);
		again(p, &why);
		return;
	}
	p->parked--;
	loop_watch_remove(take_ptr(s->watch));
	fd = take_fd(s->fd);
	spot_free(s);
	fill(p);
	let_in(d, fd);
}

static void on_answer(void *ctx, int fd, const struct err *why)
{
	struct spot *s = ctx;
	struct relay_point *p = s->point;
	struct err err;
	int rc;

	s->client = NULL;
	p->asked--;
	if (fd < 0) {
		spot_free(s);
		again(p, why);
		return;
	}
	s->fd = fd;
	rc = loop_watch_add(p->door->loop, fd, EPOLLIN, on_parked, s, &s->watch);
	if (rc) {
		err_set(&err, rc, "cannot wait for callers: %s", strerror(-rc));
		spot_free(s);
		again(p, &err);
		return;
	}
	p->parked++;
	p->last = (struct err){ 0 };
	backoff_reset(&p->pause);
	fill(p);
}

static int park(struct relay_point *p, struct err *err)
{
	struct door *d = p->door;
	struct spot *s = calloc(1, sizeof *s);
	int rc;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	*s = (struct spot){ .point = p, .next = p->spots, .fd = -1 };
	p->spots = s;
	rc = relay_park(d->loop, p->address, d->tls_relay, d->server, d->nic, on_answer, s, &s->client, err);
	if (rc)
		spot_free(s);
	else
		p->asked++;
	return rc;
}

static void fill(struct relay_point *p)
{
	struct err err;

	while (p->parked + p->asked < p->door->spare)
		if (park(p, &err)) {
			again(p, &err);
			return;
		}
}

static void on_timer(void *ctx)
{
	fill(ctx);
}

void door_want(struct door *d, unsigned lanes)
{
	if (lanes <= d->spare || lanes > PATH_LANES)
		return;
	d->spare = lanes;
	for (unsigned i = 0; i < d->point_count; i++)
		fill(&d->points[i]);
}

/* ---- life */

void door_free(struct door *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < L2_RELAYS; i++) {
		while (d->points[i].spots)
			spot_free(d->points[i].spots);
		loop_timer_free(d->points[i].timer);
		free(d->points[i].address);
	}
	while (d->waiting) {
		lane_free(d->waiting->lane);
		waiting_free(d->waiting);
	}
	loop_watch_remove(d->watch);
	scope_close(&d->listener);
	SSL_CTX_free(d->tls_server);
	SSL_CTX_free(d->tls_relay);
	free(d->server);
	free(d->nic);
	free(d);
}

void door_set_tls(struct door *d, SSL_CTX *tls_server, SSL_CTX *tls_relay)
{
	if (tls_server)
		SSL_CTX_up_ref(tls_server);
	if (tls_relay)
		SSL_CTX_up_ref(tls_relay);
	SSL_CTX_free(d->tls_server);
	SSL_CTX_free(d->tls_relay);
	d->tls_server = tls_server;
	d->tls_relay = tls_relay;
}

static int add_point(struct door *d, const char *address, struct err *err)
{
	struct relay_point *p = &d->points[d->point_count];

	*p = (struct relay_point){ .door = d, .address = strdup(address),
		.pause = { .min_ms = PAUSE_MIN_MS, .max_ms = PAUSE_MAX_MS } };
	if (!p->address || loop_timer_create(d->loop, on_timer, p, &p->timer))
		return err_set(err, -ENOMEM, "l2: out of memory");
	d->point_count++;
	loop_timer_arm(p->timer, 1);
	return 0;
}

static int open_parts(struct door *d, const struct l2_server_config *config, struct err *err)
{
	int rc = config->listen ? listen_on(d, config->listen, err) : 0;

	for (unsigned i = 0; !rc && i < L2_RELAYS && config->relay[i]; i++)
		rc = add_point(d, config->relay[i], err);
	return rc;
}

int door_create(struct loop *loop, const struct l2_server_config *config, const struct door_ops *ops, void *ctx, struct door **out,
	struct err *err)
{
	struct door *d = calloc(1, sizeof *d);
	int rc;

	*out = NULL;
	if (!d)
		return err_set(err, -ENOMEM, "l2: out of memory");
	*d = (struct door){ .loop = loop, .ops = ops, .ctx = ctx, .listener = -1, .spare = DOOR_SPARE,
		.server = strdup(config->server), .nic = strdup(config->nic) };
	door_set_tls(d, config->tls_server, config->tls_relay);
	rc = d->server && d->nic ? open_parts(d, config, err) : err_set(err, -ENOMEM, "l2: out of memory");
	if (rc) {
		door_free(d);
		return rc;
	}
	*out = d;
	return 0;
}

/* ---- questions */

uint16_t door_port(const struct door *d)
{
	return d->port;
}

void door_counters(const struct door *d, struct door_counters *c)
{
	*c = d->counters;
	for (unsigned i = 0; i < d->point_count; i++)
		c->parked += d->points[i].parked;
}

json_t *door_status(const struct door *d)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < d->point_count; i++)
		json_array_append_new(list, json_pack("{s:s s:i s:s}", "relay", d->points[i].address, "parked",
						      (int)d->points[i].parked, "trouble", d->points[i].last.text));
	return list;
}
