/* SPDX-License-Identifier: Apache-2.0 */
/* Real devices and file systems, where this machine lets us have them: claims, and media that run out. */
#include <linux/loop.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "lib/filelock.h"
#include "tests/unit/hv/block/file_rig.h"

/* A loop device that goes away with the descriptor; -1: none to be had. Another process may take the free one first. */
static int make_device(const char *backing, char path[32])
{
	struct loop_config config = { .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	auto_close int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), file = open(backing, O_RDWR | O_CLOEXEC);

	for (unsigned i = 0; i < 20 && control >= 0 && file >= 0; i++) {
		int fd, n = ioctl(control, LOOP_CTL_GET_FREE);

		snprintf(path, 32, "/dev/loop%d", n);
		fd = n < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
		config.fd = (unsigned)file;
		if (fd >= 0 && !ioctl(fd, LOOP_CONFIGURE, &config))
			return fd;
		scope_close(&fd);
	}
	suite_skip("no loop device to be had here");
	return -1;
}

static int open_excl(const char *path)
{
	return open(path, O_RDWR | O_EXCL | O_CLOEXEC);
}

static void still_works(struct block *b, uint8_t value)
{
	uint8_t out[4096], in[4096], zero[4096] = { 0 };

	memset(out, value, sizeof out);
	check_eq(run(b, BLOCK_WRITE, 4096, out, sizeof out, true), 0);
	check_eq(run(b, BLOCK_READ, 4096, in, sizeof in, false), 0);
	check(!memcmp(in, out, sizeof in));
	check_eq(run(b, BLOCK_WRITE_ZEROES, 4096, NULL, 4096, false), 0);
	check_eq(run(b, BLOCK_READ, 4096, in, sizeof in, false), 0);
	check(!memcmp(in, zero, sizeof in));
	check_eq(run(b, BLOCK_DISCARD, 4096, NULL, 4096, false), 0);
	check_eq(run(b, BLOCK_FLUSH, 0, NULL, 0, false), 0);
}

static void still_locked(const char *path)
{
	auto_close int fd = open(path, O_RDWR | O_CLOEXEC);

	check_eq(filelock_take(fd, path, false, NULL), -EBUSY);
}

static void a_claim_is_let_go_of_and_taken_again(void)
{
	char path[32], expected[200];
	auto_close int device = make_device(make_file("claim", SIZE), path);
	struct err err = { .text = "" };
	struct block *b, *second;
	int agent;

	if (device < 0)
		return;
	b = open_block(path, BLOCK_FILE_AUTO);
	check_eq(open_excl(path), -1);
	still_works(b, 1);
	check_eq(block_file_take_claim(b, &err), 0);	/* has it */
	block_file_release_claim(b);
	block_file_release_claim(b);
	agent = open_excl(path);
	check(agent >= 0);
	still_works(b, 2);
	still_locked(path);
	snprintf(expected, sizeof expected, "%s: device is in use (mounted, or part of another device); release it first", path);
	check_eq(block_file_take_claim(b, &err), -EBUSY);
	check_str(err.text, expected);
	err.text[0] = 0;
	check_eq(block_file_open(path, false, NULL, &second, &err), -EBUSY);
	check_str(err.text, expected);
	close(agent);
	check_eq(block_file_take_claim(b, &err), 0);
	check_eq(open_excl(path), -1);
	still_works(b, 3);
	still_locked(path);
	block_free(b);
	agent = open_excl(path);
	check(agent >= 0);
	scope_close(&agent);
}

static void files_and_readers_have_no_claim(void)
{
	const char *path = make_file("noclaim", SIZE);
	struct block *b = open_block(path, BLOCK_FILE_POOL);

	block_file_release_claim(b);
	check_eq(block_file_take_claim(b, NULL), 0);
	still_works(b, 4);
	still_locked(path);
	block_free(b);
	check_eq(block_file_open(path, true, NULL, &b, NULL), 0);
	check_eq(block_file_take_claim(b, NULL), 0);
	block_free(b);
}

static void a_device_tells_its_sectors(void)
{
	char path[32];
	auto_close int device = make_device(make_file("sectors", SIZE), path);
	unsigned size = 4096;
	uint8_t data[8192], back[8192];
	struct block *b;

	if (device < 0 || ioctl(device, LOOP_SET_BLOCK_SIZE, size))
		return;
	b = open_block(path, BLOCK_FILE_AUTO);
	check_eq(b->logical, 4096);
	check_eq(b->size, SIZE);
	check_eq(run(b, BLOCK_READ, 512, data, 512, false), -EINVAL);
	memset(data, 0x5a, sizeof data);
	check_eq(run(b, BLOCK_WRITE, 4096, data + 1, 4096, false), 0);
	check_eq(run(b, BLOCK_READ, 4096, back + 7, 4096, false), 0);
	check(!memcmp(data, back + 7, 4096));
	block_free(b);
}

/* ---- media that run out */

