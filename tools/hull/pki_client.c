/* SPDX-License-Identifier: Apache-2.0 */
/* hull pki enrol, hull pki renew: an identity in a folder, for programs that are not Hull's and for looking around. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto/identity_folder.h"
#include "crypto/keysource.h"
#include "lib/ctl.h"
#include "lib/scope.h"
#include "tools/hull/pki.h"

static void drop_identity(struct identity *id) { identity_drop(id); }
static void destroy_secret(struct secret *s) { secret_destroy(s); }
static void free_secret(void *p) { secret_free(*(void **)p); }

static int read_token(const char *source, struct token *token, struct err *err)
{
	cleanup(destroy_secret) struct secret text = { 0 };
	int rc = keysource_passphrase(source, "Enrolment token", false, &text, err);

	return rc ? rc : token_parse((char *)text.data, text.len, token, err);
}

int pki_run_enrol(const struct command *c, int argc, char **argv)
{
	cleanup(free_secret) struct token *token = NULL;
	cleanup(drop_identity) struct identity id = { 0 };
	struct pki_call call;
	struct stat st;
	struct err err;

	if (!pki_call_parse(c, argc, argv, PKI_O_LMA | PKI_O_TOKEN | PKI_O_OUTPUT, PKI_O_LMA | PKI_O_TOKEN | PKI_O_OUTPUT, 0, &call))
		return HULL_TROUBLE;
	secret_harden();
	ctl_harden();
	/* before the token is used up */
	if (mkdir(call.output, 0700) && errno != EEXIST)
		return command_fail("%s: %m", call.output);
	if (stat(call.output, &st) || !S_ISDIR(st.st_mode) || access(call.output, W_OK))
		return command_fail("%s: is not a folder that can be written to", call.output);
	token = secret_alloc(sizeof *token);
	if (!token && secret_refused(&err, -errno))
		return command_fail("%s", err.text);
	if (read_token(call.token, token, &err) || identity_enrol(call.lma, token, &id, &err) || identity_save(call.output, &id, &err))
		return command_fail("%s", err.text);
	return HULL_OK;
}

int pki_run_renew(const struct command *c, int argc, char **argv)
{
	cleanup(drop_identity) struct identity id = { 0 };
	struct pki_call call;
	struct err err;

	if (!pki_call_parse(c, argc, argv, PKI_O_LMA | PKI_O_DIR | PKI_O_IF_DUE, PKI_O_LMA | PKI_O_DIR, 0, &call))
		return HULL_TROUBLE;
	secret_harden();
	ctl_harden();
	if (identity_load(call.dir, &id, &err))
		return command_fail("%s", err.text);
	if (call.if_due && !identity_due(&id, time(NULL)))
		return HULL_OK;
	if (identity_fetch_crl(call.lma, &id, &err) || identity_renew(call.lma, &id, &err) || identity_save(call.dir, &id, &err))
		return command_fail("%s", err.text);
	return HULL_OK;
}
