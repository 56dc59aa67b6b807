/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nbdkit plugin "hull": the plaintext of an encrypted volume, through hv's own block layers. `hull volume open --nbd` starts it and
 * is at the other end of an inherited socket (layout=N): once the volume is open and locked, one byte goes there, and a struct
 * luks_layout with the volume key comes back.
 */
#define NBDKIT_API_VERSION 2
#include <errno.h>
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "crypto/secret.h"
#include "hv/block/crypt.h"
#include "hv/block/file.h"
#include "lib/log.h"
#include "lib/scope.h"

/* The layers take one caller at a time. */
#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS

static char *volume;
static int layout_fd = -1;
static int read_only;
static struct block *stack;

static void load(void)
{
	secret_harden();
	log_init("nbdkit-hull", LOG_WARN);
}

static int config(const char *key, const char *value)
{
	if (!strcmp(key, "volume")) {
		free(volume);
		volume = nbdkit_realpath(value);
		return volume ? 0 : -1;
	}
	if (!strcmp(key, "layout"))
		return nbdkit_parse_int("layout", value, &layout_fd);
	if (!strcmp(key, "readonly")) {
		read_only = nbdkit_parse_bool(value);
		return read_only < 0 ? -1 : 0;
	}
	nbdkit_error("unknown parameter %s", key);
	return -1;
}

static int config_complete(void)
{
	if (volume && layout_fd >= 0)
		return 0;
	nbdkit_error("volume=PATH and layout=N are needed; `hull volume open --nbd` gives them");
	return -1;
}

