/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for keys: locked, not in core files, not inherited by children, wiped when freed. Any thread.
 * Keys on the stack or in ordinary heap memory are a bug; what a library copies is kept from core files by secret_harden.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/err.h"

/*
 * Once, first thing in main of a process that will hold keys, before anything of OpenSSL: no core files, no ptrace by others of the
 * same user, and OpenSSL's own allocations wiped on free. The process goes on when a part is refused; that is logged once.
 */
void secret_harden(void);
/*
 * Between the two, what OpenSSL allocates on this thread lies in secret memory: for the making of contexts that hold a key
 * schedule. Only in a process that secret_harden was called in; without it both do nothing. Fetch algorithms before, because what
 * OpenSSL keeps of them would stand there too.
 */
void secret_openssl_begin(void);
void secret_openssl_end(void);

/* len zeroed bytes, aligned to 64; NULL when out of memory (ENOMEM) or over the limit of locked memory (EPERM, EAGAIN). */
void *secret_alloc(size_t len);
/* Says why secret memory was refused and which limit to raise; code is what secret_create gave, or -errno of secret_alloc. */
int secret_refused(struct err *err, int code) must_check;
void secret_free(void *p);			/* wipes; NULL is fine */
void secret_wipe(void *p, size_t len);
bool secret_equal(const void *a, const void *b, size_t len);	/* constant time */
/* From the kernel's generator; cannot fail short of a broken system (then the process ends with a message). */
void secret_random(void *p, size_t len);

/* A secret of a known length. */
struct secret { uint8_t *data; size_t len; };
int secret_create(struct secret *s, size_t len) must_check;
int secret_copy(struct secret *s, const void *data, size_t len) must_check;
void secret_destroy(struct secret *s);		/* wipes, frees, sets to nothing; a zeroed secret is fine */

/* The whole of a file or descriptor into locked memory; -EFBIG when it has more than max bytes. Errors name the path. */
int secret_read_file(const char *path, size_t max, struct secret *s, struct err *err) must_check;
int secret_read_fd(int fd, const char *name, size_t max, struct secret *s, struct err *err) must_check;
