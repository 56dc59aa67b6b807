/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a volume leak the plain disk that it holds encrypted? Searches the raw volume, at every multiple of 16 bytes, for a
 * piece of 64 bytes from every 512-byte block of the plain disk, and tests whether the volume looks like noise.
 *
 * Usage: scan [--data-at BYTES] PLAIN VOLUME
 *   --data-at  where the volume's data begin, multiples of 4096 (default: 16 MiB when it begins with LUKS' magic, else 0);
 *              the search takes in what lies before, the test for noise does not
 * Exit 0: nothing found; 1: plaintext, or something that is no noise; 2: trouble.
 *
 * A piece is taken where at least DISTINCT different byte values stand in it: zeroes, patterns and tables of nearly nothing would
 * be found anywhere. Noise: chi-square of the byte values of each 4 KiB, 255 degrees of freedom, by Wilson and Hilferty's cube.
 * A block of zeroes was never written and is only counted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 512, PIECE = 64, LANE = 16, DISTINCT = 14, PAGE = 4096, BUFFER = 4 << 20, SHOWN = 5 };
#define LUKS_DATA (16ull << 20)

/* Deviations from the mean, in standard deviations of the normal distribution. */
#define ODD 3.719		/* a block in 10,000 on either side */
#define ODD_SHARE 2e-4
#define NEVER 8.0		/* one in 10^15 */
#define OVERALL 5.0

struct plain { const uint8_t *data; size_t size; uint64_t blocks, taken; };

/* Open addressing: the hash's upper half and the piece's place in units of 16 bytes; a bitmap tells most misses. */
struct set {
	struct slot { uint32_t tag, place; } *slots;
	uint64_t mask, count;
	uint8_t *bits;
	uint64_t bits_mask;
};

struct result {
	uint64_t hits, pages, zero_pages, odd, never, total[256];
	uint64_t where[SHOWN], from[SHOWN], worst_at;
	double worst;
};

static _Noreturn void die(const char *what, const char *path)
{
	fprintf(stderr, "scan: %s: %s: %s\n", path, what, strerror(errno));
	exit(2);
}

/* ---- pieces */

