/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS by OpenSSL on the link's socket. Renegotiation is no part of TLS 1.3, but a key update makes reads want to write; what a call
 * wants stands in want_in and want_out until the next one.
 */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include "lib/link/link_priv.h"
#include "lib/link/session.h"

/* ---- OpenSSL's way to the socket: no SIGPIPE, many records by one call, reads end where the link says */

/* What waits in wire and then data, as far as the socket takes them; what is left of both waits in wire. -errno. */
static int transfer(struct link *link, const void *data, size_t len)
{
	size_t waiting = queue_len(&link->wire);
	struct iovec iov[2] = { { (void *)queue_data(&link->wire), waiting }, { (void *)data, len } };
	struct msghdr msg = { .msg_iov = waiting ? iov : iov + 1, .msg_iovlen = waiting ? 2 : 1 };
	ssize_t sent = sendmsg(link->fd, &msg, MSG_NOSIGNAL);
	size_t n = sent < 0 ? 0 : (size_t)sent, first = n < waiting ? n : waiting;
	uint8_t *to;

	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	queue_drop(&link->wire, first);
	n -= first;
	link->blocked = first < waiting || n < len;
	if (n == len)
		return 0;
	to = queue_reserve(&link->wire, len - n);
	if (!to)
		return -ENOMEM;
	memcpy(to, (const uint8_t *)data + n, len - n);
	link->wire.tail += len - n;
	return 0;
}

static int collect(struct link *link, const char *data, int len)
{
	uint8_t *to = link->more && queue_len(&link->wire) + (size_t)len < LINK_BURST ? queue_reserve(&link->wire, (size_t)len) : NULL;
	int rc = to ? 0 : transfer(link, data, (size_t)len);

	if (to) {
		memcpy(to, data, (size_t)len);
		link->wire.tail += (size_t)len;
	}
	errno = -rc;
	return rc ? -1 : len;
}

static int bio_write(BIO *bio, const char *data, int len)
{
	struct link *link = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (link->config.gather)
		return collect(link, data, len);
	n = send(link->fd, data, (size_t)len, MSG_NOSIGNAL);
	if (n <= 0 && BIO_sock_should_retry((int)n))
		BIO_set_retry_write(bio);
	return (int)n;
}

