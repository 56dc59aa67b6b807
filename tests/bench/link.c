/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a link is, beside the bare loop of SSL_write and SSL_read of the same pieces. Two processes over TCP: over the loopback,
 * or from one network namespace to another.
 * Usage: link [--seconds S] [--netns A,B] WAY BYTES     WAY: link | gather | bare | rtt; BYTES: of a piece
 *        --address IP   of the listener (default 127.0.0.1)
 *        --unsent N     bytes that may wait in the socket to be sent (default: what the kernel likes)
 *        link idle N: KiB of memory of each of 2 N links that gather, first while busy, then idle
 * One line: way, bytes a piece, Gbit/s, pieces a second, CPU seconds per GB (both sides), ns of CPU a piece of the sender;
 * rtt: the median and the 99th of a hundred µs there and back.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/link/link.h"
#include "lib/link/socket.h"
#include "lib/scope.h"

#define MS 1000000ull
enum { QUEUE = 512 * 1024, SAMPLES = 1 << 20 };

struct job { const char *way, *address, *netns; double seconds; size_t bytes; uint32_t unsent; bool server; };
/* What a side saw; the parent reads both from pipes. */
struct figures { uint64_t bytes, pieces, ns; double cpu_s; double p50_us, p99_us; };

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static double cpu_s(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* ---- TLS: what counts here is the bytes, so nobody is asked for a name */

static SSL_CTX *context(bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	must(ctx && key && cert && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION), "context");
	SSL_CTX_set_num_tickets(ctx, 0);
	if (server) {
		must(X509_set_pubkey(cert, key) && X509_gmtime_adj(X509_getm_notBefore(cert), 0) &&
			X509_gmtime_adj(X509_getm_notAfter(cert), 86400) && X509_sign(cert, key, EVP_sha256()) &&
			SSL_CTX_use_certificate(ctx, cert) && SSL_CTX_use_PrivateKey(ctx, key), "certificate");
	}
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

/* ---- the bare loop */

static void bare(const struct job *job, int fd, struct figures *f)
{
	SSL_CTX *ctx = context(job->server);
	SSL *ssl = SSL_new(ctx);
	uint8_t *data = calloc(1, job->bytes);
	uint64_t began = 0, until = 0;
	int one = 1, n;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	SSL_set_read_ahead(ssl, 1);
	SSL_set_default_read_buffer_len(ssl, 131072);
	SSL_set_fd(ssl, fd);
	must((job->server ? SSL_accept(ssl) : SSL_connect(ssl)) == 1, "handshake");
	began = loop_now_ns();
	until = began + (uint64_t)(job->seconds * 1e9);
	if (job->server) {
		while ((n = SSL_read(ssl, data, (int)job->bytes)) > 0)
			f->bytes += (uint64_t)n;
	} else {
		while (loop_now_ns() < until && SSL_write(ssl, data, (int)job->bytes) > 0)
			f->pieces++;
		SSL_shutdown(ssl);
	}
	f->ns = loop_now_ns() - began;
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	free(data);
}

/* ---- the link */

struct side {
	const struct job *job;
	struct figures *f;
	struct loop *loop;
	struct link *link;
	uint8_t *data;
	uint64_t began, until, sent;
	uint32_t *samples;
	size_t count;
};

static void fill(struct side *s)
{
	for (unsigned i = 0; i < 64; i++) {
		if (loop_now_ns() >= s->until) {
			link_end(s->link);
			return;
		}
		for (unsigned j = 0; j < 16; j++) {
			if (link_write(s->link, s->data, s->job->bytes))
				return;
			s->f->pieces++;
		}
	}
	must(!loop_post(s->loop, (loop_fn *)fill, s), "memory");
}

static void ping(struct side *s)
{
	s->sent = loop_now_ns();
	if (s->sent >= s->until)
		link_end(s->link);
	else
		must(!link_write(s->link, s->data, s->job->bytes), "write");
}

static void on_ready(void *ctx)
{
	struct side *s = ctx;

	s->began = loop_now_ns();
	s->until = s->began + (uint64_t)(s->job->seconds * 1e9);
	if (s->job->server)
		return;
	if (strcmp(s->job->way, "rtt"))
		fill(s);
	else
		ping(s);
}

static size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
	struct side *s = ctx;
	size_t n = len - len % s->job->bytes;

	s->f->bytes += n;
	if (!n || strcmp(s->job->way, "rtt"))
		return n;
	if (s->job->server) {
		must(!link_write(s->link, data, n), "write");
	} else {
		if (s->count < SAMPLES)
			s->samples[s->count++] = (uint32_t)(loop_now_ns() - s->sent);
		ping(s);
	}
	return n;
}

