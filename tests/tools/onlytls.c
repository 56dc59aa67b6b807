/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is everything on this wire TLS 1.3? Reads captures of it, puts the TCP streams together and parses their records.
 *
 * Usage: onlytls [OPTION]… CAPTURE.pcap…     several captures of one run are read as one, by time
 *   --never TEXT        may stand nowhere in any packet or stream; several
 *   --never-hex DIGITS  the same for any bytes, as a MAC address
 *   --least BYTES       of application records, or the wire was not looked at
 *   --gap BYTES         so many bytes of streams may lie behind a piece that was never captured (default 0; cut networks)
 *   --allow-echo        pings of the test itself on the wire
 * Prints one line for each finding and one of figures. Exit 0: only TLS; 1: something else; 2: trouble.
 *
 * A direction of a stream is handshake records with a ClientHello or ServerHello (RFC 8446 §4.1), at most two of them (§4.1.4),
 * change_cipher_spec of one byte 1 (appendix D.4), an alert in clear only before the keys are there, and application records;
 * behind close_notify, which looks like any application record, another session may follow (a relay's pipe). A ServerHello must
 * choose TLS 1.3. Bodies of application records must look like noise: chi-square of their byte values over all of a direction.
 * Besides TCP a wire has ARP, neighbour discovery, and errors of ICMP. Anything else is a finding.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 16, MARKERS = 32, MARKER = 256, BUCKETS = 4096, SHOWN = 20, RECORD = 5, RECORD_MAX = 16384 + 256,
	NOISE_LEAST = 65536 };
enum { TLS_CCS = 20, TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_APPLICATION = 23 };
enum { SYN = 2 };	/* flags of TCP */
#define NEVER 8.0	/* standard deviations: one in 10^15 */

struct file { const char *path; const uint8_t *p, *end; bool swapped, nano; uint64_t next; };
struct marker { uint8_t bytes[MARKER]; size_t len; const char *name; };

struct piece { struct piece *next; uint32_t seq; size_t len; uint8_t data[]; };

/* One direction of a TCP connection. */
struct stream {
	struct stream *chain;
	uint8_t key[38];
	bool begun, broken, keyed;	/* keyed: application records came, so nothing in clear may */
	uint32_t first, seq;		/* of the SYN; of the next byte */
	struct piece *early;		/* behind a gap, by seq */
	uint8_t head[RECORD];		/* of the record that is being read */
	size_t head_len, body_len, body_left;
	uint8_t *body;			/* of all but application records */
	uint8_t tail[MARKER];		/* the last bytes, for markers that lie across packets */
	size_t tail_len;
	uint64_t bytes, application, hellos, values[256];
};

static struct stream *table[BUCKETS];
static struct marker markers[MARKERS];
static int marker_count;
static bool allow_echo;
static uint64_t findings, packets, gap_bytes, total_application, total_streams, total_sessions;

static _Noreturn void trouble(const char *path, const char *what)
{
	fprintf(stderr, "onlytls: %s: %s\n", path, what);
	exit(2);
}

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }

__attribute__((format(printf, 2, 3)))
static void finding(const char *where, const char *format, ...)
{
	va_list ap;

	if (findings++ >= SHOWN)
		return;
	printf("%s: ", where);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
}

/* ---- names of streams: "203.0.113.1 40000 > 203.0.113.2 443" */

static const char *key_name(const uint8_t key[38])
{
	static char text[128];
	size_t at = 0;

	for (int end = 0; end < 2; end++) {
		const uint8_t *a = key + end * 16;

		for (int i = key[36] == 6 ? 0 : 12; i < 16; i++)
			at += key[36] == 6 ? (size_t)snprintf(text + at, sizeof(text) - at, i && i % 2 == 0 ? ":%02x" : "%02x", a[i]) :
				(size_t)snprintf(text + at, sizeof(text) - at, i > 12 ? ".%u" : "%u", a[i]);
		at += (size_t)snprintf(text + at, sizeof(text) - at, " %u%s", get16(key + 32 + end * 2), end ? "" : " > ");
	}
	return text;
}

