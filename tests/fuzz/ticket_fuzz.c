/* SPDX-License-Identifier: Apache-2.0 */
/* A ticket of any bytes, and one whose payload of any bytes the authority signed; what is taken for one is whole. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/pki/ticket.h"
#include "lib/base64.h"

static EVP_PKEY *key;
static X509 *ca;

static void setup(void)
{
	if (key)
		return;
	key = EVP_EC_gen("P-256");
	ca = X509_new();
	if (!key || !ca || !X509_set_pubkey(ca, key))
		abort();
}

static void look(const char *text, size_t size)
{
	struct err err = { .text = "" };
	struct ticket t;
	int rc = ticket_verify(text, size, ca, 1000, &t, &err);

	if (rc && rc != -EBADMSG && rc != -EKEYREJECTED && rc != -EKEYEXPIRED)
		abort();
	if (rc && (!err.text[0] || strchr(err.text, '\n')))
		abort();
	if (!rc && (pki_name_check(t.caller.name, NULL) || pki_name_check(t.callee.name, NULL) || pki_name_check(t.nic, NULL) ||
		    t.until <= t.from || t.until - t.from > TICKET_LIFE_MAX_S))
		abort();
}

static void url(char *text)
{
	text[strcspn(text, "=")] = 0;
	for (char *p = text; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
}

static void look_signed(const uint8_t *data, size_t size)
{
	char text[2 * TICKET_TEXT], part[BASE64_TEXT(80)];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t sig[80];
	size_t len = sizeof sig;

	if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSignUpdate(ctx, "hull-ticket/1", sizeof "hull-ticket/1") != 1 || EVP_DigestSignUpdate(ctx, data, size) != 1 ||
	    EVP_DigestSignFinal(ctx, sig, &len) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
	base64_encode(data, size, text);
	url(text);
	base64_encode(sig, len, part);
	url(part);
	strcat(strcat(text, "."), part);
	look(text, strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	setup();
	look((const char *)data, size);
	if (size <= 660)
		look_signed(data, size);
	return 0;
}
