/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/dev/virtio_ring.h"
#include <errno.h>
#include <string.h>
#include "lib/bits.h"

/* Halfword positions in the avail and used areas. */
enum { FLAGS, IDX, ENTRIES };

static uint16_t load(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static void store(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, htole16(v), __ATOMIC_RELAXED);
}

static uint16_t *used_event(struct virtio_ring *r)
{
	return &r->avail[ENTRIES + r->size];
}

static uint16_t *avail_event(struct virtio_ring *r)
{
	return &r->used[ENTRIES + 4u * r->size];
}

static int fail(struct virtio_ring *r, const char *why)
{
	r->fault = why;
	return -EPROTO;
}

static int refuse(struct virtio_ring *r, const char *why)
{
	r->fault = why;
	return -EINVAL;
}

/* One of the three areas: aligned for the guest and, as regions need not be, for us. */
static void *area(struct virtio_ring *r, uint64_t gpa, uint64_t len, uint64_t align)
{
	void *p = gpa & (align - 1) ? NULL : mem_at(r->mem, gpa, len);

	return (uintptr_t)p & (align - 1) ? NULL : p;
}

int virtio_ring_start(struct virtio_ring *r)
{
	uint64_t n = r->size;

	if (!bits_is_pow2(n) || n > VIRTIO_RING_MAX)
		return refuse(r, "queue size is not a power of two up to 1024");
	if (!r->desc_gpa || !r->avail_gpa || !r->used_gpa)
		return refuse(r, "queue enabled without addresses");
	r->desc = area(r, r->desc_gpa, n * sizeof *r->desc, 16);
	r->avail = area(r, r->avail_gpa, 2 * (ENTRIES + n + 1), 2);
	r->used = area(r, r->used_gpa, 2 * (ENTRIES + 4 * n + 1), 4);
	if (!r->desc || !r->avail || !r->used)
		return refuse(r, "queue address is misaligned or outside memory");
	r->next_avail = r->next_used = r->signalled = 0;
	r->signalled_valid = r->quiet = r->unsignalled = false;
	r->fault = NULL;
	r->live = true;
	return 0;
}

void virtio_ring_reset(struct virtio_ring *r)
{
	*r = (struct virtio_ring){ .mem = r->mem, .chains = r->chains, .signals = r->signals, .suppressed = r->suppressed };
}

/* ---- from the driver */

/* Most bytes at gpa, up to len, that lie in one region. */
static uint64_t fitting(const struct mem *mem, uint64_t gpa, uint64_t len)
{
	uint64_t fits = 0;

	while (fits < len) {
		uint64_t mid = fits + (len - fits + 1) / 2;

		if (mem_at_const(mem, gpa, mid))
			fits = mid;
		else
			len = mid - 1;
	}
	return fits;
}

/* Add one buffer to the chain, in more than one segment where it crosses adjoining regions. */
static const char *add(struct virtio_ring *r, struct virtio_chain *c, const struct vring_desc *d)
{
	uint64_t gpa = le64toh(d->addr), len = le32toh(d->len);
	bool write = le16toh(d->flags) & VRING_DESC_F_WRITE;

	if (!len)
		return "empty buffer";
	if (gpa + len < gpa)
		return "buffer wraps around";
	if (!write && c->writable)
		return "readable buffer after a writable one";
	if (c->read_len + c->write_len + len > UINT32_MAX)
		return "chain of 4 GiB or more";
	*(write ? &c->write_len : &c->read_len) += len;
	while (len) {
		uint64_t n = len;
		const void *p = write ? mem_at(r->mem, gpa, n) : mem_at_const(r->mem, gpa, n);

		if (!p) {
			n = fitting(r->mem, gpa, len);
			p = write ? mem_at(r->mem, gpa, n) : mem_at_const(r->mem, gpa, n);
		}
		if (!p)
			return "buffer outside memory";
		if (c->readable + c->writable == c->max)
			return "chain with too many buffers";
		c->iov[c->readable + c->writable] = (struct iovec){ (void *)p, n };
		++*(write ? &c->writable : &c->readable);
		gpa += n;
		len -= n;
	}
	return NULL;
}