static struct stream *find_stream(const uint8_t key[38], bool create)
{
	uint32_t h = 2166136261u;
	struct stream *s;

	for (int i = 0; i < 38; i++)
		h = (h ^ key[i]) * 16777619u;
	for (s = table[h % BUCKETS]; s; s = s->chain)
		if (memcmp(s->key, key, 38) == 0)
			return s;
	if (!create)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		trouble("memory", "none left");
	memcpy(s->key, key, 38);
	s->chain = table[h % BUCKETS];
	table[h % BUCKETS] = s;
	total_streams++;
	return s;
}

/* ---- markers */

static void search(const char *where, const uint8_t *p, size_t len)
{
	for (int i = 0; i < marker_count; i++)
		if (memmem(p, len, markers[i].bytes, markers[i].len))
			finding(where, "%s stands on the wire", markers[i].name);
}

/* Markers that lie across packets: the last bytes so far, and the first of these. */
static void search_seam(struct stream *s, const uint8_t *p, size_t len)
{
	uint8_t seam[2 * MARKER];
	size_t more = len < MARKER ? len : MARKER, keep;

	if (!marker_count)
		return;
	memcpy(seam, s->tail, s->tail_len);
	memcpy(seam + s->tail_len, p, more);
	search(key_name(s->key), seam, s->tail_len + more);
	if (len >= MARKER - 1) {
		memcpy(s->tail, p + len - (MARKER - 1), MARKER - 1);
		s->tail_len = MARKER - 1;
		return;
	}
	keep = s->tail_len + len > MARKER - 1 ? MARKER - 1 - len : s->tail_len;
	memmove(s->tail, s->tail + s->tail_len - keep, keep);
	memcpy(s->tail + keep, p, len);
	s->tail_len = keep + len;
}

/* ---- records */

/* RFC 8446 §4.1.3: version 2, random 32, session id, cipher suite 2, compression 1, extensions. NULL: it chooses TLS 1.3. */
static const char *check_server_hello(const uint8_t *p, size_t len)
{
	size_t at = 34, end;

	if (len < at + 1 || len < at + 1 + p[at] + 5u)
		return "a short ServerHello";
	at += 1u + p[at] + 3u;
	end = at + 2 + get16(p + at);
	if (end > len)
		return "a short ServerHello";
	for (at += 2; at + 4 <= end; at += 4u + get16(p + at + 2))
		if (get16(p + at) == 43 && get16(p + at + 2) == 2 && at + 6 <= end && get16(p + at + 4) == 0x0304)
			return NULL;
	return "a ServerHello that does not choose TLS 1.3";
}

static const char *check_hello(struct stream *s)
{
	const uint8_t *p = s->body;
	size_t len = s->body_len;

	if (len < 4 || (p[0] != 1 && p[0] != 2))
		return "a handshake message in clear that is no hello";
	if (len != 4 + ((size_t)p[1] << 16) + get16(p + 2) || len < 40 || get16(p + 4) != 0x0303)
		return "a hello of another version, or a broken one";
	if (s->keyed) {
		s->keyed = false;
		s->hellos = 0;
	}
	if (++s->hellos > 2)
		return "a third hello in one handshake";
	total_sessions += s->hellos == 1 && p[0] == 1;
	return p[0] == 2 ? check_server_hello(p + 4, len - 4) : NULL;
}

static const char *check_record(struct stream *s)
{
	switch (s->head[0]) {
	case TLS_HANDSHAKE:
		return check_hello(s);
	case TLS_CCS:
		return s->body_len == 1 && s->body[0] == 1 && s->hellos ? NULL : "a change_cipher_spec that is not one byte 1 behind a hello";
	default:
		/* An alert of one who has no keys yet: a handshake that was refused. */
		return s->body_len == 2 && !s->keyed ? NULL : "an alert in clear";
	}
}

