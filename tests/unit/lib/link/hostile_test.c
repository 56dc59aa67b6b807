/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody in the middle, who holds the wire: bits flipped, records repeated, cut, forged. Peers that fall silent or stop reading.
 * Certificates nobody should take.
 */
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "lib/link/socket.h"
#include "tests/unit/lib/link/link_rig.h"

/* ---- the middle: it passes bytes on and, once, at some place of one direction, does its worst */

enum worst { FLIP, CUT, INSERT, REPEAT };

struct middle {
	struct rig rig;
	int fd[2];			/* its ends of both wires */
	struct loop_watch *watch[2];
	enum worst worst;
	const uint8_t *forged;		/* INSERT */
	size_t forged_len;
	bool armed, done;
	uint8_t last[70000];		/* REPEAT */
	size_t last_len;
};

static void hand_on(struct middle *m, int to, const uint8_t *data, size_t len)
{
	for (ssize_t n; len; data += n, len -= (size_t)n) {
		n = send(m->fd[to], data, len, MSG_NOSIGNAL);
		if (n < 0)
			return;
	}
}

static void on_wire(void *ctx, int fd, uint32_t events)
{
	struct middle *m = ctx;
	int from = fd == m->fd[1];
	uint8_t data[70000];
	ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);
	bool now = m->armed && !from && n > 0;

	if (n <= 0) {
		loop_watch_remove(m->watch[from]);
		m->watch[from] = NULL;
		shutdown(m->fd[!from], SHUT_WR);
		return;
	}
	m->done |= now;
	m->armed &= !now;
	if (now && m->worst == FLIP)
		data[n - 1] ^= 1;
	if (now && m->worst == INSERT)
		hand_on(m, !from, m->forged, m->forged_len);
	if (now && m->worst == CUT)
		n /= 2;
	hand_on(m, !from, data, (size_t)n);
	if (now && m->worst == REPEAT)
		hand_on(m, !from, data, (size_t)n);
	if (now && m->worst == CUT) {
		shutdown(m->fd[0], SHUT_RDWR);
		shutdown(m->fd[1], SHUT_RDWR);
	}
}

static void insert_middle(struct middle *m, bool gather)
{
	struct link_config c = { .gather = gather, .alpn = "hull-l2/1" };
	struct end *ends[2];

	memset(m, 0, sizeof *m);
	setup(&m->rig, true, NULL);
	ends[0] = &m->rig.a;
	ends[1] = &m->rig.b;
	for (int i = 0; i < 2; i++) {
		int pair[2];

		link_free(ends[i]->link);
		CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
		m->fd[i] = pair[1];
		c.tls = m->rig.tls[i];
		c.server = i;
		CU_ASSERT_FATAL(!link_create(m->rig.loop, pair[0], &c, &ops, ends[i], &ends[i]->link, NULL));
		CU_ASSERT_FATAL(!loop_watch_add(m->rig.loop, pair[1], EPOLLIN, on_wire, m, &m->watch[i]));
		ends[i]->stop_at = 5;
	}
	CU_ASSERT_FATAL(!link_write(m->rig.a.link, "\0\x1f\x3e\x5d\x7c", 5));
	run(&m->rig, 5000);
	check_eq(m->rig.b.got, 5);
	m->rig.b.stop_at = 0;
}

static void drop_middle(struct middle *m)
{
	drop(&m->rig);
	for (int i = 0; i < 2; i++)
		close(m->fd[i]);
}

/* What b says of it, and what it tells a. */
static void try_worst(enum worst worst, const void *forged, size_t len, int code_b, const char *why_b, int code_a,
	const char *why_a)
{
	static struct middle m;

	for (int gather = 0; gather < 2; gather++) {
		insert_middle(&m, gather);
		m.worst = worst;
		m.forged = forged;
		m.forged_len = len;
		m.armed = true;
		check_eq(link_write(m.rig.a.link, "\x9b\xba\xd9\xf8\x17", 5), 0);
		run(&m.rig, 5000);
		check(m.done && m.rig.a.closed && m.rig.b.closed);
		check_eq(m.rig.b.why.code, code_b);
		check(strstr(m.rig.b.why.text, why_b) != NULL);
		check_eq(m.rig.a.why.code, code_a);
		check_str(m.rig.a.why.text, why_a);
		check(m.rig.b.got == (worst == REPEAT ? 10 : 5) && !m.rig.b.sum);
		drop_middle(&m);
	}
}

