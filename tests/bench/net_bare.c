/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The yardstick of the network benchmark: frames of a TAP, super-frames with their virtio-net header, over TCP to a second one
 * of these, with nothing else: no switch, no windows, no counters. Two threads that block, one connection for each direction.
 *
 * Usage: net_bare --listen ADDRESS:PORT | --dial ADDRESS:PORT [--tls DIR] TAP
 *   --tls DIR  TLS 1.3, AES-256-GCM, both sides with DIR/cert, DIR/key, and DIR/ca; else plain
 * Frames have a length of 4 bytes before them. What a TAP does not take is lost; a connection that ends ends the program.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum { LENGTH = 4, FRAME = 65536 + 64, BATCH = 256 << 10, BUFFER = BATCH + LENGTH + FRAME, READ_AHEAD = 128 << 10 };

struct pipe { int fd; SSL *ssl; };

static int tap;
static struct pipe out, in;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "net_bare: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(1);
}

static int open_tap(const char *name)
{
	unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), size = sizeof(struct virtio_net_hdr_v1);
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	strncpy(ifr.ifr_name, name, IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) || ioctl(fd, TUNSETVNETHDRSZ, &size))
		die(name);
	if (ioctl(fd, TUNSETOFFLOAD, offloads | TUN_F_USO4 | TUN_F_USO6) && ioctl(fd, TUNSETOFFLOAD, offloads))
		die("TUNSETOFFLOAD");
	return fd;
}

static void wait_tap(short events)
{
	struct pollfd p = { .fd = tap, .events = events };

	poll(&p, 1, events == POLLIN ? -1 : 5);
}

static void write_all(const struct pipe *to, const uint8_t *p, size_t len)
{
	while (len) {
		ssize_t n = to->ssl ? SSL_write(to->ssl, p, (int)len) : write(to->fd, p, len);

		if (n <= 0) {
			if (!to->ssl && errno == EINTR)
				continue;
			die("write");
		}
		p += n;
		len -= (size_t)n;
	}
}

/* From the TAP: all frames that are there, up to a batch, in one write. */
static void *send_frames(void *unused)
{
	uint8_t *buf = malloc(BUFFER);
	size_t have = 0;

	while (buf) {
		ssize_t n = read(tap, buf + have + LENGTH, FRAME);
		uint32_t length = (uint32_t)n;

		if (n >= 0) {
			memcpy(buf + have, &length, LENGTH);
			have += LENGTH + (size_t)n;
			if (have < BATCH)
				continue;
		} else if (errno != EAGAIN && errno != EINTR) {
			die("TAP");
		}
		if (have)
			write_all(&out, buf, have);
		else
			wait_tap(POLLIN);
		have = 0;
	}
	die("memory");
}

static void put_frame(const uint8_t *p, size_t len)
{
	while (write(tap, p, len) < 0 && errno == EAGAIN)
		wait_tap(POLLOUT);
}

static void *receive_frames(void *unused)
{
	uint8_t *buf = malloc(BUFFER);
	size_t have = 0, at;
	uint32_t length;

	while (buf) {
		ssize_t n = in.ssl ? SSL_read(in.ssl, buf + have, (int)(BUFFER - have)) : read(in.fd, buf + have, BUFFER - have);

		if (n <= 0)
			die("read");
		have += (size_t)n;
		for (at = 0; have - at >= LENGTH; at += LENGTH + length) {
			memcpy(&length, buf + at, LENGTH);
			if (length > FRAME)
				die("a frame too long");
			if (have - at - LENGTH < length)
				break;
			put_frame(buf + at + LENGTH, length);
		}
		memmove(buf, buf + at, have - at);
		have -= at;
	}
	die("memory");
}

static SSL_CTX *open_tls(const char *dir)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	char cert[4096], key[4096], ca[4096];

	snprintf(cert, sizeof(cert), "%s/cert", dir);
	snprintf(key, sizeof(key), "%s/key", dir);
	snprintf(ca, sizeof(ca), "%s/ca", dir);
	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384") != 1 ||
		SSL_CTX_use_certificate_file(ctx, cert, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1)
		die(dir);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
	SSL_CTX_set_mode(ctx, SSL_MODE_AUTO_RETRY);
	return ctx;
}

static struct sockaddr_in parse_address(char *text)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	char *colon = strrchr(text, ':');

	if (colon)
		*colon = '\0';
	if (!colon || inet_pton(AF_INET, text, &sa.sin_addr) != 1) {
		fputs("net_bare: an address is ADDRESS:PORT\n", stderr);
		exit(2);
	}
	sa.sin_port = htons((uint16_t)atoi(colon + 1));
	return sa;
}

static struct pipe open_pipe(int fd, SSL_CTX *ctx, bool server)
{
	struct pipe p = { .fd = fd };
	int on = 1;

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		die("connection");
	if (!ctx)
		return p;
	p.ssl = SSL_new(ctx);
	if (!p.ssl || SSL_set_fd(p.ssl, fd) != 1 || (server ? SSL_accept(p.ssl) : SSL_connect(p.ssl)) != 1)
		die("TLS handshake");
	return p;
}

static int dial(const struct sockaddr_in *sa)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)sa, sizeof(*sa)))
		die("connect");
	return fd;
}

int main(int argc, char **argv)
{
	bool server = argc > 2 && strcmp(argv[1], "--listen") == 0;
	struct sockaddr_in sa;
	SSL_CTX *ctx = NULL;
	pthread_t sender;
	int listener, on = 1;

	if ((argc != 4 && argc != 6) || (!server && strcmp(argv[1], "--dial") != 0) || (argc == 6 && strcmp(argv[3], "--tls") != 0)) {
		fputs("usage: net_bare --listen ADDRESS:PORT | --dial ADDRESS:PORT [--tls DIR] TAP\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	sa = parse_address(argv[2]);
	if (argc == 6)
		ctx = open_tls(argv[4]);
	tap = open_tap(argv[argc - 1]);
	if (server) {
		listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
			bind(listener, (struct sockaddr *)&sa, sizeof(sa)) || listen(listener, 2))
			die("listen");
		in = open_pipe(accept(listener, NULL, NULL), ctx, true);
		out = open_pipe(accept(listener, NULL, NULL), ctx, true);
		close(listener);
	} else {
		out = open_pipe(dial(&sa), ctx, false);
		in = open_pipe(dial(&sa), ctx, false);
	}
	if (pthread_create(&sender, NULL, send_frames, NULL))
		die("thread");
	receive_frames(NULL);
	return 0;
}
