/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/block/snapshot.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hv/block/file.h"
#include "hv/block/snapshot_priv.h"
#include "lib/scope.h"
#include "tests/unit/hv/block/fault.h"
#include "tests/unit/suite.h"

/* Two volumes' worth of clusters, the last one short. */
enum { CLUSTERS = 40, SIZE = CLUSTERS * SNAP_CLUSTER + 1536,
	STORE = SNAP_GROUPS_OFF + (CLUSTERS + 1) * (SNAP_CLUSTER + SNAP_BLOCK) };

struct io { struct block_req req; struct iovec iov; int result; unsigned calls; };

static void done(struct block_req *req, int r)
{
	struct io *io = req->ctx;

	io->result = r;
	io->calls++;
}

static void submit(struct block *b, struct io *io, enum block_op op, uint64_t off, void *data, size_t len)
{
	io->iov = (struct iovec){ data, len };
	io->req = (struct block_req){ .op = op, .off = off, .len = len, .done = done, .ctx = io };
	if (op == BLOCK_READ || op == BLOCK_WRITE) {
		io->req.iov = &io->iov;
		io->req.iov_count = 1;
	}
	io->result = 1;
	io->calls = 0;
	block_submit(b, &io->req);
}

/* A snapshot layer on a volume in memory, its store in memory too. */
struct rig { struct fault *volume, *store; struct block *b; uint8_t *past; };

static void fill(uint8_t *data, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
}

static struct rig make_rig(void)
{
	struct rig r = { .volume = fault_create(SIZE), .store = fault_create(STORE), .past = malloc(SIZE) };
	struct err err = { 0 };

	fill(r.volume->data, SIZE, 1);
	memcpy(r.past, r.volume->data, SIZE);
	CU_ASSERT_FATAL(!block_snapshot_create(&r.volume->b, NULL, &r.b));
	if (snap_open_on(r.b, &r.store->b, NULL, true, &err))
		suite_note("%s", err.text);
	return r;
}

/* The store on its own, as the next start would find it. The rig's layers are gone then, its volume in *volume. */
static struct snap_store *reopen(struct rig *r, struct fault **volume, int expect)
{
	struct fault *store = fault_create(STORE);
	struct snap_store *s = NULL;
	struct err err = { 0 };

	*volume = fault_create(SIZE);
	block_drain(r->b);
	memcpy((*volume)->data, r->volume->data, SIZE);
	memcpy(store->data, r->store->data, STORE);
	block_free(r->b);
	check_eq(snap_store_open(&store->b, NULL, &s, &err), expect);
	if (err.code != expect)
		suite_note("%s", err.text);
	return s;
}

static void check_past(struct rig *r)
{
	struct fault *volume;
	struct snap_store *s = reopen(r, &volume, 0);
	struct err err = { 0 };

	if (s) {
		check_eq(snap_roll_back_on(&volume->b, s, NULL, NULL, &err), 0);
		if (err.code)
			suite_note("%s", err.text);
	}
	check(!memcmp(volume->data, r->past, SIZE));
	snap_store_free(s);
	block_free(&volume->b);
	free(r->past);
}

static int run_op(struct block *b, enum block_op op, uint64_t off, void *data, size_t len)
{
	struct io io = { .calls = 0 };

	submit(b, &io, op, off, data, len);
	block_drain(b);
	check_eq(io.calls, 1);
	return io.result;
}

static uint8_t ones[SNAP_CLUSTER * 4];

static void passes_on_without_a_store(void)
{
	struct fault *f = fault_create(SIZE);
	struct block_snapshot_info info;
	struct block *b;
	struct err err = { 0 };

	check_or_return(!block_snapshot_create(&f->b, NULL, &b));
	check(!block_snapshot_info(b, &info));
	check_eq(run_op(b, BLOCK_WRITE, 512, ones, 512), 0);
	check_eq(f->submits, 1);
	check_eq(block_snapshot_drop(b, false, &err), -ENOENT);
	block_free(b);
}

