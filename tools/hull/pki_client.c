/* SPDX-License-Identifier: Apache-2.0 */
/* hull pki enrol, hull pki renew: an identity in a folder, for programs that are not Hull's and for looking around. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto/keysource.h"
#include "lib/ctl.h"
#include "lib/folder.h"
#include "lib/scope.h"
#include "tools/hull/pki.h"

enum { PATH_ROOM = 4096 };

static void drop_identity(struct identity *id) { identity_drop(id); }
static void destroy_secret(struct secret *s) { secret_destroy(s); }
static void free_secret(void *p) { secret_free(*(void **)p); }

static bool path_of(const char *dir, const char *name, char path[PATH_ROOM])
{
	return snprintf(path, PATH_ROOM, "%s/%s", dir, name) < PATH_ROOM;
}

static int put(const char *dir, const char *name, char *text, struct err *err)
{
	char path[PATH_ROOM];

	if (!text || !path_of(dir, name, path))
		return err_set(err, text ? -ENAMETOOLONG : -ENOMEM, "%s: cannot be written", name);
	return file_replace(path, text, strlen(text), err);
}

static bool write_pair(int fd, const struct identity *id)
{
	BIO *bio = BIO_new_fd(fd, BIO_NOCLOSE);
	bool ok = bio && PEM_write_bio_X509(bio, id->cert) && PEM_write_bio_PrivateKey(bio, id->key, NULL, NULL, 0, NULL, NULL);

	BIO_free(bio);
	return ok;
}

/* Certificate and key are one file, so that no crash parts them: a new one of mode 0600, which then takes the old one's place. */
static int put_pair(const char *dir, const struct identity *id, struct err *err)
{
	char path[PATH_ROOM], fresh[PATH_ROOM];
	auto_close int fd = -1;

	if (!path_of(dir, "identity.pem", path) || !path_of(dir, "identity.pem.new", fresh))
		return err_set(err, -ENAMETOOLONG, "%s: is too long", dir);
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", fresh, strerror(errno));
	if (!write_pair(fd, id) || fsync(fd) || rename(fresh, path)) {
		unlink(fresh);
		return err_set(err, -EIO, "%s: cannot be written", path);
	}
	return folder_sync(path) ? err_set(err, -EIO, "%s: is written, but its folder cannot be synced", path) : 0;
}

static int save(const char *dir, const struct identity *id, struct err *err)
{
	auto_free char *ca = NULL, *crl = NULL;
	int rc = cert_text(id->ca, &ca) || (id->crl && cert_crl_text(id->crl, &crl)) ? -ENOMEM : 0;

	if (rc)
		return err_set(err, rc, "out of memory");
	rc = put(dir, "ca.pem", ca, err);
	if (!rc && crl)
		rc = put(dir, "crl.pem", crl, err);
	return rc ? rc : put_pair(dir, id, err);
}

static int get(const char *dir, const char *name, size_t max, struct secret *text, struct err *err)
{
	char path[PATH_ROOM];

	if (!path_of(dir, name, path))
		return err_set(err, -ENAMETOOLONG, "%s: is too long", dir);
	return secret_read_file(path, max, text, err);
}

static EVP_PKEY *parse_key(const struct secret *text)
{
	BIO *bio = BIO_new_mem_buf(text->data, (int)text->len);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;

	BIO_free(bio);
	return key;
}

static int load_pair(const char *dir, struct identity *id, struct err *err)
{
	cleanup(destroy_secret) struct secret text = { 0 };
	int rc = get(dir, "identity.pem", 2 * PKI_PEM_MAX, &text, err);

	if (rc)
		return rc;
	rc = cert_parse((char *)text.data, text.len, &id->cert, err);
	if (rc)
		return err_prefix(err, "%s/identity.pem", dir);
	/* once outside: what OpenSSL keeps of its decoders is to lie in ordinary memory */
	EVP_PKEY_free(parse_key(&text));
	secret_openssl_begin();
	id->key = parse_key(&text);
	secret_openssl_end();
	if (!id->key || X509_check_private_key(id->cert, id->key) != 1)
		return cert_trouble(err, -EINVAL, "identity.pem: holds no key that is its certificate's");
	return 0;
}

static int load(const char *dir, struct identity *id, struct err *err)
{
	cleanup(destroy_secret) struct secret ca = { 0 };
	int rc = get(dir, "ca.pem", PKI_PEM_MAX, &ca, err);

	if (rc)
		return rc;
	rc = cert_parse((char *)ca.data, ca.len, &id->ca, err);
	return rc ? err_prefix(err, "%s/ca.pem", dir) : load_pair(dir, id, err);
}

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
	if (read_token(call.token, token, &err) || identity_enrol(call.lma, token, &id, &err) || save(call.output, &id, &err))
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
	if (load(call.dir, &id, &err))
		return command_fail("%s", err.text);
	if (call.if_due && !identity_due(&id, time(NULL)))
		return HULL_OK;
	if (identity_fetch_crl(call.lma, &id, &err) || identity_renew(call.lma, &id, &err) || save(call.dir, &id, &err))
		return command_fail("%s", err.text);
	return HULL_OK;
}
