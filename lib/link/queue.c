/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "lib/link/link_priv.h"

/* Large ones are pages of their own: an allocator would keep them when a thousand links have given theirs back. */
static uint8_t *obtain(const struct queue *q, size_t room)
{
	void *data;

	if (!q->keep)
		return malloc(room);
	data = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return data == MAP_FAILED ? NULL : data;
}

static void give_back(struct queue *q)
{
	if (q->secret && q->data)
		explicit_bzero(q->data, q->room);
	if (q->keep && q->data)
		munmap(q->data, q->room);
	else
		free(q->data);
	q->data = NULL;
	q->head = q->tail = q->room = 0;
}

/* Never realloc: it would leave the old bytes where they were. */
static bool move(struct queue *q, size_t room)
{
	size_t len = queue_len(q);
	uint8_t *data = obtain(q, room);

	if (!data)
		return false;
	if (len)
		memcpy(data, queue_data(q), len);
	give_back(q);
	q->data = data;
	q->tail = len;
	q->room = room;
	return true;
}

uint8_t *queue_reserve(struct queue *q, size_t n)
{
	size_t len = queue_len(q), room = q->room ? q->room : q->keep ? 2 * LINK_CHUNK : 1024;

	if (n > q->max || len > q->max - n) {
		errno = EAGAIN;
		return NULL;
	}
	if (q->data && q->room - q->tail >= n)
		return q->data + q->tail;
	if (q->data && q->room - len >= n && len <= q->room / 2) {
		memmove(q->data, queue_data(q), len);
		q->head = 0;
		q->tail = len;
		return q->data + len;
	}
	while (room < len + n)
		room *= 2;
	if (room > q->max)
		room = q->max;
	return move(q, room) ? q->data + q->tail : NULL;
}

void queue_drop(struct queue *q, size_t n)
{
	if (q->secret && n)
		explicit_bzero(q->data + q->head, n);
	q->head += n;
	if (q->head != q->tail)
		return;
	if (q->keep)
		q->head = q->tail = 0;
	else
		give_back(q);
}

void queue_free(struct queue *q)
{
	give_back(q);
}