static void a_write_waits_until_the_past_is_on_the_medium(void)
{
	struct rig r = make_rig();
	struct io w = { .calls = 0 }, rd = { .calls = 0 }, other = { .calls = 0 };
	struct block_snapshot_info info;
	uint8_t in[512];
	unsigned writes = r.volume->count[BLOCK_WRITE], fua = r.store->fua;

	r.store->hold = true;
	submit(r.b, &w, BLOCK_WRITE, 3 * SNAP_CLUSTER + 512, ones, 512);
	check_eq(w.calls, 0);
	check_eq(r.volume->count[BLOCK_WRITE], writes);
	check_eq(r.store->held_count, 1);
	check_eq(r.store->fua, fua + 1);
	/* reads go on, and see the present */
	submit(r.b, &rd, BLOCK_READ, 3 * SNAP_CLUSTER + 512, in, 512);
	check_eq(rd.calls, 1);
	check(!memcmp(in, r.past + 3 * SNAP_CLUSTER + 512, 512));
	submit(r.b, &other, BLOCK_WRITE, 3 * SNAP_CLUSTER + 1024, ones, 512);
	check_eq(other.calls, 0);
	fault_release(r.store, 0);
	check_eq(w.calls, 1);
	check_eq(other.calls, 1);
	check_eq(r.store->held_count, 0);
	/* a kept cluster is written to without ado */
	submit(r.b, &w, BLOCK_WRITE, 3 * SNAP_CLUSTER + 2048, ones, 512);
	check_eq(w.calls, 1);
	check(block_snapshot_info(r.b, &info));
	check_eq(info.kept, 1);
	check_eq(info.clusters, CLUSTERS + 1);
	r.store->hold = false;
	check_past(&r);
}

static void many_writes_are_kept_by_one_group(void)
{
	struct rig r = make_rig();
	struct io io[CLUSTERS];
	unsigned before = r.store->count[BLOCK_WRITE];

	r.store->hold = true;
	for (unsigned i = 0; i < CLUSTERS; i++)
		submit(r.b, &io[i], BLOCK_WRITE, i * SNAP_CLUSTER, ones, 512);
	/* the first alone, then all that came meanwhile, a batch at a time */
	check_eq(r.store->held_count, 1);
	fault_release(r.store, 0);
	check_eq(io[0].calls, 1);
	check_eq(r.store->held_count, 1);
	check_eq(r.store->last_len, SNAP_BLOCK + SNAP_BATCH * SNAP_CLUSTER);
	fault_release(r.store, 0);
	fault_release(r.store, 0);
	for (unsigned i = 0; i < CLUSTERS; i++)
		check_eq(io[i].calls, 1);
	check_eq(r.store->count[BLOCK_WRITE] - before, 3);
	r.store->hold = false;
	check_past(&r);
}

static void long_requests_and_the_short_last_cluster(void)
{
	struct rig r = make_rig();

	check_eq(run_op(r.b, BLOCK_WRITE_ZEROES, 512, NULL, SIZE - 512), 0);
	check_eq(run_op(r.b, BLOCK_DISCARD, 0, NULL, SIZE), 0);
	check_eq(run_op(r.b, BLOCK_WRITE, SIZE - 512, ones, 512), 0);
	check_past(&r);
}

static void zeroes_take_no_room(void)
{
	struct rig r = make_rig();
	struct block_snapshot_info info;
	uint64_t before;

	check(block_snapshot_info(r.b, &info));
	before = info.used;
	memset(r.volume->data + 4 * SNAP_CLUSTER, 0, 4 * SNAP_CLUSTER);
	memset(r.past + 4 * SNAP_CLUSTER, 0, 4 * SNAP_CLUSTER);
	check_eq(run_op(r.b, BLOCK_WRITE, 4 * SNAP_CLUSTER, ones, 4 * SNAP_CLUSTER), 0);
	check(block_snapshot_info(r.b, &info));
	check_eq(info.kept, 4);
	check_eq(info.used - before, SNAP_BLOCK);
	block_free(r.b);
	free(r.past);
}

