/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "hv/block/file.h"
#include "hv/block/snapshot_priv.h"
#include "lib/scope.h"

/* LUKS 1 and 2 agree on these; a header's content else is none of our business. */
enum { LUKS_UUID_OFF = 168 };
#define LUKS_HEADER_MAX (16ull << 20)
static const uint8_t luks_magic[6] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };

/* ---- one request, waited for */

struct wait { struct block_req req; struct iovec iov; bool ended; int result; };

static void on_done(struct block_req *req, int result)
{
	struct wait *w = req->ctx;

	w->ended = true;
	w->result = result;
}

int snap_run(struct block *b, enum block_op op, uint64_t off, void *data, size_t len, bool fua)
{
	struct wait w = { .iov = { data, len } };

	w.req = (struct block_req){ .op = op, .fua = fua, .off = off, .len = len, .done = on_done, .ctx = &w };
	if (data) {
		w.req.iov = &w.iov;
		w.req.iov_count = 1;
	}
	block_submit(b, &w.req);
	while (!w.ended)
		block_drain(b);
	return w.result;
}

static int read_block(struct snap_store *s, uint64_t off, uint8_t block[SNAP_BLOCK], struct err *err)
{
	int r = snap_run(s->file, BLOCK_READ, off, block, SNAP_BLOCK, false);

	return r ? err_set(err, r, "the store cannot be read at byte %" PRIu64 ": %s", off, strerror(-r)) : 0;
}

/* ---- status */

uint64_t snap_store_next_status(struct snap_store *s, uint8_t block[SNAP_BLOCK])
{
	s->st.seq++;
	snap_encode_status(&s->h, &s->st, block);
	return SNAP_STATUS_OFF + s->st.seq % 2 * SNAP_BLOCK;
}

int snap_store_write_status(struct snap_store *s, struct err *err)
{
	uint8_t block[SNAP_BLOCK];
	uint64_t off = snap_store_next_status(s, block);
	int r = snap_run(s->file, BLOCK_WRITE, off, block, sizeof block, true);

	return r ? err_set(err, r, "the store's status cannot be written: %s", strerror(-r)) : 0;
}

static int read_status(struct snap_store *s, struct err *err)
{
	struct snap_status copy[2];
	bool good[2];

	for (unsigned i = 0; i < 2; i++) {
		uint8_t block[SNAP_BLOCK];
		int r = read_block(s, SNAP_STATUS_OFF + i * SNAP_BLOCK, block, err);

		if (r)
			return r;
		good[i] = snap_decode_status(&s->h, block, &copy[i]);
	}
	if (!good[0] && !good[1])
		return err_set(err, -EINVAL, "the store is damaged: both copies of its status are bad");
	s->st = copy[good[1] && (!good[0] || copy[1].seq > copy[0].seq)];
	return 0;
}

/* ---- the groups */

/* The group at off; *there is false past the last one. */
static int read_group(struct snap_store *s, uint64_t seq, uint64_t off, struct snap_group *g, bool *there, struct err *err)
{
	uint8_t block[SNAP_BLOCK];
	int r;

	*there = false;
	if (off > s->file->size || s->file->size - off < SNAP_BLOCK)
		return 0;
	r = read_block(s, off, block, err);
	if (r || !snap_decode_group(&s->h, seq, block, g))
		return r;
	*there = snap_group_len(g) <= s->file->size - off;
	return 0;
}

/* True when all the group's clusters are in the store as they were. */
static int check_data(struct snap_store *s, const struct snap_group *g, uint64_t off, bool *good, struct err *err)
{
	auto_free uint8_t *data = malloc(SNAP_CLUSTER);

	if (!data)
		return err_set(err, -ENOMEM, "out of memory");
	*good = true;
	for (unsigned i = 0; i < g->count && *good; i++) {
		int r;

		if (g->entry[i].zero)
			continue;
		r = snap_run(s->file, BLOCK_READ, off, data, SNAP_CLUSTER, false);
		if (r)
			return err_set(err, r, "the store cannot be read at byte %" PRIu64 ": %s", off, strerror(-r));
		*good = snap_sum(data, SNAP_CLUSTER) == g->entry[i].sum;
		off += SNAP_CLUSTER;
	}
	return 0;
}