static void on_writable(void *ctx) { fill(ctx); }
static void on_end(void *ctx) { link_end(((struct side *)ctx)->link); }

static void on_closed(void *ctx, const struct err *why)
{
	struct side *s = ctx;

	if (why->code)
		fprintf(stderr, "link: %s\n", why->text);
	loop_stop(s->loop);
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void linked(const struct job *job, int fd, struct figures *f)
{
	static const struct link_ops ops = { on_ready, on_read, on_writable, on_end, on_closed };
	struct side s = { .job = job, .f = f, .data = calloc(1, job->bytes), .samples = calloc(SAMPLES, sizeof(uint32_t)) };
	struct link_config config = { .tls = context(job->server), .server = job->server, .read_max = QUEUE, .write_max = QUEUE,
		.unsent_max = job->unsent,
		.gather = !strcmp(job->way, "gather") || !strcmp(job->way, "rtt") };

	must(s.data && s.samples && !loop_create(&s.loop, NULL) && !link_create(s.loop, fd, &config, &ops, &s, &s.link, NULL), "link");
	must(!loop_run(s.loop), "loop");
	f->ns = loop_now_ns() - s.began;
	if (s.count) {
		qsort(s.samples, s.count, sizeof(uint32_t), by_size);
		f->p50_us = s.samples[s.count / 2] / 1e3;
		f->p99_us = s.samples[s.count * 99 / 100] / 1e3;
	}
	link_free(s.link);
	loop_free(s.loop);
	SSL_CTX_free(config.tls);
	free(s.data);
	free(s.samples);
}

/* ---- two processes */

static void enter_netns(const char *name, size_t len)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "/run/netns/%.*s", (int)len, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0 && !setns(fd, CLONE_NEWNET), path);
	close(fd);
}

static int meet(const struct job *job, int pipe_r, int pipe_w)
{
	struct addrinfo *list;
	char where[80], name[SOCKET_HOST] = "";
	struct pollfd p;
	struct err err = { .text = "" };
	int fd, listener;

	snprintf(where, sizeof where, "%s:0", job->address);
	if (job->server) {
		must(!socket_listen(where, &listener, name, &err) && write(pipe_w, name, sizeof name) == sizeof name, "listen");
		p = (struct pollfd){ .fd = listener, .events = POLLIN };
		must(poll(&p, 1, 10000) == 1, "nobody came");
		fd = accept(listener, NULL, NULL);
		close(listener);
	} else {
		must(read(pipe_r, name, sizeof name) == sizeof name && !socket_resolve(name, false, &list, &err) &&
			!socket_connect(list, &fd, &err), "connect");
		freeaddrinfo(list);
		p = (struct pollfd){ .fd = fd, .events = POLLOUT };
		must(poll(&p, 1, 10000) == 1, "no connection");
	}
	fcntl(fd, F_SETFL, 0);
	return fd;
}

static void side(struct job *job, int name_r, int name_w, int result)
{
	const char *comma = job->netns ? strchr(job->netns, ',') : NULL;
	struct figures f = { 0 };
	double before;
	int fd;

	if (comma)
		enter_netns(job->server ? comma + 1 : job->netns, job->server ? strlen(comma + 1) : (size_t)(comma - job->netns));
	fd = meet(job, name_r, name_w);
	before = cpu_s();
	if (!strcmp(job->way, "bare")) {
		bare(job, fd, &f);
		close(fd);
	} else {
		linked(job, fd, &f);
	}
	f.cpu_s = cpu_s() - before;
	must(write(result, &f, sizeof f) == sizeof f, "result");
	_exit(0);
}

