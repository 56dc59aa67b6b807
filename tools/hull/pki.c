/* SPDX-License-Identifier: Apache-2.0 */
/* hull pki: the certificate authority in a key store, from the command line. */
#include "tools/hull/pki.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "crypto/pki/policy.h"
#include "lib/ctl.h"
#include "lib/duration.h"
#include "lib/scope.h"

static void free_store(struct keystore **ks) { keystore_close(*ks); }
static void free_ca(struct ca **ca) { ca_free(*ca); }
static void free_cert(X509 **cert) { X509_free(*cert); }
static void free_crl(X509_CRL **crl) { X509_CRL_free(*crl); }
static void free_key(EVP_PKEY **key) { EVP_PKEY_free(*key); }
static void destroy_secret(struct secret *s) { secret_destroy(s); }
static void free_secret(void *p) { secret_free(*(void **)p); }

bool pki_call_parse(const struct command *c, int argc, char **argv, unsigned allowed, unsigned needed, int count,
	struct pki_call *call)
{
	struct { const char *name; unsigned bit; const char **text; bool *flag; } options[] = {
		{ "--unlock", PKI_O_UNLOCK, &call->unlock, NULL }, { "--role", PKI_O_ROLE, &call->role, NULL },
		{ "--name", PKI_O_NAME, &call->name, NULL }, { "--ttl", PKI_O_TTL, &call->ttl, NULL },
		{ "--life", PKI_O_LIFE, &call->life, NULL }, { "--output", PKI_O_OUTPUT, &call->output, NULL },
		{ "--csr", PKI_O_CSR, &call->csr, NULL }, { "--lma", PKI_O_LMA, &call->lma, NULL },
		{ "--token", PKI_O_TOKEN, &call->token, NULL }, { "--dir", PKI_O_DIR, &call->dir, NULL },
		{ "--json", PKI_O_JSON, NULL, &call->json }, { "--if-due", PKI_O_IF_DUE, NULL, &call->if_due },
	};
	int kept = 0;

	*call = (struct pki_call){ .argv = argv };
	for (int i = 1; i < argc; i++) {
		size_t o = 0;

		if (argv[i][0] != '-' || !argv[i][1]) {
			argv[++kept] = argv[i];
			continue;
		}
		while (o < array_len(options) && (strcmp(argv[i], options[o].name) || !(allowed & options[o].bit)))
			o++;
		if (o == array_len(options)) {
			command_fail("%s: unknown option %s", c->words, argv[i]);
			command_usage(c);
			return false;
		}
		needed &= ~options[o].bit;
		if (options[o].flag) {
			*options[o].flag = true;
		} else if (++i == argc) {
			command_fail("%s: %s needs a value", c->words, options[o].name);
			return false;
		} else {
			*options[o].text = argv[i];
		}
	}
	for (size_t o = 0; o < array_len(options); o++)
		if (needed & options[o].bit) {
			command_fail("%s: needs %s", c->words, options[o].name);
			return false;
		}
	if (kept == count)
		return true;
	command_usage(c);
	return false;
}

static struct keystore *open_store(const struct pki_call *call)
{
	struct keystore_unlock unlock = { 0 };
	struct keystore *ks = NULL;
	struct err err;

	secret_harden();
	ctl_harden();
	if (keystore_unlock_parse(call->unlock ?: "ask", false, &unlock, &err) || keystore_open(call->argv[1], &unlock, &ks, &err))
		command_fail("%s", err.text);
	secret_destroy(&unlock.secret);
	return ks;
}

bool pki_open(const struct pki_call *call, struct keystore **ks, struct ca **ca)
{
	struct err err;

	*ks = open_store(call);
	if (!*ks)
		return false;
	if (!ca_open(*ks, ca, &err))
		return true;
	command_fail("%s: %s", call->argv[1], err.text);
	return false;
}

/* --role and --name. */
static bool read_id(const struct pki_call *call, struct pki_id *id)
{
	struct err err;

	if (pki_role_parse(call->role, &id->role, &err) || pki_name_check(call->name, &err)) {
		command_fail("%s", err.text);
		return false;
	}
	strcpy(id->name, call->name);
	return true;
}

/* To --output, or standard output. */
static int put_text(const struct pki_call *call, const char *text)
{
	struct err err;

	if (!call->output) {
		fputs(text, stdout);
		return HULL_OK;
	}
	return file_replace(call->output, text, strlen(text), &err) ? command_fail("%s", err.text) : HULL_OK;
}

static int run_init(const struct command *c, int argc, char **argv)
{
	cleanup(free_store) struct keystore *ks = NULL;
	struct pki_call call;
	struct err err;

	if (!pki_call_parse(c, argc, argv, PKI_O_UNLOCK, 0, 1, &call))
		return HULL_TROUBLE;
	ks = open_store(&call);
	if (!ks)
		return HULL_TROUBLE;
	return ca_create(ks, time(NULL), &err) ? command_fail("%s: %s", argv[1], err.text) : HULL_OK;
}

