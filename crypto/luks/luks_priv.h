/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside crypto/luks: a volume's header in libcryptsetup's hands (luks.c), what the two copies of a header look like before anybody
 * trusts them (probe.c), and LUKS2's JSON as far as Hull needs it (json.c).
 */
#pragma once
#include <jansson.h>
#include <libcryptsetup.h>
#include "crypto/luks/luks.h"
#include "lib/scope.h"

enum { LUKS_SLOTS = 32 };

/* ---- probe.c */
struct luks_probe {
	uint32_t version;		/* 1, 2; 0: no LUKS */
	bool primary_ok, secondary_ok;	/* LUKS2: copies with a right checksum */
	bool marks;			/* a LUKS magic stands where one should */
	uint64_t seqid[2];
	uint32_t digest_rounds;		/* LUKS1: PBKDF2's, of the volume key's digest */
	char label[48], uuid[LUKS_UUID_MAX];
};
/* Opens a regular file or block device; anything else is -EINVAL (-EISDIR) with a message. size may be NULL. */
int luks_open_file(const char *path, int flags, uint64_t *size, struct err *err) must_check;
int luks_probe_fd(int fd, const char *path, struct luks_probe *probe, struct err *err) must_check;
/* A buffer that should hold one copy of a LUKS2 header, `offset` bytes into the volume. len may be short. */
bool luks_probe_copy(const uint8_t *data, size_t len, uint64_t offset, struct luks_probe *probe);

/* ---- luks.c */
const char *luks_place_header(const struct luks_place *at);	/* the path where the header stands */
struct luks_session {
	struct crypt_device *cd;
	const struct luks_place *at;
	int lock_fd;
	uint64_t volume_size;
	struct luks_probe probe;
	char said[240];			/* libcryptsetup's own words about the last error */
};
#define auto_session cleanup(luks_session_close)

/* Lock (write) and create the handle, without reading the header. */
int luks_session_begin(struct luks_session *s, const struct luks_place *at, bool write, struct err *err) must_check;
/* The same, then load the header; with write, a damaged copy is first made whole from the good one. */
int luks_session_open(struct luks_session *s, const struct luks_place *at, bool write, struct err *err) must_check;
void luks_session_close(struct luks_session *s);
bool luks_session_is2(const struct luks_session *s);
/* What failed, with libcryptsetup's words if it said any. */
int luks_session_fail(struct luks_session *s, int rc, struct err *err, const char *what) must_check;
/* The slot's parameters are such that trying it ends in minutes and fits memory. */
bool luks_slot_bearable(struct luks_session *s, int slot);
/* Set the cost of the next slot that is added; it holds for one addition. */
int luks_session_cost(struct luks_session *s, const struct luks_cost *cost, struct err *err) must_check;

/* ---- json.c: LUKS2 */
struct luks_json_segment { uint64_t off, len, tweak; uint32_t sector; int digest; char cipher[48]; bool crypt, integrity; };
struct luks_json {
	unsigned segment_count;		/* without backups */
	struct luks_json_segment segment[3];
	int backup_previous, backup_final;	/* digests of the old and the new key while re-encrypting, or -1 */
	uint32_t slots;			/* bits: key slots of type luks2 */
	int slot_digest[LUKS_SLOTS];	/* -1: none */
	uint32_t digests_used;		/* bits: digests with segments */
	uint32_t digest_rounds;		/* the most that one asks for */
	char key_mark[96];		/* digest of the first segment's key: another one is another key's */
	bool ignored[LUKS_SLOTS];	/* priority 0 */
	uint64_t slot_work[LUKS_SLOTS];	/* for trying the cheap ones first */
	bool importing;
	uint64_t imported, import_size;
	int import_token, rotate_token;	/* -1: none */
	char requirement[40];		/* the first one that is not re-encryption, or "" */
	uint32_t rotate_before;		/* slots that were there when the rotation began */
};
int luks_json_parse(const char *text, size_t len, struct luks_json *j, struct err *err) must_check;
int luks_session_json(struct luks_session *s, struct luks_json *j, struct err *err) must_check;

/*
 * The slot of `slots` that key opens, and the volume key behind it (*len: room, then its length). LUKS1: slots is ~0.
 * -EPERM: none; -ENOTSUP: none, and some ask too much.
 */
int luks_session_unlock(struct luks_session *s, const struct luks_json *j, uint32_t slots, const struct secret *key,
	uint8_t *volume_key, size_t *len, int *slot, struct err *err) must_check;
uint32_t luks_json_slots_of(const struct luks_json *j, int digest);
/* Recover a rotation that was cut short inside a zone; nothing to do is fine. Reads j again when it wrote. */
int luks_session_recover(struct luks_session *s, struct luks_json *j, const struct secret *key, struct err *err) must_check;

/* ---- finish.c: everything is under the new key; take the rotation out of the header. s must have been opened for writing. */
int luks_session_finish(struct luks_session *s, const struct luks_json *j, struct err *err) must_check;
