/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures hull-csc (tests/bench/relay-run). It starts one of its own with an authority of its own, and prints samples:
 *   relay memory HULL-CSC N               N servers parked: bytes of the relay's memory each, and of what it allocated
 *   relay speed HULL-CSC WAY WHAT SECONDS WAY: direct or relayed; WHAT: plain, or tls (1.3, AES-256-GCM, records of 16 KiB)
 *   relay many HULL-CSC PAIRS SECONDS     plain, through so many pairs at once
 * The far end is a process of its own, as the relay is.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "crypto/identity_folder.h"
#include "crypto/pki/ca_priv.h"
#include "crypto/pki/policy.h"
#include "crypto/tls.h"
#include "lib/link/relay.h"
#include "lib/scope.h"

enum { PIECE = 256 << 10, PAIRS = 256 };

static char dir[64] = "/tmp/relay-bench.XXXXXX", address[300];
static struct keystore *ks;
static struct ca *ca;
static EVP_PKEY *key;
static struct loop *loop;
static pid_t csc;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "relay: %s: %s\n", what, why);
	exit(1);
}

static void clean(void)
{
	static const char *const files[] = { "store", "store.lock", "id/identity.pem", "id/ca.pem", "log", "id", "" };
	char path[128];

	if (csc > 0) {
		kill(csc, SIGTERM);
		waitpid(csc, NULL, 0);
	}
	for (size_t i = 0; i < array_len(files); i++) {
		snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		remove(path);
	}
}

/* ---- authority and relay. One key for all: making thousands is not what is measured. */

static X509 *cert_of(enum pki_role role, const char *name)
{
	struct pki_id id = { .role = role };
	struct err err = { .text = "" };
	X509 *cert = NULL;

	snprintf(id.name, sizeof id.name, "%s", name);
	if (ca_sign(ca, &id, key, CA_LIFE_S, time(NULL), &cert, &err))
		die(name, err.text);
	return cert;
}

static SSL_CTX *tls_of(enum pki_role role, const char *name, bool server, const char *alpn)
{
	struct tls_config c = { .server = server, .alpn = alpn, .ca = ca_cert(ca), .cert = cert_of(role, name), .key = key };
	struct err err = { .text = "" };
	SSL_CTX *tls;

	if (tls_create(&c, &tls, &err))
		die("TLS", err.text);
	X509_free(c.cert);
	return tls;
}

static void make_authority(void)
{
	struct keystore_unlock unlock = { .way = KEYSTORE_FILE };
	struct err err = { .text = "" };
	char path[128];

	if (!mkdtemp(dir) || atexit(clean))
		die(dir, strerror(errno));
	snprintf(path, sizeof path, "%s/store", dir);
	if (secret_copy(&unlock.secret, "0123456789abcdef0123456789abcdef", 32) || keystore_create(path, &unlock, &ks, &err) ||
	    ca_create(ks, time(NULL), &err) || ca_open(ks, &ca, &err) || cert_key_create(&key, &err) || keystore_begin(ks, &err))
		die("authority", err.text);
	/* the transaction is never ended: who was certified is nobody's business but ours */
}

static void wait_for_line(const char *log)
{
	char line[512], *at;

	for (int i = 0; i < 500; i++) {
		FILE *f = fopen(log, "r");

		while (f && fgets(line, sizeof line, f))
			if ((at = strstr(line, "listening on "))) {
				snprintf(address, sizeof address, "%s", at + strlen("listening on "));
				address[strcspn(address, "\n")] = 0;
			}
		if (f)
			fclose(f);
		if (address[0])
			return;
		poll(NULL, 0, 10);
	}
	die("hull-csc", "does not listen");
}

static void start_relay(const char *program)
{
	struct identity id = { .ca = ca_cert(ca), .cert = cert_of(PKI_CSC, "csc1"), .key = key };
	char folder[128], log[128];
	struct err err = { .text = "" };
	int fd;

	snprintf(folder, sizeof folder, "%s/id", dir);
	snprintf(log, sizeof log, "%s/log", dir);
	if (mkdir(folder, 0700) || identity_save(folder, &id, &err))
		die(folder, err.text);
	csc = fork();
	if (!csc) {
		fd = open(log, O_WRONLY | O_CREAT, 0600);
		dup2(fd, STDERR_FILENO);
		execl(program, program, "--identity", folder, "--listen", "127.0.0.1:0", "--parked", "100000", NULL);
		_exit(1);
	}
	wait_for_line(log);
}

/* ---- clients */