static int run_token(const struct command *c, int argc, char **argv)
{
	cleanup(free_store) struct keystore *ks = NULL;
	cleanup(free_ca) struct ca *ca = NULL;
	cleanup(free_secret) struct { struct token token; char text[TOKEN_TEXT + 1]; } *t = NULL;
	struct pki_call call;
	struct pki_id id;
	uint32_t ttl = CA_TOKEN_S;
	struct err err;

	if (!pki_call_parse(c, argc, argv, PKI_O_UNLOCK | PKI_O_ROLE | PKI_O_NAME | PKI_O_TTL, PKI_O_ROLE | PKI_O_NAME, 1, &call) ||
	    !read_id(&call, &id))
		return HULL_TROUBLE;
	if (call.ttl && duration_parse("--ttl", call.ttl, 1, CA_TOKEN_MAX_S, &ttl, &err))
		return command_fail("%s", err.text);
	if (!pki_open(&call, &ks, &ca))
		return HULL_TROUBLE;
	t = secret_alloc(sizeof *t);
	if (!t && secret_refused(&err, -errno))
		return command_fail("%s", err.text);
	if (ca_token_create(ca, &id, ttl, time(NULL), &t->token, &err))
		return command_fail("%s", err.text);
	token_text(&t->token, t->text);
	/* past stdio's buffer, which nobody wipes */
	strcat(t->text, "\n");
	if (write(STDOUT_FILENO, t->text, strlen(t->text)) != (ssize_t)strlen(t->text))
		return command_fail("standard output: %m");
	return HULL_OK;
}

static int run_issue(const struct command *c, int argc, char **argv)
{
	cleanup(free_store) struct keystore *ks = NULL;
	cleanup(free_ca) struct ca *ca = NULL;
	cleanup(free_cert) X509 *cert = NULL;
	cleanup(free_key) EVP_PKEY *key = NULL;
	cleanup(destroy_secret) struct secret csr = { 0 };
	auto_free char *pem = NULL;
	struct pki_call call;
	struct pki_id id;
	uint32_t life = CA_LIFE_S;
	struct err err;

	if (!pki_call_parse(c, argc, argv, PKI_O_UNLOCK | PKI_O_ROLE | PKI_O_NAME | PKI_O_LIFE | PKI_O_CSR | PKI_O_OUTPUT,
			    PKI_O_ROLE | PKI_O_NAME | PKI_O_CSR, 1, &call) || !read_id(&call, &id))
		return HULL_TROUBLE;
	if (call.life && duration_parse("--life", call.life, CA_LIFE_MIN_S, CA_LIFE_MAX_S, &life, &err))
		return command_fail("%s", err.text);
	if (!pki_open(&call, &ks, &ca))
		return HULL_TROUBLE;
	if (secret_read_file(call.csr, PKI_PEM_MAX, &csr, &err) || cert_request_parse((char *)csr.data, csr.len, &key, &err))
		return command_fail("%s: %s", call.csr, err.text);
	if (ca_issue(ca, &id, key, life, time(NULL), &cert, &err))
		return command_fail("%s", err.text);
	return cert_text(cert, &pem) ? command_fail("out of memory") : put_text(&call, pem);
}

static int run_revoke(const struct command *c, int argc, char **argv)
{
	cleanup(free_store) struct keystore *ks = NULL;
	cleanup(free_ca) struct ca *ca = NULL;
	struct pki_call call;
	struct err err;
	unsigned count;

	if (!pki_call_parse(c, argc, argv, PKI_O_UNLOCK, 0, 2, &call) || !pki_open(&call, &ks, &ca))
		return HULL_TROUBLE;
	if (ca_revoke(ca, argv[2], time(NULL), &count, &err))
		return command_fail("%s", err.text);
	printf("%u certificate%s revoked\n", count, count == 1 ? "" : "s");
	return HULL_OK;
}

/* "lcg/gw1", as certificates have it behind hull:// */
static bool read_words(const char *text, struct pki_id *id)
{
	char uri[256];
	int len = snprintf(uri, sizeof uri, "hull://%s", text);
	struct err err;

	if (len < (int)sizeof uri && !pki_id_parse(uri, (size_t)len, id, &err))
		return true;
	command_fail("\"%.80s\": is not ROLE/NAME, as lcg/gw1 or hv/dc-web01", text);
	return false;
}

