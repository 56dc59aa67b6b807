/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/pki/token.h"
#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include "crypto/secret.h"
#include "lib/buf.h"

static const char prefix[] = "hull1:";

int token_parse(const char *text, size_t len, struct token *token, struct err *err)
{
	uint8_t *bytes;
	struct rbuf in;
	size_t got = 0;
	int rc;

	if (len && text[len - 1] == '\n')
		len--;
	if (len != TOKEN_TEXT - 1 || memcmp(text, prefix, strlen(prefix)))
		return err_set(err, -EINVAL, "token: is not \"%s\" and %d characters more", prefix, (int)(TOKEN_TEXT - sizeof prefix));
	bytes = secret_alloc(TOKEN_BYTES);
	if (!bytes)
		return err_set(err, -errno, "token: %s", strerror(errno));
	rc = base64_decode(text + strlen(prefix), len - strlen(prefix), bytes, TOKEN_BYTES, &got);
	if (!rc && got == TOKEN_BYTES) {
		in = rbuf_of(bytes, got);
		rbuf_copy(&in, token->id, sizeof token->id);
		rbuf_copy(&in, token->secret, sizeof token->secret);
		rbuf_copy(&in, token->pin, sizeof token->pin);
	} else {
		rc = err_set(err, -EINVAL, "token: was changed on its way: its characters are not base64 of %d bytes", TOKEN_BYTES);
	}
	secret_free(bytes);
	return rc;
}

void token_text(const struct token *token, char text[TOKEN_TEXT])
{
	_Static_assert(sizeof *token == TOKEN_BYTES, "no padding between its parts");

	strcpy(text, prefix);
	base64_encode(token, TOKEN_BYTES, text + strlen(prefix));
}

void token_id(const struct token *token, char text[TOKEN_ID_TEXT])
{
	for (size_t i = 0; i < TOKEN_ID; i++)
		sprintf(text + 2 * i, "%02x", token->id[i]);
}

void token_hash(const struct token *token, uint8_t hash[32])
{
	SHA256((const uint8_t *)token, TOKEN_ID + TOKEN_SECRET, hash);
}