/* The descriptors of a table, from first; *indirect is filled when the chain ends in an indirect descriptor. */
static const char *walk(struct virtio_ring *r, struct virtio_chain *c, const struct vring_desc *table, unsigned count,
			unsigned first, struct vring_desc *indirect)
{
	unsigned at = first;

	for (unsigned seen = 0; seen < count; seen++) {
		struct vring_desc d;
		uint16_t flags;
		const char *why;

		if (at >= count)
			return "descriptor index out of range";
		memcpy(&d, &table[at], sizeof d);
		flags = le16toh(d.flags);
		if (flags & VRING_DESC_F_INDIRECT) {
			if (!indirect || !r->indirect || flags & VRING_DESC_F_NEXT)
				return "indirect descriptor where none may be";
			*indirect = d;
			return NULL;
		}
		why = add(r, c, &d);
		if (why)
			return why;
		if (!(flags & VRING_DESC_F_NEXT))
			return NULL;
		at = le16toh(d.next);
	}
	return "descriptor loop";
}

static const char *gather(struct virtio_ring *r, struct virtio_chain *c)
{
	struct vring_desc indirect = { 0 };
	const struct vring_desc *table;
	const char *why = walk(r, c, r->desc, r->size, c->head, &indirect);
	uint32_t len = le32toh(indirect.len);

	if (why || !(le16toh(indirect.flags) & VRING_DESC_F_INDIRECT))
		return why;
	if (!len || len % sizeof *table || len / sizeof *table > VIRTIO_RING_MAX)
		return "indirect table of a bad size";
	table = mem_at_const(r->mem, le64toh(indirect.addr), len);
	if (!table)
		return "indirect table outside memory";
	return walk(r, c, table, (unsigned)(len / sizeof *table), 0, NULL);
}

int virtio_ring_pop(struct virtio_ring *r, struct virtio_chain *c)
{
	const char *why;
	uint16_t idx;

	if (!r->live)
		return 0;
	if (r->fault)
		return -EPROTO;
	idx = load(&r->avail[IDX]);
	if (idx == r->next_avail)
		return 0;
	/* Entries and descriptors are read after the index: pairs with virtio_wmb() in Linux's virtqueue_add_split(). */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if ((uint16_t)(idx - r->next_avail) > r->size || (uint16_t)(idx - r->next_used) > r->size)
		return fail(r, "available index runs past the ring");
	c->head = load(&r->avail[ENTRIES + r->next_avail % r->size]);
	c->readable = c->writable = 0;
	c->read_len = c->write_len = 0;
	why = gather(r, c);
	if (why)
		return fail(r, why);
	r->next_avail++;
	r->chains++;
	return 1;
}

void virtio_ring_unpop(struct virtio_ring *r, uint16_t count)
{
	r->next_avail = (uint16_t)(r->next_avail - count);
	r->chains -= count;
}

/* ---- to the driver */

void virtio_ring_fill(struct virtio_ring *r, uint16_t off, uint16_t head, uint32_t written)
{
	struct vring_used_elem e = { htole32(head), htole32(written) };

	if (r->live)
		memcpy(&r->used[ENTRIES + 4u * ((uint16_t)(r->next_used + off) % r->size)], &e, sizeof e);
}

void virtio_ring_show(struct virtio_ring *r, uint16_t count)
{
	if (!r->live)
		return;
	r->unsignalled = true;
	r->next_used = (uint16_t)(r->next_used + count);
	/* Data and elements are seen before the index: pairs with virtio_rmb() in Linux's virtqueue_get_buf_ctx_split(). */
	__atomic_store_n(&r->used[IDX], htole16(r->next_used), __ATOMIC_RELEASE);
	/* The index went all the way round since the last look: the used event cannot tell before from after. */
	if ((uint16_t)(r->next_used - r->signalled) < count)
		r->signalled_valid = false;
}

