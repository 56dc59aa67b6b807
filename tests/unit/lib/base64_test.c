/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base64.h"
#include <errno.h>
#include "tests/unit/suite.h"

/* RFC 4648 section 10 */
static const struct { const char *plain, *text; } vectors[] = {
	{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" },
};

static void knows_the_standard(void)
{
	char text[16], plain[16];
	size_t n;

	for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
		base64_encode(vectors[i].plain, strlen(vectors[i].plain), text);
		check_str(text, vectors[i].text);
		check_eq(base64_decode(text, strlen(text), plain, sizeof plain, &n), 0);
		check_eq(n, strlen(vectors[i].plain));
		check(!memcmp(plain, vectors[i].plain, n));
	}
}

static void keeps_every_byte(void)
{
	uint8_t all[256], back[256];
	char text[BASE64_TEXT(256)];
	size_t n;

	for (unsigned i = 0; i < 256; i++)
		all[i] = (uint8_t)(i * 167);
	for (size_t len = 250; len <= 256; len++) {
		base64_encode(all, len, text);
		check_eq(strlen(text) + 1, BASE64_TEXT(len));
		check_eq(base64_decode(text, strlen(text), back, sizeof back, &n), 0);
		check(n == len && !memcmp(all, back, len));
	}
}

static void refuses(void)
{
	static const char *const bad[] = { "Zg", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm9\n", "Zm-_",
		"Zm 9", "Z=9v",
		"Zm9\x80", "@@@@", "[[[[", "::::", "....", ",,,," };
	char out[8];
	size_t n;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		check_eq(base64_decode(bad[i], strlen(bad[i]), out, sizeof out, &n), -EINVAL);
	check_eq(base64_decode("Zm9vYmFy", 8, out, 5, &n), -EMSGSIZE);
}

static const struct test tests[] = {
	{ "knows the standard", knows_the_standard },
	{ "keeps every byte", keeps_every_byte },
	{ "refuses", refuses },
	{ NULL },
};
const struct suite suite_lib_base64 = { tests };
