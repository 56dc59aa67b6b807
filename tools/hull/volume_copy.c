/* SPDX-License-Identifier: Apache-2.0 */
/* hull volume import and export: whole disks in and out, through hv's own layers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include "lib/scope.h"
#include "tools/hull/volume.h"

#define CHUNK (16u << 20)
#define MARK (256ull << 20)	/* the position is made durable this often */
#define SECTOR 4096u

struct copy {
	struct volume_data data;
	struct luks_place at;		/* with the lock held */
	const char *path;		/* the plain side */
	int fd;
	uint64_t size;			/* bytes to copy */
	uint8_t *buf, *check;
	struct volume_progress progress;
};

static int read_plain(struct copy *c, uint8_t *buf, uint64_t off, size_t len, struct err *err)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(c->fd, buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "%s: reading at byte %llu: %s", c->path, (unsigned long long)(off + done), strerror(errno));
		if (!n)
			return err_set(err, -EIO, "%s: has become shorter while it was read", c->path);
		done += (size_t)n;
	}
	return 0;
}

static int write_plain(struct copy *c, const uint8_t *buf, uint64_t off, size_t len, struct err *err)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(c->fd, buf + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -errno, "%s: writing at byte %llu: %s", c->path, (unsigned long long)(off + done), strerror(errno));
		done += (size_t)n;
	}
	return 0;
}

static int move(struct copy *c, enum block_op op, uint8_t *buf, uint64_t off, size_t len, struct err *err)
{
	int rc = volume_data_move(&c->data, op, buf, off, len);

	return rc ? err_set(err, rc, "%s: %s at byte %llu: %s", c->at.volume, op == BLOCK_READ ? "reading" : "writing",
		(unsigned long long)off, strerror(-rc)) : 0;
}

/* The volume moves whole sectors: a source's last piece is padded with zeroes where the volume has room for them. */
static size_t padded(const struct copy *c, uint64_t off, size_t len)
{
	size_t all = (len + SECTOR - 1) & ~(size_t)(SECTOR - 1);

	return off + all <= c->data.b->size ? all : len;
}

static size_t next_len(const struct copy *c, uint64_t off)
{
	return c->size - off < CHUNK ? (size_t)(c->size - off) : CHUNK;
}

/* Bytes off…off+len are the same on both sides. */
static int compare(struct copy *c, uint64_t off, size_t len, struct err *err)
{
	int rc = move(c, BLOCK_READ, c->check, off, padded(c, off, len), err);

	if (!rc)
		rc = read_plain(c, c->buf, off, len, err);
	if (!rc && memcmp(c->buf, c->check, len))
		rc = err_set(err, -EILSEQ, "%s: differs from %s between byte %llu and %llu", c->at.volume, c->path, (unsigned long long)off,
			(unsigned long long)(off + len));
	return rc;
}

static int verify(struct copy *c, struct err *err)
{
	c->progress = (struct volume_progress){ .what = "verify" };
	posix_fadvise(c->fd, 0, 0, POSIX_FADV_DONTNEED);
	for (uint64_t off = 0; off < c->size; off += next_len(c, off)) {
		int rc = compare(c, off, next_len(c, off), err);

		if (rc)
			return rc;
		if (volume_interrupted())
			return err_set(err, -EINTR, "%s: the check was stopped", c->at.volume);
		volume_progress_show(&c->progress, off, c->size);
	}
	volume_progress_end(&c->progress, c->size);
	return 0;
}

static int flush(struct copy *c, struct err *err)
{
	int rc = volume_data_flush(&c->data);

	return rc ? err_set(err, rc, "%s: flush: %s", c->at.volume, strerror(-rc)) : 0;
}

/* Data first, then the position that vouches for them. LUKS1 has no place for it: such an import begins anew. */
static int mark(struct copy *c, uint64_t position, struct err *err)
{
	int rc = flush(c, err);

	return rc || c->data.layout->version == 1 ? rc : luks_import_mark(&c->at, position, c->size, err);
}

/* Where an earlier run came to, if it was this import: the last piece before must be the source's. */
static int find_start(struct copy *c, uint64_t *start, struct err *err)
{
	struct luks_info info;
	int rc = luks_info(&c->at, &info, err);
	uint64_t back;

	*start = 0;
	if (rc || !info.importing)
		return rc;
	if (info.import_size != c->size || info.imported > c->size || info.imported & (SECTOR - 1))
		return err_set(err, -EINVAL, "%s: holds an unfinished import of another source (%llu bytes; %s has %llu): format it again",
			c->at.volume, (unsigned long long)info.import_size, c->path, (unsigned long long)c->size);
	back = info.imported < CHUNK ? info.imported : CHUNK;
	*start = info.imported;
	rc = back ? compare(c, *start - back, (size_t)back, err) : 0;
	return rc == -EILSEQ ? err_set(err, -EINVAL, "%s: holds an unfinished import of another source than %s: format it again",
		c->at.volume, c->path) : rc;
}

static int copy_in(struct copy *c, struct err *err)
{
	uint64_t off, marked;
	int rc = find_start(c, &off, err);

	if (!rc)
		rc = mark(c, off, err);
	for (marked = off; !rc && off < c->size;) {
		size_t len = next_len(c, off), all = padded(c, off, len);

		memset(c->buf + len, 0, all - len);
		rc = read_plain(c, c->buf, off, len, err);
		if (!rc)
			rc = move(c, BLOCK_WRITE, c->buf, off, all, err);
		if (rc)
			return rc;
		off += len;
		if (off < c->size && (off - marked >= MARK || volume_interrupted())) {
			rc = mark(c, off, err);
			marked = off;
		}
		if (!rc && volume_interrupted() && off < c->size)
			return err_set(err, -EINTR, "%s: the import was stopped; run it again to go on", c->at.volume);
		volume_progress_show(&c->progress, off, c->size);
	}
	if (rc)
		return rc;
	volume_progress_end(&c->progress, c->size);
	return flush(c, err);
}

