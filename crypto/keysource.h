/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a volume's key comes from, in the words of users:
 *   file:PATH             the file's bytes, all of them
 *   fd:N                  an open descriptor, read to its end
 *   ask                   the terminal, without echo; the passphrase as typed
 *   store:PATH            the key store at PATH: the key of volume `name` of server `server` (unlocked as `unlock` says)
 *   lma                   the management application at `lma`, where this program enrols with the one-time token in `lma_token`
 * Never the key itself: it would stand in a command line.
 */
#pragma once
#include "crypto/secret.h"

struct keysource {
	const char *source;
	const char *server, *name;	/* store, lma */
	const char *unlock;		/* store: how its root is unlocked: file:PATH, fd:N, ask or tpm; NULL: ask */
	const char *lma;		/* HOST:PORT */
	const char *lma_token;		/* a key source: file:PATH or fd:N */
};

int keysource_read(const struct keysource *from, struct secret *key, struct err *err) must_check;
/* file:, fd: and ask only: passphrases. prompt is for ask; confirm asks twice. */
int keysource_passphrase(const char *source, const char *prompt, bool confirm, struct secret *key, struct err *err) must_check;
