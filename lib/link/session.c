/* SPDX-License-Identifier: Apache-2.0 */
/* The store hangs on its SSL_CTX, the peer's name on each SSL; OpenSSL frees both with them. */
#include "lib/link/session.h"
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry { SSL_SESSION *session; char peer[SESSION_NAME]; };

struct store {
	pthread_mutex_t lock;
	unsigned count;
	struct entry entry[SESSIONS];	/* the oldest first */
};

static int store_index = -1, name_index = -1;
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static void free_store(void *parent, void *p, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	struct store *s = p;

	if (!s)
		return;
	for (unsigned i = 0; i < s->count; i++)
		SSL_SESSION_free(s->entry[i].session);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void free_name(void *parent, void *p, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	free(p);
}

/* lock held */
static void take_out(struct store *s, unsigned i)
{
	memmove(&s->entry[i], &s->entry[i + 1], (s->count - i - 1) * sizeof s->entry[0]);
	s->count--;
}

/* OpenSSL's callback: 1 keeps the reference it brings. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct store *s = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), store_index);
	const char *peer = SSL_get_ex_data(ssl, name_index);

	if (!s || !peer || !SSL_SESSION_is_resumable(session))
		return 0;
	pthread_mutex_lock(&s->lock);
	if (s->count == SESSIONS) {
		SSL_SESSION_free(s->entry[0].session);
		take_out(s, 0);
	}
	s->entry[s->count].session = session;
	strcpy(s->entry[s->count++].peer, peer);
	pthread_mutex_unlock(&s->lock);
	return 1;
}

static struct store *store_of(SSL_CTX *ctx)
{
	struct store *s;

	pthread_mutex_lock(&making);
	if (store_index < 0)
		store_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_store);
	if (name_index < 0)
		name_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_name);
	s = store_index < 0 || name_index < 0 ? NULL : SSL_CTX_get_ex_data(ctx, store_index);
	if (!s && store_index >= 0 && name_index >= 0 && (s = calloc(1, sizeof *s))) {
		pthread_mutex_init(&s->lock, NULL);
		if (SSL_CTX_set_ex_data(ctx, store_index, s)) {
			SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
			SSL_CTX_sess_set_new_cb(ctx, on_session);
		} else {
			pthread_mutex_destroy(&s->lock);
			free(s);
			s = NULL;
		}
	}
	pthread_mutex_unlock(&making);
	return s;
}

/* The newest of that peer's, out of the store. NULL: none. */
static SSL_SESSION *take(struct store *s, const char *peer)
{
	SSL_SESSION *session = NULL;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = s->count; i-- && !session;) {
		if (strcmp(s->entry[i].peer, peer))
			continue;
		session = s->entry[i].session;
		take_out(s, i);
	}
	pthread_mutex_unlock(&s->lock);
	return session;
}

int session_offer(SSL *ssl, const char *peer)
{
	struct store *s;
	SSL_SESSION *session;
	char *name;
	int rc = 0;

	if (!peer[0] || strlen(peer) >= SESSION_NAME)
		return -EINVAL;
	s = store_of(SSL_get_SSL_CTX(ssl));
	name = s ? strdup(peer) : NULL;
	if (!name || !SSL_set_ex_data(ssl, name_index, name)) {
		free(name);
		ERR_clear_error();
		return -ENOMEM;
	}
	session = take(s, peer);
	if (session && !SSL_set_session(ssl, session))
		rc = -ENOMEM;
	SSL_SESSION_free(session);
	return rc;
}
