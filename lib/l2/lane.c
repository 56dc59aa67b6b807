/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames are handed on where they lie in the link's buffer: the message's header is the headroom that the frame needs on its way
 * on. Callbacks may free the lane, so each stands between enter and leave.
 */
#include "lib/l2/lane.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/l2/wire.h"
#include "lib/log.h"
#include "lib/scope.h"

enum { WRITE_MAX = 524288, READ_MAX = 262144, QUEUE_MAX = 1 << 20, LANE_END_S = 2 };
#define NS 1000000000ull

struct lane {
	struct loop *loop;
	struct link *link;
	struct loop_timer *timer;	/* HELLO late; then: tell what was consumed */
	const struct lane_ops *ops;
	void *ctx;
	struct window window;
	struct fair_queue *queue;	/* NULL until something has to wait */
	size_t queue_max;
	uint64_t taken, told;		/* bytes of frames that came: in all, and as the peer knows it */
	bool timing;			/* timer is armed to tell */
	bool greeted;			/* their HELLO is here */
	bool full;			/* the link takes no more; writable will come */
	bool ending, over;		/* over: closed was, or will be called */
	bool freed;
	unsigned busy;
	struct err why;
	struct lane_counters counters;
};

static void enter(struct lane *lane)
{
	lane->busy++;
}

/* False: it is gone. */
static bool leave(struct lane *lane)
{
	bool freed = lane->freed;

	if (!--lane->busy && freed)
		free(lane);
	return !freed;
}

void lane_free(struct lane *lane)
{
	if (!lane)
		return;
	if (lane->link && !lane->over) {	/* what was gathered goes out: a RELEASE may be in it */
		link_end(lane->link);
		link_cork(lane->link, false);
	}
	link_free(lane->link);
	loop_timer_free(lane->timer);
	fair_queue_free(lane->queue);
	lane->link = NULL;
	lane->timer = NULL;
	lane->queue = NULL;
	lane->freed = lane->over = true;
	if (!lane->busy)
		free(lane);
}

/* Inside enter and leave, out of a callback of the loop's. */
static void close_lane(struct lane *lane, const struct err *why)
{
	struct err copy = *why;

	if (lane->over)
		return;
	lane->over = true;
	lane->ops->closed(lane->ctx, &copy);
}

void lane_fail(struct lane *lane, const struct err *why)
{
	if (lane->over || lane->why.code)
		return;
	lane->why = *why;
	loop_timer_arm(lane->timer, 1);
}

/* ---- sending */

/* What waits goes, as far as the window and the link let it. */
static void pump(struct lane *lane)
{
	const uint8_t *message;
	uint64_t now;
	size_t len;

	if (!lane->queue || !fair_queue_bytes(lane->queue))
		return;
	now = loop_now_ns();
	while (!lane->full && window_is_open(&lane->window) && (message = fair_queue_get(lane->queue, now, &len))) {
		int rc = link_write(lane->link, message, len);

		lane->full = rc == -EAGAIN;
		if (lane->full)
			return;
		fair_queue_drop(lane->queue);
		if (rc) {
			lane->counters.drop_closed++;
			continue;
		}
		window_sent(&lane->window, len, now);
		lane->counters.out.frames++;
		lane->counters.out.bytes += len;
	}
}

static void enqueue(struct lane *lane, uint32_t hash, const uint8_t *message, size_t len, uint64_t now)
{
	if (!lane->queue && fair_queue_create(lane->queue_max, &lane->queue)) {
		lane->counters.drop_closed++;
		return;
	}
	fair_queue_put(lane->queue, hash, message, len, now);	/* it counts itself */
}

void lane_send_frame(struct lane *lane, struct frame *f)
{
	bool direct = !lane->full && window_is_open(&lane->window) && (!lane->queue || !fair_queue_bytes(lane->queue));
	uint64_t now = direct && !window_wants_time(&lane->window) ? 0 : loop_now_ns();
	uint8_t *message;
	size_t len;
	int rc;

	if (lane->over || lane->ending) {
		lane->counters.drop_closed++;
		return;
	}
	message = wire_put_frame(f, &len);
	if (!direct) {
		enqueue(lane, f->hash, message, len, now);
		return;
	}
	rc = link_write(lane->link, message, len);
	if (rc == -EAGAIN) {
		lane->full = true;
		enqueue(lane, f->hash, message, len, loop_now_ns());
		return;
	}
	if (rc) {
		lane->counters.drop_closed++;
		return;
	}
	window_sent(&lane->window, len, now);
	lane->counters.out.frames++;
	lane->counters.out.bytes += len;
}

