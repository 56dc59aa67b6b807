/* SPDX-License-Identifier: Apache-2.0 */
/* A writer is killed at any moment: what is there afterwards is the old store or the new one, whole. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "crypto/keystore.h"
#include "lib/scope.h"
#include "tests/unit/suite.h"

#define KEY "0123456789abcdef0123456789abcdef"
enum { ROUNDS = 250, RECORD = 20000 };

static void free_store(struct keystore **ks) { keystore_close(*ks); }
#define STORE cleanup(free_store) struct keystore

static int open_store(const char *path, bool create, struct keystore **ks)
{
	struct keystore_unlock u = { .way = KEYSTORE_FILE };
	struct err err;
	int rc = secret_copy(&u.secret, KEY, strlen(KEY));

	if (!rc)
		rc = create ? keystore_create(path, &u, ks, &err) : keystore_open(path, &u, ks, &err);
	secret_destroy(&u.secret);
	return rc;
}

static int set_count(struct keystore *ks, uint32_t n)
{
	static uint32_t record[RECORD / 4];
	struct err err;

	for (size_t i = 0; i < array_len(record); i++)
		record[i] = n;
	return keystore_record_set(ks, "count", record, sizeof record, &err);
}

/* Every commit counts one up, and renews a volume's key; `done` is what has been committed. */
static void write_forever(const char *path, volatile uint32_t *done)
{
	struct keystore *ks;
	struct err err;

	if (open_store(path, false, &ks))
		_exit(1);
	for (uint32_t n = *done;;) {
		if (keystore_begin(ks, &err))
			_exit(2);
		if (keystore_volume_remove(ks, "s", "v", &err) | keystore_volume_add(ks, "s", "v", &err) | set_count(ks, n + 1))
			_exit(3);
		if (keystore_commit(ks, &err))
			_exit(4);
		*done = ++n;
	}
}

/* The count in the store, which must be whole. */
static bool read_count(const char *path, uint32_t *count)
{
	STORE *ks = NULL;
	cleanup(secret_destroy) struct secret record = { 0 }, key = { 0 };
	struct err err = { .text = "" };
	int rc = open_store(path, false, &ks);

	if (!rc)
		rc = keystore_verify(ks, &err);
	if (!rc)
		rc = keystore_record_get(ks, "count", &record, &err);
	if (!rc)
		rc = keystore_volume_key(ks, "s", "v", &key, &err);
	if (rc || record.len != RECORD) {
		suite_note("store: %d %s, record of %zu", rc, err.text, record.len);
		return false;
	}
	memcpy(count, record.data, 4);
	for (size_t i = 4; i < record.len; i++)
		if (record.data[i] != record.data[i - 4])
			return false;
	return true;
}

static void a_killed_writer_leaves_the_old_or_the_new_store(void)
{
	const char *path = suite_tmp("killed");
	uint32_t *done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), count = 0, ahead = 0, left = 0;
	STORE *ks = NULL;
	struct err err;
	unsigned seed = 1;
	char name[600];

	check_or_return(done != MAP_FAILED && !open_store(path, true, &ks));
	check_or_return(!keystore_begin(ks, &err) && !keystore_server_add(ks, "s", &err) && !keystore_volume_add(ks, "s", "v", &err) &&
		!set_count(ks, 0) && !keystore_commit(ks, &err));
	snprintf(name, sizeof name, "%s.new", path);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t before = *done;
		pid_t pid = fork();
		int status;

		if (!pid)
			write_forever(path, done);
		check_or_return(pid > 0);
		/* At least every tenth round something is committed; elsewhere the blow falls at once. */
		while (i % 10 == 0 && *done == before && !waitpid(pid, &status, WNOHANG))
			;
		nanosleep(&(struct timespec){ .tv_nsec = rand_r(&seed) % 3000000 }, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		check_or_return(read_count(path, &count));
		check(count == *done || count == *done + 1);
		ahead += count != *done;
		left += !access(name, F_OK);
		*done = count;
	}
	suite_note("%u writers killed, %u commits; %u had renamed and not said so, %u left a part of a new file", ROUNDS, *done,
		ahead, left);
	check(*done >= ROUNDS / 10);
	munmap(done, 4096);
}

static const struct test tests[] = {
	{ "a killed writer leaves the old or the new store", a_killed_writer_leaves_the_old_or_the_new_store },
	{ NULL, NULL },
};
const struct suite suite_crypto_keystore_crash = { tests };
