/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to requests. A write that touches clusters whose past is not kept yet waits. One batch of such clusters at a time is
 * read from the volume, written to the store as a group, on the medium before done; then what waited for them goes on.
 */
#include "hv/block/snapshot.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "hv/block/file.h"
#include "hv/block/snapshot_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

enum phase { IDLE, READING, WRITING, MARKING };

struct snapshot {
	struct block b;
	struct loop *loop;
	struct snap_store *store;	/* NULL: requests are only passed on */
	struct block_req *waiting, **waiting_end;	/* priv[0]: clusters before it need nothing any more */
	bool closed;			/* what comes is held: the volume is to be still, however busy the guest is */
	struct block_req *held, **held_end;
	enum phase phase;
	bool running;
	unsigned pending;
	int result;
	struct snap_group group;	/* the batch */
	uint8_t *index, *data;		/* SNAP_BLOCK, then SNAP_BATCH clusters */
	struct block_req req[SNAP_BATCH];
	struct iovec iov[SNAP_BATCH + 1];
};

static void run(struct snapshot *s);

static bool keeping(const struct snapshot *s)
{
	return s->store && s->store->st.state == SNAP_KEEPING;
}

/* ---- requests that wait */

static uint64_t last_cluster(const struct block_req *req)
{
	return (req->off + req->len - 1) / SNAP_CLUSTER;
}

/* True when nothing is left to keep of what req overwrites. */
static bool advance(const struct snapshot *s, struct block_req *req)
{
	uint64_t last = last_cluster(req);

	if (!keeping(s))
		return true;
	while (req->priv[0] <= last && snap_is_kept(s->store, req->priv[0]))
		req->priv[0]++;
	return req->priv[0] > last;
}

/* Hand on, or end with result, the requests that need not wait any more. */
static void release(struct snapshot *s, int result)
{
	struct block_req **at = &s->waiting, *ready = NULL, **ready_end = &ready;

	while (*at) {
		struct block_req *req = *at;

		if (!result && !advance(s, req)) {
			at = &req->next;
			continue;
		}
		*at = req->next;
		req->next = NULL;
		*ready_end = req;
		ready_end = &req->next;
	}
	s->waiting_end = at;
	while (ready) {
		struct block_req *req = ready;

		ready = req->next;
		if (result)
			req->done(req, result);
		else
			block_submit(s->b.lower, req);
	}
}

static void submit(struct block *b, struct block_req *req)
{
	struct snapshot *s = container_of(b, struct snapshot, b);

	if (s->closed) {
		req->next = NULL;
		*s->held_end = req;
		s->held_end = &req->next;
		return;
	}
	if (!s->store || req->op == BLOCK_READ || req->op == BLOCK_FLUSH) {
		block_submit(b->lower, req);
		return;
	}
	req->priv[0] = req->off / SNAP_CLUSTER;
	if (advance(s, req)) {
		block_submit(b->lower, req);
		return;
	}
	req->next = NULL;
	*s->waiting_end = req;
	s->waiting_end = &req->next;
	run(s);
}

static void close_gate(struct snapshot *s)
{
	s->closed = true;
	s->held = NULL;
	s->held_end = &s->held;
}

static void open_gate(struct snapshot *s)
{
	struct block_req *req = s->held;

	s->closed = false;
	while (req) {
		struct block_req *next = req->next;

		submit(&s->b, req);
		req = next;
	}
}

/* ---- a batch */

static bool in_batch(const struct snapshot *s, uint64_t cluster)
{
	for (unsigned i = 0; i < s->group.count; i++)
		if (s->group.entry[i].cluster == cluster)
			return true;
	return false;
}

static void collect(struct snapshot *s)
{
	s->group.count = 0;
	s->group.seq = s->store->groups;
	for (struct block_req *req = s->waiting; req && s->group.count < SNAP_BATCH; req = req->next)
		for (uint64_t c = req->priv[0], last = last_cluster(req); c <= last && s->group.count < SNAP_BATCH; c++)
			if (!snap_is_kept(s->store, c) && !in_batch(s, c))
				s->group.entry[s->group.count++].cluster = c;
}