static void place_probes(struct snap_store *s, const struct snap_entry *e, uint64_t data)
{
	for (unsigned i = 0; i < s->h.probe_count; i++) {
		struct snap_probe *p = &s->h.probe[i];

		if (p->off / SNAP_CLUSTER == e->cluster)
			p->at = e->zero ? 1 : data + p->off % SNAP_CLUSTER;
	}
}

static int add_group(struct snap_store *s, const struct snap_group *g, struct err *err)
{
	uint64_t data = s->end + SNAP_BLOCK;

	for (unsigned i = 0; i < g->count; i++) {
		const struct snap_entry *e = &g->entry[i];

		if (snap_is_kept(s, e->cluster))
			return err_set(err, -EINVAL, "the store is damaged: cluster %" PRIu64 " is there twice", e->cluster);
		s->kept[e->cluster / 8] |= (uint8_t)(1 << e->cluster % 8);
		s->kept_count++;
		place_probes(s, e, data);
		data += e->zero ? 0 : SNAP_CLUSTER;
	}
	s->groups++;
	s->end += snap_group_len(g);
	return 0;
}

/*
 * A group is followed by another only after it was on the medium, so only the last one can be torn. It is then as if
 * it had never been: its clusters were not overwritten.
 */
static int find_groups(struct snap_store *s, struct err *err)
{
	bool there, next_there, good = true;
	struct snap_group g, next;
	int r = read_group(s, 0, s->end, &g, &there, err);

	while (!r && there) {
		r = read_group(s, g.seq + 1, s->end + snap_group_len(&g), &next, &next_there, err);
		if (!r && !next_there)
			r = check_data(s, &g, s->end + SNAP_BLOCK, &good, err);
		if (r || !good)
			break;
		r = add_group(s, &g, err);
		g = next;
		there = next_there;
	}
	if (!r && s->groups < s->st.groups)
		r = err_set(err, -EINVAL, "the store is damaged: group %" PRIu64 " of %" PRIu64 " is bad", s->groups, s->st.groups);
	return r;
}

int snap_store_walk(struct snap_store *s, snap_group_fn *fn, void *ctx, struct err *err)
{
	uint64_t off = SNAP_GROUPS_OFF;
	int r = 0;

	for (uint64_t seq = 0; seq < s->groups && !r; seq++) {
		struct snap_group g;
		bool there;

		r = read_group(s, seq, off, &g, &there, err);
		if (!r && !there)
			r = err_set(err, -EINVAL, "the store is damaged: group %" PRIu64 " of %" PRIu64 " is bad", seq, s->groups);
		r = r ? r : fn(ctx, &g, off + SNAP_BLOCK, err);
		off += r ? 0 : snap_group_len(&g);
	}
	return r;
}

/* ---- whose snapshot it is */

/* Spread over the volume, but for where key slots may change behind our back. */
static void choose_probes(struct snap_header *h)
{
	uint64_t from = 0, blocks;

	if (h->uuid[0])
		from = h->size / 2 > LUKS_HEADER_MAX ? h->size / 2 / SNAP_BLOCK * SNAP_BLOCK : LUKS_HEADER_MAX;
	blocks = from < h->size ? (h->size - from) / SNAP_BLOCK : 0;
	h->probe_count = blocks < SNAP_PROBES ? (unsigned)blocks : SNAP_PROBES;
	for (unsigned i = 0; i < h->probe_count; i++)
		h->probe[i].off = from + blocks * i / h->probe_count * SNAP_BLOCK;
}

