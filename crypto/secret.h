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
 * Once, first thing in main of a process that will hold keys: no core files, no ptrace by others of the same user, and OpenSSL's
 * own allocations wiped on free. The process goes on when the kernel refuses a part; that is logged once.
 */
void secret_harden(void);

/* len zeroed bytes; NULL when out of memory or over the limit of locked memory (errno). */
void *secret_alloc(size_t len);
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

/* The whole of a file or descriptor (at most max bytes) into locked memory. Errors name the path. */
int secret_read_file(const char *path, size_t max, struct secret *s, struct err *err) must_check;
int secret_read_fd(int fd, const char *name, size_t max, struct secret *s, struct err *err) must_check;