static void on_done(struct block_req *req, int result)
{
	struct snapshot *s = req->ctx;

	if (result && !s->result)
		s->result = result;
	if (!--s->pending)
		run(s);
}

static void send(struct snapshot *s, struct block *to, struct block_req *req, const struct block_req *what)
{
	*req = *what;
	req->done = on_done;
	req->ctx = s;
	s->pending++;
	block_submit(to, req);
}

static void read_batch(struct snapshot *s)
{
	s->phase = READING;
	s->result = 0;
	s->pending = 1;		/* ours, until all are sent */
	for (unsigned i = 0; i < s->group.count; i++) {
		uint64_t c = s->group.entry[i].cluster;
		size_t len = snap_cluster_len(&s->store->h, c);

		memset(s->data + i * SNAP_CLUSTER + len, 0, SNAP_CLUSTER - len);
		s->iov[i] = (struct iovec){ s->data + i * SNAP_CLUSTER, len };
		send(s, s->b.lower, &s->req[i], &(struct block_req){ .op = BLOCK_READ, .off = c * SNAP_CLUSTER, .len = len,
			.iov = &s->iov[i], .iov_count = 1 });
	}
	s->pending--;
}

static bool is_zero(const uint8_t *data)
{
	return !data[0] && !memcmp(data, data + 1, SNAP_CLUSTER - 1);
}

static void write_batch(struct snapshot *s)
{
	unsigned n = 0;

	s->phase = WRITING;
	s->iov[n++] = (struct iovec){ s->index, SNAP_BLOCK };
	for (unsigned i = 0; i < s->group.count; i++) {
		struct snap_entry *e = &s->group.entry[i];
		uint8_t *data = s->data + i * SNAP_CLUSTER;

		e->zero = is_zero(data);
		e->sum = e->zero ? 0 : snap_sum(data, SNAP_CLUSTER);
		if (!e->zero)
			s->iov[n++] = (struct iovec){ data, SNAP_CLUSTER };
	}
	snap_encode_group(&s->store->h, &s->group, s->index);
	send(s, s->store->file, &s->req[0], &(struct block_req){ .op = BLOCK_WRITE, .fua = true, .off = s->store->end,
		.len = snap_group_len(&s->group), .iov = s->iov, .iov_count = n });
}

static void end_batch(struct snapshot *s)
{
	struct snap_store *st = s->store;

	for (unsigned i = 0; i < s->group.count; i++)
		st->kept[s->group.entry[i].cluster / 8] |= (uint8_t)(1 << s->group.entry[i].cluster % 8);
	st->kept_count += s->group.count;
	st->end += snap_group_len(&s->group);
	st->groups++;
	s->phase = IDLE;
	release(s, 0);
}

/* ---- a store that fails */

static void mark_broken(struct snapshot *s)
{
	struct snap_store *st = s->store;
	uint64_t off;

	log_error("snapshot %s cannot be kept on: %s: %s; it is given up, the server goes on", st->path ? st->path : "",
		s->phase == READING ? "reading the volume" : "writing the store", strerror(-s->result));
	st->st.reason = s->result;
	st->st.state = SNAP_BROKEN;
	st->st.groups = st->groups;
	off = snap_store_next_status(st, s->index);
	st->st.state = SNAP_KEEPING;	/* until the mark is on the medium */
	s->phase = MARKING;
	s->result = 0;
	s->iov[0] = (struct iovec){ s->index, SNAP_BLOCK };
	send(s, st->file, &s->req[0], &(struct block_req){ .op = BLOCK_WRITE, .fua = true, .off = off, .len = SNAP_BLOCK,
		.iov = s->iov, .iov_count = 1 });
}

