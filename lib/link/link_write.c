/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing. What the socket takes goes out of the caller's memory; the queue holds the rest, and on links that gather what is too
 * little for a record of its own. Bytes of the queue always go before the caller's.
 */
#include <errno.h>
#include <string.h>
#include "lib/link/link_priv.h"

enum { DIRECT = 4096 };	/* from here on a record of its own costs less than copying */

/* One record: bytes that went, -EAGAIN, or -errno with link.why set. more: others or a push follow. */
static ssize_t send_record(struct link *link, const void *data, size_t len, bool more)
{
	ssize_t n;

	if (link->records >= link->config.rekey_records)
		link->io->key_update(link);
	link->more = more || len > link->io->record;
	n = link->io->write(link, data, len > link->io->record ? link->io->record : len);
	link->more = false;
	link->blocked |= n == -EAGAIN;
	if (n > 0) {
		link->records++;
		link->counters.out_records++;
	}
	return n;
}

/* least: what is less than that stays in the queue. 0: so it is; -EAGAIN: the socket takes no more. more as above. */
static int flush(struct link *link, size_t least, bool more)
{
	while (queue_len(&link->out) >= least) {
		ssize_t n = link->blocked ? -EAGAIN : send_record(link, queue_data(&link->out), queue_len(&link->out), more);

		if (n < 0)
			return (int)n;
		queue_drop(&link->out, (size_t)n);
	}
	return 0;
}

int link_finish(struct link *link)
{
	int rc;

	link->blocked = false;
	rc = link->io->push(link);
	if (!rc && (!link->corked || link->ending))
		rc = flush(link, 1, false);
	if (!rc)
		rc = link->io->push(link);
	if (!rc && link->ending && !link->ended) {
		rc = link->io->end(link);
		link->ended = !rc;
	}
	return rc;
}

void link_feed(struct link *link)
{
	if (link->hungry && queue_len(&link->out) <= link->out.max / 2) {
		link->hungry = false;
		link->ops->writable(link->ctx);
	}
}

void link_write_out(struct link *link)
{
	int rc = link_finish(link);

	if (rc && rc != -EAGAIN) {
		link_close(link);
		return;
	}
	link_feed(link);
	if (link->ended && link->peer_ended)
		link_close(link);
}

void link_on_gather(void *ctx)
{
	struct link *link = ctx;

	link->gathering = false;
	if (link->state != LINK_OPEN || link->broken)
		return;
	link_enter(link);
	link_write_out(link);
	if (link_leave(link))
		link_update(link);
}

static bool may_send(const struct link *link)
{
	return link->state == LINK_OPEN && !link->corked && !link->broken && !link->blocked;
}

/* Inside an owner's call. */
static void send_queue(struct link *link)
{
	int rc = flush(link, link->gather ? LINK_CHUNK : 1, link->gather);

	link_fail_soon(link, rc);
	link->gathering = link->gather && !rc && !link->blocked && (queue_len(&link->out) || queue_len(&link->wire));
	if (link->gathering)
		loop_task_run(link->gather);
	if (link->hungry && queue_len(&link->out) <= link->out.max / 2)
		loop_task_run(link->soon);	/* nothing else would tell the writer */
}

/* From the caller's memory, after the queue: bytes that went. What is too little for a record of its own stays. */
static size_t send_direct(struct link *link, const uint8_t *data, size_t len)
{
	size_t done = 0, least = link->gather ? DIRECT : 1;
	ssize_t n = flush(link, 1, link->gather);

	while (!n && !link->blocked && len - done >= least) {
		n = send_record(link, data + done, len - done, link->gather);
		if (n < 0)
			break;
		done += (size_t)n;
		n = 0;
	}
	link_fail_soon(link, (int)n);
	return done;
}

static int append(struct link *link, const uint8_t *data, size_t len)
{
	uint8_t *to = queue_reserve(&link->out, len);

	if (!to)
		return -ENOMEM;
	memcpy(to, data, len);
	link->out.tail += len;
	return 0;
}

static int write_piece(struct link *link, const struct iovec *iov, bool direct)
{
	const uint8_t *data = iov->iov_base;
	size_t len = iov->iov_len, done = direct && may_send(link) ? send_direct(link, data, len) : 0;

	return done < len ? append(link, data + done, len - done) : 0;
}

int link_writev(struct link *link, const struct iovec *iov, unsigned n)
{
	size_t len = 0;
	int rc = 0;

	if (link->state == LINK_CLOSED || link->ending)
		return -EPIPE;
	for (unsigned i = 0; i < n; i++)
		if (__builtin_add_overflow(len, iov[i].iov_len, &len))
			return -EAGAIN;
	if (!len)
		return 0;
	if (len > link->out.max || queue_len(&link->out) > link->out.max - len) {
		link->hungry = true;
		link->counters.full++;
		return -EAGAIN;
	}
	link_use(link);
	for (unsigned i = 0; i < n && !rc; i++)
		if (iov[i].iov_len)
			rc = write_piece(link, &iov[i], iov[i].iov_len >= DIRECT || (n == 1 && !link->gather));
	if (rc) {	/* some of it may have gone */
		link_fail_soon(link, link_fail(link, rc, "out of memory"));
		return rc;
	}
	link->counters.out_bytes += len;
	if (may_send(link))
		send_queue(link);
	link_update(link);
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
	if (may_send(link))
		send_queue(link);
	link_update(link);
}

void link_end(struct link *link)
{
	if (link->state == LINK_CLOSED || link->ending)
		return;
	link->ending = true;
	link_update(link);	/* the next event sends it */
}

void link_key_update(struct link *link)
{
	if (link->state == LINK_OPEN)
		link->io->key_update(link);
}