static void refuses_what_the_middle_makes(void)
{
	static const uint8_t bare[] = "GET / HTTP/1.1\r\n\r\n", old[] = { 0x17, 3, 1, 0, 20 }, long_one[] = { 0x17, 3, 3, 0x48, 0 };
	static const uint8_t end[] = { 0x15, 3, 3, 0, 2, 1, 0 }, empty[] = { 0x17, 3, 3, 0, 0 }, type[] = { 0x63, 3, 3, 0, 1, 0 };
	static const char mac[] = "TLS: decryption failed or bad record mac", told[] = "TLS: sslv3 alert bad record mac";
	static const char cut[] = "the other side cut the connection off";

	try_worst(FLIP, NULL, 0, -EPROTO, mac, -EPROTO, told);
	try_worst(REPEAT, NULL, 0, -EPROTO, mac, -EPROTO, told);
	try_worst(CUT, NULL, 0, -ECONNRESET, cut, -ECONNRESET, cut);
	try_worst(INSERT, bare, sizeof bare - 1, -EPROTO, "TLS: wrong version number", -EPROTO,
		"TLS: tlsv1 alert protocol version");
	try_worst(INSERT, old, sizeof old, -EPROTO, "TLS: wrong version number", -EPROTO, "TLS: tlsv1 alert decode error");
	try_worst(INSERT, long_one, sizeof long_one, -EPROTO, "length too long", -EPROTO, "TLS: tlsv1 alert record overflow");
	try_worst(INSERT, empty, sizeof empty, -EPROTO, mac, -EPROTO, told);
	try_worst(INSERT, type, sizeof type, -EPROTO, "TLS: bad record type", -EPROTO, "TLS: sslv3 alert unexpected message");
	/* an end that the other side did not say */
	try_worst(INSERT, end, sizeof end, -EPROTO, "TLS: bad record type", -EPROTO, "TLS: sslv3 alert unexpected message");
}

/* ---- silence */

struct silent { struct rig rig; struct end end; int peer, own; };

/* A TCP connection whose far kernel drops all that comes, as one that lost its power would. */
static void fall_silent(struct silent *s, bool gather)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog filter = { .len = 1, .filter = &nothing };
	struct link_config c = { .dead_s = 1, .gather = gather };
	struct addrinfo *list;
	char name[SOCKET_HOST];
	int listener, fd;

	setup(&s->rig, false, NULL);
	s->rig.closes = 1;
	s->end = (struct end){ .loop = s->rig.loop, .stops = &s->rig.closes };
	CU_ASSERT_FATAL(!socket_listen("127.0.0.1:0", &listener, name, NULL) && !socket_resolve(name, false, &list, NULL));
	CU_ASSERT_FATAL(!socket_connect(list, &fd, NULL));
	freeaddrinfo(list);
	s->peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	CU_ASSERT_FATAL(s->peer >= 0 && !setsockopt(s->peer, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter));
	s->own = fd;
	CU_ASSERT_FATAL(!link_create(s->rig.loop, fd, &c, &ops, &s->end, &s->end.link, NULL));
}

static int tcp_option(int fd, int option)
{
	socklen_t len = sizeof(int);
	int value = -1;

	check_eq(getsockopt(fd, IPPROTO_TCP, option, &value, &len), 0);
	return value;
}

/* No delay, probes of silence, little waiting in the socket of a link that gathers. */
static void sets_its_socket_up(void)
{
	struct silent s;

	for (int gather = 0; gather < 2; gather++) {
		socklen_t len = sizeof(int);
		int keep = 0;

		fall_silent(&s, gather);
		check_eq(tcp_option(s.own, TCP_NODELAY), 1);
		check_eq(tcp_option(s.own, TCP_USER_TIMEOUT), 1000);
		check_eq(tcp_option(s.own, TCP_KEEPIDLE), 1);
		check_eq(tcp_option(s.own, TCP_NOTSENT_LOWAT), gather ? 131072 : 0);
		check(!getsockopt(s.own, SOL_SOCKET, SO_KEEPALIVE, &keep, &len) && keep == 1);
		close(s.peer);
		link_free(s.end.link);
		drop(&s.rig);
	}
}

static void sees_a_dead_peer(void)
{
	struct silent s;

	for (int busy = 0; busy < 2; busy++) {
		fall_silent(&s, busy);
		if (busy)
			check_eq(link_write(s.end.link, "hello", 5), 0);
		run(&s.rig, 20000);
		check(s.end.closed);
		check_eq(s.end.why.code, -ETIMEDOUT);
		check_str(s.end.why.text, "the other side does not answer any more");
		close(s.peer);
		drop(&s.rig);
	}
}

/* ---- certificates */

struct who { const char *what; bool foreign, revoked, bare; int64_t age_s; };

static X509 *issue(struct pki_rig *pki, const struct who *w, EVP_PKEY *key, time_t now)
{
	struct pki_id id = { .role = PKI_LCG, .name = "gw1" };
	X509 *cert = NULL;

	CU_ASSERT_FATAL(!ca_issue(pki->ca, &id, key, CA_LIFE_MIN_S, now - w->age_s, &cert, NULL));
	return cert;
}

static void open_authority(struct pki_rig *pki, time_t now)
{
	rig_setup(pki);
	ca_free(pki->ca);
	keystore_close(pki->ks);
	unlink(pki->path);
	pki->ks = rig_open_store(pki->path, true);
	CU_ASSERT_FATAL(!ca_create(pki->ks, now - 864000, NULL) && !ca_open(pki->ks, &pki->ca, NULL));
}