static uint64_t lane_hash(const uint8_t *p)
{
	uint64_t a, b;

	memcpy(&a, p, 8);
	memcpy(&b, p + 8, 8);
	a = (a ^ 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
	b = (b ^ 0x94d049bb133111ebull) * 0x2545f4914f6cdd1dull;
	return a ^ b >> 29 ^ b << 35;
}

static uint64_t piece_hash(const uint64_t lane[4])
{
	uint64_t h = lane[0];

	for (int i = 1; i < 4; i++)
		h = (h ^ h >> 31) * 0xd6e8feb86659fd93ull + lane[i];
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93ull;
	return h ^ h >> 32;
}

static uint64_t hash_of(const uint8_t *p)
{
	uint64_t lane[4] = { lane_hash(p), lane_hash(p + LANE), lane_hash(p + 2 * LANE), lane_hash(p + 3 * LANE) };

	return piece_hash(lane);
}

static bool telling(const uint8_t *p)
{
	uint64_t seen[4] = { 0 };

	for (int i = 0; i < PIECE; i++)
		seen[p[i] >> 6] |= 1ull << (p[i] & 63);
	return __builtin_popcountll(seen[0]) + __builtin_popcountll(seen[1]) + __builtin_popcountll(seen[2]) +
	       __builtin_popcountll(seen[3]) >= DISTINCT;
}

static void set_create(struct set *s, uint64_t most)
{
	uint64_t size = 1024;

	while (size < 2 * most)
		size *= 2;
	s->mask = size - 1;
	s->slots = calloc(size, sizeof *s->slots);
	s->bits_mask = size * 8 - 1;
	s->bits = calloc(size, 1);
	if (!s->slots || !s->bits)
		die("out of memory", "pieces");
}

static void set_add(struct set *s, uint64_t h, uint64_t offset)
{
	uint64_t at = h & s->mask;

	s->bits[(h & s->bits_mask) >> 3] |= (uint8_t)(1 << (h & 7));
	for (; s->slots[at].tag; at = (at + 1) & s->mask) {
		if (s->slots[at].tag == (uint32_t)(h >> 32 | 1))
			return;		/* the same again; if it is only nearly so, one piece less is looked for */
	}
	s->slots[at] = (struct slot){ (uint32_t)(h >> 32 | 1), (uint32_t)(offset / LANE) };
	s->count++;
}

/* The place in the plain disk of the piece at p; -1: none */
static int64_t set_find(const struct set *s, const struct plain *plain, uint64_t h, const uint8_t *p)
{
	if (!(s->bits[(h & s->bits_mask) >> 3] & 1 << (h & 7)))
		return -1;
	for (uint64_t at = h & s->mask; s->slots[at].tag; at = (at + 1) & s->mask) {
		uint64_t offset = (uint64_t)s->slots[at].place * LANE;

		if (s->slots[at].tag == (uint32_t)(h >> 32 | 1))
			return memcmp(plain->data + offset, p, PIECE) ? -1 : (int64_t)offset;
	}
	return -1;
}

/* ---- the plain disk */

/* Calls each for [from, to) of every stretch that is not a hole; both multiples of 4096 but for the file's end. */
static void each_stretch(int fd, off_t size, void (*each)(void *ctx, off_t from, off_t to), void *ctx)
{
	off_t from = 0, to;

	while (from < size) {
		from = lseek(fd, from, SEEK_DATA);
		if (from < 0)
			return;		/* holes to the end */
		to = lseek(fd, from, SEEK_HOLE);
		if (to < 0)
			to = size;
		from &= ~(off_t)(PAGE - 1);
		to = to + PAGE - 1 > size ? size : (to + PAGE - 1) & ~(off_t)(PAGE - 1);
		each(ctx, from, to);
		from = to;
	}
}

struct collect { struct plain *plain; struct set *set; };

static void count_blocks(void *ctx, off_t from, off_t to)
{
	((struct collect *)ctx)->plain->blocks += (uint64_t)(to - from) / BLOCK;
}

static void take_pieces(void *ctx, off_t from, off_t to)
{
	struct collect *c = ctx;

	for (off_t at = from; at + BLOCK <= to; at += BLOCK) {
		for (off_t i = 0; i + PIECE <= BLOCK; i += LANE) {
			const uint8_t *p = c->plain->data + at + i;

			if (!telling(p))
				continue;
			set_add(c->set, hash_of(p), (uint64_t)(at + i));
			c->plain->taken++;
			break;
		}
	}
}

static void read_plain(const char *path, struct plain *plain, struct set *set)
{
	struct collect c = { plain, set };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (size <= 0)
		die("cannot be read", path);
	if (size / LANE > UINT32_MAX) {
		errno = EFBIG;
		die("64 GiB is the most", path);
	}
	plain->size = (size_t)size;
	plain->data = mmap(NULL, plain->size, PROT_READ, MAP_SHARED, fd, 0);
	if (plain->data == MAP_FAILED)
		die("cannot be mapped", path);
	each_stretch(fd, size, count_blocks, &c);
	set_create(set, plain->blocks);
	each_stretch(fd, size, take_pieces, &c);
	close(fd);
}

/* ---- the volume */

struct search {
	const struct plain *plain;
	const struct set *set;
	struct result *r;
	int fd;
	const char *path;
	off_t data_at;
	uint8_t *buf;
};

/* Every window that begins in len bytes of buf; PIECE more may stand behind them. */
static void search_buffer(struct search *s, const uint8_t *buf, size_t len, size_t have, off_t at)
{
	uint64_t lane[4];

	if (have < PIECE)
		return;
	for (int i = 0; i < 3; i++)
		lane[i + 1] = lane_hash(buf + i * LANE);
	for (size_t i = 0; i < len && i + PIECE <= have; i += LANE) {
		int64_t from;

		memmove(lane, lane + 1, 3 * sizeof lane[0]);
		lane[3] = lane_hash(buf + i + 3 * LANE);
		from = set_find(s->set, s->plain, piece_hash(lane), buf + i);
		if (from < 0)
			continue;
		if (s->r->hits < SHOWN) {
			s->r->where[s->r->hits] = (uint64_t)at + i;
			s->r->from[s->r->hits] = (uint64_t)from;
		}
		s->r->hits++;
	}
}

/* Chi-square with 255 degrees of freedom as standard deviations from its mean */
static double deviation(double chi)
{
	return (cbrt(chi / 255) - (1 - 2 / (9 * 255.0))) / sqrt(2 / (9 * 255.0));
}

static double chi_square(const uint64_t count[256])
{
	double n = 0, sum = 0;

	for (int i = 0; i < 256; i++) {
		n += (double)count[i];
		sum += (double)count[i] * (double)count[i];
	}
	return n > 0 ? sum * 256 / n - n : 0;
}

static void judge_page(struct result *r, const uint8_t *p, off_t at)
{
	uint32_t part[4][256] = { 0 };
	uint64_t squares = 0;
	double d;

	for (int i = 0; i < PAGE; i += 4) {
		part[0][p[i]]++;
		part[1][p[i + 1]]++;
		part[2][p[i + 2]]++;
		part[3][p[i + 3]]++;
	}
	if (part[0][0] + part[1][0] + part[2][0] + part[3][0] == PAGE) {
		r->zero_pages++;
		return;
	}
	r->pages++;
	for (int i = 0; i < 256; i++) {
		uint64_t n = part[0][i] + part[1][i] + part[2][i] + part[3][i];

		r->total[i] += n;
		squares += n * n;
	}
	d = deviation((double)squares * 256 / PAGE - PAGE);
	r->odd += d > ODD || d < -ODD;
	r->never += d > NEVER || d < -NEVER;
	if (d > r->worst) {
		r->worst = d;
		r->worst_at = (uint64_t)at;
	}
}

static void search_stretch(void *ctx, off_t from, off_t to)
{
	struct search *s = ctx;

	while (from < to) {
		size_t len = to - from > BUFFER ? BUFFER : (size_t)(to - from), have = 0;

		/* A window may reach beyond the stretch: what follows is read with it. */
		while (have < len + PIECE) {
			ssize_t n = pread(s->fd, s->buf + have, len + PIECE - have, from + (off_t)have);

			if (n < 0)
				die("cannot be read", s->path);
			if (!n)
				break;
			have += (size_t)n;
		}
		search_buffer(s, s->buf, len, have, from);
		for (size_t i = 0; i + PAGE <= len; i += PAGE) {
			if (from + (off_t)i >= s->data_at)
				judge_page(s->r, s->buf + i, from + (off_t)i);
		}
		from += (off_t)len;
	}
}

static void search_volume(const char *path, off_t data_at, const struct plain *plain, const struct set *set, struct result *r)
{
	struct search s = { plain, set, r, open(path, O_RDONLY | O_CLOEXEC), path, data_at, malloc(BUFFER + PIECE) };
	off_t size = s.fd < 0 ? -1 : lseek(s.fd, 0, SEEK_END);
	char magic[6] = { 0 };

	if (size <= 0 || !s.buf || pread(s.fd, magic, sizeof magic, 0) < 0)
		die("cannot be read", path);
	if (s.data_at < 0)
		s.data_at = memcmp(magic, "LUKS\xba\xbe", 6) ? 0 : (off_t)LUKS_DATA;
	each_stretch(s.fd, size, search_stretch, &s);
	free(s.buf);
	close(s.fd);
}

/* ---- */

static int report(const struct plain *plain, const struct set *set, const struct result *r)
{
	double expected = (double)r->pages * ODD_SHARE, most = expected * 1.5 + 6 * sqrt(expected) + 5;
	double overall = deviation(chi_square(r->total));
	bool noise = r->pages && !r->never && (double)r->odd <= most && overall < OVERALL && overall > -OVERALL;

	printf("plain disk: %ju blocks of 512 bytes with data, %ju pieces taken, %ju different\n", (uintmax_t)plain->blocks,
	       (uintmax_t)plain->taken, (uintmax_t)set->count);
	printf("found in the volume: %ju pieces\n", (uintmax_t)r->hits);
	for (uint64_t i = 0; i < r->hits && i < SHOWN; i++)
		printf("  at %ju: what stands at %ju of the plain disk\n", (uintmax_t)r->where[i], (uintmax_t)r->from[i]);
	printf("volume: %ju blocks of 4 KiB with data, %ju of zeroes\n", (uintmax_t)r->pages, (uintmax_t)r->zero_pages);
	printf("noise: %ju odd blocks, %.0f expected, at most %.0f; %ju impossible ones; ", (uintmax_t)r->odd, expected, most,
	       (uintmax_t)r->never);
	printf("worst %.1f deviations at %ju; overall %.1f, at most %.0f\n", r->worst, (uintmax_t)r->worst_at, overall, OVERALL);
	if (!set->count || !r->pages) {
		printf("result: nothing to compare\n");
		return 2;
	}
	printf("result: %s\n", r->hits ? "PLAINTEXT FOUND" : noise ? "nothing found, the volume is noise" : "NOT NOISE");
	return r->hits || !noise;
}

int main(int argc, char **argv)
{
	static struct result r;
	struct plain plain = { 0 };
	struct set set = { 0 };
	off_t data_at = -1;
	char *end;

	if (argc > 2 && !strcmp(argv[1], "--data-at")) {
		data_at = strtoll(argv[2], &end, 10);
		if (*end || data_at < 0 || data_at % PAGE)
			argc = 0;
		argv += 2;
		argc -= 2;
	}
	if (argc != 3) {
		fprintf(stderr, "usage: scan [--data-at BYTES] PLAIN VOLUME\n");
		return 2;
	}
	read_plain(argv[1], &plain, &set);
	search_volume(argv[2], data_at, &plain, &set, &r);
	return report(&plain, &set, &r);
}