static bool ask_layout(struct luks_layout *layout)
{
	size_t done = 0;

	if (write(layout_fd, "", 1) != 1)
		return false;
	while (done < sizeof *layout) {
		ssize_t n = read(layout_fd, (char *)layout + done, sizeof *layout - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static int open_stack(bool readonly, struct err *err)
{
	struct luks_layout *layout = secret_alloc(sizeof *layout);
	struct block *file;
	int rc;

	if (!layout)
		return secret_refused(err, -errno);
	rc = block_file_open(volume, readonly, NULL, &file, err);
	if (!rc && !ask_layout(layout)) {
		block_free(file);
		rc = err_set(err, -EPERM, "%s: no key came for it", volume);
	}
	if (!rc)
		rc = block_crypt_create(file, layout, &stack, err);
	secret_free(layout);
	return rc;
}

/*
 * The layers belong to one thread, and nbdkit's come and go with connections: this one opens, works and frees. nbdkit hands
 * over one job at a time.
 */
struct job { struct block_req *req; bool done; int result; };
static struct {
	pthread_t thread;
	pthread_mutex_t lock;		/* guards all below */
	pthread_cond_t changed;
	struct job *job;
	bool opened, quit;
	int open_rc;
	struct err err;
} worker = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void on_done(struct block_req *req, int result)
{
	struct job *job = req->ctx;

	job->result = result;
	job->done = true;
}

static void *work(void *arg)
{
	struct err err = { .text = "" };
	int rc = open_stack(read_only, &err);

	pthread_mutex_lock(&worker.lock);
	worker.opened = true;
	worker.open_rc = rc;
	worker.err = err;
	pthread_cond_broadcast(&worker.changed);
	while (!rc && !worker.quit) {
		struct job *job = worker.job;

		if (!job) {
			pthread_cond_wait(&worker.changed, &worker.lock);
			continue;
		}
		pthread_mutex_unlock(&worker.lock);
		block_submit(stack, job->req);
		if (!job->done)
			block_drain(stack);
		bug_on(!job->done);
		pthread_mutex_lock(&worker.lock);
		worker.job = NULL;
		pthread_cond_broadcast(&worker.changed);
	}
	pthread_mutex_unlock(&worker.lock);
	block_free(stack);
	stack = NULL;
	return NULL;
}

/* Threads are made where they are used: after nbdkit's fork. */
static int after_fork(void)
{
	int rc = pthread_create(&worker.thread, NULL, work, NULL);

	if (rc) {
		nbdkit_error("no thread: %s", strerror(rc));
		return -1;
	}
	pthread_mutex_lock(&worker.lock);
	while (!worker.opened)
		pthread_cond_wait(&worker.changed, &worker.lock);
	pthread_mutex_unlock(&worker.lock);
	close(layout_fd);
	if (worker.open_rc)
		nbdkit_error("%s", worker.err.text);
	return worker.open_rc ? -1 : 0;
}

static void cleanup_stack(void)
{
	if (!worker.opened)
		return;
	pthread_mutex_lock(&worker.lock);
	worker.quit = true;
	pthread_cond_broadcast(&worker.changed);
	pthread_mutex_unlock(&worker.lock);
	pthread_join(worker.thread, NULL);
}

static void unload(void)
{
	free(volume);
}

static void *open_export(int readonly)
{
	return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t get_size(void *handle)
{
	return (int64_t)stack->size;
}

static int block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
	*minimum = stack->logical;
	*preferred = stack->physical > 4096 ? stack->physical : 4096;
	*maximum = 32 << 20;
	return 0;
}

static int yes(void *handle) { return 1; }
static int can_write(void *handle) { return !stack->readonly; }
static int can_trim(void *handle) { return stack->can_discard; }
static int can_fua(void *handle) { return NBDKIT_FUA_NATIVE; }

static int run(enum block_op op, void *buf, uint64_t off, uint64_t len, uint32_t flags)
{
	struct iovec iov = { buf, len };
	struct job job = { NULL };
	struct block_req req = { .op = op, .off = off, .len = len, .iov = &iov, .iov_count = 1, .fua = flags & NBDKIT_FLAG_FUA,
		.done = on_done, .ctx = &job };

	job.req = &req;
	pthread_mutex_lock(&worker.lock);
	worker.job = &job;
	pthread_cond_broadcast(&worker.changed);
	while (worker.job == &job)
		pthread_cond_wait(&worker.changed, &worker.lock);
	pthread_mutex_unlock(&worker.lock);
	if (!job.result)
		return 0;
	nbdkit_error("%s: %s at byte %llu: %s", volume, op == BLOCK_READ ? "read" : op == BLOCK_FLUSH ? "flush" : "write",
		(unsigned long long)off, strerror(-job.result));
	nbdkit_set_error(-job.result);
	return -1;
}

static int pread_(void *handle, void *buf, uint32_t len, uint64_t off, uint32_t flags)
{
	return run(BLOCK_READ, buf, off, len, flags);
}

static int pwrite_(void *handle, const void *buf, uint32_t len, uint64_t off, uint32_t flags)
{
	return run(BLOCK_WRITE, (void *)buf, off, len, flags);
}

static int flush(void *handle, uint32_t flags)
{
	return run(BLOCK_FLUSH, NULL, 0, 0, 0);
}

static int trim(void *handle, uint32_t len, uint64_t off, uint32_t flags)
{
	return run(BLOCK_DISCARD, NULL, off, len, 0) || (flags & NBDKIT_FLAG_FUA && flush(handle, 0)) ? -1 : 0;
}

static int zero(void *handle, uint32_t len, uint64_t off, uint32_t flags)
{
	return run(BLOCK_WRITE_ZEROES, NULL, off, len, flags);
}

static struct nbdkit_plugin plugin = {
	.name = "hull",
	.longname = "Hull encrypted volumes",
	.description = "serves the plaintext of a LUKS volume; started by `hull volume open --nbd`",
	.load = load,
	.unload = unload,
	.config = config,
	.config_complete = config_complete,
	.config_help = "volume=PATH  the volume\nlayout=N     socket that gives its layout\nreadonly=BOOL",
	.after_fork = after_fork,
	.cleanup = cleanup_stack,
	.open = open_export,
	.get_size = get_size,
	.block_size = block_size,
	.can_write = can_write,
	.can_flush = yes,
	.can_trim = can_trim,
	.can_zero = yes,
	.can_fua = can_fua,
	.can_multi_conn = yes,
	.pread = pread_,
	.pwrite = pwrite_,
	.flush = flush,
	.trim = trim,
	.zero = zero,
	.errno_is_preserved = 0,
};
NBDKIT_REGISTER_PLUGIN(plugin)
