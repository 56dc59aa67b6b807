/* SPDX-License-Identifier: Apache-2.0 */
/* What a LUKS header says once a key slot is open: where ciphertext lies and under which keys. Holds keys: secret_alloc it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { LUKS_KEY_MAX = 64, LUKS_UUID_MAX = 40 };

struct luks_segment {
	uint64_t off, len;		/* plaintext bytes */
	uint64_t tweak;			/* of its first sector, 512-byte units */
	uint32_t sector;		/* crypto sector bytes: 512 … 4096 */
	uint32_t key_len;		/* 32 or 64 */
	uint8_t key[LUKS_KEY_MAX];
};

struct luks_layout {
	uint32_t version;		/* 1 or 2 */
	char uuid[LUKS_UUID_MAX];
	uint64_t data_off;		/* of plaintext byte 0 in the volume; 0 with a detached header */
	uint64_t data_len;		/* plaintext bytes; 0: to the end of the volume */
	uint32_t segment_count;		/* 1, or 2 while a rotation is under way: [0] new key, [1] old key */
	uint32_t rotating;		/* 1: a rotation of Hull's is to be gone on with, also where no zone is under the new key yet */
	struct luks_segment segment[2];	/* ascending, without gaps; the last one may have len 0: to the end */
};
