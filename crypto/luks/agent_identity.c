/* SPDX-License-Identifier: Apache-2.0 */
/* An identity between hull-hv and its agent: what is secret in the message, what is public in a memory file beside it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto/luks/agent.h"
#include "lib/bits.h"
#include "lib/buf.h"
#include "lib/scope.h"

enum { PUBLIC_MAX = (16 << 20) + (1 << 16), SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

/* ---- out */

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Length and bytes of one part, which it frees. len 0: there is none; below: it could not be made. */
static int put_part(int fd, uint8_t *der, int len)
{
	uint8_t head[4];
	int r;

	put_le32(head, len > 0 ? (uint32_t)len : 0);
	r = len < 0 ? -ENOMEM : write_all(fd, head, sizeof head);
	if (!r && len)
		r = write_all(fd, der, (size_t)len);
	OPENSSL_free(der);
	return r;
}

static int write_public(int fd, const struct identity *id)
{
	uint8_t *cert = NULL, *ca = NULL, *crl = NULL;
	int cert_len = i2d_X509(id->cert, &cert), ca_len = i2d_X509(id->ca, &ca), crl_len = id->crl ? i2d_X509_CRL(id->crl, &crl) : 0;
	int r = put_part(fd, cert, cert_len), r2 = put_part(fd, ca, ca_len), r3 = put_part(fd, crl, crl_len);

	return r ? r : r2 ? r2 : r3;
}

int agent_pack_identity(struct agent_message *m, const struct identity *id, int *out, struct err *err)
{
	auto_close int fd = memfd_create("hull-identity", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t *key = m->key;
	int len = i2d_PrivateKey(id->key, NULL), r;

	if (fd < 0)
		return err_set(err, -errno, "identity: no memory file: %s", strerror(errno));
	if (len <= 0 || len > AGENT_KEY || i2d_PrivateKey(id->key, &key) != len)
		return cert_trouble(err, -EINVAL, "identity: its key cannot be handed over");
	m->key_len = (uint32_t)len;
	r = write_public(fd, id);
	if (!r && fcntl(fd, F_ADD_SEALS, SEALS))
		r = -errno;
	if (r)
		return err_set(err, r, "identity: memory file: %s", strerror(-r));
	*out = take_fd(fd);
	return 0;
}

/* ---- in */

/* The whole file, which nobody can change any more. */
static int read_public(int fd, uint8_t **data, size_t *len, struct err *err)
{
	auto_free uint8_t *bytes = NULL;
	struct stat st;
	size_t at = 0;

	if (fd < 0 || (fcntl(fd, F_GET_SEALS) & SEALS) != SEALS || fstat(fd, &st))
		return err_set(err, -EPROTO, "identity: comes without a sealed memory file");
	if (st.st_size > PUBLIC_MAX || !(bytes = malloc((size_t)st.st_size + 1)))
		return err_set(err, -EPROTO, "identity: has %lld bytes", (long long)st.st_size);
	while (at < (size_t)st.st_size) {
		ssize_t n = pread(fd, bytes + at, (size_t)st.st_size - at, (off_t)at);

		if (n <= 0 && errno != EINTR)
			return err_set(err, -EPROTO, "identity: its memory file cannot be read");
		at += n > 0 ? (size_t)n : 0;
	}
	*len = at;
	*data = take_ptr(bytes);
	return 0;
}

/* The next part's bytes, all of which must be it. */
static const uint8_t *next(struct rbuf *b, long *len)
{
	uint32_t n = rbuf_le32(b);
	const uint8_t *at = b->data + b->pos;

	if (b->failed || n > rbuf_left(b))
		return NULL;
	rbuf_skip(b, n);
	*len = (long)n;
	return at;
}

static bool parse_public(struct rbuf b, struct identity *id)
{
	const uint8_t *at, *begin;
	long len;

	if (!(begin = at = next(&b, &len)) || !(id->cert = d2i_X509(NULL, &at, len)) || at != begin + len)
		return false;
	if (!(begin = at = next(&b, &len)) || !(id->ca = d2i_X509(NULL, &at, len)) || at != begin + len)
		return false;
	if (!(begin = at = next(&b, &len)))
		return false;
	if (len && (!(id->crl = d2i_X509_CRL(NULL, &at, len)) || at != begin + len))
		return false;
	return !rbuf_left(&b);
}

static EVP_PKEY *parse_key(const struct agent_message *m)
{
	const uint8_t *at = m->key;

	return d2i_AutoPrivateKey(NULL, &at, (long)m->key_len);
}

int agent_unpack_identity(const struct agent_message *m, int fd, struct identity *out, struct err *err)
{
	auto_free uint8_t *data = NULL;
	struct identity id = { 0 };
	size_t len = 0;
	int r = read_public(fd, &data, &len, err);

	if (r)
		return r;
	if (!parse_public(rbuf_of(data, len), &id)) {
		r = cert_trouble(err, -EPROTO, "identity: certificate, authority and list are not whole");
	} else {
		/* Once outside: what OpenSSL keeps of its decoders is to lie in ordinary memory. */
		EVP_PKEY_free(parse_key(m));
		secret_openssl_begin();
		id.key = parse_key(m);
		secret_openssl_end();
		if (!id.key || X509_check_private_key(id.cert, id.key) != 1)
			r = cert_trouble(err, -EPROTO, "identity: the key is not the certificate's");
	}
	if (r)
		identity_drop(&id);
	else
		*out = id;
	return r;
}