struct client { struct relay_client *client; SSL_CTX *tls; int fd; };

static unsigned waiting;

static void on_done(void *ctx, int fd, const struct err *why)
{
	struct client *c = ctx;

	if (why->code)
		die("client", why->text);
	c->fd = fd;
	if (!--waiting)
		loop_stop(loop);
}

static void run(void)
{
	if (loop_run(loop))
		die("loop", "ended");
}

static void park(struct client *c, const char *server)
{
	struct err err = { .text = "" };

	waiting++;
	if (relay_park(loop, address, c->tls, server, "net0", on_done, c, &c->client, &err))
		die("park", err.text);
}

static void call(struct client *c, const char *server)
{
	struct ticket t = { .caller = { PKI_LCG, "gw1" }, .callee.role = PKI_HV, .nic = "net0" };
	char text[TICKET_TEXT];
	struct err err = { .text = "" };

	snprintf(t.callee.name, sizeof t.callee.name, "%s", server);
	waiting++;
	if (ticket_sign(&t, ca->key, TICKET_LIFE_S, time(NULL), text, &err) ||
	    relay_call(loop, address, c->tls, text, on_done, c, &c->client, &err))
		die("call", err.text);
}

/* ---- memory */

/* KiB of a line of /proc/PID/status */
static long status_of(pid_t pid, const char *field)
{
	char path[64], line[256];
	long n = -1;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, field, strlen(field)))
			n = strtol(line + strlen(field) + 1, NULL, 10);
	if (f)
		fclose(f);
	return n;
}

static int memory(int n)
{
	struct client *c = calloc((size_t)n, sizeof *c);
	long before, after;
	struct timespec begin, end;
	double took;

	for (int i = 0; i < n; i++) {	/* some at once, as after a restart; each its own certificate */
		char name[32];

		snprintf(name, sizeof name, "server-%d", i);
		c[i].tls = tls_of(PKI_HV, name, false, RELAY_ALPN);
		if (!i) {	/* what the first handshake takes for good is not a server's */
			park(&c[0], name);
			run();
			poll(NULL, 0, 1500);
		}
	}
	before = status_of(csc, "VmRSS");
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (int i = 1; i < n; i++) {
		char name[32];

		snprintf(name, sizeof name, "server-%d", i);
		park(&c[i], name);
		if (i % 200 == 0 || i == n - 1)
			run();
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	poll(NULL, 0, 2500);	/* what handshakes left goes back */
	after = status_of(csc, "VmRSS");
	printf("relay memory %d bytes_each %.0f\n", n, (double)(after - before) * 1024 / (n - 1));
	printf("relay memory %d threads %ld\n", n, status_of(csc, "Threads"));
	took = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	printf("relay memory %d parks_a_second %.0f\n", n, (n - 1) / took);
	return 0;
}

/* ---- speed */

static void tcp_pair(int fd[2])
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (void *)&at, sizeof at) || listen(listener, 1) || getsockname(listener, (void *)&at, &len) ||
	    connect(fd[0], (void *)&at, sizeof at) || (fd[1] = accept(listener, NULL, NULL)) < 0)
		die("sockets", strerror(errno));
	for (int i = 0; i < 2; i++)
		setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	close(listener);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static SSL *wrap(int fd, bool server)
{
	SSL *ssl = SSL_new(tls_of(server ? PKI_HV : PKI_LCG, server ? "server-0" : "gw1", server, "hull-l2/1"));

	SSL_set_fd(ssl, fd);
	if ((server ? SSL_accept(ssl) : SSL_connect(ssl)) != 1)
		die("TLS", "handshake");
	return ssl;
}

static ssize_t take(int fd, SSL *ssl, char *piece)
{
	return ssl ? SSL_read(ssl, piece, PIECE) : read(fd, piece, PIECE);
}

static void far_end(int fd, bool tls)
{
	SSL *ssl = tls ? wrap(fd, true) : NULL;
	char *piece = malloc(PIECE);
	uint64_t got = 0;
	ssize_t n;

	while ((n = take(fd, ssl, piece)) > 0)
		got += (uint64_t)n;
	_exit(0);
}

static double csc_cpu(void)
{
	unsigned long user, sys;
	char path[64];
	double s = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", csc);
	f = fopen(path, "r");
	if (f && fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) == 2)
		s = (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
	if (f)
		fclose(f);
	return s;
}

