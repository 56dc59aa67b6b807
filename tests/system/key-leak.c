/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helper of tests/system/key-leak.sh.
 *   key-leak root STORE KEYFILE OUT      write the root key of a store to OUT: the test must know what to search for
 *   key-leak hold FILE                   keep what FILE holds in ordinary memory, say so, and wait: the control
 *   key-leak scan PATTERN… -- TARGET…    search files, or processes (pid:N), for stretches of each pattern, as bytes, hex, base64
 *   key-leak stray PATTERN… -- pid:N     the same, but only in memory that is not locked, or that core files get
 * PATTERN may be aes:FILE: the round keys, of both directions, of the two AES-256 keys in FILE (of XTS), in the form that the
 * processor's instructions want. The first two are the key itself, which the file alone searches for.
 * scan and stray: status 0 nothing, 1 found, 2 a target could not be read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/aes.h>
#include "crypto/keystore_priv.h"
#include "lib/base64.h"
#include "lib/scope.h"

enum { HALF = 16, NEEDLES = 1024, CHUNK = 1 << 20, PAGE = 4096, OVERLAP = 4 * HALF };
enum { THIRDS = 24, AES_KEY_BYTES = 32, ROUND_KEYS = 15 };

struct needle { const char *pattern, *form; char bytes[2 * HALF]; size_t len; size_t next; };
static struct needle needles[NEEDLES];
static size_t needle_count;
static size_t first_of[1 << 16];	/* by two bytes: number of the first needle that begins so, plus 1 */

