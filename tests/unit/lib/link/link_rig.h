/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of a socket pair on one loop, plain or TLS, and what they count. */
#pragma once
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "crypto/tls.h"
#include "lib/link/link.h"
#include "tests/unit/crypto/pki/pki_rig.h"

enum { WHOLE = 3000000 };

struct end {
	struct link *link;
	struct loop *loop;
	size_t got, sent, take;		/* take: at most so many bytes a call; 0: all */
	uint64_t sum;
	bool ready, ended, closed, free_in_read, end_on_end;
	size_t stop_at;			/* the loop stops when so much came */
	int *stops;			/* and after so many closes */
	struct err why;
};

struct rig { struct loop *loop; struct end a, b; struct loop_timer *late; bool timed_out; int closes; SSL_CTX *tls[2]; };

static inline void on_ready(void *ctx) { ((struct end *)ctx)->ready = true; }

static inline void fill(struct end *e)
{
	uint8_t piece[5000];

	while (e->sent < WHOLE) {
		size_t n = WHOLE - e->sent < sizeof piece ? WHOLE - e->sent : sizeof piece;

		for (size_t i = 0; i < n; i++)
			piece[i] = (uint8_t)((e->sent + i) * 31);
		if (link_write(e->link, piece, n))
			return;
		e->sent += n;
	}
	link_end(e->link);
}

static inline size_t on_read(void *ctx, const uint8_t *data, size_t len)
{
	struct end *e = ctx;
	size_t n = e->take && e->take < len ? e->take : len;

	for (size_t i = 0; i < n; i++)
		e->sum += data[i] != (uint8_t)((e->got + i) * 31);
	e->got += n;
	if (e->free_in_read) {
		link_free(e->link);
		e->link = NULL;
	}
	if (e->stop_at && e->got >= e->stop_at)
		loop_stop(e->loop);
	return n;
}

static inline void on_writable(void *ctx) { fill(ctx); }

static inline void on_end(void *ctx)
{
	struct end *e = ctx;

	e->ended = true;
	if (e->end_on_end)
		link_end(e->link);
}

static inline void on_closed(void *ctx, const struct err *why)
{
	struct end *e = ctx;

	e->closed = true;
	e->why = *why;
	link_free(e->link);
	e->link = NULL;
	if (!--*e->stops)
		loop_stop(e->loop);
}

static const struct link_ops ops = { on_ready, on_read, on_writable, on_end, on_closed };

static inline void on_late(void *ctx)
{
	struct rig *r = ctx;

	r->timed_out = true;
	loop_stop(r->loop);
}

static inline void contexts(struct rig *r)
{
	static struct pki_rig pki;
	static EVP_PKEY *key;
	static X509 *cert[2];

	if (!key) {	/* kept for all tests: making them takes longer than the tests */
		rig_setup(&pki);
		ca_free(pki.ca);
		pki.now = time(NULL);
		keystore_close(pki.ks);
		unlink(pki.path);
		pki.ks = rig_open_store(pki.path, true);
		CU_ASSERT_FATAL(!ca_create(pki.ks, pki.now, NULL) && !ca_open(pki.ks, &pki.ca, NULL));
		key = rig_key();
		cert[0] = rig_cert(&pki, PKI_HV, "a", key);
		cert[1] = rig_cert(&pki, PKI_LCG, "b", key);
	}
	for (int i = 0; i < 2; i++) {
		struct tls_config c = { .server = i, .alpn = "hull-l2/1", .ca = ca_cert(pki.ca), .cert = cert[i], .key = key };

		CU_ASSERT_FATAL(!tls_create(&c, &r->tls[i], NULL));
	}
}

static inline void setup(struct rig *r, bool tls, const struct link_config *config)
{
	struct link_config ca = config ? *config : (struct link_config){ 0 }, cb = ca;
	int fd[2], size = 16384;

	*r = (struct rig){ .closes = 2 };
	CU_ASSERT_FATAL(!loop_create(&r->loop, NULL));
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	if (tls) {
		contexts(r);
		ca.tls = r->tls[0];
		cb.tls = r->tls[1];
		ca.alpn = cb.alpn = "hull-l2/1";
		cb.server = true;
	}
	r->a = (struct end){ .loop = r->loop, .stops = &r->closes };
	r->b = r->a;
	CU_ASSERT_FATAL(!link_create(r->loop, fd[0], &ca, &ops, &r->a, &r->a.link, NULL));
	CU_ASSERT_FATAL(!link_create(r->loop, fd[1], &cb, &ops, &r->b, &r->b.link, NULL));
	CU_ASSERT_FATAL(!loop_timer_create(r->loop, on_late, r, &r->late));
}

static inline void run(struct rig *r, unsigned ms)
{
	r->timed_out = false;
	loop_timer_arm(r->late, loop_now_ns() + ms * 1000000ull);
	check_eq(loop_run(r->loop), 0);
	loop_timer_disarm(r->late);
}

static inline void drop(struct rig *r)
{
	link_free(r->a.link);
	link_free(r->b.link);
	loop_timer_free(r->late);
	loop_free(r->loop);
	SSL_CTX_free(r->tls[0]);
	SSL_CTX_free(r->tls[1]);
}

/* Much more than both queues and the socket hold, then an orderly end on both sides. */
static inline void carry(bool tls, const struct link_config *config, size_t take)
{
	struct rig r;

	setup(&r, tls, config);
	r.b.take = take;
	r.b.end_on_end = true;
	fill(&r.a);
	run(&r, 20000);
	check(!r.timed_out);
	check(r.a.ready && r.b.ready);
	check_eq(r.b.got, WHOLE);
	check_eq(r.b.sum, 0);
	check(r.b.ended && r.a.ended && r.a.closed && r.b.closed);
	check_eq(r.a.why.code, 0);
	check_eq(r.b.why.code, 0);
	drop(&r);
}