static double cpu_of(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6 + (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6;
}

static void blocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

/* Our end and the far end, through the relay. */
static void relayed_pair(int fd[2])
{
	struct client server = { .tls = tls_of(PKI_HV, "server-0", false, RELAY_ALPN) };
	struct client gateway = { .tls = tls_of(PKI_LCG, "gw1", false, RELAY_ALPN) };

	park(&server, "server-0");
	run();
	call(&gateway, "server-0");
	run();
	fd[0] = gateway.fd;
	fd[1] = server.fd;
	blocking(fd[0]);
	blocking(fd[1]);
}

static uint64_t push(int fd, SSL *ssl, double until)
{
	char *piece = calloc(1, PIECE);
	uint64_t sent = 0;
	ssize_t n = 1;

	while (n > 0 && now() < until) {
		n = ssl ? SSL_write(ssl, piece, PIECE) : write(fd, piece, PIECE);
		sent += n > 0 ? (uint64_t)n : 0;
	}
	free(piece);
	return sent;
}

static int speed(const char *way, const char *what, int seconds)
{
	bool tls = !strcmp(what, "tls"), relayed = !strcmp(way, "relayed");
	double begin, took, cpu = 0, relay_cpu = 0;
	uint64_t sent, all;
	pid_t child;
	SSL *ssl;
	int fd[2];

	if (relayed)
		relayed_pair(fd);
	else
		tcp_pair(fd);
	child = fork();
	if (!child) {
		csc = 0;
		close(fd[0]);
		far_end(fd[1], tls);
	}
	close(fd[1]);
	relay_cpu -= csc_cpu();
	cpu -= cpu_of(RUSAGE_SELF);
	ssl = tls ? wrap(fd[0], false) : NULL;
	all = push(fd[0], ssl, now() + 0.3);	/* windows have grown then */
	begin = now();
	sent = push(fd[0], ssl, begin + seconds);
	took = now() - begin;
	all += sent;
	shutdown(fd[0], SHUT_WR);
	waitpid(child, NULL, 0);
	relay_cpu += csc_cpu();
	cpu += cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN) + relay_cpu;
	printf("relay %s %s gbit %.3f\n", what, way, (double)sent * 8 / took / 1e9);
	printf("relay %s %s cpu_s_gb %.3f\n", what, way, cpu / ((double)all / 1e9));
	printf("relay %s %s relay_s_gb %.3f\n", what, way, relay_cpu / ((double)all / 1e9));
	return 0;
}

/* ---- many pairs at once: nobody starves, and the sum is what one has */

static int many(int pairs, int seconds)
{
	struct { int fd[2]; uint64_t got; } p[PAIRS];
	struct pollfd polls[2 * PAIRS];
	char *piece = calloc(1, PIECE);
	uint64_t sum = 0, least = UINT64_MAX;
	double begin;

	if (pairs < 1 || pairs > PAIRS)
		die("pairs", "1 to 256");
	for (int i = 0; i < pairs; i++) {
		relayed_pair(p[i].fd);
		p[i].got = 0;
		for (int k = 0; k < 2; k++) {
			fcntl(p[i].fd[k], F_SETFL, O_NONBLOCK);
			polls[2 * i + k] = (struct pollfd){ .fd = p[i].fd[k], .events = k ? POLLIN : POLLOUT };
		}
	}
	for (begin = now(); now() < begin + seconds;) {
		poll(polls, (nfds_t)(2 * pairs), 100);
		for (int i = 0; i < pairs; i++) {
			if (polls[2 * i].revents)
				(void)!write(p[i].fd[0], piece, 65536);
			if (polls[2 * i + 1].revents) {
				ssize_t n = read(p[i].fd[1], piece, PIECE);

				p[i].got += n > 0 ? (uint64_t)n : 0;
			}
		}
	}
	for (int i = 0; i < pairs; i++) {
		sum += p[i].got;
		least = p[i].got < least ? p[i].got : least;
	}
	printf("relay many %d gbit %.3f\n", pairs, (double)sum * 8 / (now() - begin) / 1e9);
	printf("relay many %d least_share %.3f\n", pairs, sum ? (double)least * pairs / (double)sum : 0);
	return 0;
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	struct err err;

	if (argc < 4)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (loop_create(&loop, &err))
		return 1;
	make_authority();
	start_relay(argv[2]);
	if (!strcmp(argv[1], "memory"))
		return memory(atoi(argv[3]));
	if (!strcmp(argv[1], "many") && argc == 5)
		return many(atoi(argv[3]), atoi(argv[4]));
	return argc == 6 ? speed(argv[3], argv[4], atoi(argv[5])) : 2;
}