/* A file of 8 MiB on a tmpfs of one. Without the right to mount there is none. */
static const char *small_disk(char *folder, size_t room)
{
	static char path[600];
	auto_close int fd = -1;

	snprintf(folder, room, "%s", suite_tmp("small"));
	if (mkdir(folder, 0700) || mount("hull", folder, "tmpfs", MS_NODEV | MS_NOSUID, "size=1m"))
		return NULL;
	snprintf(path, sizeof path, "%s/disk", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(fd >= 0 && !ftruncate(fd, SIZE));
	return path;
}

static void fills_up(enum block_file_engine engine)
{
	static uint8_t data[1 << 20], zero[4096];
	char folder[512];
	const char *path = small_disk(folder, sizeof folder);
	struct block *b;

	if (!path) {
		suite_note("may not mount: real ENOSPC is not tested");
		rmdir(folder);
		return;
	}
	b = open_block(path, engine);
	memset(data, 7, sizeof data);
	check_eq(run(b, BLOCK_WRITE, 0, data, 512 << 10, false), 0);
	check_eq(run(b, BLOCK_WRITE, 1 << 20, data, sizeof data, false), -ENOSPC);
	check_eq(run(b, BLOCK_WRITE_ZEROES, 4 << 20, NULL, 2 << 20, false), -ENOSPC);
	check_eq(run(b, BLOCK_FLUSH, 0, NULL, 0, false), 0);
	check_eq(run(b, BLOCK_READ, 0, data, 4096, false), 0);
	check_eq(data[0], 7);
	check_eq(run(b, BLOCK_READ, 7 << 20, data, 4096, false), 0);
	check(!memcmp(data, zero, 4096));
	block_free(b);
	check(!umount2(folder, MNT_DETACH));
	check(!rmdir(folder));
}

static void a_full_file_system_gives_enospc(void)
{
	each_engine(fills_up);
}

/* The whole process is bounded for a moment; the suites run one after the other. */
static void is_bounded(enum block_file_engine engine)
{
	struct block *b = open_block(make_file("bounded", SIZE), engine);
	struct rlimit old, less;
	uint8_t data[4096] = { 0 };
	void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);

	check(!getrlimit(RLIMIT_FSIZE, &old));
	less = (struct rlimit){ .rlim_cur = 1 << 20, .rlim_max = old.rlim_max };
	check(!setrlimit(RLIMIT_FSIZE, &less));
	check_eq(run(b, BLOCK_WRITE, 0, data, 4096, false), 0);
	check_eq(run(b, BLOCK_WRITE, 2 << 20, data, 4096, false), -EFBIG);
	check_eq(run(b, BLOCK_READ, 2 << 20, data, 4096, false), 0);
	check(!setrlimit(RLIMIT_FSIZE, &old));
	signal(SIGXFSZ, handler);
	check_eq(run(b, BLOCK_WRITE, 2 << 20, data, 4096, false), 0);
	block_free(b);
}

static void a_size_limit_gives_efbig(void)
{
	each_engine(is_bounded);
}

/* All the room of the small file system. */
static void use_up(const char *folder)
{
	static const uint8_t data[1 << 16];
	char path[600];
	auto_close int fd = -1;

	snprintf(path, sizeof path, "%s/rest", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	check(fd >= 0);
	while (write(fd, data, sizeof data) > 0)
		;
	check_eq(errno, ENOSPC);
}

static void a_device_that_fails_writes_says_so(void)
{
	char folder[512], device_path[32];
	const char *path = small_disk(folder, sizeof folder);
	static uint8_t data[65536];
	struct block *b;
	int device;

	if (!path) {
		suite_note("may not mount: a real device's errors are not tested");
		rmdir(folder);
		return;
	}
	device = make_device(path, device_path);
	if (device >= 0) {
		b = open_block(device_path, BLOCK_FILE_AUTO);
		memset(data, 9, sizeof data);
		check_eq(run(b, BLOCK_WRITE, 0, data, 4096, true), 0);
		use_up(folder);
		/* A write beside the page cache says so itself, not some later flush. */
		check_eq(run(b, BLOCK_WRITE, 2 << 20, data, 65536, false), -ENOSPC);
		check_eq(run(b, BLOCK_READ, 0, data, 4096, false), 0);
		block_free(b);
		close(device);
	}
	umount2(folder, MNT_DETACH);
	check(!rmdir(folder));
}

static const struct test tests[] = {
	{ "a claim is let go of and taken again", a_claim_is_let_go_of_and_taken_again },
	{ "files and readers have no claim", files_and_readers_have_no_claim },
	{ "a device tells its sectors", a_device_tells_its_sectors },
	{ "a full file system gives ENOSPC", a_full_file_system_gives_enospc },
	{ "a size limit gives EFBIG", a_size_limit_gives_efbig },
	{ "a device that fails writes says so", a_device_that_fails_writes_says_so },
	{ NULL, NULL },
};
const struct suite suite_hv_block_file_open = { tests };