static int run_policy(const struct command *c, int argc, char **argv)
{
	cleanup(free_store) struct keystore *ks = NULL;
	cleanup(free_ca) struct ca *ca = NULL;
	struct pki_id caller, callee;
	struct pki_call call;
	struct err err;
	bool allow = !strcmp(c->words, "pki allow");

	if (!pki_call_parse(c, argc, argv, PKI_O_UNLOCK, 0, 3, &call) || !read_words(argv[2], &caller) ||
	    !read_words(argv[3], &callee) || !pki_open(&call, &ks, &ca))
		return HULL_TROUBLE;
	if (allow ? policy_allow(ca, &caller, &callee, time(NULL), &err) : policy_deny(ca, &caller, &callee, &err))
		return command_fail("%s", err.text);
	return HULL_OK;
}

static int run_crl(const struct command *c, int argc, char **argv)
{
	cleanup(free_store) struct keystore *ks = NULL;
	cleanup(free_ca) struct ca *ca = NULL;
	cleanup(free_crl) X509_CRL *crl = NULL;
	auto_free char *pem = NULL;
	struct pki_call call;
	struct err err;

	if (!pki_call_parse(c, argc, argv, PKI_O_UNLOCK | PKI_O_OUTPUT, 0, 1, &call) || !pki_open(&call, &ks, &ca))
		return HULL_TROUBLE;
	if (ca_crl(ca, time(NULL), &crl, &err))
		return command_fail("%s", err.text);
	return cert_crl_text(crl, &pem) ? command_fail("out of memory") : put_text(&call, pem);
}

static int run_ca(const struct command *c, int argc, char **argv)
{
	cleanup(free_store) struct keystore *ks = NULL;
	cleanup(free_ca) struct ca *ca = NULL;
	auto_free char *pem = NULL;
	struct pki_call call;

	if (!pki_call_parse(c, argc, argv, PKI_O_UNLOCK | PKI_O_OUTPUT, 0, 1, &call) || !pki_open(&call, &ks, &ca))
		return HULL_TROUBLE;
	return cert_text(ca_cert(ca), &pem) ? command_fail("out of memory") : put_text(&call, pem);
}

#define UNLOCK "  --unlock WAY     how the store is unlocked: ask (the default), file:PATH or fd:N: a\n" \
	"                   passphrase; keyfile:PATH; tpm\n"
#define WHO "  --role ROLE      lcg, csc or hv; by hand also lma\n  --name NAME      of the program; an hv has its server's\n"

const struct command pki_commands[] = {
	{ "pki init", "STORE [--unlock WAY]", "make a certificate authority in a key store", UNLOCK, run_init },
	{ "pki token", "STORE --role ROLE --name NAME [--ttl TIME] [--unlock WAY]", "make a one-time enrolment token and print it",
		WHO "  --ttl TIME       how long it is good for (default 15m)\n" UNLOCK, run_token },
	{ "pki issue", "STORE --role ROLE --name NAME --csr FILE [--life TIME] [--output FILE] [--unlock WAY]",
		"issue a certificate for a signing request, by hand",
		WHO "  --csr FILE       the request, PEM\n  --life TIME      of the certificate (default 24h)\n"
		"  --output FILE    instead of standard output\n" UNLOCK, run_issue },
	{ "pki list", "STORE [--json] [--unlock WAY]", "list certificates, tokens, and who may call whom",
		"  --json           as JSON\n" UNLOCK, pki_run_list },
	{ "pki revoke", "STORE SERIAL|NAME [--unlock WAY]", "revoke a certificate, or all of a name with its tokens", UNLOCK, run_revoke },
	{ "pki allow", "STORE lcg/NAME hv/SERVER [--unlock WAY]", "let a gateway call a server", UNLOCK, run_policy },
	{ "pki deny", "STORE lcg/NAME hv/SERVER [--unlock WAY]", "no longer let a gateway call a server", UNLOCK, run_policy },
	{ "pki crl", "STORE [--output FILE] [--unlock WAY]", "print the revocation list, PEM",
		"  --output FILE    instead of standard output\n" UNLOCK, run_crl },
	{ "pki ca", "STORE [--output FILE] [--unlock WAY]", "print the authority's certificate, PEM",
		"  --output FILE    instead of standard output\n" UNLOCK, run_ca },
	{ "pki enrol", "--lma HOST:PORT --token SOURCE --output DIR", "get a certificate from hull-lma by a token",
		"  --lma HOST:PORT  where hull-lma listens\n  --token SOURCE   file:PATH, fd:N or ask\n"
		"  --output DIR     gets identity.pem (certificate and key, mode 0600) and ca.pem\n", pki_run_enrol },
	{ "pki renew", "--lma HOST:PORT --dir DIR [--if-due]", "a fresh key and certificate, by the one that is still valid",
		"  --lma HOST:PORT  where hull-lma listens\n  --dir DIR        what `hull pki enrol` wrote; also gets crl.pem\n"
		"  --if-due         only when two thirds of its life are over\n", pki_run_renew },
	{ NULL },
};
