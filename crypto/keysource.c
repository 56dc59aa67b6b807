/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/keysource.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/keyclient.h"
#include "crypto/keysource_priv.h"
#include "crypto/keystore.h"
#include "lib/scope.h"

enum { SOURCE_MAX = 8 << 20 };	/* what cryptsetup takes from a key file */

/* "3" of "fd:3". */
static int parse_fd(const char *text, int *fd, struct err *err)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (end == text || *end || errno || n < 0 || n > 1 << 20)
		return err_set(err, -EINVAL, "fd:%.20s: is no descriptor's number", text);
	*fd = (int)n;
	return 0;
}

/* file:, fd: and ask. -ENOKEY, without a message: another word. */
static int read_plain(const char *source, const char *prompt, bool confirm, struct secret *key, struct err *err)
{
	int fd = -1, rc;

	if (!strcmp(source, "ask"))
		return keysource_ask(prompt, confirm, key, err);
	if (!strncmp(source, "file:", 5)) {
		rc = secret_read_file(source + 5, SOURCE_MAX, key, err);
	} else if (!strncmp(source, "fd:", 3)) {
		rc = parse_fd(source + 3, &fd, err);
		if (!rc)
			rc = secret_read_fd(fd, source, SOURCE_MAX, key, err);
	} else {
		return -ENOKEY;
	}
	if (!rc && !key->len) {
		secret_destroy(key);
		return err_set(err, -EINVAL, "%s: is empty", source);
	}
	return rc;
}

static void free_unlock(struct keystore_unlock *u) { secret_destroy(&u->secret); }
static void free_store(struct keystore **ks) { keystore_close(*ks); }

static int read_store(const struct keysource *from, const char *path, struct secret *key, struct err *err)
{
	cleanup(free_unlock) struct keystore_unlock unlock = { 0 };
	cleanup(free_store) struct keystore *ks = NULL;
	int rc;

	if (!from->server || !from->name)
		return err_set(err, -EINVAL, "%s: a key store needs the names of server and volume", from->source);
	rc = keystore_unlock_parse(from->unlock ?: "ask", false, &unlock, err);
	if (!rc)
		rc = keystore_open(path, &unlock, &ks, err);
	secret_destroy(&unlock.secret);
	return rc ? rc : keystore_volume_key(ks, from->server, from->name, key, err);
}

int keysource_read(const struct keysource *from, struct secret *key, struct err *err)
{
	int rc;

	*key = (struct secret){ 0 };
	if (!strncmp(from->source, "store:", 6))
		return read_store(from, from->source + 6, key, err);
	if (!strcmp(from->source, "lma"))
		return keyclient_fetch(from, key, err);
	rc = read_plain(from->source, "Passphrase", false, key, err);
	if (rc != -ENOKEY)
		return rc;
	/* Not the whole word: somebody may have written a key there. */
	return err_set(err, -EINVAL, "\"%.6s…\" is no key source: file:PATH, fd:N, ask, store:PATH or lma", from->source);
}

int keysource_passphrase(const char *source, const char *prompt, bool confirm, struct secret *key, struct err *err)
{
	int rc;

	*key = (struct secret){ 0 };
	rc = read_plain(source, prompt, confirm, key, err);
	return rc == -ENOKEY ? err_set(err, -EINVAL, "\"%.6s…\" gives no passphrase: file:PATH, fd:N or ask", source) : rc;
}