static int bio_read(BIO *bio, char *data, int len)
{
	struct link *link = BIO_get_data(bio);
	ssize_t n = -1;

	BIO_clear_retry_flags(bio);
	if (link->dry)
		errno = EAGAIN;
	else
		n = recv(link->fd, data, (size_t)len, 0);
	if (n <= 0 && BIO_sock_should_retry((int)n))
		BIO_set_retry_read(bio);
	else if (!n)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	/* who got less than he asked for need not ask again: the loop will tell */
	link->dry |= link->config.gather && n > 0 && n < len;
	return (int)n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct link *link = BIO_get_data(bio);

	if (cmd == BIO_C_GET_FD) {
		if (ptr)
			*(int *)ptr = link->fd;
		return link->fd;
	}
	if (cmd == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static BIO_METHOD *method;

static void make_method(void)
{
	int index = BIO_get_new_index();

	method = index < 0 ? NULL : BIO_meth_new(index | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "link");
	if (!method || !BIO_meth_set_write(method, bio_write) || !BIO_meth_set_read(method, bio_read) ||
	    !BIO_meth_set_ctrl(method, bio_ctrl)) {
		BIO_meth_free(method);
		method = NULL;
	}
}

static bool set_socket(struct link *link)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	pthread_once(&once, make_method);
	bio = method ? BIO_new(method) : NULL;
	if (!bio)
		return false;
	BIO_set_data(bio, link);
	BIO_set_init(bio, 1);
	SSL_set_bio(link->ssl, bio, bio);
	return true;
}

/* Bytes of ALPN's list: one name after its length. */
static int set_alpn(struct link *link)
{
	size_t len = strlen(link->config.alpn);
	uint8_t list[256];

	if (!len || len > 255)
		return -EINVAL;
	list[0] = (uint8_t)len;
	memcpy(list + 1, link->config.alpn, len);
	return SSL_set_alpn_protos(link->ssl, list, (unsigned)len + 1) ? -ENOMEM : 0;
}

int link_tls_open(struct link *link, struct err *err)
{
	int rc = -ENOMEM;

	link->ssl = SSL_new(link->config.tls);
	if (link->ssl && set_socket(link))
		rc = link->config.alpn && !link->config.server ? set_alpn(link) : 0;
	if (!rc && link->config.resume && !link->config.server)
		rc = session_offer(link->ssl, link->config.resume);
	if (rc) {
		ERR_clear_error();
		return err_set(err, rc, "TLS: cannot be begun: %s", strerror(-rc));
	}
	SSL_set_mode(link->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (link->config.gather) {
		SSL_clear_mode(link->ssl, SSL_MODE_RELEASE_BUFFERS);	/* between records: we do that when the link rests */
		SSL_set_read_ahead(link->ssl, 1);
		SSL_set_default_read_buffer_len(link->ssl, LINK_AHEAD);
	}
	/* OpenSSL keeps the last record's plaintext until the next one comes. */
	if (link->config.secret)
		SSL_set_options(link->ssl, SSL_OP_CLEANSE_PLAINTEXT);
	if (link->config.server)
		SSL_set_accept_state(link->ssl);
	else
		SSL_set_connect_state(link->ssl);
	return 0;
}

/* What went wrong with the protocol: a certificate of the peer's, its alert, or its bytes. */
static int protocol_error(struct link *link)
{
	unsigned long e = ERR_peek_error();
	const char *reason = ERR_reason_error_string(e);
	long verify = SSL_get_verify_result(link->ssl);

	if (ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return link_fail(link, -ECONNRESET, "the other side cut the connection off");
	if (ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK)
		return link_fail(link, -EPROTO, "the other side's certificate is refused: %s", X509_verify_cert_error_string(verify));
	return link_fail(link, -EPROTO, "TLS: %s", reason ? reason : "unknown error");
}

/* The socket said no. */
static int broken(struct link *link, int code)
{
	int rc = code && code != EPIPE ? -code : -ECONNRESET;

	return link_fail(link, rc, "%s", code == ETIMEDOUT ? "the other side does not answer any more" : strerror(-rc));
}

static int result(struct link *link, int ret, int saved)
{
	int rc;

	switch (SSL_get_error(link->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		link->want_in = true;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		link->want_out = true;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		rc = broken(link, saved);
		break;
	default:
		rc = protocol_error(link);
	}
	ERR_clear_error();
	return rc;
}

/* want_in and want_out say what the last call wants. */
static void begin(struct link *link)
{
	link->want_in = link->want_out = false;
	if (ERR_peek_error())	/* somebody else's; looking is cheaper than clearing */
		ERR_clear_error();
	errno = 0;
}

static int push(struct link *link)
{
	int rc = queue_len(&link->wire) ? transfer(link, NULL, 0) : 0;

	if (rc)
		return broken(link, -rc);
	return queue_len(&link->wire) ? -EAGAIN : 0;
}

bool link_is_revoked(const struct link *link, const SSL_CTX *by)
{
	X509 *cert = link->ssl ? SSL_get0_peer_certificate(link->ssl) : NULL;
	X509_STORE_CTX *ctx = cert ? X509_STORE_CTX_new() : NULL;
	bool revoked = false;

	if (ctx && X509_STORE_CTX_init(ctx, SSL_CTX_get_cert_store(by), cert, SSL_get_peer_cert_chain(link->ssl)) &&
	    X509_STORE_CTX_set_default(ctx, SSL_is_server(link->ssl) ? "ssl_client" : "ssl_server"))
		revoked = X509_verify_cert(ctx) != 1 && X509_STORE_CTX_get_error(ctx) == X509_V_ERR_CERT_REVOKED;
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return revoked;
}

static int handshake(struct link *link)
{
	const unsigned char *alpn;
	unsigned len;
	int ret;

	ret = push(link);
	if (ret && ret != -EAGAIN)
		return ret;
	begin(link);
	ret = SSL_do_handshake(link->ssl);
	if (ret != 1) {
		ret = result(link, ret, errno);
		link->want_out |= link->blocked;
		return ret ? ret : link_fail(link, -ECONNRESET, "the other side closed the connection");
	}
	if (!link->config.alpn)
		return 0;
	SSL_get0_alpn_selected(link->ssl, &alpn, &len);
	if (len != strlen(link->config.alpn) || memcmp(alpn, link->config.alpn, len))
		return link_fail(link, -EPROTO, "TLS: the other side did not agree on %s", link->config.alpn);
	return 0;
}

static ssize_t receive(struct link *link, void *data, size_t len)
{
	int ret;

	begin(link);
	ret = SSL_read(link->ssl, data, len > LINK_CHUNK ? LINK_CHUNK : (int)len);
	return ret > 0 ? ret : result(link, ret, errno);
}

static ssize_t transmit(struct link *link, const void *data, size_t len)
{
	int ret;

	begin(link);
	ret = SSL_write(link->ssl, data, len > LINK_CHUNK ? LINK_CHUNK : (int)len);
	if (ret > 0)
		return ret;
	ret = result(link, ret, errno);
	return ret ? ret : link_fail(link, -ECONNRESET, "the other side closed the connection");
}

static bool pending(const struct link *link)
{
	return SSL_has_pending(link->ssl);
}

/* A peer that is gone shows when reading: that it missed our end is no failure. */
static int end(struct link *link)
{
	int rc = 0;

	/* once: a second call would look for the peer's, and find data */
	if (SSL_get_shutdown(link->ssl) & SSL_SENT_SHUTDOWN) {
		rc = push(link);
	} else {
		int ret;

		begin(link);
		ret = SSL_shutdown(link->ssl);
		if (ret < 0)
			rc = result(link, ret, errno);
		else if (link->blocked)
			rc = -EAGAIN;
	}
	if (rc != -EAGAIN)
		link->why = (struct err){ 0 };
	return rc == -EAGAIN ? rc : 0;
}

static void key_update(struct link *link)
{
	/* refused while a record is half written: records count on, so the next write asks again */
	if (SSL_key_update(link->ssl, SSL_KEY_UPDATE_NOT_REQUESTED)) {
		link->counters.key_updates++;
		link->records = 0;
	}
	ERR_clear_error();
}

static void rest(struct link *link)
{
	(void)SSL_free_buffers(link->ssl);	/* refused while something is in one */
}

const struct link_io link_io_tls = { handshake, receive, transmit, pending, push, end, key_update, rest, LINK_CHUNK };
