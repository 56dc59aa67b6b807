/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that are resumed, and what is looked at again then: expiry, revocation, the authority. */
#include "lib/link/session.h"
#include <string.h>
#include <sys/socket.h>
#include "tests/unit/lib/link/link_rig.h"

static struct pki_rig pki;
static EVP_PKEY *key;
static X509 *cert[2];

struct pair { SSL_CTX *tls[2]; bool resumed; int seen[2]; struct err err[2]; };

static void begin(struct pair *p)
{
	*p = (struct pair){ 0 };
	rig_setup(&pki);
	key = rig_key();
	/* OpenSSL looks at the real clock in a handshake */
	pki.now = time(NULL);
	ca_free(pki.ca);
	keystore_close(pki.ks);
	unlink(pki.path);
	pki.ks = rig_open_store(pki.path, true);
	CU_ASSERT_FATAL(!ca_create(pki.ks, pki.now, NULL) && !ca_open(pki.ks, &pki.ca, NULL));
	cert[0] = rig_cert(&pki, PKI_LCG, "gw1", key);
	cert[1] = rig_cert(&pki, PKI_HV, "web01", key);
	for (int i = 0; i < 2; i++) {
		struct tls_config c = { .server = i, .alpn = "hull-l2/1", .ca = ca_cert(pki.ca), .cert = cert[i], .key = key, .tickets = 2 };

		CU_ASSERT_FATAL(!tls_create(&c, &p->tls[i], NULL));
	}
}

static void end(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		SSL_CTX_free(p->tls[i]);
		X509_free(cert[i]);
	}
	EVP_PKEY_free(key);
	rig_drop(&pki);
}

/* What each side's owner does when the link is ready. */
struct looker { struct end end; struct pair *pair; int side; };

static time_t look_at;

static void on_ready_look(void *ctx)
{
	struct looker *l = ctx;
	struct pki_id id;
	X509 *peer;

	l->pair->resumed = SSL_session_reused(link_ssl(l->end.link));
	l->pair->seen[l->side] = tls_peer(link_ssl(l->end.link), look_at, &id, &peer, &l->pair->err[l->side]);
	if (l->side)
		(void)!link_write(l->end.link, "", 1);	/* tickets come before it */
}

