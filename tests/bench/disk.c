/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures hv's disk stack inside one process, and beside it the least that could do the same work.
 *
 * Usage: disk [--bare] --path PATH --pattern seq|rand --op read|write --size BYTES --depth N --seconds S
 *             [--layers file|crypt,file] [--sector BYTES]
 *        disk --cipher [--sector BYTES]
 *   Layers are named from the top. --bare: one thread, io_uring and OpenSSL, nothing else. Writes destroy what PATH holds.
 *   Prints `key value` lines: mb_s (10^6), iops, p50_us, p99_us, cpu_s_gb; with --cipher ours_mb_s and plain_mb_s.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "lib/loop.h"
#include "tests/bench/disk.h"

/* ---- places */

void places_init(struct places *p, const struct job *job, uint64_t size)
{
	*p = (struct places){ .state = 88172645463325252ull, .count = size / job->size, .random = job->random };
}

uint64_t places_next(struct places *p)
{
	if (!p->random)
		return p->next++ % p->count;
	p->state ^= p->state << 13;	/* xorshift */
	p->state ^= p->state >> 7;
	p->state ^= p->state << 17;
	return p->state % p->count;
}

/* ---- figures */

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void figures_begin(struct figures *f)
{
	memset(f, 0, sizeof *f);
	f->began_ns = loop_now_ns();
	f->cpu_s = cpu_seconds();
}

void figures_add(struct figures *f, uint64_t ns)
{
	unsigned power = ns < 32 ? 5 : 63 - (unsigned)__builtin_clzll(ns);
	unsigned bucket = (power - 5) * 32 + (unsigned)(ns >> (power - 5)) % 32;

	f->ops++;
	f->latency[bucket < HISTOGRAM ? bucket : HISTOGRAM - 1]++;
}

void figures_end(struct figures *f)
{
	f->ended_ns = loop_now_ns();
	f->cpu_s = cpu_seconds() - f->cpu_s;
}

/* Upper edge of the bucket, in microseconds. */
static double quantile(const struct figures *f, double share)
{
	uint64_t left = (uint64_t)((double)f->ops * share);
	unsigned i = 0;

	while (i < HISTOGRAM - 1 && f->latency[i] <= left)
		left -= f->latency[i++];
	return (double)((uint64_t)(32 + i % 32 + 1) << (i / 32)) / 1e3;
}

static void print(const struct job *job, const struct figures *f)
{
	double s = (double)(f->ended_ns - f->began_ns) / 1e9, bytes = (double)f->ops * job->size;

	printf("mb_s %.0f\niops %.0f\np50_us %.1f\np99_us %.1f\ncpu_s_gb %.3f\n", bytes / s / 1e6, (double)f->ops / s,
		quantile(f, 0.5), quantile(f, 0.99), bytes > 0 ? f->cpu_s / (bytes / 1e9) : 0);
}

/* ---- options */

static int usage(void)
{
	fputs("usage: disk [--bare] --path PATH --pattern seq|rand --op read|write --size BYTES --depth N --seconds S\n"
	      "            [--layers file|crypt,file] [--sector BYTES]\n"
	      "       disk --cipher [--sector BYTES]\n", stderr);
	return 2;
}

struct options { struct job job; bool bare, cipher; };

static bool parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "bare", no_argument, NULL, 'b' }, { "cipher", no_argument, NULL, 'c' }, { "path", required_argument, NULL, 'p' },
		{ "pattern", required_argument, NULL, 'a' }, { "op", required_argument, NULL, 'o' },
		{ "size", required_argument, NULL, 's' }, { "depth", required_argument, NULL, 'd' },
		{ "seconds", required_argument, NULL, 't' }, { "layers", required_argument, NULL, 'l' },
		{ "sector", required_argument, NULL, 'e' }, { NULL, 0, NULL, 0 },
	};
	struct job *job = &o->job;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'b': o->bare = true; break;
		case 'c': o->cipher = true; break;
		case 'p': job->path = optarg; break;
		case 'a': job->random = !strcmp(optarg, "rand"); break;
		case 'o': job->write = !strcmp(optarg, "write"); break;
		case 's': job->size = (uint32_t)strtoul(optarg, NULL, 10); break;
		case 'd': job->depth = (unsigned)strtoul(optarg, NULL, 10); break;
		case 't': job->seconds = strtod(optarg, NULL); break;
		case 'l': job->layers = optarg; break;
		case 'e': job->sector = (uint32_t)strtoul(optarg, NULL, 10); break;
		default: return false;
		}
	}
	return optind == argc && (o->cipher || (job->path && job->size >= 512 && job->depth && job->seconds > 0));
}

int main(int argc, char **argv)
{
	struct options o = { .job = { .layers = "file" } };
	static struct figures f;
	double ours, plain;
	struct err err = { .text = "" };
	int r;

	if (!parse(argc, argv, &o))
		return usage();
	if (o.cipher)
		r = disk_cipher_run(o.job.sector ? o.job.sector : 4096, &ours, &plain, &err);
	else
		r = o.bare ? disk_bare_run(&o.job, &f, &err) : disk_stack_run(&o.job, &f, &err);
	if (r) {
		fprintf(stderr, "disk: %s\n", err.text);
		return 1;
	}
	if (o.cipher)
		printf("ours_mb_s %.0f\nplain_mb_s %.0f\n", ours / 1e6, plain / 1e6);
	else
		print(&o.job, &f);
	return 0;
}
