/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wide-area network between two interfaces, in user space: what comes in at one goes out at the other, later, or never.
 *
 * Usage: wan [--control SOCKET] [FIGURE=VALUE]… IFACE-A IFACE-B     runs until SIGTERM or SIGINT, then prints its statistics
 *        wan --tell SOCKET WORD…                                    one of: set FIGURE=VALUE…, cut, restore, stats
 *
 * Figures, of both directions, or of one when a: (from A to B) or b: stands before the name:
 *   delay=20ms   one way                          jitter=2ms  up to so much more, evenly; nothing overtakes
 *   loss=0.1     per cent of packets of the wire  rate=100M   bit/s; 0: as fast as it goes
 *   queue=256K   bytes that wait for the rate     mtu=1500    bytes of IP; larger packets vanish without a word; 0: any size
 *
 * cut drops everything in silence, as a cable that is out behind a switch does; a:cut one direction only. restore undoes it.
 *
 * Frames keep their virtio-net header, so super-frames stay whole. Each segment of one counts as the packet that it would be on
 * the wire: for the rate with its own headers, and for loss: of a TCP super-frame only the segments that are lost are missing.
 * An internet has no 802.1Q tags: this one loses them.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <math.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FRAME = 65536 + 64, VNET = sizeof(struct virtio_net_hdr), BATCH = 64, TEXT = 4096 };
enum { SOCKET_BUFFER = 32 << 20, HELD = 256 << 20 };

struct packet {
	struct packet *next;
	uint64_t due;
	size_t len;
	uint8_t data[];		/* virtio-net header, frame */
};

struct figures { double delay, jitter, loss, rate, queue, mtu; };

struct counters {
	uint64_t in_frames, in_packets, in_bytes, out_frames, out_bytes;
	uint64_t lost, dropped_queue, dropped_cut, dropped_mtu, errors;
};

/* One direction. */
struct way {
	const char *name;
	int from, to;
	struct figures f;
	bool cut;
	uint64_t until_loss;	/* packets that still pass before the next lost one */
	double line_free;	/* when the rate has let the last packet go */
	uint64_t last_due;
	struct packet *head, **tail;
	size_t held;
	struct counters n;
};

/* Where the headers of a TCP super-frame are. */
struct tcp_at { size_t l3, l4, payload; unsigned segment, segments; bool v6; };