static const char *check_head(const struct stream *s)
{
	size_t len = get16(s->head + 3);

	if (s->head[0] < TLS_CCS || s->head[0] > TLS_APPLICATION || s->head[1] != 3 || (s->head[2] != 3 && s->head[2] != 1))
		return "no TLS record";
	if (!len || len > RECORD_MAX)
		return "a record of a forbidden length";
	if (s->head[0] == TLS_APPLICATION && !s->hellos)
		return "an application record before a hello";
	return NULL;
}

static void read_records(struct stream *s, const uint8_t *p, size_t len)
{
	const char *why = NULL;

	while (len && !s->broken) {
		if (s->head_len < RECORD) {
			s->head[s->head_len++] = *p++;
			s->bytes++, len--;
			if (s->head_len < RECORD)
				continue;
			s->body_left = get16(s->head + 3);
			s->body_len = 0;
			why = check_head(s);
		} else {
			size_t n = len < s->body_left ? len : s->body_left;

			if (s->head[0] == TLS_APPLICATION) {
				for (size_t i = 0; i < n; i++)
					s->values[p[i]]++;
				s->application += n;
				s->keyed = true;
			} else {
				if (!s->body && !(s->body = malloc(RECORD_MAX)))
					trouble("memory", "none left");
				memcpy(s->body + s->body_len, p, n);
			}
			s->body_len += n, s->body_left -= n, s->bytes += n;
			p += n, len -= n;
			if (!s->body_left) {
				s->head_len = 0;
				why = s->head[0] == TLS_APPLICATION ? NULL : check_record(s);
			}
		}
		if (why) {
			finding(key_name(s->key), "%s, %" PRIu64 " bytes from the beginning", why, s->bytes);
			s->broken = true;
		}
	}
}

/* Wilson and Hilferty's cube makes chi-square normal. */
static void check_noise(const struct stream *s)
{
	double expected = (double)s->application / 256, sum = 0, cube;

	if (s->application < NOISE_LEAST)
		return;
	for (int i = 0; i < 256; i++)
		sum += ((double)s->values[i] - expected) * ((double)s->values[i] - expected) / expected;
	cube = (cbrt(sum / 255) - (1 - 2 / (9 * 255.0))) / sqrt(2 / (9 * 255.0));
	if (fabs(cube) > NEVER)
		finding(key_name(s->key), "application records that are no noise: chi-square %.0f over %" PRIu64 " bytes", sum, s->application);
}

/* ---- TCP */

static void consume(struct stream *s, const uint8_t *p, size_t len)
{
	search_seam(s, p, len);
	read_records(s, p, len);
	s->seq += (uint32_t)len;
}

static void consume_early(struct stream *s)
{
	while (s->early && (int32_t)(s->early->seq - s->seq) <= 0) {
		struct piece *e = s->early;
		uint32_t old = s->seq - e->seq;

		s->early = e->next;
		if (old < e->len)
			consume(s, e->data + old, e->len - old);
		free(e);
	}
}

static void keep_early(struct stream *s, uint32_t seq, const uint8_t *p, size_t len)
{
	struct piece **at = &s->early, *e;

	while (*at && (int32_t)((*at)->seq - seq) < 0)
		at = &(*at)->next;
	if (*at && (*at)->seq == seq && (*at)->len >= len)
		return;
	e = malloc(sizeof(*e) + len);
	if (!e)
		trouble("memory", "none left");
	e->seq = seq;
	e->len = len;
	memcpy(e->data, p, len);
	e->next = *at;
	*at = e;
}

/* A new connection, maybe from the ports of one before. A SYN that is sent again is none. */
static void begin(struct stream *s, uint32_t seq)
{
	for (struct piece *e; (e = s->early);) {
		gap_bytes += e->len;
		s->early = e->next;
		free(e);
	}
	s->head_len = s->tail_len = 0;
	s->bytes = s->hellos = 0;
	s->keyed = s->broken = false;
	s->begun = true;
	s->first = seq;
	s->seq = seq + 1;
}

