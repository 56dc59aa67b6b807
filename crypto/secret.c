/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/secret.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include "crypto/secret_priv.h"
#include "lib/log.h"
#include "lib/scope.h"

/*
 * Arenas of locked pages with a guard page on each side. Bookkeeping stands in ordinary memory, so that an overrun reaches a guard
 * page and not the list, and a child, which finds the pages wiped, can still free.
 */
enum { PAGE = 4096, ARENA = 16384, GRAIN = 64, GRAINS = ARENA / GRAIN };

struct arena {
	struct arena *next;
	uint8_t *base;
	size_t size;			/* ARENA, or pages for one allocation that is larger */
	unsigned used;			/* allocations */
	uint16_t run[GRAINS];		/* grains of the allocation that begins here; 0: none begins */
	size_t len[GRAINS];		/* its bytes as asked for */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* guards the list and all in it */
static struct arena *arenas;

static void unmap(struct arena *a)
{
	munmap(a->base - PAGE, a->size + 2 * PAGE);
	free(a);
}

static struct arena *map(size_t size)
{
	struct arena *a = calloc(1, sizeof *a);
	uint8_t *p;

	if (!a)
		return NULL;
	p = mmap(NULL, size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		free(a);
		return NULL;
	}
	a->base = p + PAGE;
	a->size = size;
	if (mprotect(a->base, size, PROT_READ | PROT_WRITE) || madvise(a->base, size, MADV_DONTDUMP) ||
	    madvise(a->base, size, MADV_WIPEONFORK) || mlock(a->base, size)) {
		int e = errno;

		unmap(a);
		errno = e;
		return NULL;
	}
	a->next = arenas;
	arenas = a;
	return a;
}

/* First free run of `want` grains, or GRAINS. */
static unsigned find(const struct arena *a, unsigned want)
{
	unsigned at = 0, i = 0;

	while (i < GRAINS && i - at < want) {
		if (a->run[i])
			at = i += a->run[i];
		else
			i++;
	}
	return i - at >= want ? at : GRAINS;
}

static void *place(struct arena *a, unsigned at, unsigned grains, size_t len)
{
	a->run[at] = (uint16_t)grains;
	a->len[at] = len;
	a->used++;
	return a->base + (size_t)at * GRAIN;
}

static void *alloc_locked(size_t len)
{
	unsigned grains = (unsigned)((len + GRAIN - 1) / GRAIN) + !len;
	struct arena *a;

	if (len > ARENA) {
		a = map((len + PAGE - 1) & ~(size_t)(PAGE - 1));
		return a ? place(a, 0, GRAINS, len) : NULL;
	}
	for (a = arenas; a; a = a->next) {
		unsigned at = a->size == ARENA ? find(a, grains) : GRAINS;

		if (at < GRAINS)
			return place(a, at, grains, len);
	}
	a = map(ARENA);
	return a ? place(a, 0, grains, len) : NULL;
}

void *secret_alloc(size_t len)
{
	void *p;

	if (len > SIZE_MAX / 2) {
		errno = ENOMEM;
		return NULL;
	}
	pthread_mutex_lock(&lock);
	p = alloc_locked(len);
	pthread_mutex_unlock(&lock);
	return p;
}

static struct arena **owner(const void *p)
{
	struct arena **link = &arenas;

	while (*link && ((const uint8_t *)p < (*link)->base || (const uint8_t *)p >= (*link)->base + (*link)->size))
		link = &(*link)->next;
	return link;
}

bool secret_owns(const void *p, size_t *len)
{
	struct arena *a;

	pthread_mutex_lock(&lock);
	a = *owner(p);
	if (a)
		*len = a->len[(size_t)((const uint8_t *)p - a->base) / GRAIN];
	pthread_mutex_unlock(&lock);
	return a;
}

void secret_free(void *p)
{
	struct arena **link, *a;
	size_t at;

	if (!p)
		return;
	pthread_mutex_lock(&lock);
	link = owner(p);
	a = *link;
	bug_on(!a);
	at = (size_t)((uint8_t *)p - a->base);
	bug_on(at % GRAIN || !a->run[at / GRAIN]);
	secret_wipe(p, a->len[at / GRAIN]);
	a->run[at / GRAIN] = 0;
	/* The last ordinary arena stays: keys come and go. */
	if (!--a->used && (a->size != ARENA || a != arenas || a->next)) {
		*link = a->next;
		unmap(a);
	}
	pthread_mutex_unlock(&lock);
}

int secret_refused(struct err *err, int code)
{
	struct rlimit limit = { 0 };

	if (code != -EPERM && code != -EAGAIN && code != -ENOMEM)
		return err_set(err, code, "no locked memory for keys: %s", strerror(-code));
	getrlimit(RLIMIT_MEMLOCK, &limit);
	return err_set(err, code, "no locked memory for keys: %s; the limit of locked memory is %llu KiB, raise it (ulimit -l, or "
		"LimitMEMLOCK= of the service)", strerror(-code), (unsigned long long)limit.rlim_cur / 1024);
}

void secret_wipe(void *p, size_t len)
{
	if (len)
		explicit_bzero(p, len);
}

bool secret_equal(const void *a, const void *b, size_t len)
{
	return !CRYPTO_memcmp(a, b, len);
}

void secret_random(void *p, size_t len)
{
	uint8_t *at = p;

	while (len) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			log_error("the kernel gives no random bytes: %s; keys cannot be made here", strerror(errno));
			exit(EXIT_FAILURE);
		}
		at += n;
		len -= (size_t)n;
	}
}

int secret_create(struct secret *s, size_t len)
{
	s->data = secret_alloc(len);
	s->len = s->data ? len : 0;
	return s->data ? 0 : -errno;
}

int secret_copy(struct secret *s, const void *data, size_t len)
{
	int r = secret_create(s, len);

	if (!r && len)
		memcpy(s->data, data, len);
	return r;
}

void secret_destroy(struct secret *s)
{
	secret_free(s->data);
	*s = (struct secret){ 0 };
}
