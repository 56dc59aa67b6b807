/* SPDX-License-Identifier: Apache-2.0 */
/* The relay in process, asked by the clients that programs use: parking, calling, each refusal by its name. */
#include "csc/csc.h"
#include <fcntl.h>
#include <stdlib.h>
#include "lib/ctl.h"
#include "lib/link/link.h"
#include "lib/link/socket.h"
#include "tests/unit/csc/csc_rig.h"

static void must(struct asker *a, int want, const char *text)
{
	int rc = asker_wait(a);

	if (rc != want)
		suite_note("got %d: %s", rc, a->why.text);
	check_eq(rc, want);
	if (text && !strstr(a->why.text, text))
		suite_note("\"%s\" is not in \"%s\"", text, a->why.text);
	check(!text || strstr(a->why.text, text));
	check_eq(a->fd >= 0, !want);
}

static void must_park(struct asker *a, const char *server)
{
	asker_park(a, server, "net0");
	must(a, 0, NULL);
}

struct counted { struct csc_rig *r; size_t at; uint64_t want; };

static bool reached(void *ctx)
{
	struct counted *c = ctx;

	return *(const uint64_t *)((const char *)csc_counters(c->r->csc) + c->at) >= c->want;
}

#define wait_count(r, name, n) \
	check(loop_until((r)->loop, reached, &(struct counted){ (r), offsetof(struct csc_counters, name), (n) }))

static json_int_t status_of(struct csc_rig *r, const char *key)
{
	json_t *o = csc_status(r->csc);
	json_int_t n = json_integer_value(json_object_get(o, key));

	CU_ASSERT_FATAL(o != NULL);
	json_decref(o);
	return n;
}