static int read_identity(struct block *volume, char uuid[SNAP_UUID + 1], struct err *err)
{
	uint8_t block[SNAP_BLOCK];
	int r;

	memset(uuid, 0, SNAP_UUID + 1);
	if (volume->size < sizeof block)
		return 0;
	r = snap_run(volume, BLOCK_READ, 0, block, sizeof block, false);
	if (r)
		return err_set(err, r, "the volume cannot be read at its beginning: %s", strerror(-r));
	if (!memcmp(block, luks_magic, sizeof luks_magic))
		memcpy(uuid, block + LUKS_UUID_OFF, SNAP_UUID);
	return 0;
}

static int probe_sum(struct block *from, uint64_t off, uint64_t *sum, struct err *err)
{
	uint8_t block[SNAP_BLOCK];
	int r = snap_run(from, BLOCK_READ, off, block, sizeof block, false);

	if (r)
		return err_set(err, r, "byte %" PRIu64 " cannot be read: %s", off, strerror(-r));
	*sum = snap_sum(block, sizeof block);
	return 0;
}

int snap_store_check_volume(struct snap_store *s, struct block *volume, struct err *err)
{
	static const uint8_t zeroes[SNAP_BLOCK];
	char uuid[SNAP_UUID + 1];
	int r;

	if (volume->size != s->h.size)
		return err_set(err, -EINVAL, "the store is another volume's: of %" PRIu64 " bytes, this one has %" PRIu64, s->h.size,
			volume->size);
	/* The beginning may itself be in the store, then the past is what a roll-back makes of it. */
	r = s->h.uuid[0] ? read_identity(volume, uuid, err) : 0;
	if (r)
		return r;
	if (s->h.uuid[0] && strcmp(uuid, s->h.uuid))
		return err_set(err, -EINVAL, "the store is another volume's: of LUKS volume %.40s, this one is %.40s", s->h.uuid,
			uuid[0] ? uuid : "none");
	/* These do not follow the volume any more. */
	if (s->st.state == SNAP_BROKEN || s->st.state == SNAP_DROPPED)
		return 0;
	for (unsigned i = 0; i < s->h.probe_count; i++) {
		const struct snap_probe *p = &s->h.probe[i];
		uint64_t sum = snap_sum(zeroes, sizeof zeroes);

		if (p->at != 1)
			r = p->at ? probe_sum(s->file, p->at, &sum, err) : probe_sum(volume, p->off, &sum, err);
		if (r)
			return r;
		if (sum != p->sum)
			return err_set(err, -EINVAL, "the store is another volume's, or the volume was changed without it: byte %" PRIu64
				" is not as it was; delete the store if the snapshot is not needed", p->off);
	}
	return 0;
}

/* ---- create, open, delete */

static struct snap_store *new_store(struct block *file, const char *path)
{
	struct snap_store *s = calloc(1, sizeof *s);

	if (!s || (path && !(s->path = strdup(path)))) {
		free(s);
		block_free(file);
		return NULL;
	}
	s->file = file;
	s->end = SNAP_GROUPS_OFF;
	return s;
}

static int alloc_map(struct snap_store *s, struct err *err)
{
	s->kept = calloc(1, snap_clusters(&s->h) / 8 + 1);
	return s->kept ? 0 : err_set(err, -ENOMEM, "out of memory for the snapshot's map");
}

static int write_first(struct snap_store *s, struct block *volume, struct err *err)
{
	uint8_t block[SNAP_BLOCK];
	int r = read_identity(volume, s->h.uuid, err);

	choose_probes(&s->h);
	for (unsigned i = 0; i < s->h.probe_count && !r; i++)
		r = probe_sum(volume, s->h.probe[i].off, &s->h.probe[i].sum, err);
	r = r ? r : alloc_map(s, err);
	/* Both copies of the status, then the header: what was cut short is no store. */
	for (unsigned i = 0; i < 2 && !r; i++)
		r = snap_store_write_status(s, err);
	if (r)
		return r;
	snap_encode_header(&s->h, block);
	r = snap_run(s->file, BLOCK_WRITE, 0, block, sizeof block, true);
	r = r ? r : snap_run(s->file, BLOCK_FLUSH, 0, NULL, 0, false);
	return r ? err_set(err, r, "the store cannot be written: %s", strerror(-r)) : 0;
}