static void read_tcp(uint8_t key[38], const uint8_t *p, size_t len)
{
	size_t head = len >= 20 ? (p[12] >> 4) * 4u : 0;
	struct stream *s;
	uint32_t seq;

	if (head < 20 || head > len)
		return finding("a packet", "a TCP header that is cut");
	memcpy(key + 32, p, 4);
	seq = get32(p + 4);
	s = find_stream(key, p[13] & SYN);
	if (p[13] & SYN) {
		if (!s->begun || s->first != seq)
			begin(s, seq);
		seq++;
	}
	p += head;
	len -= head;
	if (!len)
		return;
	if (!s)
		return finding(key_name(key), "bytes of a connection whose beginning was not captured");
	if ((int32_t)(seq - s->seq) > 0)
		return keep_early(s, seq, p, len);
	if ((int32_t)(seq + (uint32_t)len - s->seq) <= 0)
		return;
	consume(s, p + (s->seq - seq), len - (s->seq - seq));
	consume_early(s);
}

/* ---- packets */

static void read_icmp(const char *where, const uint8_t *p, size_t len, bool v6)
{
	bool error = v6 ? p[0] >= 1 && p[0] <= 4 : p[0] == 3 || p[0] == 11 || p[0] == 12;
	bool neighbour = v6 && ((p[0] >= 130 && p[0] <= 137) || p[0] == 143);
	bool echo = v6 ? p[0] == 128 || p[0] == 129 : p[0] == 0 || p[0] == 8;

	if (!len || (!error && !neighbour && !(echo && allow_echo)))
		finding(where, "ICMP of type %d", len ? p[0] : -1);
}

static void read_transport(uint8_t key[38], unsigned proto, const uint8_t *p, size_t len)
{
	key[37] = (uint8_t)proto;
	memset(key + 32, 0, 4);
	if (proto == 6)
		read_tcp(key, p, len);
	else if (proto == 1 || proto == 58)
		read_icmp(key_name(key), p, len, proto == 58);
	else if (proto != 2)	/* IGMP */
		finding(key_name(key), "IP protocol %u", proto);
}

static void read_ip4(const uint8_t *p, size_t len)
{
	uint8_t key[38] = { 0 };
	size_t head = len >= 20 ? (p[0] & 15) * 4u : 0, all;

	/* A super-frame of more than 64 KiB says 0. */
	all = head ? get16(p + 2) : 0;
	if (all == 0)
		all = len;
	if (head < 20 || all > len || head > all || get16(p + 6) & 0x3fff)
		return finding("a packet", "IPv4 that is cut, or a fragment");
	key[36] = 4;
	memcpy(key + 12, p + 12, 4);
	memcpy(key + 28, p + 16, 4);
	read_transport(key, p[9], p + head, all - head);
}

static void read_ip6(const uint8_t *p, size_t len)
{
	uint8_t key[38] = { 0 };
	size_t head = 40, all;
	unsigned proto;

	if (len < 40)
		return finding("a packet", "IPv6 that is cut");
	all = get16(p + 4) ? 40u + get16(p + 4) : len;
	proto = p[6];
	/* hop-by-hop options: multicast listeners have them */
	if (proto == 0 && len >= 48) {
		proto = p[40];
		head += (p[41] + 1) * 8u;
	}
	if (all > len || head > all)
		return finding("a packet", "IPv6 that is cut");
	key[36] = 6;
	memcpy(key, p + 8, 32);
	read_transport(key, proto, p + head, all - head);
}

static void read_packet(const char *path, const uint8_t *p, size_t len)
{
	unsigned type = len >= 14 ? get16(p + 12) : 0;

	packets++;
	search(path, p, len);
	if (type == 0x0800)
		read_ip4(p + 14, len - 14);
	else if (type == 0x86dd)
		read_ip6(p + 14, len - 14);
	else if (type != 0x0806)
		finding(path, "a frame of EtherType 0x%04x", type);
}

/* ---- captures: the classic format of libpcap, in either byte order, with micro- or nanoseconds */

static uint32_t word(const struct file *f, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return f->swapped ? __builtin_bswap32(v) : v;
}

