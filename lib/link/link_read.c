/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: record by record into the queue, handing out after each, so that what is taken is still in the cache. A link that
 * gathers has many records from one call of the kernel (tls.c). A round is bounded by what the socket gives, never by what lies
 * here.
 */
#include <errno.h>
#include "lib/link/link_priv.h"

enum { READS_A_ROUND = 8, BYTES_A_ROUND = 256 * 1024 };

/* Hand out what is there, as long as the owner takes some of it. False: the link is closed or paused. */
static bool hand_out(struct link *link)
{
	while (queue_len(&link->in) && link_can_read(link)) {
		size_t len = queue_len(&link->in), n = link->ops->read(link->ctx, queue_data(&link->in), len);

		if (link->state == LINK_CLOSED)
			return false;
		bug_on(n > len);
		if (!n)
			break;
		queue_drop(&link->in, n);
		if (link->config.idle_s)
			link->taken_ns = loop_now_ns();
	}
	return link_can_read(link);
}

static void peer_end(struct link *link)
{
	link->peer_ended = true;
	link->ops->end(link->ctx);
	if (link->state != LINK_CLOSED && link->ended)
		link_close(link);
}

/* Bytes that came; -EAGAIN: not now; else the link is over or ended. */
static ssize_t read_once(struct link *link)
{
	size_t len = queue_len(&link->in), room = link->config.read_max > len ? link->config.read_max - len : 0;
	uint8_t *to;
	ssize_t n;

	if (!room)
		return link_fail(link, -EMSGSIZE, "the other side sent more than %zu bytes of one message", link->config.read_max);
	if (room > LINK_CHUNK || link->config.gather)
		room = LINK_CHUNK;
	to = queue_reserve(&link->in, room);
	if (!to)
		return link_fail(link, -ENOMEM, "out of memory");
	n = link->io->read(link, to, room);
	if (n <= 0) {
		queue_drop(&link->in, 0);	/* gives an empty buffer back */
		if (!n)
			peer_end(link);
		return n ? n : -EPIPE;
	}
	link->in.tail += (size_t)n;
	link->counters.in_bytes += (size_t)n;
	link->counters.in_reads++;
	return n;
}

/* Level triggered: what a bounded round leaves in the socket brings the next one. */
void link_read_in(struct link *link)
{
	size_t bytes = 0;

	link->dry = false;
	link_use(link);
	for (int i = 0; (link->config.gather || i < READS_A_ROUND) && hand_out(link); i++) {
		ssize_t n = read_once(link);

		if (n < 0 && n != -EAGAIN && n != -EPIPE)
			link_close(link);
		if (n < 0)
			return;
		bytes += (size_t)n;
		link->dry |= bytes >= BYTES_A_ROUND;
	}
	(void)hand_out(link);
	if (link_can_read(link) && link->io->pending(link))
		loop_task_run(link->soon);
}

void link_pause(struct link *link, bool pause)
{
	if (link->state == LINK_CLOSED || link->paused == pause)
		return;
	link->paused = pause;
	link->counters.pauses += pause;
	if (!pause && link->state == LINK_OPEN)
		loop_task_run(link->soon);	/* what we hold already shows on no socket */
	link_update(link);
}
