/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/pki/ticket.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include "crypto/secret.h"
#include "lib/base64.h"
#include "lib/scope.h"

/* What is signed begins with this, so that no other text of the authority's can be taken for a ticket. */
static const char domain[] = "hull-ticket/1";

enum { PAYLOAD_MAX = 640, SIGNATURE_MAX = 80, ID_TEXT = 8 + PKI_NAME_MAX };

/* ---- base64url without padding (RFC 4648 section 5) */

static size_t encode(const void *data, size_t len, char *text)
{
	base64_encode(data, len, text);
	text[strcspn(text, "=")] = 0;
	for (char *p = text; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	return strlen(text);
}

static int decode(const char *text, size_t len, void *data, size_t max, size_t *out)
{
	char plain[TICKET_TEXT + 4];

	if (len > TICKET_TEXT || len % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '+' || text[i] == '/' || text[i] == '=')
			return -EINVAL;
		plain[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	}
	while (len % 4)
		plain[len++] = '=';
	return base64_decode(plain, len, data, max, out);
}

/* ---- payload */

static void id_text(const struct pki_id *id, char text[ID_TEXT])
{
	snprintf(text, ID_TEXT, "%s/%s", pki_role_name(id->role), id->name);
}

static int id_parse(const char *text, struct pki_id *id)
{
	char uri[ID_TEXT + 8];
	int len = snprintf(uri, sizeof uri, "hull://%s", text);

	return len < (int)sizeof uri && !pki_id_parse(uri, (size_t)len, id, NULL) ? 0 : -EBADMSG;
}

static int name_copy(char *to, size_t room, const char *name)
{
	if (pki_name_check(name, NULL) || strlen(name) >= room)
		return -EBADMSG;
	strcpy(to, name);
	return 0;
}

static char *payload_text(const struct ticket *t)
{
	char caller[ID_TEXT], callee[ID_TEXT], nonce[BASE64_TEXT(TICKET_NONCE)], *text;
	json_t *o;

	id_text(&t->caller, caller);
	id_text(&t->callee, callee);
	encode(t->nonce, sizeof t->nonce, nonce);
	o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "caller", caller, "callee", callee, "nic", t->nic, "relay", t->relay,
		"from", (json_int_t)t->from, "until", (json_int_t)t->until, "nonce", nonce);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return text;
}

/* Exactly these fields: one that is not known here would be one that is not obeyed. */
static int payload_parse(const void *data, size_t len, struct ticket *t)
{
	json_t *o = json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL);
	const char *caller, *callee, *nic, *relay, *nonce;
	json_int_t from, until;
	size_t n;
	int rc = -EBADMSG;

	*t = (struct ticket){ 0 };
	if (o && !json_unpack(o, "{s:s, s:s, s:s, s:s, s:I, s:I, s:s !}", "caller", &caller, "callee", &callee, "nic", &nic, "relay",
			&relay, "from", &from, "until", &until, "nonce", &nonce) &&
	    !id_parse(caller, &t->caller) && !id_parse(callee, &t->callee) && !name_copy(t->nic, sizeof t->nic, nic) &&
	    (!*relay || !name_copy(t->relay, sizeof t->relay, relay)) && from >= 0 && until > from && until - from <= TICKET_LIFE_MAX_S &&
	    !decode(nonce, strlen(nonce), t->nonce, sizeof t->nonce, &n) && n == sizeof t->nonce)
		rc = 0;
	if (!rc) {
		t->from = (time_t)from;
		t->until = (time_t)until;
	}
	json_decref(o);
	return rc;
}

/* ---- signature */

static bool digest(EVP_MD_CTX *ctx, const void *payload, size_t len, bool sign)
{
	/* with its NUL */
	return sign ? EVP_DigestSignUpdate(ctx, domain, sizeof domain) == 1 && EVP_DigestSignUpdate(ctx, payload, len) == 1 :
		EVP_DigestVerifyUpdate(ctx, domain, sizeof domain) == 1 && EVP_DigestVerifyUpdate(ctx, payload, len) == 1;
}

static int check_shape(const struct ticket *t, uint32_t life_s, struct err *err)
{
	if (life_s < 1 || life_s > TICKET_LIFE_MAX_S)
		return err_set(err, -EINVAL, "ticket: a life of %u s is not 1 to %d", life_s, TICKET_LIFE_MAX_S);
	if (pki_name_check(t->caller.name, err) || pki_name_check(t->callee.name, err) || pki_name_check(t->nic, err) ||
	    (t->relay[0] && pki_name_check(t->relay, err)))
		return err_prefix(err, "ticket");
	return 0;
}

int ticket_sign(struct ticket *t, EVP_PKEY *key, uint32_t life_s, time_t now, char text[TICKET_TEXT], struct err *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	auto_free char *payload = NULL;
	uint8_t signature[SIGNATURE_MAX];
	size_t len = sizeof signature, at;
	int rc = check_shape(t, life_s, err);

	if (!rc) {
		t->from = now;
		t->until = now + life_s;
		secret_random(t->nonce, sizeof t->nonce);
		payload = payload_text(t);
		if (!payload || !ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
		    !digest(ctx, payload, strlen(payload), true) || EVP_DigestSignFinal(ctx, signature, &len) != 1)
			rc = cert_trouble(err, -EIO, "ticket: cannot be signed");
	}
	EVP_MD_CTX_free(ctx);
	if (rc)
		return rc;
	_Static_assert(BASE64_TEXT(PAYLOAD_MAX) + 1 + BASE64_TEXT(SIGNATURE_MAX) <= TICKET_TEXT, "the longest ticket fits");
	bug_on(strlen(payload) > PAYLOAD_MAX);
	at = encode(payload, strlen(payload), text);
	text[at++] = '.';
	encode(signature, len, text + at);
	return 0;
}

static bool signature_holds(const void *payload, size_t len, const uint8_t *signature, size_t signature_len, X509 *ca)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, X509_get0_pubkey(ca)) == 1 &&
		digest(ctx, payload, len, false) && EVP_DigestVerifyFinal(ctx, signature, signature_len) == 1;

	EVP_MD_CTX_free(ctx);
	if (!ok)
		cert_trouble(NULL, -EKEYREJECTED, "");	/* empties OpenSSL's queue */
	return ok;
}

int ticket_verify(const char *text, size_t len, X509 *ca, time_t now, struct ticket *t, struct err *err)
{
	const char *dot = memchr(text, '.', len);
	uint8_t payload[PAYLOAD_MAX], signature[SIGNATURE_MAX];
	size_t payload_len, signature_len;

	*t = (struct ticket){ 0 };
	if (len >= TICKET_TEXT || !dot || decode(text, (size_t)(dot - text), payload, sizeof payload, &payload_len) ||
	    decode(dot + 1, len - (size_t)(dot + 1 - text), signature, sizeof signature, &signature_len))
		return err_set(err, -EBADMSG, "ticket: is not one");
	if (!signature_holds(payload, payload_len, signature, signature_len, ca))
		return err_set(err, -EKEYREJECTED, "ticket: is not signed by this authority");
	if (payload_parse(payload, payload_len, t)) {
		*t = (struct ticket){ 0 };
		return err_set(err, -EBADMSG, "ticket: its payload is not one that this program knows");
	}
	if (now < t->from - TICKET_SKEW_S)
		return err_set(err, -EKEYEXPIRED, "ticket: is not valid for another %lld s; do the clocks agree?",
			(long long)(t->from - now));
	if (now >= t->until + TICKET_SKEW_S)
		return err_set(err, -EKEYEXPIRED, "ticket: has expired %lld s ago", (long long)(now - t->until));
	return 0;
}