static _Noreturn void die(const char *what, const char *of)
{
	fprintf(stderr, "wan: %s: %s: %s\n", of, what, strerror(errno));
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static void put16(uint8_t *p, unsigned v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }
static void put32(uint8_t *p, uint32_t v) { put16(p, v >> 16); put16(p + 2, v & 0xffff); }

/* ---- loss: the gaps between lost packets of a fair die have a geometric distribution */

static void draw_loss(struct way *w)
{
	double p = w->f.loss / 100;

	w->until_loss = p <= 0 ? UINT64_MAX : p >= 1 ? 0 : (uint64_t)(log(1 - drand48()) / log(1 - p));
}

static bool packet_lost(struct way *w)
{
	if (w->until_loss == UINT64_MAX)
		return false;
	if (w->until_loss) {
		w->until_loss--;
		return false;
	}
	draw_loss(w);
	w->n.lost++;
	return true;
}

/* ---- super-frames */

static bool find_tcp(const struct virtio_net_hdr *h, const uint8_t *p, size_t len, struct tcp_at *at)
{
	unsigned type = h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;

	if ((type != VIRTIO_NET_HDR_GSO_TCPV4 && type != VIRTIO_NET_HDR_GSO_TCPV6) || !(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return false;
	at->v6 = type == VIRTIO_NET_HDR_GSO_TCPV6;
	at->l3 = 14;
	at->l4 = h->csum_start;
	if (len < 54 || at->l4 < at->l3 + 20 || at->l4 + 20 > len || get16(p + 12) != (at->v6 ? ETH_P_IPV6 : ETH_P_IP))
		return false;
	at->payload = at->l4 + (p[at->l4 + 12] >> 4) * 4u;
	at->segment = h->gso_size;
	if (at->payload > len || !at->segment)
		return false;
	at->segments = (unsigned)((len - at->payload + at->segment - 1) / at->segment);
	return true;
}

/* What the kernel expects in a checksum field that it shall complete: the pseudo header's sum, not inverted. */
static uint16_t pseudo_sum(const uint8_t *p, const struct tcp_at *at, size_t len)
{
	const uint8_t *a = p + at->l3 + (at->v6 ? 8 : 12);
	uint64_t sum = 6 + (len >> 16) + (len & 0xffff);

	for (int i = 0; i < (at->v6 ? 32 : 8); i += 2)
		sum += get16(a + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void ip_checksum(uint8_t *ip)
{
	uint32_t sum = 0;

	put16(ip + 10, 0);
	for (int i = 0; i < (ip[0] & 15) * 4; i += 2)
		sum += get16(ip + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~sum & 0xffff);
}

/* Segments first to last (not included) of a TCP super-frame, as a frame of their own. */
static struct packet *take_segments(const uint8_t *data, const struct tcp_at *at, size_t len, unsigned first, unsigned last)
{
	size_t from = (size_t)first * at->segment, to = (size_t)last * at->segment, all = len - at->payload;
	struct packet *k;
	struct virtio_net_hdr *h;
	uint8_t *p;

	to = to < all ? to : all;
	k = malloc(sizeof(*k) + VNET + at->payload + to - from);
	if (!k)
		die("malloc", "segments");
	h = (struct virtio_net_hdr *)k->data;
	p = k->data + VNET;
	k->len = VNET + at->payload + to - from;
	memcpy(k->data, data, VNET + at->payload);
	memcpy(p + at->payload, data + VNET + at->payload + from, to - from);
	if (last - first == 1)
		h->gso_type = VIRTIO_NET_HDR_GSO_NONE, h->gso_size = 0;
	if (at->v6) {
		put16(p + at->l3 + 4, (unsigned)(at->payload - at->l3 - 40 + to - from));
	} else {
		put16(p + at->l3 + 2, (unsigned)(at->payload - at->l3 + to - from));
		put16(p + at->l3 + 4, get16(p + at->l3 + 4) + first);
		ip_checksum(p + at->l3);
	}
	put32(p + at->l4 + 4, get32(p + at->l4 + 4) + (uint32_t)from);
	if (first)
		p[at->l4 + 13] &= (uint8_t)~0x80;	/* CWR: the first only */
	if (to < all)
		p[at->l4 + 13] &= (uint8_t)~0x09;	/* FIN, PSH: the last only */
	put16(p + at->l4 + 16, pseudo_sum(p, at, at->payload - at->l4 + to - from));
	return k;
}

/* ---- the queue */

/* k is the way's from here on; segments: packets that it is on the wire */
static void enqueue(struct way *w, struct packet *k, uint64_t now, size_t wire_bytes)
{
	double at = (double)now, jitter = w->f.jitter > 0 ? w->f.jitter * drand48() : 0;

	if (w->f.rate > 0) {
		double start = w->line_free > at ? w->line_free : at;

		if ((start - at) * w->f.rate / 8e9 > w->f.queue) {
			w->n.dropped_queue++;
			free(k);
			return;
		}
		at = w->line_free = start + (double)wire_bytes * 8e9 / w->f.rate;
	}
	if (w->held + k->len > HELD) {
		w->n.dropped_queue++;
		free(k);
		return;
	}
	k->due = (uint64_t)(at + w->f.delay + jitter);
	if (k->due < w->last_due)
		k->due = w->last_due;
	w->last_due = k->due;
	k->next = NULL;
	*w->tail = k;
	w->tail = &k->next;
	w->held += k->len;
}

static void enqueue_segments(struct way *w, const uint8_t *data, const struct tcp_at *at, size_t len, unsigned first, unsigned last,
	uint64_t now)
{
	struct packet *k;

	if (first == last)
		return;
	k = take_segments(data, at, len, first, last);
	enqueue(w, k, now, k->len - VNET + (last - first - 1) * at->payload);
}

static void enqueue_whole(struct way *w, const uint8_t *data, size_t len, uint64_t now, size_t wire_bytes)
{
	struct packet *k = malloc(sizeof(*k) + VNET + len);

	if (!k)
		die("malloc", "frame");
	memcpy(k->data, data, VNET + len);
	k->len = VNET + len;
	enqueue(w, k, now, wire_bytes);
}

/* data: virtio-net header, and a frame of len bytes */
static void accept_frame(struct way *w, const uint8_t *data, size_t len, uint64_t now)
{
	const struct virtio_net_hdr *h = (const struct virtio_net_hdr *)data;
	struct tcp_at at = { 0 };
	bool tcp = find_tcp(h, data + VNET, len, &at), lost = false;
	size_t head = tcp ? at.payload : h->hdr_len;
	unsigned n = 1, first = 0;

	if (h->gso_type && h->gso_size && head < len)
		n = (unsigned)((len - head + h->gso_size - 1) / h->gso_size);
	w->n.in_frames++;
	w->n.in_packets += n;
	w->n.in_bytes += len;
	if (w->cut) {
		w->n.dropped_cut++;
		return;
	}
	if (w->f.mtu > 0 && (double)(n > 1 ? head + h->gso_size : len) > w->f.mtu + 14) {
		w->n.dropped_mtu++;
		return;
	}
	if (w->until_loss >= n) {
		w->until_loss -= w->until_loss == UINT64_MAX ? 0 : n;
		enqueue_whole(w, data, len, now, len + (n - 1) * head);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		if (!packet_lost(w))
			continue;
		lost = true;
		if (!tcp || n == 1)
			continue;
		enqueue_segments(w, data, &at, len, first, i, now);
		first = i + 1;
	}
	if (tcp && n > 1)
		enqueue_segments(w, data, &at, len, first, n, now);
	else if (!lost)
		enqueue_whole(w, data, len, now, len + (n - 1) * head);
}

static void receive(struct way *w)
{
	static uint8_t buf[VNET + FRAME] __attribute__((aligned(8)));

	for (int i = 0; i < BATCH; i++) {
		ssize_t len = recv(w->from, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);

		if (len < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (len < VNET + 14 || (size_t)len > sizeof(buf)) {
			w->n.errors++;
			continue;
		}
		accept_frame(w, buf, (size_t)len - VNET, now_ns());
	}
}

/* Returns when the next packet is due; UINT64_MAX: never. */
static uint64_t release(struct way *w)
{
	uint64_t now = now_ns();

	for (int i = 0; w->head && w->head->due <= now; i++) {
		struct packet *k = w->head;

		if (i == BATCH)
			return now;
		if (w->cut) {
			w->n.dropped_cut++;
		} else if (send(w->to, k->data, k->len, MSG_DONTWAIT) < 0) {
			w->n.errors++;
		} else {
			w->n.out_frames++;
			w->n.out_bytes += k->len - VNET;
		}
		w->head = k->next;
		if (!w->head)
			w->tail = &w->head;
		w->held -= k->len;
		free(k);
	}
	return w->head ? w->head->due : UINT64_MAX;
}

/* ---- figures and words */

static int parse_number(const char *text, const char *const *units, const double *factors, double *value)
{
	char *end;

	*value = strtod(text, &end);
	if (end == text || !(*value >= 0) || *value > 1e15)
		return -EINVAL;
	for (int i = 0; units[i]; i++) {
		if (strcmp(end, units[i]) == 0) {
			*value *= factors[i];
			return 0;
		}
	}
	return -EINVAL;
}

static int set_figure(struct way ways[2], const char *word)
{
	static const char *const times[] = { "ms", "us", "s", "", NULL }, *const sizes[] = { "", "K", "M", "G", NULL };
	static const char *const plain[] = { "", "%", NULL };
	static const double time_factors[] = { 1e6, 1e3, 1e9, 1e6 }, powers[] = { 1, 1e3, 1e6, 1e9 }, ones[] = { 1, 1 };
	static const double binary[] = { 1, 1 << 10, 1 << 20, 1 << 30 };
	static const struct { const char *name; const char *const *units; const double *factors; size_t at; } table[] = {
		{ "delay=", times, time_factors, offsetof(struct figures, delay) },
		{ "jitter=", times, time_factors, offsetof(struct figures, jitter) },
		{ "loss=", plain, ones, offsetof(struct figures, loss) },
		{ "rate=", sizes, powers, offsetof(struct figures, rate) },
		{ "queue=", sizes, binary, offsetof(struct figures, queue) },
		{ "mtu=", plain, ones, offsetof(struct figures, mtu) },
	};
	int from = strncmp(word, "b:", 2) == 0, to = strncmp(word, "a:", 2) == 0 ? 0 : 1;
	double value;

	if (word[0] && word[1] == ':')
		word += 2;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t n = strlen(table[i].name);

		if (strncmp(word, table[i].name, n) != 0)
			continue;
		if (parse_number(word + n, table[i].units, table[i].factors, &value))
			return -EINVAL;
		for (int d = from; d <= to; d++) {
			*(double *)((char *)&ways[d].f + table[i].at) = value;
			draw_loss(&ways[d]);
		}
		return 0;
	}
	return -EINVAL;
}

static int print_way(const struct way *w, char *text, size_t size)
{
	return snprintf(text, size, "%s in_frames %" PRIu64 " in_packets %" PRIu64 " in_bytes %" PRIu64 " out_frames %" PRIu64
		" out_bytes %" PRIu64 " lost %" PRIu64 " dropped_queue %" PRIu64 " dropped_cut %" PRIu64 " dropped_mtu %" PRIu64
		" errors %" PRIu64 "\n", w->name, w->n.in_frames, w->n.in_packets, w->n.in_bytes, w->n.out_frames, w->n.out_bytes,
		w->n.lost, w->n.dropped_queue, w->n.dropped_cut, w->n.dropped_mtu, w->n.errors);
}

static int do_word(struct way ways[2], const char *word)
{
	int from = strncmp(word, "b:", 2) == 0, to = strncmp(word, "a:", 2) == 0 ? 0 : 1;
	const char *what = word[0] && word[1] == ':' ? word + 2 : word;

	if (strcmp(what, "set") == 0)
		return 0;
	if (strcmp(what, "cut") != 0 && strcmp(what, "restore") != 0)
		return set_figure(ways, word);
	for (int d = from; d <= to; d++)
		ways[d].cut = strcmp(what, "cut") == 0;
	return 0;
}

/* One caller, one line of words, one answer. It is a test's own shell, so waiting for it is no danger. */
static void answer(int listener, struct way ways[2])
{
	char text[TEXT], reply[TEXT] = "ok\n", *save = NULL;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return;
	n = recv(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	for (char *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		if (strcmp(word, "stats") == 0) {
			int at = print_way(&ways[0], reply, sizeof(reply));

			print_way(&ways[1], reply + at, sizeof(reply) - (size_t)at);
		} else if (do_word(ways, word)) {
			snprintf(reply, sizeof(reply), "error: no such word or figure: %s\n", word);
			break;
		}
	}
	if (send(fd, reply, strlen(reply), MSG_NOSIGNAL) < 0)
		perror("wan: answer");
	close(fd);
}

static struct sockaddr_un unix_address(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		die("socket", path);
	}
	strcpy(sa.sun_path, path);
	return sa;
}

static int tell(const char *path, char **words)
{
	struct sockaddr_un sa = unix_address(path);
	char text[TEXT] = "", reply[TEXT];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ssize_t n;

	for (size_t at = 0; *words; words++)
		at += (size_t)snprintf(text + at, at < sizeof(text) ? sizeof(text) - at : 0, "%s ", *words);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) || send(fd, text, strlen(text), 0) < 0)
		die("connect", path);
	n = recv(fd, reply, sizeof(reply) - 1, MSG_WAITALL);
	reply[n > 0 ? n : 0] = '\0';
	fputs(reply, stdout);
	return n <= 0 || strncmp(reply, "error", 5) == 0;
}

/* ---- start */

static int open_iface(const char *name)
{
	struct sockaddr_ll sa = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name) };
	struct packet_mreq promiscuous = { .mr_ifindex = sa.sll_ifindex, .mr_type = PACKET_MR_PROMISC };
	int fd, on = 1, size = SOCKET_BUFFER;

	if (!sa.sll_ifindex)
		die("no such interface", name);
	/* Protocol 0: nothing comes in from other interfaces before bind. */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
		setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
		setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)) ||
		bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		die("packet socket", name);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		fprintf(stderr, "wan: %s: small socket buffers: %s\n", name, strerror(errno));
	return fd;
}

