/* SPDX-License-Identifier: Apache-2.0 */
/* Makes key store files that somebody with the root key could make: any body, any header, seals and checksum in order. */
#pragma once
#include <stdlib.h>
#include <string.h>
#include "crypto/keystore_priv.h"
#include "lib/bits.h"

static inline void forge_sum(uint8_t *file, size_t len)
{
	if (len >= STORE_SUM && file_sum(file, len - STORE_SUM, file + len - STORE_SUM))
		abort();
}

/* A file of this header (its lengths are set) and this body, malloc'd. */
static inline uint8_t *forge_file(const uint8_t *header, size_t header_len, const uint8_t *plain, size_t plain_len,
	const uint8_t *root, size_t *len)
{
	uint8_t *file;

	*len = header_len + plain_len + AEAD_WRAP + STORE_SUM;
	file = malloc(*len);
	if (!file)
		abort();
	memcpy(file, header, header_len);
	put_le32(file + 12, (uint32_t)header_len);
	put_le64(file + 16, plain_len + AEAD_WRAP);
	if (aead_wrap(root, STORE_BODY_PURPOSE, file, header_len, plain, plain_len, file + header_len))
		abort();
	forge_sum(file, *len);
	return file;
}

/* Parse a file with a root key that is known. */
static inline int forge_parse(const uint8_t *file, size_t len, const uint8_t *root, struct content **out, struct err *err)
{
	struct file_parts parts;
	struct content *c;
	int rc = content_create(&c);

	if (rc)
		abort();
	rc = file_parse_header("store", file, len, c, &parts, err);
	if (!rc)
		rc = secret_copy(&c->root, root, STORE_KEY);
	if (!rc)
		rc = file_parse_body("store", file, &parts, c, err);
	if (rc) {
		content_free(c);
		c = NULL;
	}
	*out = c;
	return rc;
}