bool lane_send_control(struct lane *lane, const uint8_t *message, size_t len)
{
	int rc = lane->over || lane->ending ? -EPIPE : link_write(lane->link, message, len);

	lane->full |= rc == -EAGAIN;
	lane->counters.drop_control += rc != 0;
	return !rc;
}

int lane_send_json(struct lane *lane, enum wire_type type, const json_t *body, struct err *err)
{
	auto_free char *text = json_dumps(body, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0, most = type == WIRE_HELLO ? WIRE_HELLO_MAX : WIRE_PEERS_MAX;
	uint8_t header[WIRE_HEADER];
	struct iovec iov[2] = { { header, sizeof header }, { text, len } };
	int rc;

	if (!text)
		return err_set(err, -ENOMEM, "out of memory");
	if (len > most)
		return err_set(err, -EMSGSIZE, "%s of %zu bytes: %zu are the most", wire_type_name(type), len, most);
	wire_put_header(header, type, len);
	rc = lane->over || lane->ending ? -EPIPE : link_writev(lane->link, iov, 2);
	lane->full |= rc == -EAGAIN;
	return rc ? err_set(err, rc, "%s cannot be sent: %s", wire_type_name(type), strerror(-rc)) : 0;
}

void lane_end(struct lane *lane)
{
	if (lane->over || lane->ending)
		return;
	lane->ending = true;
	err_set(&lane->why, -EPIPE, "ended by this side");
	link_end(lane->link);
	loop_timer_arm(lane->timer, loop_now_ns() + LANE_END_S * NS);
}

/* ---- what was consumed */

static void tell(struct lane *lane)
{
	uint8_t buf[WIRE_SMALL];

	if (lane_send_control(lane, buf, wire_put_consumed(buf, lane->taken)))
		lane->told = lane->taken;
	lane->timing = false;
}

/* At the end of what came at once. */
static void tell_or_wait(struct lane *lane)
{
	if (lane->taken - lane->told >= WINDOW_TELL) {
		tell(lane);
	} else if (lane->taken != lane->told && !lane->timing) {
		lane->timing = true;
		loop_timer_arm(lane->timer, loop_now_ns() + WINDOW_TELL_NS);
	}
}

static void on_timer(void *ctx)
{
	struct lane *lane = ctx;

	enter(lane);
	if (!lane->why.code && !lane->greeted)
		err_set(&lane->why, -ETIMEDOUT, "no HELLO in %u s", LANE_HELLO_S);
	if (lane->why.code)
		close_lane(lane, &lane->why);
	else if (!lane->over && lane->taken != lane->told)
		tell(lane);
	if (leave(lane) && lane->taken != lane->told && !lane->over && !lane->ending) {
		lane->timing = true;
		loop_timer_arm(lane->timer, loop_now_ns() + WINDOW_TELL_NS);
	}
}

/* ---- receiving */

static int take_hello(struct lane *lane, const struct wire_message *m, struct err *err)
{
	json_error_t error;
	json_t *hello;

	if (lane->greeted)
		return err_set(err, -EPROTO, "a second HELLO");
	hello = json_loadb((const char *)m->body, m->len, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(hello)) {
		json_decref(hello);
		return err_set(err, -EPROTO, "HELLO is no JSON object");
	}
	lane->greeted = true;
	loop_timer_disarm(lane->timer);
	lane->ops->hello(lane->ctx, hello);
	json_decref(hello);
	return 0;
}

static void take_frame(struct lane *lane, const struct wire_message *m)
{
	/* the link's buffer is ours until the callback returns, and nobody looks at it again */
	struct frame f = { .data = (uint8_t *)m->body + WIRE_VNET, .len = m->len - WIRE_VNET };
	enum frame_cause cause;

	lane->taken += WIRE_HEADER + m->len;
	memcpy(&f.hdr, m->body, sizeof f.hdr);
	cause = frame_parse(&f);
	if (cause != FRAME_OK) {
		lane->counters.drop_bad_frame++;
		log_limited(LOG_WARN, "l2 %s: a frame was dropped: %s", link_peer(lane->link), frame_cause_name(cause));
		return;
	}
	lane->counters.in.frames++;
	lane->counters.in.bytes += WIRE_HEADER + m->len;
	lane->ops->frame(lane->ctx, &f);
}

static int take_message(struct lane *lane, const struct wire_message *m, struct err *err)
{
	int rc;

	if (m->type == WIRE_HELLO)
		return take_hello(lane, m, err);
	if (!lane->greeted)
		return err_set(err, -EPROTO, "%s before HELLO", wire_type_name(m->type));
	if (m->type == WIRE_FRAME) {
		take_frame(lane, m);
	} else if (m->type == WIRE_CONSUMED) {
		rc = window_consumed(&lane->window, m->consumed, loop_now_ns(), err);
		if (rc)
			return rc;
		pump(lane);
	} else {
		lane->ops->message(lane->ctx, m);
	}
	return 0;
}

static size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
	struct lane *lane = ctx;
	struct wire_message m;
	struct err err = { 0 };
	size_t total = 0, used;
	int rc = 0;

	enter(lane);
	while (!rc && !lane->over && !lane->ending) {
		rc = wire_parse(data + total, len - total, &used, &m, &err);
		if (rc || !used)
			break;
		total += used;
		rc = take_message(lane, &m, &err);
	}
	if (rc)
		close_lane(lane, &err);
	else if (!lane->over && !lane->ending)
		tell_or_wait(lane);
	if (!leave(lane))
		return len;
	return lane->over || lane->ending ? len : total;
}

