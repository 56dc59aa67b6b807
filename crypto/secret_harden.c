/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps keys inside the process, and OpenSSL's copies of them: an allocator under OpenSSL that wipes what is freed, and that
 * takes secret memory while a thread says so. Any other OpenSSL memory is kept from core files with the process as a whole.
 */
#include <errno.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include "crypto/secret_priv.h"
#include "lib/log.h"

static bool hardened;
static _Thread_local unsigned in_secret;

static void *ssl_malloc(size_t len, const char *file, int line)
{
	return in_secret ? secret_alloc(len) : malloc(len);
}

static void ssl_free(void *p, const char *file, int line)
{
	size_t len;

	if (!p)
		return;
	if (secret_owns(p, &len)) {
		secret_free(p);
		return;
	}
	secret_wipe(p, malloc_usable_size(p));
	free(p);
}

/* Never realloc: it would leave the old bytes where they were. */
static void *ssl_realloc(void *p, size_t len, const char *file, int line)
{
	bool secret;
	void *fresh;
	size_t old;

	if (!p)
		return ssl_malloc(len, file, line);
	if (!len) {
		ssl_free(p, file, line);
		return NULL;
	}
	secret = secret_owns(p, &old);
	if (!secret) {
		old = malloc_usable_size(p);
		if (old >= len && !in_secret)
			return p;
	}
	/* what was in secret memory stays there, whoever makes it larger */
	fresh = secret ? secret_alloc(len) : ssl_malloc(len, file, line);
	if (!fresh)
		return NULL;
	memcpy(fresh, p, old < len ? old : len);
	ssl_free(p, file, line);
	return fresh;
}

void secret_harden(void)
{
	struct rlimit none = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0) || setrlimit(RLIMIT_CORE, &none))
		log_warn("cannot forbid core files: %s", strerror(errno));
	if (!hardened) {
		hardened = CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free);
		if (!hardened)
			log_warn("OpenSSL was in use before: what it frees is not wiped");
	}
}

void secret_openssl_begin(void)
{
	in_secret += hardened;
}

void secret_openssl_end(void)
{
	in_secret -= hardened;
}
