/* SPDX-License-Identifier: Apache-2.0 */
/* Locals that clean up after themselves, and the one way to disarm them: take_ptr / take_fd. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup(fn) __attribute__((cleanup(fn)))

static inline void scope_free(void *p) { free(*(void **)p); }
static inline void scope_close(int *fd) { if (*fd >= 0) close(*fd); }
static inline void scope_fclose(FILE **f) { if (*f) fclose(*f); }

#define auto_free cleanup(scope_free)
#define auto_close cleanup(scope_close)
#define auto_fclose cleanup(scope_fclose)

#define take_ptr(p) ({ __typeof__(p) taken_ = (p); (p) = NULL; taken_; })
#define take_fd(fd) ({ int taken_ = (fd); (fd) = -1; taken_; })

#define array_len(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
