/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/volume.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "crypto/luks/agent.h"
#include "hv/block/crypt.h"
#include "hv/block/file.h"
#include "hv/block/nbd.h"
#include "hv/block/snapshot.h"
#include "lib/log.h"
#include "lib/scope.h"

/* ---- the handle: several disks over one volume */

static void submit(struct block *b, struct block_req *req)
{
	b->lower->ops->submit(b->lower, req);
}

static void drain(struct block *b)
{
	block_drain(b->lower);
}

static void keep(struct block *b) {}

static const struct block_ops handle_ops = { .name = "volume", .submit = submit, .drain = drain, .free = keep };

/* ---- what somebody else has, who is perhaps about to end */

#define TELL_NS 500000000ull
#define STEP_NS 20000000

struct patience { uint64_t start_ns, wait_ns; bool told; };

static struct patience begin_waiting(const struct volume_context *c)
{
	return (struct patience){ .start_ns = loop_now_ns(), .wait_ns = c->placement->wait_s * 1000000000ull };
}

/*
 * True: try again. The kernel closes the files of a process that was killed only after its disk operations have ended, and its
 * agent may be about to end, too: who starts the server again at once shall not have to know that.
 */
static bool keep_waiting(struct patience *p, const char *path, int r, struct err *err)
{
	uint64_t waited = loop_now_ns() - p->start_ns;

	if (r != -EBUSY || waited >= p->wait_ns)
		return false;
	if (!p->told && waited >= TELL_NS) {
		log_info("%s is in use; waiting for its last user to let go", path);
		p->told = true;
	}
	*err = (struct err){ .code = 0 };
	nanosleep(&(struct timespec){ .tv_nsec = STEP_NS }, NULL);
	return true;
}

/* ---- what lies on it */

static void note(struct block_req *req, int result)
{
	*(int *)req->ctx = result;
}

/* The first bytes, before anybody else asks for any. */
static int read_start(struct block *b, void *to, size_t len)
{
	auto_free uint8_t *sector = aligned_alloc(4096, b->logical < 4096 ? 4096 : b->logical);
	struct iovec iov = { sector, b->logical };
	int result = -EIO;
	struct block_req req = { .op = BLOCK_READ, .len = b->logical, .iov = &iov, .iov_count = 1, .done = note, .ctx = &result };

	if (!sector)
		return -ENOMEM;
	block_submit(b, &req);
	block_drain(b);
	if (!result)
		memcpy(to, sector, len);
	return result;
}

/* Serving ciphertext as if it were the disk would let the guest write over it. */
static int check_plain(const struct volume *v, const struct placement_volume *from, struct err *err)
{
	static const uint8_t magic[6] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };
	uint8_t start[sizeof magic];
	int r = from->any_content ? 0 : read_start(v->base, start, sizeof start);

	if (r)
		return err_set(err, r, "%s: its first sector cannot be read: %s", v->path, strerror(-r));
	if (from->any_content || memcmp(start, magic, sizeof magic))
		return 0;
	return err_set(err, -EINVAL, "%s: is encrypted (LUKS): give volume.%s.key, or `volume.%s.key = none` if the server itself "
		       "encrypts it", v->path, v->name, v->name);
}

/* ---- keys */

static int start_agent(struct volume_context *c, struct err *err)
{
	char own[16];

	if (c->agent)
		return 0;
	/* A key on the very descriptor that the agent has its socket on: the agent gets it under another number. */
	snprintf(own, sizeof own, "fd:%d", AGENT_FD);
	for (unsigned i = 0; i < c->placement->volumes && c->spare_fd < 0; i++)
		if (c->placement->volume[i].key && !strcmp(c->placement->volume[i].key, own))
			c->spare_fd = fcntl(AGENT_FD, F_DUPFD, 10);
	return agent_start(&c->agent, err);
}

static bool copy(char *to, size_t size, const char *from)
{
	return !from || snprintf(to, size, "%s", from) < (int)size;
}

static bool copy_source(struct agent_message *m, const struct volume_context *c, const char *key)
{
	char moved[32];

	snprintf(moved, sizeof moved, "fd:%d", AGENT_FD);
	if (c->spare_fd < 0 || strcmp(key, moved))
		return copy(m->source, sizeof m->source, key);
	snprintf(moved, sizeof moved, "fd:%d", c->spare_fd);
	return copy(m->source, sizeof m->source, moved);
}

