/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/identity_folder.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "crypto/secret.h"
#include "lib/folder.h"
#include "lib/scope.h"

enum { PATH_ROOM = 4096, CRL_MAX = 16 << 20 };

static void destroy_secret(struct secret *s) { secret_destroy(s); }

static int path_of(const char *dir, const char *name, const char *ending, char path[PATH_ROOM], struct err *err)
{
	if (snprintf(path, PATH_ROOM, "%s/%s%s", dir, name, ending) < PATH_ROOM)
		return 0;
	return err_set(err, -ENAMETOOLONG, "%.200s…: the name is too long", dir);
}

/* ---- out */

static bool write_parts(int fd, X509 *cert, EVP_PKEY *key, X509_CRL *crl)
{
	BIO *bio = BIO_new_fd(fd, BIO_NOCLOSE);
	bool ok = bio && (!cert || PEM_write_bio_X509(bio, cert)) && (!crl || PEM_write_bio_X509_CRL(bio, crl)) &&
		(!key || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));

	BIO_free(bio);
	return ok && !fsync(fd);
}

/* A new file, which then takes the old one's place. */
static int put(const char *dir, const char *name, mode_t mode, X509 *cert, EVP_PKEY *key, X509_CRL *crl, struct err *err)
{
	char path[PATH_ROOM], fresh[PATH_ROOM];
	auto_close int fd = -1;
	int rc = path_of(dir, name, "", path, err);

	rc = rc ? rc : path_of(dir, name, ".new", fresh, err);
	if (rc)
		return rc;
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", fresh, strerror(errno));
	if (!write_parts(fd, cert, key, crl) || rename(fresh, path)) {
		unlink(fresh);
		return err_set(err, -EIO, "%s: cannot be written", path);
	}
	return folder_sync(path) ? err_set(err, -EIO, "%s: is written, but its folder cannot be synced", path) : 0;
}

int identity_save(const char *dir, const struct identity *id, struct err *err)
{
	int rc = put(dir, "ca.pem", 0666, id->ca, NULL, NULL, err);

	if (!rc && id->crl)
		rc = put(dir, "crl.pem", 0666, NULL, NULL, id->crl, err);
	return rc ? rc : put(dir, "identity.pem", 0600, id->cert, id->key, NULL, err);
}

/* ---- in */

static int get(const char *dir, const char *name, size_t max, struct secret *text, struct err *err)
{
	char path[PATH_ROOM];
	int rc = path_of(dir, name, "", path, err);

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

/* A list that is not there is fetched when it is needed; one that is there and no list is trouble. It is no secret. */
static int load_crl(const char *dir, struct identity *id, struct err *err)
{
	auto_fclose FILE *f = NULL;
	char path[PATH_ROOM];
	struct stat st;
	int rc = path_of(dir, "crl.pem", "", path, err);

	if (rc)
		return rc;
	f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st))
		return errno == ENOENT ? 0 : err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size > CRL_MAX)
		return err_set(err, -EINVAL, "%s: is no file of at most %d MiB", path, CRL_MAX >> 20);
	id->crl = PEM_read_X509_CRL(f, NULL, NULL, NULL);
	if (!id->crl)
		return cert_trouble(err, -EINVAL, "crl.pem: holds no revocation list");
	if (X509_CRL_verify(id->crl, X509_get0_pubkey(id->ca)) != 1)
		return cert_trouble(err, -EKEYREJECTED, "crl.pem: is not of the authority in ca.pem");
	return 0;
}

int identity_load(const char *dir, struct identity *id, struct err *err)
{
	int rc;

	*id = (struct identity){ 0 };
	rc = load_ca(dir, id, err);
	if (!rc)
		rc = load_pair(dir, id, err);
	if (!rc)
		rc = load_crl(dir, id, err);
	if (rc)
		identity_drop(id);
	return rc;
}
