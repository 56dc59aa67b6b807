/* SPDX-License-Identifier: Apache-2.0 */
/* What the stack is compared with: one loop around io_uring and OpenSSL that does nothing but this job. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "crypto/secret.h"
#include "crypto/xts.h"
#include "lib/loop.h"
#include "lib/scope.h"
#include "tests/bench/disk.h"

struct entry { uint8_t *data; uint64_t off, began_ns; };

struct bare {
	const struct job *job;
	struct io_uring ring;
	int fd;
	EVP_CIPHER_CTX *cipher;		/* NULL: plain */
	struct places places;
	struct entry *entries;
	uint8_t *data, *plain;
	uint64_t deadline_ns;
};

static void cipher_init(EVP_CIPHER_CTX **c, bool encrypt)
{
	uint8_t key[64];

	secret_random(key, sizeof key);
	*c = EVP_CIPHER_CTX_new();
	bug_on(!*c || EVP_CipherInit_ex(*c, EVP_aes_256_xts(), NULL, key, NULL, encrypt) != 1);
	secret_wipe(key, sizeof key);
}

static void transform(const struct bare *b, uint64_t off, uint8_t *out, const uint8_t *in)
{
	for (uint32_t at = 0; at < b->job->size; at += b->job->sector) {
		uint64_t tweak[2] = { (off + at) / 512, 0 };
		int n;

		EVP_CipherInit_ex(b->cipher, NULL, NULL, NULL, (uint8_t *)tweak, -1);
		EVP_CipherUpdate(b->cipher, out + at, &n, in + at, (int)b->job->sector);
	}
}

static void submit(struct bare *b, struct entry *e)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);

	e->off = places_next(&b->places) * b->job->size;
	e->began_ns = loop_now_ns();
	if (b->job->write && b->cipher)
		transform(b, e->off, e->data, b->plain);
	io_uring_prep_rw(b->job->write ? IORING_OP_WRITE : IORING_OP_READ, sqe, b->fd, e->data, b->job->size, e->off);
	io_uring_sqe_set_data(sqe, e);
}

/* What ended is taken; true while the time is not over. */
static int take(struct bare *b, struct figures *f, bool again)
{
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;

	io_uring_for_each_cqe(&b->ring, head, cqe) {
		struct entry *e = io_uring_cqe_get_data(cqe);

		if (cqe->res != (int)b->job->size)
			return cqe->res < 0 ? cqe->res : -EIO;
		if (!b->job->write && b->cipher)
			transform(b, e->off, e->data, e->data);
		figures_add(f, loop_now_ns() - e->began_ns);
		count++;
		if (again)
			submit(b, e);
	}
	io_uring_cq_advance(&b->ring, count);
	return (int)count;
}

static int run(struct bare *b, struct figures *f)
{
	unsigned left = b->job->depth;
	int r = 0;

	figures_begin(f);
	b->deadline_ns = f->began_ns + (uint64_t)(b->job->seconds * 1e9);
	for (unsigned i = 0; i < b->job->depth; i++)
		submit(b, &b->entries[i]);
	while (r >= 0 && loop_now_ns() < b->deadline_ns) {
		r = io_uring_submit_and_wait(&b->ring, 1);
		if (r >= 0)
			r = take(b, f, true);
	}
	figures_end(f);
	while (r >= 0 && left) {
		r = io_uring_submit_and_wait(&b->ring, 1);
		if (r >= 0)
			r = take(b, f, false);
		if (r > 0)
			left -= (unsigned)r;
	}
	return r < 0 ? r : 0;
}

static int prepare(struct bare *b)
{
	const struct job *job = b->job;
	struct stat st;
	int r;

	b->fd = open(job->path, O_RDWR | O_CLOEXEC);
	if (b->fd < 0 || fstat(b->fd, &st))
		return -errno;
	r = io_uring_queue_init(job->depth, &b->ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN);
	if (r)
		return r;
	if (job->sector)
		cipher_init(&b->cipher, job->write);
	b->entries = calloc(job->depth, sizeof *b->entries);
	if (!b->entries || posix_memalign((void **)&b->data, 4096, (size_t)job->depth * job->size) ||
	    posix_memalign((void **)&b->plain, 4096, job->size))
		return -ENOMEM;
	memset(b->data, 1, (size_t)job->depth * job->size);
	memset(b->plain, 5, job->size);
	for (unsigned i = 0; i < job->depth; i++)
		b->entries[i].data = b->data + (size_t)i * job->size;
	places_init(&b->places, job, (uint64_t)st.st_size);
	return b->places.count ? 0 : -EINVAL;
}

int disk_bare_run(const struct job *job, struct figures *f, struct err *err)
{
	struct bare b = { .job = job, .fd = -1, .ring.ring_fd = -1 };
	int r = prepare(&b);

	if (!r)
		r = run(&b, f);
	if (b.ring.ring_fd >= 0)
		io_uring_queue_exit(&b.ring);
	scope_close(&b.fd);
	EVP_CIPHER_CTX_free(b.cipher);
	free(b.entries);
	free(b.data);
	free(b.plain);
	return r ? err_set(err, r, "%s: %s", job->path, strerror(-r)) : 0;
}

/* ---- the cipher alone */

enum { BUFFER = 65536, ROUNDS = (1 << 30) / BUFFER };

/* This thread's time on a processor, as `openssl speed` counts: other work on the machine is not in it. */
static uint64_t thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* OpenSSL as the bare loop calls it. */
static double run_plain(uint32_t sector, uint8_t *out, const uint8_t *in)
{
	const struct job job = { .size = BUFFER, .sector = sector };
	struct bare b = { .job = &job };
	uint64_t began;

	cipher_init(&b.cipher, true);
	began = thread_ns();
	for (unsigned i = 0; i < ROUNDS; i++)
		transform(&b, (uint64_t)i * BUFFER, out, in);
	began = thread_ns() - began;
	EVP_CIPHER_CTX_free(b.cipher);
	return (double)BUFFER * ROUNDS / ((double)began / 1e9);
}

static int run_ours(uint32_t sector, uint8_t *out, const uint8_t *in, double *speed, struct err *err)
{
	uint8_t key[64];
	struct xts *x;
	uint64_t began;
	int r;

	secret_random(key, sizeof key);
	r = xts_create(key, sizeof key, sector, &x, err);
	if (r)
		return r;
	began = thread_ns();
	for (unsigned i = 0; i < ROUNDS; i++)
		xts_encrypt(x, (uint64_t)i * (BUFFER / 512), out, in, BUFFER);
	*speed = (double)BUFFER * ROUNDS / ((double)(thread_ns() - began) / 1e9);
	xts_free(x);
	return 0;
}

int disk_cipher_run(uint32_t sector, double *ours, double *plain, struct err *err)
{
	auto_free uint8_t *buffers = NULL;

	if (posix_memalign((void **)&buffers, 4096, 2 * BUFFER))
		return err_set(err, -ENOMEM, "out of memory");
	memset(buffers, 7, 2 * BUFFER);
	*plain = run_plain(sector, buffers + BUFFER, buffers);
	return run_ours(sector, buffers + BUFFER, buffers, ours, err);
}