static int ask_agent(const struct volume *v, const struct placement_volume *from, struct volume_context *c,
	const struct agent_message **answer, struct err *err)
{
	const struct placement *p = c->placement;
	struct agent_message *m;
	int r = start_agent(c, err);

	if (r)
		return r;
	m = agent_message(c->agent);
	/* The volume on a server has no path: the agent needs its header only. */
	if (!copy_source(m, c, from->key) || !copy(m->volume, sizeof m->volume, block_nbd_is_uri(v->path) ? v->header : v->path) ||
	    !copy(m->header, sizeof m->header, v->header) || !copy(m->name, sizeof m->name, v->name) ||
	    !copy(m->server, sizeof m->server, c->server) || !copy(m->lma, sizeof m->lma, p->lma) ||
	    !copy(m->lma_token, sizeof m->lma_token, p->lma_token) || !copy(m->unlock, sizeof m->unlock, p->store_unlock))
		return err_set(err, -ENAMETOOLONG, "volume.%s: paths and key sources have %d bytes at most", v->name, AGENT_PATH - 1);
	agent_lend(c->agent, block_file_fd(v->base));
	r = agent_send(c->agent, AGENT_OPEN, err);
	r = r ? r : agent_receive(c->agent, true, answer, err);
	if (r)
		return r;
	if ((*answer)->kind == AGENT_FAILED)
		return err_set(err, (*answer)->code, "%s", (*answer)->text);
	return (*answer)->kind == AGENT_OPENED ? 0 : err_set(err, -EPROTO, "the volume agent answers something else");
}

/* The agent opens a device exclusively when it has a rotation to recover. */
static int ask_without_claim(const struct volume *v, const struct placement_volume *from, struct volume_context *c,
	const struct agent_message **answer, struct err *err)
{
	struct patience p;
	int r;

	block_file_release_claim(v->base);
	r = ask_agent(v, from, c, answer, err);
	if (r)
		return r;
	p = begin_waiting(c);
	do
		r = block_file_take_claim(v->base, err);
	while (keep_waiting(&p, v->path, r, err));
	return r;
}

static int decrypt(struct volume *v, const struct placement_volume *from, struct volume_context *c, struct err *err)
{
	const struct agent_message *answer;
	int r = ask_without_claim(v, from, c, &answer, err);

	if (r)
		return r;
	if (secret_copy(&v->key, answer->key, answer->key_len))
		return err_set(err, -ENOMEM, "no locked memory for the key: raise the limit (ulimit -l)");
	v->rotating = answer->layout.rotating;
	v->top = NULL;	/* taken over, whatever comes */
	r = block_crypt_create(v->snapshot, &answer->layout, &v->crypt, err);
	if (r)
		v->base = v->snapshot = NULL;
	else
		v->top = v->crypt;
	return r;
}

/* ---- opening */

static int open_base(struct volume *v, const struct volume_context *c, struct err *err)
{
	struct patience p = begin_waiting(c);
	int r;

	if (block_nbd_is_uri(v->path))
		r = block_nbd_open(v->path, false, c->loop, &v->base, err);
	else do
		r = block_file_open(v->path, false, c->loop, &v->base, err);
	while (keep_waiting(&p, v->path, r, err));
	v->top = v->base;
	return r;
}

static int open_snapshot(struct volume *v, const struct placement_volume *from, const struct volume_context *c, struct err *err)
{
	int r = block_snapshot_create(v->base, c->loop, &v->snapshot);
	struct patience p = begin_waiting(c);

	if (r)
		return err_set(err, r, "%s", strerror(-r));
	v->top = v->snapshot;
	if (!from->snapshot)
		return 0;
	do
		r = block_snapshot_open(v->snapshot, from->snapshot, false, err);
	while (keep_waiting(&p, from->snapshot, r, err));
	if (r == -ENOENT)
		return err_set(err, r, "snapshot %s is not there, and a start without it would end it: correct volume.%s.snapshot, or take "
			       "it out if the snapshot is not needed", from->snapshot, v->name);
	return r;
}

int volume_open(struct volume *v, const struct placement_volume *from, struct volume_context *c, struct err *err)
{
	int r;

	v->name = from->name;
	v->path = from->path;
	v->header = from->header;
	r = open_base(v, c, err);
	if (!r && !from->key)
		r = check_plain(v, from, err);
	r = r ? r : open_snapshot(v, from, c, err);
	if (!r && from->key)
		r = decrypt(v, from, c, err);
	if (r)
		return r;
	v->handle = *v->top;
	v->handle.ops = &handle_ops;
	v->handle.lower = v->top;
	return 0;
}

void volume_free(struct volume *v)
{
	block_free(v->top);
	secret_destroy(&v->key);
	*v = (struct volume){ 0 };
}
