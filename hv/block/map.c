/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/block/map.h"
#include <errno.h>
#include <stdlib.h>
#include "lib/bits.h"
#include "lib/scope.h"

#define PARTS 64	/* in flight */
#define WINDOW 20	/* elements of a cut scatter list that a part holds without asking for memory */

/* What the map keeps in a request it holds. */
enum { OPEN, RESULT, CURSOR };	/* parts in flight and one while more are to come; first error; bytes, or lower layers, cut off */

struct part {
	struct block_req req;		/* for the lower layer */
	struct part *next;		/* in map.free */
	struct block_req *whole;
	struct map *map;
	struct iovec *more;		/* the scatter list when the window is too small, NULL: it is not */
	struct iovec window[WINDOW];
};

struct slice { struct block *lower; uint64_t start, off, len; };	/* start: on the map */

struct map {
	struct block b;
	struct slice *slice;
	unsigned slices;
	struct block **lower;		/* each once */
	unsigned lowers;
	struct part *free;
	struct block_req *waiting, **waiting_end;
	bool pumping;
	struct part part[PARTS];
};

/* ---- scatter lists */

struct span { const struct iovec *iov; unsigned count; uint64_t skip; };	/* skip: bytes of the first element before the span */

/* The elements that hold [off, off + len) of the list. */
static struct span find_span(const struct block_req *req, uint64_t off, uint64_t len)
{
	struct span s = { .iov = req->iov, .skip = off };
	uint64_t end;

	for (; s.skip >= s.iov->iov_len; s.iov++)
		s.skip -= s.iov->iov_len;
	end = s.skip + len;
	for (uint64_t at = 0; at < end; s.count++)
		at += s.iov[s.count].iov_len;
	return s;
}

static bool ends_whole(const struct span *s, uint64_t len)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < s->count; i++)
		sum += s->iov[i].iov_len;
	return !s->skip && sum == len;
}

/* The part's own list, or the request's where nothing is cut. */
static int cut_iov(struct part *p, const struct block_req *whole, uint64_t off, uint64_t len)
{
	struct span s;
	struct iovec *to = p->window;

	if (len == whole->len) {
		p->req.iov = whole->iov;
		p->req.iov_count = whole->iov_count;
		return 0;
	}
	s = find_span(whole, off, len);
	p->req.iov = s.iov;
	p->req.iov_count = s.count;
	if (ends_whole(&s, len))
		return 0;
	if (s.count > WINDOW) {
		p->more = to = calloc(s.count, sizeof *to);
		if (!to)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < s.count; i++, s.skip = 0) {
		uint64_t n = s.iov[i].iov_len - s.skip;

		to[i].iov_base = (uint8_t *)s.iov[i].iov_base + s.skip;
		to[i].iov_len = n < len ? n : len;
		len -= to[i].iov_len;
	}
	p->req.iov = to;
	return 0;
}

/* ---- parts */

static const struct slice *find_slice(const struct map *m, uint64_t off)
{
	unsigned low = 0, high = m->slices;

	while (high - low > 1) {
		unsigned mid = (low + high) / 2;

		if (m->slice[mid].start <= off)
			low = mid;
		else
			high = mid;
	}
	return &m->slice[low];
}

static void pump(struct map *m);

/* One part less; true when it was the last and the request is over. */
static bool close_part(struct block_req *whole, int result)
{
	if (result && !whole->priv[RESULT])
		whole->priv[RESULT] = (uint64_t)result;
	return !--whole->priv[OPEN];
}

static void put_part(struct map *m, struct part *p)
{
	free(p->more);
	p->more = NULL;
	p->next = m->free;
	m->free = p;
}

static void on_part(struct block_req *req, int result)
{
	struct part *p = req->ctx;
	struct map *m = p->map;
	struct block_req *whole = p->whole;

	put_part(m, p);
	if (close_part(whole, result))
		whole->done(whole, (int)(int64_t)whole->priv[RESULT]);
	pump(m);
}

/* What the next part is for: its place below, and the cursor moved past it. NULL: there is none. */
static struct block *aim(const struct map *m, struct block_req *whole, struct block_req *part, uint64_t *skip)
{
	const struct slice *s;
	uint64_t at = whole->priv[CURSOR];

	*skip = at;
	if (whole->op == BLOCK_FLUSH) {
		if (at == m->lowers)
			return NULL;
		whole->priv[CURSOR]++;
		return m->lower[at];
	}
	if (at == whole->len)
		return NULL;
	s = find_slice(m, whole->off + at);
	part->off = whole->off + at - s->start + s->off;
	part->len = s->start + s->len - (whole->off + at);
	if (part->len > whole->len - at)
		part->len = whole->len - at;
	whole->priv[CURSOR] += part->len;
	return s->lower;
}

/* Cut one part off the request and send it. False: nothing was left to cut. */
static bool send_part(struct map *m, struct block_req *whole)
{
	struct part *p = m->free;
	struct block *lower;
	uint64_t skip;

	p->req = (struct block_req){ .op = whole->op, .fua = whole->fua, .done = on_part, .ctx = p };
	lower = aim(m, whole, &p->req, &skip);
	if (!lower)
		return false;
	m->free = p->next;
	p->whole = whole;
	whole->priv[OPEN]++;
	if (whole->op == BLOCK_DISCARD && !lower->can_discard)
		on_part(&p->req, 0);
	else if ((whole->op == BLOCK_READ || whole->op == BLOCK_WRITE) && cut_iov(p, whole, skip, p->req.len))
		on_part(&p->req, -ENOMEM);
	else
		block_submit(lower, &p->req);
	return true;
}