static int run(struct job *job)
{
	struct figures f[2];
	int name[2], result[2][2], status, failed = 0;
	double seconds, gb;

	must(!pipe2(name, O_CLOEXEC), "pipe");
	for (int i = 0; i < 2; i++) {
		must(!pipe2(result[i], O_CLOEXEC), "pipe");
		job->server = i;
		if (!fork())
			side(job, name[0], name[1], result[i][1]);
		close(result[i][1]);
	}
	for (int i = 0; i < 2; i++) {
		if (read(result[i][0], &f[i], sizeof f[i]) != sizeof f[i])
			failed = 1;
		wait(&status);
	}
	if (failed)
		return 1;
	seconds = (double)f[1].ns / 1e9;
	gb = (double)f[1].bytes / 1e9;
	if (!strcmp(job->way, "rtt"))
		printf("%-6s %6zu bytes: %.1f us median, %.1f us 99th\n", job->way, job->bytes, f[0].p50_us, f[0].p99_us);
	else
		printf("%-6s %6zu bytes: %6.2f Gbit/s %9.0f pieces/s  %.2f CPU s/GB (send %.2f, receive %.2f)  %.0f ns CPU a piece sent\n",
			job->way, job->bytes, gb * 8 / seconds, (double)f[1].bytes / (double)job->bytes / seconds,
			(f[0].cpu_s + f[1].cpu_s) / gb, f[0].cpu_s / gb, f[1].cpu_s / gb, f[0].cpu_s * 1e9 / (double)f[0].pieces);
	return 0;
}

/* ---- many links of one process */

struct crowd { struct loop *loop; struct loop_timer *timer; size_t ready, got, want; };

static void on_crowd_ready(void *ctx) { ((struct crowd *)ctx)->ready++; }

static size_t on_crowd_read(void *ctx, const uint8_t *data, size_t len)
{
	struct crowd *c = ctx;

	c->got += len;
	if (c->got == c->want)
		loop_stop(c->loop);
	return len;
}

static void on_crowd_timer(void *ctx) { loop_stop(((struct crowd *)ctx)->loop); }

static double resident_kib(void)
{
	unsigned long whole, resident = 0;
	auto_fclose FILE *f = fopen("/proc/self/statm", "re");

	must(f && fscanf(f, "%lu %lu", &whole, &resident) == 2, "statm");
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static int idle(const struct job *job)
{
	static const struct link_ops ops = { .ready = on_crowd_ready, .read = on_crowd_read };
	static uint8_t data[65536];
	struct link_config config = { .gather = true };
	SSL_CTX *tls[2] = { context(false), context(true) };
	struct link **link = calloc(2 * job->bytes, sizeof *link);
	struct crowd c = { .want = job->bytes * sizeof data };
	double before, busy;
	int fd[2];

	must(link && !loop_create(&c.loop, NULL) && !loop_timer_create(c.loop, on_crowd_timer, &c, &c.timer), "loop");
	before = resident_kib();
	for (size_t i = 0; i < 2 * job->bytes; i++) {
		must(i % 2 || !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), "socket pair");
		config.tls = tls[i % 2];
		config.server = i % 2;
		must(!link_create(c.loop, fd[i % 2], &config, &ops, &c, &link[i], NULL), "link");
	}
	for (size_t i = 0; i < job->bytes; i++)
		must(!link_write(link[2 * i], data, sizeof data), "write");
	must(!loop_run(c.loop), "loop");
	busy = resident_kib() - before;
	loop_timer_arm(c.timer, loop_now_ns() + 3000 * MS);
	must(!loop_run(c.loop), "loop");
	printf("idle   %zu links: %.1f KiB each while busy, %.1f idle\n", 2 * job->bytes, busy / (double)(2 * job->bytes),
		(resident_kib() - before) / (double)(2 * job->bytes));
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' }, { "netns", required_argument, NULL, 'n' },
		{ "address", required_argument, NULL, 'a' }, { "unsent", required_argument, NULL, 'u' }, { NULL },
	};
	struct job job = { .seconds = 2, .address = "127.0.0.1" };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			job.seconds = atof(optarg);
		else if (c == 'n')
			job.netns = optarg;
		else if (c == 'a')
			job.address = optarg;
		else if (c == 'u')
			job.unsent = (uint32_t)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (argc - optind != 2 || !(job.bytes = strtoul(argv[optind + 1], NULL, 10)) || job.bytes > QUEUE / 2) {
		fprintf(stderr, "usage: link [--seconds S] [--netns A,B] [--address IP] [--unsent N] link|gather|bare|rtt BYTES\n"
			"       link idle COUNT\n");
		return 2;
	}
	job.way = argv[optind];
	return strcmp(job.way, "idle") ? run(&job) : idle(&job);
}