/* The present must not go on over a past that nothing says is lost. */
static void end_mark(struct snapshot *s)
{
	struct snap_store *st = s->store;
	int result = s->result;

	s->phase = IDLE;
	if (result && st->path && !snap_store_delete(st->path)) {
		log_error("snapshot %s: cannot be marked broken (%s), so it was deleted", st->path, strerror(-result));
		result = 0;
	}
	if (!result) {
		st->st.state = SNAP_BROKEN;
	} else {
		log_limited(LOG_ERROR, "snapshot %s: can neither be marked broken nor deleted: %s; writes fail until it can",
			st->path ? st->path : "", strerror(-result));
	}
	release(s, result);
}

/* ---- phases */

/* True when another phase begins or ended. */
static bool step(struct snapshot *s)
{
	if (s->pending)
		return false;
	if (s->phase != IDLE && s->result && s->phase != MARKING) {
		mark_broken(s);
		return true;
	}
	switch (s->phase) {
	case IDLE:
		if (!s->waiting)
			return false;
		collect(s);
		if (s->group.count)
			read_batch(s);
		else
			release(s, 0);
		return true;
	case READING:
		write_batch(s);
		return true;
	case WRITING:
		end_batch(s);
		return true;
	case MARKING:
		end_mark(s);
		return true;
	}
	return false;
}

/* Layers may complete inside submit: the outermost call goes on, so that the stack stays flat. */
static void run(struct snapshot *s)
{
	if (s->running)
		return;
	s->running = true;
	while (step(s))
		;
	s->running = false;
}

static void drain(struct block *b)
{
	struct snapshot *s = container_of(b, struct snapshot, b);

	do {
		block_drain(b->lower);
		if (s->store)
			block_drain(s->store->file);
	} while (s->phase != IDLE || s->waiting);
	block_drain(b->lower);
}

/* ---- open and drop */

static void close_store(struct snapshot *s)
{
	free(s->index);
	s->index = s->data = NULL;
	snap_store_free(s->store);
	s->store = NULL;
}

/* Lets the next start know how many groups must be there; without it only the check is weaker. */
static void note_groups(struct snapshot *s)
{
	struct err err = { 0 };

	if (!keeping(s) || s->store->st.groups == s->store->groups)
		return;
	s->store->st.groups = s->store->groups;
	if (snap_store_write_status(s->store, &err))
		log_warn("snapshot %s: %s", s->store->path ? s->store->path : "", err.text);
}

static int begin(struct snapshot *s, struct block *file, const char *path, struct err *err)
{
	int r;

	block_drain(s->b.lower);
	/* The past must not be more volatile than the present. */
	r = snap_run(s->b.lower, BLOCK_FLUSH, 0, NULL, 0, false);
	if (r) {
		block_free(file);
		return err_set(err, r, "the volume cannot be flushed: %s", strerror(-r));
	}
	return snap_store_create(file, path, s->b.lower, &s->store, err);
}

static int resume(struct snapshot *s, struct block *file, const char *path, struct err *err)
{
	int r = snap_store_open(file, path, &s->store, err);

	if (r)
		return r;
	r = snap_store_check_volume(s->store, s->b.lower, err);
	if (r)
		return r;
	if (s->store->st.state == SNAP_ROLLING_BACK)
		return err_set(err, -EINPROGRESS, "a roll-back of the volume has begun; finish it with `hull volume roll-back`");
	if (s->store->st.state == SNAP_BROKEN)
		log_warn("snapshot %s is broken (%s) and keeps nothing any more; drop it", path ? path : "",
			strerror(-s->store->st.reason));
	return 0;
}

int snap_open_on(struct block *b, struct block *file, const char *path, bool create, struct err *err)
{
	struct snapshot *s = container_of(b, struct snapshot, b);
	int r;

	s->index = aligned_alloc(SNAP_BLOCK, SNAP_BLOCK + (size_t)SNAP_BATCH * SNAP_CLUSTER);
	if (!s->index) {
		block_free(file);
		return err_set(err, -ENOMEM, "out of memory");
	}
	s->data = s->index + SNAP_BLOCK;
	close_gate(s);
	r = create ? begin(s, file, path, err) : resume(s, file, path, err);
	if (r)
		close_store(s);
	open_gate(s);
	return r;
}

