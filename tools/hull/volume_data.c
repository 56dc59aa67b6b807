/* SPDX-License-Identifier: Apache-2.0 */
/* A volume's plaintext through hv's own layers, and what long copies need: progress and a way to stop. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include "crypto/secret.h"
#include "hv/block/crypt.h"
#include "hv/block/file.h"
#include "lib/loop.h"
#include "lib/scope.h"
#include "tools/hull/volume.h"

enum { PIECE = 1 << 20, PIECES = 16 };

int volume_data_open(const struct luks_place *at, const struct secret *key, bool readonly, struct volume_data *data,
	struct err *err)
{
	struct luks_info info;
	struct block *file;
	int rc = luks_info(at, &info, err);

	if (rc)
		return rc;
	/* A rotation that was cut short may have to be recovered, which takes the volume for itself. */
	readonly = readonly && !info.rotating;
	*data = (struct volume_data){ .layout = secret_alloc(sizeof *data->layout) };
	if (!data->layout)
		return secret_refused(err, -errno);
	/* The lock comes first, so that the header that is read is the one in use; a recovery then works under it. */
	rc = block_file_open(at->volume, readonly, NULL, &file, err);
	if (!rc) {
		struct luks_place locked = *at;

		locked.locked = true;
		rc = luks_open(&locked, key, data->layout, NULL, err);
		if (rc)
			block_free(file);
	}
	if (!rc)
		rc = block_crypt_create(file, data->layout, &data->b, err);
	if (rc)
		volume_data_close(data);
	return rc;
}

void volume_data_close(struct volume_data *data)
{
	block_free(data->b);
	secret_free(data->layout);
	*data = (struct volume_data){ 0 };
}

struct batch { int result; unsigned left; };

static void on_done(struct block_req *req, int result)
{
	struct batch *batch = req->ctx;

	batch->left--;
	if (result && !batch->result)
		batch->result = result;
}

int volume_data_move(struct volume_data *data, enum block_op op, void *buf, uint64_t off, size_t len)
{
	struct block_req reqs[PIECES];
	struct iovec iov[PIECES];
	struct batch batch = { 0 };
	size_t at = 0;

	while (at < len && !batch.result) {
		block_plug(data->b);
		for (unsigned i = 0; i < PIECES && at < len; i++) {
			size_t n = len - at < PIECE ? len - at : PIECE;

			iov[i] = (struct iovec){ (uint8_t *)buf + at, n };
			reqs[i] = (struct block_req){ .op = op, .off = off + at, .len = n, .iov = &iov[i], .iov_count = 1, .done = on_done,
				.ctx = &batch };
			batch.left++;
			at += n;
			block_submit(data->b, &reqs[i]);
		}
		block_unplug(data->b);
		block_drain(data->b);
		bug_on(batch.left);
	}
	return batch.result;
}

int volume_data_flush(struct volume_data *data)
{
	struct batch batch = { .left = 1 };
	struct block_req req = { .op = BLOCK_FLUSH, .done = on_done, .ctx = &batch };

	block_submit(data->b, &req);
	block_drain(data->b);
	bug_on(batch.left);
	return batch.result;
}

/* ---- progress */

static void time_text(uint64_t seconds, char text[32])
{
	if (seconds >= 3600)
		snprintf(text, 32, "%llu h %02llu min", (unsigned long long)(seconds / 3600), (unsigned long long)(seconds / 60 % 60));
	else if (seconds >= 60)
		snprintf(text, 32, "%llu min %02llu s", (unsigned long long)(seconds / 60), (unsigned long long)(seconds % 60));
	else
		snprintf(text, 32, "%llu s", (unsigned long long)seconds);
}

static void print_line(struct volume_progress *p, uint64_t done, uint64_t now, bool last)
{
	double seconds = (double)(now - p->start_ns) / 1e9, rate = seconds > 0 ? (double)(done - p->first) / seconds : 0;
	bool terminal = isatty(STDERR_FILENO);
	char have[32], all[32], left[32] = "";

	if (last)
		time_text((uint64_t)seconds, left);
	else if (rate > 0)
		time_text((uint64_t)((double)(p->total - done) / rate), left);
	fprintf(stderr, "%s%s: %s of %s (%.1f %%), %.0f MB/s%s%s%s%s", terminal ? "\r" : "", p->what, volume_size_text(done, have),
		volume_size_text(p->total, all), p->total ? 100.0 * (double)done / (double)p->total : 100.0, rate / 1e6,
		*left ? ", " : "", left, !*left ? "" : last ? " taken" : " left", terminal ? "\033[K" : "\n");
	fflush(stderr);
}

void volume_progress_show(struct volume_progress *p, uint64_t done, uint64_t total)
{
	uint64_t now = loop_now_ns(), pause = isatty(STDERR_FILENO) ? 200000000ull : 5000000000ull;

	p->total = total;
	if (!p->begun) {
		p->begun = true;
		p->start_ns = p->last_ns = now;
		p->first = done;
	}
	if (now - p->last_ns < pause)
		return;
	p->last_ns = now;
	print_line(p, done, now, false);
}

void volume_progress_end(struct volume_progress *p, uint64_t done)
{
	if (!p->begun)
		return;
	print_line(p, done, loop_now_ns(), true);
	if (isatty(STDERR_FILENO))
		fputc('\n', stderr);
}

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
	interrupted = 1;
}

void volume_catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool volume_interrupted(void)
{
	return interrupted;
}