/* One link after the other, each ended by both sides; NULL: the store's name is left out. */
static void meet(struct pair *p, const char *name)
{
	static const struct link_ops looking = { on_ready_look, on_read, on_writable, on_end, on_closed };
	struct link_config c = { .alpn = "hull-l2/1" };
	struct looker l[2];
	struct rig r;
	int fd[2];

	setup(&r, false, NULL);
	r.closes = 2;
	CU_ASSERT_FATAL(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	for (int i = 0; i < 2; i++) {
		c.tls = p->tls[i];
		c.server = i;
		c.resume = i ? NULL : name;
		l[i] = (struct looker){ .end = { .loop = r.loop, .stops = &r.closes, .end_on_end = true }, .pair = p, .side = i };
		CU_ASSERT_FATAL(!link_create(r.loop, fd[i], &c, &looking, &l[i], &l[i].end.link, NULL));
	}
	l[0].end.stop_at = 1;
	run(&r, 5000);
	check_eq(l[0].end.got, 1);
	link_end(l[0].end.link);
	run(&r, 5000);
	check(l[0].end.closed && l[1].end.closed);
	check_eq(l[0].end.why.code, 0);
	drop(&r);
}

static void resumes(void)
{
	struct pair p;

	begin(&p);
	look_at = pki.now;
	meet(&p, NULL);
	check(!p.resumed);
	meet(&p, NULL);	/* nobody asked for it */
	check(!p.resumed);
	meet(&p, "hv/web01");
	check(!p.resumed);
	meet(&p, "hv/db01");	/* another peer */
	check(!p.resumed);
	for (int i = 0; i < 3; i++) {
		meet(&p, "hv/web01");
		check(p.resumed);
		check_eq(p.seen[0], 0);
		check_eq(p.seen[1], 0);
	}
	end(&p);
}

/* A server that starts again has other keys for its tickets: the handshake is a full one. */
static void survives_a_server_that_forgot(void)
{
	struct tls_config c;
	struct pair p;

	begin(&p);
	look_at = pki.now;
	meet(&p, "hv/web01");
	SSL_CTX_free(p.tls[1]);
	c = (struct tls_config){ .server = true, .alpn = "hull-l2/1", .ca = ca_cert(pki.ca), .cert = cert[1], .key = key, .tickets = 2 };
	CU_ASSERT_FATAL(!tls_create(&c, &p.tls[1], NULL));
	meet(&p, "hv/web01");
	check(!p.resumed);
	check_eq(p.seen[0], 0);
	meet(&p, "hv/web01");
	check(p.resumed);
	end(&p);
}

static void looks_at_the_clock_again(void)
{
	struct pair p;

	begin(&p);
	look_at = pki.now;
	meet(&p, "hv/web01");
	look_at = pki.now + CA_LIFE_S + 1;
	meet(&p, "hv/web01");
	check(p.resumed);
	for (int i = 0; i < 2; i++) {
		check_eq(p.seen[i], -EKEYEXPIRED);
		check_str(p.err[i].text, "certificate: certificate has expired");
	}
	look_at = pki.now - 86400;	/* a clock that is a day slow */
	meet(&p, "hv/web01");
	check_eq(p.seen[0], -EKEYEXPIRED);
	check_str(p.err[0].text, "certificate: certificate is not yet valid");
	end(&p);
}

/* Revoked after the session was begun: each side sees the other's. */
static void sees_a_revocation(void)
{
	static const char *const names[] = { "web01", "gw1" };
	unsigned count;
	X509_CRL *crl;
	struct pair p;

	for (int i = 0; i < 2; i++) {
		begin(&p);
		look_at = pki.now;
		meet(&p, "hv/web01");
		CU_ASSERT_FATAL(!ca_revoke(pki.ca, names[i], pki.now, &count, NULL) && !ca_crl(pki.ca, pki.now, &crl, NULL));
		check_eq(tls_set_trust(p.tls[i], ca_cert(pki.ca), crl, NULL), 0);
		meet(&p, "hv/web01");
		check(p.resumed);
		check_eq(p.seen[i], -EKEYREVOKED);
		check_str(p.err[i].text, "certificate: certificate revoked");
		check_eq(p.seen[!i], 0);
		X509_CRL_free(crl);
		end(&p);
	}
}

/* The authority was replaced: what it issued is nobody's any more. */
static void sees_another_authority(void)
{
	struct pki_rig other;
	struct pair p;

	begin(&p);
	look_at = pki.now;
	meet(&p, "hv/web01");
	rig_setup(&other);
	check_eq(tls_set_trust(p.tls[0], ca_cert(other.ca), NULL, NULL), 0);
	meet(&p, "hv/web01");
	check(p.resumed);
	check_eq(p.seen[0], -EKEYREJECTED);
	check_eq(p.seen[1], 0);
	rig_drop(&other);
	end(&p);
}

static void bounds_its_store(void)
{
	char name[SESSION_NAME + 1];
	struct pair p;
	SSL *ssl;

	begin(&p);
	look_at = pki.now;
	for (int i = 0; i <= SESSIONS / 2; i++) {	/* two tickets each */
		snprintf(name, sizeof name, "hv/%d", i);
		meet(&p, name);
	}
	meet(&p, "hv/0");
	check(!p.resumed);
	meet(&p, "hv/20");
	check(p.resumed);
	ssl = SSL_new(p.tls[0]);
	memset(name, 'x', sizeof name);
	name[SESSION_NAME] = 0;
	check_eq(session_offer(ssl, name), -EINVAL);
	check_eq(session_offer(ssl, ""), -EINVAL);
	SSL_free(ssl);
	end(&p);
}

static const struct test tests[] = {
	{ "resumes", resumes },
	{ "survives a server that forgot", survives_a_server_that_forgot },
	{ "looks at the clock again", looks_at_the_clock_again },
	{ "sees a revocation", sees_a_revocation },
	{ "sees another authority", sees_another_authority },
	{ "bounds its store", bounds_its_store },
	{ NULL, NULL },
};
const struct suite suite_lib_link_session = { tests };