int snap_store_create(struct block *file, const char *path, struct block *volume, struct snap_store **out, struct err *err)
{
	struct snap_store *s = new_store(file, path);
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->h.size = volume->size;
	s->h.created_s = (uint64_t)time(NULL);
	s->st.state = SNAP_KEEPING;
	if (s->h.size > SNAP_SIZE_LARGEST)
		r = err_set(err, -EFBIG, "volumes of more than 256 TiB cannot have a snapshot");
	else if (getrandom(s->h.id, sizeof s->h.id, 0) != sizeof s->h.id)
		r = err_set(err, -EIO, "the kernel gives no random bytes");
	else
		r = write_first(s, volume, err);
	if (r)
		snap_store_free(s);
	else
		*out = s;
	return r;
}

static int read_all(struct snap_store *s, struct err *err)
{
	uint8_t block[SNAP_BLOCK];
	int r;

	if (s->file->size < SNAP_GROUPS_OFF)
		return err_set(err, -EINVAL, "this is no snapshot store: it is too short");
	r = read_block(s, 0, block, err);
	r = r ? r : snap_decode_header(block, &s->h, err);
	r = r ? r : read_status(s, err);
	r = r ? r : alloc_map(s, err);
	if (!r && s->st.state == SNAP_DROPPED)
		return 0;
	r = r ? r : find_groups(s, err);
	/* What a killed process wrote may be in the page cache only, and counts as kept from here on. */
	if (!r && !s->file->readonly)
		r = snap_run(s->file, BLOCK_FLUSH, 0, NULL, 0, false);
	return r && !(err && err->code) ? err_set(err, r, "the store cannot be written: %s", strerror(-r)) : r;
}

int snap_store_open(struct block *file, const char *path, struct snap_store **out, struct err *err)
{
	struct snap_store *s = new_store(file, path);
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	r = read_all(s, err);
	if (r)
		snap_store_free(s);
	else
		*out = s;
	return r;
}

static int sync_folder_of(const char *path)
{
	auto_free char *copy = strdup(path);
	auto_close int fd = -1;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? -errno : 0;
}

int snap_store_create_file(const char *path, uint64_t volume_size, struct err *err)
{
	uint64_t clusters = volume_size / SNAP_CLUSTER + 1;
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = 0;

	if (fd < 0)
		return err_set(err, -errno, "%s", errno == EEXIST ? "it exists already; drop it or name another" : strerror(errno));
	/* Sparse: room for every cluster in a group of its own. */
	if (ftruncate(fd, (off_t)(SNAP_GROUPS_OFF + clusters * (SNAP_BLOCK + SNAP_CLUSTER))))
		r = err_set(err, -errno, "a sparse file for the volume's size cannot be made: %s", strerror(errno));
	else if (sync_folder_of(path))
		r = err_set(err, -EIO, "its folder cannot be flushed");
	if (r)
		unlink(path);
	return r;
}

int snap_store_delete(const char *path)
{
	if (unlink(path) && errno != ENOENT)
		return -errno;
	return sync_folder_of(path);
}

bool snap_store_is_mark(const char *path)
{
	struct snap_store *s = NULL;
	struct err err = { 0 };
	struct block *file;
	bool mark = false;

	if (block_file_open(path, true, NULL, &file, &err))
		return false;
	if (file->size != SNAP_GROUPS_OFF) {
		block_free(file);
		return false;
	}
	if (!snap_store_open(file, path, &s, &err))
		mark = s->st.state == SNAP_DROPPED;
	snap_store_free(s);
	return mark;
}

void snap_store_free(struct snap_store *s)
{
	if (!s)
		return;
	block_free(s->file);
	free(s->kept);
	free(s->path);
	free(s);
}