static int copy_out(struct copy *c, struct err *err)
{
	for (uint64_t off = 0; off < c->size;) {
		size_t len = next_len(c, off);
		int rc = move(c, BLOCK_READ, c->buf, off, len, err);

		if (!rc)
			rc = write_plain(c, c->buf, off, len, err);
		if (rc)
			return rc;
		if (volume_interrupted())
			return err_set(err, -EINTR, "%s: the export was stopped; what is there is no whole disk", c->path);
		off += len;
		volume_progress_show(&c->progress, off, c->size);
	}
	volume_progress_end(&c->progress, c->size);
	return fsync(c->fd) ? err_set(err, -errno, "%s: %s", c->path, strerror(errno)) : 0;
}

static int fd_size(int fd, const char *path, uint64_t *size, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	*size = (uint64_t)st.st_size;
	if (S_ISREG(st.st_mode) || (S_ISBLK(st.st_mode) && !ioctl(fd, BLKGETSIZE64, size)))
		return 0;
	return err_set(err, -EINVAL, "%s: is neither a file nor a block device", path);
}

static int open_copy(struct copy *c, const struct volume_options *o, const char *volume, bool readonly, struct err *err)
{
	struct secret key;
	int rc = volume_key_read(o, o->key, false, &key, err);

	c->at = volume_place(o, volume);
	c->at.locked = true;
	c->at.importing = !readonly;
	c->buf = aligned_alloc(4096, CHUNK);
	c->check = aligned_alloc(4096, CHUNK);
	if (!rc && (!c->buf || !c->check))
		rc = err_set(err, -ENOMEM, "out of memory");
	if (!rc)
		rc = volume_data_open(&c->at, &key, readonly, &c->data, err);
	secret_destroy(&key);
	return rc;
}

static void close_copy(struct copy *c)
{
	volume_data_close(&c->data);
	if (c->fd >= 0)
		close(c->fd);
	free(c->buf);
	free(c->check);
}

static int import(const struct volume_options *o, struct copy *c, struct err *err)
{
	uint64_t room;
	int rc;

	c->path = o->argument[0];
	c->fd = open(c->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (c->fd < 0)
		return err_set(err, -errno, "%s: %s", c->path, strerror(errno));
	rc = fd_size(c->fd, c->path, &c->size, err);
	if (!rc && (!c->size || c->size & 511))
		rc = err_set(err, -EINVAL, "%s: has %llu bytes, which is no disk's size", c->path, (unsigned long long)c->size);
	if (!rc)
		rc = open_copy(c, o, o->argument[1], false, err);
	if (rc)
		return rc;
	room = c->data.b->size;
	if (c->size > room)
		return err_set(err, -ENOSPC, "%s: has room for %llu bytes; %s has %llu", c->at.volume, (unsigned long long)room, c->path,
			(unsigned long long)c->size);
	rc = copy_in(c, err);
	if (!rc && o->verify)
		rc = verify(c, err);
	return rc || c->data.layout->version == 1 ? rc : luks_import_mark(&c->at, c->size, c->size, err);
}

int volume_import(const struct command *c, int argc, char **argv)
{
	struct copy copy = { .fd = -1, .progress.what = "import" };
	struct err err = { .text = "" };
	struct volume_options o;
	int rc;

	if (!volume_options_parse(c, argc, argv, 2, &o))
		return HULL_TROUBLE;
	secret_harden();
	volume_catch_signals();
	rc = import(&o, &copy, &err);
	close_copy(&copy);
	return rc ? volume_fail(&err) : HULL_OK;
}

static int open_target(struct copy *c, const struct volume_options *o, struct err *err)
{
	uint64_t room;
	struct stat st;

	c->path = o->argument[1];
	c->fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | (o->force ? 0 : O_EXCL), 0600);
	if (c->fd < 0 && errno == EEXIST)
		return err_set(err, -EEXIST, "%s: is there already; --force writes over it", c->path);
	if (c->fd < 0 || fstat(c->fd, &st))
		return err_set(err, -errno, "%s: %s", c->path, strerror(errno));
	if (S_ISREG(st.st_mode))
		return ftruncate(c->fd, (off_t)c->size) ? err_set(err, -errno, "%s: %s", c->path, strerror(errno)) : 0;
	if (fd_size(c->fd, c->path, &room, err))
		return err->code;
	return room < c->size ? err_set(err, -ENOSPC, "%s: has %llu bytes; the volume has %llu", c->path, (unsigned long long)room,
		(unsigned long long)c->size) : 0;
}

int volume_export(const struct command *c, int argc, char **argv)
{
	struct copy copy = { .fd = -1, .progress.what = "export" };
	struct err err = { .text = "" };
	struct volume_options o;
	int rc;

	if (!volume_options_parse(c, argc, argv, 2, &o))
		return HULL_TROUBLE;
	secret_harden();
	volume_catch_signals();
	rc = open_copy(&copy, &o, o.argument[0], true, &err);
	if (!rc) {
		copy.size = copy.data.b->size;
		rc = open_target(&copy, &o, &err);
	}
	if (!rc)
		rc = copy_out(&copy, &err);
	if (!rc && o.verify)
		rc = verify(&copy, &err);
	close_copy(&copy);
	return rc ? volume_fail(&err) : HULL_OK;
}
