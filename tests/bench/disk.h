/* SPDX-License-Identifier: Apache-2.0 */
/* The disk benchmark: disk.c has options and figures, disk_stack.c hv's own layers, disk_bare.c what they are compared with. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "lib/err.h"

struct job {
	const char *path, *layers;
	bool random, write;
	uint32_t size;			/* bytes of a request */
	unsigned depth;
	double seconds;
	uint32_t sector;		/* crypto sector bytes; 0: no encryption */
};

enum { HISTOGRAM = 40 * 32 };

struct figures {
	uint64_t ops, began_ns, ended_ns;
	double cpu_s;			/* of the whole process, kernel's workers included */
	uint32_t latency[HISTOGRAM];	/* 32 buckets in each power of two */
};

/* Places are drawn alike by both: the n-th of a job is the same. */
struct places { uint64_t state, next, count; bool random; };
void places_init(struct places *p, const struct job *job, uint64_t size);
uint64_t places_next(struct places *p);	/* in requests */

void figures_begin(struct figures *f);
void figures_add(struct figures *f, uint64_t ns);
void figures_end(struct figures *f);

int disk_stack_run(const struct job *job, struct figures *f, struct err *err) must_check;
int disk_bare_run(const struct job *job, struct figures *f, struct err *err) must_check;
/* Both over 1 GiB; bytes per second. */
int disk_cipher_run(uint32_t sector, double *ours, double *plain, struct err *err) must_check;
