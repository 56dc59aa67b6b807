/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/disks.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "hv/block/meter.h"
#include "hv/machine.h"
#include "lib/scope.h"
#include "tests/unit/suite.h"

#define MIB (1u << 20)

/* Two disks of 3 and 1 MiB, volumes a, b, c of 2 MiB each. */
struct bench { struct machine m; struct env env; struct options options; char path[3][256]; struct err err; };

static struct bench t;

static int create(const char *text)
{
	char placement[4096];

	config_free(t.options.placement);
	snprintf(placement, sizeof placement, "%s\nvolume.a = %s\nvolume.b = %s\nvolume.c = %s\n", text, t.path[0], t.path[1], t.path[2]);
	t.err = (struct err){ 0 };
	CU_ASSERT_FATAL(!config_parse("t", placement, strlen(placement), &t.options.placement, &t.err));
	return disks_create(&t.m, &t.err);
}

static void open_bench(void)
{
	t = (struct bench){ .env = { .hostname = "web", .pci_count = 1 } };
	t.env.pci[0] = (struct env_pci){ .kind = ENV_PCI_AHCI, .disk_count = 3 };
	t.env.pci[0].disks[0] = (struct env_disk){ .name = "sda", .size = 3 * MIB, .logical = 512 };
	t.env.pci[0].disks[1] = (struct env_disk){ .name = "sdb", .size = MIB, .logical = 512, .port = 1 };
	t.env.pci[0].disks[2] = (struct env_disk){ .name = "cd0", .medium = ENV_CD, .port = 2 };
	t.m.env = &t.env;
	t.m.options = &t.options;
	CU_ASSERT_FATAL(!loop_create(&t.m.loop, &t.err));
	clock_real_init(&t.m.clock, t.m.loop);
	for (unsigned i = 0; i < 3; i++) {
		char name[] = "disks-a";

		name[6] += (char)i;
		snprintf(t.path[i], sizeof t.path[i], "%s", suite_tmp(name));
		auto_close int fd = open(t.path[i], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		CU_ASSERT_FATAL(fd >= 0 && !ftruncate(fd, 2 * MIB));
	}
}

static void close_bench(void)
{
	disks_free(&t.m);
	clock_real_free(&t.m.clock);
	loop_free(t.m.loop);
	config_free(t.options.placement);
}

static void done(struct block_req *req, int r)
{
	*(int *)req->ctx = r;
}

static int put(const char *disk, uint64_t off, void *data, size_t len)
{
	struct block *b = disks_find(&t.m, disk);
	struct iovec iov = { data, len };
	int result = 1;
	struct block_req req = { .op = BLOCK_WRITE, .off = off, .len = len, .iov = &iov, .iov_count = 1, .done = done, .ctx = &result };

	CU_ASSERT_FATAL(b != NULL);
	block_submit(b, &req);
	block_drain(b);
	return result;
}

static void check_bytes(unsigned volume, off_t off, const void *data, size_t len)
{
	static uint8_t back[MIB];
	auto_close int fd = open(t.path[volume], O_RDONLY | O_CLOEXEC);

	check_eq(pread(fd, back, len, off), len);
	check(!memcmp(back, data, len));
}

static void parts_end_where_the_placement_says(void)
{
	static uint8_t data[MIB];
	const struct block_meter *meter;

	open_bench();
	check_eq(create("disk.sda = a b@1M+1M\ndisk.sdb = b@0+1M\ndisk.sda.rate = 1G/s"), 0);
	if (t.err.text[0])
		suite_note("%s", t.err.text);
	memset(data, 1, sizeof data);
	check_eq(put("sda", 3 * MIB / 2, data, sizeof data), 0);
	check_bytes(0, 3 * MIB / 2, data, MIB / 2);
	check_bytes(1, MIB, data, MIB / 2);
	memset(data, 2, sizeof data);
	check_eq(put("sdb", MIB / 2, data, MIB / 2), 0);
	check_bytes(1, MIB / 2, data, MIB / 2);
	check(!disks_find(&t.m, "cd0"));
	check(disks_volume(&t.m, "b") != NULL && !disks_volume(&t.m, "b")->crypt && disks_volume(&t.m, "b")->snapshot);
	check(!disks_volume(&t.m, "c"));
	check(t.m.disks.disk[0].limit && !t.m.disks.disk[1].limit);
	meter = block_meter_read(t.m.disks.disk[0].meter);
	check_eq(meter->op[BLOCK_WRITE].ops, 1);
	check_eq(meter->op[BLOCK_WRITE].bytes, MIB);
	close_bench();
}

static void disks_that_can_not_be_are_refused(void)
{
	static const struct { const char *text, *message; } bad[] = {
		{ "disk.sda = a b\ndisk.sdb = b@1M+1M", "disk sdb: its part 1 of volume b overlaps with part 2 of disk sda" },
		{ "disk.sda = a a@0+1M\ndisk.sdb = b", "disk sda: its part 2 of volume a overlaps with part 1 of disk sda" },
		{ "disk.sda = a b@0+512K\ndisk.sdb = c", "disk sda: its parts are too short: together they have 2621440 bytes, the "
		  "environment says 3145728" },
		{ "disk.sda = a b@1M+2M\ndisk.sdb = c", "disk sda: part 2: 1048576+2097152 is beyond the volume's end: it has 2097152 bytes" },
	};

	for (unsigned i = 0; i < array_len(bad); i++) {
		open_bench();
		check_eq(create(bad[i].text), -EINVAL);
		check_str(t.err.text, bad[i].message);
		close_bench();
	}
}

static void ciphertext_is_not_taken_for_a_disk(void)
{
	open_bench();
	{
		auto_close int fd = open(t.path[1], O_WRONLY | O_CLOEXEC);

		check_eq(pwrite(fd, "LUKS\xba\xbe\0\2", 8, 0), 8);
	}
	check_eq(create("disk.sda = a b\ndisk.sdb = c"), -EINVAL);
	check(strstr(t.err.text, "disk sda: ") == t.err.text);
	check(strstr(t.err.text, ": is encrypted (LUKS): give volume.b.key, or `volume.b.key = none` if the server itself "
		     "encrypts it") != NULL);
	disks_free(&t.m);
	check_eq(create("disk.sda = a b\ndisk.sdb = c\nvolume.b.key = none"), 0);
	close_bench();
}

static void a_volume_in_use_is_refused(void)
{
	open_bench();
	auto_close int fd = open(t.path[0], O_RDWR | O_CLOEXEC);
	struct flock whole = { .l_type = F_WRLCK };

	check_eq(fcntl(fd, F_OFD_SETLK, &whole), 0);
	check_eq(create("wait = 0\ndisk.sda = b a\ndisk.sdb = c"), -EBUSY);
	check(strstr(t.err.text, "disk sda: ") == t.err.text && strstr(t.err.text, "in use"));
	close_bench();
}

static void *let_go(void *ctx)
{
	nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	close(*(int *)ctx);
	return NULL;
}

static void a_volume_in_use_is_waited_for(void)
{
	struct flock whole = { .l_type = F_WRLCK };
	pthread_t thread;
	int fd;

	open_bench();
	fd = open(t.path[0], O_RDWR | O_CLOEXEC);
	check_eq(fcntl(fd, F_OFD_SETLK, &whole), 0);
	CU_ASSERT_FATAL(!pthread_create(&thread, NULL, let_go, &fd));
	check_eq(create("wait = 1m\ndisk.sda = b a\ndisk.sdb = c"), 0);
	check_str(t.err.text, "");
	pthread_join(thread, NULL);
	disks_free(&t.m);
	check_eq(create("wait = soon\ndisk.sda = b a\ndisk.sdb = c"), -EINVAL);
	check_str(t.err.text, "wait \"soon\": is not a number and s, m, h or d");
	close_bench();
}

static void every_failed_volume_leaves_nothing_behind(void)
{
	open_bench();
	check_eq(create("disk.sda = a nowhere\ndisk.sdb = c"), -ENOENT);
	check(!strncmp(t.err.text, "disk sda: nowhere: ", 19));
	disks_free(&t.m);
	check_eq(create("disk.sda = a b\ndisk.sdb = c\nvolume.b.snapshot = /nowhere/at/all"), -ENOENT);
	disks_free(&t.m);
	/* whatever was opened is free again */
	check_eq(create("disk.sda = a b\ndisk.sdb = c"), 0);
	close_bench();
}

static const struct test tests[] = {
	{ "parts end where the placement says", parts_end_where_the_placement_says },
	{ "disks that can't be are refused", disks_that_can_not_be_are_refused },
	{ "ciphertext is not taken for a disk", ciphertext_is_not_taken_for_a_disk },
	{ "a volume in use is refused", a_volume_in_use_is_refused },
	{ "a volume in use is waited for", a_volume_in_use_is_waited_for },
	{ "every failed volume leaves nothing behind", every_failed_volume_leaves_nothing_behind },
	{ NULL, NULL },
};
const struct suite suite_hv_disks = { tests };
