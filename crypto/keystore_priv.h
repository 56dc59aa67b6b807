/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the key store: what a file says (struct content) and the four files that deal with it.
 *   keystore_file.c   bytes ↔ content (docs/keystore.md)        keystore_slots.c  ways to unlock ↔ root key
 *   keystore_tree.c   servers, volumes, records                  keystore_io.c     the file, its lock, its replacement
 * Only the root key is secret here: keys and records stay wrapped until somebody asks for one.
 */
#pragma once
#include "crypto/aead.h"
#include "crypto/keystore.h"
#include "crypto/tpm.h"

enum {
	STORE_VERSION = 1, STORE_ID = 16, STORE_HEADER = 64, STORE_SLOT = 144, STORE_ENTRY = 24, STORE_SUM = 32,
	STORE_MAX = 64 << 20,			/* bytes of a file */
	STORE_KEY = 32, STORE_WRAPPED = STORE_KEY + AEAD_WRAP,
	STORE_NAME = 63, STORE_RECORD_NAME = 127, STORE_RECORD = 1 << 20,
	STORE_PATIENCE_MS = 5000,
	STORE_PASSPHRASE_MAX = 1024, STORE_KEYFILE_MIN = 32, STORE_KEYFILE_MAX = 1 << 20,
};

/* What a hostile file may make us spend: 4 GiB at once; 32 GiB written in all, some half a minute. */
enum { COST_MEMORY_MAX = 4 << 20, COST_LANES_MAX = 16, COST_ITERATIONS_MAX = 1 << 20 };
#define COST_TOTAL_MAX (32ull << 20)

#define STORE_BODY_PURPOSE "hull key store 1: body"

struct slot {
	bool used;
	enum keystore_way way;
	uint64_t created_s;
	struct keystore_cost cost;		/* passphrase */
	uint8_t salt[AEAD_SALT];
	uint8_t wrapped[STORE_WRAPPED];		/* the root key */
	uint8_t blob[TPM_BLOB_MAX];		/* TPM */
	uint32_t blob_len;
};

enum entry_kind { ENTRY_SERVER = 1, ENTRY_VOLUME, ENTRY_RECORD };

struct entry {
	enum entry_kind kind;
	char *server;				/* "" for records */
	char *name;				/* "" for servers */
	uint64_t created_s, changed_s;
	uint8_t *data;				/* wrapped: by the root key, volumes by their server's */
	uint32_t len;
};

struct content {
	uint8_t id[STORE_ID];
	uint64_t generation, written_s;
	struct slot slots[KEYSTORE_SLOTS];
	struct secret root;
	struct entry *entries;			/* ascending: servers each with its volumes, then records */
	size_t count, room;
};

struct keystore {
	char *path;				/* without symbolic links */
	struct content *now;
	struct content *before;			/* inside a transaction: what to go back to */
	uint8_t sum[STORE_SUM];			/* of the file that now came from */
	int lock;
	unsigned patience_ms;			/* how long begin waits for the lock */
};

/* ---- keystore_tree.c */
int content_create(struct content **c) must_check;
int content_copy(const struct content *from, struct content **to) must_check;
void content_free(struct content *c);		/* wipes; NULL is fine */
bool name_valid(const char *name, size_t len);
bool record_name_valid(const char *name, size_t len);
int entry_compare(const struct entry *a, const struct entry *b);
struct entry *entry_find(const struct content *c, enum entry_kind kind, const char *server, const char *name);
/* Takes e's strings and data over when it succeeds. */
int entry_insert(struct content *c, const struct entry *e) must_check;
void entry_clear(struct entry *e);
/* Wrap every server key and record by another root key. */
int tree_rewrap(struct content *c, const struct secret *root, struct err *err) must_check;

/* ---- keystore_slots.c */
int slot_fill(struct slot *s, const uint8_t id[STORE_ID], const struct keystore_unlock *unlock, const struct secret *root,
	struct err *err) must_check;
/* The root key by whichever slot opens. -EPERM. */
int slots_open(const char *path, struct content *c, const struct keystore_unlock *unlock, struct err *err) must_check;
/* Bytes 0 … 63 of a slot: what its wrap is bound to, besides id and blob. */
void slot_head(const struct slot *s, unsigned number, uint8_t head[64]);
/* NULL, or what is wrong with the costs that a file names. */
const char *slots_check(const struct content *c);

/* ---- keystore_file.c. path is for messages only. */
struct file_parts { size_t header, body; };	/* lengths */
int file_parse_header(const char *path, const uint8_t *data, size_t len, struct content *c, struct file_parts *parts,
	struct err *err) must_check;
/* After the header, with c->root in place. -EPERM: another root key. */
int file_parse_body(const char *path, const uint8_t *data, const struct file_parts *parts, struct content *c,
	struct err *err) must_check;
int file_write(const char *path, const struct content *c, uint8_t **data, size_t *len, struct err *err) must_check;
int file_sum(const void *data, size_t len, uint8_t sum[STORE_SUM]) must_check;

/* ---- keystore_io.c */
int io_read(const char *path, uint8_t **data, size_t *len, struct err *err) must_check;
int io_lock(const char *path, unsigned wait_ms, int *fd, struct err *err) must_check;
/* -ESTALE: the file is replaced, but its folder could not be synced. fresh: -EEXIST when path is there. */
int io_replace(const char *path, const void *data, size_t len, bool fresh, struct err *err) must_check;
