/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/identity_folder.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto/secret.h"
#include "lib/folder.h"
#include "lib/scope.h"

enum { PATH_ROOM = 4096, CRL_MAX = 16 << 20 };

static void destroy_secret(struct secret *s) { secret_destroy(s); }

static int path_of(const char *dir, const char *name, char path[PATH_ROOM], struct err *err)
{
	return snprintf(path, PATH_ROOM, "%s/%s", dir, name) < PATH_ROOM ? 0 : err_set(err, -ENAMETOOLONG, "%s: is too long", dir);
}

/* ---- writing */

static bool write_ca(BIO *bio, const struct identity *id)
{
	return PEM_write_bio_X509(bio, id->ca);
}

static bool write_list(BIO *bio, const struct identity *id)
{
	return PEM_write_bio_X509_CRL(bio, id->crl);
}

static bool write_pair(BIO *bio, const struct identity *id)
{
	return PEM_write_bio_X509(bio, id->cert) && PEM_write_bio_PrivateKey(bio, id->key, NULL, NULL, 0, NULL, NULL);
}

/* Straight to the descriptor: a key leaves no copy in a buffer. A new file takes the old one's place, so that no crash parts it. */
static int put(const char *dir, const char *name, mode_t mode, bool (*write_out)(BIO *bio, const struct identity *id),
	const struct identity *id, struct err *err)
{
	char path[PATH_ROOM], fresh[PATH_ROOM], fresh_name[64];
	auto_close int fd = -1;
	BIO *bio;
	bool ok;

	snprintf(fresh_name, sizeof fresh_name, "%s.new", name);
	if (path_of(dir, name, path, err) || path_of(dir, fresh_name, fresh, err))
		return -ENAMETOOLONG;
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", fresh, strerror(errno));
	bio = BIO_new_fd(fd, BIO_NOCLOSE);
	ok = bio && write_out(bio, id);
	BIO_free(bio);
	if (!ok || fsync(fd) || rename(fresh, path)) {
		unlink(fresh);
		return err_set(err, -EIO, "%s: cannot be written", path);
	}
	return folder_sync(path) ? err_set(err, -EIO, "%s: is written, but its folder cannot be synced", path) : 0;
}

int identity_save(const char *dir, const struct identity *id, struct err *err)
{
	int rc = put(dir, "ca.pem", 0644, write_ca, id, err);

	if (!rc && id->crl)
		rc = put(dir, "crl.pem", 0644, write_list, id, err);
	return rc ? rc : put(dir, "identity.pem", 0600, write_pair, id, err);
}

/* ---- reading */

static int get(const char *dir, const char *name, size_t max, struct secret *text, struct err *err)
{
	char path[PATH_ROOM];
	int rc = path_of(dir, name, path, err);

	return rc ? rc : secret_read_file(path, max, text, err);
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

static int load_ca(const char *dir, struct identity *id, struct err *err)
{
	cleanup(destroy_secret) struct secret text = { 0 };
	int rc = get(dir, "ca.pem", PKI_PEM_MAX, &text, err);

	if (rc)
		return rc;
	rc = cert_parse((char *)text.data, text.len, &id->ca, err);
	return rc ? err_prefix(err, "%s/ca.pem", dir) : 0;
}

/* Not there: none was fetched yet. It is no secret, and longer than secrets may be. */
static int load_crl(const char *dir, struct identity *id, struct err *err)
{
	auto_free char *text = NULL;
	auto_fclose FILE *f = NULL;
	char path[PATH_ROOM];
	size_t n;
	int rc = path_of(dir, "crl.pem", path, err);

	if (rc)
		return rc;
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", path, strerror(errno));
	text = malloc(CRL_MAX);
	if (!text)
		return err_set(err, -ENOMEM, "%s: out of memory", path);
	n = fread(text, 1, CRL_MAX, f);
	rc = cert_crl_parse(text, n, &id->crl, err);
	if (rc)
		return err_prefix(err, "%s", path);
	if (X509_CRL_verify(id->crl, X509_get0_pubkey(id->ca)) != 1)
		return cert_trouble(err, -EKEYREJECTED, "crl.pem: is not the authority's");
	return 0;
}

int identity_load(const char *dir, struct identity *out, struct err *err)
{
	struct identity id = { 0 };
	int rc = load_ca(dir, &id, err);

	if (!rc)
		rc = load_pair(dir, &id, err);
	if (!rc)
		rc = load_crl(dir, &id, err);
	identity_drop(rc ? &id : out);
	if (!rc)
		*out = id;
	return rc;
}