static void on_writable(void *ctx)
{
	struct lane *lane = ctx;

	lane->full = false;
	pump(lane);
}

static void on_end(void *ctx)
{
	struct lane *lane = ctx;
	struct err why;

	enter(lane);
	err_set(&why, -EPIPE, "the other side ended the connection");
	close_lane(lane, &why);
	(void)leave(lane);
}

static void on_closed(void *ctx, const struct err *why)
{
	struct lane *lane = ctx;

	enter(lane);
	close_lane(lane, lane->why.code ? &lane->why : why);
	(void)leave(lane);
}

/* ---- life */

int lane_create(struct loop *loop, int fd, SSL_CTX *tls, bool server, const char *resume, const struct lane_ops *ops, void *ctx,
	struct lane **out, struct err *err)
{
	static const struct link_ops link_ops = { .read = on_read, .writable = on_writable, .end = on_end, .closed = on_closed };
	struct link_config config = { .tls = tls, .server = server, .alpn = WIRE_ALPN, .read_max = READ_MAX, .write_max = WRITE_MAX,
		.handshake_s = LANE_HELLO_S, .gather = true, .resume = tls && !server ? resume : NULL };
	struct lane *lane = calloc(1, sizeof *lane);
	int rc;

	*out = NULL;
	if (!lane) {
		scope_close(&fd);
		return err_set(err, -ENOMEM, "lane: out of memory");
	}
	*lane = (struct lane){ .loop = loop, .ops = ops, .ctx = ctx, .queue_max = QUEUE_MAX };
	window_init(&lane->window);
	rc = link_create(loop, fd, &config, &link_ops, lane, &lane->link, err);
	if (!rc && (rc = loop_timer_create(loop, on_timer, lane, &lane->timer)))
		err_set(err, rc, "lane: out of memory");
	if (rc) {
		lane_free(lane);
		return rc;
	}
	loop_timer_arm(lane->timer, loop_now_ns() + LANE_HELLO_S * NS);
	*out = lane;
	return 0;
}

void lane_set_owner(struct lane *lane, const struct lane_ops *ops, void *ctx)
{
	lane->ops = ops;
	lane->ctx = ctx;
}

void lane_set_queue(struct lane *lane, size_t max)
{
	if (max)
		lane->queue_max = max;
}

/* ---- questions */

struct link *lane_link(const struct lane *lane)
{
	return lane->link;
}

const struct window *lane_window(const struct lane *lane)
{
	return &lane->window;
}

size_t lane_queued(const struct lane *lane)
{
	return lane->queue ? fair_queue_bytes(lane->queue) : 0;
}

static void add_link(struct link_counters *sum, const struct link_counters *l)
{
	sum->in_bytes += l->in_bytes;
	sum->out_bytes += l->out_bytes;
	sum->in_reads += l->in_reads;
	sum->out_records += l->out_records;
	sum->pauses += l->pauses;
	sum->full += l->full;
	sum->key_updates += l->key_updates;
}

void lane_add_counters(const struct lane *lane, struct path_counters *sum)
{
	const struct lane_counters *c = &lane->counters;

	sum->in.frames += c->in.frames;
	sum->in.bytes += c->in.bytes;
	sum->out.frames += c->out.frames;
	sum->out.bytes += c->out.bytes;
	sum->drop_bad_frame += c->drop_bad_frame;
	sum->drop_closed += c->drop_closed;
	sum->drop_control += c->drop_control;
	if (lane->queue) {
		sum->drop_queue_full += fair_queue_counters(lane->queue)->full;
		sum->drop_queue_late += fair_queue_counters(lane->queue)->late;
	}
	sum->queued_bytes += lane_queued(lane);
	sum->window_bytes += lane->window.size;
	sum->windows_shut += lane->window.shut;
	add_link(&sum->link, link_counters(lane->link));
}
