/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program: from its first flock(2) on, the allocation that ALLOC_FAIL names fails (1: the first). Before that
 * OpenSSL 3.0 finds its feet, and falls over an allocation that fails meanwhile: it takes a lock that could not be made.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t len);
extern void *__libc_calloc(size_t n, size_t len);
extern void *__libc_realloc(void *p, size_t len);

static long left;	/* 0: not counting */

static int fails(void)
{
	if (!left || --left)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t len) { return fails() ? NULL : __libc_malloc(len); }
void *calloc(size_t n, size_t len) { return fails() ? NULL : __libc_calloc(n, len); }
void *realloc(void *p, size_t len) { return fails() ? NULL : __libc_realloc(p, len); }

int flock(int fd, int how)
{
	const char *which = getenv("ALLOC_FAIL");

	left = which ? atol(which) : 0;
	return (int)syscall(SYS_flock, fd, how);
}
