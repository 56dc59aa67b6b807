/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/filelock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include "lib/scope.h"
#include "tests/unit/suite.h"

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CREAT | O_CLOEXEC, 0600);

	CU_ASSERT_FATAL(fd >= 0);
	return fd;
}

static void refused(int fd, bool shared)
{
	struct err err = { .text = "" };

	check_eq(filelock_take(fd, "/vol/x", shared, &err), -EBUSY);
	check_str(err.text, "/vol/x: disk is in use by another process (locked); stop it first");
}

static void one_writer_alone(void)
{
	const char *path = suite_tmp("writer");
	auto_close int second = open_file(path, O_RDWR);
	int first = open_file(path, O_RDWR);

	check_eq(filelock_take(first, path, false, NULL), 0);
	refused(second, false);
	refused(second, true);
	close(first);
	check_eq(filelock_take(second, path, false, NULL), 0);
}

static void readers_share(void)
{
	const char *path = suite_tmp("readers");
	auto_close int first = open_file(path, O_RDWR), second = open_file(path, O_RDONLY), writer = open_file(path, O_RDWR);

	check_eq(filelock_take(first, path, true, NULL), 0);
	check_eq(filelock_take(second, path, true, NULL), 0);
	refused(writer, false);
}

static void either_kind_of_lock_counts(void)
{
	const char *path = suite_tmp("kinds");
	auto_close int fd = open_file(path, O_RDWR);
	int tool = open_file(path, O_RDWR), hypervisor;

	check(!flock(tool, LOCK_SH | LOCK_NB));
	refused(fd, false);
	close(tool);
	hypervisor = open_file(path, O_RDWR);
	check(!fcntl(hypervisor, F_OFD_SETLK, &(struct flock){ .l_type = F_RDLCK, .l_start = 100, .l_len = 1 }));
	refused(fd, false);
	close(hypervisor);
	check_eq(filelock_take(fd, path, false, NULL), 0);
}

/* A refusal by the second kind must not keep the first: the tools would find a lock that nobody seems to hold. */
static void a_refused_lock_leaves_nothing(void)
{
	const char *path = suite_tmp("leaves");
	auto_close int fd = open_file(path, O_RDWR), hypervisor = open_file(path, O_RDWR), tool = open_file(path, O_RDWR);

	check(!fcntl(hypervisor, F_OFD_SETLK, &(struct flock){ .l_type = F_WRLCK, .l_len = 1 }));
	refused(fd, false);
	check(!flock(tool, LOCK_EX | LOCK_NB));
}

static void what_cannot_be_locked_is_told(void)
{
	struct err err = { .text = "" };
	auto_close int fd = open_file(suite_tmp("readonly"), O_RDONLY);

	check_eq(filelock_take(-1, "/vol/x", false, &err), -EBADF);
	check_str(err.text, "/vol/x: cannot lock: Bad file descriptor");
	check_eq(filelock_take(fd, "/vol/x", false, &err), -EBADF);	/* an exclusive lock needs a descriptor that can write */
}

static const struct test tests[] = {
	{ "one writer alone", one_writer_alone },
	{ "readers share", readers_share },
	{ "either kind of lock counts", either_kind_of_lock_counts },
	{ "a refused lock leaves nothing", a_refused_lock_leaves_nothing },
	{ "what cannot be locked is told", what_cannot_be_locked_is_told },
	{ NULL, NULL },
};
const struct suite suite_lib_filelock = { tests };
