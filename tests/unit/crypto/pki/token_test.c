/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/pki/token.h"
#include "tests/unit/crypto/pki/pki_rig.h"

static void refuse(const char *text, size_t len, const char *why)
{
	struct token t;
	struct err err;

	check_eq(token_parse(text, len, &t, &err), -EINVAL);
	check_str(err.text, why);
}

static void keeps_its_text(void)
{
	struct token t, back;
	char text[TOKEN_TEXT + 1], id[TOKEN_ID_TEXT];
	struct err err;

	for (size_t i = 0; i < sizeof t; i++)
		((uint8_t *)&t)[i] = (uint8_t)(i * 7);
	token_text(&t, text);
	check_eq(strlen(text), TOKEN_TEXT - 1);
	check_eq(token_parse(text, strlen(text), &back, &err), 0);
	check(!memcmp(&t, &back, sizeof t));
	strcat(text, "\n");
	check_eq(token_parse(text, strlen(text), &back, &err), 0);
	token_id(&t, id);
	check_str(id, "00070e151c232a31");
}

static void refuses_texts(void)
{
	static const char wrong[] = "token: is not \"hull1:\" and 88 characters more";
	static const char changed[] = "token: was changed on its way: its characters are not base64 of 64 bytes";
	struct token t = { .id = { 1 } };
	char text[TOKEN_TEXT + 1];

	token_text(&t, text);
	refuse(text, 0, wrong);
	refuse(text, TOKEN_TEXT - 2, wrong);
	refuse(text, TOKEN_TEXT, wrong);
	text[4] = '2';
	refuse(text, TOKEN_TEXT - 1, wrong);
	text[4] = '1';
	text[20] = '*';
	refuse(text, TOKEN_TEXT - 1, changed);
	text[20] = 'A';
	text[TOKEN_TEXT - 2] = 'A';
	refuse(text, TOKEN_TEXT - 1, changed);
}

static const struct test tests[] = {
	{ "keeps its text", keeps_its_text },
	{ "refuses texts", refuses_texts },
	{ NULL },
};
const struct suite suite_crypto_pki_token = { tests };