static int open_control(const char *path)
{
	struct sockaddr_un sa;
	int fd;

	if (!path)
		return -1;
	sa = unix_address(path);
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || listen(fd, 8))
		die("control socket", path);
	return fd;
}

static void run(struct way ways[2], int control, int signals)
{
	struct pollfd p[4] = { { .fd = ways[0].from, .events = POLLIN }, { .fd = ways[1].from, .events = POLLIN },
		{ .fd = control, .events = POLLIN }, { .fd = signals, .events = POLLIN } };

	for (;;) {
		uint64_t a = release(&ways[0]), b = release(&ways[1]), next = a < b ? a : b, now = now_ns();
		struct timespec t = { 0 };

		if (next != UINT64_MAX && next > now)
			t = (struct timespec){ (time_t)((next - now) / 1000000000), (long)((next - now) % 1000000000) };
		if (ppoll(p, 4, next == UINT64_MAX ? NULL : &t, NULL) < 0 && errno != EINTR)
			die("poll", "sockets");
		for (int d = 0; d < 2; d++)
			if (p[d].revents)
				receive(&ways[d]);
		if (p[2].revents)
			answer(control, ways);
		if (p[3].revents)
			return;
	}
}

static void finish(struct way ways[2])
{
	struct tpacket_stats missed;
	socklen_t size = sizeof(missed);
	char text[TEXT];

	for (int d = 0; d < 2; d++) {
		print_way(&ways[d], text, sizeof(text));
		fputs(text, stdout);
		if (!getsockopt(ways[d].from, SOL_PACKET, PACKET_STATISTICS, &missed, &size) && missed.tp_drops)
			printf("%s missed %u\n", ways[d].name, missed.tp_drops);
	}
}

