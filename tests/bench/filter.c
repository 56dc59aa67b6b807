/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What parsing and filtering cost for a frame, in one thread, without system calls: `key ns` lines.
 *
 * Usage: filter [CONNECTIONS]	established connections that frames belong to in turn, in no order; default 10000
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "lib/bits.h"
#include "lib/config.h"
#include "lib/l2/fdb.h"
#include "lib/l2/filter.h"
#include "lib/log.h"

enum { FRAMES = 4096, ROUNDS = 1000, LEN = 66 };

static const uint8_t server[FRAME_MAC] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
static uint8_t bytes[FRAMES][128];
static unsigned connections = 10000;

/* Of this thread, so that others on the machine count less. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "filter: %s\n", what);
	exit(1);
}

/* Segment of connection n to the server */
static struct frame make(uint8_t *b, unsigned n, uint8_t flags)
{
	struct frame f = { .data = b, .len = LEN };

	memset(b, 0, LEN);
	memcpy(b, server, 6);
	memcpy(b + 6, "\x02\x00\x00\x00\x00\x01\x08\x00\x45\x00\x00\x34", 12);
	b[22] = 64;
	b[23] = 6;
	put_be32(b + 26, 0x0a000000 | n >> 8);
	put_be32(b + 30, 0xc000020a);
	put_be16(b + 34, (uint16_t)(1024 + n % 60000));
	put_be16(b + 36, 443);
	b[46] = 0x80;
	b[47] = flags;
	return f;
}

static struct frame turn(struct frame f)
{
	uint8_t b[6];

	memcpy(b, f.data, 6);
	memcpy(f.data, f.data + 6, 6);
	memcpy(f.data + 6, b, 6);
	memcpy(b, f.data + 26, 4);
	memcpy(f.data + 26, f.data + 30, 4);
	memcpy(f.data + 30, b, 4);
	memcpy(b, f.data + 34, 2);
	memcpy(f.data + 34, f.data + 36, 2);
	memcpy(f.data + 36, b, 2);
	return f;
}

static struct filter *filter_of(const char *text)
{
	struct policy *policy;
	struct config *config;
	struct filter *filter;
	struct err err;

	if (config_parse("bench", text, strlen(text), &config, &err) || policy_read(config, "net0", &policy, &err) ||
	    filter_create(server, policy, &filter, &err))
		die(err.text);
	config_free(config);
	filter_set_mtu(filter, 1500, 1500);
	return filter;
}

static void pass(struct filter *filter, enum filter_direction direction, struct frame f)
{
	if (frame_parse(&f) != FRAME_OK || filter_pass(filter, direction, &f, 1000000000) != FILTER_PASS)
		die("a frame was dropped");
}

static void establish(struct filter *filter)
{
	uint8_t b[128];

	for (unsigned n = 0; n < connections; n++) {
		pass(filter, FILTER_TO_SERVER, make(b, n, 2));
		pass(filter, FILTER_FROM_SERVER, turn(make(b, n, 0x12)));
		pass(filter, FILTER_FROM_SERVER, turn(make(b, n, 0x10)));
	}
}

static double run(struct filter *filter)
{
	uint64_t began = cpu_ns(), sum = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < FRAMES; i++) {
			struct frame f = { .data = bytes[i], .len = LEN };

			if (frame_parse(&f) != FRAME_OK)
				die("a frame was refused");
			sum += f.hash;
			if (filter && filter_pass(filter, FILTER_TO_SERVER, &f, 2000000000ull + round) != FILTER_PASS)
				die("a frame was dropped");
		}
	}
	__asm__ volatile("" : : "r"(sum));
	return (double)(cpu_ns() - began) / ((double)ROUNDS * FRAMES);
}

static double run_fdb(void)
{
	uint64_t began, found = 0;
	struct fdb *fdb;

	if (fdb_create(4096, 300, &fdb))
		die("no memory");
	for (unsigned i = 0; i < FRAMES; i++)
		put_be32(bytes[i] + 8, i & 1023);
	began = cpu_ns();
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < FRAMES; i++) {
			found += fdb_learn(fdb, FRAME_NO_VID, bytes[i] + 6, (int)i & 3, 1000000000);
			found += (uint64_t)fdb_find(fdb, FRAME_NO_VID, bytes[i], 1000000000);
		}
	__asm__ volatile("" : : "r"(found));
	fdb_free(fdb);
	return (double)(cpu_ns() - began) / ((double)ROUNDS * FRAMES);
}

int main(int argc, char **argv)
{
	static const char rules[] = "nic.net0.allow.1 = in tcp from 10.0.0.0/8 port 443\nnic.net0.allow.2 = out udp port 53\n"
		"nic.net0.address = 192.0.2.10\nnic.net0.rate = 1023G/s\n";
	struct filter *plain, *full;
	uint32_t state = 1;

	if (argc > 1)
		connections = (unsigned)strtoul(argv[1], NULL, 10);
	if (!connections || connections > 60000)
		die("1 to 60000 connections");
	log_init("filter", LOG_ERROR);
	plain = filter_of("");
	full = filter_of(rules);
	establish(full);
	for (unsigned i = 0; i < FRAMES; i++) {
		state = state * 1664525 + 1013904223;
		make(bytes[i], (state >> 8) % connections, 0x10);
	}
	double parse = run(NULL);

	printf("parse_ns %.1f\n", parse);
	printf("filter_no_rules_ns %.1f\n", run(plain) - parse);
	printf("filter_established_ns %.1f\n", run(full) - parse);
	printf("fdb_learn_find_ns %.1f\n", run_fdb());
	filter_free(plain);
	filter_free(full);
	return 0;
}