void virtio_ring_push(struct virtio_ring *r, uint16_t head, uint32_t written)
{
	virtio_ring_fill(r, 0, head, written);
	virtio_ring_show(r, 1);
}

static bool wants_signal(struct virtio_ring *r)
{
	uint16_t old = r->signalled;
	bool valid = r->signalled_valid;

	if (!r->event_idx)
		return !(load(&r->avail[FLAGS]) & VRING_AVAIL_F_NO_INTERRUPT);
	r->signalled = r->next_used;
	r->signalled_valid = true;
	return !valid || vring_need_event(load(used_event(r)), r->next_used, old);
}

bool virtio_ring_should_signal(struct virtio_ring *r)
{
	bool wants;

	if (!r->live || !r->unsignalled)
		return false;
	r->unsignalled = false;
	/*
	 * The used index is visible before the driver's wish is read, or both sides could miss each other:
	 * pairs with virtio_mb() in Linux's virtqueue_poll() and virtio_store_mb() in virtqueue_enable_cb_delayed_split().
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wants = wants_signal(r);
	++*(wants ? &r->signals : &r->suppressed);
	return wants;
}

void virtio_ring_quiet(struct virtio_ring *r)
{
	if (!r->live || r->quiet)
		return;
	r->quiet = true;
	/* With an event index the stale avail event is already behind the driver: one notification at most. */
	if (!r->event_idx)
		store(&r->used[FLAGS], VRING_USED_F_NO_NOTIFY);
}

bool virtio_ring_listen(struct virtio_ring *r)
{
	if (!r->live || r->fault)
		return false;
	r->quiet = false;
	if (r->event_idx)
		store(avail_event(r), r->next_avail);
	else
		store(&r->used[FLAGS], 0);
	/*
	 * Our wish is visible before the index is read again, or a buffer could slip in between:
	 * pairs with virtio_mb() in Linux's virtqueue_kick_prepare_split().
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load(&r->avail[IDX]) != r->next_avail;
}

/* ---- bytes of a chain */

static size_t copy(const struct iovec *iov, unsigned count, uint64_t off, uint8_t *buf, size_t len, bool write)
{
	size_t done = 0;

	for (unsigned i = 0; i < count && done < len; i++) {
		size_t n = iov[i].iov_len;
		uint8_t *p = iov[i].iov_base;

		if (off >= n) {
			off -= n;
			continue;
		}
		n -= (size_t)off;
		p += off;
		off = 0;
		if (n > len - done)
			n = len - done;
		memcpy(write ? p : buf + done, write ? buf + done : p, n);
		done += n;
	}
	return done;
}

size_t virtio_chain_read(const struct virtio_chain *c, uint64_t off, void *dst, size_t len)
{
	return copy(c->iov, c->readable, off, dst, len, false);
}

size_t virtio_chain_write(const struct virtio_chain *c, uint64_t off, const void *src, size_t len)
{
	return copy(c->iov + c->readable, c->writable, off, (uint8_t *)src, len, true);
}

void virtio_chain_skip(struct virtio_chain *c, uint64_t n)
{
	c->read_len -= n;
	while (n && c->readable) {
		struct iovec *v = c->iov;

		if (n < v->iov_len) {
			v->iov_base = (uint8_t *)v->iov_base + n;
			v->iov_len -= (size_t)n;
			return;
		}
		n -= v->iov_len;
		c->iov++;
		c->max--;
		c->readable--;
	}
}

uint8_t *virtio_chain_byte(const struct virtio_chain *c, uint64_t off)
{
	for (unsigned i = c->readable; i < c->readable + c->writable; i++) {
		if (off < c->iov[i].iov_len)
			return (uint8_t *)c->iov[i].iov_base + off;
		off -= c->iov[i].iov_len;
	}
	return NULL;
}