int main(int argc, char **argv)
{
	const struct figures start = { .queue = 256 << 10 };
	struct way ways[2] = { { .name = "a", .f = start, .until_loss = UINT64_MAX },
		{ .name = "b", .f = start, .until_loss = UINT64_MAX } };
	const char *control = NULL, *names[2] = { NULL, NULL };
	int n = 0, listener, signals;
	sigset_t set;

	if (argc > 3 && strcmp(argv[1], "--tell") == 0)
		return tell(argv[2], argv + 3);
	srand48((long)now_ns());
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--control") == 0 && i + 1 < argc) {
			control = argv[++i];
		} else if (strchr(argv[i], '=') ? set_figure(ways, argv[i]) : n == 2) {
			fprintf(stderr, "wan: what is %s?\n", argv[i]);
			return 2;
		} else if (!strchr(argv[i], '=')) {
			names[n++] = argv[i];
		}
	}
	if (n != 2) {
		fputs("usage: wan [--control SOCKET] [FIGURE=VALUE]... IFACE-A IFACE-B | wan --tell SOCKET WORD...\n", stderr);
		return 2;
	}
	ways[0].from = ways[1].to = open_iface(names[0]);
	ways[1].from = ways[0].to = open_iface(names[1]);
	ways[0].tail = &ways[0].head;
	ways[1].tail = &ways[1].head;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	listener = open_control(control);
	if (signals < 0)
		die("signalfd", "signals");
	run(ways, listener, signals);
	finish(ways);
	return 0;
}
