/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/secret.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/scope.h"
#include "tests/unit/suite.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };		/* mlock does nothing then, and faults are caught */
#else
enum { SANITIZED = 0 };
#endif

/* Runs fn in a child; its exit status, or 128 and a signal's number. */
static int in_child(int (*fn)(void *ctx), void *ctx)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		_exit(fn(ctx));
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static bool all(const uint8_t *p, uint8_t value, size_t len)
{
	while (len--) {
		if (*p++ != value)
			return false;
	}
	return true;
}

/* The flags of the mapping that p lies in, as the kernel tells them: " rd wr … ". */
static void mapping_flags(const void *p, char *flags, size_t room)
{
	auto_fclose FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	bool here = false;

	flags[0] = 0;
	while (f && fgets(line, sizeof line, f)) {
		uintptr_t from, to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			here = (uintptr_t)p >= from && (uintptr_t)p < to;
		else if (here && !strncmp(line, "VmFlags:", 8))
			snprintf(flags, room, "%s", line + 8);
	}
}

static void memory_is_locked_not_dumped_and_not_inherited(void)
{
	void *small = secret_alloc(32), *large = secret_alloc(100000);
	char flags[256];

	check_or_return(small && large);
	for (unsigned i = 0; i < 2; i++) {
		mapping_flags(i ? large : small, flags, sizeof flags);
		check(SANITIZED || strstr(flags, " lo "));
		check(strstr(flags, " dd ") != NULL);
		check(strstr(flags, " wf ") != NULL);
	}
	secret_free(small);
	secret_free(large);
}

static int child_sees_zeroes(void *ctx)
{
	int r = all(ctx, 0, 64) ? 0 : 1;

	secret_free(ctx);	/* and can still clean up */
	return r;
}

static void a_child_finds_nothing(void)
{
	uint8_t *p = secret_alloc(64);

	check_or_return(p);
	memset(p, 0x5a, 64);
	check_eq(in_child(child_sees_zeroes, p), 0);
	check(all(p, 0x5a, 64));
	secret_free(p);
}

static int write_byte(void *ctx)
{
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	signal(SIGSEGV, SIG_DFL);
	*(volatile uint8_t *)ctx = 1;
	return 0;
}

static void overruns_meet_a_guard_page(void)
{
	uint8_t *p = secret_alloc(3 * 16384);

	check_or_return(p);
	check_eq(in_child(write_byte, p + 3 * 16384 - 1), 0);
	if (!SANITIZED) {
		check_eq(in_child(write_byte, p + 3 * 16384), 128 + SIGSEGV);
		check_eq(in_child(write_byte, p - 1), 128 + SIGSEGV);
	}
	secret_free(p);
}

static void what_is_freed_is_wiped(void)
{
	uint8_t *keep = secret_alloc(16), *p = secret_alloc(500), *again;

	check_or_return(keep && p);
	check(all(p, 0, 500));
	memset(p, 0x5a, 500);
	secret_free(p);
	check(all(p, 0, 500));	/* the arena is there as long as keep is */
	again = secret_alloc(500);
	check(again && all(again, 0, 500));
	secret_free(again);
	secret_free(keep);
	secret_free(NULL);
}

static void allocations_do_not_overlap(void)
{
	enum { N = 64 };
	uint8_t *p[N] = { 0 };
	size_t len[N] = { 0 };
	uint32_t seed = 1;

	for (unsigned round = 0; round < 20000; round++) {
		unsigned i;

		seed = seed * 1664525 + 1013904223;
		i = seed >> 26;
		if (p[i] && !all(p[i], (uint8_t)(i + 1), len[i])) {
			check(false);
			break;
		}
		secret_free(p[i]);
		len[i] = (seed >> 8) % 2000;
		p[i] = secret_alloc(len[i]);
		check_or_return(p[i]);
		if ((uintptr_t)p[i] % 64 || !all(p[i], 0, len[i])) {
			check(false);
			break;
		}
		memset(p[i], (int)i + 1, len[i]);
	}
	for (unsigned i = 0; i < N; i++)
		secret_free(p[i]);
}

static int exhaust(void *ctx)
{
	struct rlimit limit = { 65536, 65536 };
	struct err err = { 0 };
	struct secret s;
	unsigned got = 0;

	/* Whoever may lock without limit gets no refusal: become somebody who may not. */
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || (!geteuid() && setresuid(65534, 65534, 65534)))
		return 100;
	while (got < 100 && secret_alloc(16384))
		got++;
	if (got == 100)
		return 101;
	if (secret_create(&s, 16384) != -errno || s.data || s.len)
		return 102;
	if (secret_refused(&err, -EAGAIN) != -EAGAIN || !strstr(err.text, "64 KiB, raise it (ulimit -l, or LimitMEMLOCK="))
		return 103;
	return secret_alloc(SIZE_MAX) ? 104 : 0;
}

static void a_limit_that_is_too_low_is_named(void)
{
	if (SANITIZED)
		suite_skip("sanitizers make mlock do nothing");
	else
		check_eq(in_child(exhaust, NULL), 0);
}