static void fail(const char *what)
{
	fprintf(stderr, "key-leak: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void add_needle(const char *pattern, const char *form, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;
	struct needle *n = &needles[needle_count++];
	size_t *first = &first_of[b[0] | b[1] << 8];

	if (needle_count > NEEDLES)
		exit(2);
	*n = (struct needle){ .pattern = pattern, .form = form, .len = len, .next = *first };
	memcpy(n->bytes, bytes, len);
	*first = needle_count;
}

static void add_round_keys(const char *pattern, const uint8_t *key)
{
	AES_KEY encrypt, decrypt;

	if (AES_set_encrypt_key(key, 8 * AES_KEY_BYTES, &encrypt) || AES_set_decrypt_key(key, 8 * AES_KEY_BYTES, &decrypt) ||
	    memcmp(encrypt.rd_key, key, AES_KEY_BYTES))
		exit(2);
	for (size_t i = 0; i < ROUND_KEYS; i++) {
		if (i > 1)
			add_needle(pattern, "round key", encrypt.rd_key + 4 * i, HALF);
		if (i && i < ROUND_KEYS - 1)	/* its ends are those of the other direction */
			add_needle(pattern, "round key", decrypt.rd_key + 4 * i, HALF);
	}
}

static void read_pattern(const char *path)
{
	bool aes = !strncmp(path, "aes:", 4);
	auto_fclose FILE *f = fopen(path + 4 * aes, "re");
	uint8_t bytes[4096];
	size_t n = f ? fread(bytes, 1, sizeof bytes, f) : 0;

	if (n < HALF || (aes && n != 2 * AES_KEY_BYTES))
		fail(path);
	if (aes) {
		add_round_keys(path, bytes);
		add_round_keys(path, bytes + AES_KEY_BYTES);
		return;
	}
	for (size_t at = 0; at + THIRDS <= n && at < 4 * HALF; at += THIRDS) {
		char text[BASE64_TEXT(THIRDS)];

		base64_encode(bytes + at, THIRDS, text);
		add_needle(path, "base64", text, strlen(text));
	}
	for (size_t at = 0; at + HALF <= n && at < 4 * HALF; at += HALF)
		for (int form = 0; form < 3; form++) {
			char hex[2 * HALF + 1];

			for (size_t i = 0; i < HALF; i++)
				sprintf(hex + 2 * i, form == 1 ? "%02x" : "%02X", bytes[at + i]);
			add_needle(path, form ? "hex" : "bytes", form ? (void *)hex : bytes + at, form ? 2 * HALF : HALF);
		}
}

/* Search one stretch; true when something was found. */
static bool search(const char *target, const char *where, const uint8_t *data, size_t len)
{
	const char *last = NULL;

	for (size_t at = 0; at + HALF <= len; at++)
		for (size_t i = first_of[data[at] | data[at + 1] << 8]; i; i = needles[i - 1].next) {
			const struct needle *n = &needles[i - 1];

			if (n->len > len - at || memcmp(data + at, n->bytes, n->len) || last == n->pattern)
				continue;
			printf("%s: holds %s as %s (%s)\n", target, n->pattern, n->form, where);
			last = n->pattern;
		}
	return last;
}

static int scan_range(const char *target, const char *where, int fd, off_t off, off_t end)
{
	auto_free uint8_t *data = malloc(CHUNK);
	int found = 0;

	while (off < end) {
		size_t want = end - off > CHUNK ? CHUNK : (size_t)(end - off);
		ssize_t n = pread(fd, data, want, off);

		if (n <= 0) {
			off += PAGE;	/* that nobody can read: vvar and such */
			continue;
		}
		found |= search(target, where, data, (size_t)n);
		off += (size_t)n < want || off + n == end ? n : n - OVERLAP;
	}
	return found;
}

static int scan_file(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_free uint8_t *data = malloc(CHUNK);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		fail(path);
	if (st.st_size)
		return scan_range(path, "file", fd, 0, st.st_size);
	n = read(fd, data, CHUNK);	/* of /proc: no size */
	return n > 0 && search(path, "file", data, (size_t)n);
}

static int scan_process(const char *pid, bool stray)
{
	char path[64], line[1024], range[512] = "";
	unsigned long from = 0, to = 0;
	auto_fclose FILE *maps = NULL;
	auto_close int mem = -1;
	int found = 0;

	snprintf(path, sizeof path, "/proc/%s/smaps", pid);
	maps = fopen(path, "re");
	snprintf(path, sizeof path, "/proc/%s/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	if (!maps || mem < 0)
		fail(path);
	while (fgets(line, sizeof line, maps)) {
		unsigned long a, b;

		line[strcspn(line, "\n")] = 0;
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2) {
			from = a;
			to = b;
			snprintf(range, sizeof range, "%s", line);
		} else if (!strncmp(line, "VmFlags:", 8) && strstr(line, " rd") && !(stray && strstr(line, " lo") && strstr(line, " dd"))) {
			found |= scan_range(pid, range, mem, (off_t)from, (off_t)to);
		}
	}
	return found;
}

static int run_scan(int argc, char **argv, bool stray)
{
	int i = 2, found = 0;

	for (; i < argc && strcmp(argv[i], "--"); i++)
		read_pattern(argv[i]);
	if (++i >= argc || !needle_count)
		return 2;
	for (; i < argc; i++)
		found |= strncmp(argv[i], "pid:", 4) ? scan_file(argv[i]) : scan_process(argv[i] + 4, stray);
	return found;
}

static int run_root(char **argv)
{
	struct keystore_unlock u = { .way = KEYSTORE_FILE };
	auto_fclose FILE *out = NULL;
	struct keystore *ks;
	struct err err;

	if (secret_read_file(argv[3], STORE_KEYFILE_MAX, &u.secret, &err) || keystore_open(argv[2], &u, &ks, &err)) {
		fprintf(stderr, "key-leak: %s\n", err.text);
		return 2;
	}
	out = fopen(argv[4], "we");
	return !out || fwrite(ks->now->root.data, 1, STORE_KEY, out) != STORE_KEY;
}

static int run_hold(char **argv)
{
	auto_fclose FILE *f = fopen(argv[2], "re");
	char *bytes = malloc(4096);

	if (!f || !fread(bytes, 1, 4096, f))
		fail(argv[2]);
	puts("holding");
	fflush(stdout);
	pause();
	return bytes[0];
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "root"))
		return run_root(argv);
	if (argc == 3 && !strcmp(argv[1], "hold"))
		return run_hold(argv);
	if (argc > 4 && (!strcmp(argv[1], "scan") || !strcmp(argv[1], "stray")))
		return run_scan(argc, argv, argv[1][1] == 't');
	fputs("usage: key-leak root|hold|scan|stray …\n", stderr);
	return 2;
}