/* The server outlives its snapshot, and nobody can take the rest for a snapshot. */
static void a_full_store_breaks_the_snapshot(void)
{
	struct rig r = make_rig();
	struct block_snapshot_info info;
	struct fault *volume;
	struct snap_store *s;
	struct err err = { 0 };

	check_eq(run_op(r.b, BLOCK_WRITE, 0, ones, 512), 0);
	r.store->fail_with = -ENOSPC;
	r.store->fail_once = true;
	check_eq(run_op(r.b, BLOCK_WRITE, 5 * SNAP_CLUSTER, ones, 512), 0);
	check(block_snapshot_info(r.b, &info));
	check_eq(info.broken, -ENOSPC);
	check_eq(run_op(r.b, BLOCK_WRITE, 0, ones, sizeof ones), 0);
	s = reopen(&r, &volume, 0);
	check_or_return(s != NULL);
	check_eq(s->st.state, SNAP_BROKEN);
	check_eq(s->st.reason, -ENOSPC);
	check_eq(snap_roll_back_on(&volume->b, s, NULL, NULL, &err), -ESTALE);
	snap_store_free(s);
	block_free(&volume->b);
	free(r.past);
}

static void writes_fail_when_nothing_can_say_the_past_is_lost(void)
{
	struct rig r = make_rig();
	struct block_snapshot_info info;

	r.store->fail_with = -EIO;
	check_eq(run_op(r.b, BLOCK_WRITE, 5 * SNAP_CLUSTER, ones, 512), -EIO);
	check(!memcmp(r.volume->data, r.past, SIZE));
	check_eq(run_op(r.b, BLOCK_READ, 5 * SNAP_CLUSTER, ones, 512), 0);
	r.store->fail_with = 0;
	check_eq(run_op(r.b, BLOCK_WRITE, 5 * SNAP_CLUSTER, ones, 512), 0);
	check(block_snapshot_info(r.b, &info));
	check_eq(info.broken, 0);
	check_eq(info.kept, 1);
	block_free(r.b);
	free(r.past);
}

static void an_unreadable_cluster_breaks_the_snapshot(void)
{
	struct rig r = make_rig();
	struct block_snapshot_info info;

	r.volume->fail_with = -EIO;
	r.volume->fail_once = true;
	check_eq(run_op(r.b, BLOCK_WRITE, 5 * SNAP_CLUSTER, ones, 512), 0);
	check(block_snapshot_info(r.b, &info));
	check_eq(info.broken, -EIO);
	block_free(r.b);
	free(r.past);
}

/* ---- stores that are not what they should be */

static void damage(const char *what, int expect, void (*hurt)(uint8_t *store), const char *text)
{
	struct rig r = make_rig();
	struct fault *store = fault_create(STORE), *volume = fault_create(SIZE);
	struct snap_store *s = NULL;
	struct err err = { 0 };
	int rc;

	check_eq(run_op(r.b, BLOCK_WRITE, 0, ones, 2 * SNAP_CLUSTER), 0);
	check_eq(run_op(r.b, BLOCK_WRITE, 7 * SNAP_CLUSTER, ones, 512), 0);
	memcpy(volume->data, r.volume->data, SIZE);
	memcpy(store->data, r.store->data, STORE);
	hurt(store->data);
	rc = snap_store_open(&store->b, NULL, &s, &err);
	if (!rc)
		rc = snap_roll_back_on(&volume->b, s, NULL, NULL, &err);
	if (rc != expect || (expect && !strstr(err.text, text)))
		suite_note("%s: %d %s", what, rc, err.text);
	check_eq(rc, expect);
	check(!expect || strstr(err.text, text));
	snap_store_free(s);
	block_free(&volume->b);
	block_free(r.b);
	free(r.past);
}

