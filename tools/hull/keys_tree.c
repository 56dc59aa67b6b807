/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "lib/scope.h"
#include "tools/hull/keys.h"

static void free_store(struct keystore **ks) { keystore_close(*ks); }
#define STORE cleanup(free_store) struct keystore

typedef int change_fn(struct keystore *ks, char **argv, struct err *err);

/* One change as one transaction; question: what to ask before, NULL: nothing. */
static int change(const struct keys_call *call, change_fn *fn, const char *question)
{
	STORE *ks = NULL;
	struct err err;

	if (question && !call->yes && !keys_confirm(question))
		return HULL_TROUBLE;
	ks = keys_open(call);
	if (!ks)
		return HULL_TROUBLE;
	if (keystore_begin(ks, &err) || fn(ks, call->argv, &err) || keystore_commit(ks, &err))
		return command_fail("%s", err.text);
	return HULL_OK;
}

static int server_add(struct keystore *ks, char **argv, struct err *err) { return keystore_server_add(ks, argv[2], err); }
static int server_remove(struct keystore *ks, char **argv, struct err *err) { return keystore_server_remove(ks, argv[2], err); }
static int volume_add(struct keystore *ks, char **argv, struct err *err) { return keystore_volume_add(ks, argv[2], argv[3], err); }
static int volume_remove(struct keystore *ks, char **argv, struct err *err)
{
	return keystore_volume_remove(ks, argv[2], argv[3], err);
}

int keys_run_server_add(const struct command *c, int argc, char **argv)
{
	struct keys_call call;

	return keys_call_parse(c, argc, argv, KEYS_UNLOCK, 2, &call) ? change(&call, server_add, NULL) : HULL_TROUBLE;
}

int keys_run_server_remove(const struct command *c, int argc, char **argv)
{
	static const char question[] = "The keys of this server and of all its volumes will be gone, and with them what the volumes hold.";
	struct keys_call call;

	return keys_call_parse(c, argc, argv, KEYS_UNLOCK | KEYS_YES, 2, &call) ? change(&call, server_remove, question) : HULL_TROUBLE;
}

int keys_run_volume_add(const struct command *c, int argc, char **argv)
{
	struct keys_call call;

	return keys_call_parse(c, argc, argv, KEYS_UNLOCK, 3, &call) ? change(&call, volume_add, NULL) : HULL_TROUBLE;
}

int keys_run_volume_remove(const struct command *c, int argc, char **argv)
{
	static const char question[] = "The key of this volume will be gone, and with it what the volume holds.";
	struct keys_call call;

	return keys_call_parse(c, argc, argv, KEYS_UNLOCK | KEYS_YES, 3, &call) ? change(&call, volume_remove, question) : HULL_TROUBLE;
}

static int write_key(const char *path, const struct secret *key)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;

	if (fd < 0)
		return command_fail("%s: %m", path);
	n = write(fd, key->data, key->len);
	if (n == (ssize_t)key->len && !fsync(fd))
		return HULL_OK;
	command_fail("%s: %s", path, n < 0 || n == (ssize_t)key->len ? strerror(errno) : "could not be written whole");
	unlink(path);
	return HULL_TROUBLE;
}

int keys_run_export(const struct command *c, int argc, char **argv)
{
	cleanup(secret_destroy) struct secret key = { 0 };
	struct keys_call call;
	STORE *ks = NULL;
	struct err err;

	if (!keys_call_parse(c, argc, argv, KEYS_UNLOCK | KEYS_OUTPUT | KEYS_YES, 3, &call))
		return HULL_TROUBLE;
	if (!call.output) {
		command_fail("%s: --output says where to write the key", c->words);
		return command_usage(c);
	}
	if (!call.yes && !keys_confirm("The volume's key will stand in a file, as it is; who reads it reads the volume."))
		return HULL_TROUBLE;
	ks = keys_open(&call);
	if (!ks)
		return HULL_TROUBLE;
	if (keystore_volume_key(ks, call.argv[2], call.argv[3], &key, &err))
		return command_fail("%s", err.text);
	return write_key(call.output, &key);
}