/* Parts end, and requests come, while others are sent: the outermost call goes on with them, so that the stack stays flat. */
static void pump(struct map *m)
{
	if (m->pumping)
		return;
	m->pumping = true;
	while (m->waiting && m->free) {
		struct block_req *whole = m->waiting;

		if (send_part(m, whole))
			continue;
		m->waiting = whole->next;
		if (!m->waiting)
			m->waiting_end = &m->waiting;
		if (close_part(whole, 0))
			whole->done(whole, (int)(int64_t)whole->priv[RESULT]);
	}
	m->pumping = false;
}

/* ---- the layer */

static void submit(struct block *b, struct block_req *req)
{
	struct map *m = container_of(b, struct map, b);

	req->priv[OPEN] = 1;
	req->priv[RESULT] = req->priv[CURSOR] = 0;
	req->next = NULL;
	*m->waiting_end = req;
	m->waiting_end = &req->next;
	pump(m);
}

static bool is_idle(const struct map *m)
{
	unsigned count = 0;

	for (const struct part *p = m->free; p; p = p->next)
		count++;
	return count == PARTS && !m->waiting;
}

static void drain(struct block *b)
{
	struct map *m = container_of(b, struct map, b);

	/* What ends below may make room for parts that wait here. */
	do {
		for (unsigned i = 0; i < m->lowers; i++)
			block_drain(m->lower[i]);
	} while (!is_idle(m));
}

static void plug(struct block *b)
{
	struct map *m = container_of(b, struct map, b);

	for (unsigned i = 0; i < m->lowers; i++)
		block_plug(m->lower[i]);
}

static void unplug(struct block *b)
{
	struct map *m = container_of(b, struct map, b);

	for (unsigned i = 0; i < m->lowers; i++)
		block_unplug(m->lower[i]);
}

static void free_arrays(struct map *m)
{
	free(m->slice);
	free(m->lower);
	free(m);
}

static void free_map(struct block *b)
{
	struct map *m = container_of(b, struct map, b);

	for (unsigned i = 0; i < m->lowers; i++)
		block_free(m->lower[i]);
	free_arrays(m);
}

static const struct block_ops ops = {
	.name = "map", .submit = submit, .drain = drain, .free = free_map, .plug = plug, .unplug = unplug,
};

/* ---- making one */

static void add_lower(struct map *m, struct block *lower)
{
	for (unsigned i = 0; i < m->lowers; i++)
		if (m->lower[i] == lower)
			return;
	m->lower[m->lowers++] = lower;
	m->b.readonly |= lower->readonly;
	m->b.can_discard |= lower->can_discard;
	if (lower->logical > m->b.logical)
		m->b.logical = lower->logical;
	if (lower->physical > m->b.physical)
		m->b.physical = lower->physical;
}

/* After all lower layers are known: whether the slices fit them. */
static int place_slices(struct map *m, const struct block_slice *slices, struct err *err)
{
	for (unsigned i = 0; i < m->slices; i++) {
		const struct block_slice *s = &slices[i];
		uint64_t size = s->lower->size, len = s->len;

		if (s->off >= size || len > size - s->off)
			return err_set(err, -EINVAL, "part %u: %llu+%llu is beyond the volume's end: it has %llu bytes", i + 1,
				       (unsigned long long)s->off, (unsigned long long)len, (unsigned long long)size);
		len = len ? len : size - s->off;
		if ((s->off | len) & (m->b.logical - 1))
			return err_set(err, -EINVAL, "part %u: %llu+%llu is not a multiple of the sectors of %u bytes", i + 1,
				       (unsigned long long)s->off, (unsigned long long)len, m->b.logical);
		m->slice[i] = (struct slice){ .lower = s->lower, .start = m->b.size, .off = s->off, .len = len };
		if (m->b.size + len < len)
			return err_set(err, -EINVAL, "part %u: the disk would be too large", i + 1);
		m->b.size += len;
	}
	return 0;
}

int block_map_create(const struct block_slice *slices, unsigned count, struct block **b, struct err *err)
{
	struct map *m = calloc(1, sizeof *m);
	int r;

	if (!count) {
		free(m);
		return err_set(err, -EINVAL, "a disk needs at least one part");
	}
	if (m) {
		m->slice = calloc(count, sizeof *m->slice);
		m->lower = calloc(count, sizeof(struct block *));
	}
	if (!m || !m->slice || !m->lower) {
		if (m)
			free_arrays(m);
		return err_set(err, -ENOMEM, "out of memory");
	}
	m->slices = count;
	m->b.ops = &ops;
	m->b.logical = m->b.physical = 512;
	m->waiting_end = &m->waiting;
	for (unsigned i = 0; i < count; i++)
		add_lower(m, slices[i].lower);
	for (unsigned i = 0; i < PARTS; i++) {
		m->part[i].map = m;
		put_part(m, &m->part[i]);
	}
	r = place_slices(m, slices, err);
	if (r) {
		free_arrays(m);
		return r;
	}
	*b = &m->b;
	return 0;
}