/* A client like that at a server of ours, or (turned) a server like that. */
static void try_who(const struct who *w, bool turned, int code, const char *why, int told_code, const char *told)
{
	time_t now = time(NULL);
	struct pki_rig ours, theirs;
	struct tls_config c[2] = { { .alpn = "hull-l2/1" }, { .alpn = "hull-l2/1", .server = true } };
	struct who good = { 0 };
	struct end e[2];
	struct rig r;
	X509_CRL *crl = NULL;
	EVP_PKEY *key = rig_key();
	int fd[2], bad = turned ? 1 : 0;
	unsigned n;

	open_authority(&ours, now);
	open_authority(&theirs, now);
	c[0].key = c[1].key = key;
	c[bad].cert = w->bare ? NULL : issue(w->foreign ? &theirs : &ours, w, key, now);
	c[bad].ca = ca_cert(ours.ca);
	if (w->revoked)
		CU_ASSERT_FATAL(!ca_revoke(ours.ca, "gw1", now, &n, NULL));
	c[!bad].cert = issue(&ours, &good, key, now);
	c[!bad].ca = ca_cert(ours.ca);
	CU_ASSERT_FATAL(!ca_crl(ours.ca, now, &crl, NULL));
	c[!bad].crl = crl;
	setup(&r, false, NULL);
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	for (int i = 0; i < 2; i++) {
		struct link_config config = { .alpn = "hull-l2/1", .server = i };

		CU_ASSERT_FATAL(!tls_create(&c[i], &config.tls, NULL));
		e[i] = (struct end){ .loop = r.loop, .stops = &r.closes };
		CU_ASSERT_FATAL(!link_create(r.loop, fd[i], &config, &ops, &e[i], &e[i].link, NULL));
		SSL_CTX_free(config.tls);
	}
	run(&r, 5000);
	check(!e[!bad].ready);
	check_eq(e[!bad].why.code, code);
	check_str(e[!bad].why.text, why);
	check_eq(e[bad].why.code, told_code);
	check_str(e[bad].why.text, told);
	drop(&r);
	for (int i = 0; i < 2; i++)
		X509_free(c[i].cert);
	X509_CRL_free(crl);
	EVP_PKEY_free(key);
	rig_drop(&ours);
	rig_drop(&theirs);
}

static void refuses_certificates(void)
{
	static const char refused[] = "the other side's certificate is refused: ";
	static const struct { struct who who; const char *why, *told; } bad[] = {
		{ { "expired", .age_s = CA_LIFE_MIN_S + 1 }, "certificate has expired", "TLS: sslv3 alert certificate expired" },
		{ { "of tomorrow", .age_s = -86400 }, "certificate is not yet valid", "TLS: sslv3 alert bad certificate" },
		{ { "revoked", .revoked = true }, "certificate revoked", "TLS: sslv3 alert certificate revoked" },
		{ { "foreign", .foreign = true }, "unable to get local issuer certificate", "TLS: tlsv1 alert unknown ca" },
	};
	struct who none = { "none", .bare = true };
	char text[200];

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(text, sizeof text, "%s%s", refused, bad[i].why);
		try_who(&bad[i].who, false, -EPROTO, text, -EPROTO, bad[i].told);
		try_who(&bad[i].who, true, -EPROTO, text, -EPROTO, bad[i].told);
	}
	try_who(&none, false, -EPROTO, "TLS: peer did not return a certificate", -EPROTO, "TLS: tlsv13 alert certificate required");
}

/* Another purpose, and none. */
static void refuses_another_purpose(void)
{
	static const char *const offers[] = { "hull-ctl/1", NULL };
	struct link_config c = { 0 };
	struct end e[2];
	struct rig r;
	int fd[2];

	for (int o = 0; o < 2; o++) {
		setup(&r, true, NULL);
		run(&r, 30);
		CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
		if (!offers[o])
			SSL_CTX_set_alpn_protos(r.tls[0], NULL, 0);
		for (int i = 0; i < 2; i++) {
			c.tls = r.tls[i];
			c.server = i;
			c.alpn = i ? "hull-l2/1" : offers[o];
			e[i] = (struct end){ .loop = r.loop, .stops = &r.closes };
			CU_ASSERT_FATAL(!link_create(r.loop, fd[i], &c, &ops, &e[i], &e[i].link, NULL));
		}
		run(&r, 5000);
		check_eq(e[1].why.code, -EPROTO);
		check_str(e[1].why.text, o ? "TLS: callback failed" : "TLS: no application protocol");
		check_eq(e[0].why.code, -EPROTO);
		check_str(e[0].why.text, "TLS: tlsv1 alert no application protocol");
		drop(&r);
	}
}

static const struct test tests[] = {
	{ "refuses what the middle makes", refuses_what_the_middle_makes },
	{ "sets its socket up", sets_its_socket_up },
	{ "sees a dead peer", sees_a_dead_peer },
	{ "refuses certificates", refuses_certificates },
	{ "refuses another purpose", refuses_another_purpose },
	{ NULL, NULL },
};
const struct suite suite_lib_link_hostile = { tests };