static void hurt_magic(uint8_t *d) { d[0] = 'X'; }
static void hurt_version(uint8_t *d) { d[24] = 2; snap_seal(d); }
static void hurt_header(uint8_t *d) { d[40] ^= 1; }
static void hurt_size(uint8_t *d) { d[32] = 1; snap_seal(d); }
static void hurt_one_status(uint8_t *d) { d[SNAP_STATUS_OFF + 60] ^= 1; }
static void hurt_both_status(uint8_t *d) { d[SNAP_STATUS_OFF] ^= 1; d[SNAP_STATUS_OFF + SNAP_BLOCK] ^= 1; }
static void hurt_first_data(uint8_t *d) { d[SNAP_GROUPS_OFF + SNAP_BLOCK + 77] ^= 1; }
static void hurt_last_data(uint8_t *d) { d[SNAP_GROUPS_OFF + 2 * SNAP_BLOCK + 2 * SNAP_CLUSTER + 77] ^= 1; }

/* Says how many groups there are at least, as a clean stop does. */
static void claim_groups(uint8_t *d, uint64_t groups)
{
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *st = d + SNAP_STATUS_OFF + i * SNAP_BLOCK;

		memcpy(st + 40, &groups, sizeof groups);
		snap_seal(st);
	}
}

static void hurt_noted_data(uint8_t *d) { claim_groups(d, 2); hurt_last_data(d); }

static void hurt_cluster(uint8_t *d)
{
	memset(d + SNAP_GROUPS_OFF + 40, 0xff, 8);
	snap_seal(d + SNAP_GROUPS_OFF);
	claim_groups(d, 2);
}

static void hurt_count(uint8_t *d) { d[SNAP_GROUPS_OFF + 32] = SNAP_BATCH + 1; snap_seal(d + SNAP_GROUPS_OFF); claim_groups(d, 2); }

static void hurt_twice(uint8_t *d)
{
	memcpy(d + SNAP_GROUPS_OFF + 40 + 24, d + SNAP_GROUPS_OFF + 40, 8);
	snap_seal(d + SNAP_GROUPS_OFF);
}

static void damaged_stores_are_refused(void)
{
	damage("magic", -EINVAL, hurt_magic, "no snapshot store");
	damage("version", -ENOTSUP, hurt_version, "version 2");
	damage("header", -EINVAL, hurt_header, "header is damaged");
	damage("size", -EINVAL, hurt_size, "makes no sense");
	damage("one status", 0, hurt_one_status, "");
	damage("both", -EINVAL, hurt_both_status, "both copies");
	damage("data of an early group", -EINVAL, hurt_first_data, "");
	damage("data of a group that was noted", -EINVAL, hurt_noted_data, "group 1 of 2");
	damage("cluster outside", -EINVAL, hurt_cluster, "group 0 of 2");
	damage("count", -EINVAL, hurt_count, "group 0 of 2");
	damage("twice", -EINVAL, hurt_twice, "is there twice");
}

/* ---- files */

static void put_file(const char *path, const void *data, size_t len)
{
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	CU_ASSERT_FATAL(fd >= 0 && pwrite(fd, data, len, 0) == (ssize_t)len);
}

static bool file_is(const char *path, const uint8_t *data, size_t len)
{
	auto_close int fd = open(path, O_RDONLY);
	auto_free uint8_t *have = malloc(len);

	return fd >= 0 && pread(fd, have, len, 0) == (ssize_t)len && !memcmp(have, data, len);
}

static struct block *open_chain(const char *volume, const char *store, bool create, int expect, const char *text)
{
	struct block *file = NULL, *b = NULL;
	struct err err = { 0 };
	int r;

	CU_ASSERT_FATAL(!block_file_open(volume, false, NULL, &file, &err) && !block_snapshot_create(file, NULL, &b));
	r = block_snapshot_open(b, store, create, &err);
	if (r != expect || (r && !strstr(err.text, text)))
		suite_note("%d: %s", r, err.text);
	check_eq(r, expect);
	check(!r || strstr(err.text, text));
	return b;
}

