/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/statfs.h>
#include "tests/unit/hv/block/file_rig.h"

/* Skips where the tests' folder is on a file system without direct I/O. */
static struct block *open_direct(const char *name, enum block_file_engine engine)
{
	struct block *b = open_block(make_file(name, SIZE), engine);

	if (container_of(b, struct file, b)->direct)
		return b;
	suite_skip("no direct I/O in the tests' folder");
	block_free(b);
	return NULL;
}

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 7 + i / 256 + seed);
}

/* Memory at every odd place, lengths beyond the bounce buffer, sectors beside aligned ones. */
static void moves_odd_memory(enum block_file_engine engine)
{
	static const uint32_t lengths[] = { 512, 4096, 1536, FILE_BOUNCE, FILE_BOUNCE + 512, 3 * FILE_BOUNCE + 1024 };
	static const unsigned shifts[] = { 1, 2, 8, 511 };
	struct block *b = open_direct("odd", engine);
	uint8_t *out = malloc(4 * FILE_BOUNCE), *in = malloc(4 * FILE_BOUNCE);

	for (unsigned i = 0; b && i < array_len(lengths); i++) {
		for (unsigned k = 0; k < array_len(shifts); k++) {
			uint64_t off = 512 * (i + k);

			fill(out, lengths[i] + 600, i + k);
			memset(in, 0, lengths[i] + 600);
			check_eq(run(b, BLOCK_WRITE, off, out + shifts[k], lengths[i], k & 1), 0);
			check_eq(run(b, BLOCK_READ, off, in + 511 - shifts[k] % 3, lengths[i], false), 0);
			check(!memcmp(in + 511 - shifts[k] % 3, out + shifts[k], lengths[i]));
			check_eq(in[510 - shifts[k] % 3], 0);
			check_eq(in[511 - shifts[k] % 3 + lengths[i]], 0);
		}
	}
	block_free(b);
	free(out);
	free(in);
}

static void odd_memory_is_copied(void)
{
	each_engine(moves_odd_memory);
}

static void moves_odd_pieces(enum block_file_engine engine)
{
	enum { PIECES = 700, LEN = PIECES * 512 };
	struct block *b = open_direct("pieces", engine);
	uint8_t *data = malloc(LEN + 1), *back = malloc(LEN + 1);
	struct iovec *iov = calloc(2 * PIECES, sizeof *iov);
	struct io io;

	if (!b)
		goto out;
	fill(data, LEN, 3);
	for (unsigned round = 0; round < 2; round++) {
		memset(&io, 0, sizeof io);
		/* 100 and 412 bytes in turn, and an empty piece now and then */
		for (unsigned i = 0; i < 2 * PIECES; i++)
			iov[i] = (struct iovec){ (round ? back : data) + i / 2 * 512 + (i & 1) * 100, i & 1 ? 412 : 100 };
		io.req = (struct block_req){ .op = round ? BLOCK_READ : BLOCK_WRITE, .off = 512, .len = LEN, .iov = iov,
			.iov_count = 2 * PIECES, .done = done, .ctx = &io };
		block_submit(b, &io.req);
		block_drain(b);
		check_eq(io.calls, 1);
		check_eq(io.result, 0);
	}
	check(!memcmp(data, back, LEN));
out:
	block_free(b);
	free(data);
	free(back);
	free(iov);
}

static void pieces_that_end_inside_sectors_are_copied(void)
{
	each_engine(moves_odd_pieces);
}

static void only_what_must_be_is_copied(void)
{
	struct block *b = open_direct("fits", BLOCK_FILE_POOL);
	uint8_t *data = aligned_alloc(4096, 8192);
	struct file *f;

	if (b) {
		f = container_of(b, struct file, b);
		check(file_direct_fits(f, &(struct iovec){ data, 4096 }, 1));
		check(file_direct_fits(f, (struct iovec[]){ { data, 512 }, { data + 4096, 1024 } }, 2));
		check(!file_direct_fits(f, &(struct iovec){ data + 1, 512 }, 1));
		check(!file_direct_fits(f, (struct iovec[]){ { data, 512 }, { data + 4096, 100 } }, 2));
		check(file_direct_fits(f, (struct iovec[]){ { data, 0 }, { data, 512 } }, 2));
	}
	block_free(b);
	free(data);
}

/* What is written beside the page cache is seen through it, and the other way round: an agent may look at a volume so. */
static void agrees_with_the_page_cache(void)
{
	struct block *b = open_direct("cache", BLOCK_FILE_AUTO);
	uint8_t out[4096], in[4096];
	auto_close int fd = -1;

	if (!b)
		return;
	fd = open(container_of(b, struct file, b)->path, O_RDWR | O_CLOEXEC);
	check_or_return(fd >= 0);
	check_eq(pread(fd, in, sizeof in, 8192), sizeof in);
	fill(out, sizeof out, 1);
	check_eq(run(b, BLOCK_WRITE, 8192, out, sizeof out, false), 0);
	check_eq(pread(fd, in, sizeof in, 8192), sizeof in);
	check(!memcmp(in, out, sizeof in));
	fill(out, sizeof out, 2);
	check_eq(pwrite(fd, out, sizeof out, 8192), sizeof out);
	check_eq(run(b, BLOCK_READ, 8192, in, sizeof in, false), 0);
	check(!memcmp(in, out, sizeof in));
	block_free(b);
}

static void cut_short(enum block_file_engine engine)
{
	struct block *b = open_direct("short", engine);
	uint8_t data[8192 + 1];

	if (!b)
		return;
	check(!truncate(container_of(b, struct file, b)->path, 4096));
	check_eq(run(b, BLOCK_READ, 0, data + 1, 8192, false), -EIO);
	check_eq(run(b, BLOCK_READ, 0, data + 1, 4096, false), 0);
	block_free(b);
}

static void a_file_cut_short_gives_eio(void)
{
	each_engine(cut_short);
}

/* Through the page cache where a file system has nothing else. */
static void memory_file_systems_serve_too(void)
{
	static const char path[] = "/dev/shm/hull-unit-file-direct";
	struct statfs fs;
	uint8_t out[1024], in[1024];
	struct block *b;
	auto_close int fd = -1;

	if (statfs("/dev/shm", &fs) || fs.f_type != 0x01021994 || (fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0) {
		suite_skip("no tmpfs at /dev/shm");
		return;
	}
	check(!ftruncate(fd, SIZE));
	b = open_block(path, BLOCK_FILE_AUTO);
	unlink(path);
	fill(out, sizeof out, 9);
	check_eq(run(b, BLOCK_WRITE, 512, out + 1, 512, true), 0);
	check_eq(run(b, BLOCK_READ, 512, in + 3, 512, false), 0);
	check(!memcmp(in + 3, out + 1, 512));
	block_free(b);
}

static const struct test tests[] = {
	{ "odd memory is copied", odd_memory_is_copied },
	{ "pieces that end inside sectors are copied", pieces_that_end_inside_sectors_are_copied },
	{ "only what must be is copied", only_what_must_be_is_copied },
	{ "agrees with the page cache", agrees_with_the_page_cache },
	{ "a file cut short gives EIO", a_file_cut_short_gives_eio },
	{ "memory file systems serve too", memory_file_systems_serve_too },
	{ NULL, NULL },
};
const struct suite suite_hv_block_file_direct = { tests };
