/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An enrolment token, a certificate's URI and a signing request of any bytes; what is taken for a token writes back to the same
 * text.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/pki/token.h"
#include "crypto/secret.h"

static void try_token(const char *text, size_t size)
{
	struct token token;
	char back[TOKEN_TEXT];
	struct err err = { .text = "" };

	if (token_parse(text, size, &token, &err)) {
		if (!err.text[0] || strchr(err.text, '\n'))
			abort();
		return;
	}
	token_text(&token, back);
	if (memcmp(back, text, TOKEN_TEXT - 1))
		abort();
}

static void try_base64(const char *text, size_t size)
{
	uint8_t data[4096];
	char back[BASE64_TEXT(sizeof data)];
	size_t n;

	if (base64_decode(text, size, data, sizeof data, &n))
		return;
	base64_encode(data, n, back);
	if (strlen(back) != size || memcmp(back, text, size))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct err err = { .text = "" };
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	struct pki_id id;

	try_token(text, size);
	try_base64(text, size);
	if (!pki_id_parse(text, size, &id, &err) && pki_name_check(id.name, NULL))
		abort();
	if (!cert_request_parse(text, size, &key, &err))
		EVP_PKEY_free(key);
	else if (key)
		abort();
	if (!cert_parse(text, size, &cert, &err)) {
		(void)!cert_id(cert, &id, &err);
		X509_free(cert);
	}
	return 0;
}
