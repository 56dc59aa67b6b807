/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment tokens as people carry them: "hull1:" and the base64 of id, secret and pin. Whoever has it may enrol once as what the
 * store says of its id; the pin says which authority the enrolling side is to trust.
 */
#pragma once
#include "crypto/pki/cert.h"
#include "lib/base64.h"

enum { TOKEN_ID = 8, TOKEN_SECRET = 24, TOKEN_BYTES = TOKEN_ID + TOKEN_SECRET + PKI_PIN, TOKEN_ID_TEXT = 2 * TOKEN_ID + 1,
	TOKEN_TEXT = 6 + BASE64_TEXT(TOKEN_BYTES) };

struct token {		/* secret_alloc it */
	uint8_t id[TOKEN_ID];
	uint8_t secret[TOKEN_SECRET];
	uint8_t pin[PKI_PIN];	/* SHA-256 of the authority's subject public key info */
};

/* All len bytes; one newline at the end is fine. -EINVAL; the message never repeats the text. */
int token_parse(const char *text, size_t len, struct token *token, struct err *err) must_check;
void token_text(const struct token *token, char text[TOKEN_TEXT]);	/* text holds the secret then */
void token_id(const struct token *token, char text[TOKEN_ID_TEXT]);
/* What a store keeps of the secret: SHA-256 of id and secret. */
void token_hash(const struct token *token, uint8_t hash[32]);