/* What a drop has left is no snapshot: one can be made in its place, and a start goes on without. */
static int open_file(struct snapshot *s, struct block *file, const char *path, bool create, struct err *err)
{
	int r = snap_open_on(&s->b, file, path, create, err);

	if (!r && s->store->st.state == SNAP_DROPPED) {
		log_warn("snapshot %s was dropped: take it out of the placement, then delete the file; going on without", path);
		close_store(s);
	}
	return r;
}

int block_snapshot_open(struct block *b, const char *path, bool create, struct err *err)
{
	struct snapshot *s = container_of(b, struct snapshot, b);
	struct block *file;
	int r = 0;

	if (s->store)
		return err_set(err, -EBUSY, "the volume has a snapshot already: %s", s->store->path ? s->store->path : "");
	if (b->lower->readonly)
		return err_set(err, -EROFS, "the volume is read-only: there is nothing to keep");
	if (create && snap_store_is_mark(path))
		r = snap_store_delete(path);
	if (create && !r)
		r = snap_store_create_file(path, b->size, err);
	if (r)
		return err_prefix(err, "snapshot %s", path);
	r = block_file_open(path, false, s->loop, &file, err);
	r = r ? r : open_file(s, file, path, create, err);
	if (r && create)
		unlink(path);
	return r ? err_prefix(err, "snapshot %s", path) : 0;
}

bool block_snapshot_info(const struct block *b, struct block_snapshot_info *info)
{
	const struct snap_store *st = container_of(b, struct snapshot, b)->store;

	if (!st)
		return false;
	*info = (struct block_snapshot_info){ .created_s = st->h.created_s, .cluster = SNAP_CLUSTER, .clusters = snap_clusters(&st->h),
		.kept = st->kept_count, .used = st->end, .broken = st->st.state == SNAP_BROKEN ? st->st.reason : 0, .store = st->path };
	return true;
}

/* False: it must be deleted then. */
static bool leave_mark(struct snap_store *st)
{
	struct err err = { 0 };

	st->st.state = SNAP_DROPPED;
	st->st.groups = st->st.rolled = 0;
	st->st.reason = 0;
	if (snap_store_write_status(st, &err)) {
		log_warn("snapshot %s: %s; it is deleted, and the next start would miss it", st->path, err.text);
		return false;
	}
	/* Only room is lost when this fails: it counts as dropped already. */
	if (truncate(st->path, SNAP_GROUPS_OFF))
		log_warn("snapshot %s: was dropped, but keeps its size: %s", st->path, strerror(errno));
	return true;
}

int block_snapshot_drop(struct block *b, bool mark, struct err *err)
{
	struct snapshot *s = container_of(b, struct snapshot, b);
	int r = 0;

	if (!s->store)
		return err_set(err, -ENOENT, "the volume has no snapshot");
	close_gate(s);
	block_drain(b);
	if (s->store->path && !(mark && leave_mark(s->store)))
		r = snap_store_delete(s->store->path);
	if (r)
		err_set(err, r, "snapshot %s cannot be deleted: %s", s->store->path, strerror(-r));
	else
		close_store(s);
	open_gate(s);
	return r;
}

static void free_snapshot(struct block *b)
{
	struct snapshot *s = container_of(b, struct snapshot, b);

	if (s->store)
		note_groups(s);
	close_store(s);
	block_free(b->lower);
	free(s);
}

int block_snapshot_create(struct block *lower, struct loop *loop, struct block **b)
{
	static const struct block_ops ops = { .name = "snapshot", .submit = submit, .drain = drain, .free = free_snapshot };
	struct snapshot *s = calloc(1, sizeof *s);

	if (!s)
		return -ENOMEM;
	s->b = (struct block){ .ops = &ops, .size = lower->size, .logical = lower->logical, .physical = lower->physical,
		.readonly = lower->readonly, .can_discard = lower->can_discard, .lower = lower };
	s->loop = loop;
	s->waiting_end = &s->waiting;
	*b = &s->b;
	return 0;
}
