/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/keyclient.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/lmaclient.h"
#include "lib/base64.h"
#include "lib/ctl.h"

enum { KEY_MAX = 512 };

static struct { struct identity id; struct lmaclient *client; char *lma; } own;

void keyclient_close(void)
{
	lmaclient_close(own.client);
	identity_drop(&own.id);
	free(own.lma);
	own.client = NULL;
	own.lma = NULL;
}

static int read_token(const char *source, struct token **token, struct err *err)
{
	struct secret text = { 0 };
	int rc;

	*token = NULL;
	if (!source)
		return err_set(err, -EINVAL, "lma.token: is not set; it names the file with the enrolment token");
	rc = keysource_passphrase(source, "Enrolment token", false, &text, err);
	if (rc)
		return rc;
	*token = secret_alloc(sizeof **token);
	rc = *token ? token_parse((char *)text.data, text.len, *token, err) : secret_refused(err, -errno);
	secret_destroy(&text);
	if (rc) {
		secret_free(*token);
		*token = NULL;
	}
	return rc;
}

static int enrol(const struct keysource *from, struct err *err)
{
	struct token *token;
	int rc = read_token(from->lma_token, &token, err);

	if (rc)
		return rc;
	own.lma = strdup(from->lma);
	rc = own.lma ? identity_enrol(from->lma, token, &own.id, err) : err_set(err, -ENOMEM, "out of memory");
	secret_free(token);
	if (rc)
		keyclient_close();
	return rc;
}

static int be_enrolled(const struct keysource *from, struct err *err)
{
	if (own.lma && strcmp(own.lma, from->lma))
		keyclient_close();
	return own.id.cert ? 0 : enrol(from, err);
}

/* An identity of that application, and a link to it. */
static int be_ready(const struct keysource *from, struct err *err)
{
	int rc = be_enrolled(from, err);

	if (!rc && identity_due(&own.id, time(NULL))) {
		lmaclient_close(own.client);
		own.client = NULL;
		rc = identity_renew(from->lma, &own.id, err);
	}
	if (!rc && identity_crl_due(&own.id, time(NULL))) {
		lmaclient_close(own.client);
		own.client = NULL;
		rc = identity_fetch_crl(from->lma, &own.id, err);
	}
	if (own.client && !lmaclient_alive(own.client)) {
		lmaclient_close(own.client);
		own.client = NULL;
	}
	if (!rc && !own.client)
		rc = lmaclient_open(from->lma, &own.id, NULL, &own.client, err);
	return rc;
}

static int ask(const struct keysource *from, json_t **ok, struct err *err)
{
	int rc = be_ready(from, err);

	return rc ? rc : lmaclient_call(own.client, json_pack("{s:s, s:s, s:s}", "do", "key", "server", from->server, "volume",
		from->name),
		ok, err);
}

int keyclient_fetch(const struct keysource *from, struct secret *key, struct err *err)
{
	struct secret room = { 0 };
	json_t *ok = NULL;
	const char *text;
	size_t n = 0;
	int rc;

	*key = (struct secret){ 0 };
	if (!from->lma || !from->server || !from->name)
		return err_set(err, -EINVAL, "key source lma: needs lma, the server's and the volume's name");
	ctl_harden();
	rc = ask(from, &ok, err);
	if (rc == -EPIPE || rc == -ECONNRESET)	/* an idle link was ended; once more over a fresh one */
		rc = ask(from, &ok, err);
	if (rc)
		return rc;
	text = json_string_value(json_object_get(ok, "key"));
	rc = secret_create(&room, KEY_MAX);
	if (rc)
		rc = secret_refused(err, rc);
	else if (!text || base64_decode(text, strlen(text), room.data, room.len, &n) || !n)
		rc = err_set(err, -EPROTO, "%s: answers without a key", from->lma);
	else if ((rc = secret_copy(key, room.data, n)))
		rc = secret_refused(err, rc);
	secret_destroy(&room);
	json_decref(ok);
	return rc;
}

int keyclient_identity(const struct keysource *from, struct identity *id, struct err *err)
{
	int rc = from->lma ? be_enrolled(from, err) : err_set(err, -EINVAL, "lma: is not set; it is where a certificate comes from");

	if (rc)
		return rc;
	*id = own.id;
	X509_up_ref(id->ca);
	X509_up_ref(id->cert);
	EVP_PKEY_up_ref(id->key);
	if (id->crl)
		X509_CRL_up_ref(id->crl);
	return 0;
}