static void peek(struct file *f)
{
	if (f->end - f->p < 16 || (size_t)(f->end - f->p) - 16 < word(f, f->p + 8)) {
		if (f->p != f->end)
			trouble(f->path, "ends in the middle of a packet");
		f->next = UINT64_MAX;
		return;
	}
	f->next = word(f, f->p) * 1000000000ull + word(f, f->p + 4) * (f->nano ? 1ull : 1000ull);
	if (word(f, f->p + 8) != word(f, f->p + 12))
		trouble(f->path, "holds packets that were cut");
}

static void open_capture(struct file *f, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint32_t magic;

	f->path = path;
	if (fd < 0 || fstat(fd, &st))
		trouble(path, strerror(errno));
	if (st.st_size < 24)
		trouble(path, "is no capture");
	f->p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (f->p == MAP_FAILED)
		trouble(path, strerror(errno));
	close(fd);
	f->end = f->p + st.st_size;
	memcpy(&magic, f->p, 4);
	f->swapped = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
	magic = word(f, f->p);
	f->nano = magic == 0xa1b23c4d;
	if ((magic != 0xa1b2c3d4 && !f->nano) || (word(f, f->p + 20) & 0xffff) != 1)
		trouble(path, "is no capture of Ethernet in libpcap's classic format");
	f->p += 24;
	peek(f);
}

static void read_captures(struct file *files, int n)
{
	for (;;) {
		struct file *f = &files[0];
		size_t len;

		for (int i = 1; i < n; i++)
			if (files[i].next < f->next)
				f = &files[i];
		if (f->next == UINT64_MAX)
			return;
		len = word(f, f->p + 8);
		read_packet(f->path, f->p + 16, len);
		f->p += 16 + len;
		peek(f);
	}
}

static void end_streams(void)
{
	for (int i = 0; i < BUCKETS; i++) {
		for (struct stream *s = table[i]; s; s = s->chain) {
			for (struct piece *e = s->early; e; e = e->next)
				gap_bytes += e->len;
			total_application += s->application;
			check_noise(s);
		}
	}
}

/* ---- start */

static void add_marker(const char *text, bool hex)
{
	struct marker *m;

	if (marker_count == MARKERS)
		trouble(text, "too many markers");
	m = &markers[marker_count++];
	m->name = text;
	if (!hex) {
		m->len = strlen(text);
		memcpy(m->bytes, text, m->len < MARKER ? m->len : MARKER);
	} else {
		for (; sscanf(text, "%2hhx", &m->bytes[m->len]) == 1 && text[1] && m->len < MARKER - 1; text += 2)
			m->len++;
		if (*text)
			m->len = 0;
	}
	if (m->len < 4 || m->len >= MARKER)
		trouble(m->name, "a marker has 4 to 255 bytes");
}

int main(int argc, char **argv)
{
	static struct file files[FILES];
	uint64_t least = 0, gap = 0;
	int n = 0;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--allow-echo") == 0)
			allow_echo = true;
		else if (strcmp(argv[i], "--never") == 0)
			add_marker(value, false), i++;
		else if (strcmp(argv[i], "--never-hex") == 0)
			add_marker(value, true), i++;
		else if (strcmp(argv[i], "--least") == 0)
			least = strtoull(value, NULL, 10), i++;
		else if (strcmp(argv[i], "--gap") == 0)
			gap = strtoull(value, NULL, 10), i++;
		else if (argv[i][0] == '-' || n == FILES)
			trouble(argv[i], "no such option, or too many captures");
		else
			open_capture(&files[n++], argv[i]);
	}
	if (!n)
		trouble("usage", "onlytls [OPTION]... CAPTURE.pcap...");
	read_captures(files, n);
	end_streams();
	if (gap_bytes > gap)
		finding("all streams", "%" PRIu64 " bytes behind pieces that were not captured", gap_bytes);
	if (total_application < least)
		finding("all streams", "%" PRIu64 " bytes of application records, wanted %" PRIu64, total_application, least);
	printf("packets %" PRIu64 " streams %" PRIu64 " sessions %" PRIu64 " application_bytes %" PRIu64 " gap_bytes %" PRIu64
		" findings %" PRIu64 "\n", packets, total_streams, total_sessions, total_application, gap_bytes, findings);
	return findings ? 1 : 0;
}