static void on_progress(void *ctx, uint64_t at, uint64_t total)
{
	uint64_t *last = ctx;

	check(at > *last && at <= total);
	*last = at;
}

/* The mark of a drop, and the same when the power went before it was cut short: no snapshot, and no error. */
static void what_a_drop_leaves(const char *volume, const char *store)
{
	struct block_snapshot_info info;
	struct err err = { 0 };
	struct block *b = open_chain(volume, store, true, 0, "");
	struct stat st;

	check_eq(run_op(b, BLOCK_WRITE, 0, ones, 4096), 0);
	check_eq(block_snapshot_drop(b, true, &err), 0);
	check(!block_snapshot_info(b, &info));
	check_eq(run_op(b, BLOCK_WRITE, 20 << 20, ones, sizeof ones), 0);
	block_free(b);
	check(!stat(store, &st));
	check_eq(st.st_size, SNAP_GROUPS_OFF);
	check_eq(truncate(store, 8 << 20), 0);
	b = open_chain(volume, store, false, 0, "");
	check(!block_snapshot_info(b, &info));
	block_free(b);
	check_eq(block_snapshot_roll_back(volume, store, NULL, NULL, &err), -ESTALE);
	check(strstr(err.text, "the snapshot was dropped: nothing of it is left") != NULL);
	block_free(open_chain(volume, store, true, -EEXIST, "exists already"));
	check_eq(truncate(store, SNAP_GROUPS_OFF), 0);
	b = open_chain(volume, store, true, 0, "");
	check(block_snapshot_info(b, &info));
	check_eq(block_snapshot_drop(b, false, &err), 0);
	block_free(b);
}

static void files_there_and_back(void)
{
	enum { LEN = 40 << 20 };
	const char *volume = suite_tmp("volume"), *store = suite_tmp("store"), *other = suite_tmp("other");
	uint8_t *past = malloc(LEN);
	struct err err = { 0 };
	struct block *b;
	uint64_t last = 0;

	fill(past, LEN, 7);
	memcpy(past, "LUKS\xba\xbe", 6);
	strcpy((char *)past + 168, "0b9f1f3e-aaaa-bbbb-cccc-0123456789ab");
	put_file(volume, past, LEN);
	b = open_chain(volume, store, true, 0, "");
	check_eq(block_snapshot_open(b, store, false, &err), -EBUSY);
	check_eq(run_op(b, BLOCK_WRITE, 20 << 20, ones, sizeof ones), 0);
	check_eq(run_op(b, BLOCK_WRITE, LEN - 512, ones, 512), 0);
	check_eq(block_snapshot_roll_back(volume, store, NULL, NULL, &err), -EBUSY);
	block_free(b);
	block_free(open_chain(volume, store, true, -EEXIST, "exists already"));

	/* a key slot that changed meanwhile does not make it another volume; the change stays */
	memset(past + 8192, 0x55, 512);
	{
		auto_close int fd = open(volume, O_WRONLY);

		check(pwrite(fd, past + 8192, 512, 8192) == 512);
	}
	b = open_chain(volume, store, false, 0, "");
	check_eq(run_op(b, BLOCK_DISCARD, 30 << 20, NULL, 1 << 20), 0);
	block_free(b);

	/* another volume, by UUID, by content, by size */
	past[170] ^= 1;
	put_file(other, past, LEN);
	block_free(open_chain(other, store, false, -EINVAL, "of LUKS volume 0b9f1f3e"));
	past[170] ^= 1;
	put_file(other, past, LEN);
	{
		auto_close int fd = open(other, O_WRONLY);

		memset(ones, 0xaa, sizeof ones);
		check(pwrite(fd, ones, 4096, LEN / 2 + LEN / 32) == 4096);
	}
	block_free(open_chain(other, store, false, -EINVAL, "is not as it was"));
	put_file(other, past, LEN / 2);
	block_free(open_chain(other, store, false, -EINVAL, "another volume's: of"));
	check_eq(block_snapshot_roll_back(other, store, NULL, NULL, &err), -EINVAL);
	check(file_is(other, past, LEN / 2));

	check_eq(block_snapshot_roll_back(volume, store, on_progress, &last, &err), 0);
	check(last > 0);
	check(file_is(volume, past, LEN));
	check(access(store, F_OK) && errno == ENOENT);
	block_free(open_chain(volume, store, false, -ENOENT, "No such file"));

	b = open_chain(volume, store, true, 0, "");
	check_eq(run_op(b, BLOCK_WRITE, 0, ones, 4096), 0);
	check_eq(block_snapshot_drop(b, false, &err), 0);
	check(access(store, F_OK) && errno == ENOENT);
	check_eq(run_op(b, BLOCK_WRITE, 1 << 20, ones, 4096), 0);
	block_free(b);
	what_a_drop_leaves(volume, store);
	free(past);
}