static bool has_bytes(void *ctx)
{
	char byte;

	return recv(*(int *)ctx, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

/* Both ends by one ticket. */
static void join(struct csc_rig *r, struct asker *server, struct asker *gateway)
{
	char ticket[TICKET_TEXT];

	*server = asker_of(r, PKI_HV, "dc-web01");
	*gateway = asker_of(r, PKI_LCG, "gw1");
	must_park(server, "dc-web01");
	csc_rig_ticket(&r->pki, "gw1", "dc-web01", "csc1", time(NULL), ticket);
	asker_call(gateway, ticket);
	must(gateway, 0, NULL);
}

static void parks_and_calls(void)
{
	struct csc_config c = csc_rig_config();
	struct asker server, gateway;
	struct csc_counters count;
	struct csc_rig r;
	char text[32] = "";
	json_t *list;

	csc_rig_setup(&r, &c);
	join(&r, &server, &gateway);
	check_eq(write(gateway.fd, "hello", 5), 5);	/* may be there before the pair is */
	wait_count(&r, relayed, 1);
	check(loop_until(r.loop, has_bytes, &server.fd));
	check_eq(read(server.fd, text, sizeof text), 5);
	check_str(text, "hello");
	check_eq(write(server.fd, "welcome", 7), 7);
	check(loop_until(r.loop, has_bytes, &gateway.fd));
	check_eq(read(gateway.fd, text, sizeof text), 7);
	check(status_of(&r, "relayed") == 1 && status_of(&r, "parked") == 0 && status_of(&r, "pipes") == 0);
	check(status_of(&r, "to_server_bytes") == 5 && status_of(&r, "to_caller_bytes") == 7);
	list = csc_list(r.csc, true, 0);
	check_str(json_string_value(json_object_get(json_array_get(json_object_get(list, "relayed"), 0), "caller")), "lcg/gw1");
	json_decref(list);
	shutdown(gateway.fd, SHUT_WR);
	check(loop_until(r.loop, has_bytes, &server.fd));
	check_eq(read(server.fd, text, sizeof text), 0);
	asker_drop(&server);
	wait_count(&r, relayed_ended, 1);
	asker_drop(&gateway);
	count = csc_rig_drop(&r);
	check(count.parked == 1 && count.calls == 1 && count.to_server_bytes == 5 && count.to_caller_bytes == 7);
	check(!count.relayed_cut && !count.given_back && !count.internal);
}

static void lets_a_call_wait(void)
{
	struct csc_config c = csc_rig_config();
	struct asker server, gateway;
	char ticket[TICKET_TEXT];
	struct csc_rig r;

	c.wait_s = 10;
	csc_rig_setup(&r, &c);
	gateway = asker_of(&r, PKI_LCG, "gw1");
	server = asker_of(&r, PKI_HV, "dc-web01");
	csc_rig_ticket(&r.pki, "gw1", "dc-web01", "", time(NULL), ticket);
	asker_call(&gateway, ticket);
	wait_count(&r, calls, 1);
	check_eq(status_of(&r, "waiting"), 1);
	asker_park(&server, "dc-web01", "net1");	/* another NIC is not it */
	must(&server, 0, NULL);
	wait_count(&r, parked, 1);
	check(!gateway.done && status_of(&r, "waiting") == 1);
	close(server.fd);
	must_park(&server, "dc-web01");
	must(&gateway, 0, NULL);
	wait_count(&r, relayed, 1);
	check_eq(status_of(&r, "waiting"), 0);
	asker_drop(&gateway);
	asker_drop(&server);
	check_eq(csc_rig_drop(&r).nobody, 0);
}

static void says_that_nobody_is_there(void)
{
	struct csc_config c = csc_rig_config();
	struct asker gateway;
	char ticket[TICKET_TEXT];
	struct csc_rig r;

	csc_rig_setup(&r, &c);
	gateway = asker_of(&r, PKI_LCG, "gw1");
	csc_rig_ticket(&r.pki, "gw1", "dc-web01", "csc1", time(NULL), ticket);
	asker_call(&gateway, ticket);
	must(&gateway, -ENOENT, "call: nobody is parked for net0 of hv/dc-web01");
	asker_drop(&gateway);
	check_eq(csc_rig_drop(&r).nobody, 1);
}

static void refuse_call(struct asker *gateway, const char *ticket, int code, const char *text)
{
	asker_call(gateway, ticket);
	must(gateway, code, text);
}

static void refuses_tickets(void)
{
	struct csc_config c = csc_rig_config();
	struct asker server, gateway, other;
	struct csc_counters count;
	char ticket[TICKET_TEXT];
	struct pki_rig foreign;
	struct csc_rig r;
	time_t now = time(NULL);

	csc_rig_setup(&r, &c);
	csc_rig_time(&foreign);
	server = asker_of(&r, PKI_HV, "dc-web01");
	gateway = asker_of(&r, PKI_LCG, "gw1");
	other = asker_of(&r, PKI_HV, "gw1");	/* its name, another role */
	must_park(&server, "dc-web01");
	refuse_call(&gateway, "", -EBADMSG, "ticket: is not one");
	refuse_call(&gateway, "eyJ9.abcd", -EKEYREJECTED, "not signed by this authority");
	csc_rig_ticket(&foreign, "gw1", "dc-web01", "csc1", now, ticket);
	refuse_call(&gateway, ticket, -EKEYREJECTED, "not signed by this authority");
	csc_rig_ticket(&r.pki, "gw1", "dc-web01", "csc1", now - 1000, ticket);
	refuse_call(&gateway, ticket, -EKEYEXPIRED, "ticket: has expired");
	csc_rig_ticket(&r.pki, "gw1", "dc-web01", "csc1", now + 1000, ticket);
	refuse_call(&gateway, ticket, -EKEYEXPIRED, "do the clocks agree?");
	csc_rig_ticket(&r.pki, "gw2", "dc-web01", "csc1", now, ticket);
	refuse_call(&gateway, ticket, -EPERM, "ticket: is somebody else's");
	csc_rig_ticket(&r.pki, "gw1", "dc-web01", "csc2", now, ticket);
	refuse_call(&gateway, ticket, -EPERM, "ticket: is for another relay, this one is csc1");
	csc_rig_ticket(&r.pki, "gw1", "dc-web01", "csc1", now, ticket);
	refuse_call(&other, ticket, -EPERM, "ticket: is somebody else's");
	asker_call(&gateway, ticket);	/* nobody's refusal used it up */
	must(&gateway, 0, NULL);
	asker_drop(&gateway);
	gateway = asker_of(&r, PKI_LCG, "gw1");
	refuse_call(&gateway, ticket, -EEXIST, "ticket: was used already");
	asker_drop(&server);
	asker_drop(&gateway);
	asker_drop(&other);
	rig_drop(&foreign);
	count = csc_rig_drop(&r);
	check(count.ticket_bad == 3 && count.ticket_expired == 2 && count.ticket_foreign == 3 && count.ticket_used == 1);
}

static void parks_nobody_else(void)
{
	struct csc_config c = csc_rig_config();
	struct asker server, gateway;
	struct csc_counters count;
	struct csc_rig r;

	csc_rig_setup(&r, &c);
	server = asker_of(&r, PKI_HV, "dc-web01");
	gateway = asker_of(&r, PKI_LCG, "dc-web01");
	asker_park(&server, "dc-db01", "net0");
	must(&server, -EPERM, "park: a server parks under its own name only");
	asker_park(&gateway, "dc-web01", "net0");
	must(&gateway, -EPERM, "park: a server parks under its own name only");
	asker_park(&server, "dc-web01", "a/b");
	must(&server, -EINVAL, "park: needs \"server\" and \"nic\"");
	asker_park(&server, "dc-web01", "01234567890123456789012345678901");
	must(&server, -EINVAL, NULL);
	asker_drop(&server);
	asker_drop(&gateway);
	count = csc_rig_drop(&r);
	check(count.park_denied == 2 && count.bad_message == 2 && !count.parked);
}

static void has_limits(void)
{
	struct csc_config c = csc_rig_config();
	struct asker server[3], gateway[2], other;
	struct csc_counters count;
	char ticket[TICKET_TEXT], byte;
	struct csc_rig r;

	c.parked = 3;
	c.per_server = 2;
	c.relayed = 1;
	csc_rig_setup(&r, &c);
	other = asker_of(&r, PKI_HV, "dc-db01");
	for (int i = 0; i < 3; i++) {
		server[i] = asker_of(&r, PKI_HV, "dc-web01");
		must_park(&server[i], "dc-web01");
		wait_count(&r, parked, (uint64_t)i + 1);
	}
	check(loop_until(r.loop, has_bytes, &server[0].fd));	/* the oldest went */
	check_eq(recv(server[0].fd, &byte, 1, MSG_DONTWAIT), 0);
	must_park(&other, "dc-db01");
	wait_count(&r, parked, 4);
	close(other.fd);
	wait_count(&r, parked_gone, 1);
	must_park(&other, "dc-db01");
	wait_count(&r, parked, 5);
	asker_drop(&server[0]);
	server[0] = asker_of(&r, PKI_HV, "dc-app01");
	asker_park(&server[0], "dc-app01", "net0");
	must(&server[0], -ENOSPC, "park: this relay is full");
	for (int i = 0; i < 2; i++) {
		gateway[i] = asker_of(&r, PKI_LCG, "gw1");
		csc_rig_ticket(&r.pki, "gw1", "dc-web01", "csc1", time(NULL), ticket);
		asker_call(&gateway[i], ticket);
		must(&gateway[i], i ? -ENOSPC : 0, i ? "call: this relay is full" : NULL);
		if (!i)
			wait_count(&r, relayed, 1);
	}
	for (int i = 0; i < 3; i++)
		asker_drop(&server[i]);
	asker_drop(&gateway[0]);
	asker_drop(&gateway[1]);
	asker_drop(&other);
	count = csc_rig_drop(&r);
	check(count.parked_evicted == 1 && count.park_full == 1 && count.call_full == 1);
}

/* The youngest is called first, and an uncalled word ends a parked one. */
static void watches_the_parked(void)
{
	struct csc_config c = csc_rig_config();
	struct asker old, young, gateway;
	char ticket[TICKET_TEXT], text[8];
	struct csc_counters count;
	struct csc_rig r;

	csc_rig_setup(&r, &c);
	old = asker_of(&r, PKI_HV, "dc-web01");
	young = asker_of(&r, PKI_HV, "dc-web01");
	gateway = asker_of(&r, PKI_LCG, "gw1");
	must_park(&old, "dc-web01");
	wait_count(&r, parked, 1);
	must_park(&young, "dc-web01");
	wait_count(&r, parked, 2);
	csc_rig_ticket(&r.pki, "gw1", "dc-web01", "csc1", time(NULL), ticket);
	asker_call(&gateway, ticket);
	must(&gateway, 0, NULL);
	check_eq(write(gateway.fd, "x", 1), 1);
	check(loop_until(r.loop, has_bytes, &young.fd));
	check_eq(recv(old.fd, text, sizeof text, MSG_DONTWAIT), -1);
	check_eq(write(old.fd, "x", 1), 1);
	wait_count(&r, parked_spoke, 1);
	asker_drop(&old);
	asker_drop(&young);
	asker_drop(&gateway);
	count = csc_rig_drop(&r);
	check(count.parked_spoke == 1 && count.parked_gone == 0);
}

static void refuses_certificates(void)
{
	struct csc_config c = csc_rig_config();
	struct asker server, lma;
	struct csc_counters count;
	struct pki_rig foreign;
	struct csc_rig r;

	csc_rig_setup(&r, &c);
	csc_rig_time(&foreign);
	server = (struct asker){ .rig = &r, .fd = -1, .tls = asker_tls(&foreign, PKI_HV, "dc-web01", ca_cert(r.pki.ca)) };
	asker_park(&server, "dc-web01", "net0");
	must(&server, -EPROTO, "unknown ca");
	asker_drop(&server);
	/* the other way round: a relay of another authority */
	server = (struct asker){ .rig = &r, .fd = -1, .tls = asker_tls(&foreign, PKI_HV, "dc-web01", ca_cert(foreign.ca)) };
	asker_park(&server, "dc-web01", "net0");
	must(&server, -EPROTO, "certificate is refused");
	asker_drop(&server);
	lma = asker_of(&r, PKI_LMA, "lma");
	asker_park(&lma, "dc-web01", "net0");
	must(&lma, -ECONNRESET, NULL);
	asker_drop(&lma);
	rig_drop(&foreign);
	count = csc_rig_drop(&r);
	check(count.handshake_failed == 2 && count.peer_refused == 1);
}

static void heeds_revocation(void)
{
	struct csc_config c = csc_rig_config();
	struct asker server, gateway, parked, fine;
	struct csc_counters count;
	struct csc_rig r;
	struct err err;
	unsigned n;

	csc_rig_setup(&r, &c);
	join(&r, &server, &gateway);
	wait_count(&r, relayed, 1);
	parked = asker_of(&r, PKI_HV, "dc-web01");
	must_park(&parked, "dc-web01");
	wait_count(&r, parked, 2);
	fine = asker_of(&r, PKI_HV, "dc-db01");
	must_park(&fine, "dc-db01");
	wait_count(&r, parked, 3);
	CU_ASSERT_FATAL(!ca_revoke(r.pki.ca, "dc-web01", time(NULL), &n, &err));
	CU_ASSERT_FATAL(!ca_crl(r.pki.ca, time(NULL), &r.id.crl, &err));
	check_eq(csc_set_identity(r.csc, &r.id, &err), 0);
	check(status_of(&r, "parked") == 1 && status_of(&r, "relayed") == 0);
	close(parked.fd);
	asker_park(&parked, "dc-web01", "net0");
	must(&parked, -EPROTO, "certificate revoked");
	asker_drop(&server);
	asker_drop(&gateway);
	asker_drop(&parked);
	asker_drop(&fine);
	count = csc_rig_drop(&r);
	check_eq(count.revoked, 2);
}

/* Calls that wait, and those that are being joined. */
static void heeds_revocation_meanwhile(void)
{
	struct csc_config c = csc_rig_config();
	struct asker server, gateway;
	struct csc_counters count;
	char ticket[TICKET_TEXT];
	struct csc_rig r;
	struct err err;
	unsigned n;

	c.wait_s = 30;
	csc_rig_setup(&r, &c);
	gateway = asker_of(&r, PKI_LCG, "gw1");
	csc_rig_ticket(&r.pki, "gw1", "dc-web01", "csc1", time(NULL), ticket);
	asker_call(&gateway, ticket);
	wait_count(&r, calls, 1);
	CU_ASSERT_FATAL(!ca_revoke(r.pki.ca, "gw1", time(NULL), &n, &err));
	CU_ASSERT_FATAL(!ca_crl(r.pki.ca, time(NULL), &r.id.crl, &err));
	check_eq(csc_set_identity(r.csc, &r.id, &err), 0);
	check_eq(status_of(&r, "waiting"), 0);
	server = asker_of(&r, PKI_HV, "dc-web01");
	must_park(&server, "dc-web01");
	wait_count(&r, parked, 1);
	check(loop_until(r.loop, asker_is_done, &gateway));
	check(gateway.fd < 0 && status_of(&r, "relayed") == 0 && status_of(&r, "parked") == 1);
	asker_drop(&server);
	asker_drop(&gateway);
	count = csc_rig_drop(&r);
	check_eq(count.revoked, 1);
}

static void keeps_its_name(void)
{
	struct csc_config c = csc_rig_config();
	struct identity other;
	struct csc_rig r;
	struct csc *csc;
	struct err err;

	csc_rig_setup(&r, &c);
	other = csc_rig_identity(&r.pki, PKI_CSC, "csc2");
	check_eq(csc_set_identity(r.csc, &other, &err), -EINVAL);
	check_str(err.text, "identity: is csc/csc2, was csc/csc1 before; start anew for that");
	identity_drop(&other);
	other = csc_rig_identity(&r.pki, PKI_HV, "dc-web01");
	check_eq(csc_create(r.loop, &c, &other, &csc, &err), -EINVAL);
	check_str(err.text, "identity: is hv/dc-web01, a relay has role csc");
	identity_drop(&other);
	(void)csc_rig_drop(&r);
}

static int raw_connect(struct csc_rig *r)
{
	struct addrinfo *list;
	int fd;

	CU_ASSERT_FATAL(!socket_resolve(csc_address(r->csc), false, &list, NULL) && !socket_connect(list, &fd, NULL));
	freeaddrinfo(list);
	return fd;
}

static void makes_room(void)
{
	struct csc_config c = csc_rig_config();
	struct asker server;
	struct csc_counters count;
	struct csc_rig r;
	int silent[6];

	c.connections = 2;
	c.grace_ms = 10;
	csc_rig_setup(&r, &c);
	for (int i = 0; i < 6; i++)
		silent[i] = raw_connect(&r);
	server = asker_of(&r, PKI_HV, "dc-web01");
	must_park(&server, "dc-web01");
	for (int i = 0; i < 6; i++)
		close(silent[i]);
	asker_drop(&server);
	count = csc_rig_drop(&r);
	check(count.evicted >= 5 && count.held_back >= 1);
}

/* Who shows a certificate and then says nothing makes room as well: one server must not be able to shut out all others. */
static void makes_room_for_known(void)
{
	static const struct link_ops none = { .ready = NULL };
	struct csc_config c = csc_rig_config();
	struct link_config config = { .alpn = RELAY_ALPN };
	struct asker server, idler;
	struct csc_counters count;
	struct link *idle[4];
	struct csc_rig r;

	c.connections = 2;
	c.grace_ms = 10;
	c.handshake_s = 120;
	csc_rig_setup(&r, &c);
	idler = asker_of(&r, PKI_HV, "dc-db01");
	config.tls = idler.tls;
	for (int i = 0; i < 4; i++)
		CU_ASSERT_FATAL(!link_create(r.loop, raw_connect(&r), &config, &none, NULL, &idle[i], NULL));
	server = asker_of(&r, PKI_HV, "dc-web01");
	must_park(&server, "dc-web01");
	for (int i = 0; i < 4; i++)
		link_free(idle[i]);
	asker_drop(&server);
	asker_drop(&idler);
	count = csc_rig_drop(&r);
	check(count.evicted >= 3);
}

static void refuses_garbage(void)
{
	struct csc_config c = csc_rig_config();
	struct csc_counters count;
	struct csc_rig r;
	int fd;

	c.handshake_s = 1;
	csc_rig_setup(&r, &c);
	fd = raw_connect(&r);
	fcntl(fd, F_SETFL, 0);
	check_eq(write(fd, "GET / HTTP/1.0\r\n\r\n", 18), 18);
	wait_count(&r, handshake_failed, 1);
	close(fd);
	fd = raw_connect(&r);	/* half open: says nothing */
	wait_count(&r, handshake_late, 1);
	close(fd);
	count = csc_rig_drop(&r);
	check_eq(count.evicted, 0);
}

struct rude { struct link *link; char *request; size_t len; int fd; };

static void rude_ready(void *ctx)
{
	struct rude *c = ctx;

	check_eq(link_write(c->link, c->request, c->len), 0);
}

/* It has its answer, and is cut off: TLS never ends. */
static size_t rude_read(void *ctx, const uint8_t *data, size_t len)
{
	shutdown(((struct rude *)ctx)->fd, SHUT_RDWR);
	return len;
}

static void rude_closed(void *ctx, const struct err *why)
{
	struct rude *c = ctx;

	link_free(c->link);
	c->link = NULL;
}

/* A caller that goes before it is joined: the parked one is there for the next. */
static void gives_back(void)
{
	static const struct link_ops ops = { .ready = rude_ready, .read = rude_read, .closed = rude_closed };
	struct csc_config c = csc_rig_config();
	struct link_config config = { .alpn = RELAY_ALPN };
	struct asker server, gateway;
	struct rude rude = { 0 };
	char ticket[TICKET_TEXT];
	struct csc_rig r;
	json_t *o;

	csc_rig_setup(&r, &c);
	server = asker_of(&r, PKI_HV, "dc-web01");
	gateway = asker_of(&r, PKI_LCG, "gw1");
	must_park(&server, "dc-web01");
	wait_count(&r, parked, 1);
	csc_rig_ticket(&r.pki, "gw1", "dc-web01", "csc1", time(NULL), ticket);
	config.tls = gateway.tls;
	rude.fd = raw_connect(&r);
	o = json_pack("{s:i, s:s, s:s}", "id", 1, "do", "call", "ticket", ticket);
	CU_ASSERT_FATAL(!ctl_text(o, &rude.request, &rude.len));
	json_decref(o);
	CU_ASSERT_FATAL(!link_create(r.loop, rude.fd, &config, &ops, &rude, &rude.link, NULL));
	wait_count(&r, given_back, 1);
	check(status_of(&r, "parked") == 1 && status_of(&r, "connections") == 0);
	csc_rig_ticket(&r.pki, "gw1", "dc-web01", "csc1", time(NULL), ticket);
	asker_call(&gateway, ticket);
	must(&gateway, 0, NULL);
	wait_count(&r, relayed, 1);
	link_free(rude.link);
	ctl_text_free(rude.request, rude.len);
	asker_drop(&server);
	asker_drop(&gateway);
	(void)csc_rig_drop(&r);
}

static void can_cancel_calls(void)
{
	struct csc_config c = csc_rig_config();
	struct asker server, gateway;
	char ticket[TICKET_TEXT];
	struct csc_rig r;

	csc_rig_setup(&r, &c);
	for (unsigned rounds = 1; rounds < 40; rounds++) {
		server = asker_of(&r, PKI_HV, "dc-web01");
		must_park(&server, "dc-web01");
		gateway = asker_of(&r, PKI_LCG, "gw1");
		csc_rig_ticket(&r.pki, "gw1", "dc-web01", "csc1", time(NULL), ticket);
		asker_call(&gateway, ticket);
		loop_rounds(r.loop, rounds);
		asker_drop(&gateway);
		loop_rounds(r.loop, rounds % 3);
		asker_drop(&server);
	}
	wait_count(&r, accepted, 50);
	(void)csc_rig_drop(&r);
}

static void can_be_cancelled(void)
{
	struct csc_config c = csc_rig_config();
	struct asker server;
	struct csc_rig r;

	csc_rig_setup(&r, &c);
	for (unsigned rounds = 0; rounds < 40; rounds++) {
		server = asker_of(&r, PKI_HV, "dc-web01");
		asker_park(&server, "dc-web01", "net0");
		loop_rounds(r.loop, rounds);
		asker_drop(&server);
	}
	relay_cancel(NULL);
	(void)csc_rig_drop(&r);
}

static void accept_and_close(void *ctx, int fd, uint32_t events)
{
	close(accept(fd, NULL, NULL));
}

static void names_what_failed(void)
{
	struct csc_config c = csc_rig_config();
	char name[SOCKET_HOST];
	struct loop_watch *watch;
	struct asker a;
	struct csc_rig r;
	int fd;

	csc_rig_setup(&r, &c);
	a = asker_of(&r, PKI_HV, "dc-web01");
	CU_ASSERT_FATAL(!socket_listen("127.0.0.1:0", &fd, name, NULL));
	CU_ASSERT_FATAL(!loop_watch_add(r.loop, fd, 1, accept_and_close, NULL, &watch));
	CU_ASSERT_FATAL(!relay_park(r.loop, name, a.tls, "dc-web01", "net0", asker_done, &a, &a.client, &a.why));
	must(&a, -ECONNRESET, NULL);
	loop_watch_remove(watch);
	close(fd);
	a.done = false;
	CU_ASSERT_FATAL(!relay_park(r.loop, name, a.tls, "dc-web01", "net0", asker_done, &a, &a.client, &a.why));
	must(&a, -ECONNREFUSED, "relay: ");
	check_eq(relay_park(r.loop, "nowhere", a.tls, "dc-web01", "net0", asker_done, &a, &a.client, &a.why), -EINVAL);
	check(!a.client);
	asker_drop(&a);
	(void)csc_rig_drop(&r);
}

struct impostor { struct loop *loop; SSL_CTX *tls; struct link *link; };

static void impostor_accept(void *ctx, int fd, uint32_t events)
{
	struct impostor *i = ctx;
	struct link_config config = { .tls = i->tls, .server = true, .alpn = RELAY_ALPN };
	static const struct link_ops ops = { 0 };

	CU_ASSERT_FATAL(!i->link && !link_create(i->loop, accept(fd, NULL, NULL), &config, &ops, i, &i->link, NULL));
}

/* One of the same authority that is no relay. */
static void asks_relays_only(void)
{
	struct csc_config c = csc_rig_config();
	struct tls_config tls = { .server = true, .alpn = RELAY_ALPN };
	char name[SOCKET_HOST];
	struct loop_watch *watch;
	struct impostor i;
	struct identity id;
	struct asker a;
	struct csc_rig r;
	int fd;

	csc_rig_setup(&r, &c);
	id = csc_rig_identity(&r.pki, PKI_HV, "dc-db01");
	tls.ca = id.ca;
	tls.cert = id.cert;
	tls.key = id.key;
	i = (struct impostor){ .loop = r.loop };
	CU_ASSERT_FATAL(!tls_create(&tls, &i.tls, NULL) && !socket_listen("127.0.0.1:0", &fd, name, NULL));
	CU_ASSERT_FATAL(!loop_watch_add(r.loop, fd, 1, impostor_accept, &i, &watch));
	a = asker_of(&r, PKI_HV, "dc-web01");
	CU_ASSERT_FATAL(!relay_park(r.loop, name, a.tls, "dc-web01", "net0", asker_done, &a, &a.client, &a.why));
	must(&a, -EKEYREJECTED, "its certificate is no relay's");
	loop_watch_remove(watch);
	link_free(i.link);
	close(fd);
	SSL_CTX_free(i.tls);
	identity_drop(&id);
	asker_drop(&a);
	(void)csc_rig_drop(&r);
}

enum { MANY = 200 };

static bool all_done(void *ctx)
{
	struct asker *a = ctx;

	for (int i = 0; i < MANY; i++)
		if (!a[i].done)
			return false;
	return true;
}

/* Many at once, more than there are places for TLS: all park, none pushes another out. */
static void parks_many(void)
{
	struct csc_config c = csc_rig_config();
	struct asker *server = calloc(MANY, sizeof *server);
	struct csc_counters count;
	unsigned ok = 0;
	struct csc_rig r;

	c.connections = 16;
	c.grace_ms = 5000;
	c.parked = MANY;
	csc_rig_setup(&r, &c);
	for (int i = 0; i < MANY; i++) {
		char name[32];

		snprintf(name, sizeof name, "server-%d", i);
		server[i] = asker_of(&r, PKI_HV, name);
		asker_park(&server[i], name, "net0");
	}
	check(loop_until(r.loop, all_done, server));
	wait_count(&r, parked, MANY);
	for (int i = 0; i < MANY; i++)
		ok += server[i].fd >= 0;
	check_eq(ok, MANY);
	check_eq(status_of(&r, "servers"), MANY);
	for (int i = 0; i < MANY; i++)
		asker_drop(&server[i]);
	wait_count(&r, parked_gone, MANY);
	check_eq(status_of(&r, "servers"), 0);
	count = csc_rig_drop(&r);
	check(count.evicted == 0 && count.held_back > 0);
	free(server);
}

static const struct test tests[] = {
	{ "parks and calls", parks_and_calls },
	{ "lets a call wait", lets_a_call_wait },
	{ "says that nobody is there", says_that_nobody_is_there },
	{ "refuses tickets", refuses_tickets },
	{ "parks nobody else", parks_nobody_else },
	{ "has limits", has_limits },
	{ "watches the parked", watches_the_parked },
	{ "refuses certificates", refuses_certificates },
	{ "heeds revocation", heeds_revocation },
	{ "heeds revocation meanwhile", heeds_revocation_meanwhile },
	{ "keeps its name", keeps_its_name },
	{ "makes room", makes_room },
	{ "makes room: certificates that say nothing", makes_room_for_known },
	{ "refuses garbage", refuses_garbage },
	{ "gives back", gives_back },
	{ "can be cancelled", can_be_cancelled },
	{ "can cancel calls", can_cancel_calls },
	{ "names what failed", names_what_failed },
	{ "asks relays only", asks_relays_only },
	{ "parks many", parks_many },
	{ NULL },
};
const struct suite suite_csc_csc = { tests };