static void *churn(void *arg)
{
	for (unsigned i = 0; i < 2000; i++) {
		uint8_t *p = secret_alloc(i % 300 + 1);

		if (!p || !all(p, 0, i % 300 + 1))
			return arg;
		memset(p, 1, i % 300 + 1);
		secret_free(p);
	}
	return NULL;
}

static void threads_share_it(void)
{
	pthread_t t[4];
	void *failed;

	for (unsigned i = 0; i < array_len(t); i++)
		check_eq(pthread_create(&t[i], NULL, churn, t), 0);
	for (unsigned i = 0; i < array_len(t); i++) {
		check_eq(pthread_join(t[i], &failed), 0);
		check(!failed);
	}
}

static void secrets_are_made_copied_compared(void)
{
	struct secret a = { 0 }, b;

	secret_destroy(&a);
	check_eq(secret_create(&a, 32), 0);
	check(all(a.data, 0, 32));
	secret_random(a.data, a.len);
	check(!all(a.data, 0, 32));
	check_eq(secret_copy(&b, a.data, a.len), 0);
	check(b.data != a.data);
	check(secret_equal(a.data, b.data, 32));
	b.data[31] ^= 1;
	check(!secret_equal(a.data, b.data, 32));
	check(secret_equal(a.data, b.data, 0));
	secret_wipe(b.data, b.len);
	check(all(b.data, 0, 32));
	secret_destroy(&a);
	secret_destroy(&b);
	check(!b.data && !b.len);
}

static void write_file(const char *path, size_t len)
{
	auto_fclose FILE *f = fopen(path, "w");

	for (size_t i = 0; f && i < len; i++)
		fputc((int)(i * 7 & 255), f);
}

static void files_are_read_whole_or_refused(void)
{
	const char *path = suite_tmp("key"), *missing = suite_tmp("missing");
	static const size_t lens[] = { 0, 1, 64, 1023, 1024, 1025, 5000 };
	struct err err = { 0 };
	struct secret s;
	char want[700];
	int pipes[2];

	for (unsigned i = 0; i < array_len(lens); i++) {
		write_file(path, lens[i]);
		check_eq(secret_read_file(path, 5000, &s, &err), 0);
		check_eq(s.len, lens[i]);
		for (size_t k = 0; k < s.len; k++)
			check(s.data[k] == (k * 7 & 255));
		secret_destroy(&s);
	}
	check_eq(secret_read_file(path, 4999, &s, &err), -EFBIG);
	snprintf(want, sizeof want, "%s: longer than 4999 bytes, so it is not a key that can be used here", path);
	check_str(err.text, want);
	check(!s.data && !s.len);
	check_eq(secret_read_file(path, 4999, &s, NULL), -EFBIG);
	check_eq(secret_read_file(missing, 10, &s, &err), -ENOENT);
	snprintf(want, sizeof want, "%s: cannot open: No such file or directory", missing);
	check_str(err.text, want);
	check_eq(secret_read_file("/", 10, &s, &err), -EISDIR);
	check_str(err.text, "/: cannot read: Is a directory");
	check_or_return(!pipe(pipes));
	check_eq(write(pipes[1], "secret", 6), 6);
	close(pipes[1]);
	check_eq(secret_read_fd(pipes[0], "descriptor 3", 6, &s, &err), 0);
	check(s.len == 6 && !memcmp(s.data, "secret", 6));
	secret_destroy(&s);
	close(pipes[0]);
	check_eq(secret_read_fd(-1, "descriptor 9", 6, &s, &err), -EBADF);
	check_str(err.text, "descriptor 9: cannot read: Bad file descriptor");
}

/* A fresh process image would be needed to call it first thing: OpenSSL has been in use here, so only the rest holds. */
static int harden(void *ctx)
{
	struct rlimit limit;

	secret_harden();
	secret_openssl_begin();
	secret_openssl_end();
	getrlimit(RLIMIT_CORE, &limit);
	return prctl(PR_GET_DUMPABLE) || limit.rlim_cur || limit.rlim_max;
}

static void a_hardened_process_leaves_no_core(void)
{
	check_eq(in_child(harden, NULL), 0);
}

static const struct test tests[] = {
	{ "memory is locked, not dumped, not inherited", memory_is_locked_not_dumped_and_not_inherited },
	{ "a child finds nothing", a_child_finds_nothing },
	{ "overruns meet a guard page", overruns_meet_a_guard_page },
	{ "what is freed is wiped", what_is_freed_is_wiped },
	{ "allocations do not overlap", allocations_do_not_overlap },
	{ "a limit that is too low is named", a_limit_that_is_too_low_is_named },
	{ "threads share it", threads_share_it },
	{ "secrets are made, copied, compared", secrets_are_made_copied_compared },
	{ "files are read whole or refused", files_are_read_whole_or_refused },
	{ "a hardened process leaves no core", a_hardened_process_leaves_no_core },
	{ NULL, NULL },
};
const struct suite suite_crypto_secret = { tests };
