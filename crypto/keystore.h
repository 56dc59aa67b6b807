/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key store: one file that holds the key tree, root → server → volume, and small named records (the certificate
 * authority's among them). The root key opens everything; it lies in the file wrapped once for each way to unlock it:
 * passphrase (Argon2id), key file, TPM 2.0. Server keys are wrapped by the root key, volume keys by their server's key; each wrap
 * and the file as a whole are authenticated (AES-256-GCM). docs/keystore.md gives the format byte by byte.
 *
 * A change is a transaction: keystore_begin locks the store and reads it again, keystore_commit replaces the file as a whole
 * (write, fsync, rename, fsync of the folder). Two programs may have one store open. One thread per handle.
 */
#pragma once
#include "crypto/secret.h"

struct keystore;

enum keystore_way { KEYSTORE_PASSPHRASE, KEYSTORE_FILE, KEYSTORE_TPM, KEYSTORE_WAYS };
struct keystore_cost { uint32_t memory_kib, iterations, lanes; };	/* Argon2id; zeroes: 256 MiB, about a second */
struct keystore_unlock {
	enum keystore_way way;
	struct secret secret;		/* passphrase or the key file's bytes; unused for TPM. The caller destroys it. */
	struct keystore_cost cost;	/* of a new passphrase slot */
};

/* "ask", "file:PATH", "fd:N" (passphrases), "keyfile:PATH" or "tpm" → a way to unlock. confirm: it is to be set, ask twice. */
int keystore_unlock_parse(const char *text, bool confirm, struct keystore_unlock *unlock, struct err *err) must_check;

/* -EEXIST when path is there. */
int keystore_create(const char *path, const struct keystore_unlock *unlock, struct keystore **ks, struct err *err) must_check;
/* -EPERM: no slot opens; -EINVAL: damaged, says where; -ENOTSUP: a newer version, says which. */
int keystore_open(const char *path, const struct keystore_unlock *unlock, struct keystore **ks, struct err *err) must_check;
void keystore_close(struct keystore *ks);	/* wipes; NULL is fine; forgets what was not committed */
/* Read again if another program changed the file. -EPERM: its root key was rotated, open it anew. Not inside a transaction. */
int keystore_refresh(struct keystore *ks, struct err *err) must_check;

/* Every change stands between begin and commit. begin waits up to 5 s for another program's transaction, then -EBUSY… */
int keystore_begin(struct keystore *ks, struct err *err) must_check;
void keystore_set_patience(struct keystore *ks, unsigned ms);	/* … or as long as this says; 0: not at all */
/* Ends the transaction also when it fails; the file then has its old content, unless the message says that only syncing failed. */
int keystore_commit(struct keystore *ks, struct err *err) must_check;
void keystore_abort(struct keystore *ks);	/* forget changes since begin; nothing to do is fine */

/* Ways to unlock: at least one stays (-EBUSY). */
int keystore_slot_add(struct keystore *ks, const struct keystore_unlock *unlock, struct err *err) must_check;
int keystore_slot_remove(struct keystore *ks, unsigned slot, struct err *err) must_check;
/* A fresh root key; every server key and record is wrapped anew. Slots other than unlock's are dropped and reported in *dropped. */
int keystore_rotate_root(struct keystore *ks, const struct keystore_unlock *unlock, unsigned *dropped, struct err *err) must_check;

/* Names: 1…63 of [A-Za-z0-9._-]. Volume keys are 32 random bytes. -ENOENT, -EEXIST. */
int keystore_server_add(struct keystore *ks, const char *server, struct err *err) must_check;
/* Its volumes' keys too: for good. */
int keystore_server_remove(struct keystore *ks, const char *server, struct err *err) must_check;
int keystore_volume_add(struct keystore *ks, const char *server, const char *volume, struct err *err) must_check;
int keystore_volume_remove(struct keystore *ks, const char *server, const char *volume, struct err *err) must_check;
int keystore_volume_key(struct keystore *ks, const char *server, const char *volume, struct secret *key,
	struct err *err) must_check;

/* Records of at most 1 MiB under a name with slashes ("pki/ca.key"). */
int keystore_record_set(struct keystore *ks, const char *name, const void *data, size_t len, struct err *err) must_check;
int keystore_record_get(struct keystore *ks, const char *name, struct secret *value, struct err *err) must_check;	/* -ENOENT */
int keystore_record_remove(struct keystore *ks, const char *name, struct err *err) must_check;

/* Unwraps everything there is, for `hull keys check`. -EINVAL names what does not open. */
int keystore_verify(struct keystore *ks, struct err *err) must_check;

/* Everything that is no secret, for `hull keys list`. Called in order of names; a nonzero return ends the walk. */
struct keystore_entry { const char *server, *volume, *record; uint64_t created_s, changed_s; };
int keystore_walk(struct keystore *ks, int (*fn)(void *ctx, const struct keystore_entry *e), void *ctx);
struct keystore_slot { bool used; enum keystore_way way; uint64_t created_s; };
/* The first max of KEYSTORE_SLOTS places; returns how many were filled in. A slot keeps its number until it is removed. */
enum { KEYSTORE_SLOTS = 16 };
unsigned keystore_slots(const struct keystore *ks, struct keystore_slot *slots, unsigned max);