/* A guest that asks for more whenever something is done, as a full queue does. */
struct busy { struct io io[4]; struct block *b; uint8_t data[4][512]; unsigned writes, most; };

static void again(struct block_req *req, int r)
{
	struct busy *g = req->ctx;
	unsigned i = (unsigned)(container_of(req, struct io, req) - g->io);

	check_eq(r, 0);
	g->io[i].calls++;
	if (g->writes++ >= g->most)
		return;
	g->io[i].req.off = (uint64_t)(g->writes % CLUSTERS) * SNAP_CLUSTER + i * 512;
	memset(g->data[i], (int)g->writes, 512);
	block_submit(g->b, req);
}

static void keep_busy(struct busy *g, struct block *b)
{
	g->b = b;
	g->most = 100000;
	for (unsigned i = 0; i < 4; i++) {
		g->io[i].iov = (struct iovec){ g->data[i], 512 };
		g->io[i].req = (struct block_req){ .op = i ? BLOCK_WRITE : BLOCK_READ, .off = i * 512, .len = 512, .iov = &g->io[i].iov,
			.iov_count = 1, .done = again, .ctx = g };
		block_submit(b, &g->io[i].req);
	}
}

static void a_busy_guest_delays_neither_begin_nor_end(void)
{
	struct rig r = { .volume = fault_create(SIZE), .store = fault_create(STORE), .past = malloc(SIZE) };
	static struct busy g;
	struct err err = { 0 };

	CU_ASSERT_FATAL(!block_snapshot_create(&r.volume->b, NULL, &r.b));
	r.volume->hold = true;
	keep_busy(&g, r.b);
	check_eq(snap_open_on(r.b, &r.store->b, NULL, true, &err), 0);
	check(g.writes <= 4);
	check_eq(block_snapshot_drop(r.b, &err), 0);
	check(g.writes <= 12);
	g.most = 0;
	block_drain(r.b);
	for (unsigned i = 0; i < 4; i++)
		check(g.io[i].calls > 0);
	block_free(r.b);
	free(r.past);
}

static const struct test tests[] = {
	{ "a busy guest delays neither begin nor end", a_busy_guest_delays_neither_begin_nor_end },
	{ "passes on without a store", passes_on_without_a_store },
	{ "a write waits until the past is on the medium", a_write_waits_until_the_past_is_on_the_medium },
	{ "many writes are kept by one group", many_writes_are_kept_by_one_group },
	{ "long requests and the short last cluster", long_requests_and_the_short_last_cluster },
	{ "zeroes take no room", zeroes_take_no_room },
	{ "a full store breaks the snapshot", a_full_store_breaks_the_snapshot },
	{ "writes fail when nothing can say the past is lost", writes_fail_when_nothing_can_say_the_past_is_lost },
	{ "an unreadable cluster breaks the snapshot", an_unreadable_cluster_breaks_the_snapshot },
	{ "damaged stores are refused", damaged_stores_are_refused },
	{ "files, there and back", files_there_and_back },
	{ NULL, NULL },
};
const struct suite suite_hv_block_snapshot = { tests };
